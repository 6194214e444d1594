"""Ways to group users, behind one face, each frozen as spherical k-means is: centres, nearest by cosine.

    rows (users, width)  --kmeans | mixture | leiden | hdbscan-->  groups
                         --mean direction-->  centres (k, width)  --nearest-->  labels (users,)

Whatever found the groups, a user's segment is that of the nearest centre, so users to come are placed by the same rule.
What a method says beyond that, such as curved borders or users in no group, is lost on purpose; `labels` may therefore
differ from the groups at their edges.

`mixture` and `leiden` look at 10,000 users at most, `hdbscan` at 5,000, drawn at random, since the cost of the last two
grows with the square of the users; the others are placed. To these three a row of zeros, which points nowhere, shapes
no centre; it is placed with the first.
"""

from __future__ import annotations

import importlib
import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from shoal.errors import MissingExtraError
from shoal.segment.freeze import Found, count_of, frozen, largest, without_small
from shoal.segment.spherical import Clusters, cluster

Grouping = Callable[[np.ndarray, int, np.random.Generator], Clusters]
"""`(rows, n, rng)` to a clustering; rows are (users, width), one or more, of length one or zero."""

SAMPLE = 10_000  # users looked at, at most
SAMPLE_DENSE = 5_000  # by HDBSCAN, which holds the distance of each pair: 200 MB in float64
STARTS, ROUNDS = 3, 50  # of k-means
TRIES = 10  # starts where the groups are used or compared: fewer end in different places for the same users
EM_ROUNDS = 200
RIDGE = 0.001  # added to the variance along each axis, as a share of their mean
NEIGHBORS = 15  # of each user in the graph; and how many make a place dense
LEAST_SHARE = 0.01  # of users in a community that counts
CHEAP, DEAR = 2.0**-10, 2.0**10  # resolutions looked at
HALVINGS = 12  # of the interval of resolutions
LEAST_CLUSTER = 5  # users
BETWEEN = 4  # sizes tried between one that gives too few clusters and half of it, which gives too many


def kmeans(rows: np.ndarray, n: int, rng: np.random.Generator) -> Clusters:
    """Group by spherical k-means, the best of 3 starts; always `n` centres, of which some may have no row."""
    return cluster(rows, n, rng, n_init=STARTS, max_iter=ROUNDS)


def mixture(rows: np.ndarray, n: int, rng: np.random.Generator) -> Clusters:
    """Group by a mixture of `n` Gaussians with one covariance for all, each row with the likeliest.

    The covariance is tied, so nothing depends on which way the axes of a learnt space happen to lie, as it does where
    each group has a variance along each axis; and its borders are flat, as those between nearest centres are. It sees
    groups through a spread that all share and that is long in some directions, where k-means cuts along that spread;
    freezing loses a part of this. EM starts at `kmeans`, and a thousandth of the mean variance is added along each
    axis, so that fewer users than axes do not make it collapse. At most `n` centres: a component that is the likeliest
    for no row has none.
    """
    return frozen(rows, n, rng, _mixture, at_most=SAMPLE)


def leiden(rows: np.ndarray, n: int, rng: np.random.Generator) -> Clusters:
    """Group by communities of the graph of near users, found by the Leiden algorithm for modularity [1]_.

    Each user is tied to the 15 nearest by cosine; a tie that both ends see weighs double. The resolution is searched
    for `n` communities of at least 1 % of users (less where `n` is above 50). Users of smaller communities are placed.
    Where no resolution gives `n`, such as where the graph falls apart into more pieces, the `n` largest stay. At most
    `n` centres: a graph may hold fewer communities of that size. `n_iter` counts the resolutions that were tried.

    igraph draws from one generator for the whole process, so do not call this from several threads at once.

    Raises
    ------
    MissingExtraError
        igraph is not installed.

    References
    ----------
    .. [1] Traag, Waltman and van Eck, "From Louvain to Leiden: guaranteeing well-connected communities", Scientific
       Reports 9, 2019.
    """
    igraph = _igraph()
    return frozen(rows, n, rng, lambda rows, n, rng: _leiden(igraph, rows, n, rng), at_most=SAMPLE)


def hdbscan(rows: np.ndarray, n: int, rng: np.random.Generator) -> Clusters:
    """Group by density, HDBSCAN [1]_; it may return fewer than `n` centres.

    The least size of a group is halved from an n-th of the users down to 5, until there are `n` groups or more, and the
    last step is then gone through more finely. Where no size gives `n` groups, that with the most below `n` counts,
    else the `n` largest groups of that with the fewest above; where no place is denser than others, everyone is one
    group. Rows that are in no dense place are placed with the nearest centre: in a wide space these can be most of
    them. `n_iter` counts the sizes that were tried, and `converged` is whether one of them gave `n`.

    Groups are the leaves of the tree, not those with the most excess of mass as in [1]_: smaller sizes then only ever
    give more groups, so that a size can be searched for, and near groups are not taken for one that holds them all.

    References
    ----------
    .. [1] Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates", PAKDD 2013.
    """
    return frozen(rows, n, rng, _hdbscan, at_most=SAMPLE_DENSE)


METHODS: dict[str, Grouping] = {"kmeans": kmeans, "mixture": mixture, "leiden": leiden, "hdbscan": hdbscan}


def grouped(rows: np.ndarray, n: int, rng: np.random.Generator, method: str, *, rounds: int = 100) -> Clusters:
    """Group by a method of `METHODS`; by k-means with ten starts instead of three, of at most `rounds` rounds each."""
    if method == "kmeans":
        return cluster(rows, n, rng, n_init=TRIES, max_iter=rounds)
    return METHODS[method](rows, n, rng)


def _mixture(rows: np.ndarray, n: int, rng: np.random.Generator) -> Found:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    first = kmeans(rows, n, rng)
    wide = rows.astype(np.float64)
    ridge = max(RIDGE * float(wide.var(axis=0).mean()), 1e-6)
    sizes = np.bincount(first.labels, minlength=n) + 1.0  # no component starts with a weight of zero
    means = first.centers.astype(np.float64)
    for one in np.unique(first.labels):
        means[one] = wide[first.labels == one].mean(axis=0)
    rest = wide - means[first.labels]
    precision = np.linalg.inv(rest.T @ rest / len(wide) + ridge * np.eye(wide.shape[1]))
    model = GaussianMixture(
        n,
        covariance_type="tied",
        reg_covar=ridge,
        max_iter=EM_ROUNDS,
        weights_init=sizes / sizes.sum(),
        means_init=means,
        precisions_init=(precision + precision.T) / 2,
    )  # all of its start is given, so it draws nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` says so
        labels = model.fit_predict(wide)
    return Found(labels, int(model.n_iter_), bool(model.converged_))


def _leiden(igraph: Any, rows: np.ndarray, n: int, rng: np.random.Generator) -> Found:
    ties = _ties(rows)
    graph = igraph.Graph(n=len(rows), edges=np.column_stack(ties.coords).tolist())
    seed, weights, looks = int(rng.integers(2**31)), ties.data.tolist(), itertools.count(1)
    n_iter = 0

    def at(resolution: float) -> np.ndarray:
        nonlocal n_iter
        n_iter = next(looks)
        with _drawing(igraph, seed):
            found = graph.community_leiden("modularity", weights=weights, resolution=resolution, n_iterations=-1)
        return without_small(np.asarray(found.membership), max(2, math.ceil(min(LEAST_SHARE, 0.5 / n) * len(rows))))

    labels = _resolve(at, n)
    return Found(largest(labels, n), n_iter, count_of(labels) == n)


def _resolve(at: Callable[[float], np.ndarray], n: int) -> np.ndarray:
    """Return the communities at the resolution that gives `n`, else the fewest above, else the most.

    Their number rises with the resolution only until they become too small to count. So first the resolution doubles
    until there are enough, and only then the last step is halved.
    """
    low = high = CHEAP
    best = at(high)
    while count_of(best) < n and high < DEAR:
        low, high = high, 2 * high
        best = max(best, at(high), key=count_of)
    for _ in range(HALVINGS):
        if count_of(best) <= n or low == high:
            break
        middle = math.sqrt(low * high)
        found = at(middle)
        if count_of(found) < n:
            low = middle
        else:
            high, best = middle, min(best, found, key=count_of)
    return best


def _ties(rows: np.ndarray) -> sparse.coo_array:
    """Return each pair of near users once, with weight 1 where one is near to the other, 2 where each is to each."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBORS, len(rows) - 1)
    # Of rows of length one, the nearest by Euclid are the nearest by cosine, and are found faster.
    near = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(rows).kneighbors(return_distance=False)
    ends = (np.repeat(np.arange(len(rows)), count), near.ravel())
    sees = sparse.csr_array((np.ones(near.size), ends), shape=(len(rows), len(rows)))
    return sparse.triu(sees + sees.T, k=1, format="coo")


def _igraph() -> Any:
    try:
        return importlib.import_module("igraph")
    except ImportError:
        raise MissingExtraError(
            "Segments by leiden need igraph, which is not installed. Install it with: pip install 'shoal[communities]'"
        ) from None


@contextmanager
def _drawing(igraph: Any, seed: int) -> Iterator[None]:
    """Let igraph draw from a seed, and again from where it draws by default afterwards."""
    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def _hdbscan(rows: np.ndarray, n: int, rng: np.random.Generator) -> Found:
    from sklearn.cluster import HDBSCAN

    tries: dict[int, np.ndarray] = {}
    samples = min(NEIGHBORS, len(rows))  # the same for every size, so that only the size changes

    def count(size: int) -> int:
        model = HDBSCAN(
            min_cluster_size=size,
            min_samples=samples,
            cluster_selection_method="leaf",
            algorithm="brute",  # in a wide space looking at every pair is faster than trees
            copy=True,
        )
        tries[size] = model.fit_predict(rows)
        return count_of(tries[size])

    size = max(len(rows) // n, LEAST_CLUSTER)
    while (found := count(size)) < n and size // 2 >= LEAST_CLUSTER:
        size //= 2
    few, many = 2 * size, size
    for _ in range(BETWEEN if found > n and len(tries) > 1 else 0):
        if found == n or few - many < 2:
            break
        size = round(math.sqrt(few * many))
        found = count(size)
        few, many = (size, many) if found < n else (few, size)
    return _chosen(list(tries.values()), n)


def _chosen(tries: list[np.ndarray], n: int) -> Found:
    """Return that with `n` groups, else the most below, else the `n` largest of the fewest above, else none."""
    counts = [count_of(labels) for labels in tries]
    best = min(range(len(tries)), key=lambda i: (counts[i] == 0, counts[i] != n, counts[i] > n, abs(counts[i] - n)))
    return Found(largest(tries[best], n), len(tries), counts[best] == n)
