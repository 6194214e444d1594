"""Bias: the mean, how much an item is rated above it, and how much a user rates above that. The plain baseline."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from shoal.data.histories import Histories

SWEEPS = 8


class Bias:
    """rating = mean + offset of the item + offset of the user, both shrunken [1]_.

    Parameters
    ----------
    item_pull, user_pull : float
        Ratings at the mean that every item, and every user, is taken to have beside its own.

    References
    ----------
    .. [1] Koren 2010, Factor in the Neighbors, section 2.1.
    """

    name = "bias"

    def __init__(self, item_pull: float = 4.0, user_pull: float = 5.0) -> None:
        self.item_pull, self.user_pull = item_pull, user_pull

    def fit(self, histories: Histories) -> Self:
        """Find mean and item offsets by turns."""
        users, items, values = histories.users, histories.items, histories.values.astype(np.float64)
        self.mean_ = float(values.mean())
        per_user, per_item = histories.counts, np.bincount(items, minlength=histories.n_items)
        self.items_ = np.zeros(histories.n_items)
        for _ in range(SWEEPS):
            rest = values - self.mean_ - self.items_[items]
            of_users = np.bincount(users, rest, len(per_user)) / (per_user + self.user_pull)
            rest = values - self.mean_ - of_users[users]
            self.items_ = np.bincount(items, rest, histories.n_items) / (per_item + self.item_pull)
        return self

    def offsets(self, pasts: Histories) -> np.ndarray:
        """Return the offset of each user (users,), 0 without a past."""
        rest = pasts.values - self.mean_ - self.items_[pasts.items]
        return np.bincount(pasts.users, rest, pasts.n_users) / (pasts.counts + self.user_pull)

    def predict(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (pairs,); an item row of -1, or one never rated, has offset 0."""
        of_items = np.where(items >= 0, self.items_[np.maximum(items, 0)], 0)
        return (self.mean_ + of_items + self.offsets(pasts)[users]).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        return {"mean": np.array([self.mean_]), "items": self.items_}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave."""
        self.mean_, self.items_ = float(tensors["mean"][0]), tensors["items"]
        return self

    def document(self) -> dict[str, Any]:
        """Return the settings."""
        return {"item_pull": self.item_pull, "user_pull": self.user_pull}
