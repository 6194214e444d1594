"""Batches: pasts cut at a random moment, with what came after as targets.

An epoch shows about every event once as a target. Where order means something (`order="time"`) a past is everything
before a moment and the targets are what came next; else (`order="none"`) both are random parts of the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shoal.data.histories import Histories
from shoal.model.tower import Events

Order = Literal["time", "none"]


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


@dataclass(frozen=True)
class Values:
    """How ratings or weights become numbers of spread 1 around 0: measured on training events, then frozen."""

    mean: float
    spread: float
    log: bool

    @classmethod
    def measure(cls, values: np.ndarray, *, counts: bool) -> Values:
        """Measure on (events,) values; weights (`counts`) go through log(1 + w) first."""
        known = values[np.isfinite(values)].astype(np.float64)
        known = np.log1p(np.maximum(known, 0)) if counts else known
        if not len(known):
            return cls(0.0, 1.0, counts)
        return cls(float(known.mean()), float(max(known.std(), 1e-6)), counts)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values, 0 where there is none, within -5 to 5."""
        values = np.log1p(np.maximum(values, 0)) if self.log else values
        return np.nan_to_num((values - self.mean) / self.spread).clip(-5, 5).astype(np.float32)


def pasts(histories: Histories, values: Values, at_most: int) -> tuple[Events, Tensor]:
    """Return each user's newest `at_most` events as a padded batch, and their habits (users,).

    Ages count from the user's own newest event, so that the same past always reads the same, whenever it is read.
    """
    counts = histories.counts
    length = int(min(at_most, max(counts.max(initial=0), 1)))
    index = histories.starts[1:, None] - length + np.arange(length)
    mask = index >= histories.starts[:-1, None]
    index = np.where(mask, index, 0)
    if not len(histories.items):
        blank = torch.zeros(mask.shape)
        return Events(blank.long(), blank, blank.clone(), torch.from_numpy(mask)), torch.zeros(len(counts))
    standard = values.of(histories.values)
    times = np.where(mask, histories.times[index], np.nan)
    newest = times[:, -1:]
    ages = np.log1p(np.maximum(np.nan_to_num(newest - times), 0)).astype(np.float32)
    habits = np.bincount(histories.users, weights=standard, minlength=len(counts)) / (counts + 5)
    events = Events(
        torch.from_numpy(np.where(mask, histories.items[index], 0).astype(np.int64)),
        torch.from_numpy(np.where(mask, standard[index], 0).astype(np.float32)),
        torch.from_numpy(ages),
        torch.from_numpy(mask),
    )
    return events, torch.from_numpy(habits.astype(np.float32))


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
    """Return user rows for one epoch in random order: as many draws as it takes to show each event about once."""
    times = np.where(counts >= 2, np.ceil(counts / targets), 0).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(counts)), times))


def epoch(
    histories: Histories,
    values: Values,
    rng: np.random.Generator,
    *,
    users: int,
    history: int,
    order: Order,
    relevant_from: float | None,
    targets: int = 32,
    newcomers: float = 0.03,
) -> Iterator[Batch]:
    """Yield the batches of one epoch.

    Long pasts are drawn more often than short ones (the cut is the square root of a uniform number), and in a share
    `newcomers` of the draws the past is empty, which trains the newcomer's vector.
    """
    chosen = draws(histories.counts, targets, rng)
    for first in range(0, len(chosen), users):
        part = histories.take(chosen[first : first + users])
        past, future = cut(part, rng, order=order, newcomers=newcomers)
        yield batch(past, future, values, history=history, targets=targets, relevant_from=relevant_from)


def cut(histories: Histories, rng: np.random.Generator, *, order: Order, newcomers: float) -> tuple[Histories, Histories]:
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
        histories.starts, histories.items[shuffled], histories.values[shuffled], histories.times[shuffled], histories.n_items
    )
    return histories.where(in_past), mixed.where(~in_past[shuffled])
