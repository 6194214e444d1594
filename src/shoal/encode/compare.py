"""Encoders side by side: how near their vectors are to those of the first, and how fast they come.

compare({"torch float32": slow, "openvino int8": fast}, texts)
encoder, texts_per_second, ratio, ratio_low, ratio_high, cosine, cosine_least, neighbours
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from shoal.errors import ConfigError, MismatchError, NotEnoughDataError
from shoal.protocols import Encoder


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of `a` with that of `b`, (rows,), -1 to 1; not a number where one is of length 0.

    Raises
    ------
    MismatchError
        Their shapes differ.
    """
    if a.shape != b.shape:
        raise MismatchError(f"Vectors of shape {a.shape} and {b.shape} have no cosines. Give the same texts and width.")
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def neighbours_kept(a: np.ndarray, b: np.ndarray, *, n: int = 10) -> float:
    """Return the share of each row's `n` nearest neighbours in `a` that are among its `n` nearest in `b`, 0 to 1.

    Nearness is the cosine, so that widths may differ; a row is not its own neighbour. Chance keeps n / (rows - 1).

    Raises
    ------
    NotEnoughDataError
        There are not more than `n` rows.
    """
    if len(a) <= n or len(a) != len(b):
        raise NotEnoughDataError(
            f"{n} neighbours need more than {n} texts on both sides; there are {len(a)}, {len(b)}."
        )
    ours, theirs = _nearest(a, n), _nearest(b, n)
    return float(np.mean([len(np.intersect1d(x, y)) / n for x, y in zip(ours, theirs, strict=True)]))


def _nearest(vectors: np.ndarray, n: int, *, rows: int = 1024) -> np.ndarray:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = []
    for start in range(0, len(unit), rows):
        near = unit[start : start + rows] @ unit.T  # (rows, texts)
        near[np.arange(len(near)), start + np.arange(len(near))] = -np.inf
        found.append(np.argpartition(-near, n - 1, axis=1)[:, :n])
    return np.concatenate(found)


def spread(texts: Collection[str], n: int) -> list[str]:
    """Return at most `n` different texts, spread evenly over all lengths; ``[""]`` where there are none.

    The empty text is left out. The same texts in any order give the same ones.
    """
    ordered = sorted(set(texts) - {""}, key=lambda text: (len(text), text)) or [""]
    if len(ordered) <= n:
        return ordered
    return [ordered[round(i)] for i in np.linspace(0, len(ordered) - 1, n)]


def compare(encoders: Mapping[str, Encoder], texts: Sequence[str], *, repeats: int = 5, n: int = 10) -> pl.DataFrame:
    """Time encoders in turn, over and over, and hold their vectors against those of the first.

    Parameters
    ----------
    encoders : mapping of str to Encoder
        The first is what the others are measured by.
    texts : sequence of str
        Each is encoded anew in every round.
    repeats : int
        Rounds; each encoder has its turn in each, so that what else the machine does falls on all alike. One more
        round before them, which loads, exports and checks, is not timed.
    n : int
        Neighbours that are looked at.

    Returns
    -------
    DataFrame
        encoder; texts_per_second, the median of the rounds; ratio to the first in the same round, median, ratio_low and
        ratio_high, the least and the most; cosine, mean and least, null where the width is another one; neighbours, the
        share of the `n` nearest that is kept.
    """
    if repeats < 1 or not encoders:
        raise ConfigError(f"repeats = {repeats} with {len(encoders)} encoders: give 1 or more of both.")
    vectors = {name: encoder.encode(texts) for name, encoder in encoders.items()}
    seconds = np.array([[_seconds(e, texts) for e in encoders.values()] for _ in range(repeats)])  # (rounds, encoders)
    ratios = seconds[:, :1] / seconds
    first = next(iter(vectors.values()))
    rows = []
    for i, (name, own) in enumerate(vectors.items()):
        near = cosines(first, own) if own.shape == first.shape else None
        rows.append(
            {
                "encoder": name,
                "texts_per_second": len(texts) / float(np.median(seconds[:, i])),
                "ratio": float(np.median(ratios[:, i])),
                "ratio_low": float(ratios[:, i].min()),
                "ratio_high": float(ratios[:, i].max()),
                "cosine": None if near is None else float(near.mean()),
                "cosine_least": None if near is None else float(near.min()),
                "neighbours": neighbours_kept(first, own, n=n),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"cosine": pl.Float64, "cosine_least": pl.Float64})


def _seconds(encoder: Encoder, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    encoder.encode(texts)
    return time.perf_counter() - began
