"""Text ridge: what a user rates above the bias, as a linear function of an item's text, labels and numbers.

    residual(i, j) = w_i . [1, f_j] + noise,   w_i ~ N(m, S);   m, S and the noise learnt from all users

So a user with few ratings is read as the average user, and one with many as themself; an unseen item has its text.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from shoal.data.histories import Histories
from shoal.model.bias import Bias
from shoal.model.gauss import posterior_of_users

ITERATIONS = 6
PULL = 300.0
"""Users at the starting covariance beside the real ones."""
MOST_USERS = 6_000
"""Users that prior and noise are learnt from."""


class TextRidge:
    """Ridge regression for each user with a prior shared by all, by expectation maximisation [1]_.

    Parameters
    ----------
    features : (items, features) float32
        See `shoal.model.features`.

    References
    ----------
    .. [1] Zhang and Koren 2007, Efficient Bayesian Hierarchical User Modeling for Recommendation Systems. Ours starts
       from, and is pulled to, a fixed covariance, which matters where users are few.
    """

    name = "text_ridge"

    def __init__(self, features: np.ndarray) -> None:
        self.design = np.concatenate([np.ones((len(features), 1)), features], axis=1)
        self.bias = Bias()

    def fit(self, histories: Histories) -> Self:
        """Learn the prior; fitted again, only the bias is learnt anew."""
        self.bias.fit(histories)
        self.unit_ = max(float(histories.values.std(dtype=np.float64)), 1e-6)  # priors are in spreads of the ratings
        if hasattr(self, "precision_"):
            return self  # a prior over users hardly changes with a little more data
        if histories.n_users > MOST_USERS:
            histories = histories.take(np.linspace(0, histories.n_users - 1, MOST_USERS).astype(np.int64))
        width = self.design.shape[1]
        start = np.diag(np.r_[0.15, np.full(width - 1, 0.1)])
        self.mean_, covariance, self.noise_ = np.zeros(width), start * 2, 0.7
        for _ in range(ITERATIONS):
            self.precision_ = np.linalg.inv(covariance)
            total, scatter, error = np.zeros(width), np.zeros((width, width)), 0.0
            found = list(self._posteriors(histories))
            for means, _, _ in found:
                total += means.sum(0)
            users = sum(len(means) for means, _, _ in found)
            self.mean_ = total / (users + 5)
            for means, spread, squares in found:
                scatter += (means - self.mean_).T @ (means - self.mean_) + spread
                error += squares
            covariance = (scatter + PULL * start) / (users + PULL)
            self.noise_ = max(error / max(len(histories.items), 1), 1e-4)
        self.precision_ = np.linalg.inv(covariance)
        return self

    def _posteriors(self, pasts: Histories) -> Any:
        rest = (pasts.values - self.bias.mean_ - self.bias.items_[pasts.items]) / self.unit_
        return posterior_of_users(pasts, rest, self.design, self.mean_, self.precision_, self.noise_)

    def predict(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (pairs,)."""
        weights = np.concatenate([means for means, _, _ in self._posteriors(pasts)])
        taste = np.einsum("pf,pf->p", weights[users], self.design[items])
        return (self.bias.mean_ + self.bias.items_[items] + self.unit_ * taste).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        own = {"weights": self.mean_, "precision": self.precision_, "numbers": np.array([self.unit_, self.noise_])}
        return own | {f"bias.{k}": v for k, v in self.bias.tensors().items()}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave."""
        self.mean_, self.precision_ = tensors["weights"], tensors["precision"]
        self.unit_, self.noise_ = (float(x) for x in tensors["numbers"])
        self.bias.restore({k.removeprefix("bias."): v for k, v in tensors.items() if k.startswith("bias.")})
        return self
