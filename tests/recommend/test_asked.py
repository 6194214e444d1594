"""Asked: a model that several others read is asked once, and nobody's answer changes."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.synthetic import planted_world
from shoal.recommend.asked import Asked
from shoal.recommend.blend import Blend
from shoal.recommend.by_segment import BySegment
from shoal.recommend.item_item import ItemItem
from shoal.recommend.liked import Liked
from shoal.recommend.popularity import Popularity
from shoal.recommend.text import Text

SIGHT = 3.0


class Counted(ItemItem):
    """An item-item model that counts how often it is asked."""

    asked = 0

    def score(self, pasts: Histories) -> np.ndarray:
        self.asked += 1
        return super().score(pasts)


@pytest.fixture(scope="module")
def pasts() -> Histories:
    data, _ = planted_world(users=80, items=30, segments=2, events_per_user=10, seed=0)
    return histories(data.interactions, Ids(data.users["user_id"]), Ids(data.items["item_id"]), seed=0)


def halves(past: Histories) -> np.ndarray:
    return np.arange(past.n_users) % 2


@pytest.fixture
def models(pasts):
    everyone, popularity = Counted(5.0), Popularity()
    liked, popular = Liked(everyone, SIGHT), Liked(popularity, SIGHT)
    features = np.random.default_rng(0).normal(size=(pasts.n_items, 4)).astype(np.float32)
    text, local = Text(features, [liked]), BySegment(halves, everyone, popularity, sight=SIGHT)
    for model in (popular, liked, text, local):
        model.fit(pasts)
    blend = Blend([popular, liked, local, text]).fit(pasts)
    everyone.asked = 0
    return {"everyone": everyone, "item_item": liked, "text": text, "by_segment": local, "blend": blend}


def test_the_model_that_all_others_read_is_asked_once(models, pasts):
    asked = Asked(pasts)
    for name in ("blend", "item_item", "text", "by_segment"):
        asked.of(models[name])
    asked.of(models["text"])
    assert models["everyone"].asked == 1


@pytest.mark.parametrize("name", ["item_item", "text", "by_segment", "blend"])
def test_what_is_asked_together_is_what_each_says_alone(models, pasts, name):
    asked = Asked(pasts)
    for other in models:
        if other != "everyone":
            asked.of(models[other])
    np.testing.assert_array_equal(asked.of(models[name]), models[name].score(pasts))


def test_an_answer_that_others_read_cannot_be_changed(models, pasts):
    scores = Asked(pasts).of(models["item_item"])
    with pytest.raises(ValueError, match="read-only"):
        scores[0, 0] = 1
    for name in ("item_item", "text", "by_segment", "blend"):
        models[name].score(pasts)[0, 0] = 1  # asked alone, the answer is the asker's


def test_liked_pasts_are_those_of_the_sight_and_none_hides_nothing(pasts):
    asked = Asked(pasts)
    assert asked.liked(None) is asked
    assert asked.liked(SIGHT) is asked.liked(SIGHT)
    np.testing.assert_array_equal(asked.liked(SIGHT).pasts.items, pasts.liked(SIGHT).items)
    assert len(asked.liked(SIGHT).pasts.items) < len(pasts.items)


def test_scores_go_when_nobody_asks_any_more(models, pasts):
    asked = Asked(pasts)
    scores = weakref.ref(asked.of(models["item_item"]))
    asked.of(models["blend"])
    del asked
    assert scores() is None
