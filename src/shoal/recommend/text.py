"""Text: what the scores of well-known items say about an item of which only the text is known.

    K = exp(-|f_i - f_j|^2 / 2 g^2) + trust . t_i . t_j   kernel between items: features (text, labels, numbers), words
    M = (K_warm,warm + l2 I)^-1 K_warm,all                (warm, items)
    score_all = mean + (score_warm - mean) M              kernel ridge regression of a user's scores on the items

The map from text to scores is learnt on warm items; it works for any scores, linear or not, so it carries the item-item
model, the factors, or their blend over to the cold ones.
"""

from __future__ import annotations

from threading import Lock
from typing import Self

import numpy as np
import torch
from scipy import sparse

from shoal.data.histories import Histories
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked
from shoal.recommend.item_item import most_used
from shoal.recommend.standard import standardise

SMOOTHED, CARRIED = 4_000, 10_000
"""Warm items, most used first, from which warm ones are told, and cold ones."""
BLOCK = 500
MOST_WEIGHTS = 400_000_000
"""Entries of a map. Where more than 100,000 warm items, or 40,000 cold ones, are to be told, it is from fewer."""
COLD_SHARE = 0.2
"""Share of the warm items of a map that play the cold, all at once, while something is chosen for cold ones."""


class TextMap:
    """A map from scores of warm items to scores of any items, by kernel ridge regression on item features.

    Parameters
    ----------
    features : (items, features) float32
        Text part of length 1, as made by `shoal.model.features`.
    words : (items, terms) sparse float32, optional
        Rows of length 1, as made by `shoal.model.terms`.
    trust : float
        How much a shared word counts beside near features, 0 or more.
    l2 : float
        Ridge penalty.
    width : float
        g of the kernel, in units of features. On ml-1m cold items .7 and 1 did alike, 1.4 worse (docs/log.md).
    max_items : int
        Warm items learnt from, most used first.
    """

    def __init__(
        self,
        features: np.ndarray,
        *,
        words: sparse.csr_matrix | None = None,
        trust: float = 0.0,
        l2: float = 1.0,
        width: float = 1.0,
        max_items: int = SMOOTHED,
    ) -> None:
        self.features, self.words, self.trust = features, words, trust
        self.l2, self.width, self.max_items = l2, width, max_items
        self._lock = Lock()

    def fit(self, histories: Histories, *, told: int | None = None) -> Self:
        """Take note of the items that `histories` knows; their kernel is factorised when it is first needed.

        `told` is how many items are to be told of; None: the whole catalogue.
        """
        told = histories.n_items if told is None else told
        return self.learnt_from(most_used(histories, min(self.max_items, max(1, MOST_WEIGHTS // max(told, 1)))))

    def trusting(self, trust: float, l2: float) -> Self:
        """Take other settings, and forget what was made with the last ones."""
        self.trust, self.l2 = trust, l2
        return self.learnt_from(self.warm_)

    def learnt_from(self, warm: np.ndarray) -> Self:
        """Take these rows for the warm items."""
        self.warm_ = warm
        self._factor: torch.Tensor | None = None
        self._kept: tuple[np.ndarray, np.ndarray] | None = None
        return self

    def without(self, items: np.ndarray, *, at_most: int | None = None) -> TextMap:
        """Return the map that is learnt from the warm items without these rows, and from at most so many."""
        rest = np.setdiff1d(self.warm_, items)
        if at_most is not None and len(rest) > at_most:
            rest = rest[np.linspace(0, len(rest) - 1, at_most).astype(np.int64)]
        how = {"words": self.words, "trust": self.trust, "l2": self.l2, "width": self.width}
        return TextMap(self.features, max_items=self.max_items, **how).learnt_from(rest)  # type: ignore[arg-type]

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Return M (warm, rows) for some items; those of the rows that were last asked for are kept."""
        with self._lock:  # whoever asks from another thread meanwhile waits for it
            if self._kept is None or not np.array_equal(self._kept[0], rows):
                made = torch.cholesky_solve(self._kernel(rows), self._cholesky()).numpy()
                self._kept = np.array(rows), made
            return self._kept[1]

    def carry(self, warm_scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Carry scores (users, warm) over to items: (users, items) float32. A score that is NaN counts as the mean."""
        mean = _row_means(warm_scores)
        carried: np.ndarray = mean + np.nan_to_num(warm_scores - mean) @ weights
        return carried.astype(np.float32, copy=False)

    def _cholesky(self) -> torch.Tensor:
        if self._factor is None:
            kernel = self._kernel(self.warm_)
            kernel.diagonal().add_(self.l2)
            self._factor = torch.linalg.cholesky(kernel)
        return self._factor

    def _kernel(self, rows: np.ndarray) -> torch.Tensor:
        """Return how near the warm items are to others, (warm, rows)."""
        a, b = (torch.from_numpy(self.features[part]) for part in (self.warm_, rows))
        kernel = torch.cdist(a, b).square_().div_(-2 * self.width**2).exp_()
        if self.words is not None and self.trust:
            others = self.words[rows].T.tocsr()
            for first in range(0, len(self.warm_), BLOCK):  # most pairs share a common word, so the product is dense
                shared = (self.words[self.warm_[first : first + BLOCK]] @ others).toarray()
                kernel[first : first + BLOCK] += self.trust * torch.from_numpy(shared)
        return kernel


def _row_means(scores: np.ndarray) -> np.ndarray:
    known = ~np.isnan(scores)
    means: np.ndarray = np.where(known, scores, 0).sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    return means.astype(np.float32, copy=False)


class Text:
    """Content-based recommendations: the standardised scores of other models, carried over by `TextMap`.

    Warm items are told from the most used ones by their features alone: that smooths what the teachers say. Cold ones,
    of which nothing else is known, are told from as many as there is room for, and by their words too.

    Parameters
    ----------
    features : (items, features) float32
    teachers : list of Recommender
        Fitted models of warm items whose mean standardised score is carried over.
    words : (items, terms) sparse float32, optional
        See `TextMap`.
    trust, l2 : float
    max_items : int
        Of the map to cold items; see `TextMap`.

    Attributes
    ----------
    map : TextMap
        To cold items.
    smooth : TextMap
        To warm ones.
    """

    name = "text"

    def __init__(
        self,
        features: np.ndarray,
        teachers: list[Recommender],
        words: sparse.csr_matrix | None = None,
        *,
        trust: float = 0.0,
        l2: float = 1.0,
        max_items: int = CARRIED,
    ) -> None:
        self.teachers = teachers
        self.map = TextMap(features, words=words, trust=trust, l2=l2, max_items=max_items)
        self.smooth = TextMap(features)

    def fit(self, histories: Histories) -> Self:
        """Fit the maps; the teachers must be fitted already."""
        used = np.bincount(histories.items, minlength=histories.n_items) > 0
        self.warm_, self.cold_ = np.flatnonzero(used), np.flatnonzero(~used)
        self.map.fit(histories, told=len(self.cold_))
        self.smooth.fit(histories, told=len(self.warm_))
        return self

    def players(self, rng: np.random.Generator) -> np.ndarray:
        """Return some of the warm items that cold ones are told from, to play the cold: rows, rising."""
        warm = self.map.warm_
        return np.sort(rng.permutation(warm)[: int(len(warm) * COLD_SHARE)])

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for users without a past."""
        return self.score_asked(Asked(histories))

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return the same, from the teachers' scores that were asked for already."""
        taught = self.taught(asked)
        out = np.empty_like(taught)
        for how, rows in ((self.smooth, self.warm_), (self.map, self.cold_)):
            if len(rows):
                out[:, rows] = how.carry(taught[:, how.warm_], how.weights(rows))
        out[asked.pasts.counts == 0] = np.nan
        return out

    def as_if_cold(self, asked: Asked, items: np.ndarray, rest: TextMap | None = None) -> np.ndarray:
        """Return what would be said of some warm items if they all were cold: (users, items) float32.

        `rest` is the map without them, where it is at hand.
        """
        rest = self.map.without(items) if rest is None else rest
        return rest.carry(self.taught(asked)[:, rest.warm_], rest.weights(items))

    def taught(self, asked: Asked) -> np.ndarray:
        """Return the mean standardised score of the teachers, (users, items)."""
        taught = np.stack([standardise(asked.of(t)) for t in self.teachers])
        mean: np.ndarray = taught.mean(0, dtype=np.float32)
        return mean
