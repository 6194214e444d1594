"""Comparison: planted differences are found with their size, chance is not, and one busy user is no difference."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import beta

from shoal.errors import ConfigError, NotEnoughDataError, UnknownIdError
from shoal.segment.compare import DIFFERENCES, compare, side_by_side
from shoal.segment.effects import false_discoveries

GENRES = ("drama", "comedy")


def world(shares, users=60, events=20, seed=0, spread=0.0, segments=None):
    """Return members, interactions, items: in segment s each user draws dramas with the share given, give or take."""
    rng = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(200)],
            "title": [f"Film {i}" for i in range(200)],
            "genres": [[GENRES[i % 2]] for i in range(200)],
        }
    )
    rows, members = [], []
    for segment, share in enumerate(shares):
        for u in range(users):
            name = f"u{segment}-{u}"
            members.append((name, segment))
            own = np.clip(share + spread * rng.standard_normal(), 0.01, 0.99)
            dramas = rng.binomial(events, own)
            picked = [2 * i for i in rng.choice(100, dramas, replace=False)]
            picked += [2 * i + 1 for i in rng.choice(100, events - dramas, replace=False)]
            rows += [(name, f"i{i}", float(rng.integers(1, 6))) for i in picked]
    table = pl.DataFrame(members, {"user_id": pl.String, "segment": pl.Int32}, orient="row")
    log = pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float32}, orient="row")
    return table, with_ids(log), with_ids(items)


def with_ids(table):
    return table.with_columns(pl.col("^(user|item)_id$").cast(pl.Categorical))


def drama(table):
    return table.filter((pl.col("label") == "drama") & (pl.col("part") == "category")).row(0, named=True)


def test_a_planted_difference_is_found_with_its_size():
    row = drama(compare(*world((0.6, 0.3)), [0, 1]))
    truth = np.log(0.6 / 0.4) - np.log(0.3 / 0.7)
    assert row["matters"]
    assert row["measure"] == "log-odds"
    assert row["low"] < truth < row["high"]
    assert row["low"] < row["effect"] < row["high"]
    assert row["value_first"] == pytest.approx(0.6, abs=0.04)
    assert row["value_second"] == pytest.approx(0.3, abs=0.04)


def test_nothing_matters_between_segments_that_behave_alike():
    table = compare(*world((0.5, 0.5, 0.5), spread=0.15), [0, 1, 2])
    assert table.height > 100
    assert not table["matters"].any()


def test_a_difference_that_is_sure_but_small_does_not_matter():
    row = drama(compare(*world((0.53, 0.47), users=600), [0, 1]))
    assert row["q"] < 0.01
    assert not row["matters"]


def test_one_busy_user_is_no_difference_however_many_events():
    members, log, items = world((0.5, 0.5), users=40)
    dramas = [f"i{2 * i}" for i in range(100)]
    busy = pl.DataFrame({"user_id": ["u0-0"] * 100, "item_id": dramas, "rating": [3.0] * 100}).cast(
        {"rating": pl.Float32}
    )
    log = pl.concat([log.filter(pl.col("user_id") != "u0-0"), with_ids(busy)])
    row = drama(compare(members, log, items, [0, 1]))
    assert row["effect"] > 0.1  # 100 of 900 events are hers
    assert row["low"] < 0.1
    assert not row["matters"]


@pytest.mark.slow
def test_the_interval_holds_the_truth_19_times_of_20_though_events_of_a_user_depend_on_each_other():
    held = 0
    for seed in range(100):
        row = drama(compare(*world((0.5, 0.5), users=50, seed=seed, spread=0.2), [0, 1], draws=400, seed=seed))
        held += row["low"] <= 0 <= row["high"]
    assert held >= 88  # of 100; an interval over events instead of users holds about 60


def test_a_label_that_nobody_has_gets_the_interval_of_jeffreys():
    members, log, items = world((0.5, 0.5), users=200, events=2)
    rare = pl.DataFrame({"user_id": [f"u0-{u}" for u in range(40)], "item_id": ["i199"] * 40, "rating": [3.0] * 40})
    log = pl.concat([log.filter(pl.col("item_id") != "i199"), with_ids(rare.cast({"rating": pl.Float32}))])
    row = compare(members, log, items, [0, 1], draws=4000).filter(pl.col("item_id") == "i199").row(0, named=True)
    n = 400  # events, one a user that has it
    most = beta.ppf(0.975, 0.5, n + 0.5)  # of the share in the second segment
    near = np.log(40 / n) - np.log(most / (1 - most))
    assert row["value_second"] == 0
    assert row["low"] == pytest.approx(near, abs=0.35)
    assert row["matters"]


def test_the_order_of_segments_turns_the_sign_and_the_order_of_rows_changes_nothing():
    members, log, items = world((0.6, 0.3))
    one, other = compare(members, log, items, [0, 1]), compare(members, log, items, [1, 0])
    keys = ["part", "kind", "label", "item_id"]
    turned = other.with_columns(effect=-pl.col("effect"), low=-pl.col("high"), high=-pl.col("low"))
    assert_frame_equal(
        one.sort(keys).select("effect", "low", "high"), turned.sort(keys).select("effect", "low", "high"), abs_tol=1e-6
    )
    rng = np.random.default_rng(3)
    mixed = [t[rng.permutation(len(t)).tolist()] for t in (members, log, items)]
    assert_frame_equal(compare(*mixed, [0, 1]), one, abs_tol=1e-9)


def test_other_segments_do_not_change_what_two_of_them_differ_by():
    members, log, items = world((0.6, 0.3, 0.5))
    three = compare(members, log, items, [0, 1, 2]).filter((pl.col("first") == 0) & (pl.col("second") == 1))
    two = compare(members, log, items, [0, 1])
    assert drama(three)["effect"] == pytest.approx(drama(two)["effect"], abs=0.02)


def test_habits_are_compared_by_cohens_d():
    members, log, items = world((0.5, 0.5), users=100)
    rng = np.random.default_rng(1)
    level = pl.when(pl.col("user_id").cast(pl.String).str.starts_with("u0")).then(1.0).otherwise(0.0)
    log = log.with_columns((level + pl.Series(rng.normal(3, 0.1, log.height))).cast(pl.Float32).alias("rating"))
    at = [datetime(2020, 1, 6, 20) + timedelta(days=int(d)) for d in rng.integers(0, 300, log.height)]
    log = log.with_columns(pl.Series("at", at, pl.Datetime("us")))
    table = compare(members, log, items, [0, 1])
    habits = {r["label"]: r for r in table.filter(pl.col("part") == "habit").to_dicts()}
    assert habits["mean rating"]["effect"] > 10
    assert habits["mean rating"]["matters"]
    assert {"days since the last event", "Monday"} <= set(habits)
    assert not any(r["kind"] == "hour" for r in habits.values())  # all at one hour: days without a time of day


def test_where_nothing_varies_there_is_no_effect_to_tell():
    table = compare(*world((0.5, 0.5)), [0, 1])  # every user has 20 events
    assert table.filter(pl.col("kind") == "events").height == 0


def test_traits_are_shares_of_those_of_whom_they_are_told_and_numbers_are_means():
    members, log, items = world((0.5, 0.5), users=100)
    rng = np.random.default_rng(2)
    first = members["segment"].to_numpy() == 0
    users = members.select(
        "user_id",
        gender=pl.Series(np.where(rng.random(200) < np.where(first, 0.8, 0.2), "F", "M")),
        income=pl.Series(rng.normal(np.where(first, 60.0, 50.0), 5)),
    ).with_columns(gender=pl.when(pl.int_range(pl.len()) % 4 == 0).then(None).otherwise("gender"))
    table = compare(members, log, items, [0, 1], users=with_ids(users)).filter(pl.col("part") == "trait")
    rows = {(r["kind"], r["label"]): r for r in table.to_dicts()}
    told = users.filter(pl.col("gender").is_not_null(), pl.col("user_id").str.starts_with("u0"))
    assert rows["gender", "F"]["value_first"] == pytest.approx((told["gender"] == "F").mean())
    assert rows["gender", "F"]["matters"]
    assert rows["income", "income"]["measure"] == "d"
    assert rows["income", "income"]["effect"] == pytest.approx(2, abs=0.4)


def test_a_repeated_run_gives_the_same_and_another_seed_nearly_the_same():
    tables = world((0.6, 0.3))
    one, again, other = (compare(*tables, [0, 1], seed=s) for s in (1, 1, 2))
    assert_frame_equal(one, again)
    assert drama(one)["low"] != drama(other)["low"]
    assert drama(one)["low"] == pytest.approx(drama(other)["low"], abs=0.1)


def test_what_matters_comes_first_and_the_table_has_its_types():
    table = compare(*world((0.6, 0.3)), [0, 1])
    assert dict(table.schema) == DIFFERENCES
    assert table["matters"].is_sorted(descending=True)


def test_side_by_side_has_a_column_a_segment_and_the_pair_that_differs_most():
    wide = side_by_side(compare(*world((0.6, 0.5, 0.2)), [0, 1, 2]))
    row = wide.filter(pl.col("label") == "drama").row(0, named=True)
    assert (row["first"], row["second"]) == (0, 2)
    assert row["0"] > row["1"] > row["2"]
    assert wide.select("part", "kind", "label", "item_id").is_unique().all()


def test_false_discoveries_follow_benjamini_and_hochberg():
    q = false_discoveries(np.array([0.01, 0.04, 0.03, 0.005]), tested=4)
    np.testing.assert_allclose(q, [0.02, 0.04, 0.04, 0.02])
    np.testing.assert_allclose(false_discoveries(np.array([0.01]), tested=50), [0.5])


@pytest.mark.parametrize(
    ("segments", "error", "words"),
    [
        ([0], ConfigError, "takes 2 to 5 different segments; these are 0"),
        ([], ConfigError, "these are none"),
        ([0, 0], ConfigError, "these are 0, 0"),
        ([0, 1, 2, 3, 4, 5], ConfigError, "takes 2 to 5"),
        ([0, 9], UnknownIdError, "There is no segment 9; there are 0, 1"),
    ],
)
def test_bad_segments_are_refused(segments, error, words):
    with pytest.raises(error, match=words):
        compare(*world((0.5, 0.5)), segments)


def test_a_segment_too_small_for_an_interval_and_too_few_draws_are_refused():
    members, log, items = world((0.5, 0.5))
    few = members.filter((pl.col("segment") == 0) | (pl.col("user_id").str.ends_with("-7")))
    with pytest.raises(NotEnoughDataError, match="Segment 1 has 1 users"):
        compare(few, log, items, [0, 1])
    with pytest.raises(ConfigError, match="draws = 10"):
        compare(members, log, items, [0, 1], draws=10)


def test_members_without_events_are_compared_by_nothing_and_do_no_harm():
    members, log, items = world((0.6, 0.3))
    idle = pl.DataFrame({"user_id": [f"idle{i}" for i in range(30)], "segment": [2] * 30}).cast({"segment": pl.Int32})
    table = compare(pl.concat([members, idle]), log, items, [0, 2])
    assert set(table["part"]) <= {"habit"}
