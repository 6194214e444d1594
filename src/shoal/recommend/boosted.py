"""Boosted: gradient-boosted trees that put the first candidates of a blend into a better order.

    scores (users, items) --the best that a user has not had--> candidates (users, K)
    what each model says of them, and how much is known of user and item --> (users, K, features)
    LambdaMART trees --> their order; the scores change places accordingly

A linear blend weighs a model alike everywhere. Trees weigh it by where it ranks the item, by how warm user and item
are, and by what the others say. They are learnt from validation users, and judged on users they have not seen.

Source: Burges 2010, From RankNet to LambdaRank to LambdaMART, by the library LightGBM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from shoal.data.histories import Histories
from shoal.recommend.standard import hide, ordered, top
from shoal.recommend.trees import Trees
from shoal.recommend.tune import HeldOut

FOLDS = 4
CANDIDATES, PER_PLACE = 200, 3
"""Candidates of a user: so many, or so many for each place of the list, whichever is more."""
ROUNDS = 100
TREES: dict[str, Any] = {
    "objective": "lambdarank",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Asking:
    """Users with their candidates.

    Attributes
    ----------
    rows : (users, candidates) int64
        Item rows, the blend's best first.
    open : (users, candidates) bool
        False, at the end of a row, where there was nothing left to choose.
    features : (users, candidates, features) float32
    """

    rows: np.ndarray
    open: np.ndarray
    features: np.ndarray

    def take(self, users: np.ndarray) -> Asking:
        """Return the same for some users."""
        return Asking(self.rows[users], self.open[users], self.features[users])

    def order(self, trees: Trees) -> np.ndarray:
        """Return the places of candidates in the order of the trees, (users, candidates); closed ones stay last."""
        told = trees.predict(self.features.transpose(2, 0, 1).reshape(self.features.shape[2], -1))
        told = np.where(self.open, told.reshape(self.open.shape), -np.inf)
        return ordered(told)

    def best(self, trees: Trees, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the n first item rows by the trees, (users, n), and which of them are open."""
        first = self.order(trees)[:, :n]
        return np.take_along_axis(self.rows, first, 1), np.take_along_axis(self.open, first, 1)


class Boosted:
    """Trees that order candidates.

    Parameters
    ----------
    candidates : int
    trees : Trees, optional
        Learnt already.
    """

    def __init__(self, candidates: int, trees: Trees | None = None) -> None:
        self.candidates, self.trees = candidates, trees

    def fit(self, known: np.ndarray) -> Self:
        """Take note of how many training events each item has (items,); items without any are no candidates."""
        self.cold_, self.warmth_ = known == 0, np.log1p(known).astype(np.float32)
        return self

    @classmethod
    def of(cls, tensors: dict[str, np.ndarray]) -> Self:
        """Return what `tensors` gave; `fit` comes after it."""
        import lightgbm

        booster = lightgbm.Booster(model_str=tensors["trees"].tobytes().decode())
        return cls(int(tensors["candidates"][0]), Trees(booster))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the trees as LightGBM writes them, in bytes, and the number of candidates."""
        text = self._grown().booster.model_to_string(num_iteration=-1).encode()
        return {"trees": np.frombuffer(text, np.uint8), "candidates": np.array([self.candidates])}

    @staticmethod
    def enough(n: int) -> int:
        """Return how many candidates a list of n places needs."""
        return max(CANDIDATES, PER_PLACE * n)

    def asking(self, scores: np.ndarray, said: Sequence[np.ndarray], pasts: Histories) -> Asking:
        """Choose candidates, none of which is in the past, and describe them.

        Parameters
        ----------
        scores : (users, items) float32
            Of the blend.
        said : sequence of (users, items) float32
            What each model says, on a common footing.
        pasts : Histories
        """
        scores = hide(scores.copy(), pasts)
        scores[:, self.cold_] = -np.inf
        rows, values = top(scores, min(self.candidates, scores.shape[1]))
        known, usual, counts = self.warmth_[rows], self._usual(pasts)[:, None], np.log1p(pasts.counts)[:, None]
        columns = np.empty((2 * len(said) + 4, *rows.shape), np.float32)
        for place, one in enumerate(said):
            columns[2 * place] = here = np.take_along_axis(one, rows, 1)
            columns[2 * place + 1] = np.log1p(_places(here))
        for place, one in enumerate((known, known - usual, usual, counts), 2 * len(said)):
            columns[place] = one
        return Asking(rows, values > -np.inf, columns.transpose(1, 2, 0))

    def _usual(self, pasts: Histories) -> np.ndarray:
        """Return the mean warmth of the items of each past (users,); of all items where it is empty."""
        total = np.bincount(pasts.users, self.warmth_[pasts.items], minlength=pasts.n_users)
        return np.where(pasts.counts > 0, total / np.maximum(pasts.counts, 1), self.warmth_.mean())

    def learn(self, asking: Asking, held: HeldOut, fold: np.ndarray, seed: int) -> np.ndarray:
        """Learn the trees.

        Parameters
        ----------
        asking : Asking
            Validation users; one may stand in several rows, with events cut in other ways.
        held : HeldOut
            What they went on to like.
        fold : (rows,) int
            0 to FOLDS - 1: rows that are judged together, by trees learnt from the others. All rows of a user are in
            one fold.
        seed : int

        Returns
        -------
        quality : (rows,) float64
            NDCG@n of each row, by trees that have not seen its user.
        """
        features, hits = asking.features, held.hits(asking.rows)
        quality = np.full(len(fold), np.nan)
        for k in range(FOLDS):
            there, others = np.flatnonzero(fold == k), fold != k
            rows, open_ = asking.take(there).best(_grow(features[others], hits[others], held.n, seed), held.n)
            quality[there] = held.take(there).ndcg_of_lists(rows, open_)
        self.trees = _grow(features, hits, held.n, seed)
        return quality

    def _grown(self) -> Trees:
        assert self.trees is not None
        return self.trees

    def reorder(self, scores: np.ndarray, said: Sequence[np.ndarray], pasts: Histories) -> np.ndarray:
        """Return scores (users, items) in which each user's candidates have exchanged theirs by the order of the trees.

        What is no candidate, such as what a user had, keeps its score.
        """
        asking = self.asking(scores, said, pasts)
        there = np.take_along_axis(scores, asking.rows, 1)
        scores = scores.copy()
        np.put_along_axis(scores, np.take_along_axis(asking.rows, asking.order(self._grown()), 1), there, 1)
        return scores


def _places(scores: np.ndarray) -> np.ndarray:
    """Return the place of each entry in its row, 0 for the highest."""
    order = ordered(scores)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(scores.shape[1]), scores.shape), 1)
    return places


def _grow(features: np.ndarray, hits: np.ndarray, n: int, seed: int) -> Trees:
    import lightgbm

    users, candidates, width = features.shape
    settings = TREES | {"lambdarank_truncation_level": 2 * n, "seed": seed, "num_threads": torch.get_num_threads()}
    table = lightgbm.Dataset(
        features.reshape(-1, width), hits.reshape(-1).astype(np.int32), group=np.full(users, candidates)
    )
    return Trees(lightgbm.train(settings, table, ROUNDS))
