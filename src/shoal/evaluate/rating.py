"""Rating metrics: how far are predicted ratings from given ones?

The headline is taken over all pairs, as in the literature, so that a user counts with their test events; the interval
draws users, with all their events. Values per user stand in `PerUser.table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from shoal.errors import MismatchError, TableError
from shoal.evaluate.pairs import check_once, with_string_ids
from shoal.evaluate.per_user import PER_USER, VALUE, N, PerUser
from shoal.tables import ITEM, RATING, USER


def rmse(ratings: pl.DataFrame, truth: pl.DataFrame) -> PerUser:
    """Root mean squared error of predicted ratings, in units of the scale.

    Parameters
    ----------
    ratings : polars.DataFrame
        Predictions: user_id, item_id, rating. Pairs that are not in `truth` do not count.
    truth : polars.DataFrame
        What was given: user_id, item_id, rating. Rows without a rating do not count.

    Returns
    -------
    PerUser
        Each user's RMSE; `mean` is the RMSE over all pairs. `skipped` counts users with predictions and no truth.

    Raises
    ------
    MismatchError
        A pair of `truth` has no prediction, or one that is not a finite number: leaving hard pairs out would be a gain.
    TableError
        A column is missing, or a pair stands twice.
    NotEnoughDataError
        `truth` is empty.
    """
    pairs = _matched(ratings, truth)
    error = pl.col("predicted") - pl.col("actual")
    return _per_user(pairs, (error**2).mean().sqrt(), "rmse", "squares", ratings)


def mae(ratings: pl.DataFrame, truth: pl.DataFrame) -> PerUser:
    """Mean absolute error of predicted ratings, in units of the scale. Takes, returns and raises as `rmse`."""
    error = pl.col("predicted") - pl.col("actual")
    return _per_user(_matched(ratings, truth), error.abs().mean(), "mae", "pairs", ratings)


def accuracy(ratings: pl.DataFrame, truth: pl.DataFrame, levels: Sequence[float] | None = None) -> PerUser:
    """Share of predictions that are right once rounded to the nearest rating that can be given, 0 to 1.

    Parameters
    ----------
    ratings, truth : polars.DataFrame
        As in `rmse`.
    levels : sequence of float, optional
        The ratings that can be given; None takes those that occur in `truth`. A prediction halfway between two is
        rounded up.

    Raises
    ------
    MismatchError
        As in `rmse`, or `truth` holds a rating that is not one of `levels`.
    """
    pairs = _matched(ratings, truth)
    actual = pairs["actual"].to_numpy()
    steps = np.unique(actual if levels is None else np.asarray(levels, np.float32).astype(np.float64))
    strange = actual[~np.isin(actual, steps)]
    if len(strange):
        known = ", ".join(f"{step:g}" for step in steps)
        raise MismatchError(
            f"A rating of {strange[0]:g} was given, which is not one of the levels {known}. "
            "Give levels=None to take those that occur."
        )
    halfway = (steps[:-1] + steps[1:]) / 2
    rounded = steps[np.searchsorted(halfway, pairs["predicted"].to_numpy(), side="right")]
    pairs = pairs.with_columns(pl.Series("right", rounded == actual))
    return _per_user(pairs, pl.col("right").cast(pl.Float64).mean(), "accuracy", "pairs", ratings)


def _per_user(
    pairs: pl.DataFrame, value: pl.Expr, metric: str, pooling: Literal["pairs", "squares"], ratings: pl.DataFrame
) -> PerUser:
    table = pairs.group_by(USER).agg(value.alias(VALUE), pl.len().cast(pl.Int32).alias(N)).sort(USER)
    predicted = ratings.select(pl.col(USER).cast(pl.String)).unique()
    skipped = predicted.join(table, on=USER, how="anti").height
    return PerUser(table.select(*PER_USER), metric, skipped, pooling)


def _matched(ratings: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Return user_id, item_id, predicted and actual (Float64) for each pair of the truth."""
    predicted, actual = _values(ratings, "ratings", "predicted"), _values(truth, "truth", "actual")
    actual = actual.filter(pl.col("actual").is_not_null())
    check_once(predicted, "ratings")
    check_once(actual, "truth")
    pairs = actual.join(predicted, on=[USER, ITEM], how="left", maintain_order="left")
    absent = pairs.filter(pl.col("predicted").is_null() | ~pl.col("predicted").is_finite())
    if absent.height:
        user, item = absent.select(USER, ITEM).row(0)
        raise MismatchError(
            f"The pair of user {user} and item {item} has no predicted rating ({absent.height:,} of "
            f"{pairs.height:,} pairs). Predict every pair of the truth; unseen users and items get the prior."
        )
    return pairs


def _values(table: pl.DataFrame, what: str, name: str) -> pl.DataFrame:
    if RATING in table.columns and not table.schema[RATING].is_numeric():
        raise TableError(f"{what}: column {RATING} is {table.schema[RATING]}, and must be a number.")
    if RATING not in table.columns:
        return with_string_ids(table, what, RATING)  # which says what is missing
    pairs = with_string_ids(table, what)
    return pairs.with_columns(table[RATING].cast(pl.Float64).alias(name))
