"""By segment: only a segment that won on held-out events is served by a model of its own."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend import by_segment
from shoal.recommend.by_segment import LEAST_USERS, BySegment
from shoal.recommend.item_item import ItemItem
from shoal.recommend.popularity import Popularity
from shoal.recommend.tune import HeldOut

USERS, PAIRS = 240, 8
MARK = 2 * PAIRS
"""Items from here on tell the segment: MARK + s is in the past of each user of segment s."""


def world() -> Histories:
    """Users of segment 0 have both or none of a pair's items; those of 1 and 2 exactly one of them."""
    rng = np.random.default_rng(0)
    first = rng.random((USERS, PAIRS)) < 0.5
    segment = np.arange(USERS) % 3
    second = np.where(segment[:, None] == 0, first, ~first)
    matrix = np.concatenate([first, second, np.eye(3, dtype=bool)[segment]], axis=1)
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=USERS))])
    return Histories(
        starts, items.astype(np.int32), np.full(len(items), 5, np.float32), np.full(len(items), np.nan), 19
    )


def place(pasts: Histories) -> np.ndarray:
    """Read the segment off the marks; -1 where there is none."""
    marks = pasts.matrix()[:, MARK:].toarray()
    return np.where(marks.any(1), marks.argmax(1), -1)


@pytest.fixture(scope="module")
def halves() -> tuple[Histories, Histories]:
    everything = world()
    shown = (np.random.default_rng(1).random(len(everything.items)) < 0.6) | (everything.items >= MARK)
    return everything.where(shown), everything.where(~shown)


def fitted(given: Histories, **settings) -> BySegment:
    everyone, popularity = ItemItem(5.0).fit(given), Popularity().fit(given)
    return BySegment(place, everyone, popularity, **settings).fit(given)


def validation(halves: tuple[Histories, Histories], users: np.ndarray) -> HeldOut:
    given, future = halves
    return HeldOut(given, given, future).take(users)


def test_whoever_contradicts_the_rest_wins_and_serves_its_own(halves):
    given, _ = halves
    model = fitted(given).contest(validation(halves, np.arange(USERS)))
    assert [v.segment for v in model.verdicts_] == [0, 1, 2]
    assert 0 in model.local_
    zero = given.take(np.arange(0, USERS, 3))
    np.testing.assert_array_equal(model.score(zero), model.local_[0].score(zero))
    assert np.nanmax(np.abs(model.score(zero) - model.everyone.score(zero))) > 0.01


def test_a_segment_without_enough_validation_users_is_everyones_also_after_a_refit(halves):
    given, _ = halves
    users = np.flatnonzero((np.arange(USERS) % 3 != 2) | (np.arange(USERS) < LEAST_USERS))  # a few of segment 2
    model = fitted(given).contest(validation(halves, users))
    assert {v.segment for v in model.verdicts_} == {0, 1}
    won = set(model.local_)
    assert 0 in won
    assert set(model.fit(given).local_) == won


def test_nobody_is_served_apart_where_nobody_could_be_asked(halves):
    given, _ = halves
    model = fitted(given).contest(validation(halves, np.arange(5)))
    assert model.verdicts_ == []
    assert model.fit(given).local_ == {}
    np.testing.assert_array_equal(model.score(given), model.everyone.score(given))


def test_the_unassigned_are_served_by_everyones_model(halves):
    given, _ = halves
    model = fitted(given).contest(validation(halves, np.arange(USERS)))
    unmarked = given.where(given.items < MARK).take(np.arange(6))
    np.testing.assert_array_equal(model.score(unmarked), model.everyone.score(unmarked))


def test_a_small_segment_gets_no_model(halves):
    given, _ = halves
    model = fitted(given.take(np.arange(3 * LEAST_USERS - 1)))  # segments of 30, 30 and 29 users
    assert set(model.local_) == set(model.popular_) == {0, 1}


def test_a_segment_that_likes_nothing_does_not_stop_the_others(halves):
    given, _ = halves
    disliked = np.where(given.users % 3 == 1, 1, 5).astype(np.float32)
    mixed = Histories(given.starts, given.items, disliked, given.times, given.n_items)
    model = fitted(mixed, sight=4.0)
    one = mixed.take(np.arange(1, USERS, 3))
    assert np.isnan(model.score(one)).all()
    assert np.isfinite(model.score(mixed.take(np.array([0])))).any()


def test_an_interval_around_the_gain_holds_the_gain(halves):
    given, _ = halves
    for verdict in fitted(given).contest(validation(halves, np.arange(USERS))).verdicts_:
        assert verdict.low <= verdict.local - verdict.everyone <= verdict.high
        assert verdict.popular_low <= verdict.popular_gain <= verdict.popular_high
        assert verdict.helps == (verdict.low > 0)


def test_over_a_popularity_that_finds_next_to_nothing_no_gain_is_told(halves, monkeypatch):
    monkeypatch.setattr(by_segment, "LEAST_NDCG", 1.01)  # more than anything finds
    for verdict in fitted(halves[0]).contest(validation(halves, np.arange(USERS))).verdicts_:
        assert (verdict.popular_gain, verdict.popular_low, verdict.popular_high) == (None, None, None)
