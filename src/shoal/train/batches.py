"""Batches: pasts cut at a random moment, with what came after as targets.

An epoch shows about every event once as a target, in large data a part of them. Where order means something
(`order="time"`) a past is everything before a moment and the targets are what came next; else (`order="none"`) both
are random parts of the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shoal.data.histories import Histories
from shoal.model.pasts import Values, pasts
from shoal.model.tower import Events

Order = Literal["time", "none"]
TARGETS = 32
"""Later events that a past has to foretell, at most."""
STEPS, LEAST_BATCH = 40, 16
"""Small data take smaller batches, so that an epoch has about so many steps, but not smaller than this."""
MOST_DRAWS = 20_000
"""Pasts in an epoch, at most: large data are looked at more often than once through."""


class Batch(NamedTuple):
    """What the network reads and what it must say.

    Attributes
    ----------
    events : Events
    habits : (users,) float32
        The user's mean value in the past, standardised, shrunken as if 5 average events came with it.
    targets : (users, targets) int64
    ratings : (users, targets) float32
        0 where unrated.
    rated, liked : (users, targets) float32
        1 where the target has a rating; 1 where it is a hit that ranking should find.
    """

    events: Events
    habits: Tensor
    targets: Tensor
    ratings: Tensor
    rated: Tensor
    liked: Tensor


def batch(
    past: Histories, future: Histories, values: Values, *, history: int, targets: int, relevant_from: float | None
) -> Batch:
    """Put pasts and what came after together; at most `targets` of the earliest later events a user."""
    events, habits = pasts(past, values, history)
    future = future.slices(future.starts[:-1], np.minimum(future.starts[:-1] + targets, future.starts[1:]))
    width = int(max(future.counts.max(initial=0), 1))
    index = future.starts[:-1, None] + np.arange(width)
    mask = index < future.starts[1:, None]
    index = np.where(mask, index, 0)
    items = np.where(mask, future.items[index] if len(future.items) else 0, 0)
    ratings = np.where(mask, future.values[index] if len(future.items) else np.nan, np.nan)
    liked = mask if relevant_from is None else mask & (np.nan_to_num(ratings, nan=-np.inf) >= relevant_from)
    return Batch(
        events,
        habits,
        torch.from_numpy(items.astype(np.int64)),
        torch.from_numpy(np.nan_to_num(ratings).astype(np.float32)),
        torch.from_numpy(np.isfinite(ratings).astype(np.float32)),
        torch.from_numpy(liked.astype(np.float32)),
    )


def draws(counts: np.ndarray, targets: int, rng: np.random.Generator) -> np.ndarray:
    """Return user rows for one epoch in random order: as many draws as it takes to show each event about once.

    At most `MOST_DRAWS`, drawn anew each epoch.
    """
    times = np.where(counts >= 2, np.ceil(counts / targets), 0).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(counts)), times))[:MOST_DRAWS]


def epoch(
    histories: Histories,
    values: Values,
    rng: np.random.Generator,
    *,
    users: int,
    history: int,
    order: Order,
    relevant_from: float | None,
    targets: int = TARGETS,
    newcomers: float = 0.03,
) -> Iterator[Batch]:
    """Yield the batches of one epoch.

    A batch holds `users` pasts, or fewer where an epoch would have less than `STEPS` steps. Long pasts are drawn more
    often than short ones (the cut is the square root of a uniform number), and in a share `newcomers` of the draws the
    past is empty, which trains the newcomer's vector.
    """
    chosen = draws(histories.counts, targets, rng)
    users = min(users, max(LEAST_BATCH, len(chosen) // STEPS))
    for first in range(0, len(chosen), users):
        part = histories.take(chosen[first : first + users])
        past, future = cut(part, rng, order=order, newcomers=newcomers)
        yield batch(past, future, values, history=history, targets=targets, relevant_from=relevant_from)


def cut(
    histories: Histories, rng: np.random.Generator, *, order: Order, newcomers: float
) -> tuple[Histories, Histories]:
    """Cut each history once: past and future, both oldest first (`order="none"`: the future in random order)."""
    counts = histories.counts
    length = np.floor(counts * np.sqrt(rng.random(len(counts)))).astype(np.int64)
    length[rng.random(len(counts)) < newcomers] = 0
    places = np.arange(len(histories.items)) - np.repeat(histories.starts[:-1], counts)
    if order == "time":
        in_past = places < np.repeat(length, counts)
        return histories.where(in_past), histories.where(~in_past)
    shuffled = np.lexsort((rng.random(len(places)), histories.users))
    in_past = np.empty(len(places), bool)
    in_past[shuffled] = places < np.repeat(length, counts)
    mixed = Histories(
        histories.starts,
        histories.items[shuffled],
        histories.values[shuffled],
        histories.times[shuffled],
        histories.n_items,
    )
    return histories.where(in_past), mixed.where(~in_past[shuffled])
