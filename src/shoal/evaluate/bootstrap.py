"""The bootstrap over users: what would a metric be with other users of the same kind?

Users are drawn with replacement, all events of a user together, because a user's events resemble each other. Nothing
here knows a metric: sums over the drawn users are returned, and the caller makes its quotient of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.errors import ConfigError
from shoal.seeding import generator

BLOCK = 2**20
"""Numbers held at a time: 8 MB a table."""
MOST = 10_000
"""With more users than this, users are dealt at random into so many groups of equal size, and groups are drawn. The
spread stays the same in expectation (sums of independent users vary as their users do), and a million users cost no
more than ten thousand."""


def resample(parts: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
    """Return sums over users drawn with replacement.

    Parameters
    ----------
    parts : array (columns, users)
        What is summed, such as a metric's numerator and denominator.
    seed : int
        Which users are drawn: the same for the same number of users, so that two calls are paired.
    draws : int
        Number of resamples, 1 or more.

    Returns
    -------
    array (columns, draws)
        float64.
    """
    if draws < 1:
        raise ConfigError(f"draws = {draws}: must be 1 or more; 2000 give an interval, 10000 a p value.")
    rng = generator(seed, "bootstrap")
    parts = _grouped(parts, rng)
    users = parts.shape[1]
    rows = max(1, BLOCK // users)
    blocks = [_sums(parts, min(rows, draws - first), rng) for first in range(0, draws, rows)]
    return np.concatenate(blocks, axis=1)


def resample_all(tables: Sequence[np.ndarray], *, seed: int, draws: int) -> list[np.ndarray]:
    """Return what `resample` returns for each table, but draw once for all tables of so many users.

    Drawing ten thousand users two thousand times costs far more than summing over them.
    """
    alike: dict[int, list[int]] = {}
    for place, table in enumerate(tables):
        alike.setdefault(table.shape[1], []).append(place)
    found: dict[int, np.ndarray] = {}
    for places in alike.values():
        sums = resample(np.concatenate([tables[p] for p in places]), seed=seed, draws=draws)
        ends = np.cumsum([len(tables[p]) for p in places])[:-1]
        found |= dict(zip(places, np.split(sums, ends), strict=True))
    return [found[place] for place in range(len(tables))]


def _sums(parts: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    users = parts.shape[1]
    drawn = rng.integers(0, users, (rows, users))
    drawn += np.arange(rows)[:, None] * users
    times = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)  # how often each user was drawn
    return parts @ times.T.astype(np.float64)


def _grouped(parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    columns, users = parts.shape
    if users <= MOST:
        return parts
    order = rng.permutation(users)
    edges = np.linspace(0, users, MOST + 1).astype(np.int64)[:-1]
    return np.add.reduceat(parts[:, order], edges, axis=1).reshape(columns, MOST)


def percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return the bounds between which the middle `level` (0 to 1) of the values lies."""
    if not 0 < level < 1:
        raise ConfigError(f"level = {level!r}: must lie between 0 and 1, such as 0.95.")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
