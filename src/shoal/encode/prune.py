"""Structured pruning: whole layers and whole attention heads are left out of a language model, by how little they do.

    effects = layer_effects(lm, texts)                      (layers,)         1 - cosine when a layer is left out
    keep = choose_layers(lm, 4, texts)                      [0, 2, 3, 5]      greedily, measured anew after each step
    cut = choose_heads(head_effects(lm, texts), 24)         {0: [3, 7], ...}  24 heads of the whole model
    small = prune(lm, "models/small", layers=keep)          written as an ordinary folder; --encoder models/small

Nothing is trained afterwards: fine-tune the folder if its quality must come back.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.encode.compare import cosines
from shoal.encode.heads import HEADS_CUT, attention, columns
from shoal.encode.layers import layers
from shoal.encode.lm import LanguageModel, quiet
from shoal.errors import ConfigError, EncoderError

if TYPE_CHECKING:
    import torch
    from torch import nn

LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""What a configuration may call its number of layers."""
PROBES = ("a", "a few words, to see that what was written gives what was meant", "")


def layer_effects(lm: LanguageModel, texts: Sequence[str]) -> np.ndarray:
    """Return what leaving out each layer alone does to the vectors of `texts`, (layers,): 1 - mean cosine, 0 to 2."""
    n = len(layers(lm.model)[1])
    whole = lm.encode(texts)
    return np.array([_effect(lm, texts, whole, [j for j in range(n) if j != i]) for i in range(n)])


def choose_layers(lm: LanguageModel, keep: int, texts: Sequence[str] | None = None) -> list[int]:
    """Return the numbers of the `keep` layers to keep, in order.

    Parameters
    ----------
    lm : LanguageModel
    keep : int
        1 to the number of layers.
    texts : sequence of str, optional
        The layer whose loss changes the vectors of these least is left out, then the next, each measured with those
        before it gone. None keeps layers evenly spaced, the first and the last among them [1]_.

    References
    ----------
    .. [1] Sajjad, Dalvi, Durrani, Nakov (2023). On the effect of dropping layers of pre-trained transformer models.
    """
    n = len(layers(lm.model)[1])
    if not 1 <= keep <= n:
        raise ConfigError(f"keep = {keep}: the model has {n} layers. Give 1 to {n}.")
    if texts is None:
        return [round(i) for i in np.linspace(0, n - 1, keep)] if keep > 1 else [n - 1]
    kept, whole = list(range(n)), lm.encode(texts)
    while len(kept) > keep:
        effects = [_effect(lm, texts, whole, [j for j in kept if j != i]) for i in kept]
        kept.pop(int(np.argmin(effects)))
    return kept


def head_effects(lm: LanguageModel, texts: Sequence[str]) -> np.ndarray:
    """Return what leaving out each head alone does to the vectors of `texts`, (layers, heads): 1 - mean cosine.

    Raises
    ------
    EncoderError
        The model is not BERT-like, or its heads have been pruned already.
    """
    _uncut(lm)
    whole = lm.encode(texts)
    rows = []
    for block in layers(lm.model)[1]:
        own, out = attention(block)
        size = int(own.attention_head_size)
        row = []
        for head in range(int(own.num_attention_heads)):
            with _without_head(out, columns([head], size)):
                row.append(1 - float(cosines(whole, lm.encode(texts)).mean()))
        rows.append(row)
    return np.array(rows)


def choose_heads(effects: np.ndarray, cut: int) -> dict[int, list[int]]:
    """Return the `cut` heads of least effect by layer; each layer keeps the one of its heads that does most.

    Parameters
    ----------
    effects : ndarray
        (layers, heads), as `head_effects` gives it.
    cut : int
        0 to layers * (heads - 1).
    """
    n_layers, n_heads = effects.shape
    if not 0 <= cut <= n_layers * (n_heads - 1):
        raise ConfigError(f"cut = {cut}: must be 0 to {n_layers * (n_heads - 1)}, so that each layer keeps a head.")
    effects = effects.astype(np.float64)
    effects[np.arange(n_layers), effects.argmax(1)] = np.inf
    chosen = np.argsort(effects, axis=None, kind="stable")[:cut]
    found: dict[int, list[int]] = {}
    for layer, head in zip(*np.unravel_index(np.sort(chosen), effects.shape), strict=True):
        found.setdefault(int(layer), []).append(int(head))
    return found


def prune(
    lm: LanguageModel,
    folder: str | Path,
    *,
    layers: Sequence[int] | None = None,
    heads: Mapping[int, Sequence[int]] | None = None,
) -> LanguageModel:
    """Write a smaller model into a folder that ``--encoder FOLDER`` and plain transformers read, and open it.

    Transformers 5 can neither prune heads nor say in a BERT's configuration how many a layer has left. The weights of
    pruned heads are therefore written as zeros: transformers gives the same vectors, at the old speed. Beside them
    config.json names the heads, and a model that Shoal loads or exports is cut down to the others.

    Parameters
    ----------
    lm : LanguageModel
        Left as it is.
    folder : str or Path
        Must not be there yet, or be empty; written whole or not at all.
    layers : sequence of int, optional
        Those to keep, as `choose_layers` gives them; None keeps all.
    heads : mapping of int to sequence of int, optional
        Layer -> heads to cut, as `choose_heads` gives them; layers are counted in `lm`.

    Raises
    ------
    ConfigError
        A layer is not there.
    EncoderError
        The model cannot be pruned in this way, or the folder is taken.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EncoderError(f"{folder} is there already. Give a new folder.")
    _uncut(lm)
    model = copy.deepcopy(lm.model)
    kept = list(range(len(_blocks(model)))) if layers is None else sorted(set(layers))
    _zero_heads(model, heads or {})
    _keep_layers(model, kept)
    named = {str(kept.index(layer)): sorted(set(cut)) for layer, cut in (heads or {}).items() if layer in kept and cut}
    if named:
        setattr(model.config, HEADS_CUT, named)
    part = folder.absolute().with_name(f".{uuid.uuid4().hex}.part")
    try:
        _write(model, lm, part)
        _verify(model, lm, part)
        os.replace(part, folder)
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _opened(lm, folder)


def _blocks(model: nn.Module) -> nn.ModuleList:
    return layers(model)[1]


def _effect(lm: LanguageModel, texts: Sequence[str], whole: np.ndarray, kept: list[int]) -> float:
    with _with_layers(lm.model, kept):
        return 1 - float(cosines(whole, lm.encode(texts)).mean())


@contextmanager
def _with_layers(model: nn.Module, kept: list[int]) -> Iterator[None]:
    """Let the model have these layers alone for a while."""
    name, all_of_them = layers(model)
    said = copy.deepcopy(model.config)
    try:
        _keep_layers(model, kept)
        yield
    finally:
        _put(model, name, all_of_them)
        for key in (*LAYER_COUNTS, "layer_types"):
            if key in vars(said):
                setattr(model.config, key, getattr(said, key))


def _keep_layers(model: Any, kept: Sequence[int]) -> None:
    """Leave out all but these layers, in place."""
    from torch import nn

    name, blocks = layers(model)
    wrong = [i for i in kept if not 0 <= i < len(blocks)]
    if wrong or not kept:
        raise ConfigError(f"layers = {list(kept)}: the model has layers 0 to {len(blocks) - 1}. Keep one at least.")
    count = next((key for key in LAYER_COUNTS if getattr(model.config, key, None) == len(blocks)), None)
    if count is None:
        raise EncoderError(f"The configuration of {type(model).__name__} does not say how many layers it has.")
    _put(model, name, nn.ModuleList([blocks[i] for i in kept]))
    setattr(model.config, count, len(kept))
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[i] for i in kept]


def _put(model: nn.Module, name: str, blocks: nn.ModuleList) -> None:
    above, _, own = name.rpartition(".")
    setattr(model.get_submodule(above), own, blocks)


@contextmanager
def _without_head(out: nn.Module, columns: list[int]) -> Iterator[None]:
    """Let the way out of attention see zeros in these columns for a while."""

    def blind(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = given[0].clone()
        states[..., columns] = 0
        return (states, *given[1:])

    handle = out.register_forward_pre_hook(blind)
    try:
        yield
    finally:
        handle.remove()


def _zero_heads(model: nn.Module, heads: Mapping[int, Sequence[int]]) -> None:
    import torch

    blocks = _blocks(model)
    for layer, cut in heads.items():
        if not 0 <= layer < len(blocks):
            raise ConfigError(f"heads = {{{layer}: ...}}: the model has layers 0 to {len(blocks) - 1}.")
        own, out = attention(blocks[layer])
        n = int(own.num_attention_heads)
        if len(set(cut)) >= n or any(not 0 <= head < n for head in cut):
            raise ConfigError(
                f"heads = {{{layer}: {sorted(cut)}}}: a layer has heads 0 to {n - 1}. Leave one at least."
            )
        size = int(own.attention_head_size)
        with torch.no_grad():
            out.weight[:, columns(list(cut), size)] = 0


def _uncut(lm: LanguageModel) -> None:
    if lm.source.config.get(HEADS_CUT):
        raise EncoderError(f"Heads of {lm.name} have been pruned already. Prune the model that it was made from.")


def _write(model: Any, lm: LanguageModel, folder: Path) -> None:
    """Write weights, tokenizer, and how to pool, as sentence-transformers has it."""
    with quiet():
        model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
    modes = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
    pooling = {"word_embedding_dimension": lm.width}
    pooling |= {f"pooling_mode_{mode}": how == lm.pooling for how, mode in modes.items()}
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def _verify(model: nn.Module, lm: LanguageModel, folder: Path) -> None:
    """Read what was written and hold it against what was meant; parts that transformers does not know get lost."""
    meant = _opened(lm, lm.source.folder)
    meant.__dict__["model"] = model.to(meant.device).eval()
    try:
        same = np.allclose(_opened(lm, folder).encode(PROBES), meant.encode(PROBES), atol=1e-3)
    except EncoderError:
        same = False
    if not same:
        raise EncoderError(
            f"{lm.name} has parts that a folder of its kind cannot hold, such as adapters. "
            "Prune the model that it was made from, and fine-tune again."
        )


def _opened(lm: LanguageModel, folder: Path) -> LanguageModel:
    how: dict[str, Any] = {"max_tokens": lm.max_tokens, "pooling": lm.pooling, "batch_tokens": lm.batch_tokens}
    return LanguageModel(str(folder), precision=lm.precision, device=str(lm.device), **how)
