"""Commands that ask a run: segments, recommend, rate, assign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from shoal.cli.options import AsJson, Columns, Folder, N, expand, known_item, known_user, scale_of
from shoal.cli.tables import out, out_json, out_table
from shoal.cli.words import segment_lines, segment_table, with_titles
from shoal.errors import ConfigError, UnknownIdError

if TYPE_CHECKING:
    import polars as pl

    from shoal.run import Run

User = Annotated[str | None, Option("--user", metavar="ID", help="A user of the run.")]
Item = Annotated[str | None, Option("--item", metavar="ID", help="An item of the catalogue.")]
History = Annotated[Path, Argument(metavar="HISTORY", help="A file with what the users did, like the ratings.")]


def segments(
    run: Folder,
    segment: Annotated[
        int | None, Option("--segment", metavar="N", help="One segment or subsegment, with its rule.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who the users are: segments and what they are made of, with size, name, what sets them apart, and proof.

    Stable: the share of members who come back when users are drawn anew. Lift: how much more held-out events the
    popular items of the segment find than those of random segments of the same sizes, with its 95 % interval.
    `shoal certify` shows how these came about. With --segment, too: a short rule that tells it from the
    others, where there is one, which `shoal rule` takes as it stands; how many of the segment it finds, and how many of
    whom it finds belong.

    \b
    Examples:
      shoal segments runs/demo
      shoal segments runs/demo --segment 2
      shoal segments runs/demo --json
    """
    from shoal.pipeline import load

    fitted = load(run)
    if segment is not None:
        row = _one(fitted, segment)
        return out_json([row]) if as_json else out("\n".join(segment_lines(row)))
    if as_json:
        import polars as pl

        return out_json(pl.concat([fitted.segments, fitted.subsegments], how="diagonal"))
    return out_table(*segment_table(fitted.segments, fitted.subsegments))


def _one(run: Run, segment: int) -> dict[str, Any]:
    """Return the row of a segment or subsegment."""
    import polars as pl

    table = pl.concat([run.segments, run.subsegments], how="diagonal")
    found = table.filter(pl.col("segment") == segment).to_dicts()
    if not found:
        known = ", ".join(map(str, sorted(table["segment"])))
        raise UnknownIdError(f"The run has no segment {segment}; it has {known}.")
    return found[0]


@expand
def recommend(
    run: Folder,
    *,
    user: Annotated[list[str] | None, Option("--user", metavar="ID", help="Whom for; may be repeated.")] = None,
    everyone: Annotated[bool, Option("--all", help="For every user of the run.")] = False,
    history: Annotated[
        Path | None, Option(metavar="FILE", help="For the users of this file, from what it says.")
    ] = None,
    n: N = 10,
    seen: Annotated[bool, Option("--seen", help="Offer what the user has already had, too.")] = False,
    columns: Columns,
    as_json: AsJson = False,
) -> None:
    """Recommend items: to users of the run, or to anybody from what they just did.

    \b
    Examples:
      shoal recommend runs/demo --user 42
      shoal recommend runs/demo --user 42 --user 7 --n 3 --json
      shoal recommend runs/demo --history new.csv
    """
    from shoal.pipeline import load

    if [bool(user), everyone, history is not None].count(True) != 1:
        raise ConfigError("Say whom for, in one way: --user 42, or --history FILE, or --all.")
    fitted = load(run)
    users = [known_user(fitted, one) for one in user] if user else None
    events = None if history is None else columns.events(history, scale_of(fitted))
    table = with_titles(fitted.recommend(users, history=events, n=n, seen=seen), fitted)
    headers = {"user_id": "user", "rank": "#", "item_id": "item", "title": "", "score": "score", "source": "from"}
    out_json(table) if as_json else out_table(table, headers)


@expand
def rate(
    run: Folder,
    pairs: Annotated[Path | None, Argument(metavar="PAIRS", help="A file with a user and an item a row.")] = None,
    *,
    user: User = None,
    item: Item = None,
    columns: Columns,
    as_json: AsJson = False,
) -> None:
    """Predict ratings on the data's own scale, with their spread (one standard deviation).

    In a file, users and items that the run has never seen get the prior and its wider spread.

    \b
    Examples:
      shoal rate runs/demo --user 42 --item 2571
      shoal rate runs/demo pairs.csv --json
    """
    from shoal.pipeline import load

    fitted = load(run)
    asked = _asked(fitted, pairs, user, item, columns)
    table = with_titles(fitted.rate(asked), fitted)
    headers = {"user_id": "user", "item_id": "item", "title": "", "rating": "rating", "spread": "spread"}
    out_json(table) if as_json else out_table(table, headers, formats={"rating": ".2f", "spread": ".2f"})


def _asked(run: Run, path: Path | None, user: str | None, item: str | None, columns: Columns) -> pl.DataFrame:
    import polars as pl

    if path is not None and user is None and item is None:
        return columns.pairs(path)
    if path is None and user is not None and item is not None:
        return pl.DataFrame({"user_id": [known_user(run, user)], "item_id": [known_item(run, item)]})
    raise ConfigError("Say what to rate, in one way: --user 42 --item 2571, or a file of pairs.")


@expand
def assign(run: Folder, history: History, *, columns: Columns, as_json: AsJson = False) -> None:
    """Place users in the run's segments from what they did; users with too few events stay unassigned (-1).

    \b
    Examples:
      shoal assign runs/demo new.csv
      shoal assign runs/demo new.csv --json
    """
    from shoal.pipeline import load

    fitted = load(run)
    members = fitted.assign(columns.events(history, scale_of(fitted)))
    table = members.join(fitted.segments.select("segment", "name"), on="segment", how="left", maintain_order="left")
    headers = {"user_id": "user", "segment": "#", "name": "segment", "strength": "strength"}
    out_json(table) if as_json else out_table(table, headers, formats={"strength": ".2f"})
