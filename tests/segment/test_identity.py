"""Segments keep their numbers and names over a refit; who moved adds up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoal.errors import MismatchError
from shoal.segment.identity import (
    HISTORY,
    MIGRATION,
    Before,
    history,
    keep_names,
    kept_share,
    match,
    migration,
    relabel,
)
from shoal.tables import SEGMENT, USER

UNIT = np.eye(4)


def members(segments, first: int = 0) -> pl.DataFrame:
    users = [f"u{first + i}" for i in range(len(segments))]
    return pl.DataFrame({USER: users, SEGMENT: list(segments)}, schema={USER: pl.String, SEGMENT: pl.Int32})


groupings = st.lists(st.integers(-1, 4), min_size=1, max_size=60)


def test_the_same_grouping_under_other_numbers_gets_its_old_numbers():
    found = match(members([7, 7, 7, 2, 2, -1]), members([0, 0, 0, 1, 1, -1]))
    assert found.ids == {0: 7, 1: 2}
    assert (found.births, found.deaths) == ((), ())
    assert found.pairs["share_old"].to_list() == [1, 1]
    assert kept_share(found.migration) == 1


@settings(max_examples=30)
@given(groupings)
def test_a_grouping_matches_itself(segments):
    found = match(members(segments), members(segments))
    assert found.ids == {one: one for one in set(segments) - {-1}}
    assert found.births == found.deaths == ()


@settings(max_examples=30)
@given(groupings, groupings, st.permutations(range(5)))
def test_how_the_new_segments_are_numbered_changes_nothing(old, new, order):
    renumbered = [order[one] if one >= 0 else -1 for one in new]
    found, again = match(members(old), members(new)), match(members(old), members(renumbered))
    assert {order[one]: number for one, number in found.ids.items()} == again.ids
    assert_frame_equal(found.migration, again.migration)
    assert_frame_equal(found.pairs, again.pairs)


@settings(max_examples=30)
@given(groupings, groupings, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(old, new, random):
    shuffled = [random.sample(range(len(one)), len(one)) for one in (old, new)]
    found, again = match(members(old), members(new)), match(members(old)[shuffled[0]], members(new)[shuffled[1]])
    assert found.ids == again.ids
    assert_frame_equal(found.migration, again.migration)


@settings(max_examples=30)
@given(groupings, groupings, st.integers(0, 70))
def test_everybody_is_counted_once_in_the_migration(old, new, first):
    before, after = members(old), members(new, first)
    moved = match(before, after).migration
    assert moved.schema == MIGRATION
    assert moved["users"].sum() == len({*before[USER], *after[USER]})
    assert moved.filter(pl.col("from").is_not_null())["users"].sum() == len(old)
    assert moved.filter(pl.col("to").is_not_null())["users"].sum() == len(new)
    for _, part in moved.group_by("from"):
        assert part["share"].sum() == pytest.approx(1)


@settings(max_examples=30)
@given(groupings, groupings)
def test_births_get_numbers_that_nobody_had(old, new):
    found = match(members(old), members(new), largest=9)
    assert all(one >= 10 for one in found.births)
    assert set(found.deaths) == set(old) - {-1} - set(found.ids.values())
    assert sorted(found.ids) == sorted(set(new) - {-1})
    assert len(set(found.ids.values())) == len(found.ids)


def test_the_larger_half_of_a_split_segment_survives():
    found = match(members([0] * 10 + [1] * 10), members([0] * 4 + [1] * 6 + [2] * 10))
    assert found.ids == {1: 0, 2: 1, 0: 2}
    assert found.births == (2,)


def test_of_segments_that_become_one_the_largest_survives():
    found = match(members([0] * 4 + [1] * 6 + [2] * 10), members([0] * 10 + [1] * 10))
    assert found.ids == {0: 1, 1: 2}
    assert found.deaths == (0,)


def test_groupings_that_have_nothing_in_common_share_no_segment():
    rng = np.random.default_rng(0)
    found = match(members(rng.integers(0, 3, 300)), members(rng.integers(0, 3, 300)))
    assert found.deaths == (0, 1, 2)
    assert found.births == (3, 4, 5)
    assert kept_share(found.migration) == 0


def test_users_of_one_run_alone_do_not_decide():
    old, new = members([0, 0, 1, 1]), members([1, 1, 0, 0, *[1] * 50])
    assert match(old, new).ids == {1: 0, 0: 1}


def test_runs_without_a_user_in_common_share_no_segment():
    found = match(members([0, 0, 1]), members([0, 1, 1], first=10))
    assert found.ids == {1: 2, 0: 3}
    assert np.isnan(kept_share(found.migration))


def test_centres_decide_where_members_are_torn():
    old, new = members([0] * 8 + [1] * 8), members(([0] * 4 + [1] * 4) * 2)
    assert len(match(old, new).births) == 2  # by members alone: chance
    old, new = members([0] * 8 + [1] * 8 + [2] * 8), members([0] * 4 + [1] * 4 + [2] * 8 + [3] * 8)
    near = match(old, new, dict(enumerate(UNIT[:3])), {0: UNIT[3], 1: UNIT[0], 2: UNIT[1], 3: UNIT[2]})
    assert (near.ids[1], near.ids[0]) == (0, 3)
    assert near.pairs["cosine"].to_list() == [1, 1, 1]
    far = match(old, new, dict(enumerate(UNIT[:3])), {0: UNIT[0], 1: UNIT[3], 2: UNIT[1], 3: UNIT[2]})
    assert (far.ids[0], far.ids[1]) == (0, 3)


def test_centres_of_one_side_alone_are_refused():
    with pytest.raises(MismatchError, match="for one run alone"):
        match(members([0]), members([0]), {0: UNIT[0]})
    with pytest.raises(MismatchError, match="Segment 1 has members and no centre"):
        match(members([0, 1]), members([0, 1]), {0: UNIT[0]}, {0: UNIT[0], 1: UNIT[1]})


def test_a_second_level_is_matched_by_its_own_column():
    old, new = (table.rename({SEGMENT: "subsegment"}) for table in (members([3, 3, 4]), members([0, 0, 1])))
    assert match(old, new, by="subsegment").ids == {0: 3, 1: 4}


def test_tables_are_relabelled_and_the_unassigned_stay_so():
    table = relabel(members([0, 1, -1]), {0: 1, 1: 7})
    assert table[SEGMENT].to_list() == [1, 7, -1]
    assert table.schema[SEGMENT] == pl.Int32


def named(names: dict[int, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {SEGMENT: list(names), "name": list(names.values()), "size": 5, "share": 1 / len(names)},
        schema={SEGMENT: pl.Int32, "name": pl.String, "size": pl.Int64, "share": pl.Float64},
    )


def test_survivors_keep_their_names_and_births_never_get_an_old_one():
    found = keep_names(
        named({-1: "(unassigned)", 0: "Drama", 4: "Horror and War", 5: "Western", 6: "western"}),
        {-1: "(unassigned)", 0: "War and Horror", 2: "Gone"},
        used=["Western"],
    )
    assert found["name"].to_list() == [
        "(unassigned)",
        "War and Horror",
        "Horror and War (2)",
        "Western (2)",
        "western (3)",
    ]


def test_sizes_are_carried_over_from_run_to_run_in_utc():
    first = history(named({0: "A"}), datetime(2024, 1, 1, tzinfo=UTC))
    both = history(named({0: "A", 1: "B"}), datetime(2024, 2, 1, 1, tzinfo=timezone(timedelta(hours=1))), first)
    assert both.schema == HISTORY
    assert both["fitted"].to_list() == [datetime(2024, 1, 1), *[datetime(2024, 2, 1)] * 2]
    assert both[SEGMENT].to_list() == [0, 0, 1]


def test_before_says_where_users_were_and_numbers_every_segment():
    before = Before(members([3, 3, 3, 5, 5, 5]), largest=8)
    assert before.of(["u9", "u3", "u0"]).tolist() == [-1, 5, 3]
    users = [f"u{i}" for i in range(6)]
    assert before.numbers(users, np.array([1, 1, 1, 0, 0, 0], np.int32), 3) == (5, 3, 9)


def test_migration_tells_the_new_and_the_gone_by_null():
    moved = migration(members([0, 0]), members([1, 1], first=1))
    assert moved.rows() == [(0, 1, 1, 0.5), (0, None, 1, 0.5), (None, 1, 1, 1.0)]


def test_the_guides_python_runs_and_says_what_it_gives(root):
    page = (root / "docs" / "guides" / "keeping-segments.md").read_text(encoding="utf-8")
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "keeping-segments.md", "exec"), scope)
    assert scope["found"].ids == {1: 0, 0: 1, 2: 2}
    assert (scope["found"].births, scope["found"].deaths) == ((2,), ())
    assert scope["kept_share"](scope["found"].migration) == 0.8
    assert scope["members"]["segment"].to_list() == [0, 0, 0, 0, 1, 2]
    assert scope["sizes"](scope["before"], scope["after"])["alarm"].any()
    assert scope["told"]["alarm"].any()
