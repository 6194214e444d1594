"""A run that was really fitted becomes the contents of its report, a first one and one that goes on from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from shoal.config import Config
from shoal.data.synthetic import planted_world
from shoal.pipeline import fit
from shoal.report import contents as made_of
from shoal.report.contents import contents
from shoal.report.page import render
from shoal.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs() -> tuple[Run, Run]:
    """A run, and one fitted after it on the same events."""
    world, _ = planted_world(users=150, items=80, segments=3, events_per_user=20, noise=0.1, seed=1)
    small = {"train": {"epochs": 2, "batch_users": 64}, "tower": {"width": 16, "history": 20}}
    config = Config(**small, recommend={"factors": 8}, segment={"n": 3}, effort="quick")
    first = fit(world, config=config)
    return first, fit(world, config=config, after=first)


def test_a_first_run_has_pairs_and_certificates_and_nothing_before_it(runs: tuple[Run, Run]) -> None:
    page = render(contents(runs[0]))
    assert "of its members come back when users are drawn anew" in page
    assert '"rows":[[0,' in page
    assert 'id="movement"' not in page


def test_a_run_after_another_tells_who_moved_and_which_shares_changed(runs: tuple[Run, Run]) -> None:
    page = render(contents(runs[1]))
    for words in ("users who are in both runs are where they were", "by more than chance since the run before"):
        assert words in page
    assert 'class="ribbon"' in page


def test_a_run_of_before_has_a_page_too(runs: tuple[Run, Run]) -> None:
    run = runs[0]
    newer = ["served", "parent", "stability", "persistence", "lift", "lift_low", "lift_high", "blind_score", "verdict"]
    members = run.members.drop("subsegment", strict=False)
    old = replace(run, segments=run.segments.drop(newer, strict=False), members=members, more={})
    page = render(contents(old))
    assert 'class="evidence"' not in page
    assert 'class="badge' not in page
    assert 'data-to="1"' not in page


def test_pairs_are_the_same_however_many_segments_are_read_at_once(
    runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made_of._differences(runs[0])
    monkeypatch.setattr(made_of, "AT_ONCE", 2)
    parts = made_of._differences(runs[0])
    assert whole is not None
    assert parts is not None
    pairs = whole.select("first", "second").unique().sort("first", "second").rows()
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert parts.select("first", "second").unique().sort("first", "second").rows() == pairs
    keys = ["first", "second", "part", "kind", "label", "item_id"]
    assert not parts.select(keys).is_duplicated().any()
    both = whole.join(parts, on=keys, nulls_equal=True)
    assert both.height > 50
    np.testing.assert_allclose(both["effect"], both["effect_right"], rtol=0.2, atol=0.05)


def test_too_many_segments_are_not_compared_pair_by_pair(
    runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_of, "MOST_COMPARED", 2)
    made = contents(runs[0])
    assert made.differences is None
    assert isinstance(made.map, pl.DataFrame)
    assert '"rows":[]' in render(made)


def test_of_very_many_users_a_sample_is_mapped_and_said(runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_of, "MOST_MAPPED", 40)
    made = contents(runs[0])
    assert made.map.height == 40
    assert "the ids of a sample of 40 of 150 users" in render(made)
