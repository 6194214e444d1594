import polars as pl
import pytest

from shoal.errors import NotEnoughDataError, TableError
from shoal.evaluate.per_user import PER_USER, PerUser
from shoal.evaluate.ranking import recall
from shoal.evaluate.warmth import BUCKETS, bucket, by_item_warmth, by_warmth, event_counts


def test_the_buckets_end_at_none_three_and_ten():
    table = pl.DataFrame({"events": [0, 1, 3, 4, 10, 11, 5000]})
    names = table.select(bucket(pl.col("events"))).to_series()
    assert names.to_list() == ["0", "1-3", "1-3", "4-10", "4-10", "more", "more"]
    assert names.dtype == BUCKETS


def test_events_are_counted_by_user_or_by_item():
    events = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"]}).cast(pl.Categorical)
    assert event_counts(events).rows() == [("a", 2), ("b", 1)]
    assert event_counts(events, "item_id").rows() == [("x", 2), ("y", 1)]


def test_users_are_judged_by_warmth_coldest_first_and_unseen_users_are_cold():
    rows = [("a", 1.0, 1), ("b", 0.0, 1), ("c", 0.5, 1), ("d", 0.7, 1)]
    metric = PerUser(pl.DataFrame(rows, dict(PER_USER), orient="row"), "ndcg@10")
    counts = pl.DataFrame({"user_id": ["a", "b", "c"], "events": [50, 2, 1]})
    table = by_warmth(metric, counts)
    assert table.select("warmth", "users", "value").rows() == [("0", 1, 0.7), ("1-3", 2, 0.25), ("more", 1, 1.0)]
    assert table.columns == ["warmth", "users", "value", "low", "high"]


def test_item_warmth_asks_for_each_part_of_the_truth_in_the_whole_lists():
    shown = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["hot", "cold", "hot"], "rank": [1, 2, 1]})
    truth = pl.DataFrame({"user_id": ["a", "b", "b"], "item_id": ["cold", "cold", "hot"]}).cast(pl.Categorical)
    counts = pl.DataFrame({"item_id": ["hot"], "events": [12]})
    table = by_item_warmth(lambda part: recall(shown, part), truth, counts)
    assert table.select("warmth", "events", "users", "value").rows() == [("0", 2, 2, 0.5), ("more", 1, 1, 1.0)]


def test_counts_that_name_an_id_twice_and_an_empty_truth_are_refused():
    counts = pl.DataFrame({"item_id": ["x", "x"], "events": [1, 2]})
    truth = pl.DataFrame({"user_id": ["a"], "item_id": ["x"]})
    with pytest.raises(TableError, match="counts: an id in item_id stands twice"):
        by_item_warmth(lambda part: recall(part, part), truth, counts)
    with pytest.raises(NotEnoughDataError, match="truth is empty"):
        by_item_warmth(lambda part: recall(part, part), truth.clear(), counts)
