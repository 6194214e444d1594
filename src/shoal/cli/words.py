"""Tables made readable: titles beside item ids, segments as in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.tables import ITEM, SEGMENT, UNASSIGNED

if TYPE_CHECKING:
    import polars as pl

    from shoal.pipeline import Run


def with_titles(table: pl.DataFrame, run: Run) -> pl.DataFrame:
    """Return `table` with the column ``title`` after the item id: the catalogue's name of the item, else the id."""
    from shoal.titles import titles

    named = table.join(titles(run.data.items), on=ITEM, how="left", maintain_order="left")
    title = named["title"].fill_null(named[ITEM])
    return table.clone().insert_column(table.columns.index(ITEM) + 1, title)


def segment_table(segments: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the segments and the headers to show them under; the unassigned stand under ``-``.

    The gain is that of the segment's popular items over everyone's, NDCG@10 on held-out events, with its interval.
    """
    import polars as pl

    number = pl.when(pl.col(SEGMENT) == UNASSIGNED).then(pl.lit("-")).otherwise(pl.col(SEGMENT).cast(pl.String))
    table = segments.with_columns(number.alias("#"))
    headers = {
        "#": "#",
        "size": "users",
        "name": "name",
        "sets_apart": "sets it apart",
        "gain": "popular items' gain",
    }
    return table, {column: header for column, header in headers.items() if column in table.columns}
