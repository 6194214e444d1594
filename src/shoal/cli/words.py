"""Tables made readable: titles beside item ids, segments as in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shoal.tables import ITEM, PARENT, SEGMENT, UNASSIGNED

if TYPE_CHECKING:
    import polars as pl

    from shoal.run import Run


def with_titles(table: pl.DataFrame, run: Run) -> pl.DataFrame:
    """Return `table` with the column ``title`` after the item id: the catalogue's name of the item, else the id."""
    from shoal.titles import titles

    named = table.join(titles(run.data.items), on=ITEM, how="left", maintain_order="left")
    title = named["title"].fill_null(named[ITEM])
    return table.clone().insert_column(table.columns.index(ITEM) + 1, title)


def segment_table(segments: pl.DataFrame, inside: pl.DataFrame | None = None) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the segments, each with its subsegments below it, and the headers to show them under.

    The unassigned stand under ``-``. Stable is the share of members who come back when users are drawn anew; the lift
    is that of the segment's popular items over those of random segments, NDCG@10 on held-out events, with its interval.
    """
    import polars as pl

    number = pl.when(pl.col(SEGMENT) == UNASSIGNED).then(pl.lit("-")).otherwise(pl.col(SEGMENT).cast(pl.String))
    table = segments.with_columns(number.alias("#"), order=pl.col(SEGMENT), below=pl.lit(-1, pl.Int32))
    if inside is not None and inside.height:
        number = pl.format("› {}", pl.col(SEGMENT))
        rows = inside.with_columns(number.alias("#"), order=pl.col(PARENT), below=pl.col(SEGMENT))
        table = pl.concat([table, rows], how="diagonal").sort("order", "below", maintain_order=True)
    if "lift_low" in table.columns:
        table = table.with_columns(lift_words=pl.struct("lift", "lift_low", "lift_high").map_elements(_lift, pl.String))
    if "stability" in table.columns:
        table = table.with_columns(stable=pl.col("stability").round(2))
    headers = {
        "#": "#",
        "size": "users",
        "name": "name",
        "sets_apart": "sets it apart",
        "stable": "stable",
        "lift_words": "lift",
        "verdict": "verdict",
    }
    return table, {column: header for column, header in headers.items() if column in table.columns}


def segment_lines(row: Mapping[str, Any]) -> list[str]:
    """Return what is told of one segment: size, what sets it apart, its rule with precision and recall, its verdict."""
    number = "-" if row[SEGMENT] == UNASSIGNED else row[SEGMENT]
    share = f", {100 * row['share']:.0f} %" if row.get("share") is not None else ""
    inside = "" if row.get(PARENT) is None else f" of segment {row[PARENT]}"
    typical = [e["title"] or e["item_id"] for e in row.get("exemplars") or []]
    told = {
        "users": f"{row['size']:,}{share}{inside}",
        "sets it apart": row.get("sets_apart"),
        "typical": ", ".join(typical[:6]),
        "rule": row.get("rule") or row.get("rule_reason"),
        "finds": _found(row),
        "verdict": row.get("verdict"),
    }
    lines = [f"{name:15}{words}" for name, words in told.items() if words]
    return [f"  {number}  {row['name']}", *(f"     {line}" for line in lines)]


def _found(row: Mapping[str, Any]) -> str:
    """Return what its rule finds, with 95 % intervals."""
    if row.get("rule") is None:
        return ""
    recall, precision = (_per_cent(row, f"rule_{one}") for one in ("recall", "precision"))
    inside = "" if row.get(PARENT) is None else f" in segment {row[PARENT]}"
    share = f"of those{inside} it was asked of: {100 * row['rule_share']:.0f} %"
    return f"{recall} of them; {precision} of whom it finds belong ({share})"


def _per_cent(row: Mapping[str, Any], name: str) -> str:
    return f"{100 * row[name]:.0f} % ({100 * row[f'{name}_low']:.0f} to {100 * row[f'{name}_high']:.0f})"


def _lift(row: dict[str, float | None]) -> str:
    mean, low, high = row["lift"], row["lift_low"], row["lift_high"]
    if mean is None or low is None or high is None:
        return ""
    return f"{100 * mean:+.0f} % ({100 * low:.0f} to {100 * high:.0f})"
