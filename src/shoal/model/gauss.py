"""Gaussian posteriors of many small linear models at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from shoal.data.histories import Histories

BLOCK_FLOATS = 40_000_000


def posterior_of_users(
    pasts: Histories, rest: np.ndarray, design: np.ndarray, mean: np.ndarray, precision: np.ndarray, noise: float
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yield, block by block, the posterior of each user's weights in rest = design . weights + noise.

    Parameters
    ----------
    pasts : Histories
    rest : (events,)
        What is to be explained of each event.
    design : (items, width)
    mean : (width,)
        Prior mean of the weights.
    precision : (width, width)
        Prior precision.
    noise : float
        Variance of the noise.

    Yields
    ------
    means : (users of the block, width)
    spread : (width, width)
        Sum of the posterior covariances of users with a past.
    squares : float
        Expected squared error, summed over the block's events.
    """
    width = design.shape[1]
    size = max(1, BLOCK_FLOATS // width**2)
    pull = precision @ mean
    for first in range(0, max(pasts.n_users, 1), size):
        users = np.arange(first, min(first + size, pasts.n_users))
        part = pasts.take(users)
        values = rest[pasts.starts[first] : pasts.starts[first + len(users)]]
        means, covariances, squares = np.empty((len(users), width)), np.zeros((width, width)), 0.0
        for place in range(len(users)):
            of_user = slice(part.starts[place], part.starts[place + 1])
            x, y = design[part.items[of_user]], values[of_user]
            moments = x.T @ x
            covariance = np.linalg.inv(moments / noise + precision)
            means[place] = covariance @ (x.T @ y / noise + pull)
            if len(y):
                covariances += covariance
                squares += float(((y - x @ means[place]) ** 2).sum() + np.vdot(covariance, moments))
        yield means, covariances, squares


def factor_posterior(
    values: sparse.csr_matrix,
    there: sparse.csr_matrix,
    means: np.ndarray,
    covariances: np.ndarray,
    prior: np.ndarray,
    precision: np.ndarray,
    noise: float,
    squared: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the variational posterior of one side of a factor model, given the other side's.

    The model of a residual rating is ``a_0 + b_0 + a[1:] . b[1:]`` for factors a (rows) and b (columns); place 0 of
    each is its offset.

    Parameters
    ----------
    values, there : (rows, columns) sparse
        Residual ratings, and ones at the same places.
    means : (columns, width), covariances : (columns, width, width)
        Of the other side.
    prior : (rows, width), precision : (width, width)
        Prior means of this side, and their common precision.
    noise : float
    squared : (rows,), optional
        Sum of squared residual ratings of each row; without it the expected squared error is not computed (NaN).

    Returns
    -------
    means : (rows, width)
    covariances : (rows, width, width)
    squares : float
        Expected squared error over all ratings.
    """
    rows, width = prior.shape
    loading = means.copy()
    loading[:, 0] = 1
    moments = loading[:, :, None] * loading[:, None, :]
    moments[:, 1:, 1:] += covariances[:, 1:, 1:]
    offset = means[:, 0]
    cross = np.concatenate([np.zeros((len(means), 1)), covariances[:, 0, 1:]], axis=1)
    information = (there @ moments.reshape(len(means), -1)).reshape(rows, width, width)
    target = values @ loading - there @ (offset[:, None] * loading + cross)
    spread = np.linalg.inv(information / noise + precision)
    found = np.einsum("rij,rj->ri", spread, target / noise + prior @ precision)
    if squared is None:
        return found, spread, float("nan")
    fixed = squared - 2 * (values @ offset) + there @ (offset**2 + covariances[:, 0, 0])
    second = spread + found[:, :, None] * found[:, None, :]
    squares = fixed - 2 * (found * target).sum(1) + np.einsum("rij,rij->r", information, second)
    return found, spread, float(squares.sum())
