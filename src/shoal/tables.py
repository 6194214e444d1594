"""The tables: column names and types live here once, and each table has one check.

A table is a polars DataFrame. Tables that come in (`interactions`, `items`, `users`) hold ids as polars categoricals,
so that 25 million events fit in memory; tables that go out hold ids as strings, whatever they were in the file.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from shoal.errors import TableError, did_you_mean

USER, ITEM, RATING, WEIGHT, AT, TEXT = "user_id", "item_id", "rating", "weight", "at", "text"
RANK, SCORE, SOURCE, SPREAD = "rank", "score", "source", "spread"
SEGMENT, STRENGTH, SIZE, NAME = "segment", "strength", "size", "name"
SUBSEGMENT, PARENT = "subsegment", "parent"

UNASSIGNED = -1
"""The segment of a user with too few events to be placed."""

MOMENT = pl.Datetime("us")
"""Times are kept in UTC without a zone, in microseconds."""

INTERACTIONS: Mapping[str, pl.DataType] = {USER: pl.Categorical(), ITEM: pl.Categorical()}
"""Needed columns. `rating` (Float32) or `weight` (Float32), `at` (Datetime us) and `text` (String) may follow."""
INTERACTIONS_OPTIONAL: Mapping[str, pl.DataType] = {
    RATING: pl.Float32(),
    WEIGHT: pl.Float32(),
    AT: MOMENT,
    TEXT: pl.String(),
}
ITEMS: Mapping[str, pl.DataType] = {ITEM: pl.Categorical()}
"""Any text, category (List of String), number or vector (Array of Float32) column may follow."""
USERS: Mapping[str, pl.DataType] = {USER: pl.Categorical()}

MEMBERS: Mapping[str, pl.DataType] = {USER: pl.String(), SEGMENT: pl.Int32(), STRENGTH: pl.Float32()}
PAIRS: Mapping[str, pl.DataType] = {USER: pl.String(), ITEM: pl.String()}
RATINGS: Mapping[str, pl.DataType] = {**PAIRS, RATING: pl.Float32(), SPREAD: pl.Float32()}
RECOMMENDATIONS: Mapping[str, pl.DataType] = {
    **PAIRS,
    RANK: pl.Int32(),
    SCORE: pl.Float32(),
    SOURCE: pl.String(),
}


def check(
    table: pl.DataFrame,
    needed: Mapping[str, pl.DataType],
    optional: Mapping[str, pl.DataType] | None = None,
    *,
    what: str,
) -> pl.DataFrame:
    """Return `table` if it has the `needed` columns with their types, and `optional` ones, where present, with theirs.

    Raises
    ------
    TableError
        Names the table, the column, what was found and what was expected.
    """
    for column in needed:
        if column not in table.columns:
            raise TableError(
                f"{what} has no column {column}; it has {', '.join(table.columns) or 'no columns'}."
                f"{did_you_mean(column, table.columns)}"
            )
    for column, dtype in {**needed, **(optional or {})}.items():
        if column in table.columns and table.schema[column] != dtype:
            raise TableError(f"{what}: column {column} is {table.schema[column]}, and must be {dtype}.")
    for column in needed:
        missing = table[column].null_count()
        if missing:
            raise TableError(f"{what}: column {column} is empty in {missing:,} of {table.height:,} rows.")
    return table


def check_interactions(table: pl.DataFrame) -> pl.DataFrame:
    """Check an Interactions table; see `check`."""
    return check(table, INTERACTIONS, INTERACTIONS_OPTIONAL, what="interactions")


def check_items(table: pl.DataFrame) -> pl.DataFrame:
    """Check an Items table: an item has one row. See `check`."""
    return _check_one_row_each(check(table, ITEMS, what="items"), ITEM, "items")


def check_users(table: pl.DataFrame) -> pl.DataFrame:
    """Check a Users table: a user has one row. See `check`."""
    return _check_one_row_each(check(table, USERS, what="users"), USER, "users")


def _check_one_row_each(table: pl.DataFrame, column: str, what: str) -> pl.DataFrame:
    doubled = table.height - table[column].n_unique()
    if doubled:
        raise TableError(f"{what}: {doubled:,} rows repeat a {column}; each may stand once.")
    return table
