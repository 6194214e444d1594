"""Parts of lookalikes with known answers: nearness, hidden events, tastes."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.likeness import found_again, hide, nearness, tastes


def pasts(*users, times=True) -> Histories:
    items = np.concatenate([np.asarray(u, np.int32) for u in users])
    starts = np.concatenate([[0], np.cumsum([len(u) for u in users])])
    at = np.arange(len(items), dtype=float) if times else np.full(len(items), np.nan)
    return Histories(starts, items, np.full(len(items), np.nan), at, 100)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_nearness_is_the_mean_cosine_to_the_nearest_five():
    seeds = unit(np.random.default_rng(0).normal(size=(12, 4)))
    rows = unit(np.random.default_rng(1).normal(size=(9, 4)))
    truth = np.sort(rows @ seeds.T, axis=1)[:, -5:].mean(1)
    np.testing.assert_allclose(nearness(rows, seeds), truth, rtol=1e-5)


def test_a_seed_is_not_near_to_itself():
    seeds = unit(np.eye(3) + 0.01)
    own = nearness(seeds, seeds, np.arange(3))
    assert (own < 0.1).all()
    assert nearness(seeds[:1], seeds)[0] > own[0]


def test_the_newest_fifth_is_hidden_and_one_event_at_least():
    some = pasts(range(10), range(20, 23), [40])
    hidden = hide(some, np.random.default_rng(0))
    assert some.items[hidden].tolist() == [8, 9, 22]  # one event alone stays visible


def test_without_times_random_events_are_hidden():
    some = pasts(range(50), range(50), times=False)
    one, other = (hide(some, np.random.default_rng(s)) for s in (0, 1))
    assert one.sum() == other.sum() == 20
    assert (one != other).any()
    assert some.users[one].tolist() == [0] * 10 + [1] * 10


def test_taste_is_high_for_what_seeds_like_and_near_nothing_for_the_usual():
    seeds = [[0, 1, 2, 3, 4]] * 6
    alike, others = [5, 6, 7, 8, 0], [[50 + i, 60 + i, 70, 71, 90] for i in range(6)]
    some = pasts(*seeds, alike, *others)
    hidden = np.zeros(len(some.items), bool)
    hidden[some.starts[1:] - 1] = True
    found = tastes(some, hidden, 6)
    assert found[6] > 0.5
    assert (found[7:] < -0.5).all()


def test_a_seeds_own_events_do_not_speak_for_it():
    some = pasts([0, 1, 2, 3, 99], [10, 11, 12, 13, 14], [20, 21, 22, 23, 24], [0, 11, 22, 33, 44])
    hidden = np.zeros(len(some.items), bool)
    hidden[some.starts[1:] - 1] = True
    found = tastes(some, hidden, 3)
    assert found[0] == pytest.approx(np.log(5 / 7))  # nobody else of the list has 99: what is left is the prior


def test_a_list_without_anything_in_common_is_found_by_chance():
    rows = unit(np.random.default_rng(0).normal(size=(600, 8)))
    chance, low, high = found_again(rows, np.arange(60), np.arange(60, 600), seed=0)
    assert low < 0.5 < high
    rows[:60, 0] += 2
    chance, low, _ = found_again(unit(rows), np.arange(60), np.arange(60, 600), seed=0)
    assert chance > low > 0.8
