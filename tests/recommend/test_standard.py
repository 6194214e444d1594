"""The n best, hidden items and the common footing: laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shoal.data.histories import Histories
from shoal.recommend.standard import compressed, hide, ordered, standardise, top

FEW_LEVELS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.sampled_from([-np.inf, 0.0, 1.0, 2.0])
)


@given(FEW_LEVELS, st.integers(1, 45))
def test_of_equal_scores_the_lower_row_stands_first_and_is_the_one_taken(scores, n):
    items, values = top(scores, n)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, 1))


@given(FEW_LEVELS)
def test_an_order_puts_the_highest_first_and_of_equals_the_lower_place(scores):
    np.testing.assert_array_equal(ordered(scores), np.argsort(-scores, axis=1, kind="stable"))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_unknown_item_stands_behind_the_known_and_before_the_hidden(n):
    items, _ = top(np.array([[-np.inf, np.nan, -1e9]], np.float32), n)
    assert items.tolist() == [[2, 1, 0][:n]]


def test_top_leaves_the_scores_as_they_are():
    scores = np.array([[1.0, np.nan, 3.0]], np.float32)
    top(scores, 2)
    np.testing.assert_array_equal(scores, np.array([[1.0, np.nan, 3.0]], np.float32))


def test_hide_works_in_place_on_own_items_alone():
    past = Histories(np.array([0, 2, 2]), np.array([2, 0], np.int32), np.full(2, np.nan), np.full(2, np.nan), 3)
    scores = np.ones((2, 3), np.float32)
    assert hide(scores, past) is scores
    np.testing.assert_array_equal(scores, [[-np.inf, 1, -np.inf], [1, 1, 1]])


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-100, 100))
def test_neither_the_unit_nor_the_zero_of_a_model_matters(seed, unit, zero):
    scores = np.random.default_rng(seed).normal(size=(3, 15)).astype(np.float32)
    moved = (scores * unit + zero).astype(np.float32)
    # In float32 an offset of 100 beside a spread of .01 leaves 3 digits.
    np.testing.assert_allclose(standardise(moved), standardise(scores), atol=2e-5 * (1 + abs(zero) / unit))


def test_standardising_does_not_touch_what_is_handed_in():
    scores = np.array([[1.0, np.nan, 3.0]], np.float32)
    standardise(scores)
    np.testing.assert_array_equal(scores, np.array([[1.0, np.nan, 3.0]], np.float32))


def test_far_ends_are_drawn_in_and_the_order_stays():
    scores = np.random.default_rng(0).lognormal(sigma=2, size=(4, 500)).astype(np.float32)
    plain, drawn = standardise(scores), compressed(scores)
    np.testing.assert_array_equal(np.argsort(-plain, 1, kind="stable"), np.argsort(-drawn, 1, kind="stable"))
    assert ((drawn**4).mean(1) < 0.5 * (plain**4).mean(1)).all()
    np.testing.assert_allclose(drawn.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(drawn.std(1), 1, atol=1e-4)


def test_the_unknown_stand_at_the_mean_before_the_ends_are_drawn_in():
    scores = np.random.default_rng(0).lognormal(size=(6, 80))
    scores[:, ::7] = np.nan
    plain = np.nan_to_num((scores - np.nanmean(scores, 1, keepdims=True)) / np.nanstd(scores, 1, keepdims=True))
    drawn = np.sign(plain) * np.log1p(np.abs(plain))
    drawn = (drawn - drawn.mean(1, keepdims=True)) / drawn.std(1, keepdims=True)
    np.testing.assert_allclose(standardise(scores), plain, atol=1e-5)
    np.testing.assert_allclose(compressed(scores), drawn, atol=1e-5)


def test_a_row_that_all_users_share_is_drawn_in_once_for_all():
    row = np.random.default_rng(0).normal(size=50).astype(np.float32)
    shared = compressed(np.broadcast_to(row, (4, 50)))
    assert shared.strides[0] == 0
    np.testing.assert_array_equal(shared, compressed(np.tile(row, (4, 1))))


def test_a_model_that_has_nothing_to_say_says_nothing_when_drawn_in():
    scores = np.array([[np.nan, np.nan, np.nan], [2.0, 2.0, 2.0], [np.nan, 1.0, 3.0]], np.float32)
    drawn = compressed(scores)
    assert (drawn[:2] == 0).all()
    assert drawn[2, 1] < drawn[2, 0] < drawn[2, 2]
    assert np.isfinite(drawn).all()
