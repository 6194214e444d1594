"""What segments know about events that nobody has seen yet."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.lift import Groups, Lift, Told, beyond, likelihood, ranking, rating
from shoal.recommend.tune import HeldOut

USERS, ITEMS = 200, 40


def events(rows: list[list[int]], values: list[list[float]] | None = None) -> Histories:
    counts = [len(row) for row in rows]
    flat = np.array([item for row in rows for item in row], np.int32)
    told = (
        np.array([v for row in values for v in row], np.float32) if values else np.full(len(flat), np.nan, np.float32)
    )
    return Histories(np.concatenate([[0], np.cumsum(counts)]), flat, told, np.full(len(flat), np.nan), ITEMS)


def world(seed: int = 0):
    """Even users use even items: eight are known of each, and four more are to be found."""
    rng = np.random.default_rng(seed)
    known, future = [], []
    for user in range(USERS):
        drawn = rng.permutation(np.arange(user % 2, ITEMS, 2))[:12].tolist()
        known.append(drawn[:8])
        future.append(drawn[8:])
    return events(known), events(future)


def test_segments_that_are_there_find_more_than_random_ones_and_random_ones_no_more():
    train, future = world()
    held = HeldOut(train, train, future)
    parity = np.arange(USERS) % 2
    told = ranking(Groups(parity, parity, 2), train, held, seed=0)
    found = beyond(told, seed=0)
    assert found.mean > 0.5
    assert found.low > 0.4
    assert found.users == USERS
    np.testing.assert_allclose(told.everyone.mean(), told.random.mean(), rtol=0.1)


def test_groups_that_were_dealt_hardly_ever_seem_to_foretell():
    train, future = world()
    held, wrong = HeldOut(train, train, future), 0
    for seed in range(20):
        dealt = np.random.default_rng(100 + seed).integers(0, 2, USERS)
        found = beyond(ranking(Groups(dealt, dealt, 2), train, held, seed=seed), seed=seed)
        wrong += not found.low < 0 < found.high
    assert wrong <= 3


def test_users_without_a_segment_are_left_out():
    train, future = world()
    place = np.where(np.arange(USERS) < 50, -1, np.arange(USERS) % 2)
    told = ranking(Groups(place, place, 2), train, HeldOut(train, train, future), seed=0)
    for one in (told.own, told.random, told.everyone):
        assert np.isnan(one[..., :50]).all()
        assert np.isfinite(one[..., 50:]).all()


def test_random_segments_have_the_same_sizes_and_the_unassigned_stay():
    place = np.array([-1, 0, 0, 0, 1, 1, -1, 2])
    made = Groups(place, place, 3).shuffled(np.random.default_rng(0))
    assert sorted(made.train.tolist()) == sorted(place.tolist())
    assert (made.train[place < 0] == -1).all()
    assert made.train.tolist() != place.tolist()


def test_bits_are_the_mean_negative_logarithm_of_the_share_in_the_segment():
    train = events([[0, 0, 0, 1], [2, 2, 2, 3]])
    future = events([[0], [3]])
    told = likelihood(Groups(np.array([0, 1]), np.array([0, 1]), 2), train, future, seed=0)
    share = (np.bincount(train.items, minlength=ITEMS) + 0.5) / (8 + ITEMS / 2)
    weights = np.array([-np.log2((3 + w * share[0]) / (4 + w)) for w in (3.0, 10.0, 30.0, 100.0)])
    assert np.abs(weights - told.own[0]).min() < 1e-6
    assert told.own[0] < told.everyone[0]


def test_events_of_a_segment_cost_fewer_bits_than_in_random_ones():
    train, future = world()
    parity = np.arange(USERS) % 2
    told = likelihood(Groups(parity, parity, 2), train, future, seed=0)
    assert told.own.mean() < told.random.mean() - 0.8  # half of the catalogue is out of the question: one bit


def test_means_of_a_segment_err_less_where_it_rates_otherwise():
    rng = np.random.default_rng(0)

    def rated(seed):
        rng = np.random.default_rng(seed)
        items = [rng.permutation(ITEMS)[:10].tolist() for _ in range(USERS)]
        return events(items, [[3 + (1 if (i + u) % 2 else -1) for i in row] for u, row in enumerate(items)])

    parity, dealt = np.arange(USERS) % 2, rng.integers(0, 2, USERS)
    told = rating(Groups(parity, parity, 2), rated(1), rated(2), seed=0)
    assert told.own.mean() < 0.1
    assert told.everyone.mean() == pytest.approx(1, abs=0.1)
    told = rating(Groups(dealt, dealt, 2), rated(1), rated(2), seed=0)
    assert told.own.mean() == pytest.approx(told.everyone.mean(), abs=0.1)


def test_a_lift_is_relative_to_its_base_and_nothing_where_there_is_none():
    own, base = np.array([0.3, 0.5, np.nan]), np.array([[0.2, 0.2, 0.2], [0.2, 0.2, 0.2]])
    told = Told(own, base, np.zeros(3))
    assert beyond(told, seed=0).mean == pytest.approx(1.0)
    assert beyond(told, seed=0, less=True).mean == pytest.approx(-1.0)
    one = beyond(told, np.array([0]), seed=0)
    assert (one.mean, one.low, one.high, one.users) == pytest.approx((0.5, 0.5, 0.5, 1))
    assert beyond(told, np.array([2]), seed=0) == Lift(0, 0, 0, 0)
    assert beyond(told, seed=0, base="everyone") == Lift(0, 0, 0, 2)
