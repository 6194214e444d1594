"""A split of the data into what is learnt from, what is shown and what is asked, and the check that nothing leaks.

    train  --  what models learn from
    given  --  the past of the test users, from which they are served
    test   --  what happened next, and is to be predicted

Every splitter ends in `check_leakage`; a split made by hand can be put through it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from shoal.data.dataset import Dataset
from shoal.errors import LeakageError
from shoal.tables import AT, ITEM, USER


@dataclass(frozen=True)
class Split:
    """One hold-out.

    Attributes
    ----------
    train : Dataset
        What models may learn from. All items and users of the data stand in its `items` and `users`, those that are
        held out included: their texts are known, their events are not.
    given : polars.DataFrame
        Interactions of the test users that are shown at test time. A test user without a row here is cold.
    test : polars.DataFrame
        Interactions to be predicted.
    protocol : str
        Its name, such as ``"temporal"``.
    cutoff : datetime or None
        Where set, every event of `train` and `given` is older, and every event of `test` is as old or newer.
    candidates : tuple of str or None
        The only items to rank, rising by id; None ranks the whole catalogue.
    notes : tuple of str
        What was left out and why, and what is cold in the test.
    left_out : int
        Events of the data that stand neither in `train` nor in `given` nor in `test`; `notes` says why.
    """

    train: Dataset
    given: pl.DataFrame
    test: pl.DataFrame
    protocol: str
    cutoff: datetime | None = None
    candidates: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    left_out: int = 0


def check_leakage(split: Split) -> None:
    """Refuse a split in which something that is asked could have been learnt or seen before.

    Raises
    ------
    LeakageError
        A pair of user and item stands in `test` and also in `train` or `given`; an event of `train` or `given` lies at
        or after the cut-off, or has no time to tell; with last-out, a user trains on an event newer than one of their
        test events; with strong or cold-user, a held-out user is trained on; with cold-item, a candidate is trained on
        or shown.
    """
    sides = {"training": split.train.interactions, "shown": split.given}
    for side, events in sides.items():
        _check_pairs(split.test, events, side)
        if split.cutoff is not None:
            _check_cutoff(events, split.cutoff, side)
        if split.candidates is not None:
            _check_candidates(events, split.candidates, side)
    if split.protocol == "last-out":
        _check_order(split.train.interactions, split.test)
    if split.protocol in ("strong", "cold-user"):
        _check_users(split.train.interactions, split.given, split.test)


def _check_pairs(test: pl.DataFrame, events: pl.DataFrame, side: str) -> None:
    both = test.select(USER, ITEM).join(events.select(USER, ITEM), on=[USER, ITEM], how="semi")
    if both.height:
        raise LeakageError(
            f"User {both[USER][0]} has item {both[ITEM][0]} in the test and among the {side} events, as have "
            f"{both.height - 1:,} further pairs. Keep one event for each pair of user and item before splitting."
        )


def _check_cutoff(events: pl.DataFrame, cutoff: datetime, side: str) -> None:
    late = events.filter(pl.col(AT).is_null() | (pl.col(AT) >= cutoff)) if AT in events.columns else events
    if not late.height:
        return
    user, at = late[USER][0], late[AT][0] if AT in late.columns else None
    if at is None:
        what = f"User {user} has a {side} event without a time, so nobody knows whether it is older than the test"
        raise LeakageError(f"{what} cutoff {cutoff}. Leave such events out, or split with split.random(...).")
    first, second = _dates(at, cutoff)
    raise LeakageError(
        f"User {user} has a {side} event on {first}, {_relation(at, cutoff)} the test cutoff {second}. "
        "Split by time with split.temporal(...), or by last event with split.last_out(...)."
    )


def _check_candidates(events: pl.DataFrame, candidates: tuple[str, ...], side: str) -> None:
    held_out = pl.DataFrame({ITEM: pl.Series(candidates, dtype=pl.String).cast(pl.Categorical)})
    seen = events.select(USER, ITEM).join(held_out, on=ITEM, how="semi")
    if seen.height:
        raise LeakageError(
            f"Item {seen[ITEM][0]} is to be recommended cold, and user {seen[USER][0]} has it among the {side} events "
            f"({seen.height:,} such events). Split with split.cold_item(...)."
        )


def _check_order(train: pl.DataFrame, test: pl.DataFrame) -> None:
    newest = train.group_by(USER).agg(pl.col(AT).max().alias("learnt"))
    oldest = test.group_by(USER).agg(pl.col(AT).min().alias("asked"))
    late = oldest.join(newest, on=USER).filter(pl.col("learnt") > pl.col("asked"))
    if late.height:
        first, second = _dates(late["learnt"][0], late["asked"][0])
        raise LeakageError(
            f"User {late[USER][0]} has a training event on {first}, after their test event on {second}. "
            "Split by last event with split.last_out(...)."
        )


def _check_users(train: pl.DataFrame, given: pl.DataFrame, test: pl.DataFrame) -> None:
    held_out = pl.concat([given.select(USER), test.select(USER)]).unique()
    learnt = train.select(USER).join(held_out, on=USER, how="semi")
    if learnt.height:
        raise LeakageError(
            f"User {learnt[USER][0]} is held out, and has {learnt.filter(pl.col(USER) == learnt[USER][0]).height:,} "
            "training events. Split with split.strong(...) or split.cold_user(...)."
        )


def _dates(one: datetime, other: datetime) -> tuple[str, str]:
    """Write two moments by day, or to the microsecond where the day is the same."""
    if one.date() != other.date():
        return str(one.date()), str(other.date())
    return str(one), str(other)


def _relation(at: datetime, cutoff: datetime) -> str:
    return "after" if at > cutoff else "at"
