"""How far segments come out the same: from other users, from other events of the same users, from older and newer ones.

    rows --regroup on a resample--> other segments --place all, match one to one--> Jaccard of each, Rand index of all

A segment found by chance does not come back. The Jaccard index [1]_ says so for each segment, the adjusted Rand index
for all of them together.

References
----------
.. [1] Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics and Data Analysis 52, 2007. Ours
   matches segments one to one instead of each to its nearest, so that two cannot claim the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from shoal.seeding import generator
from shoal.segment.agree import adjusted_rand, jaccard

Place = Callable[[np.ndarray], np.ndarray]
"""Rows (users, width) -> segments (users,)."""
Regroup = Callable[[np.ndarray, np.random.Generator], Place]
"""Groups rows as the segments were grouped, and returns how it places others."""


@dataclass(frozen=True)
class Refits:
    """How segments fared in several refits.

    Attributes
    ----------
    jaccard : (refits, segments) float64
        Members in common, as a share of those in either, with the segment's match; 0 where it has none.
    rand : (refits,) float64
        Adjusted Rand index.
    """

    jaccard: np.ndarray
    rand: np.ndarray

    @classmethod
    def of(cls, pairs: Iterable[tuple[np.ndarray, np.ndarray]], n: int) -> Refits:
        """Return the comparison of pairs of labellings (users,) with labels below `n`."""
        found = [(jaccard(a, b, n), adjusted_rand(a, b, n)) for a, b in pairs]
        return cls(np.array([one for one, _ in found]).reshape(-1, n), np.array([rand for _, rand in found]))


def from_other_users(
    rows: np.ndarray, labels: np.ndarray, regroup: Regroup, n: int, *, times: int, seed: int
) -> Refits:
    """Group users drawn with replacement, as many as there are, and place everyone.

    Parameters
    ----------
    rows : (users, width) float32
    labels : (users,) int
        The segments that are judged, 0 to n - 1.
    regroup : callable
    n, times, seed : int
    """

    def again(number: int) -> np.ndarray:
        rng = generator(seed, "other users", number)
        return regroup(rows[np.sort(rng.integers(len(rows), size=len(rows)))], rng)(rows)

    return Refits.of(((labels, again(number)) for number in range(times)), n)


def from_other_events(
    others: Iterable[np.ndarray], labels: np.ndarray, regroup: Regroup, n: int, *, seed: int
) -> Refits:
    """Group the same users by other rows, made of a resample of their events; `others` yields (users, width)."""

    def again(number: int, rows: np.ndarray) -> np.ndarray:
        return regroup(rows, generator(seed, "other events", number))(rows)

    return Refits.of(((labels, again(number, rows)) for number, rows in enumerate(others)), n)


def from_halves(halves: Iterable[tuple[np.ndarray, np.ndarray]], regroup: Regroup, n: int, *, seed: int) -> Refits:
    """Group the same users twice, by rows from two halves of their events that have none in common."""

    def one(number: int, side: int, rows: np.ndarray) -> np.ndarray:
        return regroup(rows, generator(seed, "halves", number, side))(rows)

    return Refits.of(((one(i, 0, a), one(i, 1, b)) for i, (a, b) in enumerate(halves)), n)


def staying(before: np.ndarray, after: np.ndarray, n: int, *, seed: int, draws: int = 1000) -> np.ndarray:
    """Return which share of each segment's members is in the same segment later, with its interval: (n, 3).

    Parameters
    ----------
    before, after : (users,) int
        Segments of the same users by what they did in one time and in another, in the same frozen space.
    n : int
    seed, draws : int
        Of the bootstrap over users; 95 %.

    Returns
    -------
    (n, 3) float64
        Share, low, high; NaN for a segment without members.
    """
    told = np.full((n, 3), np.nan)
    for segment in range(n):
        stays = (after == segment)[before == segment]
        if len(stays):
            rng = generator(seed, "staying", segment)
            drawn = rng.binomial(len(stays), stays.mean(), draws) / len(stays)  # the bootstrap of a share
            told[segment] = stays.mean(), *np.quantile(drawn, (0.025, 0.975))
    return told
