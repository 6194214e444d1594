"""Walks: three steps multiplied out are what the formula says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.recommend import walks
from shoal.recommend.walks import Walks


def pasts(matrix: np.ndarray) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1])


def draws(users: int, items: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).random((users, items)) < 0.3
    matrix[0] = matrix[:, 0] = True
    return matrix


def by_hand(matrix: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    to_items = (matrix / matrix.sum(1, keepdims=True)) ** alpha
    to_people = (matrix / matrix.sum(0)).T ** alpha
    weights = (to_people @ to_items) / matrix.sum(0) ** beta
    np.fill_diagonal(weights, 0)
    return weights


@given(st.floats(0.3, 1.5), st.floats(0.0, 1.0), st.integers(0, 100))
def test_weights_are_three_steps_with_popular_ends_discounted(alpha, beta, seed):
    matrix = draws(20, 9, seed)
    made = Walks(alpha, beta).fit(pasts(matrix)).solved_.weights.toarray()
    np.testing.assert_allclose(made, by_hand(matrix, alpha, beta), rtol=1e-4)


def test_the_largest_weights_of_each_item_are_kept_however_the_items_are_cut(monkeypatch):
    matrix = draws(40, 15)
    whole = by_hand(matrix, 0.8, 0.4)
    monkeypatch.setattr(walks, "BLOCK_ITEMS", 4)
    model = Walks(0.8, 0.4, keep=5).fit(pasts(matrix))
    kept = model.solved_.weights.toarray()
    assert ((kept > 0).sum(1) == 5).all()
    np.testing.assert_allclose(kept.sum(1), np.sort(whole, axis=1)[:, -5:].sum(1), rtol=1e-4)
    strangers = draws(6, 15, seed=3)
    np.testing.assert_allclose(model.score(pasts(strangers)), strangers @ kept, rtol=1e-4)


def test_what_it_does_not_know_is_not_scored():
    matrix = draws(30, 10)
    matrix[:, 7] = False
    model = Walks(max_items=6).fit(pasts(matrix))
    stranger = np.zeros((2, 10), bool)
    stranger[1, 0] = True
    scores = model.score(pasts(stranger))
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1]).sum() == 6
    assert np.isnan(scores[1, 7])


def test_nothing_is_learnt_from_nothing():
    assert np.isnan(Walks().fit(pasts(np.zeros((3, 4), bool))).score(pasts(draws(2, 4)))).all()


@pytest.mark.parametrize("keep", [3, 200])
def test_walks_come_back_from_their_tensors(keep):
    model = Walks(1.0, 0.2, keep=keep).fit(pasts(draws(30, 10)))
    again = Walks(1.0, 0.2).restore(model.tensors())
    np.testing.assert_array_equal(again.score(pasts(draws(5, 10, 1))), model.score(pasts(draws(5, 10, 1))))
