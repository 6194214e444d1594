"""Seeded draws for events and ids that depend on the ids, never on the order of rows."""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.seeding import generator
from shoal.tables import ITEM, USER

DRAW, PLACE = "_draw", "_place"
"""The columns that `with_draws` and `with_places` add."""


def with_draws(events: pl.DataFrame, seed: int, *names: str) -> pl.DataFrame:
    """Add a number drawn for each event; which one depends on the ids and the seed, not on the order of rows."""
    codes = _code(events, USER) * events[ITEM].n_unique() + _code(events, ITEM)
    draws = np.empty(events.height)
    draws[np.argsort(codes)] = generator(seed, "split", *names).random(events.height)
    return events.with_columns(pl.Series(DRAW, draws))


def _code(events: pl.DataFrame, column: str) -> np.ndarray:
    """Number the ids of a column from 0 in the order of their letters, (events,) int64."""
    rank = pl.col(column).cast(pl.String).rank("ordinal").cast(pl.Int64) - 1
    ranks = events.select(pl.col(column).unique()).with_columns(rank.alias("_rank"))
    return events.select(column).join(ranks, on=column, how="left", maintain_order="left")["_rank"].to_numpy()


def with_places(events: pl.DataFrame, by: list[str], *, newest_first: bool = False) -> pl.DataFrame:
    """Add each event's place among its user's events, from 0, in the order of `by`."""
    ordered = events.with_row_index("_row").sort(by, descending=newest_first)
    placed = ordered.with_columns(pl.int_range(pl.len()).over(USER).alias(PLACE))
    return placed.sort("_row").drop("_row")


def draw_ids(ids: pl.DataFrame, share: float, seed: int, *names: str) -> pl.DataFrame:
    """Take a random share of the ids in a table of one column without repeats."""
    in_order = ids.sort(pl.col(ids.columns[0]).cast(pl.String))
    rows = generator(seed, "split", *names).permutation(ids.height)[: count(share, ids.height)]
    return in_order[np.sort(rows)]


def count(share: float, n: int) -> int:
    """Return how many of n are held out: at least one, and one is left."""
    return min(max(1, round(share * n)), n - 1)
