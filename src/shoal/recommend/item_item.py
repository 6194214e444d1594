"""Item-item: a closed-form ridge regression of each item on all others (EASE), with dropout in expectation (EDLAE).

    B = I - P / diag(P),  P = (X'X + D)^-1,  D = diag(l2 + p / (1 - p) diag(X'X)),   score = x B

A row of X is a user's past, of ones, divided by a power of its length: one who used everything says less with each use.
With more items than users the inverse is had from the smaller matrix (Woodbury):

    P = D^-1 - D^-1 X' (I + X D^-1 X')^-1 X D^-1
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import embedding_bag

from shoal.data.histories import Histories

FILLED_FROM, MOST_FILLED = 0.2, 5_000
"""Share of weights kept from which a matrix with all the zeros is not much larger, and number of items up to which it
is small enough (100 MB) in any case: it is read faster."""


class BetweenItems:
    """What models of weights between items have in common, once `fit` has made `items_`, `n_items_` and `solved_`."""

    items_: np.ndarray
    n_items_: int
    solved_: ByItems | ByUsers

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items outside the model, and for users with none of its items."""
        past = histories.matrix()[:, self.items_]
        scores = np.full((histories.n_users, self.n_items_), np.nan, np.float32)
        scores[:, self.items_] = self.solved_.score(past)
        scores[np.diff(past.indptr) == 0] = np.nan
        return scores

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        return {"model.items": self.items_, "model.n_items": np.array([self.n_items_]), **self.solved_.tensors()}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave."""
        self.items_, self.n_items_ = tensors["model.items"], int(tensors["model.n_items"][0])
        self.solved_ = (ByUsers if "inverse" in tensors else ByItems).of(tensors)
        return self


class ItemItem(BetweenItems):
    """EASE [1]_ with the regularisation of EDLAE [2]_, the strongest weights of each item kept.

    Parameters
    ----------
    l2 : float
        Ridge penalty in events, above 0.
    dropout : float
        p of EDLAE, 0 to below 1: each entry of X is dropped with this probability, in expectation, which penalises
        items in proportion to their popularity. 0 is EASE.
    power : float
        A user's row is divided by its length to this power, 0 to 1; then all are scaled so that the mean square of
        what they are divided by is 1, and `l2` still counts events. 0 is EASE. Ours; see docs/log.md.
    positive : bool
        Leave negative weights out: an item never speaks against another. SLIM learns such weights; here they are cut
        off a solution that had both kinds, which helps on goodbooks and harms on ml-1m (docs/log.md). Where there are
        more than twice as many items as users, weights are not worked out and this has no effect.
    max_items : int
        Items in the model, most used first; fitting takes 8 * max_items**2 bytes.
    keep : int
        Weights kept for each item, largest first. On ml-1m, 400 of 3,533 cost .003 NDCG@100 (docs/log.md).

    References
    ----------
    .. [1] Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data.
    .. [2] Steck 2020, Autoencoders that don't overfit towards the Identity. We keep EASE's zero diagonal.
    """

    name = "item_item"

    def __init__(
        self,
        l2: float = 300.0,
        dropout: float = 0.0,
        power: float = 0.0,
        positive: bool = False,
        *,
        max_items: int = 12_000,
        keep: int = 1000,
    ) -> None:
        self.l2, self.dropout, self.power, self.positive = l2, dropout, power, positive
        self.max_items, self.keep = max_items, keep

    def fit(self, histories: Histories) -> Self:
        """Solve for B on the users' binary histories, evened."""
        self.items_ = most_used(histories, self.max_items)
        self.n_items_ = histories.n_items
        matrix = histories.matrix()[:, self.items_]
        matrix = evened(matrix[np.diff(matrix.indptr) > 0], self.power)
        uses = np.bincount(matrix.indices, np.square(matrix.data), minlength=len(self.items_))
        penalty = (self.l2 + self.dropout / (1 - self.dropout) * uses).astype(np.float32)
        users, items = matrix.shape
        self.solved_ = (
            ByUsers.solve(matrix, penalty)
            if 2 * users < items
            else ByItems.solve(matrix, penalty, self.keep, positive=self.positive)
        )
        return self


@dataclass(frozen=True)
class ByItems:
    """B itself, its strongest weights: for catalogues that are not much larger than the number of users.

    Where a good part of the weights was kept, scores are sums of whole rows of B, which is then kept filled up, too.
    """

    weights: sparse.csr_matrix

    @classmethod
    def solve(cls, matrix: sparse.csr_matrix, penalty: np.ndarray, keep: int, *, positive: bool = False) -> Self:
        """Invert the items' matrix."""
        gram = torch.from_numpy((matrix.T @ matrix).toarray())
        gram.diagonal().add_(torch.from_numpy(penalty))
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        inverse /= -inverse.diagonal().clone()  # column j by its own diagonal entry
        inverse.fill_diagonal_(0.0)
        if positive:
            inverse.clamp_(min=0.0)
        return cls(strongest(inverse.numpy(), keep))

    def score(self, past: sparse.csr_matrix) -> np.ndarray:
        """Return x B, (users, items)."""
        if self._filled is None:
            return (past @ self.weights).toarray()
        items, starts, uses = (torch.from_numpy(part) for part in (past.indices, past.indptr[:-1], past.data))
        return embedding_bag(items, self._filled, starts, mode="sum", per_sample_weights=uses).numpy()

    @cached_property
    def _filled(self) -> torch.Tensor | None:
        items = self.weights.shape[0]
        filled = items <= MOST_FILLED or self.weights.nnz >= FILLED_FROM * items**2
        return torch.from_numpy(self.weights.toarray()) if filled else None

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the sparse matrix as arrays."""
        weights = self.weights
        indices, starts = weights.indices.astype(np.int32), weights.indptr.astype(np.int64)
        return {"data": weights.data.astype(np.float32), "indices": indices, "indptr": starts}

    @classmethod
    def of(cls, tensors: dict[str, np.ndarray]) -> Self:
        """Return what `tensors` came from."""
        items = len(tensors["indptr"]) - 1
        return cls(sparse.csr_matrix((tensors["data"], tensors["indices"], tensors["indptr"]), (items, items)))


@dataclass(frozen=True)
class ByUsers:
    """B left as a product over training users: exact, and small where there are many more items than users.

    Attributes
    ----------
    past : (users, items) sparse
        Training pasts.
    inverse : (users, items) float32
        (I + X D^-1 X')^-1 X D^-1.
    penalty, diagonal : (items,) float32
        D and the diagonal of P.
    """

    past: sparse.csr_matrix
    inverse: np.ndarray
    penalty: np.ndarray
    diagonal: np.ndarray

    @classmethod
    def solve(cls, matrix: sparse.csr_matrix, penalty: np.ndarray) -> Self:
        """Invert the users' matrix."""
        scaled = (matrix @ sparse.diags(1 / penalty)).tocsr().astype(np.float32)
        small = torch.from_numpy((scaled @ matrix.T).toarray())
        small.diagonal().add_(1.0)
        inverse = torch.cholesky_solve(torch.from_numpy(scaled.toarray()), torch.linalg.cholesky(small)).numpy()
        diagonal = 1 / penalty - np.asarray(scaled.multiply(inverse).sum(0)).ravel()
        return cls(matrix, inverse, penalty, diagonal.astype(np.float32))

    def score(self, past: sparse.csr_matrix) -> np.ndarray:
        """Return x B = x - (x P) / diag(P), (users, items)."""
        scaled = past @ sparse.diags(1 / self.penalty)
        projected = scaled.toarray() - np.asarray(scaled @ self.past.T @ self.inverse)
        return past.toarray() - (projected / self.diagonal).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return everything as arrays."""
        indices, starts = self.past.indices.astype(np.int32), self.past.indptr.astype(np.int64)
        own = {"inverse": self.inverse, "penalty": self.penalty, "diagonal": self.diagonal, "data": self.past.data}
        return own | {"indices": indices, "indptr": starts}

    @classmethod
    def of(cls, tensors: dict[str, np.ndarray]) -> Self:
        """Return what `tensors` came from."""
        shape = tensors["inverse"].shape
        data = tensors.get("data", np.ones(len(tensors["indices"]), np.float32))  # runs of before kept none
        past = sparse.csr_matrix((data, tensors["indices"], tensors["indptr"]), shape)
        return cls(past, tensors["inverse"], tensors["penalty"], tensors["diagonal"])


def evened(matrix: sparse.csr_matrix, power: float) -> sparse.csr_matrix:
    """Return rows of ones (users, items) divided by their length to a power, their mean square weight 1."""
    lengths = np.maximum(np.diff(matrix.indptr), 1).astype(np.float64)
    weights = lengths**-power
    weights /= np.sqrt(np.square(weights).mean()) if len(weights) else 1.0
    data = np.repeat(weights, np.diff(matrix.indptr)).astype(np.float32)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)


def strongest(weights: np.ndarray, keep: int) -> sparse.csr_matrix:
    """Return the `keep` entries of each column (items, items) that are largest in size, as a sparse matrix."""
    items = len(weights)
    if keep >= items:
        return sparse.csr_matrix(weights)
    columns = []
    for first in range(0, items, 1024):
        block = np.ascontiguousarray(weights[:, first : first + 1024].T)  # (columns, items)
        rows = np.argpartition(-np.abs(block), keep, axis=1)[:, :keep]
        starts = np.arange(0, rows.size + 1, keep)
        columns.append(
            sparse.csr_matrix((np.take_along_axis(block, rows, 1).ravel(), rows.ravel(), starts), block.shape)
        )
    return sparse.vstack(columns).T.tocsr()


def most_used(histories: Histories, n: int) -> np.ndarray:
    """Return the rows of the n most used items with at least one event, rising."""
    counts = np.bincount(histories.items, minlength=histories.n_items)
    used = np.flatnonzero(counts)
    if len(used) > n:
        used = np.sort(used[np.argsort(-counts[used], kind="stable")[:n]])
    return used
