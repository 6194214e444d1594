"""Liked: a model that learns from, and reads, only the events that were liked."""

from __future__ import annotations

from typing import Self

import numpy as np

from shoal.data.histories import Histories
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked


class Liked:
    """Hands a model the events rated `relevant_from` or better; all of them when it is None.

    What a user had and did not like is left out of sight; it still counts as seen, and is not offered.
    """

    def __init__(self, model: Recommender, relevant_from: float | None) -> None:
        self.model, self.relevant_from = model, relevant_from
        self.name = model.name

    def fit(self, histories: Histories) -> Self:
        """Fit the model on liked events."""
        self.model.fit(histories.liked(self.relevant_from))
        return self

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); see the model."""
        return self.model.score(histories.liked(self.relevant_from))

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return the same; a model that others read with the same sight is asked once."""
        return asked.liked(self.relevant_from).of(self.model)
