"""Sequence: the tower's ranking head as a recommender, and its user vectors."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch

from shoal.data.histories import Histories
from shoal.model.network import Network
from shoal.model.pasts import Values, pasts

BLOCK_USERS = 1024


class Sequence:
    """Reads a past with attention and scores the catalogue, unseen items included: their text is enough.

    Parameters
    ----------
    network : Network
        Trained; `fit` does not train it again.
    values : Values
    history : int
        Newest events that are read.
    """

    name = "sequence"

    def __init__(self, network: Network, values: Values, history: int) -> None:
        self.network, self.values, self.history = network, values, history

    def fit(self, histories: Histories | None = None) -> Self:
        """Keep the item vectors at hand; `histories` is not read."""
        with torch.no_grad():
            self.network.eval()
            self.parts_ = self.network.item_parts()
        return self

    @torch.no_grad()
    def users(self, histories: Histories) -> np.ndarray:
        """Return user vectors (users, width) float32; a user without a past gets the newcomer's vector."""
        return np.concatenate([self._pool(histories, b)[0].numpy() for b in blocks(histories.n_users)])

    @torch.no_grad()
    def attention(self, histories: Histories) -> np.ndarray:
        """Return how the events were weighed, (users, 1 + events), mean over heads; the newcomer's event first."""
        return self.network.users(self.parts_, pasts(histories, self.values, self.history)[0])[1].mean(1).numpy()

    @torch.no_grad()
    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items) logits."""
        out = np.empty((histories.n_users, len(self.parts_.vectors)), np.float32)
        for block in blocks(histories.n_users):
            users = self._pool(histories, block)[0]
            out[block] = self.network.ranking(users, self.parts_.vectors, self.parts_.ranking).numpy()
        return out

    def _pool(self, histories: Histories, block: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network.users(self.parts_, pasts(histories.take(block), self.values, self.history)[0])


def blocks(n: int, size: int = BLOCK_USERS) -> list[np.ndarray]:
    """Return the row numbers 0 to n - 1 in blocks; one empty block for n = 0."""
    return [np.arange(i, min(i + size, n)) for i in range(0, max(n, 1), size)]
