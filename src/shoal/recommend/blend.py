"""The blend: one score from all models, with weights learnt on held-out events and a set of them for each warmth.

    features (users, items, models)   standardised scores of each model, user by user, their far ends drawn in
    score    (users, items)           features . weights[warmth of the user]

The weights maximise the likelihood of what validation users went on to like, a softmax over the catalogue, which is
convex; then a short walk on NDCG@n, and a comparison with each model alone, which wins if it is better.

Items that no model knows get each model's scores carried over by their text (`TextMap`), with weights of their own:

    score    (users, cold items)      carried scores of each model . cold weights[warmth of the user]

They are learnt in the same way, on warm items as if each were cold: its scores are what the texts of all others say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch

from shoal.data.histories import Histories
from shoal.protocols import Recommender
from shoal.recommend.asked import Asked
from shoal.recommend.standard import compressed
from shoal.recommend.text import TextMap
from shoal.recommend.tune import HeldOut
from shoal.seeding import generator

WARMTH = (0, 3, 10)
"""Upper ends of the buckets of events: none, 1 to 3, 4 to 10, more."""
MOST_FLOATS = 60_000_000
"""Features held at once while learning; fewer users are taken where the catalogue is large."""
MOST_COLD_USERS = 1_000
"""Validation users on whom the weights of cold items are learnt."""
RIDGE = 1e-3


def warmth(counts: np.ndarray) -> np.ndarray:
    """Return the bucket (0 to 3) of each number of events."""
    return np.searchsorted(WARMTH, counts)


class Blend:
    """A weighted sum of standardised scores.

    Parameters
    ----------
    models : list of Recommender
        Fitted.
    text : TextMap or None
        Fitted; serves the items that no model knows.
    """

    name = "blend"

    def __init__(self, models: list[Recommender], text: TextMap | None = None) -> None:
        self.models, self.text = models, text
        self.weights_ = np.full((len(WARMTH) + 1, len(models)), 1 / len(models), np.float32)
        self.cold_weights_ = self.weights_.copy()
        self.story_: list[dict[str, Any]] = []

    def fit(self, histories: Histories) -> Self:
        """Take note of which items are warm; models and text must be fitted already, weights come from `learn`."""
        self.warm_ = np.bincount(histories.items, minlength=histories.n_items) > 0
        self._carried: np.ndarray | None = None
        return self

    def learn(self, held_out: HeldOut, *, seed: int) -> Self:
        """Learn the weights of each warmth on validation users, whose pasts are cut short to play the colder ones.

        Buckets with fewer than 20 users take the weights of the next warmer one.
        """
        rng = generator(seed, "blend")
        for bucket in reversed(range(len(WARMTH) + 1)):
            part = _as_warm_as(bucket, held_out, rng)
            limit = max(20, MOST_FLOATS // (len(self.models) * part.past.n_items))
            users = np.flatnonzero(part.liked.counts)
            users = np.sort(rng.permutation(users)[:limit])
            if len(users) >= 20:
                self._learn_bucket(bucket, part.take(users))
            elif bucket < len(WARMTH):
                self.weights_[bucket] = self.weights_[bucket + 1]
                self.cold_weights_[bucket] = self.cold_weights_[bucket + 1]
        return self

    def _learn_bucket(self, bucket: int, part: HeldOut) -> None:
        features = self.features(part.past)
        part = replace(part, allowed=self.warm_ if part.allowed is None else part.allowed)
        weights, story = self._best_weights(features, part)
        self.weights_[bucket] = weights / max(float(np.abs(weights).sum()), 1e-9)
        self.cold_weights_[bucket] = self.weights_[bucket]
        self.story_.append({"warmth": bucket, "users": part.past.n_users, **story})
        if self.text is not None:
            self._learn_cold(bucket, features[:MOST_COLD_USERS], part.take(np.arange(len(features))[:MOST_COLD_USERS]))

    def _learn_cold(self, bucket: int, features: np.ndarray, part: HeldOut) -> None:
        """Learn the weights of cold items; `features` of warm items are overwritten as if each item were cold."""
        assert self.text is not None
        warm = self.text.warm_
        total = features[:, warm] @ self.weights_[bucket]
        for place in range(len(self.models)):
            features[:, warm, place] = self.text.left_out(features[:, warm, place])
        known = np.zeros(features.shape[1], bool)
        known[warm] = True
        weights, story = self._best_weights(features, replace(part, allowed=known & part.allowed))
        self.cold_weights_[bucket] = weights * _slope(features[:, warm] @ weights, total)
        self.story_[-1]["as if cold"] = story

    def _best_weights(self, features: np.ndarray, part: HeldOut) -> tuple[np.ndarray, dict[str, float]]:
        """Return the weights that do best on NDCG, and the NDCG of each model alone, of the likeliest, and of them."""
        starts = {m.name: np.eye(len(self.models), dtype=np.float32)[i] for i, m in enumerate(self.models)}
        starts["likelihood"] = _most_likely(features, part)
        quality = {name: _ndcg(features, w, part) for name, w in starts.items()}
        best = max(quality, key=quality.__getitem__)
        weights, reached = _walk(features, starts[best], quality[best], part)
        return weights, {**quality, "blend": reached}

    def features(self, histories: Histories) -> np.ndarray:
        """Return the standardised scores of each model with their ends drawn in, (users, items, models)."""
        asked = Asked(histories)
        return np.stack([compressed(asked.of(m)) for m in self.models], axis=2)

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); for items that no model knows, what their text says, NaN if there is no text map."""
        return self.score_asked(Asked(histories))

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return the same, from the models' scores that were asked for already."""
        return self.total(self.parts(asked))

    def parts(self, asked: Asked) -> np.ndarray:
        """Return what each model adds to the score, (users, items, models); a model without weight is not asked."""
        pasts = asked.pasts
        bucket = warmth(pasts.counts)
        weights, cold_weights = self.weights_[bucket], self.cold_weights_[bucket]
        parts = np.zeros((pasts.n_users, pasts.n_items, len(self.models)), np.float32)
        cold = np.flatnonzero(~self.warm_)
        for place, model in enumerate(self.models):
            carried = self.text is not None and len(cold) > 0 and cold_weights[:, place].any()
            if weights[:, place].any() or carried:
                scores = compressed(asked.of(model))
                parts[:, :, place] = weights[:, place, None] * scores
                if carried:
                    parts[:, cold, place] = cold_weights[:, place, None] * self._carry(scores, cold)
        return parts

    def _carry(self, scores: np.ndarray, cold: np.ndarray) -> np.ndarray:
        assert self.text is not None
        if self._carried is None:
            self._carried = self.text.weights(self.text.features[cold])
        return self.text.carry(scores[:, self.text.warm_], self._carried)

    def total(self, parts: np.ndarray) -> np.ndarray:
        """Add `parts` up: (users, items); items that no model knows are NaN where there is no text map."""
        scores: np.ndarray = parts.sum(2)
        if self.text is None:
            scores[:, ~self.warm_] = np.nan
        return scores


def _as_warm_as(bucket: int, held_out: HeldOut, rng: np.random.Generator) -> HeldOut:
    """Return validation users with so much of their past that they fall into `bucket`, at random which part.

    What is cut from a past is neither read nor offered: it would be a find, and counts as none.
    """
    if bucket == len(WARMTH):
        users = np.flatnonzero(warmth(held_out.past.counts) == bucket)
        return held_out.take(users)
    low, high = (0 if bucket == 0 else WARMTH[bucket - 1] + 1), WARMTH[bucket]
    held_out = held_out.take(np.flatnonzero(held_out.past.counts >= max(low, 1)))
    past = held_out.past
    length = rng.integers(low, high + 1, past.n_users)
    order = np.lexsort((rng.random(len(past.items)), past.users))
    places = np.arange(len(order)) - np.repeat(past.starts[:-1], past.counts)
    shown = np.zeros(len(order), bool)
    shown[order] = places < np.repeat(length, past.counts)
    return HeldOut(past.where(shown), held_out.seen, held_out.liked, held_out.n, held_out.allowed)


def _most_likely(features: np.ndarray, part: HeldOut) -> np.ndarray:
    """Return the weights under which the liked items are most likely, by softmax over what may be offered."""
    x = torch.from_numpy(features)
    closed = torch.zeros(x.shape[:2])
    closed[part.seen.users, part.seen.items.astype(np.int64)] = -torch.inf
    if part.allowed is not None:
        closed[:, torch.from_numpy(~part.allowed)] = -torch.inf
    users, items = torch.from_numpy(part.liked.users), torch.from_numpy(part.liked.items.astype(np.int64))
    open_ = torch.isfinite(closed[users, items])
    users, items = users[open_], items[open_]
    each = 1 / torch.bincount(users, minlength=len(x))[users].float()  # users count alike, as in NDCG
    weights = torch.full((x.shape[2],), 0.5, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = (x @ weights + closed).log_softmax(1)
        value = -(each * logits[users, items]).sum() / len(x) + RIDGE * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    if len(users):
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().numpy()


def _slope(carried: np.ndarray, total: np.ndarray) -> float:
    """Return what carried scores are multiplied by to stand beside the blend's own: least squares, 0 or more."""
    x, y = (scores - scores.mean(1, keepdims=True) for scores in (carried, total))
    return max(float((x * y).sum()) / max(float(np.square(x).sum()), 1e-9), 0.0)


def _ndcg(features: np.ndarray, weights: np.ndarray, part: HeldOut) -> float:
    return float(np.nanmean(part.ndcg_of(features @ weights)))


def _walk(features: np.ndarray, weights: np.ndarray, reached: float, part: HeldOut) -> tuple[np.ndarray, float]:
    """Change one weight at a time where that lifts NDCG; two rounds of four steps a weight."""
    size = max(float(np.abs(weights).max()), 1e-6)
    for scale in (0.4, 0.15):
        for place in range(len(weights)):
            for step in (scale * size, -scale * size):
                trial = weights.copy()
                trial[place] += step
                quality = _ndcg(features, trial, part)
                if quality > reached + 1e-5:
                    weights, reached = trial, quality
                    break
    return weights, reached
