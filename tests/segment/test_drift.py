"""Drift: worlds without change seldom alarm, a planted change is found, and the table says what was measured."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoal.errors import ConfigError, NotEnoughDataError
from shoal.segment.drift import CONTENT, SIZES, content, holm, label_shares, sizes
from shoal.tables import ITEM, SEGMENT, USER


def members(segments, users=None) -> pl.DataFrame:
    users = range(len(segments)) if users is None else users
    return pl.DataFrame(
        {USER: [f"u{u}" for u in users], SEGMENT: list(segments)}, schema={USER: pl.String, SEGMENT: pl.Int32}
    )


def world(rng, *, users=300, segments=5, restless=0.2, new=0, gone=0, pushed=0.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two windows of users who have a home and are elsewhere now and then; `pushed` of all go to segment 0 for good."""
    shares = rng.dirichlet(np.full(segments, 3.0))
    home = rng.choice(segments, users, p=shares)
    before, after = (
        np.where(rng.random(users) < restless, rng.choice(segments, users, p=shares), home) for _ in range(2)
    )
    after = np.where(rng.random(users) < pushed, 0, after)
    order = rng.permutation(users)
    here, still = np.sort(order[new:]), np.sort(order[: users - gone])
    return members(before[here], here), members(after[still], still)


WORLDS = {
    "the same users": {},
    "some new, some gone": {"new": 40, "gone": 20},
    "many new users": {"users": 400, "new": 150, "restless": 0.05},
    "users who never move": {"restless": 0.0, "new": 60, "gone": 60},
}


@pytest.mark.slow
@pytest.mark.parametrize("given", WORLDS.values(), ids=WORLDS.keys())
def test_without_change_there_is_an_alarm_in_at_most_one_refit_of_twenty(given):
    rng = np.random.default_rng(1)
    alarms = [sizes(*world(rng, **given), draws=199, seed=n)["alarm"].any() for n in range(200)]
    assert np.mean(alarms) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 200)  # Monte Carlo: one in 160 would fail


def test_the_rate_can_be_chosen():
    rng = np.random.default_rng(2)
    worlds = [world(rng) for _ in range(60)]
    often = np.mean([sizes(*one, draws=199, alpha=0.5)["alarm"].any() for one in worlds])
    assert 0.15 <= often <= 0.5 + 2.5 * 0.065
    assert np.mean([sizes(*one, draws=199, alpha=0.01)["alarm"].any() for one in worlds]) <= 0.05


@pytest.mark.parametrize("given", WORLDS.values(), ids=WORLDS.keys())
def test_a_planted_change_is_found(given):
    rng = np.random.default_rng(3)
    found = [sizes(*world(rng, **given, pushed=0.15), draws=199) for _ in range(40)]
    pushed = [table.filter(pl.col(SEGMENT) == 0) for table in found]
    assert np.mean([one["alarm"][0] for one in pushed]) >= 0.9
    assert all(one["change"][0] > 0 for one in pushed if one["alarm"][0])


def test_newcomers_of_one_kind_are_a_change():
    old = members([0, 1, 2] * 50)
    new = members([0, 1, 2] * 50 + [2] * 50)
    table = sizes(old, new, draws=999)
    assert table["alarm"].to_list() == [True, True, True]
    assert table["after"].to_list() == [0.25, 0.25, 0.5]


def test_moves_that_go_both_ways_are_none():
    table = sizes(members([0] * 50 + [1] * 50), members([1] * 50 + [0] * 50), draws=199)
    assert table["change"].to_list() == [0, 0]
    assert table["p"].to_list() == [1, 1]
    assert not table["alarm"].any()


def test_the_table_says_what_was_measured():
    table = sizes(members([0] * 60 + [1] * 40), members([0] * 30 + [1] * 70), draws=999)
    assert table.schema == SIZES
    assert table.select(SEGMENT, "before", "after").rows() == [(0, 0.6, 0.3), (1, 0.4, 0.7)]
    low, change, high = table.select("low", "change", "high").row(1)
    assert change == pytest.approx(0.3)
    assert 0.2 < low < change < high < 0.4
    assert table["p"].to_list() == [2 / 1000, 2 / 1000]  # the smallest that 999 shuffles give, times two segments


def test_a_segment_that_came_or_went_has_a_row_and_so_have_the_unassigned():
    table = sizes(members([-1, -1, 0, 0]), members([-1, 3, 3, 0]), draws=99)
    assert table.select(SEGMENT, "before", "after").rows() == [(-1, 0.5, 0.25), (0, 0.5, 0.25), (3, 0, 0.5)]


@settings(max_examples=20)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=30), st.lists(st.integers(-1, 3), min_size=1, max_size=30))
def test_shares_add_up_and_the_order_of_rows_changes_nothing(old, new):
    first, then = members(old), members(new, range(5, 5 + len(new)))
    table = sizes(first, then, draws=99)
    for column, total in (("before", 1), ("after", 1), ("change", 0)):
        assert table[column].sum() == pytest.approx(total, abs=1e-12)
    assert table["p"].is_between(0, 1).all()
    assert_frame_equal(table, sizes(first.reverse(), then.reverse(), draws=99))


def test_holm_gives_the_worked_example():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ConfigError, match=r"alpha = 0: must be above 0 and below 1"):
        sizes(members([0]), members([0]), alpha=0)
    with pytest.raises(ConfigError, match="draws = 9: must be 99 or more"):
        sizes(members([0]), members([0]), draws=9)
    with pytest.raises(NotEnoughDataError, match="nobody in the table of users after"):
        sizes(members([0]), members([]))


def tastes(rng, *, users=120, moved=0.0, **given) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Windows of users with a taste of their own among four labels, seen through twenty events."""
    own = rng.dirichlet([4.0, 3, 2, 1], 2 * users)  # more users than anybody is
    later = own * (1 - moved) + moved * np.array([0, 0, 0, 1.0])
    tables = []
    for table, taste in zip(world(rng, users=users, segments=3, **given), (own, later), strict=True):
        row = table[USER].str.slice(1).cast(pl.Int64).to_numpy()
        seen = np.array([rng.multinomial(20, taste[r]) for r in row]).reshape(-1, 4) / 20
        # who is in another segment by chance has another taste there, as far as the segments' own goes
        seen = 0.8 * seen + 0.2 * np.eye(4)[table[SEGMENT].to_numpy()]
        tables.append(table.with_columns(pl.Series(name, seen[:, n]) for n, name in enumerate("abcd")))
    return tables[0], tables[1]


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"new": 15, "gone": 10}, {"new": 40}])
def test_without_change_of_content_there_is_an_alarm_in_at_most_one_refit_of_twenty(given):
    rng = np.random.default_rng(4)
    alarms = [content(*tastes(rng, **given), draws=199, seed=n)["alarm"].any() for n in range(200)]
    assert np.mean(alarms) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 200)


def test_a_planted_change_of_content_is_found_and_named():
    rng = np.random.default_rng(5)
    found = [content(*tastes(rng, moved=0.15), draws=199) for _ in range(15)]
    assert np.mean([table["alarm"].any() for table in found]) >= 0.9
    told = pl.concat(found).filter("alarm")
    assert "d" in told["label"].unique()
    assert (told.filter(pl.col("label") == "d")["change"] > 0).all()


def test_content_says_what_was_measured_and_the_order_of_rows_changes_nothing():
    old, new = tastes(np.random.default_rng(6))
    table = content(old, new, draws=99)
    assert table.schema == CONTENT
    own = old.filter(pl.col(SEGMENT) == 0)
    assert table.row(0)[:2] == (0, "a")
    assert table["before"][0] == pytest.approx(own["a"].mean())
    assert (table["low"] <= table["change"]).all()
    assert_frame_equal(table, content(old.reverse(), new.reverse(), draws=99))


def test_tables_with_other_labels_are_refused():
    old, new = tastes(np.random.default_rng(6))
    with pytest.raises(ConfigError, match="must have the same labels"):
        content(old, new.drop("d"))


def test_shares_of_labels_are_of_the_users_own_events():
    events = pl.DataFrame({USER: ["u0", "u0", "u1", "x"], ITEM: ["i", "j", "j", "i"]})
    labels = pl.DataFrame({ITEM: ["i", "j", "j"], "label": ["Drama", "Drama", "War"]})
    table = label_shares(members([0, 1, 2]), events, labels)
    assert table.rows() == [("u0", 0, 1.0, 0.5), ("u1", 1, 1.0, 1.0)]
    assert table.columns == [USER, SEGMENT, "Drama", "War"]
