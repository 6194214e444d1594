"""Task heads on user and item vectors: ratings (regression, ordinal, classification) and ranking.

ranking     logit(i, j) = scale u_i . v_j + b_j                        log P(x_i; y_j) by softmax over the catalogue
rating      s(i, j)     = u_i' A v_j + c u_i + b_j + d mean_i          one number, from which come the levels' chances
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RatingKind = Literal["ordinal", "regression", "classification"]


class ItemBias(nn.Module):
    """A number for each item: what its features say, plus its own offset where training saw the item."""

    def __init__(self, features: int, items: int) -> None:
        super().__init__()
        self.text = nn.Linear(features, 1, bias=False)
        self.own = nn.Parameter(torch.zeros(items))
        nn.init.zeros_(self.text.weight)

    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        """Return (items,)."""
        return self.text(features)[:, 0] + self.own * known


class RankingHead(nn.Module):
    """Logits over the catalogue; with softmax this is log P(x_i; y_j)."""

    def __init__(self, features: int, items: int) -> None:
        super().__init__()
        self.bias = ItemBias(features, items)
        self.log_scale = nn.Parameter(torch.tensor(0.0))

    def forward(self, users: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        """Return (users, items)."""
        return self.log_scale.exp() * users @ vectors.T + bias

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Return the mean negative log likelihood of the target events.

        Parameters
        ----------
        logits : (users, items)
        targets : (users, targets) int64
        mask : (users, targets)
            1 where there is a target, 0 elsewhere.
        """
        picked = logits.log_softmax(dim=1).gather(1, targets)
        return -(picked * mask).sum() / mask.sum().clamp_min(1)

    @staticmethod
    def sampled_loss(logits: Tensor, log_q: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Return the same over a sample of the catalogue: the targets of the batch and random items.

        The logit of a sampled item is corrected by the logarithm of its chance to be in the sample (Bengio and
        Senecal 2008; Yi et al. 2019), so that the sum over the sample is, in expectation, the sum over the catalogue.
        Without it, what is in for certain would be pushed down.

        Parameters
        ----------
        logits : (users, sampled)
        log_q : (sampled,)
            0 for what is in the sample for certain: the targets.
        targets : (users, targets) int64
            Places in the sample.
        mask : (users, targets)
        """
        return RankingHead.loss(logits - log_q, targets, mask)


def cut_points(first_cut: Tensor, log_steps: Tensor) -> Tensor:
    """Return the cuts between levels, (levels - 1,), rising."""
    return first_cut + F.pad(log_steps.exp().cumsum(0), (1, 0))


def cumulative_link(score: Tensor, first_cut: Tensor, log_steps: Tensor) -> Tensor:
    """Return the logarithm of each level's chance: P(rating <= level k) = sigmoid(cut_k - score), cuts rising.

    For cuts a < b, sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)); so the logarithm, and its slope,
    hold however far the score is from the level.

    Parameters
    ----------
    score : (...)
    first_cut : ()
    log_steps : (levels - 2,)
        Logarithms of the steps from one cut to the next.

    Returns
    -------
    (..., levels)

    References
    ----------
    McCullagh (1980). Regression models for ordinal data.
    """
    cuts, score = cut_points(first_cut, log_steps), score[..., None]
    at_most, above = F.logsigmoid(cuts - score), F.logsigmoid(score - cuts)
    between = torch.log(-torch.expm1(-log_steps.exp()))
    return F.pad(at_most, (0, 1)) + F.pad(above, (1, 0)) + F.pad(between, (1, 1))


class RatingHead(nn.Module):
    """Ratings from user and item vectors.

    Parameters
    ----------
    kind : {"ordinal", "regression", "classification"}
        Ordinal is a cumulative link model, see `cumulative_link`.
    levels : (levels,) float32
        The ratings that can be given; for regression on a continuous scale, its two ends.
    """

    levels: Tensor

    def __init__(self, kind: RatingKind, levels: Tensor, features: int, items: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("levels", levels)
        outputs = len(levels) if kind == "classification" else 1
        self.bias = ItemBias(features, items)
        self.match = nn.Linear(width, width, bias=False)
        self.users = nn.Linear(width, 1)
        self.habit = nn.Linear(1, 1, bias=False)
        self.outputs = nn.Linear(1, outputs)
        steps = max(len(levels) - 1, 1)
        self.first_cut = nn.Parameter(torch.tensor(-2.0))
        self.log_steps = nn.Parameter(torch.full((steps - 1,), 4.0 / steps).log())
        nn.init.normal_(self.match.weight, std=0.02)

    def forward(self, users: Tensor, vectors: Tensor, bias: Tensor, habits: Tensor) -> Tensor:
        """Return the latent score of each pair.

        Parameters
        ----------
        users : (users, width)
        vectors : (users, targets, width)
            Vectors of the items to be rated.
        bias : (users, targets)
        habits : (users,)
            The user's own mean rating, standardised and shrunken to 0.

        Returns
        -------
        (users, targets)
        """
        match = torch.einsum("uw,utw->ut", self.match(users), vectors)
        return match + bias + self.users(users) + self.habit(habits[:, None])

    def log_chances(self, score: Tensor) -> Tensor:
        """Return the logarithm of each level's chance, (..., levels), for ordinal and classification."""
        if self.kind == "classification":
            return self.outputs(score[..., None]).log_softmax(-1)
        return cumulative_link(score, self.first_cut, self.log_steps)

    def expected(self, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expected rating and its standard deviation (NaN for regression, which has none)."""
        low, high = self.levels[0], self.levels[-1]
        if self.kind == "regression":
            rating = self._regressed(score).clamp(low, high)
            return rating, torch.full_like(rating, torch.nan)
        chance = self.log_chances(score).exp()
        mean = (chance * self.levels).sum(-1)
        return mean.clamp(low, high), ((chance * self.levels.square()).sum(-1) - mean.square()).clamp_min(0).sqrt()

    def _regressed(self, score: Tensor) -> Tensor:
        low, high = self.levels[0], self.levels[-1]
        return (low + high) / 2 + score * (high - low) / 4

    def loss(self, score: Tensor, ratings: Tensor, mask: Tensor) -> Tensor:
        """Return the mean loss over rated targets: squared error in scale units, or negative log likelihood."""
        if self.kind == "regression":
            each = (self._regressed(score) - ratings).square() * (4 / (self.levels[-1] - self.levels[0])).square()
        else:
            level = torch.bucketize(ratings, (self.levels[1:] + self.levels[:-1]) / 2)  # the nearest one
            each = -self.log_chances(score).gather(-1, level[..., None])[..., 0]
        return (each * mask).sum() / mask.sum().clamp_min(1)
