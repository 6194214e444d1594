"""Segments of users, fitted: how many, where their centres lie, and how sharp the borders between them are.

User vectors share a common direction (what everyone likes); taking out the mean leaves what tells users apart. What is
fitted is frozen: see `shoal.segment.segmentation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from shoal.errors import NotEnoughDataError
from shoal.seeding import generator
from shoal.segment.choose import Choice, alone, choose, given
from shoal.segment.methods import grouped
from shoal.segment.near import anchors_of, near, stay
from shoal.segment.parts import softmax as _softmax
from shoal.segment.segmentation import BLOCK_USERS, Segmentation, checked, minus_mean, placeable
from shoal.segment.spherical import TOL, improve, unit
from shoal.segment.trial import NOTHING, Evidence

START_SAMPLE = 50_000  # starts are compared on at most so many users; the best is then run on everyone
TEMPERATURE_USERS = 65_536
COLDEST, HOTTEST = 0.005, 5.0  # temperatures; cosines differ by at most 2


def fit_segments(
    vectors: np.ndarray,
    counts: np.ndarray,
    *,
    n: int | None,
    at_most: int,
    min_events: int,
    seed: int,
    start: np.ndarray | None = None,
    evidence: Evidence = NOTHING,
    centred: bool = True,
    methods: Sequence[str] = ("kmeans",),
) -> Segmentation:
    """Group users by their vectors.

    Parameters
    ----------
    vectors : numpy.ndarray
        (users, width) float32.
    counts : numpy.ndarray
        (users,) events that each vector was made from.
    n : int or None
        Number of segments; None chooses it from 2 to `at_most`, or 1 where users are too few or too much alike.
    min_events : int
        Users with fewer events take no part, and stay unassigned.
    seed : int
        Same seed, same segments.
    evidence : Evidence
        Vectors of the same users from halves of their events, and what held-out events say of segments: with them the
        number is chosen by both; see `shoal.segment.choose.choose`.
    centred : bool
        Take out the users' mean first. False for vectors that lie on a sphere around a place of its own already.
    methods : sequence of str
        Of `shoal.segment.methods.METHODS`; of several the one whose segments tell most and come out again.
    start : numpy.ndarray, optional
        (users,) the segment of each user in the last run, -1 for none. Centres then start from, and are held by, the
        old segments' members, and their number stays unless the evidence is clear (`shoal.segment.near.stay`). Where
        `n` is smaller than the number of old segments, all start afresh.

    Raises
    ------
    NotEnoughDataError
        `n` is larger than the number of users that can be placed, or than the number of different directions.
    MismatchError
        There are more or fewer counts than vectors.
    """
    vectors = checked(vectors, vectors.shape[-1])
    placed = np.flatnonzero(placeable(vectors, counts, min_events))
    if n is not None and n > len(placed):
        raise NotEnoughDataError(
            f"segment.n = {n}, and only {len(placed):,} of {len(vectors):,} users have the {min_events} events to be "
            f"placed. Set segment.n to at most {len(placed)}, leave it out, or lower segment.min_events."
        )
    with threadpool_limits(1, user_api="blas"):
        rows, mean = _rows(vectors, placed, centred)
        evidence = evidence.take(placed)
        anchors = None if start is None else anchors_of(rows, np.asarray(start)[placed])
        if anchors is not None and n is None:
            choice, anchors = stay(rows, anchors, at_most=at_most, seed=seed, evidence=evidence)
        else:
            choice = _number(rows, n, at_most, seed, len(vectors), min_events, evidence, methods)
        centers = _centers(rows, choice, seed, anchors)
    temperature = _temperature(rows, centers, choice.agreement)
    return Segmentation(centers, mean, temperature, min_events, choice.table, choice.reason)


def _number(
    rows: np.ndarray,
    n: int | None,
    at_most: int,
    seed: int,
    users: int,
    min_events: int,
    evidence: Evidence,
    methods: Sequence[str],
) -> Choice:
    if n is not None:
        return given(rows, n, seed=seed, evidence=evidence, methods=methods)
    if not len(rows):
        return alone(
            f"One segment, with nobody in it: none of {users:,} users has the {min_events} events to be placed."
        )
    if not rows.any():
        return alone(f"One segment: the {len(rows):,} users that can be placed all have the same vector.")
    return choose(rows, at_most=at_most, seed=seed, evidence=evidence, methods=methods)


def _centers(rows: np.ndarray, choice: Choice, seed: int, anchors: np.ndarray | None) -> np.ndarray:
    n = choice.n
    if n == 1:
        return np.zeros((1, rows.shape[1]), np.float32)
    rng = generator(seed, "segments")
    if anchors is not None and len(anchors) <= n:
        return near(rows, n, anchors, rng).centers
    part = rows
    if len(rows) > START_SAMPLE:
        part = rows[np.sort(rng.choice(len(rows), max(n, START_SAMPLE), replace=False))]
    if choice.centers is not None and len(choice.centers) == n:  # what was measured is what is used
        if choice.method != "kmeans":
            return choice.centers
        found = improve(rows, choice.centers, max_iter=100, tol=TOL)
    else:
        found = grouped(part, n, rng, choice.method)
        if choice.method == "kmeans" and part is not rows:
            found = improve(rows, found.centers, max_iter=100, tol=TOL)
    used = int(found.labels.max()) + 1
    if used < n:
        raise NotEnoughDataError(
            f"segment.n = {n}, and the {len(rows):,} users that can be placed have only {used} different vectors. "
            f"Set segment.n to at most {used}, or leave it out."
        )
    return found.centers


def _temperature(rows: np.ndarray, centers: np.ndarray, agreement: float) -> float:
    """Find, by halving, the temperature at which the mean largest membership is `agreement`; it falls with it."""
    if len(centers) == 1:
        return 1.0
    cosines = rows[:: max(1, len(rows) // TEMPERATURE_USERS)] @ centers.T
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(30):
        middle = (low + high) / 2
        sharper = _softmax(cosines, float(np.exp(middle))).max(axis=1).mean() > agreement
        low, high = (middle, high) if sharper else (low, middle)
    return float(np.exp((low + high) / 2))


def _rows(vectors: np.ndarray, placed: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return `minus_mean` rows of the users placed and the mean that was taken out; a block of users at a time."""
    blocks = np.split(placed, range(BLOCK_USERS, len(placed), BLOCK_USERS))
    mean = np.zeros(vectors.shape[1], np.float32)
    if centred:
        total = sum(unit(vectors[block]).sum(axis=0, dtype=np.float64) for block in blocks)
        mean = np.asarray(total / max(1, len(placed)), np.float32)
    rows = np.empty((len(placed), len(mean)), np.float32)
    for start, block in zip(range(0, len(placed), BLOCK_USERS), blocks, strict=False):
        rows[start : start + len(block)] = minus_mean(vectors[block], mean)
    return rows, mean
