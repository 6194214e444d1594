"""Segments of users: fitted once, then frozen, so that newcomers are placed where the same past was placed before.

    vectors (users, width) --unit--> minus mean --unit--> cosine to centers (k, width) --softmax--> memberships

User vectors share a common direction (what everyone likes); taking out the mean leaves what tells users apart. A
vector's length does not count. Users with fewer than `min_events` events, or without a direction, stay unassigned (-1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from shoal.errors import MismatchError, NotEnoughDataError, UnknownIdError
from shoal.seeding import generator
from shoal.segment.choose import CHOICE, Choice, alone, choose, given
from shoal.segment.methods import grouped
from shoal.segment.near import anchors_of, near, stay
from shoal.segment.parts import Parts
from shoal.segment.parts import softmax as _softmax
from shoal.segment.spherical import TOL, improve, unit
from shoal.segment.trial import NOTHING, Evidence
from shoal.tables import UNASSIGNED

ALIKE = 1e-4
"""A vector of length one that lies no farther from the mean than this has no direction beside rounding."""

START_SAMPLE = 50_000  # starts are compared on at most so many users; the best is then run on everyone
BLOCK_USERS = 8192  # so few that they stay in the processor's cache
TEMPERATURE_USERS = 65_536
COLDEST, HOTTEST = 0.005, 5.0  # temperatures; cosines differ by at most 2


@dataclass(frozen=True)
class Segmentation:
    """Segments in a frozen space.

    Attributes
    ----------
    centers : numpy.ndarray
        (k, width) float32, rows of length one, largest segment first; one row of zeros if there is one segment.
    mean : numpy.ndarray
        (width,) float32: the mean of the users' vectors of length one, taken out before comparing.
    temperature : float
        Of the memberships; see `memberships`.
    min_events : int
        Users with fewer events are not placed.
    choice : polars.DataFrame
        Why this many: n, stability, apart, separation, smallest, verdict; see `shoal.segment.choose.choose`.
    reason : str
        The same in one sentence.
    ids : numpy.ndarray
        (k,) int32, rising: the segment that each row of `centers` belongs to; 0 to k - 1 unless given.
    parts : Parts or None
        What places users once somebody has merged or split segments; None: the centres do.
    """

    centers: np.ndarray
    mean: np.ndarray
    temperature: float
    min_events: int
    choice: pl.DataFrame
    reason: str
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    parts: Parts | None = None

    def __post_init__(self) -> None:
        if not len(self.ids):
            object.__setattr__(self, "ids", np.arange(len(self.centers), dtype=np.int32))

    @property
    def n(self) -> int:
        """Number of segments, the unassigned left out."""
        return len(self.centers)

    @property
    def method(self) -> str:
        """How the segments were found; ``kmeans`` in a run of before, too."""
        told = self.choice.filter(pl.col("verdict").is_in(["chosen", "as asked for"]))
        found = told["method"].drop_nulls() if "method" in told.columns else told["verdict"].clear()
        return str(found[0]) if len(found) else "kmeans"

    def numbered(self, ids: Sequence[int]) -> Segmentation:
        """Return the same segments under other numbers, given in the order of `centers`."""
        order = np.argsort(np.array(ids), kind="stable")
        return replace(self, centers=self.centers[order], ids=np.array(ids, np.int32)[order])

    def column(self, segment: int) -> int:
        """Return the place of a segment in `ids`, and so in `centers` and in the columns of `memberships`.

        Raises
        ------
        UnknownIdError
            There is no such segment.
        """
        if segment not in self.ids:
            raise UnknownIdError(f"There is no segment {segment}; there are {', '.join(map(str, self.ids))}.")
        return int(np.flatnonzero(self.ids == segment)[0])

    def memberships(self, vectors: np.ndarray) -> np.ndarray:
        """Return how far each user belongs to each segment: (users, k) float32, 0 to 1, a row sums to 1.

        Softmax of the cosines to the centres. Its temperature is such that, over the users of the fit, the mean of the
        largest membership is the share of users whom a refit on half of the users put into the same segment. So a
        strength of .9 says: nine of ten refits agree. It says nothing of how a user's own past might have turned out.
        """
        return self.told(vectors)[0]

    def told(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return memberships (users, k) and, for each user, the column of the segment that they are nearest to."""
        vectors = _checked(vectors, len(self.mean))
        out, own = np.empty((len(vectors), self.n), np.float32), np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), BLOCK_USERS):
            block = slice(start, start + BLOCK_USERS)
            rows = _centred(vectors[block], self.mean)
            if self.parts is None:
                out[block] = _softmax(rows @ self.centers.T, self.temperature)
                own[block] = out[block].argmax(axis=1)
            else:
                out[block], own[block] = self.parts.told(rows, self.temperature, self.ids)
        return out, own

    def directions(self, vectors: np.ndarray) -> np.ndarray:
        """Return what is compared by cosine, (users, width) float32: rows of length one, without the users' mean."""
        return _centred(_checked(vectors, len(self.mean)), self.mean)

    def assign(self, vectors: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place users.

        Parameters
        ----------
        vectors : numpy.ndarray
            (users, width).
        counts : numpy.ndarray
            (users,) events that each vector was made from.

        Returns
        -------
        segment : numpy.ndarray
            (users,) int32: the segment with the largest membership (of merged and split ones see `parts`); -1 for fewer
            than `min_events` events, or a vector of zeros.
        strength : numpy.ndarray
            (users,) float32: the membership in it; 0 for -1.

        Raises
        ------
        MismatchError
            The vectors have another width than those of the fit, or there are more or fewer counts than vectors.
        """
        memberships, own = self.told(vectors)
        placed = self.placeable(vectors, counts)
        segment = np.where(placed, self.ids[own], UNASSIGNED).astype(np.int32)
        strength = np.take_along_axis(memberships, own[:, None], axis=1)[:, 0]
        return segment, np.where(placed, strength, 0).astype(np.float32)

    def placeable(self, vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return which users can be placed, (users,) bool: they have `min_events` events, and a direction."""
        return _placeable(vectors, counts, self.min_events)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays, for storage."""
        made = {"centers": self.centers, "mean": self.mean, "ids": self.ids}
        if self.parts is not None:
            parts = self.parts
            made |= {"part_centers": parts.centers, "part_parent": parts.parent, "part_segment": parts.segment}
        return made

    def document(self) -> dict[str, Any]:
        """Return everything that is no array, for JSON."""
        return {
            "temperature": self.temperature,
            "min_events": self.min_events,
            "reason": self.reason,
            "choice": self.choice.to_dicts(),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> Self:
        """Return the segmentation that `tensors()` and `document()` came from. Runs of before have fewer tensors."""
        parts = [tensors[f"part_{name}"] for name in ("centers", "parent", "segment") if f"part_{name}" in tensors]
        return cls(
            centers=tensors["centers"],
            mean=tensors["mean"],
            temperature=document["temperature"],
            min_events=document["min_events"],
            choice=pl.DataFrame(document["choice"], schema=CHOICE, orient="row"),
            reason=document["reason"],
            ids=tensors.get("ids", np.empty(0, np.int32)),
            parts=Parts(*parts) if parts else None,
        )


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
    vectors = _checked(vectors, vectors.shape[-1])
    placed = np.flatnonzero(_placeable(vectors, counts, min_events))
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


def _centred(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return rows of length one without the mean; a row of zeros where nothing but rounding is left."""
    rows = unit(vectors) - mean
    rows[np.linalg.norm(rows, axis=1) < ALIKE] = 0
    return unit(rows)


def _rows(vectors: np.ndarray, placed: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return `_centred` rows of the users placed and the mean that was taken out; a block of users at a time."""
    blocks = np.split(placed, range(BLOCK_USERS, len(placed), BLOCK_USERS))
    mean = np.zeros(vectors.shape[1], np.float32)
    if centred:
        total = sum(unit(vectors[block]).sum(axis=0, dtype=np.float64) for block in blocks)
        mean = np.asarray(total / max(1, len(placed)), np.float32)
    rows = np.empty((len(placed), len(mean)), np.float32)
    for start, block in zip(range(0, len(placed), BLOCK_USERS), blocks, strict=False):
        rows[start : start + len(block)] = _centred(vectors[block], mean)
    return rows, mean


def _placeable(vectors: np.ndarray, counts: np.ndarray, min_events: int) -> np.ndarray:
    if len(counts) != len(vectors):
        raise MismatchError(f"There are {len(vectors):,} user vectors and {len(counts):,} counts of events.")
    return (np.asarray(counts) >= min_events) & vectors.any(axis=1)


def _checked(vectors: np.ndarray, width: int) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise MismatchError(
            f"The segments were made from vectors of width {width}; these have shape {vectors.shape}. "
            "Make them with the same model, or fit again."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        maybe = not np.isfinite(vectors.sum())  # quick, and makes no table of booleans; large numbers may overflow
    if maybe and not (finite := np.isfinite(vectors).all(axis=1)).all():
        raise ValueError(f"The vector of user row {int(np.argmin(finite))} holds NaN or infinity.")
    return vectors
