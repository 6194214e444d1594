"""Walks: from the items of a past to people who used them, and on to what those used (RP3beta).

    to people  A (items, users) = (1 / uses of the item) ^ alpha      where the user used the item
    to items   B (users, items) = (1 / uses by the user) ^ alpha
    W = A B, divided by uses of the item ^ beta, its diagonal 0, the largest of each row kept;   score = x W

It weighs evidence instead of solving for it: with few events in a past it does better than item-item and factors.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy import sparse

from shoal.data.histories import Histories
from shoal.recommend.item_item import BetweenItems, ByItems, most_used

BLOCK_ITEMS = 1_000


class Walks(BetweenItems):
    """Three-step random walks with popular ends discounted [1]_.

    Parameters
    ----------
    alpha : float
        Power of the chances of a step, above 0; below 1 evens them out.
    beta : float
        Power of an item's uses by which its score is divided, 0 to 1.
    max_items : int
        Items in the model, most used first.
    keep : int
        Weights kept from each item, largest first.

    References
    ----------
    .. [1] Paudel, Christoffel, Newell, Bernstein 2017, Updatable, Accurate, Diverse, and Scalable Recommendations for
       Interactive Applications. RP3beta.
    """

    name = "walks"

    def __init__(self, alpha: float = 0.8, beta: float = 0.4, *, max_items: int = 12_000, keep: int = 200) -> None:
        self.alpha, self.beta, self.max_items, self.keep = alpha, beta, max_items, keep

    def fit(self, histories: Histories) -> Self:
        """Multiply the steps out, some items at a time."""
        self.items_, self.n_items_ = most_used(histories, self.max_items), histories.n_items
        uses = histories.matrix()[:, self.items_].astype(np.float32)
        to_people, to_items = steps(uses.T.tocsr(), self.alpha), steps(uses, self.alpha)
        discount = np.bincount(uses.indices, minlength=len(self.items_)).astype(np.float32) ** -self.beta
        rows = []
        for first in range(0, len(self.items_), BLOCK_ITEMS):
            block = (to_people[first : first + BLOCK_ITEMS] @ to_items).toarray() * discount
            block[np.arange(len(block)), first + np.arange(len(block))] = 0
            rows.append(_largest(block, self.keep))
        self.solved_ = ByItems(
            sparse.vstack(rows, format="csr") if rows else sparse.csr_matrix((0, 0), dtype=np.float32)
        )
        return self


def steps(matrix: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """Return the chances, to the power alpha, of a step along each entry of `matrix`, from its row."""
    lengths = np.diff(matrix.indptr)
    chances = np.repeat(np.maximum(lengths, 1).astype(np.float32) ** -alpha, lengths)
    return sparse.csr_matrix((chances, matrix.indices, matrix.indptr), matrix.shape)


def _largest(block: np.ndarray, keep: int) -> sparse.csr_matrix:
    """Return the `keep` largest entries of each row (rows, items), as a sparse matrix."""
    if keep < block.shape[1]:
        places = np.argpartition(-block, keep - 1, axis=1)[:, :keep]
        kept = np.zeros_like(block)
        np.put_along_axis(kept, places, np.take_along_axis(block, places, 1), 1)
        block = kept
    return sparse.csr_matrix(block)
