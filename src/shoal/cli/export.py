"""The command `shoal export`: members for other systems, what changed since the last time, and counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out_json, out_table, talk

if TYPE_CHECKING:
    import polars as pl


def export(
    run: Folder,
    to: Annotated[Path, Option(metavar="FILE", help="Where to: .csv, .parquet or .jsonl. It is replaced.")],
    since: Annotated[
        Path | None, Option(metavar="FILE", help="The last export: write who entered, left or moved since.")
    ] = None,
    holdout: Annotated[float, Option(metavar="SHARE", help="Share of users held out, such as 0.1.")] = 0.0,
    seed: Annotated[int | None, Option(help="Of the holdout.  [default: the run's]")] = None,
    k: Annotated[int, Option("--k", help="Groups of fewer users are not told of.")] = 20,
    counts: Annotated[Path | None, Option(metavar="FILE", help="Write the counts to a file, too.")] = None,
    trait: Annotated[list[str] | None, Option(metavar="COLUMN", help="Count by this, too; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write members with the names of their segments, and print counts that give no small group away.

    Whoever is held out stays so in every export with this seed and share. Members of segments with fewer than k users
    are left out, and said. Small counts are hidden, with as many others as it takes that no total gives them away.
    Files are written whole or not at all; beside the export stands the state that --since reads.

    \b
    Examples:
      shoal export runs/demo --to members.csv --holdout 0.1 --k 2
      shoal export runs/demo --to changes.jsonl --since members.csv --holdout 0.1 --k 2 --json
    """
    from shoal.pipeline import load
    from shoal.store.whole import check_suffix, write_table

    if counts is not None:
        check_suffix(counts)
    fitted = load(run)
    table = fitted.counts(trait or (), holdout=holdout, seed=seed, k=k)
    done = fitted.export(to, since=since, holdout=holdout, seed=seed, k=k)
    if counts is not None:
        write_table(table, counts)
    for segment, size in done.withheld.items():
        talk(f"Left out segment {segment}: its {size} users are fewer than k = {k}.")
    for note in done.notes:
        talk(note)
    changed = ", ".join(f"{number:,} {what}" for what, number in done.changes.items())
    talk(f"Wrote {done.rows:,} {'changes: ' + changed if done.changes else 'members'} to {done.path}.")
    if as_json:
        out_json(done.as_dict() | {"counts": table.to_dicts()})
        return
    talk(f"Numbers below {k} are hidden, and others that would give them away.")
    out_table(*_readable(table))


def _readable(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    import polars as pl

    number = pl.when(pl.col("segment") < 0).then(pl.lit("-")).otherwise(pl.col("segment").cast(pl.String))
    users = pl.when("hidden").then(pl.lit("hidden")).otherwise(pl.col("users").cast(pl.String))
    words = [pl.col(c).fill_null("") for c in ("name", "trait", "value")]
    shown = table.with_columns(*words, number.fill_null("all").alias("#"), users=users)
    headers = {"#": "#", "name": "segment", "trait": "trait", "value": "", "users": "users", "holdout": "held out"}
    told = bool(table["trait"].is_not_null().any())
    return shown, {c: word for c, word in headers.items() if told or c not in ("trait", "value")}
