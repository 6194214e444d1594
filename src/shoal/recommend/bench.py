"""The bench: each model of the catalogue with the settings that do best on held-out events, and their blend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse

from shoal.config import Recommend
from shoal.data.histories import Histories
from shoal.progress import Progress
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked
from shoal.recommend.blend import Blend
from shoal.recommend.by_segment import BySegment
from shoal.recommend.by_traits import ByTraits
from shoal.recommend.factors import Factors
from shoal.recommend.item_item import ItemItem
from shoal.recommend.liked import Liked
from shoal.recommend.popularity import Popularity
from shoal.recommend.several import Several
from shoal.recommend.text import Text
from shoal.recommend.tune import HeldOut, climb
from shoal.recommend.walks import Walks
from shoal.seeding import generator, integer

RIDGES = (10.0, 30.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)
EVENNESS = ((0.0, 0.0, False), (0.5, 0.25, False), (0.5, 0.25, True))
"""Dropout, power, positive or not, of the item-item model: EASE, the best of ml-1m, that of goodbooks (docs/log.md)."""
STEPS, DISCOUNTS = (0.8, 1.0), (0.2, 0.4, 0.6)
"""Alpha and beta of the walks."""
CONFIDENCES = ((3.0, 20.0), (5.0, 10.0), (10.0, 5.0), (30.0, 3.0), (100.0, 3.0))
"""Ridge and alpha of the factors, from trusting events much to little."""
POWERS = (0.25, 0.0)
"""Of an item's events, that the confidence of the factors is divided by; the first one is tuned with."""
WIDTHS, WIDE = (64, 128, 256, 512), (30.0, 10.0)
"""Numbers of factors, and a ridge and alpha to try besides where they are many."""
TRUST = ((0.0, 1.0), (0.25, 1.0), (0.25, 0.3), (1.0, 0.3))
"""How much shared words count when cold items are told, and the ridge: from much alike texts to few but sure words."""
MOST_TOLD_FROM = 4_000
"""Items that cold ones are told from while `TRUST` is chosen; afterwards there may be more."""
MOST_SAID = 20_000_000
"""Scores that are held at once while `TRUST` is chosen."""
HALF_LIVES = (7.0, 30.0, 120.0, 365.0)
ORDER = ("popularity", "trending", "by_traits", "item_item", "walks", "factors", "sequence", "text", "by_segment")
"""Models read only those before them."""


def fit_all(models: dict[str, Recommender], everything: Histories) -> None:
    """Fit models in an order in which each finds those it reads already fitted."""
    for name in ORDER:
        if name in models:
            models[name].fit(everything)


class Bench:
    """Tunes on one training part and one question.

    Parameters
    ----------
    train : Histories
    held : HeldOut
    settings : shoal.config.Recommend
    relevant_from : float or None
    seed : int
    progress : Progress

    Attributes
    ----------
    story : dict
        What was tried, with NDCG@n, and what was chosen.
    """

    def __init__(
        self,
        train: Histories,
        held: HeldOut,
        settings: Recommend,
        relevant_from: float | None,
        seed: int,
        progress: Progress,
    ) -> None:
        self.train, self.held, self.settings = train, held, settings
        self.relevant_from, self.seed, self.progress = relevant_from, seed, progress
        self.sight: float | None = None
        self.story: dict[str, Any] = {}

    def models(
        self,
        features: np.ndarray,
        words: sparse.csr_matrix,
        sequence: Recommender,
        place: Callable[[Histories], np.ndarray],
    ) -> dict[str, Recommender]:
        """Return all single models, tuned, and fitted on the training part.

        Parameters
        ----------
        features : (items, features) float32
        words : (items, terms) sparse float32
            See `shoal.model.terms`.
        sequence : Recommender
            The trained tower.
        place : callable
            Histories -> segments (users,).
        """
        self.sight = self._what_to_see()
        everyone, popularity = self._item_item(), Popularity(seed=self.seed)
        models: dict[str, Recommender] = {"popularity": Liked(popularity, self.sight)}
        trending = self._trending()
        if trending is not None:
            models["trending"] = Liked(trending, self.sight)
        if self.train.traits is not None:
            models["by_traits"] = Liked(ByTraits(), self.sight)
        models["item_item"] = Liked(everyone, self.sight)
        models["walks"] = self._walks()
        models["factors"] = Liked(self._factors(), self.sight)
        models["sequence"] = sequence
        models["text"] = text = Text(features, [models["item_item"], models["factors"]], words)
        local = BySegment(place, everyone, popularity, sight=self.sight, seed=self.seed)
        models["by_segment"] = local
        fit_all(models, self.train)
        self._trust(text)
        local.contest(self.held.once())  # its intervals count users
        return models

    def blend(self, models: dict[str, Recommender]) -> Blend:
        """Return the blend of fitted models: all of them, but segments' models only if one won."""
        local = models["by_segment"]
        assert isinstance(local, BySegment)
        names = [n for n in models if n != "by_segment" or local.local_]
        blend = Blend([models[n] for n in names]).fit(self.train)
        blend.learn(self.held, seed=self.seed, trees=self.settings.trees and self._can_grow())
        told = {"story": blend.story_, "trees": blend.trees_story_}
        self.story["blend"] = {"models": names, "weights": blend.weights_.tolist(), **told}
        for one in blend.trees_story_:
            found = f"ndcg@{self.held.n} of weights {one['linear']:.4f}, of trees {one['trees']:.4f}"
            self.progress.log(f"tune  blend  {one['users']:,} users of warmth {one['warmth']}: {found}")
        return blend

    def _can_grow(self) -> bool:
        """Return whether LightGBM loads; where it does not, that is said, and the weights serve."""
        try:
            import lightgbm  # noqa: F401
        except (ImportError, OSError) as error:  # on Linux it expects the system's libgomp
            self.progress.warn(f"LightGBM cannot be loaded ({error}); the blend goes without trees")
            return False
        return True

    def _quality(self, model: Recommender) -> float:
        return float(np.nanmean(self.held.ndcg(model.fit(self.train).score)))

    def _what_to_see(self) -> float | None:
        """Choose between learning from liked events alone and from all events."""
        if self.relevant_from is None:
            return None
        sights = (self.relevant_from, None)
        tried = {s: self._quality(Liked(self._ease(RIDGES[3]), s)) for s in sights}
        self._tell("events seen", {"liked": tried[self.relevant_from], "all": tried[None]})
        return max(sights, key=tried.__getitem__)

    def _ease(self, l2: float, evenness: tuple[float, float, bool] = EVENNESS[0]) -> ItemItem:
        return ItemItem(l2, *evenness, max_items=self.settings.max_item_item)

    def _item_item(self) -> ItemItem:
        kinds = {kind: self._quality(Liked(self._ease(RIDGES[3], kind), self.sight)) for kind in EVENNESS}
        self._tell("item_item dropout, power, positive", kinds)
        kind = max(kinds, key=kinds.__getitem__)
        best, tried = climb(RIDGES, 3, lambda l2: self._quality(Liked(self._ease(l2, kind), self.sight)))
        self._tell("item_item l2", tried)
        return self._ease(best, kind)

    def _walks(self) -> Walks:
        """Tune the walks, which see all events: they are for those who have few."""

        def quality(alpha: float, beta: float) -> float:
            return self._quality(Walks(alpha, beta, max_items=self.settings.max_item_item))

        beta, tried = climb(DISCOUNTS, 1, lambda beta: quality(STEPS[0], beta))
        self._tell("walks beta", tried)
        alphas = {STEPS[0]: tried[beta]} | {alpha: quality(alpha, beta) for alpha in STEPS[1:]}
        self._tell("walks alpha", alphas)
        return Walks(max(alphas, key=alphas.__getitem__), beta, max_items=self.settings.max_item_item)

    def _factors(self) -> Several:
        """Tune the confidence of the factors, what it depends on, and, unless the settings say how many, their number.

        Where events carry counts, those may say how sure an event is. Where many factors do best, narrower ones may
        stand beside them.
        """

        def quality(width: int, choice: tuple[float, float], kind: tuple[float, bool]) -> float:
            return self._quality(Liked(self._als(width, choice, kind), self.sight))

        start, kind = self.settings.factors or WIDTHS[0], (POWERS[0], False)
        choice, tried = climb(CONFIDENCES, 2, lambda choice: quality(start, choice, kind))
        self._tell("factors l2, alpha", tried)
        counted = self.relevant_from is None and bool(np.isfinite(self.train.values).any())
        others = [other for other in product(POWERS, (False, True)[: 1 + counted]) if other != kind]
        kinds = {kind: tried[choice]} | {other: quality(start, choice, other) for other in others}
        self._tell("factors power, counts", kinds)
        kind = max(kinds, key=kinds.__getitem__)
        if self.settings.factors is not None:
            return Several([self._als(start, choice, kind)])
        width, wider = climb(WIDTHS, 0, lambda width: kinds[kind] if width == start else quality(width, choice, kind))
        self._tell("factors", wider)
        if width == start:
            return Several([self._als(start, choice, kind)])
        last = {choice: wider[width], WIDE: quality(width, WIDE, kind)}
        self._tell(f"{width} factors l2, alpha", last)
        choice = max(last, key=last.__getitem__)
        alone = Several([self._als(width, choice, kind)])
        beside = Several([self._als(one, choice, kind) for one in WIDTHS[: WIDTHS.index(width) + 1]])
        together = {"alone": last[choice], "beside narrower ones": self._quality(Liked(beside, self.sight))}
        self._tell(f"{width} factors", together)
        return beside if together["beside narrower ones"] > together["alone"] else alone

    def _als(self, width: int, choice: tuple[float, float], kind: tuple[float, bool]) -> Factors:
        power, counts = kind
        return Factors(width, *choice, power, counts=counts, seed=integer(self.seed, "factors"))

    def _trust(self, text: Text) -> None:
        """Choose how much cold items' words count, on warm items that all play the cold at once."""
        rng, n_items = generator(self.seed, "words"), self.held.past.n_items
        cold = text.players(rng)
        held = replace(self.held.once(), allowed=np.isin(np.arange(n_items), cold))
        held = replace(held, liked=held.liked.where(held.allowed[held.liked.items]))  # type: ignore[index]
        users = rng.permutation(np.flatnonzero(held.liked.counts))[: max(1, MOST_SAID // n_items)]
        if len(cold) < self.held.n or not len(users):
            self.progress.log("tune  cold items: too few to play them, or nobody liked any; words are not trusted")
            return
        held = held.take(np.sort(users))
        taught = text.taught(Asked(held.past))  # by models that no choice changes

        def quality(choice: tuple[float, float]) -> float:
            rest = text.map.trusting(*choice).without(cold, at_most=MOST_TOLD_FROM)
            scores = np.full((held.past.n_users, n_items), np.nan, np.float32)
            scores[:, cold] = rest.carry(taught[:, rest.warm_], rest.weights(cold))
            return float(np.nanmean(held.ndcg_of(scores)))

        has_words = text.map.words is not None and text.map.words.nnz > 0
        best, tried = climb(TRUST if has_words else ((0.0, 1.0), (0.0, 0.3)), int(has_words), quality)
        text.map.trusting(*best)
        self._tell("cold items, trust in words, l2", tried)

    def _trending(self) -> Popularity | None:
        """Return popularity with a half-life, None where there are no times."""
        if np.isnan(self.train.times).all():
            return None
        best = self.settings.half_life_days
        if best is None:
            best, tried = climb(HALF_LIVES, 2, lambda h: self._quality(Liked(Popularity(h), self.sight)))
            self._tell("half-life in days", tried)
        return Popularity(best, seed=self.seed)

    def _tell(self, what: str, tried: dict[Any, float]) -> None:
        self.story[what] = {str(k): v for k, v in tried.items()}
        told = ", ".join(f"{k}: {v:.4f}" for k, v in tried.items())
        self.progress.log(f"tune  {what}  ndcg@{self.held.n} by setting: {told}")
