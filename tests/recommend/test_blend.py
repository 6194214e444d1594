"""Tuning and blending: nothing is chosen that is worse on validation."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from shoal.config import Recommend
from shoal.data import split
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.synthetic import planted_world
from shoal.evaluate.ranking import ndcg
from shoal.progress import Progress
from shoal.recommend.bench import Bench
from shoal.recommend.blend import Blend
from shoal.recommend.item_item import ItemItem
from shoal.recommend.popularity import Popularity
from shoal.recommend.tune import HeldOut, climb
from shoal.recommend.weights import warmth

NO_WORDS = sparse.csr_matrix((80, 0), dtype=np.float32)


@pytest.fixture(scope="module")
def asked() -> tuple[Histories, HeldOut]:
    data, _ = planted_world(users=150, items=80, segments=3, events_per_user=20, seed=4)
    held = split.random(data, share=0.2, seed=0)
    items, everyone = Ids(data.items["item_id"]), Ids(sorted(data.users["user_id"].cast(str)))
    train = histories(held.train.interactions, everyone, items)
    given, future = (histories(t, everyone, items) for t in (held.given, held.test))
    return train, HeldOut(given, given, future.liked(4.0))


def test_the_quality_that_tunes_is_the_metric_that_judges(asked):
    train, held = asked
    model = Popularity().fit(train)
    scores = np.array(model.score(held.past))
    scores[held.seen.users, held.seen.items] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    names = np.arange(held.past.n_users).astype(str)
    lists = pl.DataFrame(
        {
            "user_id": np.repeat(names, 10),
            "item_id": best.ravel().astype(str),
            "rank": np.tile(np.arange(1, 11), len(names)),
        }
    )
    truth = pl.DataFrame({"user_id": names[held.liked.users], "item_id": held.liked.items.astype(str)})
    assert np.nanmean(held.ndcg(model.score)) == pytest.approx(ndcg(lists, truth, n=10).mean, abs=1e-6)


@pytest.mark.parametrize("best", range(5))
def test_the_climb_finds_the_top_from_anywhere(best):
    for start in range(5):
        assert climb(range(5), start, lambda rung: -abs(rung - best))[0] == best


def test_buckets_of_warmth_end_at_0_3_and_10():
    assert warmth(np.array([0, 1, 2, 3, 4, 6, 7, 10, 11, 500])).tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_blend_is_never_worse_on_validation_than_its_best_model(asked):
    train, held = asked
    models = [Popularity().fit(train), ItemItem(20.0).fit(train)]
    blend = Blend(models).fit(train).learn(held, seed=0)
    alone = [np.nanmean(held.ndcg(m.score)) for m in models]
    assert np.nanmean(held.ndcg(blend.score)) >= max(alone) - 1e-6
    for row in blend.story_:
        assert row["blend"] >= max(row["popularity"], row["item_item"]) - 1e-9


def test_those_without_a_past_are_served_by_popularity(asked):
    train, held = asked
    blend = Blend([Popularity().fit(train), ItemItem(20.0).fit(train)]).fit(train).learn(held, seed=0)
    nobody = train.where(np.zeros(len(train.items), bool)).take(np.array([0]))
    order = np.argsort(-blend.score(nobody)[0])
    np.testing.assert_array_equal(order[:10], np.argsort(-Popularity().fit(train).score(nobody)[0])[:10])


def test_too_few_validation_users_leave_the_weights_alike(asked):
    train, held = asked
    blend = Blend([Popularity().fit(train), ItemItem(20.0).fit(train)]).fit(train)
    blend.learn(held.take(np.arange(5)), seed=0)
    np.testing.assert_allclose(blend.weights_, 0.5)


def test_the_bench_tunes_every_model_and_tells_what_it_tried(asked):
    train, held = asked
    features = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)

    class Tower:
        name = "sequence"

        def fit(self, histories):
            return self

        def score(self, histories):
            return np.zeros((histories.n_users, 80), np.float32)

    bench = Bench(train, held, Recommend(factors=8), 4.0, 0, Progress())
    models = bench.models(features, NO_WORDS, Tower(), lambda past: np.zeros(past.n_users, np.int32))
    blend = bench.blend(models)
    assert set(models) == {"popularity", "trending", "item_item", "walks", "factors", "sequence", "text", "by_segment"}
    tried = {
        "events seen",
        "item_item dropout, power, positive",
        "item_item l2",
        "factors l2, alpha",
        "factors power, counts",
    }
    tried |= {"half-life in days", "walks beta", "walks alpha", "cold items, trust in words, l2"}
    assert tried | {"blend"} == set(bench.story)
    assert {m.name for m in blend.models} - {"by_segment"} == set(models) - {"by_segment"}


def test_words_are_trusted_where_names_say_who_reads_what():
    """Twenty authors of ten books each; everybody reads two of the authors."""
    rng = np.random.default_rng(0)
    author, readers = np.repeat(np.arange(20), 10), 300
    reads = np.stack([rng.permutation(20)[:2] for _ in range(readers)])
    used = (author[None, None] == reads[:, :, None]).any(1) & (rng.random((readers, 200)) < 0.8)
    rows, items = np.nonzero(used)
    events = pl.DataFrame({"user_id": rows.astype(str), "item_id": items.astype(str)})
    everyone, catalogue = Ids([f"{i}" for i in range(readers)]), Ids([f"{i}" for i in range(200)])
    shown = rng.random(len(rows)) < 0.7
    train, future = (histories(events.filter(part), everyone, catalogue) for part in (shown, ~shown))
    held = HeldOut(train, train, future)
    names = sparse.csr_matrix(np.eye(20, dtype=np.float32)[author])
    nonsense = sparse.csr_matrix(np.eye(20, dtype=np.float32)[rng.permutation(author)])
    features = rng.normal(scale=0.05, size=(200, 4)).astype(np.float32)

    def trust(words):
        bench = Bench(train, held, Recommend(factors=8, trees=False), None, 0, Progress())
        models = bench.models(features, words, Popularity(), lambda past: np.zeros(past.n_users, np.int32))
        return models["text"].map.trust, bench.story["cold items, trust in words, l2"]

    trusted, tried = trust(names)
    assert trusted == 1
    assert tried["(1.0, 0.3)"] > 2 * max(trust(nonsense)[1].values())


def test_where_the_trees_library_does_not_load_the_weights_serve_and_it_is_said(asked, monkeypatch):
    train, held = asked
    warned = []

    class Telling(Progress):
        def warn(self, line):
            warned.append(line)

    monkeypatch.setitem(sys.modules, "lightgbm", None)
    features = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    bench = Bench(train, held, Recommend(factors=8), 4.0, 0, Telling())
    models = bench.models(features, NO_WORDS, Popularity(), lambda past: np.zeros(past.n_users, np.int32))
    blend = bench.blend(models)
    assert len(warned) == 1
    assert "LightGBM cannot be loaded" in warned[0]
    assert blend.boosted_ is None
    assert np.isfinite(blend.score(held.past)).all()


def test_validation_chooses_how_many_factors_where_the_settings_do_not_say(asked, monkeypatch):
    train, held = asked
    monkeypatch.setattr("shoal.recommend.bench.WIDTHS", (2, 4, 8))
    features = np.zeros((80, 1), np.float32)

    def tuned(settings):
        bench = Bench(train, held, settings, 4.0, 0, Progress())
        models = bench.models(features, NO_WORDS, Popularity(), lambda past: np.zeros(past.n_users, np.int32))
        return models["factors"].model, bench.story

    model, story = tuned(Recommend())
    assert str(model.width) == max(story["factors"], key=story["factors"].__getitem__)
    together = next((told for key, told in story.items() if key.endswith(" factors")), None)
    if together is not None:
        beside = together["beside narrower ones"] > together["alone"]
        assert [one.width for one in model.models] == ([w for w in (2, 4, 8) if w <= model.width][not beside and -1 :])
    fixed, story = tuned(Recommend(factors=3))
    assert [one.width for one in fixed.models] == [3]
    assert "factors" not in story
