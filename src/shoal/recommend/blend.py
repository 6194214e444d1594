"""The blend: one score from all models, with weights learnt on held-out events and a set of them for each warmth.

    features (users, items, models)   standardised scores of each model, user by user, their far ends drawn in
    score    (users, items)           features . weights[warmth of the user]

Where trees order the best of that better, for validation users whom neither they nor the weights have seen, they do
(`shoal.recommend.boosted`).

Items that no model knows get the score of `shoal.recommend.text`, which is one of the models, on the blend's scale:

    score    (users, cold items)      text . slope[warmth of the user]

and for users without a past what their text says of the blend's own scores. Weights for cold items, learnt on warm ones
that played the cold, did worse in the end than text alone (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from shoal.data.histories import Histories
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked
from shoal.recommend.boosted import FOLDS, Boosted
from shoal.recommend.standard import compressed
from shoal.recommend.text import Text, TextMap
from shoal.recommend.tune import HeldOut
from shoal.recommend.weights import WARMTH, as_warm_as, best_weights, slope, warmth
from shoal.seeding import generator, integer

MOST_FLOATS = 60_000_000
"""Features held at once while learning; fewer users are taken where the catalogue is large."""
Tensors = dict[str, np.ndarray]
BUCKETS_BEFORE = (0, 1, 1, 2, 2, 3)
"""Which of the four warmths of runs of before each of `WARMTH` was a part of."""
FEWEST_USERS, FEWEST_FOR_TREES = 20, 100
"""Validation users of a warmth without whom nothing is learnt for it."""


@dataclass(frozen=True)
class Weighed:
    """Scores, and what they were made from.

    Attributes
    ----------
    scores : (users, items) float32
    said : list of (users, items) float32
        What each model says, on a common footing.
    weights : (users, models) float32
    """

    scores: np.ndarray
    said: list[np.ndarray]
    weights: np.ndarray

    def take(self, users: np.ndarray) -> Weighed:
        """Return the same for some users."""
        return Weighed(self.scores[users], [one[users] for one in self.said], self.weights[users])

    def parts(self, items: np.ndarray) -> np.ndarray:
        """Return what each model adds to the weighted sum of some warm items (users, n): (users, n, models)."""
        return np.stack([np.take_along_axis(one, items, 1) for one in self.said], 2) * self.weights[:, None]


class Blend:
    """A weighted sum of standardised scores.

    Parameters
    ----------
    models : list of Recommender
        Fitted. With a `Text` among them, items that the others do not know have scores.
    """

    name = "blend"

    def __init__(self, models: list[Recommender]) -> None:
        self.models = models
        self.text = next((model for model in models if isinstance(model, Text)), None)
        self._names = [model.name for model in models]
        self.weights_ = np.full((len(WARMTH) + 1, len(models)), 1 / len(models), np.float32)
        self.slopes_ = np.ones(len(self.weights_), np.float32)
        self.boosted_: Boosted | None = None
        self.by_trees_ = np.zeros(len(self.weights_), bool)
        self.story_: list[dict[str, Any]] = []
        self.trees_story_: list[dict[str, Any]] = []

    def fit(self, histories: Histories) -> Self:
        """Take note of which items are warm; models must be fitted already, weights come from `learn`."""
        self.known_ = np.bincount(histories.items, minlength=histories.n_items)
        self.warm_ = self.known_ > 0
        if self.boosted_ is not None:
            self.boosted_.fit(self.known_)
        return self

    def tensors(self) -> Tensors:
        """Return what was learnt."""
        made = {"weights": self.weights_, "slopes": self.slopes_}
        return made if self.boosted_ is None else made | self.boosted_.tensors() | {"by_trees": self.by_trees_}

    def restore(self, tensors: Tensors) -> Self:
        """Take what `tensors` gave; `fit` comes after it. Runs of before have fewer, and told fewer warmths apart."""
        buckets = np.arange(len(WARMTH) + 1) if len(tensors["weights"]) == len(WARMTH) + 1 else np.array(BUCKETS_BEFORE)
        self.weights_ = tensors["weights"][buckets]
        self.slopes_ = tensors["slopes"][buckets] if "slopes" in tensors else self.slopes_
        if "by_trees" in tensors:
            self.by_trees_ = tensors["by_trees"][buckets]
            self.boosted_ = Boosted.of(tensors)
        return self

    def learn(self, held_out: HeldOut, *, seed: int, trees: bool = True) -> Self:
        """Learn the weights of each warmth on validation users, whose pasts are cut short to play the colder ones.

        Buckets with fewer than `FEWEST_USERS` take the weights of the next warmer one.
        """
        self.learn_weights(held_out, seed=seed)
        if trees:
            self._learn_trees(held_out, seed)
        return self

    def learn_weights(self, held_out: HeldOut, *, seed: int) -> None:
        """Learn the weights alone."""
        rng, cold = generator(seed, "blend"), self._to_play_cold(seed)
        for bucket in reversed(range(len(WARMTH) + 1)):
            most = MOST_FLOATS if bucket == len(WARMTH) else MOST_FLOATS // 2
            part = self._few_enough(as_warm_as(bucket, held_out, rng), rng, most)
            if part.past.n_users >= FEWEST_USERS:
                self._learn_bucket(bucket, part, cold)
            elif bucket < len(WARMTH):
                self.weights_[bucket] = self.weights_[bucket + 1]
                self.slopes_[bucket] = self.slopes_[bucket + 1]

    def _few_enough(self, part: HeldOut, rng: np.random.Generator, most: int = MOST_FLOATS) -> HeldOut:
        """Return users with something to find, not so many that their features do not fit into memory."""
        limit = max(FEWEST_USERS, most // (len(self.models) * part.past.n_items))
        users = np.flatnonzero(part.liked.counts)
        return part.take(np.sort(rng.permutation(users)[:limit]))

    def _learn_trees(self, part: HeldOut, seed: int) -> None:
        """Learn trees, and for which warmth they do better than the weights, each judged on users not learnt from."""
        rng = generator(seed, "trees")
        part = self._few_enough(part, rng)
        bucket, who = warmth(part.past.counts), np.unique(part.asked_about, return_inverse=True)[1]
        counts = {int(one): len(np.unique(who[bucket == one])) for one in np.unique(bucket)}
        enough = {one: users for one, users in counts.items() if users >= FEWEST_FOR_TREES}
        if not enough:
            return
        fold = (rng.permutation(who.max() + 1) % FOLDS)[who]
        asked = Asked(part.past)
        said = self.said(asked)
        boosted = Boosted(Boosted.enough(part.n)).fit(self.known_)
        asking = boosted.asking(self._weighed(said, asked).scores, said, part.past)
        trees = boosted.learn(asking, part, fold, integer(seed, "trees"))
        features = np.stack(said, axis=2)
        for one, users in enough.items():
            there = np.flatnonzero(bucket == one)
            linear = self._cross_fitted(features[there], part.take(there), fold[there])
            found = {"linear": float(np.nanmean(linear)), "trees": float(np.nanmean(trees[there]))}
            self.by_trees_[one] = found["trees"] > found["linear"]
            self.trees_story_.append({"warmth": one, "users": users, **found})
        if self.by_trees_.any():
            self.boosted_ = boosted

    def _cross_fitted(self, features: np.ndarray, part: HeldOut, fold: np.ndarray) -> np.ndarray:
        """Return NDCG@n (rows,) by weights learnt from users of other folds."""
        part = replace(part, allowed=self.warm_ if part.allowed is None else part.allowed)
        quality = np.full(len(fold), np.nan)
        for k in np.unique(fold):
            learnt_from, asked = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            weights, _ = best_weights(features[learnt_from], part.take(learnt_from), self._names)
            quality[asked] = part.take(asked).ndcg_of(features[asked] @ weights)
        return quality

    def _learn_bucket(self, bucket: int, part: HeldOut, cold: tuple[np.ndarray, TextMap] | None) -> None:
        asked = Asked(part.past)
        features = np.stack(self.said(asked), axis=2)
        part = replace(part, allowed=self.warm_ if part.allowed is None else part.allowed)
        weights, story = best_weights(features, part, self._names)
        self.weights_[bucket] = weights / max(float(np.abs(weights).sum()), 1e-9)
        self.story_.append({"warmth": bucket, "users": part.past.n_users, **story})
        if self.text is not None and cold is not None:
            items, rest = cold
            total = features[:, items] @ self.weights_[bucket]
            self.slopes_[bucket] = slope(self.text.as_if_cold(asked, items, rest), total)

    def _to_play_cold(self, seed: int) -> tuple[np.ndarray, TextMap] | None:
        """Return some warm items, and the map to cold ones that has not seen them; None where there are too few."""
        if self.text is None:
            return None
        items = self.text.players(generator(seed, "cold"))
        return (items, self.text.map.without(items)) if len(items) > 1 else None

    def said(self, asked: Asked, needed: np.ndarray | None = None) -> list[np.ndarray]:
        """Return standardised scores with their ends drawn in, an array (users, items) a model.

        A model that is not `needed`, (models,) bool, is not asked and has zeros.
        """
        nothing = np.broadcast_to(np.float32(0), (asked.pasts.n_users, asked.pasts.n_items))
        wanted = np.ones(len(self.models), bool) if needed is None else needed
        return [compressed(asked.of(m)) if want else nothing for m, want in zip(self.models, wanted, strict=True)]

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); for items that no model knows, what their text says, NaN if there is no text model."""
        return self.score_asked(Asked(histories))

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return the same, from the models' scores that were asked for already."""
        return self.weigh(asked).scores

    def weigh(self, asked: Asked) -> Weighed:
        """Return the scores, and what they were made from."""
        pasts, bucket = asked.pasts, warmth(asked.pasts.counts)
        users = np.flatnonzero(self.by_trees_[bucket]) if self.boosted_ is not None else np.empty(0, np.int64)
        weighed = self._weighed(self.said(asked, np.any(self.weights_[bucket], axis=0) | (len(users) > 0)), asked)
        if self.boosted_ is not None and len(users):
            some = weighed if len(users) == pasts.n_users else weighed.take(users)
            weighed.scores[users] = self.boosted_.reorder(some.scores, some.said, pasts.take(users))
        return weighed

    def _weighed(self, said: list[np.ndarray], asked: Asked) -> Weighed:
        """Return the weighted sum; items that no model knows are NaN where there is no text model."""
        pasts, bucket = asked.pasts, warmth(asked.pasts.counts)
        weights = self.weights_[bucket]
        scores = np.zeros((pasts.n_users, pasts.n_items), np.float32)
        for place in np.flatnonzero(weights.any(0)):
            scores += weights[:, place, None] * said[place]
        cold = np.flatnonzero(~self.warm_)
        if len(cold):
            scores[:, cold] = np.nan if self.text is None else self._told(scores, cold, asked)
        return Weighed(scores, said, weights)

    def _told(self, scores: np.ndarray, cold: np.ndarray, asked: Asked) -> np.ndarray:
        """Return what text says of cold items, (users, cold); for newcomers, of the scores of the warm ones."""
        assert self.text is not None
        told: np.ndarray = self.slopes_[warmth(asked.pasts.counts), None] * asked.of(self.text)[:, cold]
        nobody = asked.pasts.counts == 0
        if nobody.any():
            known = scores[nobody][:, self.text.map.warm_]
            told[nobody] = self.text.map.carry(known, self.text.map.weights(cold))
        return told
