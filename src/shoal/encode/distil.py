"""A language model distilled into static vectors, fitted to the user's own texts, with its loss said.

distil(LanguageModel("minilm"), "models/static", texts)
shoal fit ratings.csv run --encoder models/static
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.encode.compare import cosines, neighbours_kept, spread
from shoal.encode.lm import LanguageModel
from shoal.encode.static import LOSS, MODEL_TYPE, StaticEncoder, means_of
from shoal.errors import ConfigError, EncoderError
from shoal.progress import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LOSS_TEXTS = 2_000
"""Texts that the loss is measured on, at most."""
LEARNT_TEXTS = 20_000
"""Texts that are learnt from, at most."""
RIDGE = 0.01
"""How much a vector is held to where it was; .001 and .1 keep fewer neighbours of film titles."""
WIDTH = 256
STEPS = 60
"""Of conjugate gradients."""
NEIGHBOURS = 10
SMOOTH = 1e-4
"""a: a token as frequent as this counts half."""
TOKENS = 512
"""Tokens that the teacher reads at a time."""


def distil(
    lm: LanguageModel,
    folder: str | Path,
    texts: Sequence[str] | None = None,
    *,
    width: int | None = None,
    progress: Progress | None = None,
) -> StaticEncoder:
    """Distil a language model into static vectors and write them into a folder.

    First as Model2Vec does [1]_: each token of the vocabulary is read alone by the model, between the special ones
    that the tokenizer sets; its pooled vector less the mean of all is multiplied by a / (a + p) [2]_, where p is how
    frequent the token is if tokens are numbered by frequency. Then, where texts are given, the vectors are moved so
    that texts come close to the model's own vectors of them: least squares, held by `RIDGE` to where they were.
    Vectors are projected on the first `width` principal directions of the texts (without texts, of the tokens).
    Model2Vec's own code is not used: it wants transformers below 5.4, and does not fit.

    Parameters
    ----------
    lm : LanguageModel
        The teacher.
    folder : str or Path
        Must not be there yet, or be empty; written whole or not at all.
    texts : sequence of str, optional
        The user's own. A fifth, 2,000 at most, are kept out to measure the loss on: the share of each text's 10 nearest
        neighbours that is kept, and the correlation of cosines between texts. At most 20,000 of the others are learnt
        from.
    width : int, optional
        Of the vectors; no wider than the teacher's. None takes 256, or the teacher's where that is less.
    progress : Progress, optional
        Told of the loss.

    Raises
    ------
    ConfigError
        The width is out of range.
    EncoderError
        The folder is taken or cannot be written, or the teacher's tokenizer is none of the library tokenizers.

    References
    ----------
    .. [1] Tulkens, van Dongen (2024). Model2Vec: fast state-of-the-art static embeddings.
    .. [2] Arora, Liang, Ma (2017). A simple but tough-to-beat baseline for sentence embeddings.
    """
    folder, told = Path(folder), progress or Progress()
    width = min(WIDTH, lm.width) if width is None else width
    if not 1 <= width <= lm.width:
        raise ConfigError(f"width = {width}: must be 1 to {lm.width}, the width of {lm.name}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EncoderError(f"{folder} is there already. Give a new folder.")
    if not getattr(lm.tokenizer, "is_fast", False):
        raise EncoderError(f"The tokenizer of {lm.name} has no tokenizer.json. Choose another teacher, such as minilm.")
    learnt, held = _parted(texts or [])
    table = _table(lm, learnt, width, told)
    part = folder.absolute().with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.mkdir(parents=True)
        _write(table, lm, part)
        loss = _loss(lm, StaticEncoder(str(part), max_tokens=lm.max_tokens), held, told) if texts else None
        if loss:
            (part / LOSS).write_text(json.dumps(loss | {"learnt_from": len(learnt)}, indent=1), encoding="utf-8")
        os.replace(part, folder)
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return StaticEncoder(str(folder), max_tokens=lm.max_tokens)


def _parted(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return texts to learn from and texts to measure on; the two share none."""
    distinct = set(texts) - {""}
    held = spread(distinct, min(LOSS_TEXTS, len(distinct) // 5)) if len(distinct) >= 5 else []
    rest = distinct - set(held)
    return (spread(rest, LEARNT_TEXTS) if rest else []), held


def _table(lm: LanguageModel, texts: list[str], width: int, told: Progress) -> np.ndarray:
    """Return the vector of each token, (tokens, width) float32."""
    tokens = _token_vectors(lm, told)
    usual = 1 / np.arange(1, len(tokens) + 1)  # Zipf
    usual /= usual.sum()
    table = (tokens - tokens.mean(0)) * (SMOOTH / (SMOOTH + usual))[:, None].astype(np.float32)
    special = list(lm.tokenizer.all_special_ids)
    table[special] = 0
    if not texts:
        return table @ _principal(table, width)
    target = lm.encode(texts, told)
    axes = _principal(target, width)
    ids = lm.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    means = means_of([[i for i in one[: lm.max_tokens] if i not in special] for one in ids], len(table))
    return _fitted(means, target @ axes, table @ axes)


def _token_vectors(lm: LanguageModel, told: Progress) -> np.ndarray:
    """Return the teacher's pooled vector of each token alone, (tokens, teacher's width) float32."""
    import torch

    before, after = _around(lm.tokenizer)
    n = max(lm.tokenizer.get_vocab().values()) + 1
    own = int(lm.model.get_input_embeddings().num_embeddings)  # type: ignore[operator]
    out = np.zeros((n, lm.width), np.float32)
    with told.task("distil", n, "tokens") as task, torch.inference_mode():
        for start in range(0, n, TOKENS):
            batch = [[*before, min(token, own - 1), *after] for token in range(start, min(start + TOKENS, n))]
            out[start : start + len(batch)] = lm.pooled(batch).cpu().numpy()
            task.advance(len(batch))
    return out


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokenizer sets before and after every text."""
    ids, plain = (tokenizer(["0"], add_special_tokens=own, verbose=False)["input_ids"][0] for own in (True, False))
    start = next((i for i in range(len(ids)) if ids[i : i + len(plain)] == plain), None) if plain else None
    return ([], []) if start is None else (ids[:start], ids[start + len(plain) :])


def _principal(vectors: np.ndarray, width: int) -> np.ndarray:
    """Return the first principal directions through the origin, (teacher's width, width), of a settled sign."""
    square = vectors.astype(np.float64).T @ vectors.astype(np.float64)
    axes = np.linalg.eigh(square)[1][:, ::-1][:, :width]
    return (axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(width)])).astype(np.float32)


def _fitted(means: csr_matrix, target: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the X near `start`, (tokens, width), that makes means @ X near `target`, (texts, width).

    |means X - target|^2 + RIDGE |X - s start|^2 is made small by `STEPS` of conjugate gradients, each column apart; s
    is the scale at which the start itself is nearest. Tokens that no text has stay where they are.
    """
    from scipy.sparse import csr_matrix

    begun = means @ start
    start = start * np.float32((begun * target).sum() / max(float((begun * begun).sum()), 1e-12))
    used = np.flatnonzero(means.getnnz(axis=0))
    picks = csr_matrix(means[:, used])
    back = csr_matrix(picks.T)
    moved = np.zeros((len(used), start.shape[1]), np.float32)
    residual = back @ (target - picks @ start[used])
    way, square = residual.copy(), (residual**2).sum(0)
    for _ in range(STEPS):
        ahead = back @ (picks @ way) + RIDGE * way
        step = square / np.maximum((way * ahead).sum(0), 1e-20)
        moved += step * way
        residual -= step * ahead
        before, square = square, (residual**2).sum(0)
        way = residual + square / np.maximum(before, 1e-20) * way
    out: np.ndarray = start.copy()
    out[used] += moved
    return out


def _write(table: np.ndarray, lm: LanguageModel, folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"embeddings": np.ascontiguousarray(table, np.float16)}, folder / "model.safetensors")
    lm.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    config = {"model_type": MODEL_TYPE, "architectures": ["StaticModel"], "hidden_dim": table.shape[1]}
    config |= {"normalize": True, "embedding_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _loss(lm: LanguageModel, static: StaticEncoder, chosen: list[str], told: Progress) -> dict[str, Any]:
    """Measure how much of what the teacher holds for near is near still, on texts that were not learnt from."""
    loss: dict[str, Any] = {"teacher": lm.name, "teacher_fingerprint": lm.fingerprint, "texts": len(chosen)}
    if len(chosen) <= NEIGHBOURS:
        told.warn(f"static  {len(chosen)} different texts are too few to measure what distillation lost")
        return loss
    theirs, ours = lm.encode(chosen), static.encode(chosen)
    kept = neighbours_kept(theirs, ours, n=NEIGHBOURS)
    shift = np.roll(np.arange(len(chosen)), len(chosen) // 2)  # pairs of texts that have nothing else to do
    correlation = float(np.corrcoef(cosines(theirs, theirs[shift]), cosines(ours, ours[shift]))[0, 1])
    told.log(
        f"static  of the {NEIGHBOURS} nearest of {len(chosen):,} texts {kept:.0%} are kept; "
        f"cosines of pairs correlate {correlation:.2f} with those of {lm.name}"
    )
    return loss | {"neighbours": NEIGHBOURS, "neighbours_kept": kept, "correlation": correlation}
