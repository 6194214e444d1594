"""The cards: one for each segment, one for each example user.

A segment's card says who it is, what sets it apart from everyone else, with figures, and what it is recommended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from shoal.report.evidence import badge, evidence, rule_line
from shoal.report.figures import MINUS, bar, decimal, listed, mark, percent, swatch, whole
from shoal.report.inside import inside_card
from shoal.report.levels import anchor, position, title
from shoal.tables import ITEM, RANK, SEGMENT, UNASSIGNED

MORE, LESS, WORDS, TITLES = 5, 3, 10, 6
SMALL_GAP = 0.05
CERTIFICATE = {SEGMENT: pl.Int32(), "measure": pl.String(), "against": pl.String()}


def segment_cards(
    segments: pl.DataFrame,
    recommended: pl.DataFrame,
    *,
    users: int,
    unassigned: int,
    subsegments: pl.DataFrame | None = None,
    certificate: pl.DataFrame | None = None,
) -> str:
    """Return the cards of all segments, in the order of the table; users without a segment come last.

    Parameters
    ----------
    segments, recommended : DataFrame
        As in `shoal.report.shown.Contents`.
    users : int
        How many users there are, with and without a segment; shares are of these.
    unassigned : int
        How many have no segment. They get a note, or a card of their own where `segments` has a row for them.
    subsegments, certificate : DataFrame, optional
        As in `shoal.report.shown.Contents`.
    """
    cards = []
    proof = pl.DataFrame(schema=CERTIFICATE) if certificate is None else certificate
    for row in segments.sort(pl.col(SEGMENT) == UNASSIGNED, maintain_order=True).iter_rows(named=True):
        offers = recommended.filter(pl.col(SEGMENT) == row[SEGMENT]).sort(RANK)
        titles = offers.select(pl.coalesce("title", pl.col(ITEM).cast(pl.String))).to_series().to_list()
        inside = inside_card(row[SEGMENT], segments, subsegments, proof)
        told = badge(row.get("verdict")) + evidence(row, proof)
        cards.append(_segment_card(row, titles, position(segments, row[SEGMENT]), users, told, inside))
    if unassigned and UNASSIGNED not in segments[SEGMENT].to_list():
        cards.append(_note_on_unassigned(unassigned, users))
    return "\n".join(cards)


def example_cards(examples: Sequence[Mapping[str, Any]], segments: pl.DataFrame) -> str:
    """Return a card for each example user: what they did last, and what they are recommended, with the reason."""
    by_name = dict(zip(segments["name"].to_list(), segments[SEGMENT].to_list(), strict=True))
    return "\n".join(_example_card(e, by_name.get(e["segment"], UNASSIGNED), segments) for e in examples)


def _segment_card(row: Mapping[str, Any], offered: list[str], place: int, users: int, told: str, inside: str) -> str:
    name, link = escape(title(row[SEGMENT], row["name"])), anchor(row[SEGMENT])
    exemplars = [e["title"] or e[ITEM] for e in row["exemplars"] or []][:TITLES]
    return f"""<article class="card segment" id="{link}" tabindex="-1" aria-labelledby="{link}-name"
  style="--colour: var({mark(place)[0]})">
<header>
<h3 id="{link}-name">{swatch(place)}{name}</h3>
<p class="size"><b>{whole(row["size"])}</b> {_users(row["size"])}, {percent(row["size"] / max(1, users))}</p>
</header>
<p class="apart">{escape(_sentence(row["sets_apart"] or ""))}</p>
{rule_line(row)}
{told}
<p class="habits">{_habits(row)} <a class="show" href="#map" data-show="{row[SEGMENT]}">Show on the map</a></p>
{_shares(row["categories"] or [], name)}
{_words(row["words"] or [])}
<div class="pair">
{_titles("Typical of it", exemplars)}
{_titles("Recommended to it", offered[:TITLES], ordered=True)}
</div>
{inside}
</article>"""


def _note_on_unassigned(size: int, users: int) -> str:
    return f"""<article class="card segment note" id="{anchor(UNASSIGNED)}" tabindex="-1"
  aria-labelledby="{anchor(UNASSIGNED)}-name" style="--colour: var({mark(-1)[0]})">
<header>
<h3 id="{anchor(UNASSIGNED)}-name">{swatch(-1)}Unassigned</h3>
<p class="size"><b>{whole(size)}</b> {_users(size)}, {percent(size / max(1, users))}</p>
</header>
<p class="apart">Too few events to be placed. They are in no segment, and are served by the model for everyone.</p>
</article>"""


def _sentence(text: str) -> str:
    """Return the text with a capital letter and a full stop."""
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else f"{text}."


def _users(number: int) -> str:
    return "user" if number == 1 else "users"


def _habits(row: Mapping[str, Any]) -> str:
    """Return rating habits in words: how many events a user, and how far the ratings are from everyone's."""
    parts = []
    if row["events_per_user"] is not None:
        often = row["events_per_user"]
        parts.append(f"{whole(often) if often >= 10 else decimal(often, 1)} events a user")
    gap = row["rating_gap"]
    if gap is not None:
        side = "above" if gap > 0 else "below"
        size = decimal(abs(gap), 2).replace(MINUS, "")
        parts.append("ratings like everyone's" if abs(gap) < SMALL_GAP else f"ratings {size} {side} everyone's mean")
    return f"{'; '.join(parts)}." if parts else ""


def _shares(categories: list[Mapping[str, Any]], name: str) -> str:
    """Return what the segment uses more, then less, than others: a table with a bar and a tick in each row.

    `name` is escaped already.
    """
    more = [c for c in categories if _over(c)][:MORE]
    less = sorted((c for c in categories if not _over(c)), key=lambda c: c["contrast"] or 0.0)[:LESS]
    if not more and not less:
        return ""
    most = max(max(c["share_in"], c["share_out"] or 0.0) for c in more + less)
    body = _share_rows("More than others", more, most) + _share_rows("Less than others", less, most)
    return f"""<table class="shares">
<caption class="unseen">Categories of {name}: share here and share elsewhere</caption>
<colgroup><col class="label"><col><col class="figure"><col class="figure"></colgroup>
<thead class="unseen"><tr><th scope="col">Category</th><th scope="col">Bar</th>
<th scope="col">Here</th><th scope="col">Elsewhere</th></tr></thead>
{body}</table>"""


def _over(label: Mapping[str, Any]) -> bool:
    """Return whether a label is used more here than elsewhere; where there is no elsewhere, it is."""
    return bool(label["share_in"] >= (label["share_out"] or 0.0))


def _share_rows(heading: str, rows: list[Mapping[str, Any]], most: float) -> str:
    if not rows:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(c["label"])}</th><td>{bar(c["share_in"], c["share_out"], most)}</td>'
        f'<td class="number">{percent(c["share_in"])}</td>'
        f'<td class="number faint">{percent(c["share_out"])}</td></tr>\n'
        for c in rows
    )
    return (
        f'<tbody><tr class="group"><th scope="rowgroup" colspan="2">{heading}</th>'
        f'<td class="number" aria-hidden="true">here</td><td class="number" aria-hidden="true">others</td></tr>\n'
        f"{lines}</tbody>"
    )


def _words(words: list[Mapping[str, Any]]) -> str:
    more = [w for w in words if _over(w)][:WORDS]
    if not more:
        return ""
    return f'<p class="words"><b>Words</b> {escape(", ".join(w["label"] for w in more))}</p>'


def _titles(heading: str, titles: list[str], *, ordered: bool = False) -> str:
    return f"<div><h4>{heading}</h4>{listed(titles, ordered=ordered)}</div>" if titles else ""


def _example_card(example: Mapping[str, Any], segment: int, segments: pl.DataFrame) -> str:
    offers = "".join(
        f'<li><span class="offer"><span>{escape(r["title"] or "")}</span> '
        f'<span class="number">{decimal(r["score"], 2)}</span></span>'
        f'<span class="reason">{escape(r["reason"] or "")}</span></li>'
        for r in example["recommended"]
    )
    return f"""<article class="card example">
<header><h3>User {escape(str(example["user_id"]))}</h3>
<p><a href="#{anchor(segment)}">{swatch(position(segments, segment))}{escape(example["segment"])}</a></p></header>
<h4>Lately</h4>{listed(example["recent"])}
<h4>Recommended, with score and reason</h4><ol class="offers">{offers}</ol>
</article>"""
