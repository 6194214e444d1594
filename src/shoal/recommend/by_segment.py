"""By segment: the item-item model trained inside each segment, and back to everyone's where that is not better.

On warm users a model of a segment alone usually loses to the model of everyone (docs/log.md); so each segment has to
win on held-out events, by an interval that excludes zero, before its own model serves it. Popularity inside the
segment is compared with everyone's popularity in the same way, which says how much the segments know at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from shoal.data.histories import Histories
from shoal.recommend.asked import Asked
from shoal.recommend.item_item import ItemItem
from shoal.recommend.popularity import Popularity
from shoal.recommend.tune import HeldOut
from shoal.seeding import generator

LEAST_USERS = 30
"""A segment with fewer training users, or fewer validation users, is served by everyone's model without a contest."""
LEAST_NDCG = 1e-3
"""What everyone's popular items must find, on average, for a gain over them to be told."""


@dataclass(frozen=True)
class Verdict:
    """How a segment's own models did against everyone's on held-out events, NDCG@n.

    Attributes
    ----------
    segment, users : int
        The segment, and its validation users.
    local, everyone : float
        Item-item of the segment, and of everyone.
    low, high : float
        95 % bootstrap interval of local - everyone.
    popular_gain, popular_low, popular_high : float or None
        Popularity in the segment against everyone's, relative to the latter, with its interval; None where everyone's
        finds next to nothing (NDCG below `LEAST_NDCG`), of which any gain would be a large multiple.
    """

    segment: int
    users: int
    local: float
    everyone: float
    low: float
    high: float
    popular_gain: float | None
    popular_low: float | None
    popular_high: float | None

    @property
    def helps(self) -> bool:
        """Whether the segment's own model serves it."""
        return self.low > 0


class BySegment:
    """Item-item models by segment.

    Parameters
    ----------
    place : callable
        Histories -> segment of each user (users,), -1 for the unassigned.
    everyone : ItemItem
        Fitted on all users; serves whom no segment serves better.
    popularity : Popularity
        Fitted on all users.
    sight : float or None
        Ratings from here up are learnt from, as in `Liked`; `everyone` and `popularity` must have been fitted alike.
    seed : int
    """

    name = "by_segment"

    def __init__(
        self,
        place: Callable[[Histories], np.ndarray],
        everyone: ItemItem,
        popularity: Popularity,
        *,
        sight: float | None = None,
        seed: int = 0,
    ) -> None:
        self.place, self.everyone, self.popularity = place, everyone, popularity
        self.sight, self.seed = sight, seed
        self.verdicts_: list[Verdict] = []
        self.contested_ = False

    def fit(self, histories: Histories) -> Self:
        """Train a model in each segment with enough users; after the contest, in those that won it."""
        segments, histories = self.place(histories), histories.liked(self.sight)
        won = {v.segment for v in self.verdicts_ if v.helps}
        self.local_: dict[int, ItemItem] = {}
        self.popular_: dict[int, Popularity] = {}
        for segment in np.unique(segments[segments >= 0]):
            members = np.flatnonzero(segments == segment)
            if len(members) < LEAST_USERS:
                continue
            part = histories.take(members)
            self.popular_[int(segment)] = Popularity(self.popularity.half_life_days).fit(part)
            if segment in won or not self.contested_:
                share = len(part.items) / max(len(histories.items), 1)
                like = {name: getattr(self.everyone, name) for name in ("dropout", "power", "positive")}
                own = ItemItem(max(self.everyone.l2 * share, 1.0), **like, max_items=4_000)
                self.local_[int(segment)] = own.fit(part)
        return self

    def contest(self, held_out: HeldOut) -> Self:
        """Compare each segment's own models with everyone's on validation users, and keep the winners."""
        segments, self.contested_ = self.place(held_out.past), True
        for segment in sorted(self.popular_):
            users = np.flatnonzero((segments == segment) & (held_out.liked.counts > 0))
            if len(users) >= LEAST_USERS:
                self.verdicts_.append(self._verdict(segment, held_out.take(users)))
            if not any(v.helps for v in self.verdicts_ if v.segment == segment):
                self.local_.pop(segment, None)  # at once: what it made to give scores is large
        return self

    def _verdict(self, segment: int, part: HeldOut) -> Verdict:
        rng = generator(self.seed, "by_segment", segment)
        local, everyone = self._quality(part, self.local_[segment]), self._quality(part, self.everyone)
        low, high = np.quantile(_means(local - everyone, rng), (0.025, 0.975))
        own, all_ = self._quality(part, self.popular_[segment]), self._quality(part, self.popularity)
        means = float(local.mean()), float(everyone.mean())
        return Verdict(segment, len(local), *means, float(low), float(high), *_relative(own, all_, rng))

    def _quality(self, part: HeldOut, model: ItemItem | Popularity) -> np.ndarray:
        return part.ndcg(lambda pasts: model.score(pasts.liked(self.sight)))

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items): the segment's own model where it won, else everyone's."""
        return self.score_asked(Asked(histories))

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return the same; everyone's model is asked once for all that read it."""
        liked = asked.liked(self.sight)
        out = np.array(liked.of(self.everyone))
        if not self.local_:
            return out
        segments = self.place(asked.pasts)
        for segment, model in self.local_.items():
            users = np.flatnonzero(segments == segment)
            if len(users):
                out[users] = model.score(liked.pasts.take(users))
        return out


def _relative(own: np.ndarray, everyone: np.ndarray, rng: np.random.Generator) -> tuple[float | None, ...]:
    """Return the mean gain over everyone's, relative to it, and its interval."""
    base = float(everyone.mean())
    if base < LEAST_NDCG:
        return None, None, None
    low, high = np.quantile(_means(own - everyone, rng), (0.025, 0.975))
    return float((own - everyone).mean()) / base, float(low) / base, float(high) / base


def _means(values: np.ndarray, rng: np.random.Generator, draws: int = 1000) -> np.ndarray:
    return values[rng.integers(len(values), size=(draws, len(values)))].mean(1)
