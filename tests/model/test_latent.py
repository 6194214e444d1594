"""Latent: factors are found, texts stand in for the unseen, and what was rated at all speaks too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.model.latent import Latent

ITEMS = 40
BLANK = np.zeros((ITEMS, 1), np.float32)


def rated(there: np.ndarray, table: np.ndarray) -> Histories:
    rows, items = np.nonzero(there)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(there)))])
    values = table[rows, items].astype(np.float32)
    return Histories(starts, items.astype(np.int32), values, np.full(len(items), np.nan), there.shape[1])


def low_rank(users: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Taste in two directions that no text tells of: the items' places (items, 2), ratings, which are there."""
    rng = np.random.default_rng(seed)
    people, places = rng.normal(size=(users, 2)), rng.normal(size=(ITEMS, 2))
    table = 3 + 0.7 * people @ places.T + rng.normal(0, 0.3, (users, ITEMS))
    return places, table, rng.random((users, ITEMS)) < 0.5


def rmse(model: Latent, past: Histories, future: Histories) -> float:
    return float(np.sqrt(np.mean((model.predict(past, future.users, future.items) - future.values) ** 2)))


def test_two_planted_directions_are_found_without_any_text():
    _, table, there = low_rank()
    past, future = rated(there, table), rated(~there, table)
    model = Latent(BLANK, width=4).fit(past)
    assert rmse(model, past, future) < 0.5  # noise .3; the ratings' own spread is 1
    assert model.noise_ == pytest.approx(0.3**2, rel=0.6)


def test_unseen_items_of_one_text_are_rated_alike_and_as_their_text_says():
    places, table, there = low_rank()
    places[-1] = places[-2]
    there[:, -8:] = False
    unseen = np.broadcast_to(np.arange(ITEMS) >= ITEMS - 8, there.shape)
    past, future = rated(there, table), rated(unseen, table)
    model = Latent(places.astype(np.float32), width=4).fit(past)
    asked = [model.predict(past, np.arange(150), np.full(150, ITEMS - back)) for back in (1, 2)]
    np.testing.assert_allclose(*asked, atol=1e-5)
    future = future.where(future.items < ITEMS - 1)
    assert rmse(model, past, future) < 0.55 * future.values.std()


@pytest.mark.parametrize("seed", range(3))
def test_an_unseen_item_of_which_no_text_tells_is_rated_about_the_mean(seed):
    """All seen items have many ratings: that this one has none must not be extrapolated to."""
    _, table, there = low_rank(seed=seed)
    there[:, -8:] = False
    past = rated(there, table)
    model = Latent(BLANK, width=4).fit(past)
    said = model.predict(past, np.arange(150), np.full(150, ITEMS - 1))
    assert np.abs(said - 3).mean() < 0.6


def test_what_was_rated_at_all_speaks_where_ratings_do_not():
    """Everyone gives 3 to the first items; which of them they chose tells how they like the last ones."""
    rng = np.random.default_rng(0)
    camp = np.arange(200) % 2
    there = np.zeros((200, ITEMS), bool)
    there[:, :30] = (np.arange(30) % 2 == camp[:, None]) & (rng.random((200, 30)) < 0.8)
    shown = there.copy()
    there[:, 30:] = rng.random((200, 10)) < 0.6
    there[:20, 30:], shown[20:] = False, there[20:]
    table = np.full((200, ITEMS), 3.0)
    table[:, 30:] = np.where(camp == 1, 5.0, 1.0)[:, None]
    past = rated(there, table)
    model = Latent(BLANK, width=4, directions=4).fit(past.take(np.arange(20, 200)))
    strangers = past.take(np.arange(20))
    said = model.predict(strangers, np.repeat(np.arange(20), 10), np.tile(np.arange(30, ITEMS), 20)).reshape(20, 10)
    assert (said[camp[:20] == 1] > 3.5).all()
    assert (said[camp[:20] == 0] < 2.5).all()


def test_what_is_told_of_a_stranger_speaks_for_how_people_like_that_rate():
    """Those of value 1 love the first half of the items, those of value 0 the second; the second trait says nothing."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 300)
    halves = np.where(np.arange(ITEMS) < ITEMS // 2, 1, -1)
    table = 3 + np.where(kind == 1, 1, -1)[:, None] * halves + rng.normal(0, 0.3, (300, ITEMS))
    traits = np.stack([kind, rng.integers(0, 4, 300)], 1).astype(np.int32)
    past = replace(rated(rng.random((300, ITEMS)) < 0.3, table), traits=traits)
    model = Latent(BLANK, width=2).fit(past)
    strangers = replace(past.take(np.zeros(4, np.int64)).newest(0), traits=np.array([[0, 1], [1, 1], [-1, -1], [1, 9]]))
    said = [model.predict(strangers, np.full(ITEMS, user), np.arange(ITEMS)) @ halves / ITEMS for user in range(4)]
    assert said[0] < -0.6
    assert said[1] > 0.6
    assert abs(said[2]) < 0.3
    assert said[3] == pytest.approx(said[1], abs=0.2)
    again = Latent(BLANK, width=2).restore(model.tensors())
    np.testing.assert_allclose(again.users(strangers), model.users(strangers), atol=1e-5)
    np.testing.assert_allclose(model.users(replace(strangers, traits=None))[0], model.users(strangers)[2], atol=1e-9)


def test_a_model_kept_before_traits_were_read_takes_pasts_that_have_some():
    _, table, there = low_rank()
    past = rated(there, table)
    model = Latent(BLANK, width=2, sweeps=3).fit(past)
    kept = {name: value for name, value in model.tensors().items() if name != "levels"}
    again = Latent(BLANK, width=2).restore(kept)
    told = replace(past, traits=np.zeros((past.n_users, 2), np.int32))
    np.testing.assert_allclose(again.users(told), model.users(past), atol=1e-5)


def test_a_direction_in_which_training_users_do_not_differ_says_nothing_of_a_stranger():
    there = np.zeros((12, ITEMS), bool)
    there[:, :4] = True
    table = np.random.default_rng(0).integers(1, 6, (12, ITEMS)).astype(float)
    model = Latent(BLANK, width=3).fit(rated(there, table))
    nobody = rated(np.zeros((1, ITEMS), bool), table)
    np.testing.assert_allclose(model.users(nobody)[0], model.user_map_[0], atol=1e-6)
    other = rated(np.arange(ITEMS)[None] >= 30, table)
    assert np.abs(model.predict(other, np.zeros(ITEMS, int), np.arange(ITEMS)) - 3).max() < 3


def test_a_user_without_a_past_is_rated_finitely_and_an_items_offset_shows():
    _, table, there = low_rank()
    table[:, 0] += 1.5
    past = rated(there, table)
    nobody = past.where(np.zeros(len(past.items), bool)).take(np.array([0]))
    said = Latent(BLANK, width=4).fit(past).predict(nobody, np.zeros(ITEMS, int), np.arange(ITEMS))
    assert np.isfinite(said).all()
    assert said.argmax() == 0


def test_same_seed_same_ratings_and_another_seed_hardly_others():
    _, table, there = low_rank()
    past = rated(there, table)
    one, same, other = (
        Latent(BLANK, width=4, seed=s).fit(past).predict(past, past.users, past.items) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert 0 < np.abs(one - other).mean() < 0.15


def test_fitted_again_on_a_little_more_it_goes_on_from_where_it_was():
    _, table, there = low_rank()
    past, future = rated(there, table), rated(~there, table)
    more = there.copy()
    more[:, ::5] = True
    model = Latent(BLANK, width=4).fit(past)
    before = model.items_.copy()
    model.fit(rated(more, table))
    towards = (before[:, 1:] * model.items_[:, 1:]).sum() / np.linalg.norm(before[:, 1:]) ** 2
    assert towards > 0.7  # the same axes, not others turned anew
    left = future.where(future.items % 5 != 0)
    assert rmse(model, rated(more, table), left) < 0.5


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 2)])
def test_next_to_nothing_is_enough(shape):
    there, table = np.ones(shape, bool), np.full(shape, 4.0)
    model = Latent(np.zeros((shape[1], 1), np.float32)).fit(rated(there, table))
    past = rated(there, table)
    np.testing.assert_allclose(model.predict(past, past.users, past.items), 4, atol=0.05)
