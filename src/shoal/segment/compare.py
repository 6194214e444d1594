"""What differs between a few segments, by how much, and whether it matters.

members, interactions, items --> labels, items, habits, traits as sums over users
       --users drawn again (Poisson weights)--> each effect in each draw --> interval, p, what matters

Events of one user depend on each other, so users are drawn, with all that they did. An effect matters if its 95 %
interval stays beyond what Cohen calls small, and if it survives the control of false discoveries over all that was
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from shoal.errors import ConfigError, NotEnoughDataError, UnknownIdError
from shoal.seeding import generator
from shoal.segment.contrast import log_odds
from shoal.segment.effects import Drawn, cohen, false_discoveries, interval, moments, p_of
from shoal.segment.measured import Means, Measured, Shares
from shoal.tables import ITEM, SEGMENT, USER, check

SMALL = 0.2
"""Cohen's d from which an effect is small instead of none; Statistical Power Analysis, 1988."""
SMALL_ODDS = SMALL * float(np.pi / np.sqrt(3))
"""The same for log-odds: a logistic variable has the standard deviation pi / sqrt(3) (Chinn, Stat. Med. 19, 2000)."""
MOST = 5  # segments that can be held against each other and still be read
FALSE = 0.05  # share of false discoveries
SCREENED = 150  # labels of a part that are drawn for, by each pair: those that differ most; the others count as tested
FEWEST_USERS = 20  # who must have a label, over all segments compared, for anything to be said of it
LEAST_USERS = 10  # in each segment, for an interval over users
HALF = 0.5  # Jeffreys: half a user more with a label, and half a user more without
DIFFERENCES = {
    "part": pl.String(),
    "kind": pl.String(),
    "label": pl.String(),
    ITEM: pl.String(),
    "first": pl.Int32(),
    "second": pl.Int32(),
    "value_first": pl.Float64(),
    "value_second": pl.Float64(),
    "measure": pl.String(),
    "effect": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p": pl.Float64(),
    "q": pl.Float64(),
    "matters": pl.Boolean(),
}
"""The columns of `compare`."""


def compare(
    members: pl.DataFrame,
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    segments: Sequence[int],
    *,
    users: pl.DataFrame | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> pl.DataFrame:
    """Hold segments against each other, pair by pair.

    Parameters
    ----------
    members : polars.DataFrame
        user_id, segment; other columns are not read.
    interactions, items : polars.DataFrame
        Interactions and Items. Users who are not in `members` are left out.
    segments : sequence of int
        Two to five of those in `members`; -1 are the unassigned.
    users : polars.DataFrame, optional
        Users; columns with few distinct values, and numbers, are traits.
    seed : int
    draws : int
        How often users are drawn again, 100 or more.

    Returns
    -------
    polars.DataFrame
        `DIFFERENCES`, a row for each thing compared and pair of segments, in the order given: part (category, word,
        item, habit, trait), kind (the column, ``decade``, ``hour``, ``weekday``, or the habit), label, item_id (null
        but for items), value in the first and in the second, measure (``log-odds`` or ``d``), effect (above 0: more
        in the first), its 95 % interval low to high, p, q (p after Benjamini and Hochberg [1]_ over everything
        compared), matters. What matters comes first, the strongest near bound first of all.

        Values are shares of events (category, word, hour, weekday), of users (item, trait), medians (events, recency)
        or means over users. The effect of an item is that of its share of events, which a busy segment does not
        inflate; that of events and recency is taken on their logarithms. A label that fewer than `FEWEST_USERS` users
        of these segments have is not compared. Nobody's trait is guessed: shares are of users of whom it is told.
        Numbers of users are no part of a comparison: a small segment has wider intervals, that is all.

    Raises
    ------
    ConfigError
        There are fewer than two or more than five segments, one is named twice, or `draws` is below 100.
    UnknownIdError
        A segment is not in `members`.
    NotEnoughDataError
        A segment has fewer than `LEAST_USERS` users.
    TableError
        A table lacks a column.

    Notes
    -----
    Each draw gives every user a Poisson(1) weight (Chamandy et al., "Estimating uncertainty for massive data
    streams", 2012), and each side of a share Gamma(1/2) of a user more, so that for a label that nobody has the
    interval is that of Jeffreys instead of a point. p is that of a normal variable whose spread is the interval's
    half on the side of 0: a bootstrap of a thousand draws could not tell p below 0.001, and would find nothing among
    thousands of labels. Only the labels that differ most are drawn for; the others count as tested with p = 1, which
    errs on the safe side, and are not in the table.

    References
    ----------
    .. [1] Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 57, 1995.
    """
    check(members, {SEGMENT: pl.Int32()}, what="members")
    chosen = _checked(members, segments, draws)
    placed = members.select(pl.col(USER).cast(pl.String), SEGMENT).filter(pl.col(SEGMENT).is_in(chosen))
    measured = Measured(placed, interactions, items, users)
    drawn = [Drawn(np.flatnonzero(measured.segments == s), draws, generator(seed, "compare", s + 1)) for s in chosen]
    rows: list[pl.DataFrame] = []
    tested = 0
    for place, part in enumerate(measured.shares()):
        found, labels = _shares(part, chosen, drawn, (seed, place))
        rows, tested = [*rows, *found], tested + labels
    for number in measured.means():
        found = _means(number, chosen, drawn)
        rows, tested = [*rows, *found], tested + len(found)
    return _decided(rows, tested)


def side_by_side(table: pl.DataFrame) -> pl.DataFrame:
    """Turn what `compare` gave into a row for each thing compared, with the pair of segments that differs most.

    Returns
    -------
    polars.DataFrame
        part, kind, label, item_id, a column for each segment with the value in it (named by its number), then of the
        pair that differs most: first, second, measure, effect, low, high, q, matters (of any pair).
    """
    keys = ["part", "kind", "label", ITEM]
    ends = [
        table.select(*keys, pl.col(segment).alias(SEGMENT), pl.col(f"value_{segment}").alias("value"))
        for segment in ("first", "second")
    ]
    values = pl.concat(ends).unique([*keys, SEGMENT], keep="first", maintain_order=True)
    wide = values.pivot(SEGMENT, index=keys, values="value")
    order = [str(s) for s in values[SEGMENT].unique().sort()]
    pair = ["first", "second", "measure", "effect", "low", "high", "q", "matters"]
    most = table.group_by(keys, maintain_order=True).agg(pl.col(c).first() for c in pair)  # the strongest comes first
    return most.join(wide, on=keys, nulls_equal=True, maintain_order="left").select(*keys, *order, *pair)


def _checked(members: pl.DataFrame, segments: Sequence[int], draws: int) -> list[int]:
    chosen = [int(s) for s in segments]
    if not 2 <= len(chosen) <= MOST or len(set(chosen)) < len(chosen):
        told = ", ".join(map(str, chosen)) or "none"
        raise ConfigError(f"A comparison takes 2 to {MOST} different segments; these are {told}. Give 0 3, say.")
    if draws < 100:
        raise ConfigError(f"draws = {draws}: an interval needs at least 100; 1000 do well.")
    sizes = dict(members.group_by(SEGMENT).len().sort(SEGMENT).iter_rows())
    for one in chosen:
        if one not in sizes:
            raise UnknownIdError(f"There is no segment {one}; there are {', '.join(map(str, sizes))}.")
        if sizes[one] < LEAST_USERS:
            raise NotEnoughDataError(
                f"Segment {one} has {sizes[one]} users; an interval over users needs at least {LEAST_USERS}. Compare "
                "larger segments, or look at its members one by one."
            )
    return chosen


def _shares(
    part: Shares, chosen: list[int], drawn: list[Drawn], stream: tuple[int, int]
) -> tuple[list[pl.DataFrame], int]:
    """Compare labels; return a table for each pair, and how many effects there were to test."""
    pairs = list(combinations(range(len(chosen)), 2))
    counts = np.stack([part.sums(d.users) for d in drawn])  # (segments, labels)
    totals = np.array([part.totals[d.users].sum() for d in drawn])
    eligible = np.flatnonzero(counts.sum(0) >= FEWEST_USERS)
    keep = np.unique(np.concatenate([_screened(counts, totals, a, b, eligible) for a, b in pairs]))
    by_user = [part.counts(d.users, keep) for d in drawn]
    having = sum((one > 0).sum(0) for one in by_user)
    enough = np.flatnonzero(having >= FEWEST_USERS)
    keep, by_user, having = keep[enough], [one[:, enough] for one in by_user], having[enough]
    tested = len(pairs) * len(eligible)
    if not len(keep) or not totals.all():
        return [], tested
    more = HALF * counts[:, keep].sum(0) / having  # what half a user with the label adds
    points = _logit(counts[:, keep], totals[:, None], more, more)
    logits = []
    for segment, d, one in zip(chosen, drawn, by_user, strict=True):
        rng = generator(stream[0], "half", stream[1], segment + 1)
        noise = rng.gamma(HALF, 1 / HALF, (2, d.draws, len(keep))) * more
        logits.append(_logit(d.sums(one), d.sums(part.totals[d.users][:, None].astype(np.float32)), *noise))
    values = [
        (one > 0).mean(0) if part.of_users else c[keep] / t for one, c, t in zip(by_user, counts, totals, strict=True)
    ]
    labels = part.labels[keep]
    return [
        _rows(
            part.part,
            labels,
            (chosen[a], chosen[b]),
            (values[a], values[b]),
            "log-odds",
            points[a] - points[b],
            logits[a] - logits[b],
        )
        for a, b in pairs
    ], tested


def _screened(counts: np.ndarray, totals: np.ndarray, a: int, b: int, eligible: np.ndarray) -> np.ndarray:
    """Return the labels of which two segments differ most, were all events independent."""
    some = counts[:, eligible]
    score = np.abs(log_odds(some[a], totals[a], some[b], totals[b]))
    return eligible[np.argsort(-score, kind="stable")[:SCREENED]]


def _logit(yes: np.ndarray, total: np.ndarray, more: np.ndarray, less: np.ndarray) -> np.ndarray:
    return np.log(yes + more) - np.log(np.maximum(total - yes, 0) + less)


def _means(number: Means, chosen: list[int], drawn: list[Drawn]) -> list[pl.DataFrame]:
    """Compare a number, as far as it is known of enough users."""
    centre = float(np.nan_to_num(np.nanmean(number.values))) if np.isfinite(number.values).any() else 0.0
    columns = [moments(number.values[d.users] - centre) for d in drawn]
    labels = pl.DataFrame({"kind": [number.kind], "label": [number.label], ITEM: pl.Series([None], dtype=pl.String)})
    found = []
    for a, b in combinations(range(len(chosen)), 2):
        point = cohen(*(columns[i].sum(0, keepdims=True, dtype=np.float64) for i in (a, b)))
        known = min(columns[i][:, 0].sum() for i in (a, b)) >= LEAST_USERS
        if known and np.isfinite(point).all():
            each = cohen(*(drawn[i].sums(columns[i]) for i in (a, b)))
            shown = tuple(np.array([number.value(drawn[i].users)]) for i in (a, b))
            found.append(_rows(number.part, labels, (chosen[a], chosen[b]), shown, "d", point, each[:, None]))
    return found


def _rows(
    part: str,
    labels: pl.DataFrame,
    pair: tuple[int, int],
    values: tuple[np.ndarray, ...],
    measure: str,
    effect: np.ndarray,
    draws: np.ndarray,
) -> pl.DataFrame:
    low, high = interval(draws)
    return pl.DataFrame(
        {
            "part": [part] * len(labels),
            **labels.select("kind", "label", ITEM).to_dict(),
            "first": np.full(len(labels), pair[0]),
            "second": np.full(len(labels), pair[1]),
            "value_first": values[0],
            "value_second": values[1],
            "measure": [measure] * len(labels),
            "effect": effect,
            "low": low,
            "high": high,
            "p": p_of(effect, low, high),
        }
    )


def _decided(rows: list[pl.DataFrame], tested: int) -> pl.DataFrame:
    """Control false discoveries, say what matters, and put it first."""
    if not rows:
        return pl.DataFrame(schema=DIFFERENCES)
    table = pl.concat(rows)
    near = pl.when(pl.col("effect") > 0).then("low").otherwise(-pl.col("high")).clip(0)
    smallest = pl.when(pl.col("measure") == "d").then(SMALL).otherwise(SMALL_ODDS)
    table = table.with_columns(q=pl.Series(false_discoveries(table["p"].to_numpy(), tested)), strength=near / smallest)
    table = table.with_columns(matters=(pl.col("strength") >= 1) & (pl.col("q") <= FALSE))
    keys = ["part", "kind", "label", ITEM, "first", "second"]
    table = table.sort("matters", "strength", *keys, descending=[True, True, *[False] * len(keys)])
    return table.select(pl.col(c).cast(t) for c, t in DIFFERENCES.items())
