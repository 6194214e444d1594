"""Factors: implicit's alternating least squares, with users folded in from their past.

confidence (users, items)   alpha . how much the user used it . how rare the item is       on average alpha
items      (items, width)   --solve--> users (users, width)   --score--> users . items
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
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
        Confidence of a training event, on average; that of everything else is 1.
    power : float
        An event's confidence is divided by the number of its item's events to this power, 0 to 1: each use of what
        everybody uses says less. 0 is [1]_; .25 is worth 2 % on ml-1m and lastfm (docs/log.md).
    counts : bool
        The values of events are counts, and an event's confidence grows with log(1 + count / the user's mean count);
        else, and where there is no value, all events of a user say alike.
    iterations : int
    seed : int

    References
    ----------
    .. [1] Hu, Koren, Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets.
    """

    name = "factors"

    def __init__(
        self,
        width: int = 64,
        l2: float = 10.0,
        alpha: float = 5.0,
        power: float = 0.0,
        *,
        counts: bool = False,
        iterations: int = 12,
        seed: int = 0,
    ) -> None:
        self.width, self.l2, self.alpha = width, l2, alpha
        self.power, self.counts = power, counts
        self.iterations, self.seed = iterations, seed

    def fit(self, histories: Histories) -> Self:
        """Factorise the users' confidences."""
        uses = np.bincount(histories.items, minlength=histories.n_items)
        self.confidences_ = np.maximum(uses, 1.0).astype(np.float32) ** -self.power
        mean = float(self._weights(histories).mean()) if len(histories.items) else 1.0
        self.confidences_ *= self.alpha / mean
        model = self._library()
        with _one_blas_thread():  # implicit has its own threads
            model.fit(self._matrix(histories), show_progress=False)
        self.items_ = np.ascontiguousarray(model.item_factors)
        self.items_[uses == 0] = np.nan
        return self

    def _weights(self, histories: Histories) -> np.ndarray:
        """Return the confidence of each event (events,)."""
        weights: np.ndarray = self.confidences_[histories.items]
        return weights * _as_used(histories) if self.counts else weights

    def _matrix(self, histories: Histories) -> sparse.csr_matrix:
        return histories.matrix(self._weights(histories))

    def _library(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        with _one_blas_thread():  # else it warns
            return AlternatingLeastSquares(
                factors=self.width,
                regularization=self.l2,
                alpha=1.0,
                iterations=self.iterations,
                random_state=self.seed,
                num_threads=torch.get_num_threads(),
            )

    def users(self, histories: Histories) -> np.ndarray:
        """Return the vectors of users, solved from their pasts: (users, width) float32, 0 without events."""
        model = self._library()
        model.item_factors = np.nan_to_num(self.items_, nan=0.0)
        with _one_blas_thread():
            vectors: np.ndarray = model.recalculate_user(np.arange(histories.n_users), self._matrix(histories))
        vectors[histories.counts == 0] = 0
        return vectors

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items that were never used and for users without a past."""
        scores = self.users(histories) @ self.items_.T
        scores[histories.counts == 0] = np.nan
        return scores

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        return {"items": self.items_, "confidences": self.confidences_}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave; runs of before had the same confidence for every event."""
        self.items_ = tensors["items"]
        self.confidences_ = tensors.get("confidences", np.full(len(self.items_), self.alpha, np.float32))
        return self


def _as_used(histories: Histories) -> np.ndarray:
    """Return log2(1 + value / the user's mean value) of each event (events,): 1 for a mean one, or one without."""
    values = np.maximum(histories.values, 0)
    known = np.isfinite(values)
    total = np.bincount(histories.users[known], values[known], minlength=histories.n_users)
    means = total / np.maximum(np.bincount(histories.users[known], minlength=histories.n_users), 1)
    shares = np.where(known, values, 1.0) / np.where(known, np.maximum(means, 1e-9)[histories.users], 1.0)
    return np.log2(1 + shares).astype(np.float32)


def _one_blas_thread() -> AbstractContextManager[Any]:
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own, looked for once, when implicit has loaded its own."""
    import implicit.cpu.als  # noqa: F401

    return ThreadpoolController()
