"""A language model written for another engine: ONNX Runtime or OpenVINO, in float32 or calibrated int8.

    export(lm, "openvino", folder)                       float32
    quantise(lm, "openvino", folder, texts)              int8 beside it, its ranges measured on texts
    run = open_export("openvino", "int8", folder)        (ids, mask) -> hidden states, as LanguageModel.encode takes it

What is exported ends at the hidden states; tokens and pooling stay with `LanguageModel`. Both libraries can tell their
makers of their use over the network; they are kept from it here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shoal.encode.lm import LanguageModel, quiet
from shoal.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    import torch

    from shoal.encode.lm import Hidden

Engine = Literal["onnx", "openvino"]
NAMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
PRECISIONS = {"onnx": ("float32", "int8"), "openvino": ("float32", "bfloat16", "int8")}
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}
CALIBRATION_BATCH = 8
"""Texts that go through the model together while ranges are measured."""
SMOOTH = 0.8
"""How far outliers are moved into the weights; .5, .7, .88 and nncf's own .95 are farther from float32 with minilm."""
_INPUTS = ["input_ids", "attention_mask"]


def version(engine: Engine) -> str:
    """Return the version of the engine's library.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    return str(getattr(library("onnxruntime" if engine == "onnx" else engine), "__version__", "?"))


def library(name: str) -> Any:
    """Import an optional library without its reports to its makers, which would go over the network.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    import importlib

    hidden = "openvino_telemetry"  # openvino and nncf do without it where it cannot be imported
    before, known, kind = sys.modules.get(hidden), hidden in sys.modules, logging.getLoggerClass()
    sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(
            f"Faster engines need {name}, which is not installed. Install it with: pip install 'shoal[fast]'"
        ) from None
    finally:
        logging.setLoggerClass(kind)  # nncf sets its own, for all loggers to come
        del sys.modules[hidden]
        if known:
            sys.modules[hidden] = before  # type: ignore[assignment]


def has_bfloat16(engine: Engine) -> bool:
    """Whether the engine multiplies bfloat16 in hardware here. OpenVINO takes float32, in silence, where it cannot."""
    if engine == "onnx":
        return False
    return "BF16" in library("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def export(lm: LanguageModel, engine: Engine, folder: Path) -> None:
    """Write the model into `folder`, which must be there, in float32.

    Raises
    ------
    EncoderError
        The engine cannot take this model.
    MissingExtraError
    """
    version(engine)
    model = _hidden_states(lm.model)
    example = lm.padded([[lm.nothing] * 7, [lm.nothing] * 4, [lm.nothing] * 3])  # sizes that stand for nothing else
    try:
        with _silence():
            _to_onnx(model, example, folder) if engine == "onnx" else _to_openvino(model, example, folder)
    except Exception as error:  # exporters fail in many ways
        other = {"onnx": "openvino", "openvino": "onnx"}[engine]
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EncoderError(
            f"The language model {lm.name} cannot be exported for {NAMES[engine]}: {why.strip()[:200]} "
            f"Set encode.engine to torch, or try {other}."
        ) from error


def quantise(lm: LanguageModel, engine: Engine, source: Path, folder: Path, texts: Sequence[str]) -> None:
    """Write the model exported to `source` in int8 into `folder`.

    Weights and the inputs of matrix products are rounded to 8 bits, weights with a scale for each row; the ranges of
    inputs are measured on `texts` [1]_, after outliers of the inputs were moved into the weights [2]_.

    References
    ----------
    .. [1] Kozlov, Lazarevich, Shamporov, Lyalyushkin, Gorbachev (2021). Neural Network Compression Framework for fast
       model inference.
    .. [2] Xiao, Lin, Seznec, Wu, Demouth, Han (2023). SmoothQuant: accurate and efficient post-training quantization.
    """
    nncf = library("nncf")
    logging.getLogger("nncf").setLevel(
        logging.ERROR
    )  # its own set_log_level turns down handlers, which may be anyone's
    smooth = nncf.AdvancedSmoothQuantParameters(matmul=SMOOTH)
    parameters = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE, smooth_quant_alphas=smooth)
    ids = lm.tokens(texts)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    parts = [order[i : i + CALIBRATION_BATCH] for i in range(0, len(order), CALIBRATION_BATCH)]
    batch = [[tensor.numpy() for tensor in lm.padded([ids[i] for i in part])] for part in parts]
    with _silence():
        model = nncf.quantize(
            _load(engine, source),
            nncf.Dataset([dict(zip(_INPUTS, one, strict=True)) for one in batch]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batch),
            advanced_parameters=parameters,
        )
        if engine == "onnx":
            library("onnx").save(model, folder / FILES[engine])
        else:
            library("openvino").save_model(model, folder / FILES[engine], compress_to_fp16=False)


def open_export(engine: Engine, precision: str, folder: Path) -> Hidden:
    """Return a callable that takes ids and mask, (batch, tokens) int64, and gives hidden states.

    It uses as many threads as torch does. OpenVINO's states live until the next call.
    """
    return _onnx_session(folder) if engine == "onnx" else _openvino_session(folder, precision)


def _onnx_session(folder: Path) -> Hidden:
    import torch

    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(folder / FILES["onnx"]), options, providers=["CPUExecutionProvider"])

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        given = dict(zip(_INPUTS, (ids.numpy(), mask.numpy()), strict=True))
        return torch.from_numpy(session.run(None, given)[0])

    return run


def _openvino_session(folder: Path, precision: str) -> Hidden:
    import torch

    openvino = library("openvino")
    low = precision != "float32" and has_bfloat16("openvino")
    how = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if low else "f32",
        "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same cores
    }
    compiled = openvino.Core().compile_model(str(folder / FILES["openvino"]), "CPU", how)
    request = compiled.create_infer_request()

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        given = dict(zip(_INPUTS, (ids.numpy(), mask.numpy()), strict=True))
        return torch.from_numpy(request.infer(given, share_inputs=True, share_outputs=True)[0])

    return run


def _hidden_states(model: torch.nn.Module) -> torch.nn.Module:
    import torch

    class HiddenStates(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return HiddenStates().eval()


def _to_onnx(model: torch.nn.Module, example: tuple[torch.Tensor, torch.Tensor], folder: Path) -> None:
    import torch

    library("onnxscript")
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        model, example, input_names=_INPUTS, output_names=["hidden"], dynamic_shapes=(free, free), dynamo=True,
        verbose=False,
    )  # fmt: skip
    program.save(folder / FILES["onnx"])  # type: ignore[union-attr]


def _to_openvino(model: torch.nn.Module, example: tuple[torch.Tensor, torch.Tensor], folder: Path) -> None:
    openvino = library("openvino")
    made = openvino.convert_model(model, example_input=dict(zip(_INPUTS, example, strict=True)))
    openvino.save_model(made, folder / FILES["openvino"], compress_to_fp16=False)


def _load(engine: Engine, folder: Path) -> Any:
    path = folder / FILES[engine]
    return library("onnx").load(path) if engine == "onnx" else library("openvino").Core().read_model(path)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what exporters print, warn of and log off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
