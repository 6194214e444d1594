"""What can rank items that nobody has used yet: nearness of texts, and maps from texts to the factors of ALS.

Items with events keep the factors that ALS found; the map, a ridge regression learnt on them, gives the others theirs
(Gantner et al. 2010). Its strength is a setting like those of ALS, and so is the power of its events with which an item
counts: factors of items that hardly anybody used are mostly penalty. Who liked nothing is served as the mean user.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from peers.factors import ALS
from peers.simple import SIGHT, Ranker
from peers.task import Task


class NearestTexts(Ranker):
    """Cosine of an item's language vector to the mean of those that a user liked, about the items' mean or not."""

    space = SIGHT | {"centred": (True, False)}

    def fit(self, task: Task) -> None:
        vectors = task.vectors().astype(np.float32)
        if self.settings["centred"]:
            vectors = vectors - vectors.mean(0)
        self.vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        self.mean = task.counts(liked=self.liked) @ self.vectors

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        users = task.pasts(liked=self.liked)[places] @ self.vectors
        users[task.strangers(liked=self.liked)[places]] = self.mean
        scores: np.ndarray = users @ self.vectors.T
        return scores


MAP = {"ridge": (1.0, 0.1, 0.3, 3.0, 10.0, 30.0), "power": (0.5, 0.0, 1.0)}


class TextsToALS(ALS):
    """ALS, with factors from texts for items without events."""

    def texts(self, task: Task) -> Any:
        """Return what is told of the items as numbers, (items, features), dense or sparse."""
        raise NotImplementedError

    def fit(self, task: Task) -> None:
        from sklearn.linear_model import Ridge

        super().fit(task)
        uses = task.matrix(liked=self.liked)
        self.mean = self.model.user_factors[uses.getnnz(1) > 0].mean(0)
        self.items = np.array(self.items)
        texts, counts = self.texts(task), task.counts(liked=self.liked)
        warm = counts > 0
        if not warm.all():
            weight = counts[warm] ** self.settings["power"]
            ridge = Ridge(alpha=self.settings["ridge"])
            ridge.fit(texts[warm], self.items[warm], sample_weight=weight / weight.mean())
            self.items[~warm] = ridge.predict(texts[~warm])

    def users(self, task: Task, places: np.ndarray) -> np.ndarray:
        users = super().users(task, places)
        users[task.strangers(liked=self.liked)[places]] = self.mean
        return users


class VectorsToALS(TextsToALS):
    """From language vectors."""

    space = ALS.space | MAP

    def texts(self, task: Task) -> np.ndarray:
        return task.vectors()


class TFIDFToALS(TextsToALS):
    """From TF-IDF of all text columns, in words or in words and pairs of words (scikit-learn)."""

    space = ALS.space | MAP | {"longest": (2, 1)}

    def texts(self, task: Task) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, self.settings["longest"])).fit_transform(task.texts())


RANKERS = {"nearest texts": NearestTexts, "TF-IDF to ALS": TFIDFToALS, "vectors to ALS": VectorsToALS}
