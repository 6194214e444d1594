"""Ratings: by hand, against a brute-force posterior, and on a world whose taste is planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from shoal.data import split
from shoal.data.dataset import Scale
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.synthetic import planted_world
from shoal.model.bias import Bias
from shoal.model.features import Features
from shoal.model.gauss import factor_posterior, posterior_of_users
from shoal.model.latent import Latent
from shoal.model.rater import Mean, Stack
from shoal.model.ridge import TextRidge

SCALE = Scale(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0))


@pytest.fixture(scope="module")
def world():
    data, _ = planted_world(users=150, items=80, segments=3, events_per_user=25, seed=6)
    held = split.random(data, share=0.2, seed=0)
    items, users = Ids(data.items["item_id"]), Ids(sorted(data.users["user_id"].cast(str)))
    parts = [histories(t, users, items) for t in (held.train.interactions, held.given, held.test)]
    blank = np.zeros((len(items), 2), np.float32)
    features = Features.fit(blank, data.items, np.ones(len(items), bool)).of(blank, data.items)
    return *parts, features


def rmse(expert, past: Histories, future: Histories) -> float:
    said = expert.predict(past, future.users, future.items)
    return float(np.sqrt(np.mean((said - future.values) ** 2)))


def test_the_bias_of_a_small_table_is_what_one_finds_by_hand():
    past = Histories(
        np.array([0, 2, 3]), np.array([0, 1, 0], np.int32), np.array([5, 3, 4], np.float32), np.zeros(3), 3
    )
    plain = Bias(item_pull=1e-9, user_pull=1e-9).fit(past)
    # user 0 rates 4 on item 0 and item 1 apart; with nothing shrunken, both users' ratings are met exactly
    np.testing.assert_allclose(plain.predict(past, past.users, past.items), past.values, atol=0.2)
    pulled = Bias(item_pull=1e9, user_pull=1e9).fit(past)
    np.testing.assert_allclose(pulled.predict(past, past.users, past.items), 4.0, atol=1e-5)


def test_a_user_without_a_past_is_rated_by_mean_and_item(world):
    train, given, _, _ = world
    bias = Bias().fit(train)
    nobody = given.where(np.zeros(len(given.items), bool))
    said = bias.predict(nobody, np.zeros(3, int), np.array([0, 1, -1]))
    np.testing.assert_allclose(said, bias.mean_ + np.r_[bias.items_[:2], 0], atol=1e-6)


def test_the_ridge_of_one_user_is_bayesian_linear_regression(world):
    train, _, _, features = world
    design, one = np.c_[np.ones(len(features)), features].astype(float), train.take(np.array([4]))
    width = design.shape[1]
    mean, precision, noise = np.full(width, 0.1), np.eye(width) * 3, 0.5
    rest = one.values - 3.0
    found, covariance, squares = next(posterior_of_users(one, rest, design, mean, precision, noise))
    x = design[one.items]
    expected = np.linalg.solve(x.T @ x / noise + precision, x.T @ rest / noise + precision @ mean)
    np.testing.assert_allclose(found[0], expected)
    np.testing.assert_allclose(covariance, np.linalg.inv(x.T @ x / noise + precision))
    assert squares > ((rest - x @ expected) ** 2).sum()


def test_factors_given_the_other_side_are_the_exact_posterior():
    rng = np.random.default_rng(0)
    items, width, noise = rng.normal(size=(9, 4)), 4, 0.7
    there = sparse.csr_matrix((rng.random((5, 9)) < 0.6).astype(float))
    values = there.multiply(rng.normal(size=(5, 9))).tocsr()
    prior, precision = rng.normal(size=(5, width)), np.eye(width) * 2
    found, spread, _ = factor_posterior(values, there, items, np.zeros((9, width, width)), prior, precision, noise)
    for user in range(5):
        rated = there[user].indices
        x = np.c_[np.ones(len(rated)), items[rated, 1:]]
        y = values[user].toarray()[0, rated] - items[rated, 0]
        covariance = np.linalg.inv(x.T @ x / noise + precision)
        np.testing.assert_allclose(spread[user], covariance)
        np.testing.assert_allclose(found[user], covariance @ (x.T @ y / noise + precision @ prior[user]))


@pytest.mark.parametrize("make", [TextRidge, Latent])
def test_experts_beat_the_bias_where_taste_is_planted(world, make):
    train, given, future, features = world
    assert rmse(make(features).fit(train), given, future) < 0.95 * rmse(Bias().fit(train), given, future)


@pytest.mark.parametrize("make", [TextRidge, Latent])
def test_an_unseen_item_is_rated_by_its_text_as_fits_the_user(world, make):
    train, given, future, features = world
    cold = np.arange(0, features.shape[0], 8)
    expert = make(features).fit(train.where(~np.isin(train.items, cold)))
    asked = future.where(np.isin(future.items, cold))
    shown = given.where(~np.isin(given.items, cold))
    said = expert.predict(shown, asked.users, asked.items)
    assert np.isfinite(said).all()
    known = Bias().fit(train.where(~np.isin(train.items, cold))).predict(shown, asked.users, asked.items)
    assert np.corrcoef(said, asked.values)[0, 1] > np.corrcoef(known, asked.values)[0, 1] + 0.1


@pytest.mark.parametrize("make", [lambda f: Bias(), TextRidge, Latent])
def test_a_stranger_with_the_same_past_is_rated_alike(world, make):
    train, _, _, features = world
    expert = make(features).fit(train.take(np.arange(100)))
    items = np.arange(10)
    alone = expert.predict(train.take(np.array([120])), np.zeros(10, int), items)
    beside = expert.predict(train.take(np.array([3, 120])), np.ones(10, int), items)
    np.testing.assert_allclose(alone, beside, atol=1e-5)


@pytest.mark.parametrize("make", [lambda f: Bias(), TextRidge, Latent, lambda f: Mean([Latent(f), Latent(f, seed=1)])])
def test_an_expert_comes_back_from_its_tensors(world, make):
    train, given, future, features = world
    expert = make(features).fit(train)
    again = make(features).restore(expert.tensors())
    said = [e.predict(given, future.users, future.items) for e in (expert, again)]
    np.testing.assert_allclose(*said, atol=1e-3)


@pytest.mark.parametrize("make", [lambda f: Bias(), TextRidge, Latent])
def test_ratings_on_ten_times_the_scale_are_foretold_ten_times_as_large(world, make):
    train, given, future, features = world
    tenfold = [Histories(h.starts, h.items, h.values * 10, h.times, h.n_items) for h in (train, given)]
    one = make(features).fit(train).predict(given, future.users, future.items)
    ten = make(features).fit(tenfold[0]).predict(tenfold[1], future.users, future.items)
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-3, atol=1e-2)


def stack(world, rows: int | None = None) -> Stack:
    train, _, _, features = world
    inner = train.where(np.random.default_rng(0).random(len(train.items)) < 0.8)
    rest = train.where(np.random.default_rng(0).random(len(train.items)) >= 0.8)
    if rows is not None:
        rest = rest.where(np.arange(len(rest.items)) < rows)
    return Stack([Bias(), TextRidge(features), Latent(features)], SCALE).fit(inner, inner, rest).refit(train)


def test_the_stack_is_better_than_the_bias_stays_on_the_scale_and_knows_how_sure_it_is(world):
    _, given, future, _ = world
    made = stack(world)
    rating, spread = made.rate(given, future.users, future.items)
    bias = made.bias(given, future.users, future.items)
    error = rating - future.values
    assert np.sqrt(np.mean(error**2)) < 0.9 * np.sqrt(np.mean((bias - future.values) ** 2))
    assert ((rating >= 1) & (rating <= 5)).all()
    assert 0.58 < np.mean(np.abs(error) <= spread) < 0.78  # one standard deviation: 68 %


def test_few_held_out_ratings_leave_the_experts_alike(world):
    assert stack(world, rows=20).weights_.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


def test_an_item_that_is_not_in_the_catalogue_is_rated_by_the_bias_less_surely(world):
    _, given, _, _ = world
    made = stack(world)
    rating, spread = made.rate(given, np.array([0, 0]), np.array([-1, 5]))
    assert rating[0] == pytest.approx(made.bias(given, np.array([0]), np.array([-1]))[0], abs=1e-5)
    assert spread[0] >= spread[1]


def test_a_scale_of_one_level_is_met(world):
    train, given, future, features = world
    flat = [Histories(h.starts, h.items, np.full_like(h.values, 4), h.times, h.n_items) for h in (train, given, future)]
    made = Stack([Bias(), TextRidge(features), Latent(features)], Scale(4.0, 4.0, (4.0,))).fit(*flat)
    rating, spread = made.rate(flat[1], flat[2].users, flat[2].items)
    assert (rating == 4).all()
    assert np.isfinite(spread).all()
