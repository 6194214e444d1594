"""Warmth: how good is it for users and items that are new, hardly known, known and well known?

0     cold       never seen in training
1-3   lukewarm
4-10  warm
more  hot
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from shoal.errors import NotEnoughDataError, TableError
from shoal.evaluate.pairs import with_string_ids
from shoal.evaluate.per_user import VALUE, PerUser, intervals
from shoal.tables import ITEM, USER

WARMTH, EVENTS = "warmth", "events"
BUCKETS = pl.Enum(["0", "1-3", "4-10", "more"])
"""Events in training, coldest first."""


def bucket(events: pl.Expr) -> pl.Expr:
    """Return the bucket of a number of events."""
    name = pl.when(events <= 0).then(pl.lit("0")).when(events <= 3).then(pl.lit("1-3"))
    return name.when(events <= 10).then(pl.lit("4-10")).otherwise(pl.lit("more")).cast(BUCKETS)


def event_counts(interactions: pl.DataFrame, column: str = USER) -> pl.DataFrame:
    """Count the events of each user, or of each item: the id (String) and events (Int64).

    Parameters
    ----------
    interactions : polars.DataFrame
        What a model had seen: the training events of users for their own warmth, or what they were given.
    column : str
        ``"user_id"`` or ``"item_id"``.
    """
    ids = with_string_ids(interactions, "interactions", ids=(column,))
    return ids.group_by(column).agg(pl.len().cast(pl.Int64).alias(EVENTS)).sort(column)


def by_warmth(per_user: PerUser, counts: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Judge users by how much was known of them.

    Parameters
    ----------
    per_user : PerUser
        Any metric.
    counts : polars.DataFrame
        user_id and events, as `event_counts` makes it; a user who is not in it has 0.
    seed : int
        For the intervals.

    Returns
    -------
    polars.DataFrame
        warmth (an Enum, coldest first), users, value, low, high; a bucket without users has no row.
    """
    return per_user.by(_warmth(per_user.table.select(USER), counts, USER), seed=seed)


def users_by_warmth(per_user: PerUser, counts: pl.DataFrame) -> list[tuple[str, PerUser]]:
    """Return the buckets of `by_warmth` with the users in them, coldest first."""
    return per_user.split(_warmth(per_user.table.select(USER), counts, USER))


def by_item_warmth(
    metric: Callable[[pl.DataFrame], PerUser], truth: pl.DataFrame, counts: pl.DataFrame, *, seed: int = 0
) -> pl.DataFrame:
    """Judge by how much was known of the items that were to be found.

    The metric is asked once a bucket with the part of the truth whose items are in it. For a ranking metric the lists
    stay whole: the value says how much of, say, the cold part of the truth is found in the usual lists.

    Parameters
    ----------
    metric : callable
        Takes a part of the truth, such as ``lambda part: ndcg(recommendations, part, n=10)``.
    truth : polars.DataFrame
        user_id, item_id and whatever the metric needs.
    counts : polars.DataFrame
        item_id and events, as ``event_counts(train, "item_id")`` makes it; an item that is not in it has 0.
    seed : int
        For the intervals.

    Returns
    -------
    polars.DataFrame
        warmth (an Enum, coldest first), events (of the truth), users, value, low, high; a bucket without events has no
        row.
    """
    parts = items_by_warmth(metric, truth, counts)
    bounds = intervals([one for _, _, one in parts], seed)
    rows = [
        (name, events, one.table.height, one.mean, *each)
        for (name, events, one), each in zip(parts, bounds, strict=True)
    ]
    figures = {EVENTS: pl.Int64(), "users": pl.Int64(), VALUE: pl.Float64(), "low": pl.Float64(), "high": pl.Float64()}
    return pl.DataFrame(rows, {WARMTH: BUCKETS, **figures}, orient="row")


def items_by_warmth(
    metric: Callable[[pl.DataFrame], PerUser], truth: pl.DataFrame, counts: pl.DataFrame
) -> list[tuple[str, int, PerUser]]:
    """Return the buckets of `by_item_warmth`, coldest first: name, events of the truth in it, the metric on them."""
    ids = with_string_ids(truth, "truth", ids=(ITEM,))
    if not ids.height:
        raise NotEnoughDataError(
            "The truth is empty: there is nothing to judge. Hold out a larger share of the events."
        )
    buckets = ids.join(_warmth(ids.unique(), counts, ITEM), on=ITEM, how="left", maintain_order="left")[WARMTH]
    parts = [(name, truth.filter(buckets == name)) for name in buckets.unique().sort()]
    return [(name, part.height, metric(part)) for name, part in parts]


def _warmth(ids: pl.DataFrame, counts: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the ids with their bucket."""
    counts = with_string_ids(counts, "counts", EVENTS, ids=(column,))
    if counts[column].n_unique() < counts.height:
        raise TableError(f"counts: an id in {column} stands twice; each may stand once.")
    known = ids.join(counts, on=column, how="left", maintain_order="left")
    return known.select(column, bucket(pl.col(EVENTS).fill_null(0)).alias(WARMTH))
