from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from shoal.data.dataset import make
from shoal.data.leakage import Split, check_leakage
from shoal.data.split import cold_item, cold_user, last_out, random, strong, temporal
from shoal.errors import LeakageError

START = datetime(2015, 3, 1)
ROWS = [(f"u{u}", f"i{(u + d) % 9}", START + timedelta(days=d)) for u in range(12) for d in range(7)]
DATA = make(pl.DataFrame(ROWS, {"user_id": pl.String, "item_id": pl.String, "at": pl.Datetime("us")}, orient="row"))


def with_train(split: Split, more: pl.DataFrame) -> Split:
    return replace(split, train=DATA.with_interactions(pl.concat([split.train.interactions, more])))


def with_given(split: Split, more: pl.DataFrame) -> Split:
    return replace(split, given=pl.concat([split.given, more]))


@pytest.mark.parametrize("splitter", [random, temporal, last_out, strong, cold_item, cold_user])
@pytest.mark.parametrize("leak", [with_train, with_given])
def test_a_test_pair_that_is_also_learnt_or_shown_is_refused(splitter, leak):
    made = splitter(DATA)
    check_leakage(made)
    with pytest.raises(
        LeakageError, match=r"User u\d+ has item i\d+ in the test and among the (training|shown) events"
    ):
        check_leakage(leak(made, made.test.head(1)))


@pytest.mark.parametrize(("leak", "side"), [(with_train, "training"), (with_given, "shown")])
def test_an_event_after_the_cutoff_is_refused_with_both_days(leak, side):
    made = temporal(DATA, at=datetime(2015, 3, 2))
    late = (
        made.test.filter(pl.col("at") == datetime(2015, 3, 5))
        .head(1)
        .with_columns(item_id=pl.lit("new", pl.Categorical))
    )
    expected = (
        rf"User u\d+ has a {side} event on 2015-03-05, after the test cutoff 2015-03-02\. "
        r"Split by time with split\.temporal\(\.\.\.\), or by last event with split\.last_out"
    )
    with pytest.raises(LeakageError, match=expected):
        check_leakage(leak(made, late))


def test_an_event_at_the_cutoff_itself_is_refused():
    made = temporal(DATA, at=datetime(2015, 3, 2))
    at = made.given.head(1).with_columns(item_id=pl.lit("new", pl.Categorical), at=datetime(2015, 3, 2))
    with pytest.raises(LeakageError, match=r"event on 2015-03-02 00:00:00, at the test cutoff 2015-03-02 00:00:00"):
        check_leakage(with_given(made, at.select(made.given.columns).cast(made.given.schema)))


def test_an_event_without_a_time_is_refused_where_there_is_a_cutoff():
    made = temporal(DATA, at=datetime(2015, 3, 2))
    blank = made.given.head(1).with_columns(item_id=pl.lit("new", pl.Categorical), at=pl.lit(None, pl.Datetime("us")))
    with pytest.raises(LeakageError, match="event without a time, so nobody knows whether it is older"):
        check_leakage(with_given(made, blank))
    with pytest.raises(LeakageError, match="event without a time"):
        check_leakage(replace(made, given=made.given.drop("at")))


def test_a_training_event_newer_than_the_last_out_is_refused():
    made = last_out(DATA)
    newer = made.test.head(1).with_columns(item_id=pl.lit("new", pl.Categorical), at=pl.col("at") + timedelta(days=1))
    with pytest.raises(LeakageError, match=r"training event on 2015-03-08, after their test event on 2015-03-07"):
        check_leakage(with_train(made, newer))


@pytest.mark.parametrize("splitter", [strong, cold_user])
def test_a_held_out_user_who_is_trained_on_is_refused(splitter):
    made = splitter(DATA)
    other = made.test.head(1).with_columns(item_id=pl.lit("new", pl.Categorical))
    with pytest.raises(LeakageError, match=r"is held out, and has 1 training events\. Split with split\.strong"):
        check_leakage(with_train(made, other))


@pytest.mark.parametrize("leak", [with_train, with_given])
def test_a_cold_item_that_somebody_is_trained_on_or_shown_is_refused(leak):
    made = cold_item(DATA)
    other = made.test.head(1).with_columns(user_id=pl.lit("new", pl.Categorical))
    with pytest.raises(LeakageError, match=r"Item i\d is to be recommended cold, and user new has it among the"):
        check_leakage(leak(made, other))


def test_data_in_which_a_pair_stands_twice_cannot_be_split_between_its_events():
    later = DATA.interactions.with_columns(pl.col("at") + timedelta(days=30))
    twice = DATA.with_interactions(pl.concat([DATA.interactions, later]))
    with pytest.raises(LeakageError, match="Keep one event for each pair of user and item before splitting"):
        temporal(twice, share=0.5)
