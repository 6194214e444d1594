"""Groupings behind one face."""

from __future__ import annotations

import importlib.util
import itertools
import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import adjusted_rand_score

from shoal.errors import MissingExtraError
from shoal.segment import methods
from shoal.segment.freeze import count_of, of_labels
from shoal.segment.methods import METHODS, leiden
from shoal.segment.spherical import nearest, unit

needs_igraph = pytest.mark.skipif(importlib.util.find_spec("igraph") is None, reason="igraph is not installed")
every = pytest.mark.parametrize(
    "method", [pytest.param(m, marks=needs_igraph if m == "leiden" else ()) for m in METHODS]
)


def blobs(k: int = 4, each: int = 150, width: int = 16, noise: float = 0.5, seed: int = 0) -> tuple:
    """Rows around k directions drawn at random, and which each belongs to."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(k), each)
    rows = unit(rng.normal(size=(k, width)))[truth] + rng.normal(0, noise / width**0.5, (k * each, width))
    return unit(rows.astype(np.float32)), truth


def group(method: str, rows: np.ndarray, n: int, seed: int = 1):
    return METHODS[method](rows, n, np.random.default_rng(seed))


def holds(found, rows: np.ndarray, n: int) -> None:
    """The contract of every grouping."""
    k = len(found.centers)
    assert 1 <= k <= n
    assert found.centers.shape == (k, rows.shape[1])
    assert found.centers.dtype == rows.dtype
    assert found.labels.shape == (len(rows),)
    assert found.labels.dtype == np.int32
    np.testing.assert_allclose(np.linalg.norm(found.centers, axis=1), 1, atol=1e-5)
    _, cosine = nearest(rows, found.centers)
    chosen = np.einsum("ij,ij->i", rows, found.centers[found.labels])
    np.testing.assert_allclose(chosen, cosine, atol=1e-5)  # up to ties, which go to either
    sizes = np.bincount(found.labels, minlength=k)
    assert (np.diff(sizes) <= 0).all()
    assert found.inertia == pytest.approx(float((1 - cosine).sum()), abs=1e-2)
    assert found.n_iter >= 0
    assert isinstance(found.converged, bool)


@every
@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_found_up_to_their_labels(method, seed):
    rows, truth = blobs(seed=seed)
    found = group(method, rows, 4)
    assert adjusted_rand_score(truth, found.labels) >= 0.95
    assert len(found.centers) == 4
    assert found.converged


@every
def test_planted_groups_of_unlike_size_are_numbered_by_falling_size(method):
    rows, truth = blobs()
    kept = np.concatenate([np.flatnonzero(truth == one)[:size] for one, size in enumerate((60, 150, 90, 120))])
    found = group(method, rows[kept], 4)
    assert np.bincount(found.labels).tolist() == [150, 120, 90, 60]


@every
def test_same_seed_same_labels(method):
    rows, _ = blobs(noise=2.0)
    one, two = (group(method, rows, 4, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.centers, two.centers)


@every
def test_the_order_of_rows_does_not_matter(method):
    rows, _ = blobs()
    order = np.random.default_rng(3).permutation(len(rows))
    there, back = group(method, rows, 4), group(method, rows[order], 4)
    assert adjusted_rand_score(there.labels[order], back.labels) == 1


@every
@pytest.mark.parametrize("n", [1, 2, 3, 6, 11])
def test_every_method_keeps_the_contract_where_groups_are_blurred(method, n):
    rows, _ = blobs(noise=2.0)
    holds(group(method, rows, n), rows, n)


@every
def test_every_method_keeps_the_contract_where_there_are_no_groups(method):
    rows = unit(np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))
    holds(group(method, rows, 3), rows, 3)


@every
def test_asking_for_fewer_than_there_are_gives_no_more_than_asked(method):
    rows, _ = blobs(k=6, each=60)
    holds(group(method, rows, 2), rows, 2)


@every
def test_rows_all_alike_are_one_segment(method):
    rows = np.tile(np.array([[0.6, 0.8, 0]], np.float32), (80, 1))
    found = group(method, rows, 3)
    assert set(found.labels) == {0}
    np.testing.assert_allclose(found.centers[0], rows[0], atol=1e-6)


@every
@pytest.mark.parametrize("users", [1, 2, 3, 4, 6])
def test_few_rows_do(method, users):
    rows = np.eye(6, dtype=np.float32)[:users]
    found = group(method, rows, 3)
    assert len(found.labels) == users
    assert found.labels.max() < len(found.centers) <= 3


@every
def test_rows_of_zeros_are_placed_with_the_first_and_move_no_centre(method):
    rows, truth = blobs()
    found = group(method, np.concatenate([rows, np.zeros((30, 16), np.float32)]), 4)
    assert set(found.labels[len(rows) :]) == {0}
    assert adjusted_rand_score(truth, found.labels[: len(rows)]) >= 0.95


@every
def test_nothing_but_zeros_is_one_segment(method):
    assert set(group(method, np.zeros((20, 4), np.float32), 3).labels) == {0}


@every
def test_of_many_users_a_sample_is_grouped_and_the_others_are_placed(method, monkeypatch):
    monkeypatch.setattr(methods, "SAMPLE", 200)
    monkeypatch.setattr(methods, "SAMPLE_DENSE", 200)
    rows, truth = blobs()
    found = group(method, rows, 4)
    holds(found, rows, 4)
    assert adjusted_rand_score(truth, found.labels) >= 0.95


def test_few_users_in_a_wide_space_do_not_make_a_mixture_collapse():
    rows, truth = blobs(each=20, width=200, noise=1.0)
    assert adjusted_rand_score(truth, group("mixture", rows, 4).labels) >= 0.95


def test_a_mixture_sees_groups_through_a_long_spread_that_all_share():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 200)
    spread = np.r_[np.full(4, 0.1), 1.5, np.full(7, 0.1)]  # along an axis that tells no groups apart
    rows = unit((np.eye(12)[truth] + rng.normal(size=(800, 12)) * spread).astype(np.float32))
    by_mixture, by_kmeans = (adjusted_rand_score(truth, group(m, rows, 4).labels) for m in ("mixture", "kmeans"))
    assert by_mixture > by_kmeans + 0.2


def test_a_mixture_does_not_depend_on_which_way_the_axes_lie():
    rows, _ = blobs(noise=1.5)
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))
    turned = unit((rows @ turn).astype(np.float32))
    assert adjusted_rand_score(group("mixture", rows, 4).labels, group("mixture", turned, 4).labels) > 0.99


def test_leiden_without_igraph_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shoal.communities.'"):
        leiden(blobs()[0], 4, np.random.default_rng(0))


@needs_igraph
def test_leiden_neither_reads_nor_moves_the_generator_of_the_process():
    rows, _ = blobs(noise=2.0)
    random.seed(1)
    before = random.getstate()
    one = group("leiden", rows, 4).labels
    assert random.getstate() == before
    random.seed(2)
    np.testing.assert_array_equal(one, group("leiden", rows, 4).labels)


def test_near_users_are_tied_once_and_doubly_where_both_see_it(monkeypatch):
    monkeypatch.setattr(methods, "NEIGHBORS", 1)
    angles = np.array([0.0, 0.1, 0.3])  # the last is nearest to nobody
    ties = methods._ties(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert sorted(zip(*ties.coords, ties.data, strict=True)) == [(0, 1, 2.0), (1, 2, 1.0)]


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_the_resolution_is_searched_for_the_number_asked(n):
    def at(resolution: float) -> np.ndarray:  # ever more groups, and none above 20
        return np.arange(min(int(3 * resolution**0.5) + 1, 20) if resolution < 50 else 0)

    assert count_of(methods._resolve(at, n)) == n


def test_a_resolution_with_too_many_is_better_than_one_with_too_few():
    def at(resolution: float) -> np.ndarray:
        return np.arange(2 if resolution < 1 else 5)

    assert count_of(methods._resolve(at, 3)) == 5


@pytest.mark.parametrize(
    ("counts", "best"),
    [((0, 2, 4, 3), 3), ((0, 2, 5), 2), ((0, 7, 5), 5), ((0, 0), 0), ((1, 2, 9), 2)],
)
def test_of_several_sizes_that_with_the_number_asked_counts_or_the_most_below(counts, best):
    n = 3
    for order in itertools.permutations(counts):
        found = methods._chosen([np.r_[np.arange(c), -1] for c in order], n)
        assert count_of(found.labels) == min(best, n)
        assert found.converged == (best == n)


def test_a_size_between_two_halvings_is_found():
    truth = np.repeat(np.arange(6), (400, 150, 140, 120, 110, 80))  # 333 and 166 give too few, 83 gives too many
    rows = np.eye(6, dtype=np.float32)[truth] + np.random.default_rng(0).normal(0, 0.02, (1000, 6)).astype(np.float32)
    found = group("hdbscan", unit(rows), 3)
    assert found.converged
    nearest_axes = np.abs(found.centers).argmax(axis=1)
    assert set(nearest_axes) == {0, 1, 2}


@given(arrays(np.float32, (12, 3), elements=st.floats(-1, 1, width=32)), arrays(int, 12, elements=st.integers(-1, 4)))
def test_any_labels_can_be_frozen(rows, labels):
    rows = unit(np.concatenate([rows, np.eye(3, dtype=np.float32)[:1]]))
    labels = np.append(labels, 0)
    holds(of_labels(rows, labels), rows, 5)


def test_freezing_the_labels_of_separate_groups_keeps_them():
    rows, truth = blobs()
    found = of_labels(rows, truth + 10)
    assert adjusted_rand_score(truth, found.labels) == 1
    np.testing.assert_allclose(found.centers[0], unit(rows[truth == 0].mean(axis=0, keepdims=True))[0], atol=1e-6)


def test_rows_in_no_group_are_placed_and_move_no_centre():
    rows = unit(np.array([[1, 0], [1, 0], [0, 1], [0.2, 1]], np.float32))
    found = of_labels(rows, np.array([0, 0, 1, -1]))
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1])
    np.testing.assert_allclose(found.centers, np.eye(2), atol=1e-6)


def test_a_group_whose_rows_cancel_out_has_its_first_row_as_centre():
    rows = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    found = of_labels(rows, np.array([0, 0, 1]))
    assert [1.0, 0.0] in found.centers.tolist()
