"""Whether segments come out the same again."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.segment.agree import jaccard
from shoal.segment.spherical import cluster, nearest, unit
from shoal.segment.stability import from_halves, from_other_events, from_other_users, staying


def blobs(n: int, seed: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = np.eye(6)[np.arange(n) % 3]
    return unit((centers + spread * rng.normal(size=(n, 6))).astype(np.float32))


def by_three(rows, rng):
    centers = cluster(rows, 3, rng).centers
    return lambda others: nearest(others, centers)[0]


def labels_of(rows):
    return by_three(rows, np.random.default_rng(0))(rows)


def test_jaccard_counts_members_in_common_of_those_in_either():
    one = np.array([0, 0, 0, 1, 1, 2])
    other = np.array([2, 2, 1, 1, 1, 0])
    assert jaccard(one, other, 3).tolist() == pytest.approx([2 / 3, 2 / 3, 1])


def test_a_segment_that_is_left_over_has_nothing_in_common():
    assert jaccard(np.array([0, 0, 1, 1]), np.zeros(4, int), 2).tolist() == [0.5, 0]


def test_clear_groups_come_back_from_other_users_and_from_noise_they_do_not():
    clear, noise = blobs(300, 0, 0.1), blobs(300, 1, 100.0)
    found = from_other_users(clear, labels_of(clear), by_three, 3, times=5, seed=0)
    assert found.jaccard.shape == (5, 3)
    assert found.jaccard.min() > 0.97
    assert found.rand.min() > 0.97
    lost = from_other_users(noise, labels_of(noise), by_three, 3, times=5, seed=0)
    assert lost.jaccard.mean() < 0.7


def test_the_same_seed_draws_the_same_users():
    rows = blobs(100, 0, 1.0)
    one, other = (from_other_users(rows, labels_of(rows), by_three, 3, times=3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.jaccard, other.jaccard)


def test_other_events_and_halves_that_say_the_same_agree_and_those_that_do_not_disagree():
    rows, again, strange = blobs(300, 0, 0.1), blobs(300, 2, 0.1), blobs(300, 3, 100.0)
    assert from_other_events([again, again], labels_of(rows), by_three, 3, seed=0).rand.min() > 0.97
    assert from_halves([(rows, again)], by_three, 3, seed=0).rand[0] > 0.97
    assert from_halves([(rows, strange)], by_three, 3, seed=0).rand[0] < 0.1


def test_the_share_that_stays_is_told_for_each_segment_with_its_interval():
    before = np.repeat([0, 1, 2], [100, 100, 0])
    after = np.concatenate([np.repeat([0, 1], [80, 20]), np.repeat([1, 2], [100, 0])])
    told = staying(before, after, 3, seed=0)
    assert told[0, 0] == 0.8
    assert told[0, 1] == pytest.approx(0.72, abs=0.02)
    assert told[0, 2] == pytest.approx(0.87, abs=0.02)
    assert told[1].tolist() == [1, 1, 1]
    assert np.isnan(told[2]).all()
