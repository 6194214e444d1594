"""Spherical k-means in plain arrays: rows of length one, centres of length one, cosine between them.

    rows (rows, width)  --seed--> centres (k, width)  --assign, average, repeat--> labels (rows,)

Nothing here needs scikit-learn; `shoal.segment.kmeans` is the estimator around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

BLOCK = 1 << 22  # cells of a product of rows and centres made at once: 16 MB in float32
BLOCK_ROWS = 8192  # rows looked at together: few enough that they stay in the processor's cache
MANY_ROWS = 1 << 16  # from here up several blocks are looked at at once

AtOnce = Callable[[Callable[[np.ndarray], Any], list[np.ndarray]], Iterator[Any]]
"""`map`, or one that works on several blocks at once; results come in the order of the blocks."""


TOL = 1e-6
"""Mean of 1 - cosine between old and new centres at which they have come to rest."""


@dataclass(frozen=True)
class Clusters:
    """A clustering; segments are numbered by falling size, equal sizes by their first member.

    Attributes
    ----------
    centers : numpy.ndarray
        (k, width), rows of length one.
    labels : numpy.ndarray
        (rows,) int32.
    inertia : float
        Sum over rows of 1 - cosine to the own centre.
    n_iter : int
        Rounds of averaging.
    converged : bool
        Whether the centres had come to rest.
    """

    centers: np.ndarray
    labels: np.ndarray
    inertia: float
    n_iter: int
    converged: bool


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of length one, in the dtype of `rows`; a row of zeros stays zero."""
    # Dividing by the largest entry first keeps squares of very small and very large rows inside the dtype's range.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = rows / np.where(largest > 0, largest, 1)
    length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    scaled /= np.where(length > 0, length, 1)
    return scaled


def nearest(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row, (rows,) int32, and the cosine to it, (rows,); ties go to the first."""
    labels, cosine = np.empty(len(rows), np.int32), np.empty(len(rows), rows.dtype)
    start = 0
    for block in blocks(rows, len(centers)):
        end = start + len(block)
        labels[start:end], cosine[start:end] = _nearest(block, centers)
        start = end
    return labels, cosine


def _nearest(block: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    products = block @ centers.T  # (block, k)
    best = products.argmax(axis=1)
    return best.astype(np.int32), np.take_along_axis(products, best[:, None], axis=1)[:, 0]


def blocks(rows: np.ndarray, k: int) -> list[np.ndarray]:
    """Return views of some rows each, so few that a block, and its products with `k` centres, are small."""
    step = max(1, min(BLOCK_ROWS, BLOCK // k))
    return [rows[start : start + step] for start in range(0, len(rows), step)]


@contextmanager
def at_once(rows: int) -> Iterator[AtOnce]:
    """Give a `map` for blocks that works on as many at once as PyTorch may use threads; for few rows, plain `map`.

    Threads of our own never wait for each other inside a block, as those of a BLAS do in each small product: on a busy
    machine that is many times slower. Whoever calls limits the BLAS to one thread.
    """
    if rows < MANY_ROWS:
        yield map
        return
    import torch

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield pool.map


def seed_centers(rows: np.ndarray, k: int, rng: np.random.Generator, first: np.ndarray | None = None) -> np.ndarray:
    """Draw rows as centres, each with a chance in proportion to its 1 - cosine to the nearest so far.

    With `first`, (at most k, width), these are the first centres, and only the others are drawn. This is k-means++
    [1]_, since the squared distance of two rows of length one is 2 (1 - cosine).

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    centers = list(rows[[int(rng.integers(len(rows)))]] if first is None else first)
    distance = np.full(len(rows), np.inf)
    for center in centers:
        distance = _nearer(distance, rows, center)
    while len(centers) < k:
        steps = np.cumsum(distance)
        if steps[-1] > 0:
            row = int(np.searchsorted(steps, rng.random() * steps[-1], side="right").clip(0, len(rows) - 1))
        else:  # every row is a centre already
            row = int(rng.integers(len(rows)))
        centers.append(rows[row])
        distance = _nearer(distance, rows, rows[row])
    return np.stack(centers)


def _nearer(distance: np.ndarray, rows: np.ndarray, center: np.ndarray) -> np.ndarray:
    return np.minimum(distance, np.maximum(0, 1 - (rows @ center).astype(np.float64)))


def improve(
    rows: np.ndarray, centers: np.ndarray, *, max_iter: int, tol: float, anchors: np.ndarray | None = None
) -> Clusters:
    """Move `centers` to the mean direction of their rows until they move by no more than `tol`, or `max_iter` times.

    The movement is the mean over centres of 1 - cosine between old and new. A centre that loses all its rows starts
    again at the row that is farthest from its own centre.

    Parameters
    ----------
    rows : numpy.ndarray
        (rows, width), of length one.
    centers : numpy.ndarray
        (k, width), of length one.
    max_iter : int
    tol : float
    anchors : numpy.ndarray, optional
        (k, width), of length one or zero: a centre goes half-way between the mean direction of its rows and its anchor,
        and where the anchor is zero, to its rows.
    """
    parts = blocks(rows, len(centers))
    with at_once(len(rows)) as over:
        found = _look(over, parts, centers)
        n_iter, converged = 0, False
        while n_iter < max_iter and not converged:
            n_iter += 1
            moved = _means(rows, found, centers)
            if anchors is not None:
                moved = unit(moved + anchors)
            converged = float(np.mean(1 - np.einsum("ij,ij->i", moved, centers))) <= tol
            centers = moved
            found = _look(over, parts, centers)
    order = by_size(found.labels, len(centers))
    inertia = float(np.sum(1 - found.cosine.astype(np.float64)))
    return Clusters(centers[order], np.argsort(order).astype(np.int32)[found.labels], inertia, n_iter, converged)


def cluster(
    rows: np.ndarray, k: int, rng: np.random.Generator, *, n_init: int = 10, max_iter: int = 100, tol: float = TOL
) -> Clusters:
    """Return the best of `n_init` clusterings of rows of length one, the one with the smallest inertia."""
    tries = (improve(rows, seed_centers(rows, k, rng), max_iter=max_iter, tol=tol) for _ in range(n_init))
    return min(tries, key=lambda found: found.inertia)


@dataclass(frozen=True)
class _Look:
    """Each row's nearest centre, the cosine to it, and the sum of each centre's rows, (k, width) float64."""

    labels: np.ndarray
    cosine: np.ndarray
    sums: np.ndarray


def _look(over: AtOnce, parts: list[np.ndarray], centers: np.ndarray) -> _Look:
    def one(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels, cosine = _nearest(part, centers)
        pick = (np.ones(len(part), part.dtype), labels, np.arange(len(part) + 1, dtype=labels.dtype))
        return labels, cosine, sparse.csc_matrix(pick, shape=(len(centers), len(part))) @ part

    sums = np.zeros(centers.shape)
    labels, cosine = [], []
    for of_labels, of_cosine, of_sums in over(one, parts):  # in the order of the rows, so sums are always the same
        labels.append(of_labels)
        cosine.append(of_cosine)
        sums += of_sums
    return _Look(np.concatenate(labels), np.concatenate(cosine), sums)


def _means(rows: np.ndarray, found: _Look, centers: np.ndarray) -> np.ndarray:
    k = len(centers)
    means = unit(found.sums).astype(rows.dtype)
    still = ~found.sums.any(axis=1)  # no rows, or rows that cancel out
    means[still] = centers[still]
    empty = np.flatnonzero(np.bincount(found.labels, minlength=k) == 0)
    if len(empty):
        farthest = np.argsort(found.cosine, kind="stable")[: len(empty)]
        taken = rows[farthest]
        means[empty[: len(farthest)]] = np.where(taken.any(axis=1, keepdims=True), taken, means[empty[: len(farthest)]])
    return means


def by_size(labels: np.ndarray, k: int) -> np.ndarray:
    """Return the order that puts large clusters first, those of one size by their first row, empty ones last."""
    sizes = np.bincount(labels, minlength=k)
    first = np.full(k, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.lexsort((first, -sizes))
