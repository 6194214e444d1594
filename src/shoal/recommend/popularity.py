"""Popularity: what everyone uses, recent use counting more where times exist."""

from __future__ import annotations

from typing import Self

import numpy as np

from shoal.data.histories import Histories
from shoal.seeding import generator


class Popularity:
    """The logarithm of one plus the (time-decayed) number of events of an item, the same for every user.

    Items with the same number stand in an order drawn by the seed, not in that of their ids.

    Parameters
    ----------
    half_life_days : float or None
        An event this old counts half, one twice as old a quarter. None counts all alike. Events without a time count
        as old as the oldest one with a time. With a half-life, the model's name is ``trending``.
    seed : int
    """

    name = "popularity"

    def __init__(self, half_life_days: float | None = None, *, seed: int = 0) -> None:
        self.half_life_days, self.seed = half_life_days, seed
        if half_life_days is not None:
            self.name = "trending"

    def fit(self, histories: Histories) -> Self:
        """Count events; `histories` (users, events)."""
        weights = _decay(histories.times, self.half_life_days)
        counts = np.bincount(histories.items, weights=weights, minlength=histories.n_items)
        ties = generator(self.seed, "popularity").random(histories.n_items)
        ties *= np.minimum(1e-4, 0.5 / (1 + counts))  # less than one event is worth
        self.scores_ = np.where(counts > 0, np.log1p(counts) + ties, np.nan).astype(np.float32)
        return self

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items that were never used."""
        return np.broadcast_to(self.scores_, (histories.n_users, len(self.scores_)))


def _decay(times: np.ndarray, half_life_days: float | None) -> np.ndarray | None:
    if half_life_days is None or np.isnan(times).all():
        return None
    ages = np.nanmax(times) - times
    return np.exp2(-np.nan_to_num(ages, nan=float(np.nanmax(ages))) / half_life_days)
