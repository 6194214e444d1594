"""Pasts become a padded batch: what the tower reads, in training and ever after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shoal.data.histories import Histories
from shoal.model.tower import Events


@dataclass(frozen=True)
class Values:
    """How ratings or weights become numbers of spread 1 around 0: measured on training events, then frozen."""

    mean: float
    spread: float
    log: bool

    @classmethod
    def measure(cls, values: np.ndarray, *, counts: bool) -> Values:
        """Measure on (events,) values; weights (`counts`) go through log(1 + w) first."""
        known = values[np.isfinite(values)].astype(np.float64)
        known = np.log1p(np.maximum(known, 0)) if counts else known
        if not len(known):
            return cls(0.0, 1.0, counts)
        return cls(float(known.mean()), float(max(known.std(), 1e-6)), counts)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values, 0 where there is none, within -5 to 5."""
        values = np.log1p(np.maximum(values, 0)) if self.log else values
        return np.nan_to_num((values - self.mean) / self.spread).clip(-5, 5).astype(np.float32)


def pasts(histories: Histories, values: Values, at_most: int) -> tuple[Events, Tensor]:
    """Return each user's newest `at_most` events as a padded batch, and their habits (users,).

    Ages count from the user's own newest event, so that the same past always reads the same, whenever it is read.
    """
    counts = histories.counts
    length = int(min(at_most, max(counts.max(initial=0), 1)))
    index = histories.starts[1:, None] - length + np.arange(length)
    mask = index >= histories.starts[:-1, None]
    index = np.where(mask, index, 0)
    if not len(histories.items):
        blank = torch.zeros(mask.shape)
        return Events(blank.long(), blank, blank.clone(), torch.from_numpy(mask)), torch.zeros(len(counts))
    standard = values.of(histories.values)
    times = np.where(mask, histories.times[index], np.nan)
    newest = times[:, -1:]
    ages = np.log1p(np.maximum(np.nan_to_num(newest - times), 0)).astype(np.float32)
    habits = np.bincount(histories.users, weights=standard, minlength=len(counts)) / (counts + 5)
    events = Events(
        torch.from_numpy(np.where(mask, histories.items[index], 0).astype(np.int64)),
        torch.from_numpy(np.where(mask, standard[index], 0).astype(np.float32)),
        torch.from_numpy(ages),
        torch.from_numpy(mask),
    )
    return events, torch.from_numpy(habits.astype(np.float32))
