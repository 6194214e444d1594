"""The space in which users are grouped: what they used, what its texts say, what the tower makes of it; then axes.

    past --mean of item vectors from who used what together (SVD)--> unit  \\
         --mean of the items' features (language vectors, labels)--> unit   > side by side --Axes--> user vector
         --attention tower--> centred, unit                                /

Nothing is looked up: the same past always gives the same vector, of users known or unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from scipy import sparse

from shoal.data.histories import Histories
from shoal.seeding import generator, integer
from shoal.segment.axes import Axes
from shoal.segment.spherical import unit

TOGETHER = 64
"""Width of the vectors that come from who used what together."""
AXES = 16
"""Axes that are kept; segments are found in the first of them, subsegments in all."""
MOST_USERS = 20_000
"""Users whose halves the axes are learnt from; more are sampled by the seed."""
SOURCES = ("events", "text", "tower")
Tower = Callable[[Histories], np.ndarray]


class Space:
    """User vectors from pasts.

    Parameters
    ----------
    sources : tuple of str
        Of `SOURCES`.
    features : (items, width) float32
        Language vectors and labels of items.
    tower : callable
        Histories -> (users, width) float32.
    """

    def __init__(self, sources: tuple[str, ...], features: np.ndarray, tower: Tower) -> None:
        self.sources, self.features, self.tower = sources, features, tower

    def fit(self, train: Histories, relevant_from: float | None, *, seed: int) -> Self:
        """Learn the space from the training users' pasts.

        Parameters
        ----------
        train : Histories
        relevant_from : float or None
            Events rated so or better are likes; None: all are.
        seed : int
        """
        rng = generator(seed, "space")
        self.together_ = _together(train, integer(seed, "together")) if "events" in self.sources else None
        some = train
        if train.n_users > MOST_USERS:
            some = train.take(np.sort(rng.choice(train.n_users, MOST_USERS, replace=False)))
        some = some.take(np.flatnonzero(some.counts >= 2))
        first = halves(some, rng)
        parts = some.where(first), some.where(~first)
        self.tower_mean_ = self.tower(some).mean(0) if "tower" in self.sources and some.n_users else np.float32(0)
        likes = tuple(part.liked(relevant_from).matrix() for part in parts)
        self.axes_ = Axes.fit(tuple(self.base(part) for part in parts), likes, AXES)  # type: ignore[arg-type]
        return self

    def base(self, pasts: Histories) -> np.ndarray:
        """Return the sources side by side, each of length one or zeros: (users, width) float32."""
        made = []
        uses = pasts.matrix()
        if self.together_ is not None:
            made.append(unit(np.asarray(uses @ self.together_)))
        if "text" in self.sources:
            made.append(unit(np.asarray(uses @ self.features)))
        if "tower" in self.sources:
            made.append(unit(self.tower(pasts) - self.tower_mean_))
        base = np.concatenate(made, axis=1).astype(np.float32)
        base[pasts.counts == 0] = 0
        return base

    def of(self, pasts: Histories) -> np.ndarray:
        """Return user vectors (users, axes) float32, zeros without a past."""
        return self.axes_.of(self.base(pasts), pasts.counts)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt, for storage; features and tower are kept elsewhere."""
        made = {f"axes.{name}": part for name, part in self.axes_.tensors().items()}
        if self.together_ is not None:
            made["together"] = self.together_
        if "tower" in self.sources:
            made["tower_mean"] = np.atleast_1d(self.tower_mean_)
        return made

    def restore(self, tensors: Mapping[str, np.ndarray]) -> Self:
        """Take what `tensors` gave."""
        axes = {name.removeprefix("axes."): part for name, part in tensors.items() if name.startswith("axes.")}
        self.axes_, self.together_ = Axes.restore(axes), tensors.get("together")
        self.tower_mean_ = tensors.get("tower_mean", np.float32(0))
        return self


def halves(pasts: Histories, rng: np.random.Generator) -> np.ndarray:
    """Return which events (events,) are in the first of two halves, drawn at random for each user.

    Of an odd number one half has one more, which of them being drawn too.
    """
    order = np.lexsort((rng.random(len(pasts.items)), pasts.users))
    places = np.arange(len(order)) - np.repeat(pasts.starts[:-1], pasts.counts)
    first = np.zeros(len(order), bool)
    first[order] = (places + np.repeat(rng.integers(0, 2, pasts.n_users), pasts.counts)) % 2 == 0
    return first


def _together(train: Histories, seed: int) -> np.ndarray:
    """Return vectors of items (items, width) float32 by who used what together, the rarely used counting more."""
    from sklearn.utils.extmath import randomized_svd

    uses = train.matrix()
    known = np.bincount(train.items, minlength=train.n_items)
    rare = np.where(known > 0, np.log(max(train.n_users, 2) / np.maximum(known, 1)), 0.0).astype(np.float32)
    rows = sparse.diags((np.maximum(train.counts, 1) ** -0.5).astype(np.float32)) @ uses @ sparse.diags(rare)
    width = max(1, min(TOGETHER, min(rows.shape) - 1))
    directions: Any = randomized_svd(rows.tocsr(), width, random_state=seed % 2**32)[2]
    return (rare[:, None] * directions.T).astype(np.float32)
