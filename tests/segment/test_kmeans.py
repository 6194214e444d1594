"""Spherical k-means as an estimator: scikit-learn's contract, known answers, laws."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from shoal.segment.kmeans import SphericalKMeans


@parametrize_with_checks([SphericalKMeans(n_clusters=3, n_init=2, random_state=0)])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.eye(5)[np.repeat([0, 1, 2], [10, 20, 30])] + rng.normal(0, 0.05, (60, 5))


def test_length_does_not_count(rows):
    lengths = np.random.default_rng(1).uniform(0.01, 100, (60, 1))
    first = SphericalKMeans(3, random_state=0).fit(rows)
    second = SphericalKMeans(3, random_state=0).fit(rows * lengths)
    assert first.labels_.tolist() == second.labels_.tolist()
    np.testing.assert_allclose(first.transform(rows), second.transform(rows * lengths), atol=1e-9)


def test_the_largest_cluster_is_number_0(rows):
    assert np.bincount(SphericalKMeans(3, random_state=0).fit_predict(rows)).tolist() == [30, 20, 10]


def test_order_of_rows_does_not_change_planted_clusters(rows):
    order = np.random.default_rng(2).permutation(60)
    first, second = (SphericalKMeans(3, random_state=0).fit_predict(x) for x in (rows, rows[order]))
    assert adjusted_rand_score(first[order], second) == 1.0


def test_predict_on_the_training_rows_gives_the_labels(rows):
    model = SphericalKMeans(3, random_state=0).fit(rows)
    assert model.predict(rows).tolist() == model.labels_.tolist()
    assert model.transform(rows).argmax(axis=1).tolist() == model.labels_.tolist()


def test_inertia_is_the_sum_of_one_minus_the_cosine_to_the_own_centre(rows):
    model = SphericalKMeans(3, random_state=0).fit(rows)
    assert model.inertia_ == pytest.approx((1 - model.transform(rows).max(axis=1)).sum())
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1)


def test_a_row_of_zeros_goes_to_the_largest_cluster(rows):
    assert SphericalKMeans(3, random_state=0).fit(rows).predict(np.zeros((1, 5))).tolist() == [0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(rows, dtype):
    model = SphericalKMeans(3, random_state=0).fit(rows.astype(dtype))
    assert model.cluster_centers_.dtype == model.transform(rows.astype(dtype)).dtype == dtype


def test_too_few_directions_are_told():
    with pytest.warns(ConvergenceWarning, match="Only 2 of 3 clusters have rows"):
        SphericalKMeans(3, random_state=0).fit(np.eye(2)[[0, 0, 1, 1]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_clusters": 0}, "n_clusters = 0: must be an integer of 1 or more"),
        ({"n_clusters": 2.5}, "n_clusters = 2.5"),
        ({"n_init": 0}, "n_init = 0"),
        ({"max_iter": -1}, "max_iter = -1"),
        ({"tol": -0.1}, "tol = -0.1: must be a number of 0 or more"),
        ({"n_clusters": 61}, "n_samples=60 should be >= n_clusters=61"),
    ],
)
def test_a_parameter_out_of_range_is_named(rows, values, message):
    with pytest.raises(ValueError, match=message):
        SphericalKMeans(**values).fit(rows)


def test_unfitted_use_says_so(rows):
    with pytest.raises(NotFittedError):
        SphericalKMeans(3).predict(rows)
