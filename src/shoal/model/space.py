"""The space in which users are grouped: what they used, what its texts say, what the tower makes of it; then axes.

    past --mean of item vectors from who used what together (SVD)--> unit  \\
         --mean of the items' features (language vectors, labels)--> unit   > side by side --Axes--> axes
         --attention tower--> centred, unit                                /
    axes --one more coordinate, the same for all--> unit: a point on a sphere

Nothing is looked up: the same past always gives the same vector, of users known or unknown. The last coordinate makes
the cosine of two points fall with their distance (as on a map of a small country), so that those who lean nowhere are
near each other, and not spread over all directions.
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

TOGETHER = 128
"""Width of the vectors that come from who used what together."""
COARSE, FINE = 8, 16
"""Axes in which segments and subsegments are found."""
HEIGHT = 1.5
"""The last coordinate, in root mean squares of the axes: more is nearer to plain distances, less to cosines."""
HOPS = 2
"""How far item features travel over the graph of users and items, where that is asked for."""
MOST_USERS = 20_000
"""Users whose halves the axes are learnt from; more are sampled by the seed."""
SOURCES = ("events", "text", "graph", "tower")
Tower = Callable[[Histories], np.ndarray]


class Space:
    """User vectors from pasts.

    Parameters
    ----------
    sources : tuple of str
        Of `SOURCES`: ``events`` by who used what together, ``text`` by item features, ``graph`` by item features
        smoothed over the graph of users and items, ``tower`` by attention.
    features : (items, width) float32
        Language vectors and labels of items.
    tower : callable
        Histories -> (users, width) float32.
    """

    def __init__(self, sources: tuple[str, ...], features: np.ndarray, tower: Tower) -> None:
        self.sources, self.features, self.tower = sources, features, tower

    def fit(self, train: Histories, *, seed: int) -> Self:
        """Learn the space from the training users' pasts.

        Parameters
        ----------
        train : Histories
        seed : int
        """
        rng = generator(seed, "space")
        self.items_: dict[str, np.ndarray] = {}
        if "events" in self.sources:
            self.items_["events"] = _together(train, integer(seed, "together"))
        if "graph" in self.sources:
            self.items_["graph"] = smoothed(train, self.features)
        some = train
        if train.n_users > MOST_USERS:
            some = train.take(np.sort(rng.choice(train.n_users, MOST_USERS, replace=False)))
        some = some.take(np.flatnonzero(some.counts >= 2))
        first = halves(some, rng)
        parts = some.where(first), some.where(~first)
        self.middle_ = np.zeros(1, np.float32)
        if "tower" in self.sources and some.n_users:
            self.middle_ = self.tower(some).mean(0)
        bases, uses = [self.base(part) for part in parts], [part.matrix() for part in parts]
        self.axes_ = Axes.fit((bases[0], bases[1]), (uses[0], uses[1]), FINE)
        own = self.axes_.of(self.base(some), some.counts)
        self.heights_ = np.array([HEIGHT * _size(own[:, :COARSE]), HEIGHT * _size(own)], np.float32)
        return self

    def base(self, pasts: Histories) -> np.ndarray:
        """Return the sources side by side, each of length one or zeros: (users, width) float32."""
        made = []
        uses = pasts.matrix()
        for source in self.sources:
            if source == "tower":
                made.append(unit(self.tower(pasts) - self.middle_))
            else:
                made.append(unit(np.asarray(uses @ (self.features if source == "text" else self.items_[source]))))
        base = np.concatenate(made, axis=1).astype(np.float32)
        base[pasts.counts == 0] = 0
        return base

    def both(self, pasts: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors in which segments (users, 9) and subsegments (users, 17) are found, float32.

        Rows have length one, or are zeros where there is no past, or nothing is known of it.
        """
        own = self.axes_.of(self.base(pasts), pasts.counts)
        return self._on_sphere(own[:, :COARSE], 0), self._on_sphere(own, 1)

    def of(self, pasts: Histories) -> np.ndarray:
        """Return the vectors in which segments are found, the first of `both`."""
        return self.both(pasts)[0]

    def _on_sphere(self, own: np.ndarray, level: int) -> np.ndarray:
        there = own.any(1)
        height = np.where(there, self.heights_[level], 0).astype(np.float32)
        return unit(np.concatenate([own, height[:, None]], axis=1))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt, for storage; features and tower are kept elsewhere."""
        axes = {f"axes.{name}": part for name, part in self.axes_.tensors().items()}
        items = {f"items.{name}": part for name, part in self.items_.items()}
        return axes | items | {"middle": self.middle_, "heights": self.heights_}

    def restore(self, tensors: Mapping[str, np.ndarray]) -> Self:
        """Take what `tensors` gave."""
        parts: dict[str, dict[str, np.ndarray]] = {"axes": {}, "items": {}}
        for name, part in tensors.items():
            group, _, own = name.partition(".")
            if own:
                parts[group][own] = part
        self.axes_, self.items_ = Axes.restore(parts["axes"]), parts["items"]
        self.middle_, self.heights_ = tensors["middle"], tensors["heights"]
        return self


def halves(pasts: Histories, rng: np.random.Generator) -> np.ndarray:
    """Return which events (events,) are in the first of two halves, drawn at random for each user.

    Of an odd number one half has one more, which of them being drawn too.
    """
    order = np.lexsort((rng.random(len(pasts.items)), pasts.users))
    first = np.zeros(len(order), bool)
    first[order] = (pasts.places + np.repeat(rng.integers(0, 2, pasts.n_users), pasts.counts)) % 2 == 0
    return first


def smoothed(train: Histories, features: np.ndarray) -> np.ndarray:
    """Return item features (items, width) after `HOPS` hops to users and back, the mean of all stops.

    Source: LightGCN, He et al. 2020, equations 7 and 8, here with frozen features in place of learnt embeddings.
    """
    uses = train.matrix()
    of_users = sparse.diags((np.maximum(train.counts, 1) ** -0.5).astype(np.float32))
    known = np.bincount(train.items, minlength=train.n_items)
    graph = of_users @ uses @ sparse.diags((np.maximum(known, 1) ** -0.5).astype(np.float32))
    stops = [features.astype(np.float32)]
    for _ in range(HOPS):
        stops.append(np.asarray(graph.T @ (graph @ stops[-1])))
    return np.asarray(np.mean(stops, axis=0, dtype=np.float32))


def _size(own: np.ndarray) -> float:
    return max(float(np.sqrt(np.square(own).sum(1).mean())), 1e-9) if own.size else 1.0


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
