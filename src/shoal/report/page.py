"""The page: what a run found out, as one HTML file that needs nothing else.

    Contents --> map.packed --+
             --> cards -------+--> template --> one file, written whole or not at all
             --> figures -----+

Everything in it is text of somebody's data, so everything is escaped; a content security policy in the page lets the
browser run its one script, known by hash, and load nothing from anywhere.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import polars as pl

from shoal.errors import MismatchError, StoreError, TableError, did_you_mean
from shoal.report.cards import example_cards, segment_cards
from shoal.report.figures import colours, percent, swatch, whole
from shoal.report.map import groups, packed, position
from shoal.report.measures import choice_table, headline, metric_tables
from shoal.tables import SEGMENT, UNASSIGNED

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "map": ("user_id", "x", "y", "segment", "strength", "events"),
    "segments": (
        "segment", "size", "name", "sets_apart", "rating_gap", "events_per_user", "categories", "words", "exemplars",
    ),
    "recommended": ("segment", "rank", "item_id", "title", "score"),
    "metrics": ("model", "metric", "value", "low", "high", "note"),
    "choice": ("n", "stability", "separation", "smallest", "verdict"),
}  # fmt: skip
"""The columns that each table of `Contents` must have."""

NOTHING = '<p class="nothing">{}</p>'


@dataclass(frozen=True)
class Contents:
    """What a report shows: plain tables and sentences, from whatever made them.

    Tables may be empty, and their section then says that there is nothing. Times are shown as they are given.
    """

    title: str
    """What the data is, such as "MovieLens, latest small"."""
    when: datetime
    users: int
    items: int
    events: int
    map: pl.DataFrame
    """user_id, x, y, segment (-1 is unassigned), strength (0 to 1, may be missing), events. One row a user."""
    segments: pl.DataFrame
    """segment, size, name, sets_apart (a sentence), rating_gap (own mean less everyone's, on the rating scale; may be
    missing), events_per_user; categories and words (List of Struct: label, share_in, share_out, contrast), the most
    over-used first; exemplars (List of Struct: item_id, title, contrast). One row a segment; -1 may have one too."""
    recommended: pl.DataFrame
    """segment, rank, item_id, title, score: what each segment is recommended."""
    metrics: pl.DataFrame
    """model, metric, value, low, high, note. `blend` is ours, all others are baselines or its parts."""
    choice: pl.DataFrame
    """n, stability, separation, smallest (a share of users, or a count if whole numbers), verdict."""
    reason: str
    """Why this number of segments, in one sentence."""
    verdicts: Sequence[str] = ()
    """Where segments help, tie or hurt, a sentence each."""
    read: Sequence[str] = ()
    """What was read, kept and dropped, a line each."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Each: user_id, segment (its name), recent (titles), recommended (each: title, score, reason)."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Versions, seed, times: what one needs to make the run again."""

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            table = getattr(self, name)
            for column in columns:
                if column not in table.columns:
                    raise TableError(
                        f"The report's table {name} has no column {column}; it has {', '.join(table.columns)}."
                        f"{did_you_mean(column, table.columns)}"
                    )
        strange = set(self.map[SEGMENT].unique()) - {*self.segments[SEGMENT], UNASSIGNED}
        if strange:
            raise MismatchError(
                f"The report's map shows users in segment {min(strange)}, which its table segments does not have. "
                "Make both from the same run."
            )


def write(contents: Contents, path: str | os.PathLike[str]) -> Path:
    """Write the report to `path`, whole or not at all, and return the path.

    A report that stands there already is replaced at once, at the very end; a reader sees the old one or the new one.

    Raises
    ------
    StoreError
        The folder is not there or cannot be written, or the disk is full. Nothing is left behind.
    """
    return put(render(contents), path)


def put(page: str, path: str | os.PathLike[str]) -> Path:
    """Write a page to `path`, whole or not at all, and return the path.

    Raises
    ------
    StoreError
        The folder is not there or cannot be written, or the disk is full. Nothing is left behind.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(page.encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise StoreError(
            f"The report could not be written to {path}: {error.strerror or error}. "
            "Give a path in a folder that is there, can be written, and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return path


def render(contents: Contents) -> str:
    """Return the report as HTML."""
    script = asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    when = contents.when
    return Template(asset("page.html")).substitute(
        title=escape(contents.title),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=f"{colours()}\n{asset('page.css')}",
        script=script,
        when_iso=when.isoformat(),
        when=f"{when.day} {when:%B %Y, %H:%M}{' ' + str(when.tzname()) if when.tzinfo else ''}",
        summary=_summary(contents),
        headline="".join(f"<li>{escape(s)}</li>" for s in (*headline(contents.metrics), contents.reason) if s),
        map_label=escape(_map_label(contents)),
        map_data=_data(packed(contents.map, contents.segments)),
        legend=_legend(contents),
        cards=segment_cards(
            contents.segments, contents.recommended, users=contents.users, unassigned=_unassigned(contents)
        )
        or NOTHING.format("This run has no segments."),
        metrics=metric_tables(contents.metrics) or NOTHING.format("This run was not measured."),
        verdicts=sentences(contents.verdicts) or NOTHING.format("Segments were not compared with everyone's model."),
        reason=escape(contents.reason),
        choice=choice_table(contents.choice, _assigned(contents).height),
        examples=example_cards(contents.examples, contents.segments) or NOTHING.format("This run shows no examples."),
        read=sentences(contents.read) or NOTHING.format("There is no read report."),
        manifest=manifest_list(contents.manifest) or NOTHING.format("There is no manifest."),
    )


def _assigned(contents: Contents) -> pl.DataFrame:
    return contents.segments.filter(pl.col(SEGMENT) != UNASSIGNED)


def _unassigned(contents: Contents) -> int:
    return contents.map.filter(pl.col(SEGMENT) == UNASSIGNED).height


def _summary(contents: Contents) -> str:
    numbers = {
        "users": contents.users,
        "items": contents.items,
        "events": contents.events,
        "segments": _assigned(contents).height,
    }
    return "\n".join(f"<div><dt>{name}</dt><dd>{whole(number)}</dd></div>" for name, number in numbers.items())


def _map_label(contents: Contents) -> str:
    return (
        f"Map of {whole(contents.map.height)} users in {_assigned(contents).height} segments. Users who lie close "
        "together behave alike. The list of segments beside it says the same in words."
    )


def _data(value: Any) -> str:
    """Return JSON that can stand in a script element: no text in it can end the element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _legend(contents: Contents) -> str:
    entries = []
    for group in groups(contents.map, contents.segments):
        share = percent(group["size"] / max(1, contents.map.height))
        entries.append(
            f'<li><a href="#{group["anchor"]}" data-segment="{group["segment"]}">'
            f"{swatch(position(contents.segments, group['segment']))}"
            f'<span class="name">{escape(group["name"])}</span><span class="number">{whole(group["size"])}</span>'
            f'<span class="number faint">{share}</span></a></li>'
        )
    return "\n".join(entries)


def sentences(lines: Iterable[str]) -> str:
    """Return lines as a list, escaped; nothing for none."""
    items = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f'<ul class="sentences">{items}</ul>' if items else ""


def manifest_list(manifest: Mapping[str, Any]) -> str:
    """Return a nested mapping as a list of names and values, escaped; nothing for an empty one."""
    rows = "\n".join(f"<div><dt>{escape(str(k))}</dt>{_values(v)}</div>" for k, v in manifest.items())
    return f'<dl class="manifest">{rows}</dl>' if rows else ""


def _values(value: Any) -> str:
    return "".join(f"<dd>{escape(line)}</dd>" for line in _flat(value)) or "<dd>–</dd>"


def _flat(value: Any, name: str = "") -> Iterable[str]:
    """Yield a line for each value of a nested mapping, such as ``torch 2.13.0``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name} {key}".strip())
    elif isinstance(value, (list, tuple)):
        yield f"{name} {', '.join(str(v) for v in value)}".strip()
    else:
        yield f"{name} {'–' if value is None else value}".strip()


def asset(name: str) -> str:
    """Return a file of the report's assets."""
    return files("shoal.report").joinpath("assets", name).read_text(encoding="utf-8")
