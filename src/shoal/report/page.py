"""The page: what a run found out, as one HTML file that needs nothing else.

    Contents --> levels.packed --+
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
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import polars as pl

from shoal.errors import StoreError
from shoal.report.cards import example_cards, segment_cards
from shoal.report.differences import differences_data
from shoal.report.figures import colours, percent, swatch, whole
from shoal.report.levels import levels, packed
from shoal.report.measures import choice_table, headline, metric_tables
from shoal.report.movement import alarms, flow, over_time
from shoal.report.shown import Contents
from shoal.tables import SEGMENT, UNASSIGNED

SCRIPTS = ("data.js", "points.js", "labels.js", "pointing.js", "moving.js", "controls.js", "compare.js", "start.js")
"""Parts of the page's one script, in this order."""
NOTHING = '<p class="nothing">{}</p>'


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
    script = "\n".join(asset(name) for name in SCRIPTS)
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
        headline="".join(f"<li>{escape(s)}</li>" for s in (*_headline(contents), contents.reason) if s),
        map_label=escape(_map_label(contents)),
        map_data=_data(packed(contents.map, contents.segments, contents.subsegments)),
        legend=_legends(contents),
        switch=_switch(contents),
        privacy=_privacy(contents),
        sample=_sample(contents),
        differences=_data(differences_data(contents.map, contents.segments, contents.differences)),
        movement=_movement(contents),
        movement_link='<li><a href="#movement">Since the last run</a></li>' if _movement(contents) else "",
        cards=segment_cards(
            contents.segments,
            contents.recommended,
            users=contents.users,
            unassigned=_unassigned(contents),
            subsegments=contents.subsegments,
            certificate=contents.certificate,
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


def _headline(contents: Contents) -> list[str]:
    return headline(contents.metrics, contents.paired)


def _legends(contents: Contents) -> str:
    """Return a list of groups for each level of the map; the script shows one of them."""
    called = ("Segments", "Subsegments")
    return "\n".join(
        f'<ol class="legend" data-level="{k}" aria-label="{called[k]}, with users and share"{" hidden" if k else ""}>'
        f"{_legend(shown, contents.map.height)}</ol>"
        for k, (_, shown) in enumerate(levels(contents.map, contents.segments, contents.subsegments))
    )


def _legend(shown: list[dict[str, Any]], users: int) -> str:
    return "\n".join(
        f'<li><a href="#{group["anchor"]}" data-segment="{group["segment"]}">{swatch(group["place"])}'
        f'<span class="name">{escape(group["name"])}</span><span class="number">{whole(group["size"])}</span>'
        f'<span class="number faint">{percent(group["size"] / max(1, users))}</span></a></li>'
        for group in shown
    )


def _switch(contents: Contents) -> str:
    """Return the buttons that change the level, where there is more than one."""
    if len(levels(contents.map, contents.segments, contents.subsegments)) < 2:
        return ""
    return """<div class="switch" role="group" aria-label="Level of the map">
<button type="button" data-to="0" aria-pressed="true">Segments</button>
<button type="button" data-to="1" aria-pressed="false">Subsegments</button></div>"""


def _privacy(contents: Contents) -> str:
    shown, users = contents.map.height, contents.users
    whom = f"all {whole(users)} users" if shown >= users else f"a sample of {whole(shown)} of {whole(users)} users"
    return f"This file holds the ids of {whom}: those on the map, and no others. Share it accordingly."


def _sample(contents: Contents) -> str:
    """Return what to add for somebody who looks for a user in vain."""
    shown, users = contents.map.height, contents.users
    return "" if shown >= users else f" It holds a sample of {whole(shown)} of {whole(users)} users."


def _movement(contents: Contents) -> str:
    """Return the section on what changed since the run before; nothing for a first run."""
    parts = {
        "Who moved": flow(contents.migration, contents.segments, contents.history),
        "Whose share changed": alarms(contents.drift, contents.segments),
        "Sizes over time": over_time(contents.history, contents.segments),
    }
    told = "\n".join(f"<h3>{heading}</h3>{part}" for heading, part in parts.items() if part)
    if not told:
        return ""
    return f"""<section id="movement" aria-labelledby="movement-title">
<h2 id="movement-title">Since the last run</h2>
{told}
</section>"""


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
