"""Text ridge: the prior that users share is found, and held to where there is little of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.model import ridge
from shoal.model.ridge import TextRidge

ITEMS, EVENTS = 60, 30
TASTE = np.array([0.6, -0.4, 0.0])
"""What the average user makes of the three features."""


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)


def world(features: np.ndarray, users: int = 300, *, spread: float = 0.4, noise: float = 0.3) -> Histories:
    """Users with tastes around TASTE; half of the items are rated by each."""
    rng = np.random.default_rng(1)
    tastes = TASTE + rng.normal(0, spread, (users, 3))
    items = np.concatenate([np.sort(rng.permutation(ITEMS)[:EVENTS]) for _ in range(users)]).astype(np.int32)
    rows = np.repeat(np.arange(users), EVENTS)
    values = 3 + (tastes[rows] * features[items]).sum(1) + rng.normal(0, noise, len(items))
    starts = np.arange(users + 1) * EVENTS
    return Histories(starts, items, values.astype(np.float32), np.full(len(items), np.nan), ITEMS)


def test_noise_and_the_spread_of_tastes_are_found(features):
    model = TextRidge(features).fit(world(features))
    covariance = np.linalg.inv(model.precision_)
    assert model.noise_ == pytest.approx(0.3**2, rel=0.25)
    np.testing.assert_allclose(np.diag(covariance)[1:], 0.4**2, rtol=0.35)


def test_item_offsets_and_the_average_taste_together_are_what_everyone_shares(features):
    past = world(features)
    model = TextRidge(features).fit(past)
    nobody = past.take(np.array([0])).where(np.zeros(EVENTS, bool))
    said = model.predict(nobody, np.zeros(ITEMS, int), np.arange(ITEMS))
    np.testing.assert_allclose(said, 3 + features @ TASTE, atol=0.25)


def test_ratings_of_ones_own_bring_the_answer_from_the_average_to_oneself(features):
    model = TextRidge(features).fit(world(features))
    own = np.array([-0.5, 0.6, 0.5])
    truth = 3 + features @ own
    errors = []
    for n in (0, 2, 5, 30):
        past = Histories(np.array([0, n]), np.arange(n, dtype=np.int32), truth[:n], np.full(n, np.nan), ITEMS)
        said = model.predict(past, np.zeros(30, int), np.arange(30, 60))
        errors.append(float(np.sqrt(np.mean((said - truth[30:]) ** 2))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.25 * errors[0]


def test_fitted_again_the_prior_stays_and_the_bias_moves(features):
    past = world(features)
    model = TextRidge(features).fit(past.take(np.arange(150)))
    prior, items = model.precision_.copy(), model.bias.items_.copy()
    model.fit(past)
    np.testing.assert_array_equal(model.precision_, prior)
    assert np.abs(model.bias.items_ - items).max() > 1e-3


def test_a_sample_of_users_stands_for_all(features, monkeypatch):
    past = world(features)
    whole = TextRidge(features).fit(past)
    monkeypatch.setattr(ridge, "MOST_USERS", 150)
    sample = TextRidge(features).fit(past)
    said = [m.predict(past, past.users, past.items) for m in (whole, sample)]
    assert np.abs(said[0] - said[1]).mean() < 0.05
    assert np.abs(whole.precision_ - sample.precision_).max() > 1e-3


def test_ratings_that_are_all_alike_are_foretold(features):
    past = world(features, 20)
    flat = Histories(past.starts, past.items, np.full_like(past.values, 4), past.times, ITEMS)
    np.testing.assert_allclose(TextRidge(features).fit(flat).predict(flat, flat.users, flat.items), 4, atol=1e-4)
