"""The command `shoal compare`: what differs between segments, by how much, and whether it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out_json, out_table, talk

if TYPE_CHECKING:
    import polars as pl


def compare(
    run: Folder,
    segments: Annotated[list[int], Argument(metavar="SEGMENT...", help="Two to five segments, by their numbers.")],
    n: Annotated[int, Option("--n", help="How many differences of each kind to show.")] = 8,
    everything: Annotated[bool, Option("--all", help="Show what does not matter, too.")] = False,
    draws: Annotated[int, Option(help="How often users are drawn again for the intervals.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Say what differs between segments: categories, words, items, habits, traits.

    The value in each segment stands beside the effect between the two that differ most: log-odds of shares, Cohen's d
    of numbers, with a 95 % interval over users. An effect matters if the whole interval lies beyond what is called
    small (d of 0.2, log-odds of 0.36) and false discoveries are kept to 5 %.

    \b
    Examples:
      shoal compare runs/demo 0 1
      shoal compare runs/demo 0 1 --all --n 3 --draws 200
      shoal compare runs/demo 0 1 --json
    """
    from shoal.pipeline import load
    from shoal.segment.compare import SMALL, SMALL_ODDS, side_by_side

    table = load(run).compare(segments, draws=draws)
    if as_json:
        out_json(table)
        return
    wide = side_by_side(table)
    matter = int(wide["matters"].sum())
    talk(
        f"{matter:,} of {wide.height:,} things compared matter: the interval of the effect lies beyond d {SMALL} or "
        f"log-odds {SMALL_ODDS:.2f}, and false discoveries are kept to 5 %."
    )
    shown = _first(wide if everything else wide.filter("matters"), n)
    out_table(*_readable(shown, [c for c in shown.columns if c.lstrip("-").isdigit()]))


def _first(table: pl.DataFrame, n: int) -> pl.DataFrame:
    import polars as pl

    parts = ["habit", "trait", "category", "word", "item"]
    rows = [table.filter(pl.col("part") == part).head(n) for part in parts]
    return pl.concat(rows)


def _readable(table: pl.DataFrame, segments: list[str]) -> tuple[pl.DataFrame, dict[str, str]]:
    import polars as pl

    number = pl.col("measure") == "d"
    told = [
        pl.when(number)
        .then(pl.col(s).round(2).cast(pl.String))
        .otherwise((100 * pl.col(s)).round(1).cast(pl.String) + " %")
        .alias(s)
        for s in segments
    ]
    kind = pl.when(pl.col("part").is_in(["habit", "trait"])).then("kind").otherwise("part")
    pair = pl.format("{} / {}", "first", "second")
    interval = pl.concat_str(_signed("low"), pl.lit(" to "), _signed("high"))
    shown = table.with_columns(*told, kind=kind, pair=pair, effect=_signed("effect"), interval=interval)
    shown = shown.with_columns(matters=pl.when("matters").then(pl.lit("yes")).otherwise(pl.lit("no")))
    headers = {"kind": "", "label": ""} | {s: s for s in segments}
    return shown, headers | {
        "pair": "differ most",
        "measure": "effect",
        "effect": "",
        "interval": "95 % interval",
        "matters": "matters",
    }


def _signed(column: str) -> pl.Expr:
    import polars as pl

    return pl.col(column).map_elements(lambda number: format(number, "+.2f"), pl.String)
