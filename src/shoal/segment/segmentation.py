"""Segments in a frozen space: newcomers are placed where the same past was placed before.

    vectors (users, width) --unit--> minus mean --unit--> cosine to centers (k, width) --softmax--> memberships

A vector's length does not count. Users with fewer than `min_events` events, or without a direction, stay unassigned
(-1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import polars as pl

from shoal.errors import MismatchError, UnknownIdError
from shoal.segment.choose import CHOICE
from shoal.segment.parts import Parts
from shoal.segment.parts import softmax as _softmax
from shoal.segment.spherical import unit
from shoal.tables import UNASSIGNED

ALIKE = 1e-4
"""A vector of length one that lies no farther from the mean than this has no direction beside rounding."""
BLOCK_USERS = 8192  # so few that they stay in the processor's cache


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
        vectors = checked(vectors, len(self.mean))
        out, own = np.empty((len(vectors), self.n), np.float32), np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), BLOCK_USERS):
            block = slice(start, start + BLOCK_USERS)
            rows = minus_mean(vectors[block], self.mean)
            if self.parts is None:
                out[block] = _softmax(rows @ self.centers.T, self.temperature)
                own[block] = out[block].argmax(axis=1)
            else:
                out[block], own[block] = self.parts.told(rows, self.temperature, self.ids)
        return out, own

    def directions(self, vectors: np.ndarray) -> np.ndarray:
        """Return what is compared by cosine, (users, width) float32: rows of length one, without the users' mean."""
        return minus_mean(checked(vectors, len(self.mean)), self.mean)

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
        return placeable(vectors, counts, self.min_events)

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


def minus_mean(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return rows of length one without the mean; a row of zeros where nothing but rounding is left."""
    rows = unit(vectors) - mean
    rows[np.linalg.norm(rows, axis=1) < ALIKE] = 0
    return unit(rows)


def placeable(vectors: np.ndarray, counts: np.ndarray, min_events: int) -> np.ndarray:
    """Return which users have so many events, and a direction, (users,) bool."""
    if len(counts) != len(vectors):
        raise MismatchError(f"There are {len(vectors):,} user vectors and {len(counts):,} counts of events.")
    return (np.asarray(counts) >= min_events) & vectors.any(axis=1)


def checked(vectors: np.ndarray, width: int) -> np.ndarray:
    """Return vectors as float32; refuse another width, and what is no number."""
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
