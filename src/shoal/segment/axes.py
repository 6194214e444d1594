"""Axes of taste: the directions of a user's vector that foretell the other half of the history.

    half of each history --base--> (users, width) --unit, centre--> z
    z --reduced-rank regression on the events of the other half--> axes, most foretelling first
    user vector = z . axes, far ends clipped, drawn to the middle where the events are few

Users are groups only in so far as one part of what they do tells of the rest. Directions that do not come back in the
other half of a history are noise, however much of the variance they hold; groups made along them come out otherwise
from every other half. On ml-1m, lastfm and goodbooks eight axes made k-means agree between halves of a history half as
much again as the leading directions of the vectors themselves (docs/log.md).

Source: reduced-rank regression, Izenman 1975, Journal of Multivariate Analysis 5; which half foretells which is drawn
at random and both ways count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from shoal.segment.spherical import unit

CLIP = 2.0
"""Standard deviations at which an axis ends: nobody is a segment of their own."""
PRIOR = 10.0
"""Events that the middle weighs beside a user's own."""
RIDGE = 1e-2
"""Penalty of the regression, as a share of the mean variance."""


@dataclass(frozen=True)
class Axes:
    """A frozen map from base vectors to user vectors.

    Attributes
    ----------
    middle : (width,) float32
        Mean of the base vectors of length one.
    centre : (width,) float32
        Mean of what is left when they have length one again.
    directions : (width, axes) float32
        Each scaled so that an axis' spread is in proportion to the root of what it foretells.
    cut : (axes,) float32
        Where an axis ends on both sides.
    foretold : (axes,) float32
        What each axis foretells of the other half, as a share of the first.
    """

    middle: np.ndarray
    centre: np.ndarray
    directions: np.ndarray
    cut: np.ndarray
    foretold: np.ndarray

    @classmethod
    def fit(
        cls, bases: tuple[np.ndarray, np.ndarray], uses: tuple[sparse.csr_matrix, sparse.csr_matrix], n: int
    ) -> Self:
        """Find the axes.

        Parameters
        ----------
        bases : two arrays (users, width)
            From the two halves of each user's events.
        uses : two sparse matrices (users, items)
            The same halves' events.
        n : int
            Most axes; there are no more than the width, and none that foretells nothing.
        """
        both = np.concatenate(bases)
        there = both.any(1)
        if not there.any():  # nobody says anything: no axes, and nobody is placed
            width, nothing = both.shape[1], np.zeros(0, np.float32)
            zero = np.zeros(width, np.float32)
            return cls(zero, zero, np.zeros((width, 0), np.float32), nothing, nothing)
        target = sparse.vstack([uses[1], uses[0]]).tocsr()[np.flatnonzero(there)]  # each half's is the other
        both = unit(both[there].astype(np.float64))
        middle = both.mean(0)
        z = unit(both - middle)
        centre = z.mean(0)
        z -= centre
        target = sparse.diags(np.maximum(target.getnnz(1), 1) ** -0.5) @ target
        width = z.shape[1]
        spread = z.T @ z / len(z)
        size = max(float(np.trace(spread)) / width, 1e-12)
        slopes = np.linalg.solve(spread + RIDGE * size * np.eye(width), np.asarray(z.T @ target) / len(z))
        root = np.linalg.cholesky(spread + 1e-9 * size * np.eye(width))
        told, turned = np.linalg.eigh(root.T @ (slopes @ slopes.T) @ root)
        best = np.argsort(-told, kind="stable")[:n]
        best = best[told[best] > 1e-12 * max(float(told.max()), 1e-300)]
        foretold = told[best] / told[best[0]] if len(best) else told[:0]
        directions = np.linalg.solve(root.T, turned[:, best]) * foretold**0.25
        directions *= np.where(directions.sum(0) < 0, -1, 1)  # a direction and its opposite are one
        cut = CLIP * (z @ directions).std(0)
        return cls(*(part.astype(np.float32) for part in (middle, centre, directions, cut, foretold)))

    def of(self, base: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return user vectors (users, axes) float32; zeros for a base vector of zeros, whose user nothing is known of.

        Parameters
        ----------
        base : (users, width)
        counts : (users,)
            Events that each was made from.
        """
        z = unit(unit(np.asarray(base, np.float32)) - self.middle) - self.centre
        own = np.clip(z @ self.directions, -self.cut, self.cut)
        own *= (counts / (counts + PRIOR)).astype(np.float32)[:, None]
        own[~base.any(1)] = 0
        return own

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays, for storage."""
        return {name: getattr(self, name) for name in ("middle", "centre", "directions", "cut", "foretold")}

    @classmethod
    def restore(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """Return the axes that `tensors` came from."""
        return cls(*(tensors[name] for name in ("middle", "centre", "directions", "cut", "foretold")))
