"""What newer runs have beside: subsegments, certificates, differences, and what changed since the run before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
from contents import contents

from shoal.certify import CERTIFICATE
from shoal.report.shown import Contents
from shoal.segment.compare import DIFFERENCES

DIVIDED = 1
INSIDE = {8: "Pixar and after", 9: "Drawn by hand", 10: "Musicals"}
RULE = '(share("Sword & sorcery") > 0.2 and event_count <= 150) or has("Supercalifragilisticexpialidocious")'
VERDICTS = ("holds", "holds in part: its border moves with other users", "fails: comes out otherwise with other users")


def full(users: int = 610, *, segments: int = 8) -> Contents:
    """Return contents with everything that a report can show; segment 1 is made of three subsegments."""
    made = contents(users, segments=segments)
    inside = np.where(made.map["segment"].to_numpy() == DIVIDED, 8 + np.arange(users) % 4, -1)
    inside[inside == 11] = -1  # some users of a divided segment are in none
    names = dict(made.segments.select("segment", "name").iter_rows())
    return replace(
        made,
        map=made.map.with_columns(subsegment=pl.Series(inside, dtype=pl.Int32)),
        segments=certified(made.segments),
        subsegments=subsegments(made.segments, inside),
        certificate=certificate([*range(segments), *INSIDE]),
        differences=differences(segments),
        paired=paired(),
        migration=migration(),
        history=history(names),
        drift=drift(),
    )


def certified(table: pl.DataFrame) -> pl.DataFrame:
    k = np.arange(table.height)
    return table.with_columns(
        stability=pl.Series(0.95 - 0.05 * k),
        persistence=pl.Series(0.9 - 0.02 * k),
        lift=pl.Series(0.4 - 0.1 * k),
        lift_low=pl.Series(0.2 - 0.1 * k),
        lift_high=pl.Series(0.7 - 0.1 * k),
        blind_score=pl.Series(0.8 - 0.05 * k),
        verdict=pl.Series([VERDICTS[i % 3] for i in k]),
        rule=pl.Series([RULE if i % 2 else None for i in k], dtype=pl.String),
        rule_reason=pl.Series([None if i % 2 else "too few users" for i in k], dtype=pl.String),
        rule_precision=pl.Series([0.64 if i % 2 else None for i in k], dtype=pl.Float64),
        rule_recall=pl.Series([0.71 if i % 2 else None for i in k], dtype=pl.Float64),
        rule_share=pl.lit(0.18),
    )


def subsegments(segments: pl.DataFrame, inside: np.ndarray) -> pl.DataFrame:
    rows = segments.head(len(INSIDE)).with_columns(
        segment=pl.Series(list(INSIDE), dtype=pl.Int32),
        name=pl.Series(list(INSIDE.values())),
        size=pl.Series([int((inside == one).sum()) for one in INSIDE]),
        parent=pl.lit(DIVIDED, pl.Int32),
    )
    return certified(rows)


def certificate(numbers: list[int]) -> pl.DataFrame:
    rows = []
    for one in numbers:
        told = {"level": "segments" if one < 8 else "subsegments", "segment": one, "users": 50}
        rows.append(told | {"measure": "jaccard", "against": "other users", "value": 0.92, "low": 0.861, "high": 0.98})
        rows.append(told | {"measure": "staying", "against": "newer events", "value": 0.82, "low": 0.78, "high": 0.86})
        lift = {"measure": "lift ndcg@10", "against": "random segments", "value": 0.25, "low": 0.03, "high": 0.48}
        rows.append(told | lift)
        rows.append(told | {"measure": "blind score", "against": "chance 0.33", "value": 0.7, "low": 0.6, "high": 0.8})
    return pl.DataFrame(rows, schema=CERTIFICATE)


def differences(segments: int) -> pl.DataFrame:
    """Return for each pair of up to eight segments one sure difference of each kind, and one that is unsure."""
    rows = []
    for a in range(min(segments, 8)):
        for b in range(a + 1, min(segments, 8)):
            sign = 1 if (a + b) % 2 else -1
            same = {"item_id": None, "first": a, "second": b, "p": 0.0, "q": 0.0}
            odds = {"measure": "log-odds", "effect": sign * 1.5, "low": sign * 1.5 - 0.4, "high": sign * 1.5 + 0.6}
            d = {"measure": "d", "effect": 0.1, "low": -0.1, "high": 0.3, "matters": False}
            for part, label in (("category", "Film-Noir"), ("item", f"Film {a} or {b} (1999)"), ("word", "space")):
                values = {"value_first": 0.1 + 0.01 * a, "value_second": 0.1 + 0.01 * b, "matters": True}
                rows.append(same | odds | values | {"part": part, "kind": part, "label": label})
            values = {"value_first": 40.0 + a, "value_second": 40.0 + b}
            rows.append(same | d | values | {"part": "habit", "kind": "events", "label": "events a user"})
    return pl.DataFrame(rows, schema=DIFFERENCES)


def paired() -> pl.DataFrame:
    rows = [
        ("item_item", "ndcg@10", 0.025, 0.011, 0.039, "better"),
        ("text", "rmse", -0.004, -0.012, 0.003, "undecided"),
    ]
    return pl.DataFrame(rows, schema=["model", "metric", "mean", "low", "high", "verdict"], orient="row")


def migration() -> pl.DataFrame:
    rows = [(0, 0, 60), (0, 1, 15), (1, 1, 70), (1, 2, 10), (2, 2, 80), (2, None, 5), (None, 0, 12), (-1, 1, 3)]
    table = pl.DataFrame(rows, schema={"from": pl.Int32, "to": pl.Int32, "users": pl.Int64}, orient="row")
    return table.with_columns(share=pl.col("users") / pl.col("users").sum().over("from"))


def history(names: dict[int, str]) -> pl.DataFrame:
    rows = [
        (
            datetime(2026, month, 14),
            segment,
            f"{name}{' of old' if month == 1 else ''}",
            70 + segment,
            0.1 + month / 90 * (-1) ** segment + segment / 100,
        )
        for month in (1, 2, 3)
        for segment, name in names.items()
    ]
    columns = {"segment": pl.Int32, "name": pl.String, "size": pl.Int64, "share": pl.Float64}
    return pl.DataFrame(rows, schema={"fitted": pl.Datetime, **columns}, orient="row")


def drift() -> pl.DataFrame:
    rows = [(0, 0.12, 0.15, 0.03, 0.012, 0.048, 0.001, True), (1, 0.2, 0.19, -0.01, -0.03, 0.01, 0.4, False)]
    columns = ["segment", "before", "after", "change", "low", "high", "p", "alarm"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.col("segment").cast(pl.Int32))
