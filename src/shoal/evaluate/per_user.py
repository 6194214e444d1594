"""A metric with one value for each user: its mean, its interval, and its parts by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from shoal.errors import NotEnoughDataError, TableError
from shoal.evaluate.bootstrap import percentiles, resample_all
from shoal.tables import USER, check

VALUE, N = "value", "n"
PER_USER: Mapping[str, pl.DataType] = {USER: pl.String(), VALUE: pl.Float64(), N: pl.Int32()}
LOWER_IS_BETTER = frozenset({"rmse", "mae"})


@dataclass(frozen=True, eq=False)
class PerUser:
    """A metric, user by user.

    Attributes
    ----------
    table : polars.DataFrame
        user_id (String, each once), value (Float64), n (Int32): the test events behind the value. Rising by user_id.
    metric : str
        Such as ``"ndcg@10"`` or ``"rmse"``.
    skipped : int
        Users who could not be judged (for ranking: recommendations but no truth).
    pooling : {"users", "pairs", "squares"}
        How values become one number. ``"users"``: their mean, each user counting once. ``"pairs"``: each user counts
        with their events, so that the result is the mean over all pairs. ``"squares"``: the same for squared values,
        and the root of it, which makes users' RMSEs the RMSE over all pairs.

    Raises
    ------
    NotEnoughDataError
        There is no user.
    TableError
        The table lacks a column, repeats a user, or holds a value that is not a finite number.
    """

    table: pl.DataFrame
    metric: str
    skipped: int = 0
    pooling: Literal["users", "pairs", "squares"] = "users"

    def __post_init__(self) -> None:
        check(self.table, PER_USER, what=self.metric)
        if not self.table.height:
            raise NotEnoughDataError(
                f"{self.metric} has no user to judge: the truth is empty. Hold out a larger share of the events."
            )
        if self.table[USER].n_unique() < self.table.height:
            raise TableError(f"{self.metric}: a user stands twice in the table; each may stand once.")
        bad = self.table.filter(~pl.col(VALUE).is_finite())
        if bad.height:
            raise TableError(f"{self.metric} of user {bad[USER][0]} is {bad[VALUE][0]}, and must be a finite number.")

    @property
    def mean(self) -> float:
        """The one number: the mean over users, or over pairs for rating metrics (see `pooling`)."""
        return float(pooled(self.parts().sum(axis=1), self.pooling))

    @property
    def lower_is_better(self) -> bool:
        """Whether a small value is a good one, as for errors."""
        return self.metric in LOWER_IS_BETTER

    def parts(self) -> np.ndarray:
        """Return what the one number is a quotient of: numerator and denominator, (2, users) float64."""
        values = self.table[VALUE].to_numpy()
        weights = np.ones(len(values)) if self.pooling == "users" else self.table[N].to_numpy().astype(np.float64)
        powers = values**2 if self.pooling == "squares" else values
        return np.stack([powers * weights, weights])

    def interval(self, seed: int = 0, level: float = 0.95, draws: int = 2000) -> tuple[float, float]:
        """Return the bounds of a percentile bootstrap interval over users [1]_.

        It says how far the number would move with other users of the same kind; not how far with another split or
        another training seed. With one user both bounds are that user's value.

        References
        ----------
        .. [1] Efron, Tibshirani: An Introduction to the Bootstrap. 1993, chapter 13.
        """
        return intervals([self], seed, level, draws)[0]

    def by(self, groups: pl.DataFrame, *, seed: int = 0, level: float = 0.95, draws: int = 2000) -> pl.DataFrame:
        """Judge each group of users on its own.

        Parameters
        ----------
        groups : polars.DataFrame
            user_id and one other column, which names the group; each user at most once. Users who are not in it form
            the group null; a group without a judged user has no row.
        seed, level, draws
            As in `interval`.

        Returns
        -------
        polars.DataFrame
            The group's column, users, value, low, high; rising by group.
        """
        parts = self.split(groups)
        bounds = intervals([one for _, one in parts], seed, level, draws)
        rows = [(name, one.table.height, one.mean, *each) for (name, one), each in zip(parts, bounds, strict=True)]
        column = _group_column(groups)
        figures = {"users": pl.Int64(), VALUE: pl.Float64(), "low": pl.Float64(), "high": pl.Float64()}
        return pl.DataFrame(rows, {column: groups.schema[column], **figures}, orient="row")

    def split(self, groups: pl.DataFrame) -> list[tuple[Any, PerUser]]:
        """Return each group of users on its own, as `by` forms them: its name and its part of the table."""
        column = _group_column(groups)
        groups = groups.with_columns(pl.col(USER).cast(pl.String))
        if groups[USER].n_unique() < groups.height:
            raise TableError(f"The table of groups names a user twice; each user may be in one {column}.")
        joined = self.table.join(groups, on=USER, how="left", maintain_order="left").sort(
            column, nulls_last=True, maintain_order=True
        )
        return [
            (part[column][0], PerUser(part.select(*PER_USER), self.metric, pooling=self.pooling))
            for part in joined.partition_by(column, maintain_order=True)
        ]


def intervals(
    metrics: Sequence[PerUser], seed: int = 0, level: float = 0.95, draws: int = 2000
) -> list[tuple[float, float]]:
    """Return the bounds of `PerUser.interval` for each metric; users are drawn once for all that have as many."""
    drawn = resample_all([one.parts() for one in metrics], seed=seed, draws=draws)
    return [percentiles(pooled(sums, one.pooling), level) for one, sums in zip(metrics, drawn, strict=True)]


def pooled(sums: np.ndarray, pooling: str) -> np.ndarray:
    """Turn sums of `PerUser.parts`, (2,) or (2, draws), into the metric."""
    quotient = sums[0] / sums[1]
    return np.sqrt(quotient) if pooling == "squares" else quotient


def _group_column(groups: pl.DataFrame) -> str:
    others = [c for c in groups.columns if c != USER]
    if USER not in groups.columns or len(others) != 1:
        raise TableError(
            f"The table of groups has the columns {', '.join(groups.columns) or 'none'}; "
            f"it must have {USER} and one column that names the group."
        )
    return others[0]
