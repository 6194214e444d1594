"""Near the last run: old members hold the centres, and the number stays unless the evidence is clear."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from shoal.segment.cluster import fit_segments
from shoal.segment.near import anchors_of, near
from shoal.segment.spherical import unit


def blobs(sizes, *, spread=0.15, width=16, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in groups of those sizes around random directions, and the group of each."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.normal(size=(len(sizes), width)))
    group = np.repeat(np.arange(len(sizes)), sizes)
    return (directions[group] + spread * rng.normal(size=(len(group), width))).astype(np.float32), group


def fitted(vectors, start=None, n=None):
    return fit_segments(vectors, np.full(len(vectors), 9), n=n, at_most=8, min_events=5, seed=0, start=start)


def placed(found, vectors) -> np.ndarray:
    return found.assign(vectors, np.full(len(vectors), 9))[0]


def test_anchors_are_the_mean_directions_of_old_members():
    rows = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    np.testing.assert_allclose(anchors_of(rows, np.array([4, 4, 9, -1])), np.eye(3)[:2])


def test_without_two_old_segments_there_is_nothing_to_stay_near():
    rows = np.eye(3, dtype=np.float32)
    assert anchors_of(rows, np.array([-1, -1, -1])) is None
    assert anchors_of(rows, np.array([2, 2, -1])) is None


def test_a_held_centre_stays_half_way():
    rows = np.array([[0, 1]] * 10, np.float32)
    found = near(rows, 1, np.array([[1, 0]], np.float32), np.random.default_rng(0))
    np.testing.assert_allclose(found.centers, [[np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-3)


def test_in_a_turned_space_everybody_stays():
    vectors, group = blobs([80, 60, 60, 40])
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0].astype(np.float32)
    found = fitted(vectors @ turn, start=group)
    assert "4 segments, as many as before" in found.reason
    assert adjusted_rand_score(group, placed(found, vectors @ turn)) == 1


def test_a_coarser_grouping_than_the_best_is_kept_where_it_holds():
    vectors, group = blobs([60, 60, 60, 60], spread=0.3)
    coarse = np.array([0, 0, 1, 1])[group]
    assert fitted(vectors, start=coarse, n=2).n == 2
    assert adjusted_rand_score(coarse, placed(fitted(vectors, start=coarse, n=2), vectors)) > 0.9


def test_a_new_group_becomes_a_segment():
    vectors, group = blobs([60, 60, 60, 60])
    found = fitted(vectors, start=np.where(group == 3, -1, group))
    assert found.n == 4
    assert adjusted_rand_score(group, placed(found, vectors)) == 1


def test_a_group_that_has_gone_is_given_up():
    vectors, group = blobs([60, 60, 60, 6])
    found = fitted(vectors, start=group)
    assert found.n == 3
    assert adjusted_rand_score(group[:180], placed(found, vectors)[:180]) == 1


def test_old_segments_that_mean_nothing_any_more_are_no_start():
    vectors, group = blobs([60, 60, 60])
    old = np.random.default_rng(0).integers(0, 5, len(group))
    found = fitted(vectors, start=old)
    assert adjusted_rand_score(group, placed(found, vectors)) == 1


def test_fewer_than_before_start_afresh_where_the_number_is_asked_for():
    vectors, group = blobs([60, 60, 60])
    found = fitted(vectors, start=np.arange(180) % 5, n=3)
    assert adjusted_rand_score(group, placed(found, vectors)) == 1


@pytest.mark.parametrize("n", [None, 5])
def test_the_same_start_gives_the_same_segments_whatever_the_numbers_are(n):
    vectors, group = blobs([80, 70, 60], spread=0.4)
    found, again = fitted(vectors, start=group, n=n), fitted(vectors, start=group * 3 + 7, n=n)
    np.testing.assert_array_equal(found.centers, again.centers)
