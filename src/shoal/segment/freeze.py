"""Any grouping, frozen as spherical k-means is: a mean direction a group, and each row with the nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoal.segment.spherical import Clusters, by_size, nearest, unit

NOWHERE = -1  # of a row that is in no group


@dataclass(frozen=True)
class Found:
    """The group of each row, `NOWHERE` for none, and how the search for it went."""

    labels: np.ndarray
    n_iter: int = 0
    converged: bool = True


def of_labels(rows: np.ndarray, labels: np.ndarray, *, n_iter: int = 0, converged: bool = True) -> Clusters:
    """Freeze any grouping: the mean direction of each group becomes a centre, each row goes to the nearest.

    Centres that are nearest to no row are left out, so there may be fewer than groups. A group whose rows cancel out
    has its first row as centre; without any group, everyone is one. A row of zeros is in none.

    Parameters
    ----------
    rows : numpy.ndarray
        (rows, width), one or more, of length one or zero.
    labels : numpy.ndarray
        (rows,) the group of each row by any numbers; below 0 for none.
    n_iter, converged : int, bool
        How the search for the groups went; told on.
    """
    labels = np.where(rows.any(axis=1), labels, NOWHERE)
    groups = [labels == one for one in np.unique(labels[labels >= 0])]
    centers = np.stack([_direction(rows[group]) for group in groups] or [_direction(rows)])
    near, cosine = nearest(rows, centers)
    order = by_size(near, len(centers))
    order = order[: len(np.unique(near))]
    rank = np.zeros(len(centers), np.int32)
    rank[order] = np.arange(len(order))
    return Clusters(centers[order], rank[near], float(np.sum(1 - cosine.astype(np.float64))), n_iter, converged)


def frozen(rows: np.ndarray, n: int, rng: np.random.Generator, find: Callable[..., Found], *, at_most: int) -> Clusters:
    """Let `find` group a sample of the rows that point somewhere, and freeze what it finds."""
    picked = np.flatnonzero(rows.any(axis=1))
    if len(picked) > at_most:
        picked = np.sort(rng.choice(picked, at_most, replace=False))
    labels = np.full(len(rows), NOWHERE)
    if n < 2 or len(picked) <= n:  # nothing to look for
        labels[picked] = 0 if n < 2 else np.arange(len(picked))
        return of_labels(rows, labels)
    found = find(rows[picked], n, rng)
    labels[picked] = found.labels
    return of_labels(rows, labels, n_iter=found.n_iter, converged=found.converged)


def _direction(rows: np.ndarray) -> np.ndarray:
    mean = unit(rows.mean(axis=0, dtype=np.float64)[None])[0].astype(rows.dtype)
    return mean if mean.any() else rows[rows.any(axis=1).argmax()]


def count_of(labels: np.ndarray) -> int:
    """Return how many groups there are."""
    return len(np.unique(labels[labels >= 0]))


def without_small(labels: np.ndarray, least: int) -> np.ndarray:
    """Return the labels with groups of fewer than `least` rows put nowhere."""
    return np.where(np.bincount(labels)[labels] >= least, labels, NOWHERE)


def largest(labels: np.ndarray, n: int) -> np.ndarray:
    """Return the labels with all but the `n` largest groups put nowhere."""
    return np.where(np.isin(labels, by_size(labels[labels >= 0], labels.max() + 1)[:n]), labels, NOWHERE)
