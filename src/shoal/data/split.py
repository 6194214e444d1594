"""Hold-outs that refuse leakage: six ways to ask "how good would it have been?".

    random     random events             an easy question, for comparison with the literature on ratings
    temporal   everything after a day    what a system meets when it goes live; cold users and items included
    last-out   each user's newest        what comes next for a user whom one knows
    strong     whole users, half seen    users who arrive with a past after training (Liang et al. 2018)
    cold-item  whole items               items that arrive after training, from their text alone
    cold-user  whole users, barely seen  users with no past, or with very few events

A split depends on the seed and on the ids, never on the order of rows; no tie is broken by id or by place in the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import polars as pl

from shoal.data.dataset import Dataset
from shoal.data.draws import DRAW, PLACE, count, draw_ids, with_draws, with_places
from shoal.data.hold_out import (
    as_split,
    check_share,
    check_times,
    check_whole,
    hold_out_users,
    liked_events,
    note_of,
    of_users,
)
from shoal.data.leakage import Split, check_leakage
from shoal.errors import ConfigError, NotEnoughDataError, did_you_mean
from shoal.tables import AT, ITEM, USER

__all__ = [
    "PROTOCOLS",
    "Split",
    "check_leakage",
    "cold_item",
    "cold_user",
    "last_out",
    "random",
    "split",
    "strong",
    "temporal",
]


def split(data: Dataset, protocol: str, **options: Any) -> Split:
    """Split `data` by the protocol of that name, with its options.

    Raises
    ------
    ConfigError
        The protocol, or one of the options, is not known (the closest known one is named), or an option is out of
        range.
    NotEnoughDataError
        Nothing would be left to learn from, or to ask.
    """
    if protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise ConfigError(f"{protocol} is not a protocol.{did_you_mean(protocol, PROTOCOLS)} Known: {known}.")
    taken = [name for name in inspect.signature(PROTOCOLS[protocol]).parameters if name != "data"]
    for name in options:
        if name not in taken:
            better = did_you_mean(name, taken)
            raise ConfigError(f"{protocol} has no option {name}.{better} It takes: {', '.join(taken)}.")
    return PROTOCOLS[protocol](data, **options)


def random(data: Dataset, *, share: float = 0.2, seed: int = 0) -> Split:
    """Hold out a random `share` (0 to 1) of the events. Test users are shown their training events.

    The usual question of the literature on ratings, and an easy one: a model sees the future of everyone else.
    """
    check_share(share=share)
    events = with_draws(data.interactions, seed, "random")
    asked = pl.col(DRAW).rank("ordinal") <= count(share, events.height)
    events = events.with_columns(asked.alias("_asked"))
    train, test = events.filter(~pl.col("_asked")), events.filter(pl.col("_asked"))
    return as_split(data, "random", train, of_users(train, test), test)


def temporal(data: Dataset, *, share: float = 0.2, at: datetime | None = None, seed: int = 0) -> Split:
    """Hold out every event at or after one moment, the same for everyone.

    Parameters
    ----------
    data : Dataset
        With times. Events without one are left out of both sides and counted: nobody knows where they belong.
    share : float
        About this share (0 to 1) of the events with a time is held out: of all moments that occur, the one that comes
        closest is the cut-off, so that events at one moment stay together.
    at : datetime, optional
        The cut-off itself, instead of `share`; in UTC where it has no zone.
    seed : int
        Not used, for nothing is drawn; it is here so that all protocols are called alike.

    Returns
    -------
    Split
        Test users are shown their events before the cut-off; who has none is cold. Test items may be cold too.

    Raises
    ------
    NotEnoughDataError
        There are no times, or all events lie on one side of the cut-off.
    """
    check_share(share=share)
    check_times(data, "temporal")
    timed = data.interactions.filter(pl.col(AT).is_not_null())
    cutoff = _utc(at) if at is not None else _cutoff(timed, share)
    train, test = timed.filter(pl.col(AT) < cutoff), timed.filter(pl.col(AT) >= cutoff)
    if not (train.height and test.height):
        first, last = timed.select(pl.col(AT).min().alias("first"), pl.col(AT).max().alias("last")).row(0)
        raise NotEnoughDataError(
            f"The cut-off {cutoff} leaves {train.height:,} events to learn from and {test.height:,} to ask; "
            f"the events lie between {first} and {last}. Choose a moment between the two."
        )
    notes = note_of(data.interactions.height - timed.height, "events without a time are on neither side")
    return as_split(data, "temporal", train, of_users(train, test), test, cutoff=cutoff, notes=notes)


def last_out(data: Dataset, *, n: int = 1, seed: int = 0) -> Split:
    """Hold out each user's newest `n` (1 or more) events.

    Events at the same moment are ordered by a draw from the seed. Users with fewer than n + 2 events keep all of them
    in training, and so do users who have an event without a time, for nobody knows which of their events is newest.
    Other users' events may be newer than a test event; where that matters, split with `temporal`.

    Raises
    ------
    NotEnoughDataError
        There are no times, or no user has n + 2 events.
    """
    check_whole(n=n, low=1)
    check_times(data, "last-out")
    events = with_draws(data.interactions, seed, "ties")
    events = with_places(events, [AT, DRAW], newest_first=True)
    of_user = events.group_by(USER).agg(pl.len().alias("_events"), pl.col(AT).is_null().any().alias("_untimed"))
    short, untimed = pl.col("_events") < n + 2, pl.col("_untimed")
    asked_users = of_user.filter(~short & ~untimed).select(USER)
    test = of_users(events, asked_users).filter(pl.col(PLACE) < n)
    train = events.join(test.select(USER, ITEM), on=[USER, ITEM], how="anti", maintain_order="left")
    notes = (
        *note_of(of_user.filter(short).height, f"users with fewer than {n + 2} events are trained on and not asked"),
        *note_of(
            of_user.filter(untimed & ~short).height,
            "users with an event without a time are trained on and not asked",
        ),
    )
    return as_split(data, "last-out", train, of_users(train, test), test, notes=notes)


def strong(
    data: Dataset,
    *,
    users_share: float = 0.2,
    shown: float = 0.8,
    relevant_from: float | None = None,
    min_events: int = 5,
    seed: int = 0,
) -> Split:
    """Hold out whole users; show a part of their events and ask for the rest (strong generalisation [1]_).

    Parameters
    ----------
    data : Dataset
        Times are not used.
    users_share : float
        Share (0 to 1) of the users who are held out.
    shown : float
        Share (0 to 1) of a held-out user's events that is shown, drawn at random; at least one is shown and, where a
        user has two, at least one is asked.
    relevant_from : float, optional
        Only events with a rating (or count) of at least this are kept, on all sides: what is left are likes. Their
        values stay in the table.
    min_events : int
        Users with fewer events (after `relevant_from`) are left out, as in [1]_; 2 or more.
    seed : int
        Which users, and which of their events.

    Notes
    -----
    Events of held-out users with items that no training user has are left out and counted, as in [1]_: a model
    without texts cannot know them.

    References
    ----------
    .. [1] Liang, Krishnan, Hoffman, Jebara: Variational Autoencoders for Collaborative Filtering. WWW 2018.
    """
    check_share(users_share=users_share, shown=shown)
    check_whole(min_events=min_events, low=2)
    liked = liked_events(data, relevant_from)
    events = liked.filter(pl.len().over(USER) >= min_events)
    train, held_out = hold_out_users(events, users_share, seed, "strong")
    known = held_out.join(train.select(ITEM).unique(), on=ITEM, how="semi", maintain_order="left")
    placed = with_places(with_draws(known, seed, "strong", "shown"), [DRAW])
    # The rounding keeps 0.2 * 5 at 1: in floats (1 - 0.8) * 5 lies a little below.
    share = (pl.len().over(USER) * (1 - shown)).round(9).floor()
    asked = pl.min_horizontal(pl.max_horizontal(share, 1), pl.len().over(USER) - 1)
    test = placed.filter(pl.col(PLACE) < asked)
    given = of_users(placed.filter(pl.col(PLACE) >= asked), test)
    notes = (
        *note_of(data.interactions.height - liked.height, f"events below {relevant_from} are left out"),
        *note_of(liked.height - events.height, f"events of users with fewer than {min_events} events are left out"),
        *note_of(
            held_out.height - known.height, "events of held-out users with items unknown to training are left out"
        ),
        *note_of(
            known.height - given.height - test.height, "events of held-out users with one event left are left out"
        ),
    )
    return as_split(data, "strong", train, given, test, notes=notes)


def cold_item(data: Dataset, *, share: float = 0.1, seed: int = 0) -> Split:
    """Hold out a random `share` (0 to 1) of the items that have events: they are new when they are asked for.

    The held-out items are the split's `candidates`; test users are shown their training events. Events of users who
    have no other item are left out and counted.
    """
    check_share(share=share)
    events = data.interactions
    cold = draw_ids(events.select(ITEM).unique(), share, seed, "cold-item")
    train = events.join(cold, on=ITEM, how="anti", maintain_order="left")
    asked = events.join(cold, on=ITEM, how="semi", maintain_order="left")
    test = of_users(asked, train)
    notes = note_of(asked.height - test.height, "events of users who have held-out items alone are left out")
    candidates = tuple(cold[ITEM].cast(pl.String).sort())
    return as_split(data, "cold-item", train, of_users(train, test), test, candidates=candidates, notes=notes)


def cold_user(
    data: Dataset,
    *,
    users_share: float = 0.2,
    shown: int = 1,
    order: Literal["random", "time"] = "random",
    seed: int = 0,
) -> Split:
    """Hold out whole users, show `shown` (0 or more) events of each and ask for the rest.

    Parameters
    ----------
    data : Dataset
        With times where `order` is ``"time"``.
    users_share : float
        Share (0 to 1) of the users with more than `shown` events who are held out.
    shown : int
        Events shown of each; with 0 they are strangers.
    order : {"random", "time"}
        ``"time"`` shows the oldest events (equal times in an order drawn by the seed), and leaves users in training
        who have an event without a time.
    seed : int
        Which users, and which of their events.

    Raises
    ------
    NotEnoughDataError
        Fewer than two users have more than `shown` events; or there are no times and `order` is ``"time"``.
    """
    check_share(users_share=users_share)
    check_whole(shown=shown, low=0)
    if order not in ("random", "time"):
        raise ConfigError(f"order = {order!r}: must be random or time.{did_you_mean(str(order), ('random', 'time'))}")
    usable = data.interactions.filter(pl.len().over(USER) > shown)
    notes: tuple[str, ...] = ()
    if order == "time":
        check_times(data, "cold-user")
        enough = usable[USER].n_unique()
        usable = usable.filter(pl.col(AT).is_not_null().all().over(USER))
        notes = note_of(enough - usable[USER].n_unique(), "users with an event without a time are not held out")
    _, held_out = hold_out_users(usable, users_share, seed, "cold-user")
    train = data.interactions.join(held_out.select(USER).unique(), on=USER, how="anti", maintain_order="left")
    drawn = with_draws(held_out, seed, "cold-user", "shown")
    placed = with_places(drawn, [AT, DRAW] if order == "time" else [DRAW])
    given, test = placed.filter(pl.col(PLACE) < shown), placed.filter(pl.col(PLACE) >= shown)
    return as_split(data, "cold-user", train, given, test, notes=notes)


PROTOCOLS: dict[str, Callable[..., Split]] = {
    "random": random,
    "temporal": temporal,
    "last-out": last_out,
    "strong": strong,
    "cold-item": cold_item,
    "cold-user": cold_user,
}
"""The splitters by name, as the command line knows them."""


def _cutoff(timed: pl.DataFrame, share: float) -> datetime:
    """Return the moment with a share of events at or after it that is closest to `share`, the first one excepted."""
    moments = timed.group_by(AT).len().sort(AT)
    if moments.height < 2:
        raise NotEnoughDataError(
            f"All {timed.height:,} events happened at {moments[AT][0]}, so no moment lies between them. "
            "Split with split.random(...)."
        )
    before = moments["len"].cum_sum().to_numpy()[:-1]  # events before moment 1, 2, ...
    best = int(np.argmin(np.abs(1 - before / timed.height - share)))
    moment: datetime = moments[AT][best + 1]
    return moment


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
