"""Who won: the difference of two models on the same users, with its interval and its p value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from shoal.errors import MismatchError, NotEnoughDataError, UnknownIdError, did_you_mean
from shoal.evaluate.bootstrap import percentiles, resample_all
from shoal.evaluate.per_user import PER_USER, VALUE, PerUser, intervals, pooled
from shoal.tables import USER


@dataclass(frozen=True)
class Difference:
    """The first model less the second one.

    Attributes
    ----------
    mean : float
        Difference of the two headline values, over the users whom both were judged on.
    low, high : float
        Bounds of its 95 % percentile bootstrap interval.
    p : float
        Two-sided bootstrap p value of no difference, from 1 / (draws + 1) up.
    n : int
        Users.
    lower_is_better : bool
        Whether the metric is an error.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int
    lower_is_better: bool = False

    @property
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """What the interval says of the first model: undecided where it holds 0."""
        if self.low <= 0 <= self.high:
            return "undecided"
        return "better" if (self.mean < 0) == self.lower_is_better else "worse"


def paired(a: PerUser, b: PerUser, *, seed: int = 0, draws: int = 10_000) -> Difference:
    """Compare two models by a paired bootstrap [1]_ [2]_ over the users common to both.

    Each draw takes the same users for both models, so that what makes a user easy or hard for everyone cancels. Pooled
    metrics such as RMSE are pooled within each draw.

    Raises
    ------
    MismatchError
        The two are different metrics.
    NotEnoughDataError
        No user was judged for both.

    References
    ----------
    .. [1] Efron, Tibshirani: An Introduction to the Bootstrap. 1993, chapters 13 and 16.
    .. [2] Sakai: Evaluating evaluation metrics based on the bootstrap. SIGIR 2006.
    """
    return all_paired([(a, b)], seed=seed, draws=draws)[0]


def all_paired(pairs: Sequence[tuple[PerUser, PerUser]], *, seed: int = 0, draws: int = 10_000) -> list[Difference]:
    """Compare many pairs as `paired` does; users are drawn once for all pairs that have as many in common."""
    known = [_common(*pair) for pair in pairs]
    drawn = resample_all([np.concatenate([a.parts(), b.parts()]) for a, b in known], seed=seed, draws=draws)
    return [_difference(a, b, sums) for (a, b), sums in zip(known, drawn, strict=True)]


def _difference(a: PerUser, b: PerUser, sums: np.ndarray) -> Difference:
    """Make a difference of the sums in each draw, (4, draws)."""
    differences = pooled(sums[:2], a.pooling) - pooled(sums[2:], b.pooling)
    low, high = percentiles(differences, 0.95)
    # The plus ones keep p above 0: with so many draws nothing smaller can be told.
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
    return Difference(a.mean - b.mean, low, high, p, a.table.height, a.lower_is_better)


def summary(
    metrics: Mapping[str, PerUser], *, best: str | None = None, seed: int = 0, draws: int = 2000
) -> pl.DataFrame:
    """Put models side by side, the best first, and compare each with the best.

    Parameters
    ----------
    metrics : mapping of str to PerUser
        One metric, by model.
    best : str, optional
        The model with which the others are compared; None takes the one with the best value.
    seed, draws
        For intervals and p values.

    Returns
    -------
    polars.DataFrame
        model, metric, value, low, high, users, skipped, then the model less the best one: difference, difference_low,
        difference_high, p (null in the best one's own row).

    Raises
    ------
    NotEnoughDataError
        There is no model.
    MismatchError
        The metrics differ.
    UnknownIdError
        `best` is not one of the models.
    """
    if not metrics:
        raise NotEnoughDataError("There is no model to sum up. Give at least one metric.")
    if best is not None and best not in metrics:
        raise UnknownIdError(f"{best} is not one of the models {', '.join(metrics)}.{did_you_mean(best, metrics)}")
    lower = next(iter(metrics.values())).lower_is_better
    order = sorted(metrics, key=lambda model: metrics[model].mean if lower else -metrics[model].mean)
    first = metrics[best or order[0]]
    others = [model for model in order if metrics[model] is not first]
    behind = all_paired([(metrics[model], first) for model in others], seed=seed, draws=draws)
    bounds = intervals([metrics[model] for model in order], seed, draws=draws)
    behind_of = dict(zip(others, behind, strict=True))
    rows = [_row(m, metrics[m], each, behind_of.get(m)) for m, each in zip(order, bounds, strict=True)]
    return pl.DataFrame(rows, _SUMMARY, orient="row")


_SUMMARY: Mapping[str, pl.DataType] = {
    "model": pl.String(),
    "metric": pl.String(),
    VALUE: pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "users": pl.Int64(),
    "skipped": pl.Int64(),
    "difference": pl.Float64(),
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
    "p": pl.Float64(),
}


def _row(model: str, one: PerUser, bounds: tuple[float, float], behind: Difference | None) -> tuple[object, ...]:
    known = (model, one.metric, one.mean, *bounds, one.table.height, one.skipped)
    return (*known, *((None,) * 4 if behind is None else (behind.mean, behind.low, behind.high, behind.p)))


def _common(a: PerUser, b: PerUser) -> tuple[PerUser, PerUser]:
    """Return both on the users whom both were judged on."""
    if (a.metric, a.pooling) != (b.metric, b.pooling):
        raise MismatchError(f"{a.metric} cannot be compared with {b.metric}: judge both models by the same metric.")
    users = a.table.select(USER).join(b.table.select(USER), on=USER, how="semi").sort(USER)
    if not users.height:
        raise NotEnoughDataError(
            f"No user was judged for both: the first {a.metric} has users such as {a.table[USER][0]}, the second such "
            f"as {b.table[USER][0]}. Judge both models on the same test."
        )
    return tuple(  # type: ignore[return-value]
        PerUser(users.join(one.table, on=USER, maintain_order="left").select(*PER_USER), one.metric, 0, one.pooling)
        for one in (a, b)
    )
