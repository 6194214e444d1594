"""Blind scores of names: the share of users whom a judge matched to each, with its interval, beside chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.evaluate.bootstrap import percentiles, resample
from shoal.tables import NAME, SEGMENT, UNASSIGNED

TABLE = {
    SEGMENT: pl.Int32(),
    NAME: pl.String(),
    "users": pl.Int64(),
    "score": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "chance": pl.Float64(),
    "reason": pl.String(),
}
"""The columns of `Blind.table`."""


@dataclass(frozen=True)
class Blind:
    """What a judge made of names.

    Attributes
    ----------
    table : polars.DataFrame
        segment, name, users (judged), score (share of them matched to this name, 0 to 1), low, high (95 % interval over
        users), chance; one row a segment. Where score is null, `reason` says why.
    score, low, high : float
        Mean of the segments' scores, each segment weighing the same, with its interval; NaN where nothing was judged.
    chance : float
        1 / names that could be picked; NaN where there were fewer than two.
    judge : str
    """

    table: pl.DataFrame
    score: float
    low: float
    high: float
    chance: float
    judge: str = "embedding"

    def line(self) -> str:
        """Return the whole in one sentence."""
        if np.isnan(self.score):
            return "blind score: fewer than two names speak of items, so there is nothing to match"
        above = "above chance" if self.low > self.chance else "not above chance"
        return f"blind score {self.score:.2f} ({self.low:.2f} to {self.high:.2f}), chance {self.chance:.2f}: {above}"


def scored(
    names: Mapping[int, str],
    choices: list[int],
    truth: np.ndarray,
    picked: np.ndarray,
    draws: int,
    seed: int,
    *,
    judge: str = "embedding",
) -> Blind:
    """Score a judge's picks.

    Parameters
    ----------
    names : mapping of int to str
        By segment.
    choices : list of int
        The segments that could be picked.
    truth, picked : numpy.ndarray
        (judged,) the segment of each judged user, and the one whose name was picked.
    draws, seed : int
        Of the resamples of users.
    """
    chance = 1 / len(choices)
    rows, sums = [], []
    for s in sorted(set(names) - {UNASSIGNED}):
        right = (picked[truth == s] == s).astype(np.float64)
        if s not in choices:
            rows.append(_row(s, names[s], reason="speaks of habits alone, which items do not show"))
        elif not len(right):
            rows.append(_row(s, names[s], chance=chance, reason="none of its users could be judged"))
        else:
            score, low, high, means = _interval(right, draws, seed)
            rows.append(_row(s, names[s], len(right), score, low, high, chance))
            sums.append(means)
    table = pl.DataFrame(rows, schema=TABLE, orient="row")
    low, high = _widened(np.mean(sums, axis=0), table)
    return Blind(table, float(table["score"].mean()), low, high, chance, judge)  # type: ignore[arg-type]


def not_judged(names: Mapping[int, str], choices: list[int], judge: str = "embedding") -> Blind:
    """Return scores where nobody was judged: none, with the reason."""
    idle = "speaks of habits alone, which items do not show"
    alone = "none could be judged" if len(choices) > 1 else "no other name to tell it from"
    rows = [_row(s, names[s], reason=alone if s in choices else idle) for s in sorted(set(names) - {UNASSIGNED})]
    nan = float("nan")
    return Blind(pl.DataFrame(rows, schema=TABLE, orient="row"), nan, nan, nan, nan, judge)


def _interval(right: np.ndarray, draws: int, seed: int) -> tuple[float, float, float, np.ndarray]:
    """Return the share of ones, its 95 % interval by the bootstrap over users, and the resampled shares.

    Where all are right, or none, a resample says nothing; the interval then ends where so extreme a result would come
    in one of forty samples (Clopper and Pearson).
    """
    n = len(right)
    means = resample(right[None, :], seed=seed, draws=draws)[0] / n
    score, (low, high) = float(right.mean()), percentiles(means, 0.95)
    edge = 0.025 ** (1 / n)
    return score, edge if score == 1 else low, 1 - edge if score == 0 else high, means


def _widened(means: np.ndarray, table: pl.DataFrame) -> tuple[float, float]:
    """Return the interval of the mean over segments, for segments without spread no narrower than their own."""
    low, high = percentiles(means, 0.95)
    if means.std() < 1e-12:
        return float(table["low"].mean()), float(table["high"].mean())  # type: ignore[arg-type]
    return low, high


def _row(
    segment: int,
    name: str,
    users: int = 0,
    score: float | None = None,
    low: float | None = None,
    high: float | None = None,
    chance: float | None = None,
    reason: str = "",
) -> tuple[Any, ...]:
    return segment, name, users, score, low, high, chance, reason
