"""Shapley values: the laws that define them, and known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.errors import ConfigError
from shoal.explain.shapley import shapley

WEIGHTS = np.random.default_rng(0).normal(size=100)


def past(items) -> Histories:
    items = np.asarray(items, np.int32)
    n = len(items)
    return Histories(np.array([0, n]), items, np.full(n, np.nan), np.arange(n, dtype=float), 100)


def additive(pasts: Histories) -> np.ndarray:
    return 5 + np.bincount(pasts.users, weights=WEIGHTS[pasts.items], minlength=pasts.n_users)


def curved(pasts: Histories) -> np.ndarray:
    """Events weaken each other, and two of them belong together."""
    has = pasts.matrix().toarray() > 0
    total = has @ np.abs(WEIGHTS)
    return np.sqrt(total) + 2 * (has[:, 0] & has[:, 1])


def exact(items) -> dict[int, float]:
    values = dict.fromkeys(items, 0.0)
    orders = list(itertools.permutations(items))
    for order in orders:
        for place, item in enumerate(order):
            both = curved(past(order[: place + 1]))[0] - curved(past(order[:place]))[0]
            values[item] += both / len(orders)
    return values


ITEMS = st.lists(st.integers(0, 99), min_size=1, max_size=25, unique=True)


@given(ITEMS, st.integers(0, 5))
def test_efficiency_the_values_add_up_to_the_score_less_that_of_nothing(items, seed):
    table = shapley(past(items), curved, np.random.default_rng(seed), pairs=2)
    assert table["shapley"].sum() == pytest.approx(curved(past(items))[0] - curved(past([]))[0], abs=1e-9)


@given(ITEMS)
def test_of_an_additive_score_the_values_are_exact_without_error(items):
    table = shapley(past(items), additive, np.random.default_rng(0), pairs=2)
    np.testing.assert_allclose(table["shapley"], WEIGHTS[table["item_row"]], atol=1e-9)
    assert table["error"].max() < 1e-9


def test_an_event_that_changes_nothing_has_no_value():
    def others(pasts: Histories) -> np.ndarray:
        return curved(pasts.where(pasts.items != 3))

    table = shapley(past([1, 2, 3, 4]), others, np.random.default_rng(0))
    assert dict(table.select("item_row", "shapley").iter_rows())[3] == 0


def test_sampled_values_lie_within_their_errors_of_the_exact_ones():
    items = [0, 1, 2, 3, 4, 5]
    truth = exact(items)
    table = shapley(past(items), curved, np.random.default_rng(1), pairs=200)
    for row in table.to_dicts():
        assert abs(row["shapley"] - truth[row["item_row"]]) < 4 * row["error"] + 1e-9


def test_the_error_falls_as_more_orders_are_drawn():
    few, many = (shapley(past(range(12)), curved, np.random.default_rng(2), pairs=n)["error"].mean() for n in (8, 128))
    assert many == pytest.approx(few / 4, rel=0.5)


def test_older_events_than_those_asked_for_are_always_there():
    table = shapley(past(range(10)), curved, np.random.default_rng(0), pairs=2, most=4)
    assert sorted(table["item_row"]) == [6, 7, 8, 9]
    assert table["shapley"].sum() == pytest.approx(curved(past(range(10)))[0] - curved(past(range(6)))[0])


def test_one_event_carries_everything_and_nobody_nothing():
    assert shapley(past([4]), additive, np.random.default_rng(0))["shapley"].to_list() == [pytest.approx(WEIGHTS[4])]
    assert shapley(past([]), additive, np.random.default_rng(0)).height == 0


def test_same_seed_same_values():
    one, other = (shapley(past(range(9)), curved, np.random.default_rng(5)) for _ in range(2))
    assert one.equals(other)


def test_an_error_needs_two_pairs():
    with pytest.raises(ConfigError, match="pairs = 1: a standard error needs at least 2"):
        shapley(past([1]), additive, np.random.default_rng(0), pairs=1)
