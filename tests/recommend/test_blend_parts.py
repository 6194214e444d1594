"""The blend from inside: whom its weights are learnt on, what each model adds, and what the cold items get."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.asked import Asked
from shoal.recommend.blend import Blend
from shoal.recommend.by_segment import BySegment
from shoal.recommend.factors import Factors
from shoal.recommend.item_item import ItemItem
from shoal.recommend.popularity import Popularity
from shoal.recommend.standard import compressed, standardise
from shoal.recommend.text import Text, TextMap
from shoal.recommend.tune import HeldOut
from shoal.recommend.weights import as_warm_as, slope, warmth

USERS, ITEMS = 120, 40


def pasts(matrix: np.ndarray) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1])


def question(shown: int) -> HeldOut:
    """Even users like even items: `shown` of them each, and three more are to be found."""
    rng = np.random.default_rng(0)
    given, future = np.zeros((USERS, ITEMS), bool), np.zeros((USERS, ITEMS), bool)
    for user in range(USERS):
        mine = rng.permutation(np.arange(user % 2, ITEMS, 2))
        given[user, mine[:shown]] = True
        future[user, mine[shown : shown + 3]] = True
    return HeldOut(pasts(given), pasts(given), pasts(future))


class Spy:
    """Says nothing, and writes down how warm the users were."""

    name = "spy"

    def __init__(self) -> None:
        self.seen: list[set[int]] = []

    def fit(self, histories: Histories) -> Spy:
        return self

    def score(self, histories: Histories) -> np.ndarray:
        self.seen.append(set(warmth(histories.counts).tolist()))
        return np.zeros((histories.n_users, histories.n_items), np.float32)


class Refusing(Spy):
    """Must not be asked."""

    name = "refusing"

    def score(self, histories: Histories) -> np.ndarray:
        raise AssertionError("was asked")


def test_each_set_of_weights_is_learnt_on_pasts_of_its_warmth():
    held, spy = question(14), Spy()
    blend = Blend([ItemItem(5.0).fit(held.past), spy]).fit(held.past)
    blend.learn_weights(held, seed=0)
    assert spy.seen == [{5}, {4}, {3}, {2}, {1}, {0}]


def test_a_warmth_that_nobody_has_takes_the_weights_of_the_next_warmer():
    held = question(3)
    models = [Popularity().fit(held.past), ItemItem(5.0).fit(held.past)]
    blend = Blend(models).fit(held.past).learn(held, seed=0)
    assert blend.weights_[5].tolist() == blend.weights_[4].tolist() == blend.weights_[3].tolist() == [0.5, 0.5]
    assert blend.weights_[2].tolist() != [0.5, 0.5]
    assert {row["warmth"] for row in blend.story_} == {0, 1, 2}


def test_a_model_that_knows_outweighs_one_that_does_not():
    held = question(14)
    blend = Blend([ItemItem(5.0).fit(held.past), Popularity().fit(held.past)]).fit(held.past).learn(held, seed=0)
    assert blend.weights_[5, 0] > 2 * abs(blend.weights_[5, 1])
    np.testing.assert_allclose(np.abs(blend.weights_).sum(1), 1, atol=1e-5)


def test_same_seed_same_weights():
    held = question(14)
    models = [ItemItem(5.0).fit(held.past), Popularity().fit(held.past)]
    one, other = (Blend(models).fit(held.past).learn(held, seed=3).weights_ for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("cold", "taken"), [(50, 50), (49, USERS - 49)])
def test_users_are_cut_short_only_where_too_few_are_cold_by_themselves(cold, taken):
    held = question(14)
    past = held.past.where(held.past.users >= cold)
    asked = as_warm_as(0, replace(held, past=past, seen=past), np.random.default_rng(0))
    assert asked.past.counts.tolist() == [0] * taken
    assert (asked.seen.counts > 0).all() == (cold < 50)
    mine = np.arange(cold) if cold == 50 else np.arange(cold, USERS)
    np.testing.assert_array_equal(asked.liked.items, held.liked.take(mine).items)


@pytest.mark.parametrize(("bucket", "lengths"), [(0, {0}), (1, {1}), (2, {2, 3}), (3, {4, 5, 6}), (4, {7, 8, 9, 10})])
def test_strangers_who_play_newcomers_show_their_oldest_events_and_all_the_rest_is_to_be_found(bucket, lengths):
    held = timed(question(14), 4.0)
    whole = {user: events(held.past, user) + events(held.liked, user) for user in range(USERS)}
    asked = as_warm_as(bucket, replace(held, strangers=True, newcomers="oldest"), np.random.default_rng(0))
    assert set(asked.past.counts.tolist()) == lengths
    assert asked.past.n_users == USERS
    for user, all_of_it in whole.items():
        shown, found = events(asked.past, user), events(asked.liked, user)
        by_age = sorted(all_of_it, key=lambda event: event[2])
        assert shown == by_age[: len(shown)] == events(asked.seen, user)
        assert found == [event for event in by_age[len(shown) :] if event[1] >= 4.0]


def test_strangers_who_play_newcomers_show_any_of_their_events_unless_the_oldest_are_asked_for():
    held = timed(question(14), None)
    asked = as_warm_as(4, replace(held, strangers=True), np.random.default_rng(0))
    ages = [time for user in range(USERS) for *_, time in events(asked.past, user)]
    assert np.mean(ages) == pytest.approx(np.mean(np.concatenate([held.past.times, held.liked.times])), rel=0.1)
    np.testing.assert_array_equal(asked.past.counts + asked.liked.counts, np.full(USERS, 17))


def test_of_users_whom_the_models_have_seen_only_the_held_out_events_are_to_be_found():
    held = timed(question(14), None)
    asked = as_warm_as(2, replace(held, newcomers="oldest"), np.random.default_rng(0))
    assert asked.past.counts.max() == 3
    assert (asked.seen.counts == 14).all()
    np.testing.assert_array_equal(asked.liked.items, held.liked.items)


def timed(held: HeldOut, relevant_from: float | None) -> HeldOut:
    """The same question with an age for each event and ratings of 1 to 5; what is to be found is liked."""
    rng = np.random.default_rng(1)

    def told(part: Histories, low: int) -> Histories:
        n = len(part.items)
        times = rng.random(n)
        order = np.lexsort((times, part.users))
        values = rng.integers(low, 6, n).astype(np.float32)
        return replace(part, items=part.items[order], values=values, times=times[order])

    past = told(held.past, 1)
    return replace(held, past=past, seen=past, liked=told(held.liked, 4), relevant_from=relevant_from)


def events(part: Histories, user: int) -> list[tuple[int, float, float]]:
    there = slice(part.starts[user], part.starts[user + 1])
    return list(zip(part.items[there].tolist(), part.values[there].tolist(), part.times[there].tolist(), strict=True))


def test_weights_of_a_run_that_told_four_warmths_apart_serve_the_same_users():
    held = question(14)
    models = [ItemItem(5.0).fit(held.past), Popularity().fit(held.past)]
    before = {"weights": np.array([[0, 1], [0.25, 0.75], [0.5, 0.5], [1, 0]], np.float32), "slopes": np.arange(4.0)}
    blend = Blend(models).restore(before)
    counts = np.array([0, 1, 3, 4, 10, 11])
    np.testing.assert_array_equal(blend.weights_[warmth(counts)], before["weights"][[0, 1, 1, 2, 2, 3]])
    np.testing.assert_array_equal(blend.slopes_[warmth(counts)], [0, 1, 1, 2, 2, 3])


def test_the_parts_are_weighted_scores_with_their_ends_drawn_in_and_add_up():
    held = question(14)
    models = [ItemItem(5.0).fit(held.past), Popularity().fit(held.past)]
    blend = Blend(models).fit(held.past)
    blend.weights_[5] = [0.75, -0.25]
    parts = blend.weigh(Asked(held.past)).parts(np.broadcast_to(np.arange(ITEMS), (USERS, ITEMS)))
    np.testing.assert_allclose(parts[:, :, 0], 0.75 * compressed(models[0].score(held.past)), atol=1e-6)
    np.testing.assert_allclose(parts[:, :, 1], -0.25 * compressed(models[1].score(held.past)), atol=1e-6)
    np.testing.assert_allclose(blend.score(held.past), parts.sum(2), atol=1e-6)


def test_a_model_without_weight_is_not_asked():
    held = question(14)
    blend = Blend([ItemItem(5.0).fit(held.past), Refusing()]).fit(held.past)
    blend.weights_[:] = [1, 0]
    assert np.isfinite(blend.score(held.past)).all()


def with_cold(text: bool) -> tuple[Blend, Histories]:
    """The last four items are used by nobody."""
    past = question(14).past
    past = past.where(past.items < ITEMS - 4)
    features = np.eye(2, dtype=np.float32)[np.arange(ITEMS) % 2]
    models = [ItemItem(5.0).fit(past), Popularity().fit(past)]
    return Blend(models + [Text(features, models[:1]).fit(past)] * text).fit(past), past


def test_items_that_no_model_knows_are_scored_by_their_text():
    blend, past = with_cold(text=True)
    blend.slopes_[:] = 0.5
    cold = np.arange(ITEMS - 4, ITEMS)
    scores = blend.score(past)
    np.testing.assert_allclose(scores[:, cold], 0.5 * blend.text.score(past)[:, cold], atol=1e-5)
    mine = np.arange(USERS)[:, None] % 2 == cold % 2
    assert (np.where(mine, scores[:, cold], np.inf).min(1) > np.where(mine, -np.inf, scores[:, cold]).max(1)).all()


def test_whoever_has_no_past_gets_cold_items_by_what_their_text_says_of_the_blend():
    blend, past = with_cold(text=True)
    nobody = past.where(np.zeros(len(past.items), bool)).take(np.array([0]))
    scores, text = blend.score(nobody), blend.text.map
    expected = text.carry(scores[:, text.warm_], text.weights(np.arange(ITEMS - 4, ITEMS)))
    np.testing.assert_allclose(scores[:, ITEMS - 4 :], expected, atol=1e-5)


def test_without_a_text_model_what_no_model_knows_stays_unknown():
    blend, past = with_cold(text=False)
    scores = blend.score(past)
    assert np.isnan(scores[:, ITEMS - 4 :]).all()
    assert np.isfinite(scores[:, : ITEMS - 4]).all()


def test_a_map_without_some_items_is_that_of_a_log_without_them():
    past = question(14).past
    features = np.random.default_rng(1).normal(size=(ITEMS, 3)).astype(np.float32)
    whole, out = TextMap(features, l2=0.3).fit(past), np.array([0, 3, ITEMS - 1])
    whole.weights(out)
    without, others = whole.without(out), TextMap(features, l2=0.3).fit(past.where(~np.isin(past.items, out)))
    np.testing.assert_array_equal(without.warm_, others.warm_)
    np.testing.assert_allclose(without.weights(out), others.weights(out), atol=1e-6)
    assert len(whole.warm_) == ITEMS


def test_scores_of_cold_items_are_brought_to_the_blend_s_scale():
    """The text tells even from odd items, which is all that item-item knows."""
    held = question(14)
    features = np.eye(2, dtype=np.float32)[np.arange(ITEMS) % 2]
    single = ItemItem(5.0).fit(held.past)
    text = Text(features, [single]).fit(held.past)
    blend = Blend([single, text]).fit(held.past).learn(held, seed=0)
    asked, cold = Asked(held.past), np.arange(0, ITEMS, 5)
    total = blend.weigh(asked).scores[:, cold]
    found = slope(text.as_if_cold(asked, cold), total)
    assert found > 0
    assert blend.slopes_[5] == pytest.approx(found, rel=0.2)  # other items played the cold there
    without = Blend([single]).fit(held.past).learn(held, seed=0)
    np.testing.assert_array_equal(without.slopes_, 1)


def test_what_is_said_of_items_as_if_they_were_cold_has_not_read_their_scores():
    past = question(14).past
    features = np.random.default_rng(1).normal(size=(ITEMS, 3)).astype(np.float32)
    cold = np.array([0, 3, ITEMS - 1])
    single = ItemItem(5.0).fit(past)

    plain = Text(features, [single]).fit(past)
    said = plain.as_if_cold(Asked(past), cold)
    others = TextMap(features).fit(past.where(~np.isin(past.items, cold)))
    taught = standardise(single.score(past))[:, others.warm_]
    np.testing.assert_allclose(said, others.carry(taught, others.weights(cold)), atol=1e-5)


def test_an_item_that_has_become_warm_is_no_longer_scored_by_text():
    blend, past = with_cold(text=True)
    blend.score(past)
    everything = question(14).past
    for model in blend.models:
        model.fit(everything)
    blend.fit(everything)
    parts = blend.weigh(Asked(everything)).parts(np.broadcast_to(np.arange(ITEMS), (USERS, ITEMS)))
    np.testing.assert_allclose(blend.score(everything), parts.sum(2), atol=1e-6)


def checkerboard() -> Histories:
    square = np.add.outer(np.arange(24), np.arange(24)) % 2 == 0
    return pasts(square & ~np.eye(24, dtype=bool))


def _blend(board: Histories) -> Blend:
    return Blend([ItemItem(5.0).fit(board), Factors(4, 1.0, 10.0).fit(board), Popularity().fit(board)]).fit(board)


def _by_segment(board: Histories) -> BySegment:
    everyone, popularity = ItemItem(5.0).fit(board), Popularity().fit(board)
    return BySegment(lambda past: np.zeros(past.n_users, int), everyone, popularity).fit(board)


def _text(board: Histories) -> Text:
    return Text(np.eye(2, dtype=np.float32)[np.arange(24) % 2], [ItemItem(5.0).fit(board)]).fit(board)


@pytest.mark.parametrize("make", [_blend, _by_segment, _text])
def test_on_a_checkerboard_the_missing_square_comes_first(make):
    board = checkerboard()
    scores = np.array(make(board).score(board))
    scores[board.users, board.items] = -np.inf
    assert scores.argmax(1).tolist() == list(range(24))
