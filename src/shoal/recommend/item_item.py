"""Item-item: a closed-form ridge regression of each item on all others (EASE), with dropout in expectation (EDLAE).

    B = I - P / diag(P),  P = (X'X + diag(l2 + p / (1 - p) diag(X'X)))^-1,   score = x B
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch

from shoal.data.histories import Histories


class ItemItem:
    """EASE [1]_ with the regularisation of EDLAE [2]_.

    Parameters
    ----------
    l2 : float
        Ridge penalty in events, above 0.
    dropout : float
        p of EDLAE, 0 to below 1: each entry of X is dropped with this probability, in expectation, which penalises
        items in proportion to their popularity. 0 is EASE.
    max_items : int
        Items in the model, most used first; the matrix takes 4 * max_items**2 bytes, twice that while fitting.

    References
    ----------
    .. [1] Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data.
    .. [2] Steck 2020, Autoencoders that don't overfit towards the Identity. We keep EASE's zero diagonal.
    """

    name = "item_item"

    def __init__(self, l2: float = 300.0, dropout: float = 0.0, *, max_items: int = 12_000) -> None:
        self.l2, self.dropout, self.max_items = l2, dropout, max_items

    def fit(self, histories: Histories) -> Self:
        """Solve for B on the users' binary histories."""
        matrix = histories.matrix()
        self.items_ = most_used(histories, self.max_items)
        self.n_items_ = histories.n_items
        part = matrix[:, self.items_]
        gram = torch.from_numpy((part.T @ part).toarray())
        counts = gram.diagonal().clone()
        gram.diagonal().add_(self.l2 + self.dropout / (1 - self.dropout) * counts)
        self.weights_ = _zero_diagonal_regression(gram).numpy()
        return self

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items outside the model, and for users with none of its items."""
        past = histories.matrix()[:, self.items_]
        scores = np.full((histories.n_users, self.n_items_), np.nan, np.float32)
        scores[:, self.items_] = np.asarray(past @ self.weights_)
        scores[np.diff(past.indptr) == 0] = np.nan
        return scores


def _zero_diagonal_regression(gram: torch.Tensor) -> torch.Tensor:
    """Turn a regularised Gram matrix into EASE's weights, in place of it where possible."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    inverse /= -inverse.diagonal().clone()  # column j by its own diagonal entry
    inverse.fill_diagonal_(0.0)
    return inverse


def most_used(histories: Histories, n: int) -> np.ndarray:
    """Return the rows of the n most used items with at least one event, rising."""
    counts = np.bincount(histories.items, minlength=histories.n_items)
    used = np.flatnonzero(counts)
    if len(used) > n:
        used = np.sort(used[np.argsort(-counts[used], kind="stable")[:n]])
    return used
