"""Scores of different models on one footing, and the n best of them."""

from __future__ import annotations

import numpy as np

from shoal.data.histories import Histories


def standardise(scores: np.ndarray) -> np.ndarray:
    """Return scores (users, items) with mean 0 and spread 1 over each user's known items; NaN becomes 0.

    A user for whom all known scores are equal, or none is known, gets zeros: that model has nothing to say.
    """
    known = ~np.isnan(scores)
    n = np.maximum(known.sum(1, keepdims=True), 1)
    filled = np.where(known, scores, 0).astype(np.float32)
    centred = np.where(known, filled - filled.sum(1, keepdims=True) / n, 0)
    spread = np.sqrt(np.square(centred).sum(1, keepdims=True) / n)
    return (centred / np.where(spread > 1e-9, spread, 1)).astype(np.float32)


def compressed(scores: np.ndarray) -> np.ndarray:
    """Return standardised scores with their far ends drawn in: sign(s) log(1 + abs(s)), standardised again.

    The order of a user's items stays. Scores of item-item models have long tails, of which a softmax over the
    catalogue makes certainties: on ml-1m the likeliest weights on plain scores find less than item-item alone does
    (docs/log.md).
    """
    plain = standardise(scores)
    drawn = np.log1p(np.abs(plain))
    return standardise(np.copysign(drawn, plain, out=drawn))


def hide(scores: np.ndarray, histories: Histories) -> np.ndarray:
    """Return scores with each user's own items at minus infinity, in place."""
    scores[histories.users, histories.items] = -np.inf
    return scores


def top(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the n best items, best first, and their scores: (users, n) each.

    NaN ranks last but above minus infinity. Of equal scores the lower row stands first.
    """
    n = min(n, scores.shape[1])
    filled = np.where(np.isnan(scores), np.float32(-3e38), scores)
    part = np.argpartition(-filled, n - 1, axis=1)[:, :n]
    values = np.take_along_axis(filled, part, 1)
    last = values.min(1, keepdims=True)
    tied = np.flatnonzero((filled >= last).sum(1) > n)  # the border runs through equals, and any of them came in
    part[tied] = np.argsort(-filled[tied], axis=1, kind="stable")[:, :n]
    values[tied] = np.take_along_axis(filled[tied], part[tied], 1)
    order = np.lexsort((part, -values), axis=1)
    return np.take_along_axis(part, order, 1), np.take_along_axis(values, order, 1)
