"""Text: what the scores of well-known items say about an item of which only the text is known.

    K = exp(-|f_i - f_j|^2 / 2 g^2)                 kernel between item features (text, labels, numbers)
    M = (K_warm,warm + l2 I)^-1 K_warm,all          (warm, items)
    score_all = mean + (score_warm - mean) M        kernel ridge regression of a user's scores on features

The map from text to scores is learnt on warm items; it works for any scores that are linear or not, so it carries the
item-item model, the factors, or their blend over to the cold ones.
"""

from __future__ import annotations

from threading import Lock
from typing import Self

import numpy as np
import torch

from shoal.data.histories import Histories
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked
from shoal.recommend.item_item import most_used
from shoal.recommend.standard import standardise


class TextMap:
    """A map from scores of warm items to scores of any items, by kernel ridge regression on item features.

    Parameters
    ----------
    features : (items, features) float32
        Text part of length 1, as made by `shoal.model.features`.
    l2 : float
        Ridge penalty.
    width : float
        g of the kernel, in units of features. On ml-1m cold items .7 and 1 did alike, 1.4 worse (docs/log.md).
    max_items : int
        Warm items learnt from, most used first.
    """

    def __init__(self, features: np.ndarray, *, l2: float = 1.0, width: float = 1.0, max_items: int = 4_000) -> None:
        self.features, self.l2, self.width, self.max_items = features, l2, width, max_items
        self._lock = Lock()

    def fit(self, histories: Histories) -> Self:
        """Take note of the items that `histories` knows; their kernel is factorised when it is first needed."""
        return self.learnt_from(most_used(histories, self.max_items))

    def learnt_from(self, warm: np.ndarray) -> Self:
        """Take these rows for the warm items."""
        self.warm_ = warm
        self._factor: torch.Tensor | None = None
        self._all: np.ndarray | None = None
        return self

    def without(self, items: np.ndarray) -> TextMap:
        """Return the map that is learnt from the warm items without these rows."""
        other = TextMap(self.features, l2=self.l2, width=self.width, max_items=self.max_items)
        return other.learnt_from(np.setdiff1d(self.warm_, items))

    def weights_of_all(self) -> np.ndarray:
        """Return M for all items of the catalogue, made once: (warm, items)."""
        with self._lock:  # whoever asks from another thread meanwhile waits for it
            if self._all is None:
                self._all = self.weights(self.features)
            return self._all

    def weights(self, features: np.ndarray) -> np.ndarray:
        """Return M (warm, items) for the items of these features."""
        known = torch.from_numpy(self.features[self.warm_])
        return torch.cholesky_solve(self._kernel(known, torch.from_numpy(features)), self._cholesky()).numpy()

    def carry(self, warm_scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Carry scores (users, warm) over to items: (users, items) float32. A score that is NaN counts as the mean."""
        mean = _row_means(warm_scores)
        carried: np.ndarray = mean + np.nan_to_num(warm_scores - mean) @ weights
        return carried.astype(np.float32, copy=False)

    def _cholesky(self) -> torch.Tensor:
        if self._factor is None:
            known = torch.from_numpy(self.features[self.warm_])
            kernel = self._kernel(known, known)
            kernel.diagonal().add_(self.l2)
            self._factor = torch.linalg.cholesky(kernel)
        return self._factor

    def _kernel(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(torch.cdist(a, b).square_() / (-2 * self.width**2))


def _row_means(scores: np.ndarray) -> np.ndarray:
    known = ~np.isnan(scores)
    means: np.ndarray = np.where(known, scores, 0).sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    return means.astype(np.float32, copy=False)


class Text:
    """Content-based recommendations: the standardised scores of other models, carried over by `TextMap`.

    Parameters
    ----------
    features : (items, features) float32
    teachers : list of Recommender
        Fitted models of warm items whose mean standardised score is carried over.
    """

    name = "text"

    def __init__(self, features: np.ndarray, teachers: list[Recommender]) -> None:
        self.features, self.teachers = features, teachers
        self.map = TextMap(features)

    def fit(self, histories: Histories) -> Self:
        """Fit the map; the teachers must be fitted already."""
        self.map.fit(histories)
        return self

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for users without a past."""
        return self.score_asked(Asked(histories))

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return the same, from the teachers' scores that were asked for already."""
        out = self.map.carry(self._taught(asked), self.map.weights_of_all())
        out[asked.pasts.counts == 0] = np.nan
        return out

    def as_if_cold(self, asked: Asked, items: np.ndarray) -> np.ndarray:
        """Return what would be said of some warm items if they all were cold: (users, items) float32."""
        rest = self.map.without(items)
        kept = np.isin(self.map.warm_, rest.warm_)
        return rest.carry(self._taught(asked)[:, kept], rest.weights(self.features[items]))

    def _taught(self, asked: Asked) -> np.ndarray:
        """Return the mean standardised score of the teachers, (users, warm)."""
        taught = np.stack([standardise(asked.of(t))[:, self.map.warm_] for t in self.teachers])
        mean: np.ndarray = taught.mean(0, dtype=np.float32)
        return mean
