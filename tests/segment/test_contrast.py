"""Shrunken log-odds: worked by hand, and the laws a contrast must keep."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.segment.contrast import contrasts, log_odds


def test_the_score_is_monroes_worked_by_hand():
    # 30 of 100 inside, 10 of 100 outside, a prior of 50 events at everyone's share of .2: 10 with, 40 without
    difference = math.log(40 / 110) - math.log(20 / 130)
    expected = difference / math.sqrt(1 / 40 + 1 / 20)
    args = [np.array([float(x)]) for x in (30, 100, 10, 100)]
    assert log_odds(*args, prior=50)[0] == pytest.approx(expected)


@given(st.integers(0, 50), st.integers(0, 50))
def test_inside_and_outside_mirror_each_other(a, b):
    x, y, total = np.array([float(a)]), np.array([float(b)]), np.array([60.0])
    assert log_odds(x, total, y, total)[0] == pytest.approx(-log_odds(y, total, x, total)[0])


@given(st.integers(1, 20), st.integers(2, 100))
def test_equal_shares_have_no_contrast(count, times):
    x, y = np.array([float(count)]), np.array([float(count * times)])
    assert log_odds(x, 5 * x, y, 5 * y)[0] == pytest.approx(0, abs=1e-9)


def test_the_same_lift_counts_for_more_with_more_events():
    few = log_odds(*(np.array([x]) for x in (3.0, 10.0, 10.0, 100.0)))
    many = log_odds(*(np.array([x]) for x in (300.0, 1000.0, 1000.0, 10000.0)))
    assert 0 < few[0] < many[0]


def test_nobody_outside_means_no_contrast():
    assert log_odds(*(np.array([x]) for x in (3.0, 10.0, 0.0, 0.0))).tolist() == [0.0]


def test_each_label_stands_in_each_segment_against_everyone_else():
    counts = pl.DataFrame({"segment": [0, 0, 1], "label": ["a", "b", "b"], "count": [4, 1, 3]})
    totals = pl.DataFrame({"segment": [0, 1, 2], "total": [10, 10, 0]})
    table = contrasts(counts, ["label"], totals).sort("segment", "label")
    assert table["count"].to_list() == [4, 1, 0, 3, 0, 0]
    assert table["share_in"].to_list() == [0.4, 0.1, 0.0, 0.3, 0.0, 0.0]
    assert table["share_out"].to_list() == [0.0, 0.3, 0.4, 0.1, 0.2, 0.2]
    assert np.isfinite(table["contrast"].to_numpy()).all()


def test_one_segment_has_no_elsewhere():
    counts = pl.DataFrame({"segment": [0], "label": ["a"], "count": [4]})
    table = contrasts(counts, ["label"], pl.DataFrame({"segment": [0], "total": [10]}))
    assert table.row(0) == (0, "a", 4, 0.4, None, 0.0)
