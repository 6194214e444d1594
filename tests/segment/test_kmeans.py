"""Spherical k-means: known answers, laws, and scikit-learn's own contract."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from shoal.segment.kmeans import SphericalKMeans


@parametrize_with_checks([SphericalKMeans(n_clusters=3, n_init=2, random_state=0)])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)
