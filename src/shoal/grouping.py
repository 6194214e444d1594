"""Grouping: segments of users, and subsegments inside them, by what comes out again and what foretells.

    pasts --Space--> vectors --fit_segments, with evidence--> segments --inside each--> subsegments

The evidence is the same on both levels: vectors from halves of each user's events, and how much better popularity in
the groups finds held-out likes than popularity in random groups of the same sizes. Segments must come out much the same
from either half of the events; subsegments need not, and are to be read as what a segment is made of: small groups tell
more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from shoal.config import Segment
from shoal.data.histories import Histories
from shoal.model.space import Space, halves
from shoal.recommend.lift import Groups, beyond, likelihood, ranking
from shoal.recommend.tune import HeldOut
from shoal.seeding import generator
from shoal.segment.cluster import fit_segments
from shoal.segment.identity import Before
from shoal.segment.methods import METHODS
from shoal.segment.segmentation import Segmentation
from shoal.segment.spherical import nearest
from shoal.segment.trial import Evidence
from shoal.tables import UNASSIGNED

CUTS = 2
"""Ways in which each user's events are cut into halves."""
MOST_HELD = 1_500
"""Held-out users who are asked while numbers are tried."""
DRAWS = 5
"""Sets of random segments while numbers are tried."""
LEAST_INSIDE = 50
"""Users of a segment for each of its subsegments."""
LOOSELY, LOOSELY_STABLE = 0.3, 0.45
"""Adjusted Rand index that subsegments from halves of events, and from half of the users, must reach."""


@dataclass(frozen=True)
class Asked:
    """Who is grouped, and whom the groups are tried on.

    Attributes
    ----------
    space : Space
    train : Histories
    users : list of str
        Ids of the training users.
    held : HeldOut or None
        None: nobody's events are held out.
    relevant_from : float or None
    """

    space: Space
    train: Histories
    users: list[str]
    held: HeldOut | None
    relevant_from: float | None


def group(
    asked: Asked, settings: Segment, *, seed: int, before: Before | None
) -> tuple[Segmentation, dict[int, Segmentation]]:
    """Find segments and subsegments.

    Parameters
    ----------
    asked : Asked
    settings : shoal.config.Segment
    seed : int
    before : Before, optional
        The last run's segments: these are kept where they still are.

    Returns
    -------
    segmentation : Segmentation
    inside : dict of int to Segmentation
        By the number of a segment, what it is made of; one that is left whole is not in it. No number is used twice,
        on either level.
    """
    train = asked.train
    coarse, fine = asked.space.both(train)
    held = _some(asked.held, seed)
    asked = replace(asked, held=held)
    of_held = (None, None) if held is None else asked.space.both(held.past)
    top = fit_segments(
        coarse,
        train.counts,
        n=settings.n,
        at_most=settings.at_most,
        min_events=settings.min_events,
        seed=seed,
        start=None if before is None else before.of(asked.users),
        evidence=Evidence(_halves(asked, 0, seed), _lift(asked, coarse, of_held[0], settings, seed)),
        centred=False,
        methods=_methods(settings),
    )
    segment = top.assign(coarse, train.counts)[0]
    if before is not None:
        top = top.numbered(before.numbers(asked.users, segment, top.n))
        segment = top.assign(coarse, train.counts)[0]
    if settings.subsegments < 2:
        return top, {}
    return top, _inside(asked, top, segment, fine, of_held, settings, seed, before)


def _inside(
    asked: Asked,
    top: Segmentation,
    segment: np.ndarray,
    fine: np.ndarray,
    of_held: tuple[np.ndarray | None, np.ndarray | None],
    settings: Segment,
    seed: int,
    before: Before | None,
) -> dict[int, Segmentation]:
    held_segment = None
    if asked.held is not None and of_held[0] is not None:
        held_segment = top.assign(of_held[0], asked.held.past.counts)[0]
    found: dict[int, Segmentation] = {}
    for one in top.ids.tolist() if top.n > 1 else []:
        here = np.flatnonzero(segment == one)
        most = min(settings.subsegments, len(here) // LEAST_INSIDE)
        if most < 2:
            continue
        part = replace(asked, train=asked.train.take(here), held=None)
        vectors = None
        if held_segment is not None and asked.held is not None and of_held[1] is not None:
            there = np.flatnonzero(held_segment == one)
            part, vectors = replace(part, held=asked.held.take(there)), of_held[1][there]
        own = fine[here]
        made = fit_segments(
            own,
            part.train.counts,
            n=None,
            at_most=most,
            min_events=settings.min_events,
            seed=seed + one + 1,
            evidence=Evidence(
                _halves(part, 1, seed), _lift(part, own, vectors, settings, seed), LOOSELY, LOOSELY_STABLE
            ),
            centred=False,
        )
        if made.n > 1 and _holds(made):
            found[one] = made
    return _numbered(found, asked.users, segment, fine, asked.train.counts, top, before)


def _holds(made: Segmentation) -> bool:
    """Return whether subsegments came out again; those that did not are not worth a row."""
    chosen = next(row for row in made.choice.to_dicts() if row["n"] == made.n)
    return chosen["stability"] >= LOOSELY_STABLE and (chosen["halves"] is None or chosen["halves"] >= LOOSELY)


def _numbered(
    found: dict[int, Segmentation],
    users: list[str],
    segment: np.ndarray,
    fine: np.ndarray,
    counts: np.ndarray,
    top: Segmentation,
    before: Before | None,
) -> dict[int, Segmentation]:
    """Give subsegments numbers that no segment has, and those of the last run where they are the same still."""
    first = 1 + max(int(top.ids.max()), -1 if before is None else before.largest)
    for one, made in found.items():
        found[one] = made.numbered(range(first, first + made.n))
        first += made.n
    if before is None or before.inside is None:
        return found
    label = subsegments(found, segment, fine, counts)[0]
    order = [number for made in found.values() for number in made.ids.tolist()]
    places = {number: place for place, number in enumerate(order)}
    at = np.array([places.get(number, UNASSIGNED) for number in label.tolist()], np.int32)
    last = Before(before.inside, max(before.largest, int(top.ids.max())))
    numbers = dict(zip(order, last.numbers(users, at, len(order)), strict=True))
    return {one: made.numbered([numbers[n] for n in made.ids.tolist()]) for one, made in found.items()}


def subsegments(
    inside: dict[int, Segmentation], segment: np.ndarray, fine: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the subsegment (users,) int32 and strength (users,) float32; -1 and 0 where the segment is whole."""
    label, strength = np.full(len(segment), UNASSIGNED, np.int32), np.zeros(len(segment), np.float32)
    for one, made in inside.items():
        here = np.flatnonzero(segment == one)
        if len(here):
            label[here], strength[here] = made.assign(fine[here], counts[here])
    return label, strength


def _halves(asked: Asked, level: int, seed: int) -> Callable[[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    def of(users: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        part, pairs = asked.train.take(users), []
        for cut in range(CUTS):
            first = halves(part, generator(seed, "halves", cut))
            one, other = (asked.space.both(part.where(side))[level] for side in (first, ~first))
            pairs.append((one, other))
        return pairs

    return of


def _lift(
    asked: Asked, vectors: np.ndarray, of_held: np.ndarray | None, settings: Segment, seed: int
) -> Callable[[np.ndarray], tuple[float, float, float, float]] | None:
    """Return what says how much better groups around some centres foretell than random ones."""
    held = asked.held
    if held is None or of_held is None or not held.past.n_users:
        return None
    liked = asked.train.liked(asked.relevant_from)
    there = (asked.train.counts >= settings.min_events) & vectors.any(1)
    held_there = (held.past.counts >= settings.min_events) & of_held.any(1)

    def lift(centers: np.ndarray) -> tuple[float, float, float, float]:
        own = np.where(there, nearest(vectors, centers)[0], UNASSIGNED)
        theirs = np.where(held_there, nearest(of_held, centers)[0], UNASSIGNED)
        groups = Groups(own, theirs, len(centers))
        found = beyond(ranking(groups, liked, held, seed=seed, draws=DRAWS), seed=seed)
        bits = beyond(likelihood(groups, liked, held.liked, seed=seed, draws=DRAWS), less=True, seed=seed)
        return found.mean, found.low, bits.mean, bits.low

    return lift


def _methods(settings: Segment) -> tuple[str, ...]:
    if settings.method != "auto":
        return (settings.method,)
    return tuple(name for name in METHODS if name != "leiden" or find_spec("igraph"))


def _some(held: HeldOut | None, seed: int) -> HeldOut | None:
    if held is None:
        return None
    held = held.once()
    users = np.flatnonzero(held.liked.counts)
    if len(users) > MOST_HELD:
        users = np.sort(generator(seed, "asked").permutation(users)[:MOST_HELD])
    return replace(held.take(users), n=10) if len(users) else None
