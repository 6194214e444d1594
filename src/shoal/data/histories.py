"""Users' pasts in row numbers, oldest event first: what every model reads.

starts (users + 1,)  --  user u's events stand at starts[u]:starts[u + 1]
items  (events,)     --  item rows
values (events,)     --  rating or weight, NaN for a bare event
times  (events,)     --  days since 1970, NaN where unknown
traits (users, ...)  --  what is told of users (`shoal.data.traits`), None where nothing is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import sparse

from shoal.data.ids import Ids
from shoal.seeding import generator
from shoal.tables import AT, ITEM, RATING, USER, WEIGHT

DAY = 86_400e6  # microseconds


@dataclass(frozen=True)
class Histories:
    """Events by user; see the module's first lines for the shapes."""

    starts: np.ndarray
    items: np.ndarray
    values: np.ndarray
    times: np.ndarray
    n_items: int
    traits: np.ndarray | None = None

    @property
    def n_users(self) -> int:
        """Number of users, those without events included."""
        return len(self.starts) - 1

    @property
    def counts(self) -> np.ndarray:
        """Events of each user, (users,)."""
        return np.diff(self.starts)

    @property
    def users(self) -> np.ndarray:
        """The user row of each event, (events,)."""
        return np.repeat(np.arange(self.n_users), self.counts)

    @property
    def places(self) -> np.ndarray:
        """The place of each event in its user's past, 0 for the oldest, (events,)."""
        return np.arange(len(self.items)) - np.repeat(self.starts[:-1], self.counts)

    def take(self, users: np.ndarray) -> Histories:
        """Return the histories of some users, in that order."""
        taken = self.slices(self.starts[users], self.starts[np.asarray(users) + 1])
        return taken if self.traits is None else replace(taken, traits=self.traits[users])

    def slices(self, first: np.ndarray, last: np.ndarray) -> Histories:
        """Return histories made of the events first[i]:last[i] of this one, one for each i, without traits."""
        counts = last - first
        starts = np.concatenate([[0], np.cumsum(counts)])
        index = np.arange(starts[-1]) + np.repeat(first - starts[:-1], counts)
        return Histories(starts, self.items[index], self.values[index], self.times[index], self.n_items)

    def newest(self, n: int) -> Histories:
        """Return each user's newest n events."""
        last = self.starts[1:]
        return replace(self.slices(np.maximum(self.starts[:-1], last - n), last), traits=self.traits)

    def where(self, keep: np.ndarray) -> Histories:
        """Return the events for which `keep` (events,) is true; users stay, with fewer events."""
        counts = np.bincount(self.users[keep], minlength=self.n_users)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return Histories(starts, self.items[keep], self.values[keep], self.times[keep], self.n_items, self.traits)

    def liked(self, relevant_from: float | None) -> Histories:
        """Return the events with a value of at least `relevant_from`; all of them when it is None."""
        return self if relevant_from is None else self.where(self.values >= relevant_from)

    def matrix(self, values: np.ndarray | None = None) -> sparse.csr_matrix:
        """Return the events as a sparse matrix (users, items), float32; ones, or `values` (events,)."""
        data = np.ones(len(self.items), np.float32) if values is None else values.astype(np.float32)
        return sparse.csr_matrix((data, self.items, self.starts), shape=(self.n_users, self.n_items))


def stacked(parts: Sequence[Histories]) -> Histories:
    """Return the users of all parts, one part below the other; they have one catalogue, and traits all or none."""
    starts = np.concatenate([[0], np.cumsum(np.concatenate([part.counts for part in parts]))])
    items, values, times = (np.concatenate([getattr(p, name) for p in parts]) for name in ("items", "values", "times"))
    traits = None if parts[0].traits is None else np.concatenate([part.traits for part in parts])
    return Histories(starts, items, values, times, parts[0].n_items, traits)


def joined(one: Histories, other: Histories) -> Histories:
    """Return the events of both, user by user and oldest first, with the traits of the first."""
    users, items, values, times = (
        np.concatenate([getattr(part, name) for part in (one, other)]) for name in ("users", "items", "values", "times")
    )
    order = np.lexsort((np.nan_to_num(times, nan=-np.inf), users))
    return Histories(one.starts + other.starts, items[order], values[order], times[order], one.n_items, one.traits)


def histories(interactions: pl.DataFrame, users: Ids, items: Ids, *, seed: int = 0) -> Histories:
    """Turn Interactions into Histories.

    Events of a user stand oldest first; events at the same time, or without one, stand in an order drawn by the seed,
    never in the order of ids or of the file (an order by id leaks: MovieLens ids follow the year of release). Events
    without a time stand before those with one. Users and items that are not in `users` and `items` are left out.
    """
    user_rows, item_rows = users.rows(interactions[USER]), items.rows(interactions[ITEM])
    known = (user_rows >= 0) & (item_rows >= 0)
    value_column = RATING if RATING in interactions.columns else WEIGHT
    n = interactions.height
    values = interactions[value_column].to_numpy() if value_column in interactions.columns else np.full(n, np.nan)
    times = np.full(n, np.nan)
    if AT in interactions.columns:
        times = interactions[AT].cast(pl.Int64).cast(pl.Float64).to_numpy() / DAY
    user_rows, item_rows = user_rows[known], item_rows[known]
    values, times = values[known].astype(np.float32), times[known]
    ties = _tie_breaks(item_rows, items, seed)
    keys = pl.DataFrame({"user": user_rows, "time": np.nan_to_num(times, nan=-np.inf), "tie": ties})
    order = keys.select(pl.arg_sort_by("user", "time", "tie", maintain_order=True)).to_series().to_numpy()
    starts = np.concatenate([[0], np.cumsum(np.bincount(user_rows, minlength=len(users)))])
    return Histories(starts, item_rows[order].astype(np.int32), values[order], times[order], len(items))


def _tie_breaks(item_rows: np.ndarray, items: Ids, seed: int) -> np.ndarray:
    """Return the place of each event's item in an order drawn by the seed.

    It depends on nothing but the catalogue, so that a past is read alike whoever else is asked about.
    """
    return generator(seed, "ties").permutation(len(items))[item_rows]
