"""The trees over the blend's first candidates: what may move, what is learnt, and on whom that is judged."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.blend import Blend
from shoal.recommend.boosted import Boosted
from shoal.recommend.standard import hide
from shoal.recommend.tune import HeldOut

USERS, ITEMS = 240, 120
FOLD = np.arange(USERS) // 2 % 4


def histories_of(uses):
    items = np.nonzero(uses)[1]
    starts = np.concatenate([[0], np.cumsum(uses.sum(1))])
    none = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), none.astype(np.float32), none, uses.shape[1])


@pytest.fixture(scope="module")
def switching():
    """Two models: one knows the even users, whose pasts are long, the other the odd ones, whose pasts are short."""
    rng = np.random.default_rng(0)
    likes = np.zeros((USERS, ITEMS), bool)
    for user in range(USERS):
        likes[user, rng.permutation(ITEMS)[:6]] = True
    truth = likes + rng.normal(scale=0.3, size=likes.shape)
    noise = rng.normal(scale=1.0, size=likes.shape)
    even = (np.arange(USERS) % 2 == 0)[:, None]
    past = np.zeros((USERS, ITEMS), bool)
    for user in range(USERS):
        past[user, rng.choice(np.flatnonzero(~likes[user]), 40 if user % 2 == 0 else 12, replace=False)] = True
    a = np.where(even, truth, noise).astype(np.float32)
    b = np.where(even, noise, truth).astype(np.float32)
    return histories_of(past), histories_of(likes), a, b


class Rows:
    """A model that says the given rows, by the past it is asked about; of a past that was cut short, the first row."""

    def __init__(self, name, past, scores):
        self.name, self.scores = name, scores
        self.keys = {past.take(np.array([u])).items.tobytes(): u for u in range(past.n_users)}

    def fit(self, histories):
        return self

    def score(self, histories):
        rows = [self.keys.get(histories.take(np.array([u])).items.tobytes(), 0) for u in range(histories.n_users)]
        return self.scores[rows]


def blend_of(switching, users):
    past, liked, a, b = switching
    blend = Blend([Rows("a", past, a), Rows("b", past, b)]).fit(past)
    held = HeldOut(past, past, liked).take(users)
    return blend, held


def test_trees_are_taken_where_whom_to_believe_depends_on_the_user(switching):
    learning, asking = np.arange(0, 160), np.arange(160, USERS)
    blend, held = blend_of(switching, learning)
    blend.learn_weights(held, seed=0)
    past, liked, _, _ = switching
    new = HeldOut(past, past, liked).take(asking)
    linear = np.nanmean(new.ndcg(blend.score))
    blend.learn(held, seed=0)
    assert blend.by_trees_[-1]
    assert np.nanmean(new.ndcg(blend.score)) > linear + 0.1


def test_trees_are_not_taken_where_a_model_alone_knows(switching):
    past, liked, a, b = switching
    right = np.where((np.arange(USERS) % 2 == 0)[:, None], a, b)
    blend = Blend([Rows("a", past, right)]).fit(past)
    blend.learn(HeldOut(past, past, liked), seed=0)
    alone = np.nanmean(HeldOut(past, past, liked).ndcg(Rows("a", past, right).score))
    assert np.nanmean(HeldOut(past, past, liked).ndcg(blend.score)) >= alone - 1e-6


def learnt(switching):
    past, liked, a, b = switching
    boosted = Boosted(30).fit(np.bincount(past.items, minlength=ITEMS))
    quality = boosted.learn(boosted.asking(a + b, [a, b], past), HeldOut(past, past, liked), FOLD, seed=0)
    return boosted, quality


def test_scores_change_places_and_those_of_the_past_stay(switching):
    past, _, a, b = switching
    boosted, _ = learnt(switching)
    scores = a + b
    before = scores.copy()
    after = boosted.reorder(scores, [a, b], past)
    np.testing.assert_array_equal(scores, before)
    np.testing.assert_array_equal(np.sort(after, 1), np.sort(before, 1))
    np.testing.assert_array_equal(after[past.users, past.items], before[past.users, past.items])
    moved = (after != before).sum(1)
    assert (moved <= 30).all()
    assert (moved > 0).all()


def test_candidates_are_the_best_of_what_is_new_and_known(switching):
    past, _, a, b = switching
    known = np.bincount(past.items, minlength=ITEMS)
    known[7] = 0
    asking = Boosted(30).fit(known).asking(a + b, [a, b], past)
    scores = hide(a + b, past)
    scores[:, 7] = -np.inf
    np.testing.assert_array_equal(asking.rows, np.argsort(-scores, 1, kind="stable")[:, :30])
    assert asking.open.all()


def test_whoever_had_nearly_everything_keeps_the_order_of_what_is_left(switching):
    _, _, a, b = switching
    boosted, _ = learnt(switching)
    uses = np.ones((1, ITEMS), bool)
    uses[0, [3, 50]] = False
    past = histories_of(uses)
    scores = (a + b)[:1]
    after = boosted.reorder(scores, [a[:1], b[:1]], past)
    had = np.flatnonzero(uses[0])
    np.testing.assert_array_equal(after[0, had], scores[0, had])
    assert sorted(after[0, [3, 50]]) == sorted(scores[0, [3, 50]])


def test_quality_is_that_of_users_the_trees_have_not_seen(switching):
    past, liked, a, _ = switching
    rng = np.random.default_rng(1)
    noise = [rng.normal(size=a.shape).astype(np.float32) for _ in range(2)]
    boosted = Boosted(60).fit(np.bincount(past.items, minlength=ITEMS))
    held = HeldOut(past, past, liked)
    quality = boosted.learn(boosted.asking(sum(noise), noise, past), held, FOLD, seed=0)
    seen = held.ndcg_of(boosted.reorder(sum(noise), noise, past))
    chance = np.nanmean([held.ndcg_of(rng.normal(size=a.shape).astype(np.float32)).mean() for _ in range(20)])
    assert quality.mean() == pytest.approx(chance, abs=0.03)
    assert seen.mean() > quality.mean() + 0.05


def test_trees_come_back_from_their_tensors(switching):
    past, _, a, b = switching
    boosted, _ = learnt(switching)
    again = Boosted.of(boosted.tensors()).fit(np.bincount(past.items, minlength=ITEMS))
    np.testing.assert_array_equal(again.reorder(a + b, [a, b], past), boosted.reorder(a + b, [a, b], past))


def test_the_same_seed_gives_the_same_trees(switching):
    one, other = learnt(switching)[0], learnt(switching)[0]
    np.testing.assert_array_equal(one.tensors()["trees"], other.tensors()["trees"])
