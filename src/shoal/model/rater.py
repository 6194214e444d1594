"""The rater: experts for ratings, stacked by weights that were learnt on held-out ratings; each rating with its spread.

experts    (pairs, experts)       bias, text ridge, latent factors, the tower
rating     = constant + experts . weights, within the scale
spread     = sqrt of a sum of non-negative terms: a constant, 1 / what is known of user and item, the tower's variance
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import torch
from scipy.optimize import nnls

from shoal.config import Rate
from shoal.data.dataset import Scale
from shoal.data.histories import Histories
from shoal.model.bias import Bias
from shoal.model.latent import Latent
from shoal.model.pasts import pasts as read_pasts
from shoal.model.ridge import TextRidge
from shoal.model.sequence import Sequence, blocks

PULL = 30.0
"""Held-out ratings that speak for equal weights beside the real ones."""
LEAST_ROWS = 50
"""With fewer held-out ratings the experts weigh alike."""


class Expert(Protocol):
    """Predicts ratings of pairs from pasts, in row numbers."""

    name: str

    def fit(self, histories: Histories) -> Self:
        """Learn from rated pasts."""
        ...

    def predict(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (pairs,) float32 for users (pairs,), rows of `pasts`, and items (pairs,), rows of the catalogue."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        ...

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave."""
        ...


class TowerRater:
    """The tower's rating head as an expert; it is trained elsewhere, and kept with the network."""

    name = "tower"

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence

    def fit(self, histories: Histories) -> Self:
        """Do nothing: the tower is trained already."""
        return self

    def predict(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (pairs,)."""
        return self.expect(pasts, users, items)[0]

    @torch.no_grad()
    def expect(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return expected rating and its variance (0 where the head has none), (pairs,) each."""
        rating, variance = np.zeros(len(users), np.float32), np.zeros(len(users), np.float32)
        network, parts = self.sequence.network, self.sequence.parts_
        order = np.argsort(users, kind="stable")
        for block in blocks(pasts.n_users):
            pairs = (
                order[np.searchsorted(users[order], block[0]) : np.searchsorted(users[order], block[-1] + 1)]
                if len(block)
                else order
            )
            if not len(pairs):
                continue
            events, habits = read_pasts(pasts.take(block), self.sequence.values, self.sequence.history)
            vectors, _ = network.users(parts, events)
            who = torch.from_numpy(users[pairs] - block[0])
            what = torch.from_numpy(items[pairs].astype(np.int64))[:, None]
            mean, spread = network.rating.expected(network.rate(parts, vectors[who], what, habits[who]))
            rating[pairs], variance[pairs] = mean[:, 0].numpy(), np.square(np.nan_to_num(spread[:, 0].numpy()))
        return rating, variance

    def tensors(self) -> dict[str, np.ndarray]:
        """Return nothing: the network is kept elsewhere."""
        return {}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Do nothing."""
        return self


class Mean:
    """Several experts of one kind as one: their mean."""

    def __init__(self, experts: list[Any]) -> None:
        self.experts, self.name = experts, experts[0].name

    def fit(self, histories: Histories) -> Self:
        """Fit them all."""
        for expert in self.experts:
            expert.fit(histories)
        return self

    def predict(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (pairs,)."""
        said = np.stack([e.predict(pasts, users, items) for e in self.experts])  # (experts, pairs)
        mean: np.ndarray = said.mean(0, dtype=np.float32)
        return mean

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        return {f"{i}.{k}": v for i, expert in enumerate(self.experts) for k, v in expert.tensors().items()}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave."""
        for place, expert in enumerate(self.experts):
            start = f"{place}."
            expert.restore({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
        return self


def rating_experts(features: np.ndarray, sequence: Sequence, settings: Rate) -> list[Expert]:
    """Return the experts, unfitted but for the tower; the bias comes first and the tower last."""
    made = {"width": settings.width, "sweeps": settings.sweeps}
    latent = Mean([Latent(features, **made, seed=seed) for seed in range(settings.starts)])
    return [Bias(), TextRidge(features), latent, TowerRater(sequence)]


class Stack:
    """Weighs experts.

    Parameters
    ----------
    experts : list of Expert
        The first is the plain baseline.
    scale : Scale
    """

    def __init__(self, experts: list[Expert], scale: Scale) -> None:
        self.experts, self.scale = experts, scale
        self.weights_ = np.r_[0.0, np.full(len(experts), 1 / len(experts))]
        self.spread_ = np.array([0.05 * (scale.high - scale.low) ** 2, 0.0, 0.0, 0.0])

    def fit(self, train: Histories, past: Histories, future: Histories) -> Self:
        """Fit the experts on `train`, and weigh them by how they foretell `future` from `past`."""
        self.refit(train)
        past, future = _rated(past), _rated(future)
        users, items, truth = future.users, future.items, future.values.astype(np.float64)
        if len(truth) >= LEAST_ROWS:
            said, terms = self._ask(past, users, items)
            self.weights_ = _weights(said, truth)
            self.spread_ = nnls(terms, np.square(truth - self._mix(said)))[0]
        return self

    def refit(self, everything: Histories) -> Self:
        """Fit the experts again; the weights stay."""
        everything = _rated(everything)
        self.counts_ = np.bincount(everything.items, minlength=everything.n_items)
        for expert in self.experts:
            expert.fit(everything)
        return self

    def rate(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ratings within the scale and their spreads, one standard deviation: (pairs,) float32 each.

        Parameters
        ----------
        pasts : Histories
        users : (pairs,)
            Rows of `pasts`.
        items : (pairs,)
            Rows of the catalogue; -1 for an item that is not in it, which is rated by the bias alone.
        """
        pasts = _rated(pasts)
        known, rows = items >= 0, np.maximum(items, 0)
        said, terms = self._ask(pasts, users, rows)
        rating = np.where(known, self._mix(said), self.bias(pasts, users, items))
        terms[~known, 2], terms[~known, 3] = 1.0, terms[:, 3].max(initial=0)
        spread = np.sqrt(np.maximum(terms @ self.spread_, 1e-6))
        return rating.clip(self.scale.low, self.scale.high).astype(np.float32), spread.astype(np.float32)

    def bias(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return what the plain baseline says, (pairs,), within the scale."""
        return self.experts[0].predict(_rated(pasts), users, items).clip(self.scale.low, self.scale.high)

    def _ask(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the experts say, (pairs, experts), and the terms of the spread, (pairs, 4)."""
        said, variance = [], np.zeros(len(users))
        for expert in self.experts:
            if isinstance(expert, TowerRater):
                rating, variance = expert.expect(pasts, users, items)
            else:
                rating = expert.predict(pasts, users, items)
            said.append(rating)
        known = 1 / (pasts.counts[users] + 1), 1 / (self.counts_[items] + 1)
        terms = np.stack([np.ones(len(users)), *known, variance], axis=1)
        return np.stack(said, axis=1).astype(np.float64), terms.astype(np.float64)

    def _mix(self, said: np.ndarray) -> np.ndarray:
        return self.weights_[0] + said @ self.weights_[1:]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt."""
        own = {"weights": self.weights_, "spread": self.spread_, "counts": self.counts_}
        return own | {f"{e.name}/{k}": v for e in self.experts for k, v in e.tensors().items()}

    def document(self) -> dict[str, Any]:
        """Return the weights in words, for the manifest."""
        names = ["constant", *(e.name for e in self.experts)]
        return {"weights": dict(zip(names, (round(float(w), 4) for w in self.weights_), strict=True))}

    @classmethod
    def restore(cls, tensors: dict[str, np.ndarray], experts: list[Expert], scale: Scale) -> Self:
        """Return the stack that `tensors` came from."""
        stack = cls(experts, scale)
        stack.weights_, stack.spread_, stack.counts_ = (tensors[k] for k in ("weights", "spread", "counts"))
        for expert in experts:
            start = f"{expert.name}/"
            expert.restore({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
        return stack


def _rated(histories: Histories) -> Histories:
    return histories.where(np.isfinite(histories.values))


def _weights(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return constant and weights (1 + experts,) of a ridge regression that is pulled to equal weights."""
    experts = said.shape[1]
    middle, target = said.mean(0), truth.mean()
    x, equal = said - middle, np.full(experts, 1 / experts)
    pull = PULL * np.eye(experts) * max(float(x.var()), 1e-9)
    found = np.linalg.solve(x.T @ x + pull, x.T @ (truth - target) + pull @ equal)
    return np.r_[target - middle @ found, found]
