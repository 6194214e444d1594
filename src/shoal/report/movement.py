"""The movement: who went where since the last run, sizes over time, and whose share changed by more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from shoal.report.charts import Line, lines
from shoal.report.figures import MINUS, mark, percent, scale, swatch, whisker, whole
from shoal.report.levels import position, title
from shoal.tables import NAME, SEGMENT

WIDTH, HEIGHT, GAP = 720, 360, 16
LEFT, NODE = 230, 12
LONGEST = 27
NEW, GONE = "New users", "Gone"


@dataclass
class _Node:
    """A segment on one side of the flow: where its bar begins and ends, and how far ribbons have filled it."""

    name: str
    users: int
    colour: str
    top: float = 0.0
    size: float = 0.0
    filled: float = 0.0


def flow(migration: pl.DataFrame | None, segments: pl.DataFrame, history: pl.DataFrame | None = None) -> str:
    """Return who moved as a picture of flows (a Sankey diagram), with the same as a table folded away.

    Parameters
    ----------
    migration : DataFrame or None
        from (null: new), to (null: gone), users. Without any there is no picture.
    segments, history : DataFrame
        What segments are called now, and were called before.
    """
    if migration is None or not migration["users"].sum():
        return ""
    now = dict(segments.select(SEGMENT, NAME).iter_rows())
    then = now | _called_before(history)
    old = _side(migration, "from", then, NEW, segments)
    new = _side(migration, "to", now, GONE, segments)
    room = HEIGHT - GAP * (max(len(old), len(new)) - 1)
    unit = room / int(migration["users"].sum())
    for side in (old, new):
        _stack(side, unit)
    ribbons = [_ribbon(old[m["from"]], new[m["to"]], m["users"], unit) for m in _in_order(migration, old, new)]
    bars = [_bar(node, LEFT, "end") for node in old.values()]
    bars += [_bar(node, WIDTH - LEFT - NODE, "start") for node in new.values()]
    moved = migration.filter(pl.col("from").is_not_null(), pl.col("to").is_not_null())
    stayed = int(moved.filter(pl.col("from") == pl.col("to"))["users"].sum())
    told = f"{whole(stayed)} of {whole(int(moved['users'].sum()))} users who are in both runs are where they were."
    return f"""<p class="lede">{told} Left: the run before; right: this one.</p>
<div class="wide" tabindex="0" role="region" aria-label="Who moved since the run before">
<svg class="flow" viewBox="0 -8 {WIDTH} {HEIGHT + 16}" role="img" aria-label="{escape(told)}">
{"".join(ribbons)}{"".join(bars)}</svg></div>
{_as_table(migration, old, new)}"""


def _called_before(history: pl.DataFrame | None) -> dict[int, str]:
    if history is None or history["fitted"].n_unique() < 2:
        return {}
    last = history["fitted"].unique().sort()[-2]
    return dict(history.filter(pl.col("fitted") == last).select(SEGMENT, NAME).iter_rows())


def _side(
    migration: pl.DataFrame, column: str, names: Mapping[int, str], none: str, segments: pl.DataFrame
) -> dict[int | None, _Node]:
    """Return the nodes of a side by falling size, those without a segment last."""
    found = migration.group_by(column).agg(pl.col("users").sum())
    found = found.with_columns(last=pl.col(column).fill_null(-2) < 0)
    found = found.sort("last", "users", column, descending=[False, True, False], nulls_last=True)
    return {
        one: _Node(
            none if one is None else title(one, names.get(one)),
            users,
            mark(position(segments, -1 if one is None else one))[0],
        )
        for one, users, _ in found.iter_rows()
    }


def _stack(side: Mapping[int | None, _Node], unit: float) -> None:
    used = sum(node.users for node in side.values()) * unit + GAP * (len(side) - 1)
    at = (HEIGHT - used) / 2
    for node in side.values():
        node.top = node.filled = at
        node.size = node.users * unit
        at += node.size + GAP


def _in_order(
    migration: pl.DataFrame, old: Mapping[int | None, _Node], new: Mapping[int | None, _Node]
) -> list[dict[str, Any]]:
    """Return the rows from top to bottom on both sides, so that ribbons of one node do not cross."""
    first, then = list(old), list(new)
    return sorted(migration.to_dicts(), key=lambda row: (first.index(row["from"]), then.index(row["to"])))


def _ribbon(a: _Node, b: _Node, users: int, unit: float) -> str:
    size = users * unit
    left, right, middle = LEFT + NODE, WIDTH - LEFT - NODE, WIDTH / 2
    y, z = a.filled, b.filled
    a.filled, b.filled = y + size, z + size
    way = (
        f"M{left} {y:.1f}C{middle} {y:.1f} {middle} {z:.1f} {right} {z:.1f}V{z + size:.1f}"
        f"C{middle} {z + size:.1f} {middle} {y + size:.1f} {left} {y + size:.1f}Z"
    )
    label = f"{a.name} to {b.name}: {whole(users)} users, {percent(users / a.users)} of the former"
    return f'<path class="ribbon" style="--colour: var({a.colour})" d="{way}"><title>{escape(label)}</title></path>'


def _bar(node: _Node, x: float, side: str) -> str:
    word = node.name if len(node.name) <= LONGEST else node.name[: LONGEST - 1].rstrip() + "…"
    at = x - 8 if side == "end" else x + NODE + 8
    middle = node.top + node.size / 2
    return (
        f'<rect class="node" style="--colour: var({node.colour})" x="{x}" y="{node.top:.1f}" width="{NODE}" '
        f'height="{max(1.0, node.size):.1f}"/><text x="{at}" y="{middle:.1f}" class="{side}">{escape(word)}'
        f' <tspan class="faint">{whole(node.users)}</tspan></text>'
    )


def _as_table(migration: pl.DataFrame, old: Mapping[int | None, _Node], new: Mapping[int | None, _Node]) -> str:
    rows = "".join(
        f"<tr><td>{escape(old[row['from']].name)}</td><td>{escape(new[row['to']].name)}</td>"
        f'<td class="number">{whole(row["users"])}</td>'
        f'<td class="number faint">{percent(row["users"] / old[row["from"]].users)}</td></tr>'
        for row in _in_order(migration, old, new)
    )
    return f"""<details class="plain"><summary>The same as a table</summary>
<div class="wide"><table class="moves"><thead><tr><th scope="col">From</th><th scope="col">To</th>
<th scope="col" class="number">Users</th><th scope="col" class="number">of these</th></tr></thead>
<tbody>{rows}</tbody></table></div></details>"""


def over_time(history: pl.DataFrame | None, segments: pl.DataFrame) -> str:
    """Return the shares of segments over the runs as lines; nothing with fewer than two runs."""
    if history is None or history["fitted"].n_unique() < 2:
        return ""
    fits = history["fitted"].unique().sort().to_list()
    drawn, key = [], []
    for (segment,), rows in history.filter(pl.col(SEGMENT) >= 0).group_by(SEGMENT, maintain_order=True):
        rows = rows.sort("fitted")
        points = [(float(fits.index(row["fitted"])), 100 * row["share"]) for row in rows.iter_rows(named=True)]
        place = position(segments, int(str(segment)))
        name = title(int(str(segment)), rows[NAME][-1])
        drawn.append(Line(points, label=name, dots=True, colour=mark(place)[0]))
        key.append(f"<li>{swatch(place)}{escape(name)}</li>")
    dates = {float(k): f"{at.day} {at:%b %Y}" for k, at in enumerate(fits)}
    chart = lines(drawn, x="", y="% of users", title="Share of users in each segment, run by run", ticks=dates)
    return f'<div class="chart-frame">{chart}</div><ul class="chart-key">{"".join(key)}</ul>'


def alarms(drift: pl.DataFrame | None, segments: pl.DataFrame) -> str:
    """Return whose share of users changed by more than chance, as a table with the others below; nothing without."""
    if drift is None or not drift.height:
        return ""
    names = dict(segments.select(SEGMENT, NAME).iter_rows())
    on = scale([0.0, *(v for c in ("low", "high", "change") for v in drift[c].drop_nulls().to_list())])
    rows = drift.sort(["alarm", pl.col("change").abs()], descending=True)
    body = "".join(_drift_row(row, on, names, segments) for row in rows.iter_rows(named=True))
    found = int(drift["alarm"].sum())
    told = f"{found} of {drift.height} shares changed" if found else "No share changed"
    return f"""<p class="lede">{told} by more than chance since the run before.</p>
<div class="wide" tabindex="0" role="region" aria-label="Shares of users, before and now">
<table class="drift"><thead><tr><th scope="col">Segment</th><th scope="col"><span class="unseen">Figure</span></th>
<th scope="col" class="number">Before</th><th scope="col" class="number">Now</th>
<th scope="col" class="number">Change, points</th><th scope="col"></th></tr></thead>
<tbody>{body}</tbody></table></div>"""


def _drift_row(row: Mapping[str, Any], on: Any, names: Mapping[int, str], segments: pl.DataFrame) -> str:
    drawn = whisker(row["change"], row["low"], row["high"], on, beside=0.0)
    bounds = f"({_points(row['low'])} to {_points(row['high'])})"
    state = '<b class="badge fails">Alarm</b>' if row["alarm"] else '<span class="faint">within chance</span>'
    segment = row[SEGMENT]
    return (
        f'<tr><th scope="row">{swatch(position(segments, segment))} {escape(title(segment, names.get(segment)))}</th>'
        f'<td class="plot">{drawn}</td><td class="number">{percent(row["before"])}</td>'
        f'<td class="number">{percent(row["after"])}</td>'
        f'<td class="number">{_points(row["change"])} <span class="faint">{bounds}</span></td><td>{state}</td></tr>'
    )


def _points(change: float | None) -> str:
    """Return ``+1.2`` for a change of .012."""
    return "–" if change is None else f"{100 * change:+.1f}".replace("-", MINUS)
