"""Tuning: the quality is the metric that judges, and the climb stops at the top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.evaluate.ranking import ndcg
from shoal.recommend import tune
from shoal.recommend.standard import MOST_SCORES, users_at_a_time
from shoal.recommend.tune import HeldOut, climb


def pasts(matrix: np.ndarray) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1])


def question(seed: int, n: int, users: int = 6, items: int = 12) -> tuple[HeldOut, np.ndarray]:
    rng = np.random.default_rng(seed)
    seen = rng.random((users, items)) < 0.3
    liked = (rng.random((users, items)) < 0.2) & ~seen
    liked[0] = False
    liked[1, seen[1].argmin()] = True
    return HeldOut(pasts(seen), pasts(seen), pasts(liked), n), rng.normal(size=(users, items)).astype(np.float32)


def judged(held: HeldOut, scores: np.ndarray) -> dict[str, float]:
    """What `shoal.evaluate` says of the same lists."""
    rows = []
    for user, own in enumerate(scores):
        closed = set(held.seen.take(np.array([user])).items.tolist())
        ranked = [i for i in np.argsort(-own).tolist() if i not in closed][: held.n]
        rows += [(f"u{user}", f"i{item}", place) for place, item in enumerate(ranked, 1)]
    lists = pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row")
    users, items = held.liked.users.tolist(), held.liked.items.tolist()
    truth = pl.DataFrame({"user_id": [f"u{u}" for u in users], "item_id": [f"i{i}" for i in items]})
    result = ndcg(lists, truth, n=held.n).table
    return dict(zip(result["user_id"], result["value"], strict=True))


@given(st.integers(0, 500), st.integers(1, 5))
def test_the_quality_of_each_user_is_the_metric_that_judges(seed, n):
    held, scores = question(seed, n)
    ours = held.ndcg_of(scores.copy())
    theirs = judged(held, scores)
    for user in range(len(scores)):
        if np.isnan(ours[user]):
            assert f"u{user}" not in theirs
        else:
            assert ours[user] == pytest.approx(theirs[f"u{user}"], abs=1e-9)


def test_a_user_with_nothing_to_find_has_no_quality():
    held, scores = question(0, 5)
    quality = held.ndcg_of(scores)
    assert np.isnan(quality[0])
    assert np.isfinite(quality[1])


def test_only_allowed_items_are_ranked():
    held = HeldOut(pasts(np.zeros((1, 4))), pasts(np.zeros((1, 4))), pasts(np.array([[0, 0, 0, 1]])), 1)
    scores = np.array([[4.0, 3, 2, 1]], np.float32)
    assert held.ndcg_of(scores.copy()).tolist() == [0]
    only = HeldOut(held.past, held.seen, held.liked, 1, np.array([False, False, False, True]))
    assert only.ndcg_of(scores.copy()).tolist() == [1]


def test_an_item_that_must_not_be_offered_is_no_hit_even_where_the_list_is_longer_than_the_rest():
    held = HeldOut(pasts(np.zeros((1, 2))), pasts(np.array([[1, 0]])), pasts(np.array([[1, 0]])), 2)
    assert held.ndcg_of(np.array([[2.0, 1]], np.float32)).tolist() == [0]


def test_blocks_of_users_make_no_difference(monkeypatch):
    held, scores = question(3, 4, users=11)
    whole = held.ndcg_of(scores.copy())
    shown = iter(np.split(scores, [4, 8]))
    monkeypatch.setattr(tune, "BLOCK_USERS", 4)
    np.testing.assert_array_equal(held.ndcg(lambda past: next(shown)), whole)


@given(st.integers(0, 10**9), st.integers(1, 600))
def test_few_users_are_scored_at_a_time_where_the_catalogue_is_large(items, most):
    users = users_at_a_time(items, most)
    assert 1 <= users <= most
    assert users == 1 or users * items <= MOST_SCORES
    assert users == most or (users + 1) * items > MOST_SCORES


def test_scores_that_cannot_be_written_to_are_judged_and_left_alone():
    held, scores = question(3, 4)
    scores.flags.writeable = False
    np.testing.assert_array_equal(held.ndcg(lambda past: scores), held.ndcg_of(scores.copy()))


@given(st.integers(1, 9), st.data())
def test_the_climb_finds_the_one_top_and_tries_no_rung_twice(rungs, data):
    best, start = data.draw(st.integers(0, rungs - 1)), data.draw(st.integers(0, rungs - 1))
    asked: list[int] = []

    def quality(rung: int) -> float:
        asked.append(rung)
        return -abs(rung - best)

    found, tried = climb(range(rungs), start, quality)
    assert found == best
    assert len(asked) == len(set(asked))
    assert set(tried) == set(asked)
    assert all(abs(rung - best) <= max(abs(start - best), 1) + 1 for rung in asked)  # it does not walk on downhill


def test_the_climb_crosses_a_flat_stretch():
    heights = [0.0, 1.0, 1.0, 2.0, 0.0]
    assert climb(range(5), 1, heights.__getitem__)[0] == 3


@given(st.integers(0, 10_000))
def test_a_new_cut_moves_liked_events_between_past_and_future_and_leaves_the_rest(seed):
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, p=[0.5, 0.3, 0.2], size=(5, 15))  # none, past, future
    values = np.where(kind == 2, 5.0, rng.choice([1.0, 5.0], size=kind.shape)).astype(np.float32)

    def of(which: int) -> Histories:
        made = pasts(kind == which)
        return replace(made, values=values[kind == which], times=made.items.astype(np.float64))

    held = HeldOut(of(1), of(1), of(2), set_like=True, relevant_from=4.0)
    new = held.cut_again(rng)
    np.testing.assert_array_equal(new.past.counts, held.past.counts)
    np.testing.assert_array_equal(new.liked.counts, held.liked.counts)
    for user in range(5):
        past, liked = (set(part.take(np.array([user])).items.tolist()) for part in (new.past, new.liked))
        assert past | liked == set(np.flatnonzero(kind[user]).tolist())
        assert set(np.flatnonzero((kind[user] == 1) & (values[user] < 4)).tolist()) <= past
        assert (np.diff(new.past.take(np.array([user])).times) > 0).all()
    assert (new.liked.values >= 4).all()


def test_new_cuts_differ_and_all_of_a_past_may_move_where_nobody_rated():
    held, _ = question(3, 10, users=8, items=30)
    cuts = [held.cut_again(np.random.default_rng(seed)) for seed in range(20)]
    shown = [set(zip(c.past.users.tolist(), c.past.items.tolist(), strict=True)) for c in cuts]
    assert len({frozenset(one) for one in shown}) > 15
    everything = set(zip(held.past.users.tolist(), held.past.items.tolist(), strict=True))
    assert set.intersection(*shown) & everything != everything


def test_a_question_repeated_asks_about_the_same_users_in_other_cuts():
    held, _ = question(3, 10, users=8, items=30)
    often = held.repeated(3, np.random.default_rng(0))
    np.testing.assert_array_equal(often.asked_about, np.tile(np.arange(8), 3))
    for part in ("past", "seen", "liked"):
        first, once = getattr(often, part).take(np.arange(8)), getattr(often.once(), part)
        for name in ("starts", "items"):
            np.testing.assert_array_equal(getattr(first, name), getattr(getattr(held, part), name))
            np.testing.assert_array_equal(getattr(once, name), getattr(getattr(held, part), name))
    for row, user in enumerate(often.asked_about):
        mine = [set(part.take(np.array([row])).items.tolist()) for part in (often.past, often.liked)]
        whole = [set(part.take(np.array([user])).items.tolist()) for part in (held.past, held.liked)]
        assert [len(m) for m in mine] == [len(w) for w in whole]
        assert mine[0] | mine[1] == whole[0] | whole[1]
    some = often.take(np.array([9, 2, 17]))
    np.testing.assert_array_equal(some.asked_about, [1, 2, 1])
    assert some.once().past.n_users == 2
