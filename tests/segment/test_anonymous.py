"""Counts: nothing small is shown, and nothing small can be worked out from what is shown."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoal.errors import ConfigError, TableError, UnknownIdError
from shoal.segment.anonymous import COUNTS, bounds, counts, hidden_cells, hidden_totals

SEGMENTS = pl.DataFrame({"segment": pl.Series([0, 1, 2], dtype=pl.Int32), "name": ["Drama", "Comedy", "War"]})


def world(cells, values=("a", "b", "c")):
    """Return members and users with so many users in each segment and of each value."""
    rows = [(s, v) for s, line in enumerate(cells) for v, n in zip(values, line, strict=False) for _ in range(n)]
    ids = [f"u{i}" for i in range(len(rows))]
    members = pl.DataFrame({"user_id": ids, "segment": pl.Series([s for s, _ in rows], dtype=pl.Int32)})
    return members, pl.DataFrame({"user_id": ids, "kind": [v for _, v in rows]})


def test_large_counts_are_told_as_they_are():
    members, users = world([[30, 40], [50, 60]])
    table = counts(members, SEGMENTS, users=users, traits=["kind"])
    assert dict(table.schema) == COUNTS
    assert not table["hidden"].any()
    assert table.filter(pl.col("trait").is_null())["users"].to_list() == [180, 70, 110]
    assert table.filter(pl.col("trait") == "kind")["users"].to_list() == [30, 40, 50, 60, 80, 100]


def test_a_small_segment_takes_the_next_smallest_with_it():
    np.testing.assert_array_equal(hidden_totals(np.array([500, 7, 90, 60]), 20), [False, True, False, True])


def test_two_small_segments_whose_sum_is_small_take_a_third_with_them():
    np.testing.assert_array_equal(hidden_totals(np.array([500, 7, 5, 60]), 20), [False, True, True, True])


@given(arrays(np.int64, st.integers(1, 8), elements=st.integers(0, 60)), st.integers(1, 25))
def test_no_hidden_total_can_be_computed_from_the_sum(totals, k):
    hidden = hidden_totals(totals, k)
    assert hidden[totals < k].all()
    if hidden.any() and not hidden.all():
        assert hidden.sum() >= 2
        assert totals[hidden].sum() >= k


CELLS = st.tuples(st.integers(2, 4), st.integers(2, 4)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.one_of(st.integers(0, 12), st.integers(20, 90)))
)


@settings(max_examples=40)
@given(CELLS, st.integers(2, 15))
def test_whoever_knows_all_that_is_shown_cannot_narrow_a_small_cell(cells, k):
    rows_hidden = hidden_totals(cells.sum(1), k)
    hidden = hidden_cells(cells, rows_hidden, k)
    table = np.vstack([cells, cells.sum(0)])
    assert hidden[table < k].all()
    low, high = bounds(table, hidden, rows_hidden)
    assert (low <= table + 1e-6).all()
    assert (table <= high + 1e-6).all()
    small = table < k
    if not hidden.all():
        assert (high[small] - low[small] >= k - 1e-6).all()


def test_hiding_the_small_cells_alone_would_give_them_away():
    cells = np.array([[3, 40, 50], [30, 45, 60]])
    table = np.vstack([cells, cells.sum(0)])
    low, high = bounds(table, table < 20, np.zeros(2, bool))
    assert low[0, 0] == high[0, 0] == 3  # from the total of its row
    hidden = hidden_cells(cells, np.zeros(2, bool), 20)
    low, high = bounds(table, hidden, np.zeros(2, bool))
    assert high[0, 0] - low[0, 0] >= 20
    assert 1 < hidden.sum() < hidden.size


def test_nothing_is_hidden_without_need():
    cells = np.array([[30, 40], [50, 60]])
    assert not hidden_cells(cells, np.zeros(2, bool), 20).any()


def test_whom_nothing_is_told_of_is_a_value_of_its_own_so_that_rows_add_up():
    members, users = world([[30, 40], [50, 60]])
    table = counts(members, SEGMENTS, users=users.head(100), traits=["kind"])
    told = table.filter(pl.col("trait") == "kind", pl.col("segment").is_null())
    assert dict(told.select("value", "users").iter_rows())["(not told)"] == 80


def test_holdouts_are_told_where_both_sides_are_large_enough():
    members, _ = world([[1000], [60]])
    table = counts(members, SEGMENTS, holdout=0.1)
    held = dict(table.select("segment", "holdout").iter_rows())
    assert 70 < held[0] < 130
    assert held[1] is None


def test_a_trait_that_is_not_there_or_groups_nobody_is_refused():
    members, users = world([[30, 40], [50, 60]])
    with pytest.raises(UnknownIdError, match=r"no trait knd; there are: kind\. Did you mean kind\?"):
        counts(members, SEGMENTS, users=users, traits=["knd"])
    with pytest.raises(UnknownIdError, match="there are: none"):
        counts(members, SEGMENTS, traits=["kind"])
    named = users.with_columns(kind=pl.col("user_id"))
    with pytest.raises(TableError, match="180 values"):
        counts(members, SEGMENTS, users=named, traits=["kind"])


def test_too_few_users_in_all_are_refused():
    members, _ = world([[5, 6]])
    with pytest.raises(ConfigError, match="11 users in all, fewer than k = 20"):
        counts(members, SEGMENTS)
