"""The command `shoal explain`: why this segment, why this item, and whether such reasons hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from shoal.cli.options import AsJson, Folder, known_item, known_user
from shoal.cli.tables import out, out_json, out_table, talk
from shoal.cli.words import with_titles
from shoal.errors import ConfigError

if TYPE_CHECKING:
    from shoal.run import Run

SMALLEST = 1e-6  # a part of a score below this is rounding


def explain(
    run: Folder,
    user: Annotated[str | None, Argument(metavar="USER", help="A user of the run.")] = None,
    item: Annotated[str | None, Argument(metavar="ITEM", help="Why this item; without it, why the segment.")] = None,
    user_: Annotated[str | None, Option("--user", metavar="ID", help="The same as USER.")] = None,
    item_: Annotated[str | None, Option("--item", metavar="ID", help="The same as ITEM.")] = None,
    to: Annotated[
        int | None, Option(metavar="SEGMENT", help="The fewest events that would put the user into this segment.")
    ] = None,
    shapley: Annotated[bool, Option("--shapley", help="Shapley values of events, sampled, with their error.")] = False,
    pairs: Annotated[int, Option(help="For --shapley: pairs of orders; four times as many halve the error.")] = 16,
    check: Annotated[
        bool, Option("--check", help="For no user: do cited events carry more than random ones, over a sample?")
    ] = False,
    n: Annotated[int, Option("--n", help="For --check: users in the sample.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Say why: which segments a user is in, or what a recommendation is made of, and which events carry it.

    Every event is checked by deletion: its effect is what changes when it is left out. Attention is shown beside it,
    and is no cause. A score is everybody's, plus what the user's segment, the user and texts add to that.

    \b
    Examples:
      shoal explain runs/demo 42
      shoal explain runs/demo 42 2571
      shoal explain runs/demo --user 42 --to 1 --json
      shoal explain runs/demo --user 42 --shapley --pairs 2
      shoal explain runs/demo --check --n 4
    """
    from shoal.pipeline import load

    user, item = _one("user", user, user_), _one("item", item, item_)
    if check == (user is not None):
        raise ConfigError("Say whom to explain, --user 42, or give --check alone for a sample of users.")
    if to is not None and (item is not None or shapley):
        raise ConfigError("--to asks how to get into a segment: give it with a user, and without item or --shapley.")
    fitted = load(run)
    if user is None:
        found = fitted.faithfulness(n=n)
        out_json(found.as_dict()) if as_json else out(found.sentence())
        return
    known_user(fitted, user)
    if item is not None:
        known_item(fitted, item)
    if to is not None:
        _way(fitted, user, to, as_json)
    elif shapley:
        table = with_titles(fitted.shapley(user, item, pairs=pairs), fitted)
        out_json(table) if as_json else out_table(table)
    elif item is None:
        _segment(fitted, user, as_json)
    else:
        _item(fitted, user, item, as_json)


def _one(word: str, place: str | None, option: str | None) -> str | None:
    if place is not None and option is not None and place != option:
        raise ConfigError(f"Two {word}s are given, {place} and {option}. Give one.")
    return place if place is not None else option


def _segment(run: Run, user: str, as_json: bool) -> None:
    found = run.why(user)
    shared, events = with_titles(found.shared, run), with_titles(found.events, run)
    if as_json:
        out_json(found.as_dict() | {"shared": shared.to_dicts(), "events": events.to_dicts()})
        return
    if found.segment < 0:
        talk(f"User {user} is in no segment: too few events to be placed.")
    headers = {"segment": "#", "name": "segment", "membership": "membership"}
    out_table(found.memberships, headers, formats={"membership": ".3f"})
    if shared.height:
        out()
        out("  what sets the segment apart, and the user has too")
        headers = {"item_id": "item", "title": "", "share_in": "users of the segment", "share_out": "elsewhere"}
        out_table(shared, headers, formats={"share_in": ".1%", "share_out": ".1%"})
    if events.height:
        out()
        out("  what the membership loses without an event")
        out_table(events)


def _item(run: Run, user: str, item: str, as_json: bool) -> None:
    import polars as pl

    parts, events = run.shares(user, item), with_titles(run.explain(user, item), run)
    if as_json:
        out_json(parts.as_dict() | {"events": events.to_dicts()})
        return
    out(f"  {parts.sentence()}: score {parts.score:.3f}")
    shown = parts.table.filter((pl.col("amount").abs() > SMALLEST) | pl.col("share").is_not_null())
    out_table(shown, {"part": "", "amount": "adds", "share": "share"}, formats={"amount": "+.3f", "share": ".0%"})
    if not events.height:
        talk(f"Nothing that user {user} did carries this: it rests on what everyone does.")
        return
    out()
    out("  what the score loses without an event")
    out_table(events)


def _way(run: Run, user: str, to: int, as_json: bool) -> None:
    steps = with_titles(run.way_to(user, to), run)
    if not steps.height:
        talk(f"User {user} is in segment {to} already.")
    elif steps["segment"][-1] == to:
        talk(f"{steps.height} events less or more, and user {user} is in segment {to}; each step was placed anew.")
    else:
        talk(f"No way into segment {to} was found for user {user} in {steps.height} steps; these come nearest.")
    out_json(steps) if as_json else out_table(steps)
