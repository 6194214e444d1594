"""The inside of a segment's card: the subsegments that it is made of, folded away until somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import polars as pl

from shoal.report.evidence import evidence, reason, rule_line, small_badge
from shoal.report.figures import listed, mark, percent, swatch, whole
from shoal.report.levels import inner_anchor, inner_position, title
from shoal.tables import ITEM, PARENT, SEGMENT

TYPICAL = 4


def inside_card(
    segment: int, segments: pl.DataFrame, subsegments: pl.DataFrame | None, certificate: pl.DataFrame
) -> str:
    """Return the subsegments of a segment, one to unfold each; nothing for a segment that is left whole.

    Parameters
    ----------
    segment : int
    segments, subsegments, certificate : DataFrame
        As in `shoal.report.shown.Contents`.
    """
    if subsegments is None or not subsegments.height:
        return ""
    own = subsegments.filter(pl.col(PARENT) == segment)
    if not own.height:
        return ""
    size = max(1, int(own["size"].sum()))
    rows = [(row, inner_position(segments, subsegments, row[SEGMENT])) for row in own.iter_rows(named=True)]
    parts = "".join(
        f'<i style="--colour: var({mark(place)[0]}); width: {100 * row["size"] / size:.2f}%"></i>'
        for row, place in rows
    )
    inner = "\n".join(_subsegment(row, place, size, certificate) for row, place in rows)
    return f"""<details class="inside">
<summary>Made of {own.height} subsegments<span class="stack" aria-hidden="true">{parts}</span></summary>
<p class="hint">What sets each apart is told against the rest of this segment.</p>
{inner}
</details>"""


def _subsegment(row: Mapping[str, Any], place: int, size: int, certificate: pl.DataFrame) -> str:
    typical = [e["title"] or e[ITEM] for e in row["exemplars"] or []][:TYPICAL]
    liked = f"<h4>Typical of it</h4>{listed(typical)}" if typical else ""
    apart = row["sets_apart"] or ""
    return f"""<details class="subsegment" id="{inner_anchor(row[SEGMENT])}"
  style="--colour: var({mark(place)[0]})">
<summary>{swatch(place)}<span class="name">{escape(title(row[SEGMENT], row["name"]))}</span>
<span class="number faint">{whole(row["size"])}, {percent(row["size"] / size)}</span>
{small_badge(row.get("verdict"))}</summary>
<p class="apart">{escape(apart[:1].upper() + apart[1:])}{"." if apart and apart[-1] not in ".!?" else ""}</p>
{rule_line(row, "in this segment")}
{reason(row.get("verdict"))}
{evidence(row, certificate)}
{liked}
<p><a class="show" href="#map" data-show="{row[SEGMENT]}" data-level="1">Show on the map</a></p>
</details>"""
