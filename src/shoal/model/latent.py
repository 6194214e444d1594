"""Latent: a Bayesian factor model of ratings whose priors read texts, and what was rated at all.

    rating(i, j) = mean + a_i0 + b_j0 + a_i . b_j + noise
    b_j ~ N(C' [1, f_j, log n_j, g_j], .)      f: text, labels, numbers; n: ratings; g: who rated it, in few directions
    a_i ~ N(B' [1, h_i, t_i], .)               h: what the user rated, in the same directions; t: what is told of them

Posteriors by variational inference, priors by empirical Bayes. It stands where a factorisation machine with SVD++
features and side information would: what a user chose to rate speaks beside how they rated it. A user's factors are
solved from the past that is handed in; an unseen item has its prior, made from its text.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from shoal.data.histories import Histories
from shoal.model.gauss import factor_posterior
from shoal.seeding import generator

REFIT_SWEEPS = 10
"""Rounds when fitted again, on a little more data: it goes on from where it was."""
SMOOTH_USERS, SMOOTH_ITEMS = 1.0, 3.0
"""Ratings added to a user's and an item's count before the implicit directions are found."""
USERS_A_DIRECTION, DIRECTIONS = 40, (16, 64)
"""On ml-1m 64 directions do better than 16 or 32, on ml-latest-small 16 did better than 32 (docs/log.md)."""
PULL, PULLED_TO = 100.0, 0.05
"""Rows at this variance beside the real ones, when a prior's covariance is estimated."""
TEMPER = 1.05
"""The noise is taken a little larger than estimated: mean field is too sure of itself."""


class Latent:
    """See the module's first lines; Lim and Teh 2007 for the inference, with priors that are regressions.

    Parameters
    ----------
    features : (items, features) float32
    width : int
        Factors beside the offset.
    directions : int, optional
        Implicit directions; None: one for each `USERS_A_DIRECTION` users, within `DIRECTIONS`.
    sweeps : int
        Rounds of learning, when first fitted.
    seed : int
        Of the factors' start.
    """

    name = "latent"

    items_: np.ndarray
    spreads_: np.ndarray
    user_map_: np.ndarray
    user_precision_: np.ndarray
    noise_: float

    def __init__(
        self, features: np.ndarray, *, width: int = 16, directions: int | None = None, sweeps: int = 30, seed: int = 0
    ) -> None:
        self.features, self.width, self.directions = features.astype(np.float64), width, directions
        self.sweeps, self.seed = sweeps, seed

    def fit(self, histories: Histories) -> Self:
        """Learn factors, priors and noise by turns."""
        counts = np.bincount(histories.items, minlength=histories.n_items)
        rated = counts > 0
        self._find_directions(histories, counts)
        traits = histories.traits if histories.traits is not None else np.empty((histories.n_users, 0), np.int32)
        self.levels_ = traits.max(0, initial=-1) + 1
        self.mean_ = float(histories.values.mean(dtype=np.float64))
        self.unit_ = max(float(histories.values.std(dtype=np.float64)), 1e-6)  # priors are in spreads of the ratings
        values, there = self._matrices(histories)
        by_item, there_by_item = values.T.tocsr(), there.T.tocsr()
        squared = np.asarray(by_item.multiply(by_item).sum(1)).ravel()
        item_design, user_design = self._item_design(counts), self._user_design(histories)
        has_past = histories.counts > 0

        item_map, item_precision, sweeps = self._start(item_design, user_design)
        for _ in range(sweeps):
            users, spreads, _ = factor_posterior(
                values,
                there,
                self.items_,
                self.spreads_,
                user_design @ self.user_map_,
                self.user_precision_,
                self.noise_,
            )
            self.user_map_, self.user_precision_ = _prior(users[has_past], spreads[has_past], user_design[has_past], 30)
            self.items_, self.spreads_, squares = factor_posterior(
                by_item, there_by_item, users, spreads, item_design @ item_map, item_precision, self.noise_, squared
            )
            item_map, item_precision = _prior(self.items_[rated], self.spreads_[rated], item_design[rated], 3)
            self.items_[~rated] = (item_design @ item_map)[~rated]
            self.spreads_[~rated] = np.linalg.inv(item_precision)
            self.noise_ = max(squares / max(len(histories.values), 1) * TEMPER, 1e-4)
        return self

    def _start(self, item_design: np.ndarray, user_design: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the items' prior to start from, and the number of rounds."""
        width, items = self.width + 1, len(item_design)
        item_map, item_precision = np.zeros((item_design.shape[1], width)), np.eye(width) * 5
        self.user_map_ = np.zeros((user_design.shape[1], width))
        if hasattr(self, "items_"):
            return item_map, item_precision, REFIT_SWEEPS
        self.items_ = np.zeros((items, width))
        self.items_[:, 1:] = generator(self.seed, "latent").normal(0, 0.1, (items, self.width))
        self.spreads_ = np.tile(np.eye(width) * 0.01, (items, 1, 1))
        self.user_precision_, self.noise_ = np.eye(width) * 5, 0.75
        return item_map, item_precision, self.sweeps

    def predict(self, pasts: Histories, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (pairs,)."""
        found = self.users(pasts)
        taste = np.einsum("pk,pk->p", found[users, 1:], self.items_[items, 1:])
        return (self.mean_ + self.unit_ * (found[users, 0] + self.items_[items, 0] + taste)).astype(np.float32)

    def users(self, pasts: Histories) -> np.ndarray:
        """Return the posterior means of users' factors, offset first: (users, 1 + width)."""
        values, there = self._matrices(pasts)
        prior = self._user_design(pasts) @ self.user_map_
        return factor_posterior(values, there, self.items_, self.spreads_, prior, self.user_precision_, self.noise_)[0]

    def _matrices(self, histories: Histories) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        shape = histories.n_users, histories.n_items
        rest = (histories.values.astype(np.float64) - self.mean_) / self.unit_
        values = sparse.csr_matrix((rest, histories.items, histories.starts), shape)
        return values, sparse.csr_matrix((np.ones(len(rest)), histories.items, histories.starts), shape)

    def _find_directions(self, histories: Histories, counts: np.ndarray) -> None:
        """Find the main directions of who rated what, whatever the rating."""
        scaled = sparse.diags(1 / np.sqrt(histories.counts + SMOOTH_USERS)) @ histories.matrix().astype(np.float64)
        scaled = scaled @ sparse.diags(1 / np.sqrt(counts + SMOOTH_ITEMS))
        low, high = DIRECTIONS
        directions = self.directions or int(np.clip(histories.n_users // USERS_A_DIRECTION, low, high))
        wanted = min(directions, min(scaled.shape) - 1)
        if wanted < 1:
            self.projection_ = self.item_directions_ = np.zeros((histories.n_items, 1))
        else:
            start = generator(self.seed, "directions").random(min(scaled.shape))
            _, sizes, right = svds(scaled, k=wanted, v0=start)
            self.projection_ = right.T / np.sqrt(counts + SMOOTH_ITEMS)[:, None]
            self.item_directions_ = _standard(self.projection_ * sizes, counts > 0) * 0.3
        raw = self._raw(histories)
        spread = raw.std(0)
        # Where training users do not differ, rounding must not be blown up into a difference: nothing is read there.
        flat = spread <= 1e-6 * max(float(np.abs(raw).max(initial=0)), 1e-9)
        self.center_, self.scale_ = raw.mean(0), np.where(flat, np.inf, spread)

    def _raw(self, pasts: Histories) -> np.ndarray:
        """Return each user's place in the implicit directions, (users, directions)."""
        return np.asarray(pasts.matrix() @ self.projection_) / np.sqrt(pasts.counts + SMOOTH_USERS)[:, None]

    def _user_design(self, pasts: Histories) -> np.ndarray:
        where = (self._raw(pasts) - self.center_) / self.scale_ * 0.5
        return np.concatenate([np.ones((pasts.n_users, 1)), where, *self._told(pasts)], axis=1)

    def _told(self, pasts: Histories) -> list[np.ndarray]:
        """Return a column of ones and zeros for each value that training users had; zeros where nothing is told."""
        if pasts.traits is None or not len(self.levels_):
            return [np.zeros((pasts.n_users, int(self.levels_.sum())))]
        return [codes[:, None] == np.arange(n) for codes, n in zip(pasts.traits.T, self.levels_, strict=True)]

    def _item_design(self, counts: np.ndarray) -> np.ndarray:
        popular = (np.log1p(counts) - np.log1p(counts).mean())[:, None] * 0.5
        beside = np.concatenate([popular, self.item_directions_], axis=1)
        rated = beside[counts > 0]
        beside = beside.clip(rated.min(0), rated.max(0))  # unseen items lie at the edge of what was seen, not beyond it
        return np.concatenate([np.ones((len(counts), 1)), self.features, beside], axis=1)

    KEPT = ("items_", "spreads_", "user_map_", "user_precision_", "projection_", "center_", "scale_", "levels_")

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what predicting needs; covariances as float32, they are most of it."""
        kept = {name.rstrip("_"): getattr(self, name) for name in self.KEPT}
        kept["spreads"] = kept["spreads"].astype(np.float32)
        return kept | {"numbers": np.array([self.mean_, self.unit_, self.noise_])}

    def restore(self, tensors: dict[str, np.ndarray]) -> Self:
        """Take back what `tensors` gave."""
        for name in self.KEPT:
            if name != "levels_":
                setattr(self, name, tensors[name.rstrip("_")].astype(np.float64))
        self.levels_ = tensors.get("levels", np.zeros(0, np.int64))  # runs of before knew of none
        self.mean_, self.unit_, self.noise_ = (float(x) for x in tensors["numbers"])
        return self


def _standard(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return columns / np.maximum(columns[rows].std(0), 1e-9)


def _prior(means: np.ndarray, spreads: np.ndarray, design: np.ndarray, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """Regress factors on a design, and return the map and the precision of what is left."""
    ridge = l2 * np.diag(np.r_[1e-3, np.ones(design.shape[1] - 1)])
    found = np.linalg.solve(design.T @ design + ridge, design.T @ means)
    rest = means - design @ found
    width = means.shape[1]
    scatter = rest.T @ rest + spreads.sum(0) + PULL * PULLED_TO * np.eye(width)
    return found, np.linalg.inv(scatter / (len(means) + PULL))
