"""What users do and are, user by user, in a form that can be summed over any draw of them.

Shares   of events or users that have a label: counts (users, labels), totals (users,)
Means    of a number: values (users,), NaN where it is not known
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy import sparse

from shoal.data.ids import Ids
from shoal.segment.profile import is_trait
from shoal.segment.words import categories, words
from shoal.tables import AT, ITEM, RATING, SEGMENT, USER
from shoal.titles import titles

CATEGORY, WORD, EXEMPLAR, HABIT, TRAIT = "category", "word", "item", "habit", "trait"
DAY = 86_400e6  # microseconds
PARTS_OF_DAY = ("00 to 06", "06 to 12", "12 to 18", "18 to 24")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Shares:
    """Labels of what users used, or of users.

    Attributes
    ----------
    part : str
    labels : polars.DataFrame
        kind, label, item_id.
    user_units, unit_labels : sparse matrices
        (users, units) and (units, labels), whose product are the counts: units are items, or the labels themselves.
    totals : (users,) float64
        What the counts of a user are a share of.
    of_users : bool
        Show the share of users who have the label instead of the share of the total.
    """

    part: str
    labels: pl.DataFrame
    user_units: sparse.csr_matrix
    unit_labels: sparse.csr_matrix
    totals: np.ndarray
    of_users: bool = False

    def sums(self, users: np.ndarray) -> np.ndarray:
        """Return the counts of all labels over some users, (labels,)."""
        units = np.asarray(self.user_units[users].sum(axis=0)).ravel()
        return np.asarray(self.unit_labels.T @ units).ravel()

    def counts(self, users: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the counts of some labels of some users, (users, labels) float32."""
        return np.asarray((self.user_units[users] @ self.unit_labels[:, labels]).toarray(), np.float32)


@dataclass(frozen=True)
class Means:
    """A number of each user.

    Attributes
    ----------
    part, kind, label : str
    values : (users,) float64
        What the effect is taken on.
    shown : (users,) float64
        The number as a reader knows it.
    median : bool
        Show the median instead of the mean.
    """

    part: str
    kind: str
    label: str
    values: np.ndarray
    shown: np.ndarray
    median: bool = False

    def value(self, users: np.ndarray) -> float | None:
        """Return the median or mean over some users; None if it is known of nobody."""
        known = self.shown[users][np.isfinite(self.shown[users])]
        if not len(known):
            return None
        return float(np.median(known) if self.median else known.mean())


class Measured:
    """All that can be measured of some users.

    Parameters
    ----------
    members : polars.DataFrame
        user_id (String), segment.
    interactions, items : polars.DataFrame
    users : polars.DataFrame, optional
    """

    def __init__(
        self, members: pl.DataFrame, interactions: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame | None
    ) -> None:
        members = members.sort(USER)
        self.segments = members[SEGMENT].to_numpy()
        self._ids, self._users = Ids(members[USER]), users
        self._item_ids = Ids(items[ITEM].cast(pl.String).sort())
        self._items = items
        rows = self._ids.rows(interactions[USER])
        self._events = interactions.filter(pl.Series(rows >= 0))
        self._rows = rows[rows >= 0]
        self._newest = interactions[AT].max() if AT in interactions.columns else None

    @property
    def n(self) -> int:
        """Number of users."""
        return len(self.segments)

    @cached_property
    def events(self) -> np.ndarray:
        """Events of each user, (users,)."""
        return np.bincount(self._rows, minlength=self.n).astype(np.float64)

    @cached_property
    def user_items(self) -> sparse.csr_matrix:
        """Which user has which item, (users, items)."""
        items = self._item_ids.rows(self._events[ITEM])
        known = items >= 0
        return _matrix(self._rows[known], items[known], self.n, len(self._item_ids))

    def shares(self) -> list[Shares]:
        """Return categories with decades, words, items, times of day and week, and traits, as far as there are any."""
        return [
            *self._labels(CATEGORY, categories(self._items)),
            *self._labels(WORD, words(self._items)),
            self._exemplars(),
            *self._times(),
            *self._traits(),
        ]

    def means(self) -> list[Means]:
        """Return events, recency, rating level and spread, and traits that are numbers."""
        log, number = np.log1p, self.events
        found = [Means(HABIT, "events", "events a user", log(number), number, median=True)]
        if (days := self._recency()) is not None:
            found.append(Means(HABIT, "recency", "days since the last event", log(days), days, median=True))
        if RATING in self._events.columns:
            level, spread = self._ratings()
            found.append(Means(HABIT, "rating", "mean rating", level, level))
            found.append(Means(HABIT, "rating", "spread of ratings", spread, spread))
        return found + self._numbers()

    def _labels(self, part: str, labels: pl.DataFrame) -> list[Shares]:
        if not labels.height:
            return []
        labels = labels.with_columns(pl.col(ITEM).cast(pl.String)).sort("kind", "label", ITEM)
        names = labels.select("kind", "label").unique(maintain_order=True).with_row_index("place")
        place = labels.join(names, on=["kind", "label"], maintain_order="left")["place"].to_numpy()
        of_items = _matrix(self._item_ids.rows(labels[ITEM]), place, len(self._item_ids), names.height)
        named = names.select("kind", "label", pl.lit(None, pl.String).alias(ITEM))
        return [Shares(part, named, self.user_items, of_items, self.events)]

    def _exemplars(self) -> Shares:
        ids = self._item_ids.values
        called = ids.to_frame(ITEM).join(titles(self._items), on=ITEM, how="left", maintain_order="left")
        labels = called.select(pl.lit(ITEM).alias("kind"), pl.col("title").fill_null(pl.col(ITEM)).alias("label"), ITEM)
        each = sparse.identity(len(ids), np.float64, format="csr")
        return Shares(EXEMPLAR, labels, self.user_items, each, self.events, of_users=True)

    def _times(self) -> list[Shares]:
        if AT not in self._events.columns or self._events[AT].null_count() == self._events.height:
            return []
        known = self._events[AT].is_not_null()
        at, rows = self._events[AT].filter(known), self._rows[known.to_numpy()]
        found = [self._coded("weekday", WEEKDAYS, rows, at.dt.weekday().to_numpy() - 1)]
        if at.dt.hour().n_unique() > 1:  # days alone have no hours
            found.append(self._coded("hour", PARTS_OF_DAY, rows, at.dt.hour().to_numpy() // 6))
        return found

    def _coded(
        self, kind: str, names: tuple[str, ...], rows: np.ndarray, codes: np.ndarray, part: str = HABIT
    ) -> Shares:
        """Return the shares of labels of which each row has one."""
        labels = pl.DataFrame(
            {"kind": kind, "label": list(names), ITEM: pl.Series([None] * len(names), dtype=pl.String)}
        )
        counts = _matrix(rows, codes.astype(np.int64), self.n, len(names))
        each = sparse.identity(len(names), np.float64, format="csr")
        totals = np.bincount(rows, minlength=self.n).astype(np.float64)
        return Shares(part, labels, counts, each, totals)

    def _traits(self) -> list[Shares]:
        found = []
        for name, column in self._told():
            if is_trait(column):
                words_ = column.cast(pl.String)
                values = Ids(words_.drop_nulls().unique().sort())
                codes = values.rows(words_)
                rows = np.flatnonzero(codes >= 0)
                found.append(self._coded(name, tuple(values.values), rows, codes[rows], TRAIT))
        return found

    def _numbers(self) -> list[Means]:
        found = []
        for name, column in self._told():
            if column.dtype.is_numeric() and not is_trait(column):
                values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
                found.append(Means(TRAIT, name, name, values, values))
        return found

    def _told(self) -> list[tuple[str, pl.Series]]:
        """Return the columns of the users' table, in the order of the members."""
        if self._users is None:
            return []
        users = self._users.with_columns(pl.col(USER).cast(pl.String))
        told = self._ids.values.to_frame(USER).join(users, on=USER, how="left", maintain_order="left")
        return [(name, told[name]) for name in sorted(told.columns) if name != USER]

    def _recency(self) -> np.ndarray | None:
        if self._newest is None or AT not in self._events.columns:
            return None
        at = self._events[AT].cast(pl.Int64).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        last = np.full(self.n, -np.inf)
        np.fmax.at(last, self._rows, at)
        newest = float(pl.Series([self._newest], dtype=self._events.schema[AT]).cast(pl.Int64)[0])
        return np.where(np.isfinite(last), (newest - last) / DAY, np.nan)

    def _ratings(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of each user's ratings, and their standard deviation where there are two."""
        rating = self._events[RATING].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        there = np.isfinite(rating)
        rows, rating = self._rows[there], rating[there]
        number = np.bincount(rows, minlength=self.n)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(rows, rating, self.n) / number
            square = np.bincount(rows, (rating - mean[rows]) ** 2, self.n)
            return np.where(number > 0, mean, np.nan), np.where(number > 1, np.sqrt(square / (number - 1)), np.nan)


def _matrix(rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int) -> sparse.csr_matrix:
    """Return how often each pair occurs; pairs of a row that is -1 are left out."""
    known = rows >= 0
    ones = np.ones(int(known.sum()))
    return sparse.csr_matrix((ones, (rows[known], columns[known])), shape=(n_rows, n_columns))
