"""The head: from a text's vector to the chances of each class, or to a rating.

ordinal         score s -> P(rating <= level k) = sigmoid(cut_k - s)      for ratings, whose levels have an order
regression      score s -> rating                                         squared error
classification  logits  -> softmax                                        for labels, or levels taken as mere names
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.model.heads import cumulative_link

Kind = Literal["ordinal", "regression", "classification"]


class TextHead(nn.Module):
    """Classes from vectors.

    Parameters
    ----------
    width : int
        Of a vector.
    kind : str
    levels : (classes,) float32
        The value of each class, rising; for mere labels 0, 1, 2...
    hidden : bool
        Whether a hidden layer stands before the output.
    dropout : float
    weights : (classes,), optional
        Weight of each class in the loss; their mean over the training examples should be 1.
    smoothing : float
        Label smoothing, for the kinds that learn by log likelihood.
    """

    levels: Tensor
    weights: Tensor
    log_temperature: Tensor
    residual: Tensor

    def __init__(
        self,
        width: int,
        kind: Kind,
        levels: Tensor,
        *,
        hidden: bool = False,
        dropout: float = 0.1,
        weights: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.kind, self.width, self.smoothing = kind, width, smoothing
        classes = len(levels)
        self.register_buffer("levels", levels.float())
        self.register_buffer("weights", torch.ones(classes) if weights is None else weights.float())
        self.register_buffer("log_temperature", torch.zeros(()))
        self.register_buffer("residual", torch.ones(()))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(width, width) if hidden else None
        self.out = nn.Linear(width, classes if kind == "classification" else 1)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)
        if kind == "ordinal":
            self.first_cut = nn.Parameter(torch.tensor(-2.0))
            self.log_steps = nn.Parameter(torch.full((max(classes - 2, 0),), 4.0 / max(classes - 1, 1)).log())

    @torch.no_grad()
    def begin_at(self, shares: Tensor) -> None:
        """Let the head begin at the shares of the classes in training, so that only what texts say is left to learn."""
        shares = (shares.double() + 1e-3) / (shares.double() + 1e-3).sum()
        if self.kind == "classification":
            self.out.bias.copy_(shares.log())
        elif self.kind == "regression":
            low, high = self.levels[0], self.levels[-1]
            self.out.bias.fill_(((shares * self.levels).sum() - (low + high) / 2) * 4 / (high - low))
        else:
            cuts = torch.logit(shares.cumsum(0)[:-1])
            self.first_cut.copy_(cuts[0])
            self.log_steps.copy_(cuts.diff().clamp_min(1e-3).log())

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits (rows, classes) for classification, else scores (rows,)."""
        x = F.layer_norm(vectors, (self.width,))
        if self.hidden is not None:
            x = F.gelu(self.hidden(self.dropout(x)))
        out: Tensor = self.out(self.dropout(x))
        return out if self.kind == "classification" else out[:, 0]

    def loss(self, raw: Tensor, classes: Tensor, values: Tensor) -> Tensor:
        """Return the mean loss.

        Parameters
        ----------
        raw : (rows,) or (rows, classes)
            From `forward`.
        classes : (rows,) int64
        values : (rows,) float32
            The ratings themselves, which regression learns: squared error in units of a quarter of the scale.
        """
        weights = self.weights[classes]
        if self.kind == "regression":
            spread = (self.levels[-1] - self.levels[0]) / 4
            return (weights * ((self.regressed(raw) - values) / spread).square()).mean()
        chances = self._log_chances(raw)
        picked = chances.gather(1, classes[:, None])[:, 0]
        if self.smoothing:
            picked = (1 - self.smoothing) * picked + self.smoothing * chances.mean(1)
        return -(weights * picked).mean()

    def log_chances(self, raw: Tensor) -> Tensor:
        """Return (rows, classes), after temperature scaling (Guo et al. 2017).

        For regression they are the chances of a normal distribution about the rating, as wide as the errors on
        validation, cut halfway between the levels.
        """
        chances = self._gaussian(raw) if self.kind == "regression" else self._log_chances(raw)
        return (chances / self.log_temperature.exp()).log_softmax(1)

    def expected(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expected value of the level and its standard deviation, (rows,) each."""
        if self.kind == "regression":
            rating = self.regressed(raw).clamp(self.levels[0], self.levels[-1])
            return rating, self.residual.expand_as(rating)
        chances = self.log_chances(raw).exp()
        mean = (chances * self.levels).sum(1)
        return mean, ((chances * self.levels.square()).sum(1) - mean.square()).clamp_min(0).sqrt()

    def regressed(self, raw: Tensor) -> Tensor:
        """Return the rating of a score, (rows,), not yet held within the scale."""
        low, high = self.levels[0], self.levels[-1]
        return (low + high) / 2 + raw * (high - low) / 4

    @torch.no_grad()
    def calibrate(self, raw: Tensor, classes: Tensor, values: Tensor) -> None:
        """Choose the temperature, and regression's spread, by the likelihood of validation examples.

        Among 61 temperatures from 1/4 to 4; with fewer than 20 examples everything stays as it is.
        """
        if len(raw) < 20:
            return
        if self.kind == "regression":
            self.residual = (self.regressed(raw) - values).square().mean().sqrt().clamp_min(1e-3)
        tried = torch.linspace(-1, 1, 61) * torch.log(torch.tensor(4.0))
        losses = []
        for one in tried:
            self.log_temperature = one.to(raw.device)
            losses.append(F.nll_loss(self.log_chances(raw), classes))
        self.log_temperature = tried[int(torch.stack(losses).argmin())].to(raw.device)

    def _log_chances(self, raw: Tensor) -> Tensor:
        if self.kind == "classification":
            return raw.log_softmax(1)
        return cumulative_link(raw, self.first_cut, self.log_steps)

    def _gaussian(self, raw: Tensor) -> Tensor:
        between = (self.levels[1:] + self.levels[:-1]) / 2
        below = torch.special.ndtr((between - self.regressed(raw)[:, None]) / self.residual)
        whole = torch.cat([torch.zeros_like(below[:, :1]), below, torch.ones_like(below[:, :1])], 1)
        return whole.diff(dim=1).clamp_min(1e-9).log()
