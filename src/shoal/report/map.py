"""The map: user vectors become points on a page, so that users who lie close together are drawn close together.

    vectors (users, width) --> directions --> 20 principal axes --+--> landmarks --> t-SNE --> points (users, 2)
                                                                  +--> the rest --> beside their nearest landmarks

A map keeps neighbours and bends everything else: the size of a cloud, and the distance between two clouds that do not
touch, mean nothing.
"""

from __future__ import annotations

import numpy as np

from shoal.errors import ConfigError, MismatchError
from shoal.seeding import generator, integer

AXES = 20
PERPLEXITY = 30.0
NEIGHBOURS = 6
FEWEST_FOR_TSNE = 12
BLOCK = 4_096


def layout(vectors: np.ndarray, *, seed: int, at_most: int = 2_500) -> np.ndarray:
    """Lay user vectors out on a plane.

    Lengths are set aside first, because segments are made from directions. Principal axes keep what varies most; t-SNE
    [1]_ arranges the landmarks, which are all users up to `at_most` and a random sample beyond; every other user is
    placed at the weighted mean of its nearest landmarks, shaken a little so that users do not hide each other.

    Parameters
    ----------
    vectors : ndarray of shape (users, width)
        One vector a user, finite. Equal vectors, and vectors of nothing but zeros, are fine: they form a small cloud.
    seed : int
        The run's seed. Same seed, same vectors, same machine: the same map.
    at_most : int
        The most users that t-SNE arranges itself. The time goes with it, hardly with the number of users: 2,500
        take about 15 seconds of one core, and four times as many give a map that says the same.

    Returns
    -------
    ndarray of shape (users, 2), float32
        Centred, with the farthest coordinate at 1 or -1. A single user stands at (0, 0).

    Raises
    ------
    MismatchError
        `vectors` is not a table of numbers, or holds something that is not finite.
    ConfigError
        `at_most` is below 1.

    References
    ----------
    .. [1] L. van der Maaten, "Accelerating t-SNE using tree-based algorithms", JMLR 15, 2014. Ours differs in laying
       out landmarks only; see also V. de Silva and J. Tenenbaum, "Sparse multidimensional scaling using landmark
       points", 2004.
    """
    vectors = _checked(vectors)
    if at_most < 1:
        raise ConfigError(f"at_most is {at_most}; at least one user must be laid out. Give 1 or more, such as 2500.")
    users = len(vectors)
    if users < 2:
        return np.zeros((users, 2), dtype=np.float32)
    rng = generator(seed, "report", "map")
    axes = _principal_axes(_directions(vectors), AXES)  # (users, 20 or fewer)
    landmarks = np.sort(rng.permutation(users)[:at_most])
    points = np.empty((users, 2))
    points[landmarks] = _arrange(axes[landmarks], integer(seed, "report", "tsne"))
    others = np.setdiff1d(np.arange(users), landmarks)
    if others.size:
        points[others] = _beside(axes[others], axes[landmarks], points[landmarks])
    return _framed(_shaken(points, landmarks, rng))


def _checked(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.number):
        raise MismatchError(
            f"A map needs a (users, width) array of numbers; this has shape {vectors.shape} and type {vectors.dtype}. "
            "Give one vector a user."
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        raise MismatchError(
            f"{bad.size:,} of {len(vectors):,} user vectors hold a value that is not finite, the first in row "
            f"{bad[0]}. Leave these users out of the map, or fit again."
        )
    return vectors.astype(np.float64)


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors at length 1; a vector of zeros stays where it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _principal_axes(vectors: np.ndarray, axes: int) -> np.ndarray:
    """Return (users, axes or fewer). Own code, because sklearn's divides by the variance, which may be nothing."""
    centred = vectors - vectors.mean(axis=0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    basis = basis[:, ::-1][:, :axes]
    # An axis has no sign of its own; a fixed one keeps the map from flipping between machines.
    signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])])
    return centred @ (basis * signs)


def _arrange(axes: np.ndarray, seed: int) -> np.ndarray:
    """Return (landmarks, 2) by t-SNE; by the first two axes where there is nothing for it to arrange."""
    start = axes[:, :2] if axes.shape[1] > 1 else np.column_stack([axes[:, 0], np.zeros(len(axes))])
    spread = start[:, 0].std()
    if len(axes) < FEWEST_FOR_TSNE or spread < 1e-9:
        return start
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(axes) - 1) / 3)
    model = TSNE(
        perplexity=perplexity, init=(start / spread * 1e-4).astype(np.float32), max_iter=750, random_state=seed
    )
    # One thread: sums over threads come in any order, and t-SNE makes another map of a difference in the last digit.
    with threadpool_limits(1):
        return model.fit_transform(axes.astype(np.float32)).astype(np.float64)


def _beside(axes: np.ndarray, landmark_axes: np.ndarray, landmark_points: np.ndarray) -> np.ndarray:
    """Return (others, 2): each at the mean of its nearest landmarks, the nearest counting by far the most."""
    nearest = min(NEIGHBOURS, len(landmark_axes))
    squares = (landmark_axes**2).sum(axis=1)
    points = np.empty((len(axes), 2))
    for start in range(0, len(axes), BLOCK):  # a block at a time: (50,000, 2,500) distances would take a gigabyte
        block = axes[start : start + BLOCK]
        distances = np.maximum((block**2).sum(axis=1)[:, None] - 2 * block @ landmark_axes.T + squares, 0)
        chosen = np.argpartition(distances, nearest - 1, axis=1)[:, :nearest]  # (block, nearest)
        # Distances are squared; squared again, so that a user between two clouds joins one and does not float.
        weights = 1 / (np.take_along_axis(distances, chosen, axis=1) ** 2 + 1e-12)
        weights /= weights.sum(axis=1, keepdims=True)
        points[start : start + BLOCK] = (weights[:, :, None] * landmark_points[chosen]).sum(axis=1)
    return points


def _shaken(points: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the points moved by about the space that one landmark has, so that equal users form a cloud.

    Landmarks move a tenth of it: t-SNE has already kept them apart, unless their vectors were equal.
    """
    extent = np.ptp(points, axis=0).max()
    room = (extent if extent > 1e-9 else 1.0) / np.sqrt(len(landmarks))
    step = np.full((len(points), 1), 0.35 * room)
    step[landmarks] = 0.035 * room
    return points + step * rng.standard_normal(points.shape)


def _framed(points: np.ndarray) -> np.ndarray:
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return (centred / np.abs(centred).max()).astype(np.float32)
