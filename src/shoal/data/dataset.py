"""A data set: the three tables, the rating scale, and the account of what was read and what was left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from shoal.errors import NotEnoughDataError
from shoal.tables import AT, ITEM, ITEMS, RATING, USER, USERS, WEIGHT, check_interactions, check_items, check_users


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
        """Return a short hash of the tables' content that does not depend on the order of rows."""
        digest = hashlib.sha256()
        for table in (self.interactions, self.items, self.users):
            plain = table.with_columns(pl.col(pl.Categorical).cast(pl.String))
            digest.update(repr(list(plain.schema.items())).encode())
            digest.update(np.sort(plain.hash_rows(seed=0).to_numpy()).tobytes())
        return digest.hexdigest()[:16]


def make(
    interactions: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    *,
    scale: Scale | tuple[float, float] | None = None,
    report: ReadReport | None = None,
    name: str = "data",
) -> Dataset:
    """Make a checked Dataset from polars tables that are in memory.

    Ids may have any type; they become categoricals. Items and users that only occur in `interactions` are added to
    `items` and `users` with empty fields. The scale is taken from the ratings unless given.

    Raises
    ------
    TableError
        A table lacks a needed column, or has it with a type that cannot serve.
    NotEnoughDataError
        There is no interaction, or one user or one item alone.
    """
    interactions = check_interactions(_with_ids(interactions, USER, ITEM))
    items = check_items(_complete(items, interactions, ITEM, ITEMS))
    users = check_users(_complete(users, interactions, USER, USERS))
    if not interactions.height:
        raise NotEnoughDataError("There is no interaction to learn from: the table is empty.")
    for column, word in ((USER, "user"), (ITEM, "item")):
        if interactions[column].n_unique() < 2:
            raise NotEnoughDataError(
                f"All {interactions.height:,} interactions belong to one {word}, {interactions[column][0]}; "
                f"segments and recommendations need at least two {word}s. Check the {column} column."
            )
    if RATING in interactions.columns:
        scale = _scale(interactions[RATING], scale)
    else:
        scale = None
    report = report or ReadReport(interactions.height, interactions.height)
    return Dataset(interactions, items, users, scale, report, name)


def _with_ids(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    cast = [pl.col(c).cast(pl.String).cast(pl.Categorical) for c in columns if c in table.columns]
    return table.with_columns(cast)


def _complete(table: pl.DataFrame | None, interactions: pl.DataFrame, column: str, needed: Any) -> pl.DataFrame:
    used = interactions.select(pl.col(column).unique(maintain_order=True))
    if table is None:
        return used
    if column not in table.columns:
        return table  # the check that follows says so
    table = _with_ids(table, column)
    return pl.concat([table, used.join(table, on=column, how="anti")], how="diagonal")


def _scale(ratings: pl.Series, given: Scale | tuple[float, float] | None) -> Scale:
    levels = ratings.unique().drop_nulls().sort().to_list()
    levels = levels if len(levels) <= 20 else []
    if isinstance(given, Scale):
        return given
    low, high = given if given is not None else (float(ratings.min()), float(ratings.max()))  # type: ignore[arg-type]
    return Scale(float(low), float(high), tuple(levels))
