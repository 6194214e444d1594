"""Planted worlds: what was planted is there, and nothing is planted in noise."""

from __future__ import annotations

import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.data.synthetic import TOPICS, noise_world, planted_world
from shoal.errors import ConfigError


def fit_by_event(world) -> pl.DataFrame:
    """Each event with whether the item's topic is the one of the user's segment."""
    dataset, truth = world
    events = dataset.interactions.with_columns(pl.col("user_id").cast(pl.String)).join(truth, on="user_id")
    topic = pl.col("genres").list.first().replace_strict({name: k for k, name in enumerate(TOPICS)})
    return events.join(dataset.items.with_columns(topic=topic), on="item_id").with_columns(
        fits=pl.col("topic") == pl.col("segment")
    )


@settings(max_examples=15)
@given(st.integers(2, 30), st.integers(12, 40), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_shapes_are_as_asked_for(users, items, segments, events, noise):
    dataset, truth = planted_world(users=users, items=items, segments=segments, events_per_user=events, noise=noise)
    counts = dataset.interactions.group_by("user_id").agg(pl.len(), pl.col("item_id").n_unique().alias("items"))
    assert dataset.items.height == items
    assert truth.schema == {"user_id": pl.String, "segment": pl.Int32}
    assert truth["user_id"].to_list() == [f"u{k}" for k in range(users)]
    assert counts.select("len", "items").unique().rows() == [(events, events)]
    sizes = truth["segment"].value_counts()["count"]
    assert sizes.max() - sizes.min() <= 1
    assert truth["segment"].is_between(0, segments - 1).all()


@pytest.mark.parametrize("noise", [1e-300, 1e-40, 1e-5])
def test_next_to_no_noise_is_no_trouble(noise):
    assert fit_by_event(planted_world(users=20, noise=noise))["fits"].mean() > 0.99


def test_without_noise_users_touch_their_topic_alone():
    assert fit_by_event(planted_world(users=40, events_per_user=30, noise=0.0))["fits"].all()


def test_a_user_who_runs_out_of_fitting_items_goes_on_with_others():
    events = fit_by_event(planted_world(users=20, items=40, events_per_user=15, noise=0.0))
    assert events.group_by("user_id").agg(pl.col("fits").sum())["fits"].unique().to_list() == [10]


def test_fitting_items_are_rated_higher():
    means = dict(fit_by_event(planted_world()).group_by("fits").agg(pl.col("rating").mean()).rows())
    assert means[True] - means[False] > 1.5


def test_in_noise_the_segment_tells_neither_taste_nor_rating():
    events = fit_by_event(noise_world(users=1000, events_per_user=20))
    means = dict(events.group_by("fits").agg(pl.col("rating").mean()).rows())
    assert events["fits"].mean() == pytest.approx(0.25, abs=0.02)
    assert means[True] == pytest.approx(means[False], abs=0.05)


def test_titles_speak_of_the_topic():
    dataset, _ = planted_world()
    for title, genres in dataset.items.select("title", "genres").rows():
        first, second = title.removeprefix("The ").split(" and the ")
        assert {first.lower(), second.lower()} <= set(TOPICS[genres[0]])
        assert first != second


def test_popular_items_are_taken_more_often():
    dataset, _ = noise_world(users=500)
    counts = dataset.interactions["item_id"].value_counts()["count"].sort(descending=True)
    assert counts[0] > 3 * counts[-1]


def test_times_spread_over_the_year_or_are_absent():
    at = planted_world()[0].interactions["at"]
    assert datetime.datetime(2024, 1, 1) <= at.min() < datetime.datetime(2024, 1, 5)
    assert datetime.datetime(2024, 12, 25) < at.max() < datetime.datetime(2025, 1, 1)
    assert not planted_world(times=False)[0].has_times


def test_the_scale_is_one_to_five_whatever_was_drawn():
    dataset, _ = planted_world(users=2, items=12, events_per_user=1)
    assert (dataset.scale.low, dataset.scale.high) == (1, 5)


def test_same_seed_same_world_and_other_seeds_other_worlds():
    first, again, other = (planted_world(users=30, seed=seed)[0].fingerprint() for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"users": 1}, "users = 1: must be from 2"),
        ({"segments": 13}, "segments = 13: must be from 1 to 12"),
        ({"items": 3}, "items = 3: must be from 4"),
        ({"events_per_user": 201}, "events_per_user = 201: must be from 1 to 200"),
        ({"noise": 1.5}, "noise = 1.5: must be from 0 to 1"),
    ],
)
def test_a_number_out_of_range_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        planted_world(**values)
