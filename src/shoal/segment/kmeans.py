"""Spherical k-means as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from shoal.segment.spherical import cluster, nearest, unit


class SphericalKMeans(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Groups rows by direction: each row goes to the centre with the largest cosine [1]_.

    A row's length does not count. A row of zeros has no direction; its cosine to every centre is 0, and by convention
    it goes to cluster 0, the largest. Clusters are numbered by falling size, those of one size by their first row, so
    that numbers are stable.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, at most the number of rows.
    n_init : int
        Runs from new centres (k-means++); the one with the smallest inertia stays.
    max_iter : int
        Rounds of one run, at most.
    tol : float
        A run ends when its centres move by no more than this: the mean of 1 - cosine between old and new.
    random_state : int, numpy.random.RandomState or None
        Same integer, same clusters.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Mean directions, rows of length one.
    labels_ : ndarray of shape (n_samples,), int32
    inertia_ : float
        Sum over rows of 1 - cosine to the own centre.
    n_iter_ : int
        Rounds of the best run.
    n_features_in_ : int

    References
    ----------
    .. [1] Dhillon and Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning
       42, 2001. Ours seeds with k-means++ on 1 - cosine, and gives an empty cluster the row that fits worst.

    Examples
    --------
    >>> import numpy as np
    >>> SphericalKMeans(2, random_state=0).fit_predict(np.array([[1.0, 0], [9, 1], [8, 0], [0, 2]])).tolist()
    [0, 0, 0, 1]
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_init: int = 10,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the clusters of the rows of `X`, shape (n_samples, n_features); float32 and float64 stay what they are.

        Raises
        ------
        ValueError
            A parameter is out of range, or there are fewer rows than clusters.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        self._check_parameters(len(X))
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        with threadpool_limits(1, user_api="blas"):
            found = cluster(unit(X), self.n_clusters, rng, n_init=self.n_init, max_iter=self.max_iter, tol=self.tol)
        used = int(found.labels.max()) + 1
        if used < self.n_clusters:
            warnings.warn(
                f"Only {used} of {self.n_clusters} clusters have rows: X holds too few distinct directions.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.cluster_centers_, self.labels_ = found.centers, found.labels
        self.inertia_, self.n_iter_ = found.inertia, found.n_iter
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the cluster of each row, shape (n_samples,), int32."""
        return nearest(self._rows(X), self.cluster_centers_)[0]

    def transform(self, X: Any) -> np.ndarray:
        """Return the cosine of each row to each centre, shape (n_samples, n_clusters), -1 to 1."""
        return self._rows(X) @ self.cluster_centers_.T

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows = unit(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))
        return rows.astype(self.cluster_centers_.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def _check_parameters(self, n_samples: int) -> None:
        for name in ("n_clusters", "n_init", "max_iter"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} = {value!r}: must be an integer of 1 or more.")
        if not isinstance(self.tol, Real) or self.tol < 0:
            raise ValueError(f"tol = {self.tol!r}: must be a number of 0 or more.")
        if n_samples < self.n_clusters:
            raise ValueError(f"n_samples={n_samples} should be >= n_clusters={self.n_clusters}.")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
