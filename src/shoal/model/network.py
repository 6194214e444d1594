"""The network: item side, user tower and heads as one module; a batch goes in, losses come out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from shoal.config import Tower
from shoal.data.dataset import Scale
from shoal.model.heads import RankingHead, RatingHead, RatingKind
from shoal.model.tower import Events, ItemSide, UserTower


class ItemParts(NamedTuple):
    """What the heads need of items: vectors (items, width), and the biases of both heads (items,)."""

    vectors: Tensor
    ranking: Tensor
    rating: Tensor


def levels_of(scale: Scale | None) -> Tensor:
    """Return the levels that the rating head speaks of: those of the data, or 21 even steps of a continuous scale."""
    if scale is None:
        return torch.tensor([0.0, 1.0])
    levels = scale.levels if len(scale.levels) >= 2 else np.linspace(scale.low, scale.high, 21)
    return torch.tensor(np.asarray(levels), dtype=torch.float32)


class Network(nn.Module):
    """Everything that learns by gradient.

    Parameters
    ----------
    features : (items, features) float32
        Item features of the training catalogue; kept, not learnt.
    popularity : (items,) float32
        Events of each item in training: the start of the ranking bias. Items with 0 are unseen: they have no delta
        and no bias of their own.
    settings : shoal.config.Tower
    kind : str
        Kind of the rating head.
    scale : Scale or None
        None: there are no ratings, and the rating head stays untrained.
    """

    features: Tensor
    known: Tensor

    def __init__(
        self, features: Tensor, popularity: Tensor, settings: Tower, *, kind: RatingKind, scale: Scale | None
    ) -> None:
        super().__init__()
        items, width = features.shape
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("known", (popularity > 0).float(), persistent=False)
        self.items = ItemSide(width, items, settings.width, bound=settings.delta_bound, dropout=settings.delta_dropout)
        self.tower = UserTower(settings.width, settings.heads, dropout=settings.dropout)
        self.ranking = RankingHead(width, items)
        self.rating = RatingHead(kind, levels_of(scale), width, items, settings.width)
        share = torch.log1p(popularity)
        with torch.no_grad():
            self.ranking.bias.own.copy_((share - share.mean()) * self.known)

    def item_parts(self) -> ItemParts:
        """Return what the heads need of all items of the catalogue."""
        features, known = self.features, self.known
        return ItemParts(
            self.items(features, known), self.ranking.bias(features, known), self.rating.bias(features, known)
        )

    def users(self, parts: ItemParts, events: Events) -> tuple[Tensor, Tensor]:
        """Return user vectors and attention weights; see `UserTower.forward`."""
        return self.tower(parts.vectors, events)

    def rate(self, parts: ItemParts, users: Tensor, items: Tensor, habits: Tensor) -> Tensor:
        """Return the latent rating score of pairs: users (users, width), items (users, targets) -> (users, targets)."""
        return self.rating(users, parts.vectors[items], parts.rating[items], habits)
