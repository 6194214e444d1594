"""The user tower: a history of event vectors becomes one user vector.

    items  (items, features) --project, + bounded delta--> item vectors (items, width)
    events (users, events)   item vector + rating + age --+
    newcomer (width,)        one event that all share   --+--> attend --> vector (users, width), weights

A user without a past attends to the newcomer's event alone: a learnt vector. Weights describe how the vector was
pooled. They are no proof of cause; `shoal.explain` measures that by leaving events out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Events(NamedTuple):
    """A batch of pasts, padded on the left: the newest event stands last.

    Attributes
    ----------
    items : (users, events) int64
        Item rows; anything where `mask` is false.
    values : (users, events) float32
        Ratings or weights, standardised; 0 where there are none.
    ages : (users, events) float32
        Logarithm of one plus the age in days, from the moment of prediction; 0 where unknown.
    mask : (users, events) bool
        True where there is an event.
    """

    items: Tensor
    values: Tensor
    ages: Tensor
    mask: Tensor


class ItemSide(nn.Module):
    """Features to item vectors, so that an unseen item works from its text alone.

    The vector is the projected features, of length 1, plus the item's own delta, at most `bound` long. An item that
    training did not see has delta 0. In training the delta is left out now and then, so that the text learns to do
    without it (DropoutNet, Volkovs et al. 2017).
    """

    def __init__(self, features: int, items: int, width: int, *, bound: float, dropout: float) -> None:
        super().__init__()
        self.bound, self.dropout = bound, dropout
        self.project = nn.Linear(features, width)
        self.delta = nn.Parameter(torch.zeros(items, width))

    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        """Return (items, width) from features (items, features); `known` (items,) 1 where an item may use its delta."""
        text = F.normalize(self.project(features), dim=1)
        length = self.delta.norm(dim=1).clamp_min(1e-6)
        scale = known * self.bound * torch.tanh(length / max(self.bound, 1e-6)) / length
        if self.training and self.dropout:
            scale = scale * (torch.rand(len(scale)) >= self.dropout)
        return torch.addcmul(text, self.delta, scale[:, None])


class UserTower(nn.Module):
    """Multi-head attention pooling with learnt queries over a user's events.

    Each head has a query of its own, and a slope on age and on position, so that one head may read the last evening
    and another the whole past.

    The queries do not depend on the events, and keys and values are linear in them; so a head's query is carried over
    to the space of the events, events are pooled first, and only then become values. That is the same attention for a
    sixteenth of the work. (A key's bias would be the same for all events, which softmax does not see: there is none.)
    """

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.newcomer = nn.Parameter(torch.randn(width) * 0.1)
        self.rating = nn.Linear(2, width)
        self.age = nn.Linear(2, width)
        self.query = nn.Parameter(torch.randn(heads, width // heads) * 0.1)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.slope = nn.Parameter(torch.linspace(0, -1, heads)[:, None].repeat(1, 2))
        self.out = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, vectors: Tensor, events: Events) -> tuple[Tensor, Tensor]:
        """Pool events into users.

        Parameters
        ----------
        vectors : (items, width)
        events : Events

        Returns
        -------
        users : (users, width)
        weights : (users, heads, 1 + events)
            Attention; the first place is the newcomer's event. Padded places get 0; each head sums to 1.
        """
        tokens, mask, clock = self._tokens(vectors, events)
        if self.training and self.dropout:
            mask = mask & (torch.rand(mask.shape) >= self.dropout)
            mask[:, 0] = True
        width = tokens.shape[2]
        asked = torch.einsum("hd,hdw->hw", self.query, self.key.weight.view(self.heads, -1, width))
        logits = tokens @ asked.T + clock @ self.slope.T  # (users, 1 + events, heads)
        weights = logits.masked_fill(~mask[:, :, None], -torch.inf).softmax(dim=1).transpose(1, 2)
        read = torch.bmm(weights, tokens)  # (users, heads, width)
        values = torch.einsum("uhw,hdw->uhd", read, self.value.weight.view(self.heads, -1, width))
        pooled = values.flatten(1) + self.value.bias
        return self.norm(pooled + self.out(pooled)), weights

    def _tokens(self, vectors: Tensor, events: Events) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (users, 1 + events, width), their mask, and their clock (age, position)."""
        users, places = events.items.shape
        position = torch.log1p(torch.arange(places - 1, -1, -1, dtype=torch.float32)).expand(users, places)
        clock = torch.stack([events.ages, position], dim=2)
        given = torch.stack([events.values, events.values.square()], dim=2)
        tokens = vectors[events.items] + self.rating(given) + self.age(clock / 5)
        tokens = torch.cat([self.newcomer.expand(users, 1, -1), tokens], dim=1)
        mask = F.pad(events.mask, (1, 0), value=True)
        return tokens, mask, F.pad(clock, (0, 0, 1, 0))
