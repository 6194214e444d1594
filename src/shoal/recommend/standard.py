"""Scores of different models on one footing, and the n best of them."""

from __future__ import annotations

import numpy as np
import torch

from shoal.data.histories import Histories

MOST_SCORES = 5_000_000


def standardise(scores: np.ndarray) -> np.ndarray:
    """Return scores (users, items) with mean 0 and spread 1 over each user's known items; NaN becomes 0.

    A user for whom all known scores are equal, or none is known, gets zeros: that model has nothing to say.
    """
    return _standardise(torch.from_numpy(np.array(scores, np.float32))).numpy()


def compressed(scores: np.ndarray) -> np.ndarray:
    """Return standardised scores with their far ends drawn in: sign(s) log(1 + abs(s)), standardised again.

    The order of a user's items stays. Scores of item-item models have long tails, of which a softmax over the
    catalogue makes certainties: on ml-1m the likeliest weights on plain scores find less than item-item alone does
    (docs/log.md). Where one row was broadcast to all users, so is the answer.
    """
    if len(scores) > 1 and scores.strides[0] == 0:
        return np.broadcast_to(compressed(scores[:1]), scores.shape)
    plain = _standardise(torch.from_numpy(np.array(scores, np.float32)))
    return _standardise(plain.abs().log1p_().copysign_(plain)).numpy()


def _standardise(x: torch.Tensor) -> torch.Tensor:
    """Return x (users, items) standardised, in place."""
    missing = x.isnan().sum(1, keepdim=True) if x.sum().isnan() else torch.zeros(len(x), 1)
    known = (x.shape[1] - missing).clamp_(min=1)
    x -= x.nansum(1, keepdim=True) / known
    x.nan_to_num_(0.0)
    spread = (x.square().sum(1, keepdim=True) / known).sqrt_()
    return x.div_(torch.where(spread > 1e-9, spread, 1.0))


def users_at_a_time(items: int, most: int) -> int:
    """Return how many users, 1 to `most`, to score at a time: a model's scores take 20 MB and no more."""
    return max(1, min(most, MOST_SCORES // max(items, 1)))


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
    best = torch.from_numpy(filled).topk(min(n + 1, scores.shape[1]), dim=1)
    values, rows = best.values.numpy(), best.indices.numpy()
    equal = _equals(values)  # topk takes any of those at the border, and in any order
    rows[equal, :n] = np.argsort(-filled[equal], axis=1, kind="stable")[:, :n]
    return rows[:, :n], values[:, :n]


def ordered(scores: np.ndarray) -> np.ndarray:
    """Return the places of each row's scores, the highest first; of equal ones the lower place stands first."""
    order = np.argsort(-scores, axis=1)
    equal = _equals(np.take_along_axis(scores, order, 1))
    order[equal] = np.argsort(-scores[equal], axis=1, kind="stable")  # the other kind is several times as fast
    return order


def _equals(sorted_scores: np.ndarray) -> np.ndarray:
    """Return in which rows (users,) some scores are the same."""
    return (sorted_scores[:, 1:] == sorted_scores[:, :-1]).any(1)
