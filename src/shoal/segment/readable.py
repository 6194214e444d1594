"""A readable rule for each segment: a short rule that tells it from the others, where there is one, and its proof.

    half of the users  --facts--> shallow trees --> the rule with the best F1, rounded
    the other half     --the rule itself, as `shoal rule` asks it--> precision and recall, with intervals

Users are halved by a hash of their ids, so that no order of rows matters. A rule that finds too few users, too little
of the segment, or not clearly more of it than pointing at anyone, is none; then the reason is told instead.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from shoal.data.dataset import Dataset
from shoal.segment.leaves import FOLDS, Fact, best_rule, written
from shoal.segment.rules import Sheet, parse
from shoal.segment.telling import facts_of
from shoal.tables import AT, PARENT, SEGMENT, SUBSEGMENT, UNASSIGNED, USER

ALONE = "there is no other segment to tell it from"
NONE = "no short rule tells it from the others"
MOST_USERS = 20_000
"""Users of each half; of more, those with the lowest hashes."""
FEWEST = 10
"""Users of a segment, and others, that each half needs; and users of it that a rule has to find."""
LEAST = 0.25
"""Share of a segment that a rule has to find."""
TOO_FEW = f"too few users: each half of them needs {FEWEST} of it and {FEWEST} others"
CHANCE = "no short rule is clearly better than chance"
LITTLE = "no short rule finds enough of it"
SURE = 1.959964  # standard errors, of a 95 % interval

RULE = "rule"
READABLE = {
    RULE: pl.String(),
    "rule_precision": pl.Float64(),
    "rule_precision_low": pl.Float64(),
    "rule_precision_high": pl.Float64(),
    "rule_recall": pl.Float64(),
    "rule_recall_low": pl.Float64(),
    "rule_recall_high": pl.Float64(),
    "rule_share": pl.Float64(),
    "rule_reason": pl.String(),
}
"""The columns beside each segment. The share is that of the segment among the users whom the rule was measured on:
the precision of a rule that points at anyone. The reason says why there is no rule, and is null where there is one."""


@dataclass(frozen=True)
class Readable:
    """A rule and what it found among the users whom it was not learnt from, or the reason why there is none.

    Attributes
    ----------
    text : str or None
    reason : str or None
    matched, hits : int
        Users whom the rule matches, and how many of them are in the segment.
    members, users : int
        Users of the segment, and all who were asked: the segment and what it is told from.
    """

    text: str | None
    reason: str | None = None
    matched: int = 0
    hits: int = 0
    members: int = 0
    users: int = 0

    @property
    def share(self) -> float | None:
        """The share of the segment: the precision of a rule that points at anyone."""
        return self.members / self.users if self.users else None

    def row(self) -> dict[str, str | float | None]:
        """Return `READABLE`."""
        told = dict.fromkeys(READABLE) | {RULE: self.text, "rule_reason": self.reason, "rule_share": self.share}
        if self.text is None:
            return told
        for name, of in (("rule_precision", self.matched), ("rule_recall", self.members)):
            low, high = wilson(self.hits, of)
            told |= {name: self.hits / of, f"{name}_low": low, f"{name}_high": high}
        return told


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of at least one, after Wilson (1927)."""
    square, share = SURE**2, hits / of
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = SURE * math.sqrt(share * (1 - share) / of + square / (4 * of**2)) / (1 + square / of)
    return middle - half if hits else 0.0, middle + half if hits < of else 1.0


def readable_rules(
    members: pl.DataFrame, data: Dataset, only: Collection[int] | None = None, *, traits: bool = True
) -> dict[int, Readable]:
    """Learn a rule for each segment against everyone else, and for each subsegment against the rest of its segment.

    Rules ask for figures of events, shares of labels, columns of the users table and, where items have no labels, for
    single items. They never ask for segments.

    Parameters
    ----------
    members : polars.DataFrame
        `shoal.tables.MEMBERS`, and subsegment where there are any.
    data : Dataset
        What the segments were made from: a rule describes users as they were placed.
    only : collection of int, optional
        The segments and subsegments to do; None: all.
    traits : bool
        Whether rules may ask for columns of the users table.

    Returns
    -------
    dict of int to Readable
        By segment or subsegment; the unassigned have none.
    """
    targets = [one for one in _targets(members) if only is None or one.number in only]
    if not any(one.reason is None for one in targets):
        return {one.number: Readable(None, one.reason) for one in targets}
    data = data if traits else replace(data, users=data.users.select(USER))
    asked = _ask(data, members.with_columns(pl.col(USER).cast(pl.String)), targets)
    return {one.number: _learnt(asked, one) for one in targets}


def with_rules(table: pl.DataFrame, found: dict[int, Readable]) -> pl.DataFrame:
    """Return segments or subsegments with `READABLE`: anew for those found, else as it was; null where nothing was."""
    rows = [{SEGMENT: number, **one.row()} for number, one in found.items()]
    made = pl.DataFrame(rows, {SEGMENT: pl.Int32(), **READABLE})
    old = table.with_columns(pl.lit(None, dtype).alias(c) for c, dtype in READABLE.items() if c not in table.columns)
    new = pl.col(SEGMENT).is_in(made[SEGMENT].implode())
    joined = old.join(made, on=SEGMENT, how="left", suffix=" new", maintain_order="left")
    told = [pl.when(new).then(f"{c} new").otherwise(c).alias(c) for c in READABLE]
    return joined.with_columns(told).select(old.columns)


def rules_again(
    segments: pl.DataFrame,
    inside: pl.DataFrame | None,
    before: pl.DataFrame,
    after: pl.DataFrame,
    data: Dataset,
    *,
    traits: bool = True,
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return segments and subsegments with rules anew where users came or went; the others keep theirs.

    Parameters
    ----------
    segments, inside : polars.DataFrame
        With parent, where there are subsegments.
    before, after : polars.DataFrame
        Members, as they were and as they are; users may have come or gone.
    data : Dataset
    traits : bool
        As in `readable_rules`.
    """
    columns = [c for c in (SEGMENT, SUBSEGMENT) if c in after.columns and c in before.columns]
    both = after.select(USER, *columns).join(before.select(USER, *columns), on=USER, how="full", suffix=" before")
    moved = both.filter(pl.any_horizontal(pl.col(c).ne_missing(pl.col(f"{c} before")) for c in columns))
    touched = {*moved[SEGMENT].drop_nulls(), *moved[f"{SEGMENT} before"].drop_nulls()}
    touched |= {number for table in (segments, inside) for number in _emptied(table)}
    if not touched:
        return segments, inside
    # a subsegment is told from the rest of its segment, so that it is about other users where these changed
    below = [] if inside is None else inside.filter(pl.col(PARENT).is_in(sorted(touched)))[SEGMENT].to_list()
    found = readable_rules(after, data, {*touched, *below}, traits=traits)
    return with_rules(segments, found), None if inside is None else with_rules(inside, found)


def _emptied(table: pl.DataFrame | None) -> list[int]:
    """Return which lost what was told of them, such as segments that were merged and split into what they were.

    Where nothing is told of any, the run is one of before, and nothing was lost.
    """
    if table is None or RULE not in table.columns:
        return []
    told = table.select(SEGMENT, told=pl.col(RULE).is_not_null() | pl.col("rule_reason").is_not_null())
    return told.filter(~pl.col("told"), pl.col(SEGMENT) != UNASSIGNED)[SEGMENT].to_list() if told["told"].any() else []


@dataclass(frozen=True)
class _Target:
    """Whom a rule is to find: a segment among all, or a subsegment among the users of its segment."""

    number: int
    parent: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Asked:
    """What is known of the users of both halves.

    Attributes
    ----------
    facts : list of Fact
    values : (users, facts) float64
    placed : polars.DataFrame
        user_id, half (0: to learn from, 1: to measure on, -1: neither), fold, segment and maybe subsegment, (users,).
    sheet : Sheet
        Of the same users.
    whole : bool
        Whether these are all users.
    """

    facts: list[Fact]
    values: np.ndarray
    placed: pl.DataFrame
    sheet: Sheet
    whole: bool

    def those(self, column: str, number: int) -> np.ndarray:
        """Return whose column holds a number, (users,) bool."""
        return (self.placed[column] == number).fill_null(value=False).to_numpy()


def _targets(members: pl.DataFrame) -> list[_Target]:
    numbers = members.filter(pl.col(SEGMENT) != UNASSIGNED)[SEGMENT].unique().sort().to_list()
    found = [_Target(one, None, ALONE if len(numbers) == 1 else None) for one in numbers]
    if SUBSEGMENT not in members.columns:
        return found
    inner = members.filter(pl.col(SUBSEGMENT) != UNASSIGNED).select(SUBSEGMENT, SEGMENT).unique().sort(SUBSEGMENT)
    return found + [_Target(one, parent) for one, parent in inner.iter_rows()]


def _ask(data: Dataset, members: pl.DataFrame, targets: list[_Target]) -> _Asked:
    """Compute every fact that may tell the targets apart, in one pass over the events of at most both halves."""
    columns = [c for c in (USER, SEGMENT, SUBSEGMENT) if c in members.columns]
    halves = _halves(members[USER]).join(members.select(columns), on=USER)
    data, whole = _of(data, halves[USER]), halves.height == members.height
    levels: dict[int | None, list[int]] = {}
    for one in targets:
        levels.setdefault(one.parent, []).append(one.number)
    facts = facts_of(data, halves.filter(pl.col("half") == 0).select(columns), levels)
    sheet = Sheet(data, [fact.text for fact in facts])
    placed = sheet.users.to_frame().join(halves, on=USER, how="left", maintain_order="left")
    values = np.stack([_numbers(sheet.values[fact.text]) for fact in facts], axis=1)
    return _Asked(facts, values, placed.with_columns(pl.col("half").fill_null(-1)), sheet, whole)


def _halves(users: pl.Series) -> pl.DataFrame:
    """Return user_id, half and fold: at most `MOST_USERS` of each half, by a hash of the id."""
    table = pl.DataFrame({USER: users, "hash": pl.Series([_hash(user) for user in users], dtype=pl.UInt64)})
    halves = [table.filter(pl.col("hash") % 2 == half).sort("hash", USER).head(MOST_USERS) for half in (0, 1)]
    both = pl.concat(halves).select(USER, half=pl.col("hash") % 2, fold=pl.col("hash") // 2 % FOLDS)
    return both.cast({"half": pl.Int64, "fold": pl.Int64})


def _hash(user: str) -> int:
    return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8, person=b"readable").digest(), "little")


def _of(data: Dataset, users: pl.Series) -> Dataset:
    """Return the data of some users and of whoever did something last, from whom days are counted."""
    if data.users.height == len(users):
        return data
    events, wanted = data.interactions, users
    if data.has_times:
        last = events.filter(pl.col(AT) == pl.col(AT).max())[USER].cast(pl.String).min()
        wanted = pl.concat([users, pl.Series([last], dtype=pl.String)]).unique()
    some = [
        table.join(wanted.cast(table.schema[USER]).to_frame(USER), on=USER, how="semi")
        for table in (events, data.users)
    ]
    return replace(data, interactions=some[0], users=some[1])


def _numbers(values: pl.Series) -> np.ndarray:
    """Return values as float64, NaN where they are missing."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _learnt(asked: _Asked, target: _Target) -> Readable:
    if target.reason is not None:
        return Readable(None, target.reason)
    inside = asked.those(SEGMENT if target.parent is None else SUBSEGMENT, target.number)
    around = np.ones(len(inside), bool) if target.parent is None else asked.those(SEGMENT, target.parent)
    half = asked.placed["half"].to_numpy()
    learning, other = around & (half == 0), around & (half == 1)
    for some in (learning, other):
        if min((inside & some).sum(), (~inside & some).sum()) < FEWEST:
            return Readable(None, TOO_FEW if asked.whole else _too_few(int((half >= 0).sum())))
    fold = asked.placed["fold"].to_numpy()[learning]
    rule = best_rule(asked.values[learning], inside[learning], asked.facts, fold)
    return _measured(written(rule, asked.facts), asked.sheet, inside[other], other) if rule else Readable(None, NONE)


def _measured(text: str, sheet: Sheet, inside: np.ndarray, other: np.ndarray) -> Readable:
    """Ask a rule of the users whom it was not learnt from, and refuse one that does not prove itself there."""
    true = sheet.matches(parse(text)).to_numpy()[other]
    hits = int((true & inside).sum())
    found = Readable(text, None, int(true.sum()), hits, int(inside.sum()), len(inside))
    reason = _refused(found)
    return found if reason is None else Readable(None, reason, members=found.members, users=found.users)


def _refused(found: Readable) -> str | None:
    """Return why what a rule found is too little: few users rest on chance, and are almost named one by one."""
    if not found.matched:
        return f"{CHANCE}: the best one finds nobody that it was not learnt from"
    low, high = wilson(found.hits, found.matched)
    share = found.members / found.users
    if low <= share:
        of_found = f"{100 * found.hits / found.matched:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        return f"{CHANCE}: of the users that the best one finds {of_found} belong, of those asked {100 * share:.0f} %"
    if found.hits < FEWEST:
        of_it = f"{found.hits} of {found.members:,} users whom it was not learnt from"
        return f"{LITTLE}: the best one finds {of_it}, and {FEWEST} are needed"
    if found.hits < LEAST * found.members:
        of_it = f"{math.floor(100 * found.hits / found.members)} %"
        return f"{LITTLE}: the best one finds {of_it} of its users, and {100 * LEAST:.0f} % are needed"
    return None


def _too_few(asked: int) -> str:
    return f"too few of the {asked:,} users that were asked: each half of them needs {FEWEST} of it and {FEWEST} others"
