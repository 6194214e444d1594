"""What was learnt from one data set: everything needed to place, rate and recommend, in row numbers.

    pasts (Histories) --tower--> vectors --segmentation--> segments
                      --blend of models--> scores (users, items) --> the n best
                      --stack of experts--> ratings of pairs

Nothing here looks a user up: every verb reads the past that is handed in, so a user of the training data, a user who
came later and a user without any past are served by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from threadpoolctl import threadpool_limits

from shoal.config import Config
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.traits import Traits
from shoal.grouping import subsegments
from shoal.model.features import Features
from shoal.model.rater import Stack
from shoal.model.sequence import Sequence, blocks
from shoal.model.space import Space
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked
from shoal.recommend.bench import fit_all
from shoal.recommend.blend import Blend, Weighed
from shoal.recommend.by_segment import BySegment
from shoal.recommend.standard import hide, top, users_at_a_time
from shoal.segment.segmentation import Segmentation
from shoal.tables import UNASSIGNED, USER

BLOCK_USERS = 256
Lists = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Items, scores and sources, (users, n) each; see `Learnt.best`."""


def sorted_ids(table: pl.DataFrame, column: str) -> Ids:
    """Return the distinct ids of a column, sorted as strings: their rows do not depend on the order of the file."""
    return Ids(table[column].unique().cast(pl.String).sort())


def _joined(parts: Iterable[Lists]) -> Lists:
    items, scores, sources = (np.concatenate(whole) for whole in zip(*parts, strict=True))
    return items, scores, sources


def _at_once(function: Callable[[np.ndarray], list[Lists]], parts: list[np.ndarray]) -> list[list[Lists]]:
    """Return the function of each part.

    With several parts there are as many threads at work as PyTorch may use, which meanwhile has one in each: half of
    the work is in libraries that use one anyway.
    """
    threads = torch.get_num_threads()
    if min(threads, len(parts)) == 1:
        return [function(part) for part in parts]
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, parts))
    finally:
        torch.set_num_threads(threads)


@dataclass
class Learnt:
    """Fitted parts.

    Attributes
    ----------
    config : Config
    data : Dataset
        What it was learnt from, items sorted by id.
    items : Ids
        Row numbers of items.
    vectors : (items, width) float32
        Language vectors.
    features : Features
    relevant_from : float or None
        Ratings from here up are hits; None: every event is.
    sequence : Sequence
        The tower.
    segmentation : Segmentation
    models : dict of str to Recommender
        Every single model by name; the blend reads some of them.
    blend : Blend
    rater : Stack or None
        None where nobody rated.
    story : dict
        What was tried and chosen, for the manifest.
    space : Space or None
        Where users are grouped; None in a run of before, which grouped the tower's vectors.
    inside : dict of int to Segmentation
        By the number of a segment, its subsegments.
    """

    config: Config
    data: Dataset
    items: Ids
    vectors: np.ndarray
    features: Features
    relevant_from: float | None
    sequence: Sequence
    segmentation: Segmentation
    models: dict[str, Recommender]
    blend: Blend
    rater: Stack | None
    story: dict[str, Any] = field(default_factory=dict)
    space: Space | None = None
    inside: dict[int, Segmentation] = field(default_factory=dict)

    @cached_property
    def traits(self) -> Traits:
        """What the data tells of users."""
        return Traits(self.data.users)

    @property
    def by_segment(self) -> BySegment:
        """The models of the segments, with their verdicts."""
        model = self.models["by_segment"]
        assert isinstance(model, BySegment)
        return model

    def pasts(self, interactions: pl.DataFrame, users: Ids) -> Histories:
        """Return the pasts of `users`; items that are not in the catalogue are left out.

        What is told of users comes from the data's own table of users, of strangers nothing is.
        """
        made = histories(interactions, users, self.items, seed=self.config.seed)
        return replace(made, traits=self.traits.of(users)) if self.config.recommend.traits else made

    def segments(self, pasts: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Return segment (users,) int32 and strength (users,) float32."""
        return self.segmentation.assign(self.users(pasts), pasts.counts)

    def users(self, pasts: Histories) -> np.ndarray:
        """Return the vectors in which segments are found, (users, width) float32."""
        return self.sequence.users(pasts) if self.space is None else self.space.of(pasts)

    def placed(self, pasts: Histories) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return segment, strength and subsegment, (users,) each, with each past read once."""
        if self.space is None:
            segment, strength = self.segments(pasts)
            return segment, strength, self.subsegments(pasts, segment)[0]
        coarse, fine = self.space.both(pasts)
        segment, strength = self.segmentation.assign(coarse, pasts.counts)
        return segment, strength, subsegments(self.inside, segment, fine, pasts.counts)[0]

    def subsegments(self, pasts: Histories, segment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return subsegment (users,) int32 and strength (users,) float32, given segments; -1 where one is whole."""
        if self.space is None:
            return np.full(len(segment), UNASSIGNED, np.int32), np.zeros(len(segment), np.float32)
        return subsegments(self.inside, segment, self.space.both(pasts)[1], pasts.counts)

    def refit(self, data: Dataset) -> None:
        """Fit all closed-form models again, on more data; tower, weights and segments stay as they are."""
        everything = self.pasts(data.interactions, sorted_ids(data.interactions, USER))
        fit_all(self.models, everything)
        self.blend.fit(everything)
        if self.rater is not None:
            self.rater.refit(everything)
        self.data = data

    def best(
        self, pasts: Histories, n: int, *, model: str = "blend", seen: bool = False, allowed: np.ndarray | None = None
    ) -> Lists:
        """Return the n best items of each user.

        Parameters
        ----------
        pasts : Histories
        n : int
            At most the catalogue's length.
        model : str
            ``blend`` or the name of a model.
        seen : bool
            Offer what the user already had, too.
        allowed : (items,) bool, optional
            The only items to rank.

        Returns
        -------
        items : (users, n) int64
            Item rows, best first; -1 where there is nothing left to offer.
        scores : (users, n) float32
        sources : (users, n) int64
            The place in `blend.models` of the model that carried the item most; -1: the text of a cold item, or a
            single model.
        """
        return self.best_by(pasts, n, (model,), seen=seen, allowed=allowed)[model]

    def best_by(
        self, pasts: Histories, n: int, models: Iterable[str], *, seen: bool = False, allowed: np.ndarray | None = None
    ) -> dict[str, Lists]:
        """Return `best` by each of several models; what one reads of another is asked once."""
        models = tuple(models)

        def of(block: np.ndarray) -> list[Lists]:
            asked = Asked(pasts.take(block))
            return [self._best(asked, n, model, seen, allowed) for model in models]

        parts = blocks(pasts.n_users, users_at_a_time(pasts.n_items, BLOCK_USERS))
        by_model = zip(*_at_once(of, parts), strict=True)
        return {model: _joined(found) for model, found in zip(models, by_model, strict=True)}

    def _best(self, asked: Asked, n: int, model: str, seen: bool, allowed: np.ndarray | None) -> Lists:
        weighed = self.blend.weigh(asked) if model == "blend" else None
        scores = np.array(asked.of(self.models[model]), np.float32) if weighed is None else weighed.scores
        np.copyto(scores, -np.inf, where=np.isnan(scores))
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        if not seen:
            hide(scores, asked.pasts)
        items, values = top(scores, n)
        sources = np.full(items.shape, -1) if weighed is None else self._sources(weighed, items)
        return np.where(values > -np.inf, items, -1), values, sources

    def _sources(self, weighed: Weighed, items: np.ndarray) -> np.ndarray:
        return np.where(self.blend.warm_[items], weighed.parts(items).argmax(2), -1)

    def source_names(self, sources: np.ndarray) -> np.ndarray:
        """Return the words for what `best` calls sources."""
        names = np.array([*(m.name for m in self.blend.models), "text"])
        return names[sources]
