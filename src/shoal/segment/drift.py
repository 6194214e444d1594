"""Drift: did a segment's size, or what its members do, change by more than chance from one run or window to the next?

    users before and after --change of shares--> observed
    who came, who went, which of two windows was first, shuffled many times --> chance --Holm--> alarm

Where nothing changed, a user's two windows could as well have come the other way round, and users who are new or gone
are like those who stay. Shuffling just that gives changes by chance, whatever the sizes, without any distribution
assumed [1]_. Over all rows of a table, the chance of any false alarm is at most `alpha` [2]_.

References
----------
.. [1] Good, "Permutation, parametric and bootstrap tests of hypotheses", 2005, chapter 3.
.. [2] Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.errors import ConfigError, NotEnoughDataError
from shoal.seeding import generator
from shoal.tables import SEGMENT, USER

ALPHA = 0.05
DRAWS = 9999  # the smallest p is 1 in 10,000, so that thirty segments can still alarm at a rate of .005
MEASURED = {
    "before": pl.Float64(),
    "after": pl.Float64(),
    "change": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p": pl.Float64(),
    "alarm": pl.Boolean(),
}
SIZES = {SEGMENT: pl.Int32(), **MEASURED}
"""The columns of `sizes`."""
CONTENT = {SEGMENT: pl.Int32(), "label": pl.String(), **MEASURED}
"""The columns of `content`."""


def sizes(
    before: pl.DataFrame, after: pl.DataFrame, *, alpha: float = ALPHA, draws: int = DRAWS, seed: int = 0
) -> pl.DataFrame:
    """Say which segments' shares of users changed by more than chance.

    Of a user with both windows, which was first is drawn: moves between segments that go both ways alike are chance.
    Who of all users is new, who gone and who stays is drawn, too, in the numbers found.

    Parameters
    ----------
    before, after : polars.DataFrame
        user_id, segment (-1: unassigned, a row of its own); each user once. The segments must be the same ones: of one
        frozen run, or of a refit that kept their numbers.
    alpha : float
        Chance of any alarm, over all segments together, where nothing changed; above 0, below 1.
    draws : int
        Shuffles; more give finer p.
    seed : int
        Same seed, same table.

    Returns
    -------
    polars.DataFrame
        `SIZES`, a row a segment of either table, rising: share before and after (of all users), change, low and high
        (95 % bootstrap interval over users), p (after Holm's correction), alarm (p is at most alpha).

    Raises
    ------
    ConfigError
        alpha or draws is out of range.
    NotEnoughDataError
        One of the tables is empty.
    """
    _check(before, after, alpha, draws)
    segments, table = _table(before, after)  # (k + 1, k + 1) users; last row: new, last column: gone
    rng = generator(seed, "drift", "sizes")
    change = _change(table)
    flips = _flips(table, draws, rng)  # (draws, k) users more after than before
    came = _came(table, draws, rng)
    chance = flips + came
    p = holm(_p(change, chance))
    again = _change(_resampled(table, min(draws, 1999), rng))
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    first, then = _shares(table)
    columns = [segments, first, then, change, low, high, p, p <= alpha]
    return pl.DataFrame(dict(zip(SIZES, columns, strict=True)), schema=SIZES)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values, (tests,), such that rejecting those up to alpha rejects any true null with chance alpha."""
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    out = np.empty(len(p))
    out[order] = adjusted
    return out


def _table(before: pl.DataFrame, after: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    user = pl.col(USER).cast(pl.String)
    both = before.select(user, a=SEGMENT).join(after.select(user, b=SEGMENT), on=USER, how="full", coalesce=True)
    segments = np.unique(np.concatenate([before[SEGMENT].to_numpy(), after[SEGMENT].to_numpy()]))
    k = len(segments)
    a, b = (
        np.where(both[c].is_null(), k, np.searchsorted(segments, both[c].fill_null(segments[0]).to_numpy()))
        for c in "ab"
    )
    return segments, np.bincount(a * (k + 1) + b, minlength=(k + 1) ** 2).reshape(k + 1, k + 1)


def _shares(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares before and after, (..., k), of tables (..., k + 1, k + 1)."""
    first, then = tables.sum(-1)[..., :-1], tables.sum(-2)[..., :-1]
    return first / np.maximum(1, first.sum(-1, keepdims=True)), then / np.maximum(1, then.sum(-1, keepdims=True))


def _change(tables: np.ndarray) -> np.ndarray:
    first, then = _shares(tables)
    return np.asarray(then - first)


def _flips(table: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return by how much shares change, (draws, k), where each user who moved is as likely to have moved back."""
    k = len(table) - 1
    first, then = table[:-1].sum(), table[:, :-1].sum()
    more = np.zeros((draws, k))
    for a in range(k):
        for b in range(a + 1, k):
            movers = table[a, b] + table[b, a]
            if movers:
                net = 2 * rng.binomial(movers, 0.5, draws) - movers
                more[:, b] += net
                more[:, a] -= net
    return more * (1 / first + 1 / then) / 2  # half of a move counts before, and half after


def _came(table: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return by how much shares change, (draws, k), where it is drawn who is new and who gone."""
    new, gone, both = table[-1, :-1], table[:-1, -1], table[:-1, :-1]
    first, then = table[:-1].sum(), table[:, :-1].sum()
    # of one who stays one of the two windows counts, so that everyone has one segment
    ones = new + gone + np.diag(both)
    movers = both - np.diag(np.diag(both))
    out = np.zeros((draws, len(new)))
    for draw in range(draws if new.sum() + gone.sum() else 0):
        back = rng.binomial(movers, 0.5)
        everyone = ones + back.sum(0) + (movers - back).sum(1)
        came = rng.multivariate_hypergeometric(everyone, new.sum())
        went = rng.multivariate_hypergeometric(everyone - came, gone.sum())
        stays = everyone - came - went
        out[draw] = (stays + came) / then - (stays + went) / first
    return out


def _p(change: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return two-sided p-values of (k,) among (draws, k); what differs by rounding alone counts as equal."""
    return (1 + (np.abs(chance) >= np.abs(change) - 1e-12).sum(0)) / (len(chance) + 1)


def _resampled(table: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    users = table.sum()
    return rng.multinomial(users, (table / users).ravel(), draws).reshape(draws, *table.shape)


def _check(before: pl.DataFrame, after: pl.DataFrame, alpha: float, draws: int) -> None:
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha = {alpha}: must be above 0 and below 1, such as 0.05.")
    if draws < 99:
        raise ConfigError(f"draws = {draws}: must be 99 or more, or no p can be small.")
    for what, table in (("before", before), ("after", after)):
        if not table.height:
            raise NotEnoughDataError(f"There is nobody in the table of users {what}, so no change can be measured.")
