"""Text: scores are carried over to items of which only the text is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from shoal.data.histories import Histories
from shoal.recommend.factors import Factors
from shoal.recommend.item_item import ItemItem
from shoal.recommend.text import Text, TextMap

ITEMS = 24


def pasts(matrix: np.ndarray) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1])


def board(cold: int) -> Histories:
    """Even users have the even items but the one at their own place, odd users the odd ones; the last are cold."""
    square = np.add.outer(np.arange(ITEMS), np.arange(ITEMS)) % 2 == 0
    square &= ~np.eye(ITEMS, dtype=bool)
    square[:, ITEMS - cold :] = False
    return pasts(square)


def colours() -> np.ndarray:
    """Features of items: their colour, and a little of their own."""
    own = np.random.default_rng(0).normal(scale=0.1, size=(ITEMS, 3))
    return np.c_[np.arange(ITEMS) % 2 == 0, np.arange(ITEMS) % 2 == 1, own].astype(np.float32)


@pytest.mark.parametrize("teachers", [[ItemItem(5.0)], [Factors(4, 1.0, 10.0)], [ItemItem(5.0), Factors(4, 1.0, 10.0)]])
def test_cold_items_of_the_users_colour_stand_above_those_of_the_other(teachers):
    past = board(cold=6)
    model = Text(colours(), [t.fit(past) for t in teachers]).fit(past)
    scores = model.score(past)[:, ITEMS - 6 :]
    mine = np.add.outer(np.arange(ITEMS), np.arange(ITEMS - 6, ITEMS)) % 2 == 0
    assert (np.where(mine, scores, np.inf).min(1) > np.where(mine, -np.inf, scores).max(1)).all()


def test_a_user_without_a_past_has_no_scores():
    past = board(cold=2)
    model = Text(colours(), [ItemItem(5.0).fit(past)]).fit(past)
    assert np.isnan(model.score(past.where(np.zeros(len(past.items), bool)))).all()


def test_what_is_said_of_all_items_is_what_is_said_of_each():
    carry = TextMap(colours()).fit(board(cold=4))
    np.testing.assert_allclose(carry.weights(np.arange(20, ITEMS)), carry.weights(np.arange(ITEMS))[:, 20:], atol=1e-5)


def test_a_score_that_is_not_known_counts_as_the_mean_and_equal_scores_carry_over_unchanged():
    carry = TextMap(colours()).fit(board(cold=4))
    weights = carry.weights(np.arange(ITEMS))
    known = np.random.default_rng(1).normal(size=(1, len(carry.warm_))).astype(np.float32)
    known[0, 3] = np.nan
    filled = np.where(np.isnan(known), np.nanmean(known), known)
    np.testing.assert_allclose(carry.carry(known, weights), carry.carry(filled, weights), atol=1e-5)
    same = np.full((1, len(carry.warm_)), 2.5, np.float32)
    np.testing.assert_allclose(carry.carry(same, weights), 2.5, atol=1e-6)
    assert not np.isfinite(known[0, 3])  # and is not filled in where it was handed in


def test_an_item_far_from_all_others_is_given_the_mean():
    features = colours()
    features[-1] = 100
    carry = TextMap(features).fit(board(cold=4))
    scores = np.random.default_rng(1).normal(size=(2, len(carry.warm_))).astype(np.float32)
    np.testing.assert_allclose(carry.carry(scores, carry.weights(np.arange(ITEMS)))[:, -1], scores.mean(1), atol=1e-5)


def test_the_map_learns_from_the_most_used_items():
    square = board(cold=4).matrix().toarray() > 0
    square[:, [2, 7]] = True
    assert TextMap(colours(), max_items=2).fit(pasts(square)).warm_.tolist() == [2, 7]


def test_fitted_again_the_map_forgets_what_it_knew():
    carry = TextMap(colours()).fit(board(cold=4))
    before = carry.weights(np.arange(ITEMS)).shape
    assert carry.fit(board(cold=2)).weights(np.arange(ITEMS)).shape != before


def test_words_add_their_cosine_to_the_kernel():
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.metrics.pairwise import rbf_kernel

    rng = np.random.default_rng(2)
    words = sparse.random(ITEMS, 9, density=0.3, format="csr", dtype=np.float32, random_state=3)
    carry = TextMap(colours(), words=words, trust=0.7, l2=0.4).fit(board(cold=4))
    scores = rng.normal(size=(2, 20)).astype(np.float32)
    kernel = rbf_kernel(colours(), gamma=0.5) + 0.7 * (words @ words.T).toarray()
    mean = scores.mean(1, keepdims=True)
    theirs = KernelRidge(alpha=0.4, kernel="precomputed").fit(kernel[:20, :20], (scores - mean).T)
    ours = carry.carry(scores, carry.weights(np.arange(20, ITEMS)))
    np.testing.assert_allclose(ours, theirs.predict(kernel[20:, :20]).T + mean, rtol=1e-3, atol=1e-4)


def test_other_settings_forget_what_was_made_with_the_last_ones():
    carry = TextMap(colours()).fit(board(cold=4))
    before, rows = carry.weights(np.arange(ITEMS)), np.arange(ITEMS)
    assert not np.allclose(carry.trusting(0.0, 5.0).weights(rows), before)
    np.testing.assert_array_equal(carry.trusting(0.0, 1.0).weights(rows), before)


def test_many_items_are_told_from_fewer(monkeypatch):
    monkeypatch.setattr("shoal.recommend.text.MOST_WEIGHTS", 5 * ITEMS)
    past = board(cold=4)
    assert len(TextMap(colours()).fit(past).warm_) == 5
    assert len(TextMap(colours()).fit(past, told=4).warm_) == 20
    model = Text(colours(), [ItemItem(5.0).fit(past)]).fit(past)
    assert (len(model.map.warm_), len(model.smooth.warm_)) == (20, 6)


def test_those_who_play_the_cold_are_warm_and_a_fifth():
    past = board(cold=4)
    model = Text(colours(), [ItemItem(5.0).fit(past)]).fit(past)
    players = model.players(np.random.default_rng(0))
    assert len(players) == 4
    assert set(players) < set(model.map.warm_)


def test_warm_items_are_told_without_words_and_cold_ones_with_them():
    past = board(cold=6)
    words = sparse.csr_matrix(np.eye(2, dtype=np.float32)[np.arange(ITEMS) % 2])
    teacher = ItemItem(5.0).fit(past)
    nothing = np.zeros((ITEMS, 1), np.float32)
    plain = Text(nothing, [teacher], words).fit(past).score(past)
    told = Text(nothing, [teacher], words, trust=1.0).fit(past).score(past)
    np.testing.assert_allclose(told[:, :18], plain[:, :18], atol=1e-5)
    assert np.ptp(plain[:, 18:], axis=1).max() < 1e-5
    mine = np.add.outer(np.arange(ITEMS), np.arange(18, ITEMS)) % 2 == 0
    assert (np.where(mine, told[:, 18:], np.inf).min(1) > np.where(mine, -np.inf, told[:, 18:]).max(1)).all()
