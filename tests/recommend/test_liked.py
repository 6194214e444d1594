"""Liked: what was had and not liked is out of a model's sight."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.item_item import ItemItem
from shoal.recommend.liked import Liked
from shoal.recommend.popularity import Popularity


def rated(rows: list[dict[int, float]], items: int = 6) -> Histories:
    starts = np.cumsum([0, *map(len, rows)])
    which = np.array([i for row in rows for i in row], np.int32)
    values = np.array([v for row in rows for v in row.values()], np.float32)
    return Histories(starts, which, values, np.full(len(which), np.nan), items)


def test_a_rating_at_the_border_is_liked_and_one_below_or_none_is_not():
    past = rated([{0: 4.0, 1: 3.5, 2: np.nan, 3: 5.0}])
    scores = Liked(Popularity(), 4.0).fit(past).score(past)[0]
    assert np.isfinite(scores).tolist() == [True, False, False, True, False, False]


def test_what_was_not_liked_moves_no_score():
    others = [{0: 5.0, 1: 5.0}, {0: 5.0, 1: 4.0}, {2: 5.0, 3: 5.0}, {2: 4.0, 3: 5.0}]
    model = Liked(ItemItem(1.0), 4.0).fit(rated([*others, {0: 1.0, 3: 1.0}]))
    plain = Liked(ItemItem(1.0), 4.0).fit(rated(others))
    one, same = rated([{0: 5.0, 2: 1.0}]), rated([{0: 5.0}])
    np.testing.assert_array_equal(model.score(one), model.score(same))
    np.testing.assert_allclose(model.score(one), plain.score(one), atol=1e-6)


def test_a_user_who_liked_nothing_is_one_without_a_past():
    model = Liked(ItemItem(1.0), 4.0).fit(rated([{0: 5.0, 1: 5.0}, {2: 5.0, 3: 5.0}]))
    assert np.isnan(model.score(rated([{0: 1.0, 1: 2.0}]))).all()


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_without_a_border_every_event_counts(value):
    past = rated([{0: value, 1: value}, {0: value}])
    np.testing.assert_array_equal(Liked(Popularity(), None).fit(past).score(past), Popularity().fit(past).score(past))


def test_it_goes_by_the_name_of_its_model():
    assert Liked(Popularity(7.0), 4.0).name == "trending"
