"""Pasts as a padded batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.model.pasts import Values, pasts

STANDARD = Values(0.0, 1.0, log=False)


def some(counts: list[int], *, dated: bool = True, seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    n = sum(counts)
    times = np.concatenate([np.sort(rng.random(c) * 100) for c in counts]) if n else np.zeros(0)
    return Histories(
        np.r_[0, np.cumsum(counts)],
        rng.integers(0, 50, n).astype(np.int32),
        rng.normal(size=n).astype(np.float32),
        times if dated else np.full(n, np.nan),
        50,
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 12))
def test_each_users_newest_events_stand_last_and_the_rest_is_padding(counts, at_most):
    whole = some(counts)
    events, habits = pasts(whole, STANDARD, at_most)
    width = min(at_most, max([1, *counts]))
    assert events.items.shape == (len(counts), width)
    for u, count in enumerate(counts):
        kept = min(count, at_most)
        own = slice(whole.starts[u + 1] - kept, whole.starts[u + 1])
        assert events.mask[u].tolist() == [False] * (width - kept) + [True] * kept
        assert events.items[u, width - kept :].tolist() == whole.items[own].tolist()
        np.testing.assert_array_equal(events.values[u, width - kept :], whole.values[own])
        assert not events.values[u, : width - kept].any()
        assert not events.ages[u, : width - kept].any()
    assert habits.shape == (len(counts),)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(-1e4, 1e4))
def test_a_past_reads_the_same_whenever_it_is_read(counts, days):
    one = some(counts)
    later = Histories(one.starts, one.items, one.values, one.times + days, one.n_items)
    torch.testing.assert_close(pasts(one, STANDARD, 5)[0].ages, pasts(later, STANDARD, 5)[0].ages, atol=1e-5, rtol=0)


def test_the_newest_event_has_age_zero_and_older_ones_are_older():
    events, _ = pasts(some([6, 3]), STANDARD, 6)
    assert events.ages[:, -1].tolist() == [0, 0]
    assert (events.ages[0].diff() <= 0).all()


def test_events_without_a_time_have_age_zero():
    assert not pasts(some([4, 2], dated=False), STANDARD, 4)[0].ages.any()


def test_an_event_without_a_time_among_dated_ones_has_age_zero():
    past = Histories(
        np.array([0, 3]), np.arange(3, dtype=np.int32), np.zeros(3, np.float32), np.array([np.nan, 1, 3]), 5
    )
    np.testing.assert_allclose(pasts(past, STANDARD, 3)[0].ages, [[0, np.log(3), 0]], rtol=1e-6)


@pytest.mark.parametrize("counts", [[0], [0, 0, 0]])
def test_users_without_events_are_padding_alone(counts):
    events, habits = pasts(some(counts), STANDARD, 4)
    assert events.mask.shape == (len(counts), 1)
    assert not events.mask.any()
    assert events.items.dtype == torch.int64
    assert habits.tolist() == [0] * len(counts)


def test_habits_shrink_the_fewer_events_there_are():
    ones = Histories(np.array([0, 1, 96]), np.zeros(96, np.int32), np.ones(96, np.float32), np.zeros(96), 5)
    assert pasts(ones, STANDARD, 10)[1].tolist() == pytest.approx([1 / 6, 95 / 100])  # the whole past, not the newest


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=30))
def test_measured_values_have_mean_zero_and_spread_one_at_most(raw):
    values = np.array(raw, np.float32)
    standard = Values.measure(values, counts=False).of(values)
    assert (np.abs(standard) <= 5).all()
    if values.std() > 1e-3 * max(np.abs(values).max(), 1) and (np.abs(standard) < 5).all():
        assert standard.mean() == pytest.approx(0, abs=1e-2)
        assert standard.std() == pytest.approx(1, abs=1e-2)


def test_what_is_missing_is_neither_measured_nor_read():
    measured = Values.measure(np.array([1.0, np.nan, 3.0]), counts=False)
    assert (measured.mean, measured.spread) == (2.0, 1.0)
    assert measured.of(np.array([np.nan, 3.0])).tolist() == [0.0, 1.0]
    assert Values.measure(np.array([np.nan]), counts=True) == Values(0.0, 1.0, True)


def test_counts_go_through_the_logarithm_and_none_is_below_zero():
    measured = Values.measure(np.array([0.0, np.e - 1, np.e**2 - 1]), counts=True)
    assert measured.mean == pytest.approx(1)
    assert measured.of(np.array([np.e - 1, -3.0])) == pytest.approx([0, -1 / np.std([0, 1, 2])], abs=1e-6)


def test_one_value_for_all_says_nothing():
    assert Values.measure(np.full(9, 4.0), counts=False).of(np.array([4.0])).tolist() == [0]
