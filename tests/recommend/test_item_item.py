"""Item-item: one inverse, had in two ways, with dropout in expectation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from shoal.data.histories import Histories
from shoal.recommend.item_item import ByItems, ByUsers, ItemItem, most_used


def pasts(matrix: np.ndarray) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1])


def draws(users: int, items: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).random((users, items)) < 0.3
    matrix[0] = matrix[:, 0] = True
    return matrix


@pytest.mark.parametrize(("users", "items"), [(30, 12), (12, 30), (20, 20)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_smaller_matrix_gives_what_the_larger_gives(users, items, dropout):
    matrix = sparse.csr_matrix(draws(users, items).astype(np.float32))
    counts = np.asarray(matrix.sum(0)).ravel()
    penalty = (5.0 + dropout / (1 - dropout) * counts).astype(np.float32)
    primal, dual = ByItems.solve(matrix, penalty, items), ByUsers.solve(matrix, penalty)
    strangers = sparse.csr_matrix(draws(7, items, seed=1).astype(np.float32))
    np.testing.assert_allclose(dual.score(strangers), primal.score(strangers), rtol=1e-3, atol=2e-5)


def test_dropout_adds_the_expected_noise_to_the_diagonal():
    """Steck 2020, equation 5: a penalty of p / (1 - p) times an item's users."""
    x, p, l2 = draws(40, 10).astype(float), 0.25, 3.0
    gram = x.T @ x
    inverse = np.linalg.inv(gram + np.diag(l2 + p / (1 - p) * np.diag(gram)))
    weights = np.eye(10) - inverse / np.diag(inverse)
    model = ItemItem(l2, p).fit(pasts(draws(40, 10)))
    np.testing.assert_allclose(model.solved_.weights.toarray(), weights, atol=1e-5)


def test_a_model_keeps_as_many_weights_an_item_as_it_is_told_to():
    past = pasts(draws(60, 20))
    full, kept = (ItemItem(5.0, keep=k).fit(past).solved_.weights.toarray() for k in (20, 3))
    assert (np.count_nonzero(kept, axis=0) == 3).all()
    assert (np.sort(np.abs(kept), axis=0)[-3:] == np.sort(np.abs(full), axis=0)[-3:]).all()


def test_positive_weights_are_those_of_the_whole_model_without_the_negative_ones():
    past = pasts(draws(60, 20))
    both, positive = (ItemItem(5.0, 0.5, 0.25, kind).fit(past).solved_.weights.toarray() for kind in (False, True))
    assert (both < 0).any()
    np.testing.assert_array_equal(positive, np.maximum(both, 0))


def test_filled_up_weights_say_what_sparse_ones_say(monkeypatch):
    matrix = draws(40, 15)
    strangers = pasts(draws(9, 15, seed=1) & (np.arange(9) != 4)[:, None])
    filled = ItemItem(5.0, keep=6).fit(pasts(matrix)).score(strangers)
    monkeypatch.setattr("shoal.recommend.item_item.FILLED_FROM", 1.1)
    monkeypatch.setattr("shoal.recommend.item_item.MOST_FILLED", 14)
    np.testing.assert_allclose(ItemItem(5.0, keep=6).fit(pasts(matrix)).score(strangers), filled, atol=1e-6)
    assert np.isnan(filled[4]).all()
    assert np.isfinite(np.delete(filled, 4, 0)).all()


def test_the_most_used_come_in_the_order_of_rows_and_the_unused_never():
    matrix = np.zeros((4, 5), bool)
    matrix[:, 4] = matrix[:3, 1] = matrix[:2, 3] = True
    assert most_used(pasts(matrix), 2).tolist() == [1, 4]
    assert most_used(pasts(matrix), 10).tolist() == [1, 3, 4]


def test_a_user_with_unknown_items_alone_gets_no_scores():
    matrix = draws(30, 8)
    matrix[:, 7] = False
    stranger = pasts(np.eye(8, dtype=bool)[[7, 0]])
    scores = ItemItem(5.0).fit(pasts(matrix)).score(stranger)
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1, :7]).all()


def test_nothing_is_learnt_from_nothing():
    scores = ItemItem().fit(pasts(np.zeros((3, 4)))).score(pasts(np.ones((2, 4))))
    assert scores.shape == (2, 4)
    assert np.isnan(scores).all()


@pytest.mark.parametrize(("users", "items"), [(50, 20), (8, 40)])
def test_a_model_of_some_items_comes_back_from_its_tensors(users, items):
    past = pasts(draws(users, items))
    model = ItemItem(5.0, max_items=items // 2 + 9).fit(past)
    again = ItemItem(5.0).restore(model.tensors())
    np.testing.assert_array_equal(again.score(past), model.score(past))
    assert type(again.solved_) is type(model.solved_)
