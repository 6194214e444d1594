"""Popularity: counted by hand, with and without times."""

from __future__ import annotations

import numpy as np

from shoal.data.histories import Histories
from shoal.recommend.popularity import Popularity


def events(items: list[int] | np.ndarray, n_items: int, times: list[float] | None = None) -> Histories:
    """One event a user."""
    n = len(items)
    when = np.full(n, np.nan) if times is None else np.array(times)
    return Histories(np.arange(n + 1), np.asarray(items, np.int32), np.full(n, np.nan, np.float32), when, n_items)


def test_one_event_more_is_never_outweighed_by_the_draw_among_equals():
    counts = 30_000 + np.arange(20)
    past = events(np.repeat(np.arange(20), counts), 20)
    for seed in range(5):
        assert np.argsort(Popularity(seed=seed).fit(past).scores_).tolist() == list(range(20))


def test_the_name_says_whether_times_count():
    assert (Popularity().name, Popularity(7.0).name) == ("popularity", "trending")


def test_without_any_time_trending_is_popularity():
    past = events([0, 0, 1, 2, 2, 2], 4)
    np.testing.assert_array_equal(Popularity(7.0).fit(past).scores_, Popularity().fit(past).scores_)


def test_an_event_without_a_time_counts_as_the_oldest():
    past = events([0, 1, 2], 3, [10.0, 40.0, np.nan])
    scores = Popularity(30.0).fit(past).scores_
    np.testing.assert_allclose(scores, np.log1p([0.5, 1.0, 0.5]), atol=2e-4)


def test_times_count_from_the_newest_event_not_from_today():
    early, late = (events([0, 1, 1], 2, [t, t + 5, t + 9]) for t in (0.0, 20_000.0))
    np.testing.assert_array_equal(Popularity(3.0).fit(early).scores_, Popularity(3.0).fit(late).scores_)


def test_everyone_gets_the_same():
    past = events([0, 0, 1], 3)
    scores = Popularity().fit(past).score(past)
    np.testing.assert_array_equal(scores, np.tile(scores[0], (3, 1)))
