"""Histories hold the events of a table, oldest first, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories, histories, stacked
from shoal.data.ids import Ids

USERS, ITEMS = Ids([f"u{i}" for i in range(4)]), Ids([f"i{i}" for i in range(6)])
PAIRS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.one_of(st.none(), st.integers(1, 4))),
    unique_by=lambda r: r[:2],
    max_size=24,
)


def _table(rows: list[tuple[int, int, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": pl.Series([f"u{u}" for u, _, _ in rows], dtype=pl.String).cast(pl.Categorical),
            "item_id": pl.Series([f"i{i}" for _, i, _ in rows], dtype=pl.String).cast(pl.Categorical),
            "rating": pl.Series([10 * u + i for u, i, _ in rows], dtype=pl.Float32),
            "at": pl.Series([d and datetime(2020, 1, d) for _, _, d in rows], dtype=pl.Datetime("us")),
        }
    )


def _events(past: Histories) -> set[tuple[int, int, float]]:
    return set(zip(past.users.tolist(), past.items.tolist(), past.values.tolist(), strict=True))


@given(rows=PAIRS, seed=st.integers(0, 3))
def test_every_event_stands_once_under_its_user_oldest_first(rows, seed):
    past = histories(_table(rows), USERS, ITEMS, seed=seed)
    assert _events(past) == {(u, i, 10 * u + i) for u, i, _ in rows}
    assert past.starts.tolist()[0] == 0
    assert past.starts[-1] == len(rows) == past.counts.sum()
    assert past.n_users == 4
    ages = np.nan_to_num(past.times, nan=-1)  # events without a time stand first
    for first, last in zip(past.starts, past.starts[1:], strict=False):
        assert (np.diff(ages[first:last]) >= 0).all()


@given(rows=PAIRS, order=st.randoms())
def test_the_order_of_the_file_changes_nothing(rows, order):
    shuffled = list(rows)
    order.shuffle(shuffled)
    one, other = histories(_table(rows), USERS, ITEMS), histories(_table(shuffled), USERS, ITEMS)
    assert (one.items == other.items).all()
    assert (one.starts == other.starts).all()


def test_ties_are_broken_by_the_seed_and_not_by_the_id():
    items = Ids([f"i{i:03d}" for i in range(200)])
    table = pl.DataFrame({"user_id": ["u0"] * 200, "item_id": items.values}).with_columns(at=datetime(2020, 1, 1))
    orders = [histories(table, USERS, items, seed=s).items for s in (0, 0, 1)]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    assert abs(np.corrcoef(orders[0], np.arange(200))[0, 1]) < 0.3


def test_ties_stand_in_the_same_order_in_a_part():
    rows = [(0, i, 1) for i in range(6)]
    whole = histories(_table(rows), USERS, ITEMS).items
    part = histories(_table(rows[2:]), USERS, ITEMS).items
    assert part.tolist() == [i for i in whole.tolist() if i >= 2]


def test_unknown_users_and_items_are_left_out():
    table = _table([(0, 0, 1), (1, 1, 2)])
    assert _events(histories(table, Ids(["u1"]), ITEMS)) == {(0, 1, 11)}
    assert _events(histories(table, USERS, Ids(["i0"]))) == {(0, 0, 0)}


def test_bare_events_have_no_value_and_no_time_and_counts_are_values():
    bare = histories(_table([(0, 0, 1), (0, 1, 2)]).drop("rating", "at"), USERS, ITEMS)
    assert np.isnan(bare.values).all()
    assert np.isnan(bare.times).all()
    counts = histories(_table([(1, 1, 1)]).rename({"rating": "weight"}), USERS, ITEMS)
    assert counts.values.tolist() == [11]


def test_times_are_days_since_1970():
    assert histories(_table([(0, 0, 2)]), USERS, ITEMS).times.tolist() == [18_263]  # 2020-01-02


@given(rows=PAIRS, users=st.lists(st.integers(0, 3), max_size=6))
def test_taking_users_takes_their_events_in_that_order(rows, users):
    past = histories(_table(rows), USERS, ITEMS)
    taken = past.take(np.array(users, int))
    assert taken.counts.tolist() == past.counts[users].tolist() if users else taken.n_users == 0
    for place, user in enumerate(users):
        mine = past.items[past.starts[user] : past.starts[user + 1]]
        assert taken.items[taken.starts[place] : taken.starts[place + 1]].tolist() == mine.tolist()


@given(rows=PAIRS, n=st.integers(0, 5))
def test_the_newest_events_are_the_end_of_each_past(rows, n):
    past = histories(_table(rows), USERS, ITEMS)
    newest = past.newest(n)
    assert newest.counts.tolist() == np.minimum(past.counts, n).tolist()
    for user in range(4):
        mine = past.items[past.starts[user] : past.starts[user + 1]].tolist()
        assert newest.items[newest.starts[user] : newest.starts[user + 1]].tolist() == mine[max(len(mine) - n, 0) :]


@given(rows=PAIRS, least=st.integers(0, 40))
def test_liked_events_are_those_with_a_value_from_there_up_and_all_users_stay(rows, least):
    past = histories(_table(rows), USERS, ITEMS)
    liked = past.liked(least)
    assert _events(liked) == {e for e in _events(past) if e[2] >= least}
    assert liked.n_users == past.n_users
    assert past.liked(None) is past


@given(rows=PAIRS)
def test_the_matrix_holds_the_events(rows):
    past = histories(_table(rows), USERS, ITEMS)
    dense = past.matrix(past.values + 1).toarray()
    expected = np.zeros((4, 6), np.float32)
    for u, i, _ in rows:
        expected[u, i] = 10 * u + i + 1
    assert dense == pytest.approx(expected)
    assert past.matrix().sum() == len(rows)


@given(rows=PAIRS, more=PAIRS)
def test_stacked_users_keep_their_events(rows, more):
    parts = [histories(_table(each), USERS, ITEMS) for each in (rows, more)]
    whole = stacked(parts)
    assert whole.n_users == 8
    for k, part in enumerate(parts):
        again = whole.take(np.arange(4 * k, 4 * k + 4))
        assert _events(again) == _events(part)
        np.testing.assert_array_equal(again.starts, part.starts)
        np.testing.assert_array_equal(again.times, part.times)


@given(rows=PAIRS, n=st.integers(0, 3))
def test_what_is_told_of_users_stays_with_them(rows, n):
    told = np.arange(8, dtype=np.int32).reshape(4, 2)
    past = replace(histories(_table(rows), USERS, ITEMS), traits=told)
    np.testing.assert_array_equal(past.take(np.array([2, 0])).traits, told[[2, 0]])
    for part in (past.newest(n), past.liked(20.0), past.where(past.items > 2)):
        np.testing.assert_array_equal(part.traits, told)
    np.testing.assert_array_equal(stacked([past, past.take(np.array([1]))]).traits, told[[0, 1, 2, 3, 1]])


def test_the_place_of_an_event_counts_from_the_oldest_of_its_user():
    bare = np.full(5, np.nan)
    past = Histories(np.array([0, 2, 2, 5]), np.arange(5, dtype=np.int32), bare.astype(np.float32), bare, 5)
    assert past.places.tolist() == [0, 1, 0, 1, 2]
