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
from shoal.tables import ITEM, SEGMENT, UNASSIGNED, USER

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


def content(
    before: pl.DataFrame, after: pl.DataFrame, *, alpha: float = ALPHA, draws: int = 1999, seed: int = 0
) -> pl.DataFrame:
    """Say which segments' members do something else than before, by more than chance.

    As in `sizes`, windows of a user are drawn in either order, and so is who is new or gone, inside a segment. Labels
    of one segment are tested together by the largest of their changes [3]_ (in standard deviations of chance), segments
    by Holm's correction.

    Parameters
    ----------
    before, after : polars.DataFrame
        user_id, segment, and a Float64 column for each label, the same ones in both tables: the share of the user's
        events in that window that have it (see `label_shares`). The unassigned (-1) have no rows in the answer.
    alpha, draws, seed
        As in `sizes`; alpha holds over all segments and labels together.

    Returns
    -------
    polars.DataFrame
        `CONTENT`, a row a segment that has members in both tables and a label: mean share over the members before and
        after, change, low and high (change plus and minus 1.96 standard deviations of chance), p, alarm.

    Raises
    ------
    ConfigError, NotEnoughDataError
        As in `sizes`; also where the tables have not the same labels.

    References
    ----------
    .. [3] Westfall and Young, "Resampling-based multiple testing", 1993.
    """
    _check(before, after, alpha, draws)
    labels = [c for c in before.columns if c not in (USER, SEGMENT)]
    if sorted(labels) != sorted(c for c in after.columns if c not in (USER, SEGMENT)) or not labels:
        raise ConfigError("The tables before and after must have the same labels as columns, at least one.")
    both = set(before[SEGMENT]) & set(after[SEGMENT])
    rows, ps = [], []
    for segment in sorted(both - {UNASSIGNED}):
        first, then, chance = _drawn(segment, labels, before, after, draws, generator(seed, "content", int(segment)))
        spread = chance.std(axis=0)
        largest = (np.abs(chance) / np.where(spread > 0, spread, 1)).max(axis=1)
        observed = np.abs(then - first) / np.where(spread > 0, spread, 1)
        p = (1 + (largest[:, None] >= observed - 1e-9).sum(0)) / (draws + 1)
        ps.append(p.min())
        rows.append((segment, first, then, spread, p))
    worse = holm(np.array(ps)) / np.maximum(np.array(ps), 1e-12) if ps else np.empty(0)
    told = [
        (segment, label, a, b, b - a, b - a - 1.96 * s, b - a + 1.96 * s, min(1.0, q * factor), q * factor <= alpha)
        for (segment, first, then, spread, p), factor in zip(rows, worse, strict=True)
        for label, a, b, s, q in zip(labels, first, then, spread, p, strict=True)
    ]
    return pl.DataFrame(told, schema=CONTENT, orient="row")


def label_shares(
    members: pl.DataFrame, interactions: pl.DataFrame, labels: pl.DataFrame, *, most: int = 20
) -> pl.DataFrame:
    """Return what `content` takes: each member's share of events that have a label.

    Parameters
    ----------
    members : polars.DataFrame
        user_id, segment; those without events are left out. The answer is sorted by user.
    interactions : polars.DataFrame
        The events of one window.
    labels : polars.DataFrame
        item_id, label, as `shoal.segment.words.categories` gives them.
    most : int
        How many labels, the most frequent in `labels`' items first; the same `labels` give the same columns.
    """
    user, item = pl.col(USER).cast(pl.String), pl.col(ITEM).cast(pl.String)
    labels = labels.select(item, pl.col("label").cast(pl.String)).unique()
    top = labels.group_by("label").len().sort("len", "label", descending=[True, False]).head(most)["label"].to_list()
    events = interactions.select(user, item)
    totals = events.group_by(USER).agg(total=pl.len())
    found = events.join(labels.filter(pl.col("label").is_in(top)), on=ITEM).group_by(USER, "label").len()
    wide = members.select(user, SEGMENT).join(totals, on=USER)
    for label in top:
        of_label = found.filter(pl.col("label") == label).select(USER, pl.col("len").alias(label))
        wide = wide.join(of_label, on=USER, how="left").with_columns(pl.col(label).fill_null(0) / pl.col("total"))
    return wide.drop("total").sort(USER)


def _drawn(
    segment: int, labels: list[str], before: pl.DataFrame, after: pl.DataFrame, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means before and after, (labels,), and changes by chance, (draws, labels), of a segment's members."""
    a, b = (
        # sorted, so that the order of rows changes nothing; a member is (1, shares), everyone else zeros
        table.select(pl.col(USER).cast(pl.String), pl.lit(1.0).alias("here"), SEGMENT, *labels).sort(USER)
        for table in (before, after)
    )
    pairs = a.join(b, on=USER, suffix=" after").filter(
        (pl.col(SEGMENT) == segment) | (pl.col(f"{SEGMENT} after") == segment)
    )
    columns = ["here", *labels]
    x = np.where(pairs[SEGMENT].to_numpy()[:, None] == segment, pairs[columns].to_numpy(), 0)
    y = pairs[[f"{c} after" for c in columns]].to_numpy()
    y = np.where(pairs[f"{SEGMENT} after"].to_numpy()[:, None] == segment, y, 0)
    gone, new = (
        t.join(o, on=USER, how="anti", maintain_order="left").filter(pl.col(SEGMENT) == segment)[columns].to_numpy()
        for t, o in ((a, b), (b, a))
    )
    chance = np.empty((draws, len(labels)))
    for draw in range(draws):
        swap, which = rng.random((2, len(x), 1)) < 0.5  # independently: whose window was first, and which counts below
        moved = np.where(swap, x - y, y - x).sum(0) / 2  # half of a move counts before, and half after
        ones = np.where(which, y, x)
        pool = np.concatenate([ones[ones[:, 0] > 0], gone, new])
        order = rng.permutation(len(pool))
        came, went = pool[order[: len(new)]].sum(0), pool[order[len(new) : len(new) + len(gone)]].sum(0)
        everyone = pool.sum(0)
        chance[draw] = _mean(everyone - went + moved) - _mean(everyone - came - moved)
    return _mean(x.sum(0) + gone.sum(0)), _mean(y.sum(0) + new.sum(0)), chance


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[1:] / max(1.0, sums[0])


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
