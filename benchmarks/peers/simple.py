"""Popularity and item-to-item models: what any other model has to beat.

Sources: ItemKNN, Sarwar et al. 2001, as in `implicit`; RP3beta, Paudel et al. 2017; EASE, Steck 2019, and SLIM, Ning
and Karypis 2011, both from LensKit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from peers.task import Task

SIGHT = {"liked": (True, False)}
"""Whether only liked events are learnt from; every peer may choose."""


class Ranker:
    """A contestant for ranking.

    Attributes
    ----------
    space : dict of str to tuple
        Settings to be tried; the first of each is the default.
    """

    space: dict[str, tuple[Any, ...]] = SIGHT

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.liked: bool = settings.get("liked", True)

    def fit(self, task: Task) -> None:
        """Learn from `task.train`; a model that cannot take in new users also from `task.given`."""
        raise NotImplementedError

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        """Return scores (places, items) of users at these places in `task.asked`.

        Equal scores are ordered by popularity (`Task.lists`), so 0 throughout, for a user of whom the model knows
        nothing, asks for the most popular items; NaN leaves an item out.
        """
        raise NotImplementedError


class Popularity(Ranker):
    """Items by how many used them."""

    def fit(self, task: Task) -> None:
        self.counts = np.asarray(task.matrix(liked=self.liked).sum(0)).ravel()

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        return np.tile(self.counts, (len(places), 1))


class DecayedPopularity(Popularity):
    """Items by how many used them, recent use counting more."""

    space = SIGHT | {"half_life_days": (30.0, 7.0, 120.0, 365.0)}

    def fit(self, task: Task) -> None:
        events = task.train.liked(task.about["relevant_from"] if self.liked else None)
        if np.isnan(events.times).all():
            raise LookupError("there are no times")
        age = (np.nanmax(events.times) - events.times) / 86_400
        weight = np.nan_to_num(0.5 ** (age / self.settings["half_life_days"]))
        self.counts = np.bincount(events.items, weight, minlength=len(task.items))


class ByWeights(Ranker):
    """Scores are the past times a matrix of item-to-item weights."""

    def weights(self, task: Task) -> Any:
        """Return weights (items, items): how much row speaks for column."""
        raise NotImplementedError

    def fit(self, task: Task) -> None:
        self.made = self.weights(task)
        self.pasts = task.pasts(liked=self.liked)

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        scores = task.pasts(liked=self.liked)[places] @ self.made
        return scores.toarray() if sparse.issparse(scores) else np.asarray(scores)


class ItemKNN(ByWeights):
    """Nearest items by co-use, weighted by cosine, TF-IDF or BM25 (implicit)."""

    space = SIGHT | {"neighbours": (100, 20, 50, 200, 400), "weight": ("cosine", "tf-idf", "bm25")}

    def weights(self, task: Task) -> Any:
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

        kinds = {"cosine": CosineRecommender, "tf-idf": TFIDFRecommender, "bm25": BM25Recommender}
        model = kinds[self.settings["weight"]](K=self.settings["neighbours"], num_threads=0)
        model.fit(task.matrix(liked=self.liked), show_progress=False)
        return model.similarity.T.tocsr()


class RP3Beta(ByWeights):
    """Three-step random walks, popular ends discounted."""

    space = SIGHT | {
        "alpha": (1.0, 0.6, 0.8, 1.2, 1.4),
        "beta": (0.4, 0.2, 0.3, 0.6, 0.8),
        "neighbours": (200, 50, 100, 500),
    }

    def weights(self, task: Task) -> Any:
        alpha, beta = self.settings["alpha"], self.settings["beta"]
        uses = task.matrix(liked=self.liked)
        to_items, to_users = _steps(uses, alpha), _steps(uses.T.tocsr(), alpha)
        degree = np.asarray(uses.sum(0)).ravel()
        discount = np.where(degree > 0, np.maximum(degree, 1) ** -beta, 0)
        walks = (to_users @ to_items).multiply(discount[None, :]).tocsr()
        walks.setdiag(0)
        return _largest(walks, self.settings["neighbours"])


def _steps(matrix: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    degree = np.maximum(np.asarray(matrix.sum(1)).ravel(), 1)
    chances = matrix.multiply(1 / degree[:, None]).tocsr()
    chances.data **= alpha
    return chances


def _largest(matrix: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """Keep the n largest entries of each row."""
    for row in range(matrix.shape[0]):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(values) > n:
            values[values < np.partition(values, -n)[-n]] = 0
    matrix.eliminate_zeros()
    return matrix


def lenskit_data(task: Task, *, liked: bool) -> Any:
    """Return the training events as a LensKit data set whose items all have the task's row numbers as ids."""
    import pandas as pd
    from lenskit.data import from_interactions_df

    uses = task.matrix(liked=liked).tocoo()
    return from_interactions_df(pd.DataFrame({"user_id": uses.row, "item_id": uses.col}))


def on_all_items(weights: Any, items: Any, n: int) -> sparse.csr_matrix:
    """Return a LensKit model's weights between the task's items; those that it does not know have none."""
    rows = np.asarray(items.ids(), np.int64)
    made = sparse.coo_matrix(weights)
    return sparse.csr_matrix((made.data, (rows[made.row], rows[made.col])), shape=(n, n), dtype=np.float32)


class EASE(ByWeights):
    """A linear autoencoder in closed form (LensKit)."""

    space = SIGHT | {"regularization": (500.0, 30.0, 100.0, 250.0, 1000.0, 2500.0)}

    def weights(self, task: Task) -> Any:
        from lenskit.knn.ease import EASEConfig, EASEScorer
        from lenskit.training import TrainingOptions

        model = EASEScorer(EASEConfig(regularization=self.settings["regularization"]))
        model.train(lenskit_data(task, liked=self.liked), TrainingOptions())
        whole = np.zeros((len(task.items), len(task.items)), np.float32)
        rows = np.asarray(model.items.ids(), np.int64)
        whole[np.ix_(rows, rows)] = model.weights
        return whole


class SLIM(ByWeights):
    """A sparse linear model, an elastic net for each item (LensKit)."""

    space = SIGHT | {"l1": (1.0, 0.1, 0.5, 2.0, 5.0), "l2": (10.0, 1.0, 50.0, 200.0)}

    def weights(self, task: Task) -> Any:
        from lenskit.knn.slim import SLIMConfig, SLIMScorer
        from lenskit.training import TrainingOptions

        model = SLIMScorer(SLIMConfig(l1_reg=self.settings["l1"], l2_reg=self.settings["l2"], max_iters=30))
        model.train(lenskit_data(task, liked=self.liked), TrainingOptions())
        return on_all_items(model.weights, model.items, len(task.items))


RANKERS = {
    "popularity": Popularity,
    "decayed popularity": DecayedPopularity,
    "ItemKNN": ItemKNN,
    "RP3beta": RP3Beta,
    "EASE": EASE,
    "SLIM": SLIM,
}
