"""The stack: how experts are weighed, kept and brought back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.dataset import Scale
from shoal.data.histories import Histories
from shoal.model.bias import Bias
from shoal.model.latent import Latent
from shoal.model.rater import Mean, Stack, TowerRater, _weights
from shoal.model.ridge import TextRidge

SCALE = Scale(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0))
USERS, ITEMS = 60, 30
FEATURES = np.random.default_rng(0).normal(size=(ITEMS, 2)).astype(np.float32)


def world() -> Histories:
    rng = np.random.default_rng(1)
    tastes = rng.normal(0, 0.6, (USERS, 2))
    there = rng.random((USERS, ITEMS)) < 0.6
    users, items = np.nonzero(there)
    values = np.rint(3 + (tastes[users] * FEATURES[items]).sum(1) + rng.normal(0, 0.4, len(users))).clip(1, 5)
    starts = np.concatenate([[0], np.cumsum(there.sum(1))])
    return Histories(starts, items.astype(np.int32), values.astype(np.float32), np.full(len(items), np.nan), ITEMS)


def experts() -> list:
    return [Bias(), TextRidge(FEATURES), Mean([Latent(FEATURES, width=3, seed=s) for s in range(2)])]


@pytest.fixture(scope="module")
def halves() -> tuple[Histories, Histories]:
    everything = world()
    shown = np.random.default_rng(2).random(len(everything.items)) < 0.7
    return everything.where(shown), everything.where(~shown)


@pytest.fixture(scope="module")
def stack(halves) -> Stack:
    given_, future = halves
    return Stack(experts(), SCALE).fit(given_, given_, future)


def test_a_stack_comes_back_from_its_tensors(stack, halves):
    past, future = halves
    again = Stack.restore(stack.tensors(), experts(), SCALE)
    users, items = np.r_[future.users, 0], np.r_[future.items, -1]
    for ours, theirs in zip(stack.rate(past, users, items), again.rate(past, users, items), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3)
    assert again.document() == stack.document()


def test_an_event_without_a_rating_changes_no_rating(stack, halves):
    past, future = halves
    bare = Histories(
        past.starts, past.items, np.where(np.arange(len(past.items)) % 4 == 0, np.nan, past.values), past.times, ITEMS
    )
    without = past.where(np.arange(len(past.items)) % 4 != 0)
    for ours, theirs in zip(*(stack.rate(p, future.users, future.items) for p in (bare, without)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_ratings_come_in_the_order_of_the_pairs(stack, halves):
    past, future = halves
    order = np.random.default_rng(0).permutation(len(future.items))
    straight, mixed = (stack.rate(past, future.users[o], future.items[o])[0] for o in (np.arange(len(order)), order))
    np.testing.assert_allclose(mixed, straight[order], atol=1e-6)


def test_who_and_what_is_little_known_is_rated_less_surely(stack, halves):
    past, _ = halves
    nobody = past.where(past.users != 0)
    users = np.zeros(ITEMS, int)
    known, unknown = (stack.rate(p, users, np.arange(ITEMS))[1] for p in (past, nobody))
    assert (unknown >= known).all()
    assert (stack.spread_ >= 0).all()


def test_no_pair_is_no_rating(stack, halves):
    rating, spread = stack.rate(halves[0], np.empty(0, np.int64), np.empty(0, np.int64))
    assert rating.shape == spread.shape == (0,)


def test_fitted_again_the_weights_stay(halves):
    past, future = halves
    made = Stack(experts(), SCALE).fit(past, past, future)
    weights, items = made.weights_.copy(), made.experts[0].items_.copy()
    made.refit(world())
    np.testing.assert_array_equal(made.weights_, weights)
    assert np.abs(made.experts[0].items_ - items).max() > 1e-3


@given(st.integers(0, 200))
def test_the_expert_that_is_right_gets_the_weight(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, 2000)
    weights = _weights(np.stack([rng.normal(3, 1, 2000), truth], axis=1), truth)
    assert weights[2] > 0.9
    assert abs(weights[1]) < 0.1


@given(st.integers(1, 5), st.integers(0, 100))
def test_experts_that_say_one_thing_share_the_weight(n, seed):
    rng = np.random.default_rng(seed)
    said = rng.normal(3, 1, 400)
    weights = _weights(np.tile(said[:, None], (1, n)), said + rng.normal(0, 0.1, 400))
    np.testing.assert_allclose(weights[1:], weights[1], atol=1e-6)
    assert weights[1:].sum() == pytest.approx(1, abs=0.05)


def test_experts_that_are_constant_weigh_alike():
    np.testing.assert_allclose(_weights(np.full((60, 2), 3.0), np.full(60, 4.0)), [1.0, 0.5, 0.5])


def test_the_tower_is_kept_elsewhere():
    tower = TowerRater(None)
    assert tower.tensors() == {}
    assert tower.fit(world()).restore({}) is tower
