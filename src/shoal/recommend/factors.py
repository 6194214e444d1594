"""Factors: implicit's alternating least squares, with users folded in from their past."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from shoal.data.histories import Histories


class Factors:
    """Matrix factorisation for implicit feedback [1]_ by the library implicit.

    A user's vector is always solved from the past that is handed in, never looked up, so that a user unseen in
    training is served like any other.

    Parameters
    ----------
    width : int
        Factors, 2 or more.
    l2 : float
        Ridge penalty.
    alpha : float
        Confidence of an event; that of everything else is 1.
    iterations : int
    seed : int

    References
    ----------
    .. [1] Hu, Koren, Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets.
    """

    name = "factors"

    def __init__(
        self, width: int = 64, l2: float = 10.0, alpha: float = 5.0, *, iterations: int = 12, seed: int = 0
    ) -> None:
        self.width, self.l2, self.alpha = width, l2, alpha
        self.iterations, self.seed = iterations, seed

    def fit(self, histories: Histories) -> Self:
        """Factorise the users' binary histories."""
        from implicit.cpu.als import AlternatingLeastSquares

        with threadpool_limits(1, "blas"):  # implicit has its own threads
            model: Any = AlternatingLeastSquares(
                factors=self.width,
                regularization=self.l2,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
                num_threads=os.cpu_count() or 1,
            )
            model.fit(histories.matrix(), show_progress=False)
        self.items_ = np.ascontiguousarray(model.item_factors)
        self.items_[np.bincount(histories.items, minlength=histories.n_items) == 0] = np.nan
        return self

    def users(self, histories: Histories) -> np.ndarray:
        """Return the vectors of users, solved from their pasts: (users, width) float32, 0 without events."""
        known = ~np.isnan(self.items_[:, 0])
        items = np.where(known[:, None], self.items_, 0.0).astype(np.float32)
        gram = items.T @ items + self.l2 * np.eye(self.width, dtype=np.float32)
        vectors = np.zeros((histories.n_users, self.width), np.float32)
        for block in range(0, histories.n_users, 2048):
            part = histories.take(np.arange(block, min(block + 2048, histories.n_users))).matrix()
            vectors[block : block + 2048] = self._solve(part, items, gram)
        return vectors

    def _solve(self, past: sparse.csr_matrix, items: np.ndarray, gram: np.ndarray) -> np.ndarray:
        """Solve (Y'Y + (alpha - 1) Y_u'Y_u + l2 I) x = alpha Y_u'1 for each user of a block."""
        outer = (items[:, :, None] * items[:, None, :]).reshape(len(items), -1)
        systems = np.asarray(past @ outer).reshape(-1, self.width, self.width) * (self.alpha - 1) + gram
        right = np.asarray(past @ items) * self.alpha
        return np.linalg.solve(systems, right[:, :, None])[:, :, 0].astype(np.float32)

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items that were never used and for users without a past."""
        scores = self.users(histories) @ self.items_.T
        scores[histories.counts == 0] = np.nan
        return scores
