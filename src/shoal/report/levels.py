"""The two levels of the map, segments and subsegments: who is in which group, its mark, and its place on the page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import polars as pl

from shoal.report.figures import mark
from shoal.tables import NAME, PARENT, SEGMENT, STRENGTH, SUBSEGMENT, UNASSIGNED, USER


def packed(table: pl.DataFrame, segments: pl.DataFrame, subsegments: pl.DataFrame | None = None) -> dict[str, Any]:
    """Return the map as the page's script reads it: numbers as base64 of little-endian arrays, 11 bytes a user.

    Parameters
    ----------
    table : DataFrame
        user_id, x, y, segment, strength, events, and subsegment if there are any. A missing strength is kept as
        missing.
    segments : DataFrame
        segment, name, in the order of the page.
    subsegments : DataFrame, optional
        segment, name, parent.

    Returns
    -------
    dict
        ``x`` and ``y`` (uint16, in the same unit), ``strength`` (uint8, per cent; 255 where missing), ``events``
        (uint32), ``users``, and ``levels``: each has ``groups`` and ``group`` (uint16: the position in ``groups``).
    """
    x, y = (table[c].cast(pl.Float64).to_numpy() for c in ("x", "y"))
    left, top = (float(a.min()) if len(a) else 0.0 for a in (x, y))
    unit = max(float(np.ptp(x)), float(np.ptp(y)), 1e-9) / 65_535 if len(x) else 1.0
    strength = (table[STRENGTH].cast(pl.Float64).fill_nan(None).clip(0, 1) * 100).round().fill_null(255)
    return {
        "users": table[USER].cast(pl.String).to_list(),
        "x": _base64((x - left) / unit, "<u2"),
        "y": _base64((y - top) / unit, "<u2"),
        "strength": _base64(strength.to_numpy(), "u1"),
        "events": _base64(table["events"].fill_null(0).to_numpy(), "<u4"),
        "levels": [
            {"groups": shown, "group": _base64(_places(own, shown), "<u2")}
            for own, shown in levels(table, segments, subsegments)
        ],
    }


def levels(
    table: pl.DataFrame, segments: pl.DataFrame, subsegments: pl.DataFrame | None = None
) -> list[tuple[pl.Series, list[dict[str, Any]]]]:
    """Return each level of a map: the group of each user, and `groups`; one level only if nothing is divided."""
    found = [(table[SEGMENT], groups(table, segments))]
    if subsegments is not None and subsegments.height and SUBSEGMENT in table.columns:
        own = _finest(table, subsegments)
        found.append((own, _fine_groups(own, segments, subsegments)))
    return found


def anchor(segment: int) -> str:
    """Return the id of a segment's card in the page."""
    return "segment-unassigned" if segment == UNASSIGNED else f"segment-{segment}"


def inner_anchor(segment: int) -> str:
    """Return the id of a subsegment's place in the card of its segment."""
    return f"subsegment-{segment}"


def title(segment: int, name: str | None) -> str:
    """Return the segment's name, or what to call it without one."""
    return name or ("Unassigned" if segment == UNASSIGNED else f"Segment {segment}")


def position(segments: pl.DataFrame, segment: int) -> int:
    """Return where a segment stands among the segments of the page, which gives its colour; -1 for unassigned."""
    known = _known(segments)
    return known.index(segment) if segment in known else -1


def inner_position(segments: pl.DataFrame, subsegments: pl.DataFrame, segment: int) -> int:
    """Return where a subsegment stands: after all segments; the first 36 of both look different."""
    return len(_known(segments)) + subsegments[SEGMENT].to_list().index(segment)


def groups(table: pl.DataFrame, segments: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the segments of a map in the order of `segments`, unassigned last if there are any.

    Each is a dict with segment, name, size (on the map), anchor (the id of its card), colour and shape (its mark).
    """
    sizes = dict(table[SEGMENT].value_counts().iter_rows())
    names = dict(segments.select(SEGMENT, NAME).iter_rows())
    order = [s for s in names if s != UNASSIGNED]
    if UNASSIGNED in sizes:
        order.append(UNASSIGNED)
    return [_group(s, names.get(s), sizes.get(s, 0), anchor(s), position(segments, s)) for s in order]


def _fine_groups(own: pl.Series, segments: pl.DataFrame, subsegments: pl.DataFrame) -> list[dict[str, Any]]:
    """Return subsegments in the place of the segment that they make up; one that is left whole stays as it is."""
    sizes = dict(own.value_counts().iter_rows())
    names = dict(segments.select(SEGMENT, NAME).iter_rows())
    found = []
    for segment in [*_known(segments), UNASSIGNED]:
        inside = [] if segment == UNASSIGNED else _inside(subsegments, segment).select(SEGMENT, NAME).rows()
        if sizes.get(segment) or (not inside and segment != UNASSIGNED):
            name = title(segment, names.get(segment)) + (", the rest" if inside else "")
            found.append(_group(segment, name, sizes.get(segment, 0), anchor(segment), position(segments, segment)))
        for one, name in inside:
            place = inner_position(segments, subsegments, one)
            found.append(_group(one, name, sizes.get(one, 0), inner_anchor(one), place))
    return found


def _group(segment: int, name: str | None, size: int, card: str, place: int) -> dict[str, Any]:
    colour, shape = mark(place)
    called = {"segment": segment, "name": title(segment, name), "size": size, "anchor": card}
    return called | {"colour": colour, "shape": shape, "place": place}


def _inside(subsegments: pl.DataFrame, segment: int) -> pl.DataFrame:
    return subsegments.filter(pl.col(PARENT) == segment)


def _finest(table: pl.DataFrame, subsegments: pl.DataFrame) -> pl.Series:
    """Return each user's subsegment; where there is none that the page knows, the segment."""
    known = pl.col(SUBSEGMENT).is_in(subsegments[SEGMENT].to_list())
    return table.select(pl.when(known).then(SUBSEGMENT).otherwise(SEGMENT)).to_series()


def _known(segments: pl.DataFrame) -> list[int]:
    return [s for s in segments[SEGMENT].to_list() if s != UNASSIGNED]


def _places(own: pl.Series, shown: list[dict[str, Any]]) -> np.ndarray:
    return own.replace_strict({g[SEGMENT]: k for k, g in enumerate(shown)}, return_dtype=pl.Int32).to_numpy()


def _base64(numbers: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.round(numbers).astype(dtype).tobytes()).decode("ascii")
