"""The comparison: what differs between segments that the reader picks, as data for the page's script.

Where segments were held against each other pair by pair, each difference has an effect with an interval. All effects
stand on one axis: log-odds are brought to the scale of Cohen's d by pi / sqrt(3) (Chinn, Stat. Med. 19, 2000). Where
there are too many segments for all pairs, shares are shown side by side, without intervals.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from shoal.report.levels import groups
from shoal.tables import ITEM, SEGMENT, UNASSIGNED

MOST = {"category": 10, "item": 10, "word": 8, "habit": 8, "trait": 8}
"""Differences of each pair that are kept, by part; the surest come first."""
ODDS = math.sqrt(3) / math.pi
SHARED = 12
"""Labels of a segment that are shown side by side, where pairs were not compared."""


def differences_data(
    table: pl.DataFrame, segments: pl.DataFrame, differences: pl.DataFrame | None
) -> dict[str, Any] | None:
    """Return what the page needs to hold segments against each other; None with fewer than two.

    Parameters
    ----------
    table, segments, differences : DataFrame
        The tables map, segments and differences of `shoal.report.shown.Contents`.

    Returns
    -------
    dict
        ``segments`` (segment, name, colour, shape); ``labels`` (part, label, and a value for each segment, null where
        it is not known); ``rows`` (first, second, label, as places; 1 for log-odds or 0 for d; effect, low, high on the
        scale of d, above 0: more in the first; 1 if it matters), the surest first, none without `differences`.
    """
    shown = [g for g in groups(table, segments) if g[SEGMENT] != UNASSIGNED]
    if len(shown) < 2:
        return None
    place = {g[SEGMENT]: k for k, g in enumerate(shown)}
    marks = [{key: g[key] for key in (SEGMENT, "name", "colour", "shape")} for g in shown]
    if differences is None or not differences.height:
        return {"segments": marks, "labels": _shared(segments, place), "rows": []}
    known = differences.filter(pl.col("first").is_in(list(place)), pl.col("second").is_in(list(place)))
    kept = _kept(known)
    keys = ["part", "kind", "label", ITEM]
    labels = kept.select(keys).unique(maintain_order=True)
    number = {key: k for k, key in enumerate(labels.iter_rows())}
    values: list[list[Any]] = [[None] * len(shown) for _ in number]
    for row in known.iter_rows(named=True):
        at = number.get(tuple(row[k] for k in keys))
        if at is not None:
            for end in ("first", "second"):
                values[at][place[row[end]]] = _short(row[f"value_{end}"])
    rows = [
        [
            place[row["first"]],
            place[row["second"]],
            number[tuple(row[k] for k in keys)],
            int(row["measure"] == "log-odds"),
            *(_short(row[c]) for c in ("d", "d_low", "d_high")),
            int(row["matters"]),
        ]
        for row in kept.iter_rows(named=True)
    ]
    named = [[part, label, own] for (part, _, label, _), own in zip(number, values, strict=True)]
    return {"segments": marks, "labels": named, "rows": rows}


def _kept(differences: pl.DataFrame) -> pl.DataFrame:
    """Return the surest differences of each pair and part, the surest of all first, with d, d_low and d_high."""
    to_d = pl.when(pl.col("measure") == "log-odds").then(ODDS).otherwise(1.0)
    scaled = differences.with_columns(
        d=pl.col("effect") * to_d, d_low=pl.col("low") * to_d, d_high=pl.col("high") * to_d
    )
    near = pl.when(pl.col("d") > 0).then("d_low").otherwise(-pl.col("d_high")).clip(0)
    ranked = scaled.with_columns(sure=near).sort("matters", "sure", "label", descending=[True, True, False])
    within = pl.int_range(pl.len()).over("first", "second", "part")
    most = pl.col("part").replace_strict(MOST, default=8, return_dtype=pl.Int64)
    return ranked.filter(within < most)


def _shared(segments: pl.DataFrame, place: dict[int, int]) -> list[list[Any]]:
    """Return labels with the share in each segment whose profile has it."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in segments.filter(pl.col(SEGMENT) >= 0).iter_rows(named=True):
        for part, column in (("category", "categories"), ("word", "words")):
            for one in (row[column] or [])[:SHARED]:
                values = found.setdefault((part, one["label"]), [None] * len(place))
                values[place[row[SEGMENT]]] = _short(one["share_in"])
    return [[part, label, values] for (part, label), values in found.items()]


def _short(value: float | None) -> float | None:
    """Return four digits: a page shows two or three, and the rest is weight."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
