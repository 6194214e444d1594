import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import MismatchError, NotEnoughDataError, TableError
from shoal.evaluate.rating import accuracy, mae, rmse

METRICS = [rmse, mae, accuracy]


def table(*rows: tuple[str, str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float32}, orient="row")


GIVEN = table(("ann", "a", 4), ("ann", "b", 2), ("ann", "c", 5), ("bob", "a", 1))
PREDICTED = table(("ann", "a", 3), ("ann", "b", 2), ("ann", "c", 4), ("bob", "a", 4))


def test_the_rmse_is_pooled_over_pairs_and_not_averaged_over_users():
    judged = rmse(PREDICTED, GIVEN)
    assert judged.table.rows() == [("ann", pytest.approx(math.sqrt(2 / 3)), 3), ("bob", 3, 1)]
    assert judged.mean == pytest.approx(math.sqrt((1 + 0 + 1 + 9) / 4))


def test_the_mae_is_pooled_over_pairs():
    assert mae(PREDICTED, GIVEN).mean == pytest.approx((1 + 0 + 1 + 3) / 4)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.floats(1, 5, width=32)), min_size=1, max_size=30))
def test_pooling_users_is_reckoning_over_all_pairs(rows):
    given_ = table(*((f"u{u}", f"i{k}", r) for k, (u, r, _) in enumerate(rows)))
    predicted = table(*((f"u{u}", f"i{k}", p) for k, (u, _, p) in enumerate(rows)))
    error = np.array([p - r for _, r, p in rows])
    assert rmse(predicted, given_).mean == pytest.approx(np.sqrt((error**2).mean()), abs=1e-9)
    assert mae(predicted, given_).mean == pytest.approx(np.abs(error).mean(), abs=1e-9)


def test_accuracy_rounds_to_the_nearest_level_and_half_way_up():
    judged = accuracy(
        table(("ann", "a", 3.5), ("ann", "b", 2.4), ("bob", "a", -7)),
        GIVEN.filter(pl.col("item_id") != "c"),
        [1, 2, 3, 4, 5],
    )
    assert judged.mean == 1


def test_accuracy_takes_the_levels_that_occur_when_none_are_given():
    given_ = table(("ann", "a", 1), ("ann", "b", 5))
    assert accuracy(table(("ann", "a", 2.9), ("ann", "b", 3.1)), given_).mean == 1
    assert accuracy(table(("ann", "a", 3.1), ("ann", "b", 3.1)), given_).mean == 0.5


def test_accuracy_knows_levels_that_float32_cannot_hold_exactly():
    given_ = table(("ann", "a", 0.1), ("ann", "b", 0.7))
    assert accuracy(given_, given_, [0.1, 0.4, 0.7]).mean == 1


def test_a_rating_that_is_no_level_is_refused():
    with pytest.raises(MismatchError, match="rating of 4 was given, which is not one of the levels 1, 2, 3"):
        accuracy(PREDICTED, GIVEN, [1, 2, 3])


@pytest.mark.parametrize("metric", METRICS)
def test_a_pair_without_a_prediction_is_refused_and_not_left_out(metric):
    with pytest.raises(MismatchError, match=r"user ann and item c has no predicted rating \(2 of 4 pairs\)"):
        metric(PREDICTED.head(2), GIVEN)


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_a_prediction_that_is_no_number_is_refused(nothing):
    predicted = PREDICTED.with_columns(rating=pl.when(pl.col("item_id") == "b").then(nothing).otherwise("rating"))
    with pytest.raises(MismatchError, match=r"user ann and item b has no predicted rating \(1 of 4 pairs\)"):
        rmse(predicted, GIVEN)


@pytest.mark.parametrize("metric", METRICS)
def test_further_predictions_and_unrated_events_do_not_count(metric):
    further = pl.concat([PREDICTED, table(("cid", "a", 1), ("ann", "z", 5))])
    unrated = pl.concat([GIVEN, table(("dan", "a", None))])
    judged = metric(further, unrated)
    assert judged.table.equals(metric(PREDICTED, GIVEN).table)
    assert judged.skipped == 1


def test_interactions_with_categorical_ids_are_taken_as_truth():
    truth = GIVEN.cast({"user_id": pl.Categorical, "item_id": pl.Categorical})
    assert rmse(PREDICTED, truth).mean == rmse(PREDICTED, GIVEN).mean


def test_a_pair_that_stands_twice_is_refused():
    with pytest.raises(TableError, match="ratings: item a stands more than once for user ann"):
        rmse(pl.concat([PREDICTED, PREDICTED.head(1)]), GIVEN)
    with pytest.raises(TableError, match="truth: item a stands more than once for user bob"):
        rmse(PREDICTED, pl.concat([GIVEN, GIVEN.tail(1)]))


def test_tables_without_ratings_are_refused():
    with pytest.raises(TableError, match="truth: there is no column rating"):
        rmse(PREDICTED, GIVEN.drop("rating"))
    with pytest.raises(TableError, match="ratings: column rating is String, and must be a number"):
        rmse(PREDICTED.cast({"rating": pl.String}), GIVEN)
    with pytest.raises(NotEnoughDataError, match="rmse has no user to judge"):
        rmse(PREDICTED, GIVEN.clear())
