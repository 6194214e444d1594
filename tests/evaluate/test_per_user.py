import math

import numpy as np
import polars as pl
import pytest

from shoal.errors import ConfigError, NotEnoughDataError, TableError
from shoal.evaluate.bootstrap import MOST, resample
from shoal.evaluate.per_user import PER_USER, PerUser, intervals


def per_user(values, n=None, metric="ndcg@10", pooling="users") -> PerUser:
    count = len(values)
    ids = [f"u{i:06}" for i in range(count)]
    table = pl.DataFrame(
        {"user_id": ids, "value": values, "n": [1] * count if n is None else np.broadcast_to(n, count)}, dict(PER_USER)
    )
    return PerUser(table, metric, pooling=pooling)


def normal(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, n)


def test_the_mean_counts_users_or_pairs_or_squares():
    values, n = [1.0, 4.0], [3, 1]
    assert per_user(values, n).mean == 2.5
    assert per_user(values, n, pooling="pairs").mean == 1.75
    assert per_user(values, n, pooling="squares").mean == pytest.approx(math.sqrt((3 * 1 + 16) / 4))


@pytest.mark.parametrize("users", [400, 3 * MOST + 7])
def test_the_interval_is_as_wide_as_the_central_limit_says(users):
    values = np.sort(normal(users))  # in order, so that groups of neighbours would be far too unlike each other
    low, high = per_user(values).interval()
    error = values.std() / math.sqrt(users)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.3 * error)


def test_a_higher_level_gives_a_wider_interval():
    one = per_user(normal(50))
    narrow, wide = one.interval(level=0.5), one.interval(level=0.99)
    assert wide[0] < narrow[0] < one.mean < narrow[1] < wide[1]


def test_the_interval_of_a_pooled_metric_draws_users_with_all_their_pairs():
    # One user has 98 of 100 pairs, so that half of the draws swing with them: a draw of pairs would hardly move.
    low, high = per_user([1.0, 3.0], [98, 2], "rmse", "squares").interval()
    assert (low, high) == (pytest.approx(1), pytest.approx(3))


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    one = per_user(normal(50))
    assert one.interval(seed=1) == one.interval(seed=1)
    assert one.interval(seed=1) != one.interval(seed=2)


def test_metrics_judged_together_have_the_intervals_they_have_alone():
    metrics = [per_user(normal(50)), per_user(normal(70, 1)), per_user(normal(50, 2) ** 2, 2, "rmse", "squares")]
    for together, one in zip(intervals(metrics, seed=5), metrics, strict=True):
        assert together == pytest.approx(one.interval(seed=5))
    assert intervals([]) == []


def test_the_interval_of_one_user_is_that_users_value():
    assert per_user([0.25]).interval() == (0.25, 0.25)


def test_resampling_in_blocks_gives_the_asked_number_of_draws_around_the_sum():
    parts = np.stack([normal(700), np.ones(700)])
    sums = resample(parts, seed=0, draws=4001)
    assert sums.shape == (2, 4001)
    assert (sums[1] == 700).all()
    assert sums[0].mean() == pytest.approx(parts[0].sum(), rel=0.01)


def test_many_users_are_dealt_into_groups_and_none_is_lost():
    users = MOST * 2 + 345
    parts = np.stack([np.ones(users), np.arange(users, dtype=float)])
    sums = resample(parts, seed=0, draws=300)
    assert sums.mean(axis=1) == pytest.approx(parts.sum(axis=1), rel=0.01)


def test_groups_are_judged_on_their_own_and_users_without_one_together():
    one = per_user([0.0, 1.0, 0.5, 0.1])
    groups = pl.DataFrame({"user_id": ["u000000", "u000001", "u000002", "stranger"], "segment": [1, 1, 0, 7]})
    table = one.by(groups)
    assert table.columns == ["segment", "users", "value", "low", "high"]
    assert table.select("segment", "users", "value").rows() == [(0, 1, 0.5), (1, 2, 0.5), (None, 1, 0.1)]
    assert table.filter(segment=1).select("low", "high").row(0) == (0, 1)


def test_groups_of_a_pooled_metric_are_pooled():
    one = per_user([1.0, 4.0], [3, 1], "mae", "pairs")
    groups = pl.DataFrame({"user_id": ["u000000", "u000001"], "segment": ["x", "x"]})
    assert one.by(groups.cast({"user_id": pl.Categorical}))["value"].item() == 1.75


def test_a_table_of_groups_must_be_one():
    one = per_user([1.0])
    with pytest.raises(TableError, match="names a user twice; each user may be in one segment"):
        one.by(pl.DataFrame({"user_id": ["a", "a"], "segment": [1, 2]}))
    with pytest.raises(TableError, match="has the columns user_id; it must have user_id and one column"):
        one.by(pl.DataFrame({"user_id": ["a"]}))


def test_only_errors_are_better_when_low():
    assert per_user([1.0], metric="rmse").lower_is_better
    assert not per_user([1.0], metric="ndcg@10").lower_is_better


def test_a_metric_without_users_is_refused():
    with pytest.raises(NotEnoughDataError, match=r"recall@5 has no user to judge"):
        per_user([], metric="recall@5")


def test_a_table_with_a_user_twice_or_a_value_that_is_no_number_is_refused():
    table = per_user([1.0, 2.0]).table
    with pytest.raises(TableError, match="a user stands twice"):
        PerUser(pl.concat([table, table]), "ndcg@10")
    with pytest.raises(TableError, match="rmse of user u000001 is nan"):
        per_user([1.0, math.nan], metric="rmse")
    with pytest.raises(TableError, match="column n is Int64, and must be Int32"):
        PerUser(table.cast({"n": pl.Int64}), "ndcg@10")


def test_a_level_or_a_number_of_draws_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"level = 95: must lie between 0 and 1"):
        per_user([1.0]).interval(level=95)
    with pytest.raises(ConfigError, match="draws = 0"):
        per_user([1.0]).interval(draws=0)
