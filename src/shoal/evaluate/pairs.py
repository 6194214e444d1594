"""Pairs of user and item from anyone's table: ids become strings, and a pair stands once."""

from __future__ import annotations

import polars as pl

from shoal.errors import TableError, did_you_mean
from shoal.tables import ITEM, USER


def with_string_ids(table: pl.DataFrame, what: str, *columns: str, ids: tuple[str, ...] = (USER, ITEM)) -> pl.DataFrame:
    """Return the `ids` of a table as strings, and the other `columns` as they are.

    Raises
    ------
    TableError
        A column is missing or holds nulls, or ids are neither strings, categoricals nor whole numbers (1.0 and 1 would
        be two ids).
    """
    for column in (*ids, *columns):
        if column not in table.columns:
            better = did_you_mean(column, table.columns)
            raise TableError(f"{what}: there is no column {column}; it has {', '.join(table.columns)}.{better}")
        missing = table[column].null_count()
        if missing:
            raise TableError(f"{what}: column {column} is empty in {missing:,} of {table.height:,} rows.")
    for column in ids:
        dtype = table.schema[column]
        if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)):
            raise TableError(f"{what}: column {column} is {dtype}; ids must be strings, categoricals or whole numbers.")
    return table.select(*(pl.col(c).cast(pl.String) for c in ids), *columns)


def check_once(pairs: pl.DataFrame, what: str) -> None:
    """Refuse a table of pairs in which one stands twice.

    Raises
    ------
    TableError
        Names the first such pair by user.
    """
    if pairs.select(USER, ITEM).n_unique() == pairs.height:
        return
    doubled = pairs.filter(pl.struct(USER, ITEM).is_duplicated()).sort(USER, ITEM)
    user, item = doubled.select(USER, ITEM).row(0)
    raise TableError(f"{what}: item {item} stands more than once for user {user}; keep one row for each pair.")
