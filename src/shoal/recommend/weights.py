"""Weights of a blend, learnt on held-out events, for users as warm as they are wanted.

The weights maximise the likelihood of what validation users went on to like, a softmax over the catalogue, which is
convex; then a short walk on NDCG@n, and a comparison with each model alone, which wins if it is better.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from shoal.data.histories import Histories, joined
from shoal.recommend.tune import HeldOut

WARMTH = (0, 1, 3, 6, 10)
"""Upper ends of the buckets of events: none, 1, 2 or 3, 4 to 6, 7 to 10, more."""
RIDGE = 1e-3
ENOUGH_USERS = 50
"""Validation users of a warmth for whom no others are cut short."""


def warmth(counts: np.ndarray) -> np.ndarray:
    """Return the bucket (0 to 5) of each number of events."""
    return np.searchsorted(WARMTH, counts)


def as_warm_as(bucket: int, held_out: HeldOut, rng: np.random.Generator) -> HeldOut:
    """Return validation users of a bucket; where they are few, warmer ones with so much of their past.

    Which part of a past is left is drawn at random, or the oldest. Of strangers all the rest is to be found. Of users
    whom the models have seen, what is cut is neither read nor offered: it would be a find, and counts as none. Whoever
    is cold in truth asks for other things than the warm with their pasts hidden: newcomers begin with what is known to
    everybody.
    """
    own = np.flatnonzero(warmth(held_out.past.counts) == bucket)
    if bucket == len(WARMTH) or len(own) >= ENOUGH_USERS:
        return held_out.take(own)
    low, high = (0 if bucket == 0 else WARMTH[bucket - 1] + 1), WARMTH[bucket]
    held_out = held_out.take(np.flatnonzero(held_out.past.counts >= max(low, 1)))
    events = joined(held_out.past, held_out.liked) if held_out.strangers else held_out.past
    shown = _drawn(events, rng.integers(low, high + 1, events.n_users), held_out.newcomers, rng)
    past = events.where(shown)
    if not held_out.strangers:
        return replace(held_out, past=past)
    return replace(held_out, past=past, seen=past, liked=events.where(~shown).liked(held_out.relevant_from))


def _drawn(events: Histories, length: np.ndarray, which: str, rng: np.random.Generator) -> np.ndarray:
    """Return which events (events,) are the `length` (users,) random or oldest ones of each user."""
    order = (
        np.arange(len(events.items)) if which == "oldest" else np.lexsort((rng.random(len(events.items)), events.users))
    )
    drawn = np.zeros(len(order), bool)
    drawn[order] = events.places < np.repeat(length, events.counts)
    return drawn


def best_weights(features: np.ndarray, part: HeldOut, names: list[str]) -> tuple[np.ndarray, dict[str, float]]:
    """Return the weights (models,) that do best on NDCG, and the NDCG of each model, of the likeliest and of the best.

    Parameters
    ----------
    features : (users, items, models) float32
        Scores of each model on a common footing.
    part : HeldOut
    names : list of str
        Of the models.
    """
    starts = dict(zip(names, np.eye(len(names), dtype=np.float32), strict=True))
    starts["likelihood"] = _most_likely(features, part)
    quality = {name: _ndcg(features, w, part) for name, w in starts.items()}
    best = max(quality, key=quality.__getitem__)
    weights, reached = _walk(features, starts[best], quality[best], part)
    return weights, {**quality, "blend": reached}


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


def slope(carried: np.ndarray, total: np.ndarray) -> float:
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
