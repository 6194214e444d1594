"""A data set: the three tables, the rating scale, and the account of what was read and what was left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from shoal.errors import NotEnoughDataError, TableError
from shoal.tables import (
    AT,
    INTERACTIONS_OPTIONAL,
    ITEM,
    ITEMS,
    RATING,
    USER,
    USERS,
    WEIGHT,
    check_interactions,
    check_items,
    check_users,
)

EARLIER = "an earlier event of the same user and item"
"""The reason under which the events of a pair before its last one are counted as dropped."""
MANY_LEVELS = 20
"""A scale with more different ratings than this counts as continuous."""


@dataclass(frozen=True)
class Scale:
    """The rating scale.

    Attributes
    ----------
    low, high : float
        Smallest and largest rating that can be given.
    levels : tuple of float
        All ratings that occur, rising, if there are at most 20 of them; otherwise empty (a continuous scale).
    """

    low: float
    high: float
    levels: tuple[float, ...] = ()

    def at(self, share: float) -> float:
        """Return the rating that stands `share` (0 to 1) of the way up."""
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class ReadReport:
    """What was read, and what became of each row: rows in = rows kept + rows dropped, by reason.

    Attributes
    ----------
    rows_in, rows_kept : int
        Rows of the interaction file.
    dropped : dict of str to int
        Rows left out, by reason, such as ``{"rating is not a number": 38}``.
    notes : tuple of str
        What a reader should know beside the counts: preset and encoding found, blank times kept, items without text.
    files : tuple of str
        Names (not paths) of the files read.
    """

    rows_in: int
    rows_kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as lines of text, one for the sum and one a reason or note."""
        lost = sum(self.dropped.values())
        first = f"read {self.rows_in:,} rows, kept {self.rows_kept:,}" + (f", dropped {lost:,}" if lost else "")
        return [first, *(f"  dropped {n:,}: {why}" for why, n in self.dropped.items()), *(f"  {n}" for n in self.notes)]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "rows_in": self.rows_in,
            "rows_kept": self.rows_kept,
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
            "files": list(self.files),
        }


@dataclass(frozen=True)
class Dataset:
    """Interactions with their items and users, checked.

    Attributes
    ----------
    interactions : polars.DataFrame
        `shoal.tables.INTERACTIONS`: user_id, item_id, and rating or weight, at, text where the data has them. A pair of
        user and item stands once.
    items, users : polars.DataFrame
        One row for each item and user, those without interactions included; at least the id column.
    scale : Scale or None
        None where nobody rated: implicit counts (column weight) or bare events.
    report : ReadReport
        What was read and what was left out.
    name : str
        For titles and manifests.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    scale: Scale | None
    report: ReadReport
    name: str = "data"

    @property
    def feedback(self) -> Literal["ratings", "counts", "events"]:
        """What the value of an interaction is."""
        if RATING in self.interactions.columns:
            return "ratings"
        return "counts" if WEIGHT in self.interactions.columns else "events"

    @property
    def has_times(self) -> bool:
        """Whether at least one event has a time."""
        return AT in self.interactions.columns and self.interactions[AT].null_count() < self.interactions.height

    def with_interactions(self, interactions: pl.DataFrame) -> Dataset:
        """Return the same data set with other interactions (a part of a split, say); items, users and scale stay."""
        return replace(self, interactions=interactions)

    def fingerprint(self) -> str:
        """Return a short hash of the tables' content that does not depend on the order of rows or columns.

        It holds for one version of polars, whose row hash it is made from.
        """
        digest = hashlib.sha256()
        for table in (self.interactions, self.items, self.users):
            table = table.select(sorted(table.columns))
            digest.update(repr([(c, str(t)) for c, t in table.schema.items()]).encode())
            # in slices: the ids of 25 million events as strings would take a gigabyte
            hashes = [_hash_rows(part) for part in table.iter_slices(1 << 20)]
            digest.update(np.sort(np.concatenate(hashes) if hashes else np.empty(0, np.uint64)).tobytes())
        return digest.hexdigest()[:16]


def make(
    interactions: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    *,
    scale: Scale | tuple[float, float] | None = None,
    report: ReadReport | None = None,
    name: str = "data",
    least: int = 2,
) -> Dataset:
    """Make a checked Dataset from polars tables that are in memory.

    Ids may have any type; they become categoricals. Ratings and weights of any number type become Float32, times
    microseconds in UTC. Of several events of one user and item the last is kept; without a `report` the others are
    counted as dropped in a new one. Items and users that only occur in `interactions` are added to `items` and `users`
    with empty fields. The scale is taken from the ratings unless given. Fewer than `least` users or items are refused:
    two are needed to learn from; with 1, the past of one person is taken too.

    Raises
    ------
    TableError
        A table lacks a needed column, or has it with a type that cannot serve; a rating or weight is missing or not
        finite, or lies outside the scale given.
    NotEnoughDataError
        There is no interaction, or one user or one item alone.
    """
    rows_in = interactions.height
    interactions = check_interactions(_with_types(_with_ids(interactions, USER, ITEM)))
    _check_values(interactions)
    interactions, earlier = last_of_pairs(interactions)
    items = check_items(_complete(items, interactions, ITEM, ITEMS))
    users = check_users(_complete(users, interactions, USER, USERS))
    if not interactions.height:
        raise NotEnoughDataError("There is no interaction to learn from: the table is empty.")
    for column, word in ((USER, "user"), (ITEM, "item")):
        if interactions[column].n_unique() < least:
            raise NotEnoughDataError(
                f"All {interactions.height:,} interactions belong to one {word}, {interactions[column][0]}; "
                f"segments and recommendations need at least two {word}s. Check the {column} column."
            )
    scale = _scale(interactions[RATING], scale) if RATING in interactions.columns else None
    report = report or ReadReport(rows_in, interactions.height, {EARLIER: earlier} if earlier else {})
    return Dataset(interactions, items, users, scale, report, name)


def last_of_pairs(interactions: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return each pair's last event, in the order of the table, and how many earlier ones were left out.

    Last by time, then by place in the table; an event without a time stands before those with one.
    """
    pair = interactions.select(
        pl.col(USER).to_physical().cast(pl.UInt64) * 2**32 + pl.col(ITEM).to_physical().cast(pl.UInt64)
    ).to_series()
    if pair.n_unique() == interactions.height:
        return interactions, 0
    row = pl.int_range(interactions.height, dtype=pl.UInt32).alias("row")
    moment = [pl.col(AT)] if AT in interactions.columns else []
    # A table of numbers alone is sorted, and only where pairs repeat: texts and 25 million rows stay where they are.
    order = interactions.select(pair.alias("pair"), *moment, row).filter(pl.Series(pair.is_duplicated()))
    earlier = order.sort(*moment, "row", nulls_last=False).filter(~pl.col("pair").is_last_distinct())["row"]
    keep = np.ones(interactions.height, bool)
    keep[earlier.to_numpy()] = False
    return interactions.filter(pl.Series(keep)), len(earlier)


def _hash_rows(table: pl.DataFrame) -> np.ndarray:
    return table.with_columns(pl.col(pl.Categorical).cast(pl.String)).hash_rows(seed=0).to_numpy()


def _with_ids(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    cast = [pl.col(c).cast(pl.String).cast(pl.Categorical) for c in columns if c in table.columns]
    return table.with_columns(cast)


def _with_types(table: pl.DataFrame) -> pl.DataFrame:
    """Bring numbers and times to the types of an Interactions table; what is of another kind is left to the check."""
    casts = []
    for column, dtype in INTERACTIONS_OPTIONAL.items():
        found = table.schema.get(column)
        if found is None or found == dtype:
            continue
        if isinstance(found, pl.Datetime) and found.time_zone is not None:
            casts.append(pl.col(column).dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(dtype))
        elif (dtype.is_float() and found.is_numeric()) or (column == AT and found.is_temporal()):
            casts.append(pl.col(column).cast(dtype))
    return table.with_columns(casts)


def _check_values(interactions: pl.DataFrame) -> None:
    for column in (RATING, WEIGHT):
        if column in interactions.columns:
            bad = int((~interactions[column].is_finite()).fill_null(True).sum())
            if bad:
                raise TableError(
                    f"interactions: {column} is missing or not finite in {bad:,} of {interactions.height:,} rows. "
                    f"Leave these rows out, or the column {column} if the events have no value."
                )


def _complete(table: pl.DataFrame | None, interactions: pl.DataFrame, column: str, needed: Any) -> pl.DataFrame:
    used = interactions.select(pl.col(column).unique(maintain_order=True))
    if table is None:
        return used
    if column not in table.columns:
        return table  # the check that follows says so
    table = _with_ids(table, column)
    return pl.concat([table, used.join(table, on=column, how="anti")], how="diagonal")


def _scale(ratings: pl.Series, given: Scale | tuple[float, float] | None) -> Scale:
    """Return the scale given, with the levels that occur, or the one that the ratings span."""
    distinct = ratings.unique().sort()
    # Through the shortest decimal: a Float32 of 3.1 would be the level 3.0999999.
    values = [float(str(v)) for v in distinct.to_numpy()] if len(distinct) <= MANY_LEVELS else []
    ends = [float(str(v)) for v in (distinct.to_numpy()[0], distinct.to_numpy()[-1])]
    if isinstance(given, Scale):
        low, high, levels = given.low, given.high, given.levels
    else:
        low, high = (float(v) for v in given) if given is not None else ends
        levels = tuple(values)
    if ends[0] < low or ends[1] > high:
        raise TableError(
            f"interactions: ratings from {ends[0]:g} to {ends[1]:g} do not fit the scale {low:g} to {high:g}."
        )
    return Scale(low, high, levels)
