"""The comparison's data: the surest differences of each pair, on one axis, with every segment's value."""

from __future__ import annotations

import math

import polars as pl
import pytest
from contents import contents
from more import differences, full

from shoal.report.differences import MOST, differences_data


def data(**more) -> dict:
    made = full(120)
    tables = {"table": made.map, "segments": made.segments, "differences": made.differences} | more
    found = differences_data(**tables)
    assert found is not None
    return found


def test_every_pair_has_its_differences_and_the_sure_come_first() -> None:
    found = data()
    assert {(row[0], row[1]) for row in found["rows"]} == {(a, b) for a in range(8) for b in range(a + 1, 8)}
    matters = [row[-1] for row in found["rows"]]
    assert matters == sorted(matters, reverse=True)


def test_a_label_has_the_value_of_every_segment_that_was_compared() -> None:
    labels = {(part, label): values for part, label, values in data()["labels"]}
    assert labels["category", "Film-Noir"] == pytest.approx([0.1 + 0.01 * k for k in range(8)])
    assert labels["item", "Film 2 or 5 (1999)"].count(None) == 6


def test_log_odds_and_deviations_stand_on_one_axis() -> None:
    rows = data()["rows"]
    odds, d = (next(row for row in rows if row[3] == kind and row[:2] == [0, 1]) for kind in (1, 0))
    assert odds[4] == pytest.approx(1.5 * math.sqrt(3) / math.pi, rel=1e-3)
    assert d[4:7] == [0.1, -0.1, 0.3]


def test_of_many_differences_the_surest_are_kept() -> None:
    one = differences(2).filter(pl.col("part") == "category")
    sizes = [0.5 + k / 50 for k in range(40)]
    many = pl.concat([one.with_columns(label=pl.lit(f"c{k}"), effect=s, low=s - 0.3, high=s + 0.3)
                      for k, s in enumerate(sizes)])  # fmt: skip
    found = data(differences=many)
    assert [found["labels"][row[2]][1] for row in found["rows"]] == [f"c{39 - k}" for k in range(MOST["category"])]


def test_without_pairs_shares_are_side_by_side() -> None:
    made = contents(120, segments=10)
    found = differences_data(made.map, made.segments, None)
    assert found is not None
    assert found["rows"] == []
    assert any(part == "category" and sum(v is not None for v in values) > 1 for part, _, values in found["labels"])


def test_one_segment_cannot_be_compared() -> None:
    made = contents(60, segments=1)
    assert differences_data(made.map, made.segments, None) is None


def test_segments_that_the_page_does_not_have_are_left_out() -> None:
    made = full(120)
    few = made.segments.filter(pl.col("segment") < 3)
    found = data(segments=few, table=made.map.filter(pl.col("segment") < 3))
    assert {row[1] for row in found["rows"]} == {1, 2}
