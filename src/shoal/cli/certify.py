"""The command `shoal certify`: what speaks for the segments of a run, and what against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out, out_json, out_table
from shoal.errors import ConfigError, UnknownIdError
from shoal.tables import SEGMENT

if TYPE_CHECKING:
    import polars as pl

    from shoal.run import Run

MEASURES = {
    "jaccard": "members who come back",
    "rand": "grouping comes back",
    "staying": "users who stay",
    "lift ndcg@10": "popular items find more",
    "lift bits": "events cost fewer bits",
    "lift squared error": "mean ratings err less",
    "blind score": "users matched to names",
}
"""What each measure of `shoal.certify.CERTIFICATE` says, in words."""


def certify(
    run: Folder,
    segment: Annotated[int | None, Option("--segment", metavar="N", help="Of one segment or subsegment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far the segments can be trusted, and how that was found.

    Members who come back: groups were made again from other users (or other events of the same users), matched one to
    one, and the members in common counted as a share of those in either (Jaccard; .75 is stable). Users who stay:
    placed by their newer events where their older ones had placed them. Popular items find more, events cost fewer
    bits: on held-out events, by what is popular in the segment, against random segments of the same sizes and against
    everyone. Intervals are 95 %.

    \b
    Examples:
      shoal certify runs/demo
      shoal certify runs/demo --segment 2
      shoal certify runs/demo --json
    """
    from shoal.pipeline import load

    fitted = load(run)
    table = _of(fitted, segment)
    if as_json:
        out_json(table)
        return
    if segment is None:
        out(fitted.learnt.segmentation.reason)
        out()
    out_table(_words(fitted, table), HEADERS)


HEADERS = {"name": "segment", "what": "measure", "against": "against", "figure": "figure", "users": "users"}


def _of(run: Run, segment: int | None) -> pl.DataFrame:
    import polars as pl

    table = run.certificate
    if not table.height:
        raise ConfigError(
            "This run has no certificate: it has one segment only, or was made by an older version. Fit it again."
        )
    if segment is None:
        return table
    known = table[SEGMENT].drop_nulls().unique().sort().to_list()
    if segment not in known:
        raise UnknownIdError(f"There is no certificate of segment {segment}; there are {', '.join(map(str, known))}.")
    return table.filter(pl.col(SEGMENT) == segment)


def _words(run: Run, table: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    names = dict(pl.concat([t.select(SEGMENT, "name") for t in (run.segments, run.subsegments)]).iter_rows())
    rows = []
    for row in table.sort("level", SEGMENT, nulls_last=False, maintain_order=True).to_dicts():
        segment = row[SEGMENT]
        name = f"all {row['level']}" if segment is None else f"{segment}  {names.get(segment, '')}"
        what = MEASURES.get(row["measure"], row["measure"])
        rows.append((name, what, row["against"], figure(row), "" if row["users"] is None else f"{row['users']:,}"))
    return pl.DataFrame(rows, schema=list(HEADERS), orient="row")


def figure(row: dict[str, float | None]) -> str:
    """Return a figure with its interval: lifts in per cent, the rest between 0 and 1; "-" where it is missing."""
    value, low, high = row["value"], row["low"], row["high"]
    if value is None:
        return "-"
    if str(row["measure"]).startswith("lift"):
        digits = 1 if abs(value) < 0.1 else 0
        interval = "" if low is None or high is None else f" ({100 * low:.{digits}f} to {100 * high:.{digits}f})"
        return f"{100 * value:+.{digits}f} %{interval}"
    return f"{value:.2f}" + ("" if low is None or high is None else f" ({low:.2f} to {high:.2f})")
