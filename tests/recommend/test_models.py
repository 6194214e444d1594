"""Single models against other implementations and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from shoal.data.histories import Histories
from shoal.recommend.by_segment import BySegment
from shoal.recommend.factors import Factors
from shoal.recommend.item_item import ItemItem, strongest
from shoal.recommend.popularity import Popularity
from shoal.recommend.standard import hide, standardise, top
from shoal.recommend.text import TextMap
from shoal.recommend.tune import HeldOut


def pasts(matrix: np.ndarray, times: np.ndarray | None = None) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    times = np.full(len(items), np.nan) if times is None else times
    return Histories(starts, items.astype(np.int32), np.full(len(items), 4, np.float32), times, matrix.shape[1])


def random_matrix(users: int, items: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).random((users, items)) < 0.3
    matrix[0] = True  # every item is used, every user has something
    matrix[:, 0] = True
    return matrix


def ease(matrix: np.ndarray, l2: float) -> np.ndarray:
    """Steck 2019, algorithm 1."""
    gram = matrix.T @ matrix
    gram[np.diag_indices(len(gram))] += l2
    inverse = np.linalg.inv(gram)
    weights = inverse / (-np.diag(inverse))
    weights[np.diag_indices(len(weights))] = 0
    return matrix @ weights


@pytest.mark.parametrize(("users", "items"), [(50, 20), (12, 40)])
def test_item_item_equals_ease_of_the_paper_whichever_matrix_is_inverted(users, items):
    matrix = random_matrix(users, items)
    ours = ItemItem(7.0, keep=10_000).fit(pasts(matrix)).score(pasts(matrix))
    np.testing.assert_allclose(ours, ease(matrix.astype(float), 7.0), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(("users", "items"), [(50, 20), (12, 40)])
def test_item_item_comes_back_from_its_tensors(users, items):
    past = pasts(random_matrix(users, items))
    model = ItemItem(7.0).fit(past)
    np.testing.assert_array_equal(ItemItem(7.0).restore(model.tensors()).score(past), model.score(past))


def test_dropout_penalises_popular_items():
    past = pasts(random_matrix(60, 20))
    plain, dropped = (ItemItem(7.0, p).fit(past).solved_.weights.toarray() for p in (0.0, 0.5))
    assert np.abs(dropped).sum() < np.abs(plain).sum()


def test_only_the_strongest_weights_of_each_column_are_kept():
    weights = np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32)
    kept = strongest(weights, 5).toarray()
    for column in range(30):
        left = np.flatnonzero(kept[:, column])
        assert set(left) == set(np.argsort(-np.abs(weights[:, column]))[:5])
        np.testing.assert_array_equal(kept[left, column], weights[left, column])


def test_items_beyond_the_limit_are_unknown():
    past = pasts(random_matrix(60, 20))
    scores = ItemItem(7.0, max_items=10).fit(past).score(past)
    assert np.isnan(scores).all(0).sum() == 10


def test_factors_fold_users_in_as_implicit_does():
    from implicit.cpu.als import AlternatingLeastSquares

    past = pasts(random_matrix(40, 30))
    ours = Factors(6, 2.0, 3.0, iterations=5, seed=1).fit(past)
    theirs = AlternatingLeastSquares(factors=6, regularization=2.0, alpha=3.0, num_threads=1)
    theirs.item_factors = ours.items_.copy()
    expected = theirs.recalculate_user(np.arange(40), past.matrix())
    np.testing.assert_allclose(ours.users(past), expected, rtol=1e-3, atol=1e-4)


def test_popularity_counts_and_decays():
    matrix = np.array([[1, 1, 0], [1, 0, 0]])
    times = np.array([0.0, 30.0, 30.0])  # item 0 on day 0, item 1 on day 30, item 0 on day 30
    plain = Popularity().fit(pasts(matrix, times)).scores_
    np.testing.assert_allclose(plain[:2], np.log1p([2, 1]), atol=2e-4)
    assert np.isnan(plain[2])
    decayed = Popularity(30.0).fit(pasts(matrix, times)).scores_
    np.testing.assert_allclose(decayed[:2], np.log1p([1.5, 1]), atol=2e-4)


def test_items_that_are_equally_popular_do_not_stand_in_the_order_of_their_ids():
    past = pasts(np.ones((3, 50)))
    order = np.argsort(-Popularity(seed=1).fit(past).scores_)
    assert order.tolist() != list(range(50))
    assert order.tolist() != np.argsort(-Popularity(seed=2).fit(past).scores_).tolist()


def test_text_carries_scores_over_as_kernel_ridge_does():
    from sklearn.kernel_ridge import KernelRidge

    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4)).astype(np.float32)
    used = np.ones((5, 30), bool)
    used[:, 25:] = False
    scores = rng.normal(size=(3, 25)).astype(np.float32)
    carry = TextMap(features, l2=0.5, width=1.5).fit(pasts(used))
    ours = carry.carry(scores, carry.weights(np.arange(25, 30)))
    mean = scores.mean(1, keepdims=True)
    theirs = KernelRidge(alpha=0.5, kernel="rbf", gamma=1 / (2 * 1.5**2)).fit(features[:25], (scores - mean).T)
    np.testing.assert_allclose(ours, theirs.predict(features[25:]).T + mean, rtol=1e-3, atol=1e-4)


@given(st.integers(0, 1000), st.integers(1, 8))
def test_the_best_are_the_best_in_order_and_hidden_ones_come_last(seed, n):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(4, 8)).astype(np.float32)
    past = pasts(rng.random((4, 8)) < 0.3)
    hidden = hide(scores.copy(), past)
    items, values = top(hidden, n)
    assert (values[:, 1:] <= values[:, :-1]).all()
    assert not np.isnan(values).any()
    expected = -np.sort(-hidden, axis=1)[:, :n]
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(np.take_along_axis(hidden, items, 1), values)


@given(st.integers(0, 1000))
def test_standardised_scores_have_mean_0_and_spread_1_over_the_known(seed):
    rng = np.random.default_rng(seed)
    scores = (rng.normal(size=(3, 20)) * 50 + 7).astype(np.float32)
    scores[rng.random((3, 20)) < 0.3] = np.nan
    known, out = ~np.isnan(scores), standardise(scores)
    for row in range(3):
        np.testing.assert_allclose(out[row][known[row]].mean(), 0, atol=1e-4)
        np.testing.assert_allclose(out[row][known[row]].std(), 1, atol=1e-3)
        assert (out[row][~known[row]] == 0).all()


def test_a_model_that_says_the_same_of_all_says_nothing():
    assert (standardise(np.full((2, 5), 3.0, np.float32)) == 0).all()
    assert (standardise(np.full((2, 5), np.nan, np.float32)) == 0).all()


def contrary_world(users: int = 200, seed: int = 0) -> tuple[Histories, np.ndarray]:
    """Two segments who use the same items in opposite pairs: what goes together in one goes apart in the other."""
    rng = np.random.default_rng(seed)
    matrix, segment = np.zeros((users, 20), bool), np.arange(users) % 2
    for user in range(users):
        for pair in range(10):
            first = rng.random() < 0.5
            matrix[user, pair] = first
            matrix[user, 10 + pair] = first if segment[user] == 0 else not first
    matrix[matrix.sum(1) == 0, 0] = True
    return pasts(matrix), segment


def contest(segment_of: np.ndarray) -> BySegment:
    past, _ = contrary_world()
    rng = np.random.default_rng(1)
    shown = rng.random(len(past.items)) < 0.6
    given = past.where(shown)
    key = {tuple(given.items[given.starts[u] : given.starts[u + 1]]): segment_of[u] for u in range(200)}

    def placed(pasts: Histories) -> np.ndarray:
        rows = (tuple(pasts.items[pasts.starts[u] : pasts.starts[u + 1]]) for u in range(pasts.n_users))
        return np.array([key[row] for row in rows])

    everyone, popularity = ItemItem(5.0).fit(given), Popularity().fit(given)
    model = BySegment(placed, everyone, popularity).fit(given)
    return model.contest(HeldOut(given, given, past.where(~shown)))


def test_a_segment_that_contradicts_the_others_is_served_by_a_model_of_its_own():
    model = contest(np.arange(200) % 2)
    assert all(v.helps for v in model.verdicts_)
    assert set(model.local_) == {0, 1}


def test_random_segments_give_no_gain():
    model = contest(np.random.default_rng(2).integers(0, 2, 200))
    assert not any(v.helps for v in model.verdicts_)
    assert model.local_ == {}


def test_sparse_input_stays_sparse():
    assert sparse.issparse(ItemItem(7.0).fit(pasts(random_matrix(50, 20))).solved_.weights)
