"""The bias: by hand, against the equations it solves, and its shrinkage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.model.bias import Bias


def rated(rows: list[list[tuple[int, float]]], n_items: int) -> Histories:
    """(item, rating) pairs of each user."""
    starts = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    items = np.array([i for r in rows for i, _ in r], np.int32)
    values = np.array([v for r in rows for _, v in r], np.float32)
    return Histories(starts, items, values, np.full(len(items), np.nan), n_items)


def test_two_users_of_one_item_by_hand():
    past = rated([[(0, 5)], [(0, 3)]], 2)
    bias = Bias().fit(past)  # the mean is 4 and so is the item's; a user is 1 off, beside 5 ratings at the mean
    said = bias.predict(past, np.array([0, 1, 0]), np.array([0, 0, 1]))
    np.testing.assert_allclose(said, [4 + 1 / 6, 4 - 1 / 6, 4 + 1 / 6], atol=1e-6)


def test_two_items_of_one_user_by_hand():
    past = rated([[(0, 5), (1, 3)]], 2)
    bias = Bias().fit(past)  # the user rates at the mean; an item is 1 off, beside 4 ratings at the mean
    np.testing.assert_allclose(bias.items_, [0.2, -0.2], atol=1e-6)
    np.testing.assert_allclose(bias.offsets(past), [0], atol=1e-6)


def test_offsets_by_turns_arrive_at_the_ridge_regression_on_users_and_items():
    rng = np.random.default_rng(0)
    there = rng.random((12, 8)) < 0.6
    there[:, 0] = True
    table = rng.integers(1, 6, (12, 8)).astype(float)
    past = rated([[(i, table[u, i]) for i in np.flatnonzero(there[u])] for u in range(12)], 8)
    users, items = np.nonzero(there)
    design = np.concatenate([np.eye(12)[users], np.eye(8)[items]], axis=1)
    truth = table[users, items] - table[users, items].mean()
    solved = np.linalg.solve(design.T @ design + np.diag(np.r_[np.full(12, 5.0), np.full(8, 4.0)]), design.T @ truth)
    bias = Bias().fit(past)
    np.testing.assert_allclose(bias.items_, solved[12:], atol=5e-3)
    np.testing.assert_allclose(bias.offsets(past), solved[:12], atol=5e-3)


@given(st.integers(1, 40), st.floats(0.1, 50))
def test_a_user_who_rates_one_above_is_believed_the_more_the_more_they_rated(n, pull):
    bias = Bias(user_pull=pull).fit(rated([[(i, 3.0) for i in range(40)]], 40))
    fan = rated([[(i, 4.0) for i in range(n)]], 40)
    assert bias.offsets(fan)[0] == pytest.approx(n / (n + pull), rel=1e-5)


@given(st.floats(0.5, 5), st.floats(-3, 3))
def test_another_scale_gives_the_same_answer_on_that_scale(unit, zero):
    rows = [[(0, 1.0), (1, 4.0)], [(1, 5.0), (2, 2.0)], [(0, 3.0)]]
    moved = [[(i, v * unit + zero) for i, v in r] for r in rows]
    past, other = rated(rows, 3), rated(moved, 3)
    plain = Bias().fit(past).predict(past, past.users, past.items)
    np.testing.assert_allclose(
        Bias().fit(other).predict(other, other.users, other.items), plain * unit + zero, atol=1e-4
    )


def test_an_item_never_rated_and_one_that_does_not_exist_are_the_users_mean():
    past = rated([[(0, 5), (1, 4)], [(0, 2)]], 4)
    bias = Bias().fit(past)
    said = bias.predict(past, np.array([0, 0]), np.array([3, -1]))
    np.testing.assert_allclose(said, bias.mean_ + bias.offsets(past)[0], atol=1e-6)


def test_it_comes_back_from_its_tensors():
    past = rated([[(0, 5), (1, 4)], [(0, 2)]], 3)
    bias = Bias().fit(past)
    again = Bias(**bias.document()).restore(bias.tensors())
    np.testing.assert_array_equal(*(b.predict(past, past.users, past.items) for b in (bias, again)))
