"""The numerics of spherical k-means."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoal.segment import spherical
from shoal.segment.spherical import cluster, improve, nearest, seed_centers, unit

finite = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def bundles(k: int = 3, each: int = 20, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around k axes, and which axis each belongs to."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(k), each)
    rows = np.eye(width, dtype=np.float32)[truth] + rng.normal(0, 0.05, (k * each, width)).astype(np.float32)
    return unit(rows), truth


@given(arrays(np.float32, (5, 3), elements=finite))
def test_unit_rows_have_length_one_and_rows_of_zeros_stay_zero(rows):
    lengths = np.linalg.norm(unit(rows), axis=1)
    np.testing.assert_allclose(lengths, rows.any(axis=1).astype(float), atol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_unit_neither_overflows_nor_vanishes(size):
    np.testing.assert_allclose(unit(np.array([[3, 4]], np.float32) * np.float32(size)), [[0.6, 0.8]], rtol=1e-6)


def test_unit_leaves_its_argument_alone():
    rows = np.array([[3.0, 4.0]])
    unit(rows)
    assert rows.tolist() == [[3.0, 4.0]]


def test_nearest_in_blocks_is_nearest_at_once(monkeypatch):
    rows, _ = bundles()
    whole = nearest(rows, rows[:7])
    monkeypatch.setattr("shoal.segment.spherical.BLOCK", 64)
    for ours, theirs in zip(nearest(rows, rows[:7]), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_seeds_are_distinct_rows_while_there_are_distinct_rows():
    rows = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    for seed in range(20):
        assert len(np.unique(seed_centers(rows, 4, np.random.default_rng(seed)), axis=0)) == 4


def test_bundles_are_found_up_to_their_labels():
    rows, truth = bundles()
    labels = cluster(rows, 3, np.random.default_rng(1)).labels
    assert len({(a, b) for a, b in zip(labels.tolist(), truth.tolist(), strict=True)}) == 3


def test_a_centre_without_rows_starts_again_at_the_row_that_fits_worst():
    rows, _ = bundles(k=3)
    start = unit(np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [-1, -1, -1, 0, 0, 0]], np.float32))
    found = improve(rows, start, max_iter=50, tol=0.0)
    assert np.bincount(found.labels, minlength=3).tolist() == [20, 20, 20]


def test_more_centres_than_distinct_rows_end_and_leave_the_last_ones_empty():
    found = cluster(np.repeat(np.eye(2, dtype=np.float32), 3, axis=0), 4, np.random.default_rng(0))
    assert np.bincount(found.labels, minlength=4)[:2].tolist() == [3, 3]
    assert np.isfinite(found.centers).all()


def test_rows_that_cancel_out_keep_their_centre():
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]])
    found = improve(rows, np.array([[0.0, 1.0]]), max_iter=10, tol=0.0)
    assert found.centers.tolist() == [[0.0, 1.0]]


def test_clusters_are_numbered_by_falling_size_and_equal_sizes_by_their_first_row():
    rows = np.eye(3)[[2, 0, 1, 1, 0, 1]]
    assert cluster(rows, 3, np.random.default_rng(0)).labels.tolist() == [2, 1, 0, 0, 1, 0]
    assert cluster(np.eye(3)[[2, 0, 1]], 3, np.random.default_rng(3)).labels.tolist() == [0, 1, 2]


@given(st.integers(0, 50))
def test_inertia_never_rises_with_another_round(seed):
    rows = unit(np.random.default_rng(seed).normal(size=(40, 5)))
    start = seed_centers(rows, 4, np.random.default_rng(seed))
    inertias = [improve(rows, start, max_iter=rounds, tol=0.0).inertia for rounds in range(5)]
    assert all(later <= before + 1e-9 for before, later in itertools.pairwise(inertias))


def test_blocks_looked_at_at_once_give_the_same_as_one_after_the_other(monkeypatch):
    rows = unit(np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32))
    monkeypatch.setattr(spherical, "BLOCK_ROWS", 256)
    one = cluster(rows, 5, np.random.default_rng(1), n_init=2)
    monkeypatch.setattr(spherical, "MANY_ROWS", 1)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    other = cluster(rows, 5, np.random.default_rng(1), n_init=2)
    np.testing.assert_array_equal(one.centers, other.centers)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_centres_that_are_given_come_first_and_the_others_are_drawn_far_from_them():
    rows = np.eye(3)[[0] * 50 + [1] * 50 + [2]]
    centers = seed_centers(rows, 3, np.random.default_rng(0), first=np.eye(3)[:2])
    np.testing.assert_array_equal(centers, np.eye(3))


def test_a_centre_with_an_anchor_of_zeros_is_free():
    rows = unit(np.random.default_rng(0).normal(size=(60, 4)))
    centers = rows[:3]
    free = improve(rows, centers, max_iter=20, tol=0)
    same = improve(rows, centers, max_iter=20, tol=0, anchors=np.zeros_like(centers))
    np.testing.assert_allclose(free.centers, same.centers)
