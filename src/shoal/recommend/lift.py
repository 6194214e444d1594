"""Lift: what segments know about events that nobody has seen yet, against everyone and against random segments.

    popularity in the segment    NDCG@n of the held-out likes         more is better
    share of the item in it      bits for each held-out event         fewer is better
    mean rating of the item      squared error of held-out ratings    less is better

Random segments have the same sizes and other members, several times over: what they reach comes of counting fewer
people, not of knowing them. Counts of a segment are drawn towards everyone's by a weight that is learnt from the
training events alone, each left out in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from shoal.data.histories import Histories
from shoal.recommend.standard import users_at_a_time
from shoal.recommend.tune import BLOCK_USERS, HeldOut
from shoal.seeding import generator

DRAWS = 10
"""Sets of random segments."""
RESAMPLES = 1_000
PRIORS = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
"""How many events everyone's shares, or means, may weigh beside a segment's own."""


@dataclass(frozen=True)
class Told:
    """What was measured for each held-out user; NaN where there is nothing to measure.

    Attributes
    ----------
    own, everyone : (users,) float64
        By the user's segment, and by everyone.
    random : (draws, users) float64
        By random segments, several times over.
    """

    own: np.ndarray
    random: np.ndarray
    everyone: np.ndarray


@dataclass(frozen=True)
class Lift:
    """How much better, relative, with the bounds of its 95 % interval, and for how many users that was asked."""

    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Groups:
    """Who is in which segment.

    Attributes
    ----------
    train : (training users,) int
    held : (held-out users,) int
        -1 is nobody's; such users are left out.
    n : int
    """

    train: np.ndarray
    held: np.ndarray
    n: int

    def shuffled(self, rng: np.random.Generator) -> Groups:
        """Return random segments of the same sizes."""
        return Groups(_shuffled(self.train, rng), _shuffled(self.held, rng), self.n)

    def one(self) -> Groups:
        """Return everyone in one segment."""
        return Groups(np.where(self.train >= 0, 0, -1), np.where(self.held >= 0, 0, -1), 1)

    def sums(self, pasts: Histories, values: np.ndarray | None = None) -> np.ndarray:
        """Return the sums of `values`, or the counts, of each item in each segment: (n, items) float64."""
        there = self.train[pasts.users]
        kept = there >= 0
        weights = np.ones(int(kept.sum())) if values is None else values[kept].astype(np.float64)
        cells = sparse.coo_matrix((weights, (there[kept], pasts.items[kept])), shape=(self.n, pasts.n_items))
        return cells.toarray()


def _shuffled(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels dealt anew among those who have one."""
    made = labels.copy()
    there = np.flatnonzero(labels >= 0)
    made[there] = labels[rng.permutation(there)]
    return made


def beyond(told: Told, users: np.ndarray | None = None, *, base: str = "random", less: bool = False, seed: int) -> Lift:
    """Return how much better the segments do than `base`, relative to it, and its 95 % interval.

    The interval is a bootstrap over users, each time against another draw of the random segments: two groupings that
    know nothing differ too, and by the same for all members.

    Parameters
    ----------
    told : Told
    users : (n,) int, optional
        Of whom; None: of all.
    base : str
        ``random`` or ``everyone``.
    less : bool
        Less is better: errors, bits.
    seed : int

    Returns
    -------
    Lift
        With zeros where nobody is left, or the base is zero.
    """
    own, other = told.own, np.atleast_2d(getattr(told, base))
    there = np.isfinite(own) & np.isfinite(other).all(0)
    there = np.flatnonzero(there) if users is None else users[there[users]]
    own, other = own[there], other[:, there]
    if not len(there) or other.mean() <= 0:
        return Lift(0.0, 0.0, 0.0, len(there))
    gain = (other - own if less else own - other) / other.mean()
    rng = generator(seed, "lift", len(there))
    drawn = [gain[b % len(gain), rng.integers(len(there), size=len(there))].mean() for b in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Lift(float(gain.mean()), float(low), float(high), len(there))


def ranking(groups: Groups, train: Histories, held: HeldOut, *, seed: int, draws: int = DRAWS) -> Told:
    """Return NDCG@n (users,) of lists by popularity.

    Parameters
    ----------
    groups : Groups
    train : Histories
        Liked events of the training users.
    held : HeldOut
        The held-out users; what they are shown is not offered again.
    seed, draws : int
        Of the random segments.
    """
    everyone = groups.one().sums(train)[0]
    total = max(everyone.sum(), 1.0)

    def by(kind: Groups) -> np.ndarray:
        return _ndcg(kind.sums(train) + everyone / total, kind.held, held)  # everyone's breaks ties

    return _three(by, groups, seed, draws)


def likelihood(groups: Groups, train: Histories, liked: Histories, *, seed: int, draws: int = DRAWS) -> Told:
    """Return the bits (users,) that each held-out like takes, by the shares of items in the segment.

    Shares are (count + w p) / (all + w) with everyone's share p, and w from `PRIORS`, by leaving events out in turn.
    """
    everyone = groups.one().sums(train)[0] + 0.5
    share = everyone / everyone.sum()

    def by(kind: Groups) -> np.ndarray:
        counts = kind.sums(train)
        weight = max(PRIORS, key=lambda w: _left_out(counts, share, w))
        own = kind.held[liked.users]
        p = (counts[own, liked.items] + weight * share[liked.items]) / (counts.sum(1)[own] + weight)
        return _by_user(np.where(own >= 0, -np.log2(p), np.nan), liked)

    return _three(by, groups, seed, draws)


def rating(groups: Groups, train: Histories, held: Histories, *, seed: int, draws: int = DRAWS) -> Told:
    """Return the squared error (users,) of item means in the segment, drawn towards everyone's.

    Parameters
    ----------
    train, held : Histories
        Rated events.
    """
    one = groups.one()
    sums, counts = one.sums(train, train.values)[0], one.sums(train)[0]
    middle = sums.sum() / max(counts.sum(), 1.0)
    everyone = (sums + 5.0 * middle) / (counts + 5.0)
    rest = train.values - everyone[train.items]

    def by(kind: Groups) -> np.ndarray:
        sums, counts = kind.sums(train, rest), kind.sums(train)
        weight = min(PRIORS, key=lambda w: _error_left_out(kind, train, rest, sums, counts, w))
        own = kind.held[held.users]
        moved = sums[own, held.items] / (counts[own, held.items] + weight)
        error = np.square(held.values - everyone[held.items] - moved)
        return _by_user(np.where(own >= 0, error, np.nan), held)

    def zero(kind: Groups) -> np.ndarray:
        error = np.square(held.values - everyone[held.items])
        return _by_user(np.where(kind.held[held.users] >= 0, error, np.nan), held)

    return _three(by, groups, seed, draws, everyone=zero)


def _three(
    by: Callable[[Groups], np.ndarray],
    groups: Groups,
    seed: int,
    draws: int,
    everyone: Callable[[Groups], np.ndarray] | None = None,
) -> Told:
    random = np.stack([by(groups.shuffled(generator(seed, "random segments", i))) for i in range(draws)])
    return Told(by(groups), random, (everyone or by)(groups.one()))


def _ndcg(scores: np.ndarray, segment: np.ndarray, held: HeldOut) -> np.ndarray:
    quality = np.full(len(segment), np.nan)
    users = np.flatnonzero((segment >= 0) & (held.liked.counts > 0))
    size = users_at_a_time(held.past.n_items, BLOCK_USERS)
    for first in range(0, len(users), size):
        block = users[first : first + size]
        quality[block] = held.take(block).ndcg_of(scores[segment[block]].astype(np.float32))
    return quality


def _left_out(counts: np.ndarray, share: np.ndarray, weight: float) -> float:
    """Return the mean log likelihood of the training events, each of which is not counted while it is asked for."""
    there = counts > 0
    rows, items = np.nonzero(there)
    own = counts[there]
    p = (own - 1 + weight * share[items]) / (counts.sum(1)[rows] - 1 + weight)
    return float((own * np.log(p)).sum() / own.sum())


def _error_left_out(
    groups: Groups, train: Histories, rest: np.ndarray, sums: np.ndarray, counts: np.ndarray, weight: float
) -> float:
    own = groups.train[train.users]
    kept = own >= 0
    own, items, mine = own[kept], train.items[kept], rest[kept]
    moved = (sums[own, items] - mine) / (counts[own, items] - 1 + weight)
    return float(np.square(mine - moved).mean())


def _by_user(values: np.ndarray, events: Histories) -> np.ndarray:
    """Return the mean of values (events,) for each user; NaN without events."""
    sums = np.bincount(events.users, values, minlength=events.n_users)
    return np.where(events.counts > 0, sums / np.maximum(events.counts, 1), np.nan)
