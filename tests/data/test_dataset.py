"""A data set made from tables in memory: checked, complete, and the same whatever the order of its rows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.dataset import EARLIER, ReadReport, Scale, last_of_pairs, make
from shoal.errors import NotEnoughDataError, TableError

EVENTS = pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "rating": [3, 4, 5]})


def test_ids_and_ratings_get_the_types_of_the_tables():
    data = make(EVENTS)
    assert data.interactions.schema == {
        "user_id": pl.Categorical(), "item_id": pl.Categorical(), "rating": pl.Float32(),
    }  # fmt: skip
    assert data.users["user_id"].to_list() == ["1", "2"]
    assert data.scale == Scale(3, 5, (3, 4, 5))
    assert (data.report.rows_in, data.report.rows_kept, data.report.dropped) == (3, 3, {})


def test_times_of_any_kind_become_microseconds_in_utc():
    zone = timezone(timedelta(hours=2))
    table = EVENTS.with_columns(at=pl.Series([datetime(2020, 1, 1, 2, tzinfo=zone)] * 3))
    assert make(table).interactions["at"].to_list() == [datetime(2020, 1, 1)] * 3
    dates = EVENTS.with_columns(at=pl.lit(datetime(2020, 1, 1)).cast(pl.Date))
    assert make(dates).interactions.schema["at"] == pl.Datetime("us")
    with pytest.raises(TableError, match="column at is Int64"):
        make(EVENTS.with_columns(at=pl.lit(1, pl.Int64)))


def test_items_with_and_without_interactions_have_one_row_each():
    data = make(EVENTS, items=pl.DataFrame({"item_id": ["b", "c"], "title": ["B", "C"]}))
    assert data.items.rows() == [("b", "B"), ("c", "C"), ("a", None)]


def test_what_cannot_serve_is_named():
    with pytest.raises(TableError, match="interactions has no column user_id; it has user"):
        make(EVENTS.rename({"user_id": "user"}))
    with pytest.raises(TableError, match="items has no column item_id"):
        make(EVENTS, items=pl.DataFrame({"title": ["B"]}))
    with pytest.raises(TableError, match="items: 1 rows repeat a item_id"):
        make(EVENTS, items=pl.DataFrame({"item_id": ["b", "b"]}))
    with pytest.raises(TableError, match="rating is missing or not finite in 2 of 3 rows"):
        make(EVENTS.with_columns(rating=pl.Series([3.0, None, np.nan])))
    with pytest.raises(TableError, match="ratings from 3 to 5 do not fit the scale 1 to 4"):
        make(EVENTS, scale=(1, 4))
    with pytest.raises(TableError, match="column user_id is empty in 1 of 3 rows"):
        make(EVENTS.with_columns(user_id=pl.Series([1, None, 2])))


def test_one_user_one_item_or_nothing_is_too_little():
    with pytest.raises(NotEnoughDataError, match="belong to one user, 1"):
        make(EVENTS.head(2))
    with pytest.raises(NotEnoughDataError, match="belong to one item, a"):
        make(EVENTS.filter(pl.col("item_id") == "a"))
    with pytest.raises(NotEnoughDataError, match="There is no interaction"):
        make(EVENTS.clear())


def test_the_scale_given_is_kept_and_its_levels_are_those_that_occur():
    assert make(EVENTS, scale=(1, 5)).scale == Scale(1, 5, (3, 4, 5))
    own = Scale(0, 10, (0, 5, 10))
    assert make(EVENTS, scale=own).scale is not None
    assert make(EVENTS, scale=own).scale == own
    assert Scale(1, 5).at(0.7) == pytest.approx(3.8)
    assert make(EVENTS.drop("rating"), scale=(1, 5)).scale is None


def test_levels_are_the_decimals_that_were_written_and_many_make_a_continuous_scale():
    tenths = pl.DataFrame({"user_id": range(20), "item_id": range(20), "rating": [3 + i / 10 for i in range(20)]})
    assert make(tenths).scale.levels == tuple(round(3 + i / 10, 1) for i in range(20))
    many = pl.DataFrame({"user_id": range(21), "item_id": range(21), "rating": [i / 10 for i in range(21)]})
    assert make(many).scale == Scale(0, 2, ())


def test_the_last_event_of_a_pair_is_kept_and_the_others_are_counted():
    times = [datetime(2020, 1, day) for day in (3, 1, 2)]
    table = pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "a", "b"], "rating": [3, 4, 5], "at": times})
    data = make(table)
    assert data.interactions["rating"].to_list() == [3, 5]
    assert data.report.dropped == {EARLIER: 1}


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 4))), max_size=30)
)
def test_last_of_pairs_agrees_with_a_plain_loop(rows):
    table = pl.DataFrame(rows, schema={"user_id": pl.Int64, "item_id": pl.Int64, "day": pl.Int64}, orient="row")
    table = table.with_columns(
        pl.col("user_id", "item_id").cast(pl.String).cast(pl.Categorical),
        at=(pl.col("day") * 86_400_000_000).cast(pl.Datetime("us")),
        row=pl.int_range(pl.len()),
    )
    last: dict[tuple[int, int], tuple[int, int]] = {}
    for place, (user, item, day) in enumerate(rows):
        key = (-1 if day is None else day, place)
        last[user, item] = max(last.get((user, item), (-2, -1)), key)
    kept, earlier = last_of_pairs(table)
    assert kept["row"].to_list() == sorted(place for _, place in last.values())
    assert earlier == len(rows) - len(last)


def test_the_fingerprint_does_not_depend_on_the_order_of_rows_and_columns():
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "genres": [["x"], ["y", "z"]]})
    one = make(EVENTS, items=items)
    rows = make(EVENTS.sample(fraction=1, shuffle=True, seed=1), items=items.reverse())
    columns = make(EVENTS.select("rating", "item_id", "user_id"), items=items.select("genres", "title", "item_id"))
    assert one.fingerprint() == rows.fingerprint() == columns.fingerprint()
    assert len(one.fingerprint()) == 16


@pytest.mark.parametrize(
    "changed",
    [
        EVENTS.with_columns(rating=pl.Series([3, 4, 4])),
        EVENTS.with_columns(user_id=pl.Series([1, 2, 2])),
        EVENTS.head(2).vstack(EVENTS.head(1).with_columns(user_id=pl.lit(7, pl.Int64))),
        EVENTS.drop("rating"),
    ],
)
def test_the_fingerprint_depends_on_every_value(changed):
    assert make(EVENTS).fingerprint() != make(changed).fingerprint()


def test_a_part_keeps_items_users_and_scale():
    data = make(EVENTS)
    part = data.with_interactions(data.interactions.head(1))
    assert part.interactions.height == 1
    assert (part.items.height, part.users.height, part.scale) == (2, 2, data.scale)


def test_feedback_and_times_are_what_the_columns_say():
    weights = EVENTS.rename({"rating": "weight"})
    assert [make(t).feedback for t in (EVENTS, weights, EVENTS.drop("rating"))] == ["ratings", "counts", "events"]
    blank = EVENTS.with_columns(at=pl.lit(None, pl.Datetime("us")))
    assert not make(EVENTS).has_times
    assert not make(blank).has_times
    assert make(blank.with_columns(at=pl.Series([datetime(2020, 1, 1), None, None]))).has_times


def test_a_report_says_the_sum_then_the_reasons_then_the_notes():
    report = ReadReport(1_200, 1_160, {"rating is empty": 38, EARLIER: 2}, ("preset zomato",), ("reviews.csv",))
    assert report.lines() == [
        "read 1,200 rows, kept 1,160, dropped 40",
        "  dropped 38: rating is empty",
        "  dropped 2: an earlier event of the same user and item",
        "  preset zomato",
    ]
