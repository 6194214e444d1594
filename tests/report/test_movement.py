"""Who moved, sizes over time and alarms: drawn to scale, and silent where there is nothing to tell."""

from __future__ import annotations

import re

import polars as pl
import pytest
from contents import HOSTILE, contents
from more import drift, full, history, migration

from shoal.report.movement import GAP, HEIGHT, alarms, flow, over_time
from shoal.report.page import render

SEGMENTS = contents(60).segments
NAMES = dict(SEGMENTS.select("segment", "name").iter_rows())


def test_bars_are_as_high_as_their_segments_are_large() -> None:
    drawn = flow(migration(), SEGMENTS)
    heights = [float(h) for h in re.findall(r'class="node".*?height="([\d.]+)"', drawn)]
    unit = (HEIGHT - 4 * GAP) / 255  # five nodes on the left
    assert heights == pytest.approx([u * unit for u in (85, 80, 75, 12, 3, 90, 88, 72, 5)], abs=0.06)


def test_every_flow_is_told_in_the_picture_and_in_the_table() -> None:
    drawn = flow(migration(), SEGMENTS)
    assert drawn.count('class="ribbon"') == drawn.count("<tr><td>") == migration().height
    assert "Classic noir and drama to Animated family films: 15 users, 20\u202f% of the former" in drawn
    assert "New users to Classic noir and drama: 12 users" in drawn
    assert "210 of 238 users who are in both runs are where they were." in drawn


def test_a_segment_is_called_before_what_it_was_called_before() -> None:
    assert "War and westerns of old" not in flow(migration(), SEGMENTS, history(NAMES))
    late = history(NAMES).filter(pl.col("fitted").dt.month() != 2)
    assert "Classic noir and drama of old" in flow(migration(), SEGMENTS, late).replace("…", "")[:40_000]


def test_without_a_run_before_there_is_nothing_to_tell() -> None:
    first = history(NAMES).filter(pl.col("fitted") == pl.col("fitted").max())
    assert flow(None, SEGMENTS) == flow(migration().clear(), SEGMENTS) == ""
    assert over_time(None, SEGMENTS) == over_time(first, SEGMENTS) == ""
    assert alarms(None, SEGMENTS) == alarms(drift().clear(), SEGMENTS) == ""
    assert 'id="movement"' not in render(contents(60))


def test_an_alarm_comes_first_and_changes_are_in_points() -> None:
    told = alarms(drift().reverse(), SEGMENTS)
    assert "1 of 2 shares changed by more than chance" in told
    assert told.index("Classic noir") < told.index("within chance")
    assert "+3.0" in told
    assert "(\u22123.0 to +1.0)" in told
    quiet = alarms(drift().with_columns(alarm=pl.lit(False)), SEGMENTS)
    assert "No share changed by more than chance" in quiet


def test_sizes_are_a_line_a_segment_with_the_dates_below() -> None:
    drawn = over_time(history(NAMES), SEGMENTS)
    assert drawn.count('<g class="line"') == len(NAMES)
    assert all(date in drawn for date in ("14 Jan 2026", "14 Feb 2026", "14 Mar 2026"))


def test_names_of_moved_segments_are_text_and_not_markup() -> None:
    bad = SEGMENTS.with_columns(name=pl.lit(HOSTILE))
    told = flow(migration(), bad) + alarms(drift(), bad) + over_time(history(dict.fromkeys(NAMES, HOSTILE)), bad)
    assert "<script" not in told
    assert "<img" not in told


def test_the_page_of_a_later_run_has_the_section_and_a_way_to_it() -> None:
    page = render(full(60))
    assert '<a href="#movement">' in page
    assert 'id="movement"' in page
