"""Spherical k-means in plain arrays: rows of length one, centres of length one, cosine between them.

    rows (rows, width)  --seed--> centres (k, width)  --assign, average, repeat--> labels (rows,)

Nothing here needs scikit-learn; `shoal.segment.kmeans` is the estimator around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

BLOCK = 1 << 22  # cells of a product of rows and centres made at once: 16 MB in float32


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
    labels = np.empty(len(rows), np.int32)
    cosine = np.empty(len(rows), rows.dtype)
    step = max(1, BLOCK // len(centers))
    for start in range(0, len(rows), step):
        products = rows[start : start + step] @ centers.T  # (block, k)
        best = products.argmax(axis=1)
        labels[start : start + step] = best
        cosine[start : start + step] = np.take_along_axis(products, best[:, None], axis=1)[:, 0]
    return labels, cosine


def seed_centers(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw k rows as centres, each with a chance in proportion to its 1 - cosine to the nearest so far.

    This is k-means++ [1]_, since the squared distance of two rows of length one is 2 (1 - cosine).

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    chosen = [int(rng.integers(len(rows)))]
    distance = np.full(len(rows), np.inf)
    for _ in range(1, k):
        distance = np.minimum(distance, np.maximum(0, 1 - (rows @ rows[chosen[-1]]).astype(np.float64)))
        steps = np.cumsum(distance)
        if steps[-1] > 0:
            chosen.append(int(np.searchsorted(steps, rng.random() * steps[-1], side="right").clip(0, len(rows) - 1)))
        else:  # every row is a centre already
            chosen.append(int(rng.integers(len(rows))))
    return rows[chosen]


def improve(rows: np.ndarray, centers: np.ndarray, *, max_iter: int, tol: float) -> Clusters:
    """Move `centers` to the mean direction of their rows until they move by no more than `tol`, or `max_iter` times.

    The movement is the mean over centres of 1 - cosine between old and new. A centre that loses all its rows starts
    again at the row that is farthest from its own centre.
    """
    labels, cosine = nearest(rows, centers)
    n_iter, converged = 0, False
    while n_iter < max_iter and not converged:
        n_iter += 1
        moved = _means(rows, labels, cosine, centers)
        converged = float(np.mean(1 - np.einsum("ij,ij->i", moved, centers))) <= tol
        centers = moved
        labels, cosine = nearest(rows, centers)
    order = _by_size(labels, len(centers))
    inertia = float(np.sum(1 - cosine.astype(np.float64)))
    return Clusters(centers[order], np.argsort(order).astype(np.int32)[labels], inertia, n_iter, converged)


def cluster(
    rows: np.ndarray, k: int, rng: np.random.Generator, *, n_init: int = 10, max_iter: int = 100, tol: float = 1e-4
) -> Clusters:
    """Return the best of `n_init` clusterings of rows of length one, the one with the smallest inertia."""
    tries = (improve(rows, seed_centers(rows, k, rng), max_iter=max_iter, tol=tol) for _ in range(n_init))
    return min(tries, key=lambda found: found.inertia)


def _means(rows: np.ndarray, labels: np.ndarray, cosine: np.ndarray, centers: np.ndarray) -> np.ndarray:
    k = len(centers)
    pick = sparse.csr_matrix((np.ones(len(rows), rows.dtype), (labels, np.arange(len(rows)))), shape=(k, len(rows)))
    sums = np.asarray(pick @ rows)
    means = unit(sums)
    still = ~sums.any(axis=1)  # no rows, or rows that cancel out
    means[still] = centers[still]
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    if len(empty):
        farthest = np.argsort(cosine, kind="stable")[: len(empty)]
        taken = rows[farthest]
        means[empty[: len(farthest)]] = np.where(taken.any(axis=1, keepdims=True), taken, means[empty[: len(farthest)]])
    return means


def _by_size(labels: np.ndarray, k: int) -> np.ndarray:
    """Return the order that puts large clusters first, those of one size by their first row, empty ones last."""
    sizes = np.bincount(labels, minlength=k)
    first = np.full(k, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.lexsort((first, -sizes))
