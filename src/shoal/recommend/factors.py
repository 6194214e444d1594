"""Factors: implicit's alternating least squares, with users folded in from their past."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

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
        model = self._library()
        with _one_blas_thread():  # implicit has its own threads
            model.fit(histories.matrix(), show_progress=False)
        self.items_ = np.ascontiguousarray(model.item_factors)
        self.items_[np.bincount(histories.items, minlength=histories.n_items) == 0] = np.nan
        return self

    def _library(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        with _one_blas_thread():  # else it warns
            return AlternatingLeastSquares(
                factors=self.width,
                regularization=self.l2,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
                num_threads=torch.get_num_threads(),
            )

    def users(self, histories: Histories) -> np.ndarray:
        """Return the vectors of users, solved from their pasts: (users, width) float32, 0 without events."""
        model = self._library()
        model.item_factors = np.nan_to_num(self.items_, nan=0.0)
        with _one_blas_thread():
            vectors: np.ndarray = model.recalculate_user(np.arange(histories.n_users), histories.matrix())
        vectors[histories.counts == 0] = 0
        return vectors

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items that were never used and for users without a past."""
        scores = self.users(histories) @ self.items_.T
        scores[histories.counts == 0] = np.nan
        return scores


def _one_blas_thread() -> AbstractContextManager[Any]:
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own, looked for once, when implicit has loaded its own."""
    import implicit.cpu.als  # noqa: F401

    return ThreadpoolController()
