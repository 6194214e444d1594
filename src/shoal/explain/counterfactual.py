"""Counterfactual: the fewest events whose loss, or gain, would put a user into another segment.

past --leave out, or add, the one event that helps most--> past' --place again--> ... until the segment is the other
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from shoal.data.histories import Histories, stacked
from shoal.explain.edits import subsets, with_each
from shoal.tables import ITEM, SEGMENT, STRENGTH

MOST_STEPS = 30
NEWEST = 100  # events that may be left out: the newest that are still there
BLOCK = 256
REMOVE, ADD = "remove", "add"

Place = Callable[[Histories], tuple[np.ndarray, np.ndarray]]
"""Histories -> memberships (users, k), and segment (users,), -1 for those that cannot be placed."""

STEPS = {
    "step": pl.Int32(),
    "action": pl.String(),
    ITEM: pl.String(),
    "value": pl.Float32(),
    STRENGTH: pl.Float32(),
    SEGMENT: pl.Int32(),
}
"""The columns of a way on the way out: what is done, and the membership of the other segment and the segment after."""


@dataclass(frozen=True)
class Step:
    """One event less or more.

    Attributes
    ----------
    action : {"remove", "add"}
    item : int
        Item row.
    value : float
        The rating or count of the event; NaN for none.
    strength : float
        Membership of the segment that is wanted, after this step.
    segment : int
        Where the user is after it.
    """

    action: str
    item: int
    value: float
    strength: float
    segment: int


@dataclass(frozen=True)
class Way:
    """What would put a user into another segment.

    Attributes
    ----------
    steps : tuple of Step
    past : Histories
        The changed past, of one user.
    arrived : bool
        Whether `past`, placed anew as a whole, is in the segment that is wanted.
    """

    steps: tuple[Step, ...]
    past: Histories
    arrived: bool


def fewest(
    past: Histories,
    place: Place,
    wanted: int,
    *,
    items: np.ndarray,
    values: np.ndarray,
    most: int = MOST_STEPS,
) -> Way:
    """Find a short way into a segment: by removals alone, by additions alone, or by both; the shortest is returned.

    Parameters
    ----------
    past : Histories
        Of one user.
    place : callable
        How any past is placed.
    wanted : int
        The segment to get into.
    items, values : (n,)
        Item rows that may be added, each once and none that is in the past, with the value that each would get.
    most : int
        Steps, at most.

    Returns
    -------
    Way
        Of ways of one length removals win over additions, and these over both. No step if the user is there already.
        A way that does not arrive is returned only if none does: the one that comes nearest. A removal that would
        leave too few events to be placed is not tried. A way of one step is the shortest there is among the events
        and items that may be used; longer ones are found greedily, each step the best one of all, and then every step
        without which the user arrives too is taken back.
    """
    if int(place(past)[1][0]) == wanted:
        return Way((), past, True)
    new = ~np.isin(items, past.items)
    items, values = items[new], values[new].astype(np.float32)
    ways: list[Way] = []
    for actions in ((REMOVE,), (ADD,), (REMOVE, ADD)):
        best = min((len(w.steps) for w in ways if w.arrived), default=most + 1)
        ways.append(_greedy(past, place, wanted, actions, items, values, min(most, best - 1)))
    there = [w for w in ways if w.arrived]
    if there:
        return min(there, key=lambda w: len(w.steps))
    return max(ways, key=lambda w: w.steps[-1].strength if w.steps else -1.0)


def _greedy(
    past: Histories,
    place: Place,
    wanted: int,
    actions: tuple[str, ...],
    items: np.ndarray,
    values: np.ndarray,
    most: int,
) -> Way:
    state = _State(past, np.ones(len(past.items), bool), [])
    for _ in range(most):
        moves = _moves(state, actions, items)
        if not moves:
            break
        tried = [state.after(move, items) for move in moves]
        memberships, segments = _placed(place, [one.made(items, values) for one in tried])
        open_ = np.flatnonzero(segments >= 0)
        if not len(open_):
            break
        margin = _margin(memberships, segments, wanted)
        best = int(open_[np.argmax(margin[open_])])
        state = tried[best]
        if segments[best] == wanted:
            return _told(_pruned(state, place, wanted, items, values), place, wanted, items, values)
    return _told(state, place, wanted, items, values)


@dataclass(frozen=True)
class _State:
    """A past of which some events are kept, and some items added, in the order in which that was done."""

    past: Histories
    keep: np.ndarray
    done: list[tuple[str, int]]  # (remove, place in the past) or (add, place in the items)

    def after(self, move: tuple[str, int], items: np.ndarray) -> _State:
        keep = self.keep
        if move[0] == REMOVE:
            keep = keep.copy()
            keep[move[1]] = False
        return _State(self.past, keep, [*self.done, move])

    def made(self, items: np.ndarray, values: np.ndarray) -> Histories:
        """Return the past itself."""
        made = subsets(self.past, self.keep[None])
        for action, place in self.done:
            if action == ADD:
                made = with_each(made, items[place : place + 1], values[place : place + 1])
        return made


def _moves(state: _State, actions: tuple[str, ...], items: np.ndarray) -> list[tuple[str, int]]:
    moves: list[tuple[str, int]] = []
    if REMOVE in actions:
        moves += [(REMOVE, int(e)) for e in np.flatnonzero(state.keep)[-NEWEST:]]
    if ADD in actions:
        taken = {place for action, place in state.done if action == ADD}
        moves += [(ADD, place) for place in range(len(items)) if place not in taken]
    return moves


def _placed(place: Place, pasts: list[Histories]) -> tuple[np.ndarray, np.ndarray]:
    parts = [place(stacked(pasts[first : first + BLOCK])) for first in range(0, len(pasts), BLOCK)]
    return np.concatenate([m for m, _ in parts]), np.concatenate([s for _, s in parts])


def _margin(memberships: np.ndarray, segments: np.ndarray, wanted: int) -> np.ndarray:
    """Return by how much the wanted segment leads, in log-odds against the strongest other; having arrived wins."""
    logs = np.log(np.maximum(memberships, 1e-30))
    others = np.delete(logs, wanted, axis=1)
    lead = logs[:, wanted] - others.max(1)
    return np.where(segments == wanted, lead + 1e3, lead)


def _pruned(state: _State, place: Place, wanted: int, items: np.ndarray, values: np.ndarray) -> _State:
    """Take back each step without which the user arrives too, the first one first."""
    for step in list(state.done)[:-1]:
        less = [one for one in state.done if one != step]
        keep = np.ones(len(state.keep), bool)
        keep[[e for action, e in less if action == REMOVE]] = False
        without = _State(state.past, keep, less)
        if int(place(without.made(items, values))[1][0]) == wanted:
            state = without
    return state


def _told(state: _State, place: Place, wanted: int, items: np.ndarray, values: np.ndarray) -> Way:
    """Go the way once more, step by step, and say where each leads."""
    now = _State(state.past, np.ones(len(state.keep), bool), [])
    steps, pasts = [], []
    for move in state.done:
        now = now.after(move, items)
        pasts.append(now.made(items, values))
    for (action, where), past in zip(state.done, pasts, strict=True):
        memberships, segments = place(past)
        item, value = (state.past.items, state.past.values) if action == REMOVE else (items, values)
        strength = float(memberships[0, wanted])
        steps.append(Step(action, int(item[where]), float(value[where]), strength, int(segments[0])))
    arrived = bool(steps) and steps[-1].segment == wanted
    return Way(tuple(steps), pasts[-1] if pasts else state.past, arrived)
