"""What every recommender keeps: it reads the past that is handed in, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shoal.config import Tower
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.synthetic import planted_world
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.model.sequence import Sequence
from shoal.recommend.blend import Blend
from shoal.recommend.by_segment import BySegment
from shoal.recommend.by_traits import ByTraits
from shoal.recommend.factors import Factors
from shoal.recommend.item_item import ItemItem
from shoal.recommend.liked import Liked
from shoal.recommend.popularity import Popularity
from shoal.recommend.text import Text
from shoal.recommend.walks import Walks

FEATURES = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)


def blend():
    models = [Popularity(), ItemItem(20.0), Factors(8)]
    text = Text(FEATURES, models[1:])

    class Whole(Blend):
        def fit(self, past):
            for model in [*models, text]:
                model.fit(past)
            return super().fit(past)

    return Whole([*models, text])


def text():
    teachers = [ItemItem(20.0), Factors(8)]

    class Whole(Text):
        def fit(self, past):
            for teacher in teachers:
                teacher.fit(past)
            return super().fit(past)

    return Whole(FEATURES, teachers)


def by_segment():
    everyone, popularity = ItemItem(20.0), Popularity()

    class Whole(BySegment):
        def fit(self, past):
            everyone.fit(past)
            popularity.fit(past)
            return super().fit(past)

    return Whole(lambda past: (past.counts % 2).astype(np.int32), everyone, popularity)


def sequence():
    """The tower as it starts, which is as personal as a trained one."""
    torch.manual_seed(0)
    popularity, settings = torch.arange(60).float(), Tower(width=16, heads=2, history=20)
    network = Network(torch.from_numpy(FEATURES), popularity, settings, kind="ordinal", scale=None)
    return Sequence(network, Values(3.0, 1.0, log=False), settings.history)


MODELS = {
    "popularity": Popularity,
    "trending": lambda: Popularity(30.0),
    "item_item": lambda: ItemItem(20.0),
    "walks": Walks,
    "by_traits": ByTraits,
    "factors": lambda: Factors(8, seed=3),
    "liked item_item": lambda: Liked(ItemItem(20.0), 4.0),
    "sequence": sequence,
    "text": text,
    "by_segment": by_segment,
    "blend": blend,
}


@pytest.fixture(scope="module")
def past() -> Histories:
    data, _ = planted_world(users=80, items=60, segments=2, events_per_user=12, seed=5)
    made = histories(data.interactions, Ids(sorted(data.users["user_id"].cast(str))), Ids(data.items["item_id"]))
    return replace(made, traits=np.random.default_rng(5).integers(-1, 3, (80, 2)).astype(np.int32))


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


class TestEveryRecommender:
    def test_scores_have_a_row_a_user_and_a_column_an_item(self, name, past):
        scores = MODELS[name]().fit(past).score(past)
        assert scores.shape == (past.n_users, past.n_items)
        assert scores.dtype == np.float32
        assert not np.isinf(scores).any()

    def test_a_stranger_with_the_same_past_gets_the_same_scores(self, name, past):
        model = MODELS[name]().fit(past.take(np.arange(60)))
        stranger = past.take(np.array([70]))
        among_others = model.score(past.take(np.array([3, 70, 12])))[1]
        np.testing.assert_allclose(model.score(stranger)[0], among_others, rtol=1e-4, atol=1e-5)

    def test_the_order_of_training_users_does_not_matter(self, name, past):
        if "factors" in name or name in ("text", "blend"):
            pytest.skip("alternating least squares starts from an order")
        turned = past.take(np.arange(past.n_users)[::-1])
        one, other = MODELS[name]().fit(past).score(past), MODELS[name]().fit(turned).score(past)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)

    def test_same_seed_same_scores(self, name, past):
        one, other = MODELS[name]().fit(past).score(past), MODELS[name]().fit(past).score(past)
        np.testing.assert_array_equal(one, other)

    def test_nothing_handed_in_is_changed(self, name, past):
        before = [x.copy() for x in (past.starts, past.items, past.values, past.times)]
        MODELS[name]().fit(past).score(past)
        for was, now in zip(before, (past.starts, past.items, past.values, past.times), strict=True):
            np.testing.assert_array_equal(was, now)

    def test_a_user_without_a_past_gets_numbers_or_an_honest_nan(self, name, past):
        nobody = past.where(np.zeros(len(past.items), bool)).take(np.array([0, 1]))
        scores = MODELS[name]().fit(past).score(nobody)
        if name in ("popularity", "trending", "by_traits", "sequence", "blend"):
            assert np.isfinite(scores).any()
        else:
            assert np.isnan(scores).all()

    def test_an_item_that_nobody_used_is_unknown_but_to_those_who_read_texts(self, name, past):
        without = past.where(past.items != 7)
        scores = MODELS[name]().fit(without).score(without)[:, 7]
        if name in ("sequence", "text", "blend"):
            assert np.isfinite(scores).all()
        else:
            assert np.isnan(scores).all()


def checkerboard(n: int = 24) -> Histories:
    """Even users have all even items but the one at their own place, odd users the odd ones."""
    rows = [[i for i in range(n) if i % 2 == u % 2 and i != u] for u in range(n)]
    starts = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    items = np.concatenate(rows).astype(np.int32)
    return Histories(starts, items, np.full(len(items), 5, np.float32), np.full(len(items), np.nan), n)


@pytest.mark.parametrize("name", ["item_item", "factors", "liked item_item"])
def test_on_a_checkerboard_the_missing_square_comes_first(name):
    board = checkerboard()
    scores = MODELS[name]().fit(board).score(board)
    scores[board.users, board.items] = -np.inf
    assert scores.argmax(1).tolist() == list(range(board.n_items))
