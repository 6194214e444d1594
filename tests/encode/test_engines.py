import json
import logging
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.config import Config, Encode
from shoal.encode import engines, exports
from shoal.encode.cache import encode_cached
from shoal.encode.compare import cosines
from shoal.encode.engines import CALIBRATION, CHECKED, Exported, is_whole, samples
from shoal.encode.lm import LanguageModel
from shoal.encode.open import open_encoder
from shoal.errors import ConfigError, EncoderError, MissingExtraError
from shoal.progress import Progress
from shoal.protocols import Encoder

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")
pytest.importorskip("nncf")


class Heard(Progress):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)

    def warn(self, line):
        self.lines.append(f"warning: {line}")


def torch_model(folder, **how):
    return LanguageModel(str(folder), precision="float32", device="cpu", **how)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for most tests of the module: an export takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(tiny, cache, sentences):
    def made(engine, precision="float32", model="bert", **how):
        return Exported(torch_model(tiny[model]), engine, precision, **({"cache": cache, "sample": sentences} | how))

    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "model"),
    [("openvino", "bert"), ("openvino", "gpt2"), ("openvino", "llama"), ("openvino", "t5"),
     ("onnx", "bert"), ("onnx", "gpt2"), ("onnx", "llama")],
)  # fmt: skip
def test_an_export_gives_the_vectors_of_torch(make, tiny, sentences, engine, model):
    exported = make(engine, model=model)
    texts = [*sentences[:60], "zebra", "a " * 100]
    vectors = exported.encode(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, torch_model(tiny[model]).encode(texts), atol=1e-5)
    assert exported.truncated == 1
    assert exported.cosine > 0.99999


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_one_export_serves_every_pooling(tiny, cache, sentences, pooling):
    lm = torch_model(tiny["bert"], pooling=pooling)
    vectors = Exported(lm, "openvino", "float32", cache=cache, sample=sentences).encode(sentences[:9])
    np.testing.assert_allclose(vectors, torch_model(tiny["bert"], pooling=pooling).encode(sentences[:9]), atol=1e-5)
    assert len(list(cache.glob("engines/openvino-float32-*"))) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_int8_is_near_and_tells_how_near(make, tiny, sentences, engine):
    heard, handlers = Heard(), logging.getLogger("nncf").handlers
    mine = logging.NullHandler()
    handlers.append(mine)  # as somebody does who collects what all libraries log
    exported = make(engine, "int8", force=True, progress=heard)
    near = cosines(exported.encode(sentences), torch_model(tiny["bert"]).encode(sentences))
    assert 0.95 < near.mean() < 0.999999
    said = rf"encode  {engine} int8: cosine (\.9\d{{3}}) to torch float32 over 64 of your texts, the least (\.9\d{{3}})"
    mean, least = map(float, re.fullmatch(said, heard.lines[-1]).groups())
    assert least <= mean == pytest.approx(exported.cosine, abs=1e-4)
    assert exported.describe()["cosine"] == pytest.approx(near.mean(), abs=0.01)
    handlers.remove(mine)
    assert mine.level == logging.NOTSET


@pytest.mark.slow
def test_an_export_is_made_once_and_checked_once_for_the_same_texts(make, sentences, monkeypatch):
    first = make("openvino")
    vectors = first.encode(sentences[:5])
    heard = Heard()
    again = make("openvino", progress=heard)
    monkeypatch.setattr(engines, "export", lambda *_: pytest.fail("exported again"))
    assert np.array_equal(again.encode(sentences[:5]), vectors)
    assert len(heard.lines) == 1
    assert "model" not in vars(again.lm)
    assert again.cosine == first.cosine
    other = make("openvino", sample=["a b c", "d"])
    other.encode(["a"])
    assert other.cosine == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_other_weights_get_another_export(tiny, cache, sentences, tmp_path):
    from transformers import AutoTokenizer, BertModel

    model = BertModel.from_pretrained(tiny["bert"])
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight[:] = 0
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny["bert"]).save_pretrained(tmp_path)
    ours = Exported(torch_model(tmp_path), "openvino", "float32", cache=cache, sample=sentences)
    np.testing.assert_allclose(ours.encode(sentences[:5]), torch_model(tmp_path).encode(sentences[:5]), atol=1e-5)


@pytest.mark.slow
def test_a_damaged_export_is_made_anew(make, tmp_path, sentences):
    make("openvino", cache=tmp_path).encode(sentences[:3])
    folder = next(tmp_path.glob("engines/openvino-float32-*"))
    weights = folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert not is_whole(folder)
    vectors = make("openvino", cache=tmp_path).encode(sentences[:3])
    assert is_whole(folder)
    np.testing.assert_allclose(vectors, make("openvino").encode(sentences[:3]), atol=1e-6)
    assert not list(tmp_path.rglob(".*.part"))


def test_what_killed_exports_left_is_swept_after_a_day(tmp_path):
    old, young = tmp_path / ".1.part", tmp_path / ".2.part"
    old.mkdir()
    young.mkdir()
    os.utime(old, (1, 1))
    engines._sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


@pytest.mark.slow
def test_without_a_cache_the_export_goes_with_its_encoder(make, sentences, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    exported = make("openvino", cache=None)
    exported.encode(sentences[:3])
    assert len(list(tmp_path.glob("shoal-*/openvino-*"))) == 1
    del exported
    assert not list(tmp_path.glob("shoal-*"))


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_told_and_done_without(make, sentences, tmp_path):
    heard = Heard()
    (tmp_path / "engines").write_text("in the way")
    vectors = make("openvino", cache=tmp_path, progress=heard).encode(sentences[:3])
    assert vectors.shape == (3, 32)
    assert heard.lines[0].startswith("warning: the cache ")


@pytest.mark.slow
def test_an_export_that_is_far_from_torch_is_refused_unless_forced(make, sentences, monkeypatch):
    real = exports.open_export

    def wrong(*args):
        run = real(*args)
        return lambda ids, mask: run(ids, mask) + 0.7

    monkeypatch.setattr(engines, "open_export", wrong)
    texts = ["a b", "c d e", "f"]
    with pytest.raises(
        EncoderError, match=r"OpenVINO in float32 has a mean cosine of \.\d{4} .* 3 of your texts, under"
    ):
        make("openvino", sample=texts).encode(texts)
    with pytest.raises(EncoderError, match=r"encode\.precision .* encode\.engine .* encode\.force to true"):
        make("openvino", sample=texts).encode(texts)
    assert make("openvino", sample=texts, force=True).encode(texts).shape == (3, 32)


@pytest.mark.slow
def test_vectors_that_are_no_numbers_are_refused_even_though_nothing_compares_with_them(make, monkeypatch):
    monkeypatch.setattr(engines, "open_export", lambda *_: lambda ids, mask: torch.full((*ids.shape, 32), float("nan")))
    with pytest.raises(EncoderError, match="not numbers"):
        make("openvino", sample=["a"], force=True).encode(["a"])


def test_a_model_that_an_engine_cannot_take_is_told_with_the_way_out(make, monkeypatch):
    monkeypatch.setattr(exports, "_to_openvino", lambda *_: (_ for _ in ()).throw(RuntimeError("\nno such operation")))
    with pytest.raises(EncoderError, match=r"cannot be exported for OpenVINO: no such operation Set encode.engine to"):
        make("openvino", cache=None).encode(["a"])


def test_engine_and_precision_are_part_of_the_fingerprint(make, tiny, monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda engine: engine == "openvino")
    made = [
        make("openvino"),
        make("openvino", "int8"),
        make("openvino", "bfloat16"),
        make("onnx"),
        make("onnx", "int8"),
    ]
    assert len({torch_model(tiny["bert"]).fingerprint, *(m.fingerprint for m in made)}) == 6
    assert make("openvino").fingerprint == make("openvino", cache=None, sample=None, force=True).fingerprint
    assert make("openvino", "auto").precision == "bfloat16"
    assert make("onnx", "auto").precision == "float32"


@pytest.mark.slow
def test_bfloat16_without_hardware_is_float32_and_says_so(make, monkeypatch, sentences):
    monkeypatch.setattr(engines, "has_bfloat16", lambda _: False)
    heard = Heard()
    asked = make("openvino", "bfloat16", progress=heard)
    asked.encode(sentences[:3])
    assert asked.fingerprint == make("openvino", "float32").fingerprint
    assert "openvino float32 (no bfloat16 in this processor): cosine" in heard.lines[-1]


@pytest.mark.slow
def test_a_cache_that_knows_all_texts_opens_no_engine(make, cache, sentences):
    vectors = encode_cached(make("openvino"), sentences, template_version="t", folder=cache)
    again = make("openvino")
    assert np.array_equal(encode_cached(again, sentences, template_version="t", folder=cache), vectors)
    assert again._run is None
    assert again.encode([]).shape == (0, 32)
    assert again._run is None


@pytest.mark.slow
def test_int8_of_one_cache_stays_the_same_whatever_texts_come_later(make, tmp_path, sentences):
    first = make("openvino", "int8", cache=tmp_path, force=True).encode(sentences[:9])
    later = make("openvino", "int8", cache=tmp_path, force=True, sample=["a", "b b b"]).encode(sentences[:9])
    assert np.array_equal(first, later)


def test_it_is_an_encoder_and_describes_itself_for_json(make):
    exported = make("openvino", "int8")
    assert isinstance(exported, Encoder)
    told = json.loads(json.dumps(exported.describe()))
    assert (told["engine"], told["precision"], told["cosine"]) == ("openvino", "int8", None)
    assert told["fingerprint"] == exported.fingerprint


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [("tvm", "auto", "engine = 'tvm' is none"), ("onnx", "bfloat16", "none of onnx. Give auto, float32, int8.")],
)
def test_engines_and_precisions_that_are_none_are_refused(make, engine, precision, message):
    with pytest.raises(ConfigError, match=message):
        make(engine, precision)


def test_an_export_begins_with_float32(tiny):
    with pytest.raises(ConfigError, match="begins with float32 on the CPU; the model is in bfloat16"):
        Exported(LanguageModel(str(tiny["bert"]), precision="bfloat16", device="cpu"), "openvino")


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"need nncf, .* pip install 'shoal\[fast\]'"):
        exports.library("nncf")


def test_the_engines_reports_to_their_makers_are_never_loaded_and_loggers_to_come_are_pythons():
    code = (
        "import logging, sys; from shoal.encode.exports import library; library('openvino'); library('nncf');"
        "library('openvino').convert_model;"
        "print('openvino_telemetry' in sys.modules, type(logging.getLogger('mine')) is not logging.Logger)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@given(st.lists(st.text(max_size=6), max_size=800), st.randoms())
def test_samples_are_of_the_texts_whatever_their_order(texts, random):
    checked, calibration = samples(texts)
    assert 1 <= len(checked) <= CHECKED
    assert 1 <= len(calibration) <= CALIBRATION
    distinct = set(texts) - {""}
    assert set(checked) | set(calibration) <= (distinct or {""})
    shuffled = list(texts)
    random.shuffle(shuffled)
    assert samples(shuffled) == (checked, calibration)
    if len(distinct) >= CALIBRATION + CHECKED:
        assert not set(checked) & set(calibration)


def test_samples_are_spread_over_all_lengths():
    texts = [f"{i:03} " + "x" * i for i in range(1000)]
    for sample in samples(texts):
        lengths = np.array([len(text) for text in sample])
        assert lengths.min() < 20
        assert lengths.max() > 980
        assert np.diff(np.sort(lengths)).max() < 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "int8"}, r"encode\.precision = 'int8': torch has no int8"),
        ({"engine": "onnx", "precision": "bfloat16"}, r"encode\.precision = 'bfloat16': ONNX Runtime has none"),
        ({"engine": "onnnx"}, r"encode\.engine = 'onnnx': must be torch, onnx or openvino. Did you mean onnx\?"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_at_birth(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config(encode=settings)


def test_the_settings_choose_the_engine(tiny, tmp_path):
    name = str(tiny["bert"])
    assert isinstance(open_encoder(Encode(encoder=name)), LanguageModel)
    made = open_encoder(Encode(encoder=name, engine="openvino", precision="int8", max_tokens=9, pooling="cls"))
    assert isinstance(made, Exported)
    assert (made.engine, made.precision, made.max_tokens, made.lm.pooling) == ("openvino", "int8", 9, "cls")
    with pytest.raises(ConfigError, match="runs on the processor, not on device 'cuda'"):
        open_encoder(Encode(encoder=name, engine="openvino"), device="cuda")


@pytest.mark.slow
def test_the_guides_python_runs(tiny, sentences, root, tmp_path, monkeypatch):
    guide = (root / "docs" / "guides" / "fast-encoding.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    scope = {"texts": sentences}
    for block in blocks:
        exec(block.replace('"minilm"', repr(str(tiny["bert"]))).replace(", 24)", ", 3)"), scope)
    assert scope["table"].height == 4
