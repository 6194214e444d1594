"""Effects over users who are drawn again: their sums in each draw, intervals, p and false discoveries."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

GROUPS = 5_000  # with more users in a segment, so many groups of them are drawn: the spread stays the same
Z = float(norm.ppf(0.975))


class Drawn:
    """The users of a segment, and how often each is taken in each draw.

    Parameters
    ----------
    users : (users,) int
    draws : int
    rng : numpy.random.Generator
    """

    def __init__(self, users: np.ndarray, draws: int, rng: np.random.Generator) -> None:
        self.users, self.draws = users, draws
        self._order = rng.permutation(len(users)) if len(users) > GROUPS else None
        self._weights = rng.poisson(1.0, (draws, min(len(users), GROUPS))).astype(np.float32)

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """Return the sums of columns (users, columns) in each draw, (draws, columns) float64."""
        if self._order is not None:  # users are dealt into groups, and groups are drawn
            edges = np.linspace(0, len(columns), GROUPS + 1).astype(np.int64)[:-1]
            columns = np.add.reduceat(columns[self._order], edges, axis=0)
        return (self._weights @ columns).astype(np.float64)


def moments(values: np.ndarray) -> np.ndarray:
    """Return number, sum and sum of squares of what is known of each user, (users, 3)."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    return np.stack([known.astype(np.float64), filled, filled**2], axis=1)


def cohen(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Cohen's d from number, sum and sum of squares, (draws, 3) each; NaN where nothing varies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [one[:, 1] / one[:, 0] for one in (a, b)]
        squares = [one[:, 2] - one[:, 1] ** 2 / one[:, 0] for one in (a, b)]
        spread = np.sqrt(np.maximum(squares[0] + squares[1], 0) / (a[:, 0] + b[:, 0] - 2))
        return (means[0] - means[1]) / np.where(spread > 1e-9, spread, np.nan)


def interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of the middle 95 % of each column; draws in which nothing varied are left out."""
    whole = np.isfinite(draws).all()
    low, high = (np.quantile if whole else np.nanquantile)(np.ascontiguousarray(draws.T), (0.025, 0.975), axis=1)
    return low, high


def p_of(effect: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return p of a normal variable whose spread is the half of the interval on the side of 0."""
    half = np.maximum(np.where(effect > 0, effect - low, high - effect), 1e-12)
    return 2 * norm.sf(np.abs(effect) / half * Z)


def false_discoveries(p: np.ndarray, tested: int) -> np.ndarray:
    """Return q after Benjamini and Hochberg; what was tested and is not in `p` had p = 1."""
    order = np.argsort(p, kind="stable")
    raw = p[order] * max(tested, len(p)) / np.arange(1, len(p) + 1)
    q = np.empty_like(p)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return q
