"""Items that the same people use come close; nobody's own item, nor one used with it, is ever pushed away."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapt.couse import CoUse, _cross_entropy, draw_pairs, item_sentences, learn_couse, more_than_by_chance
from shoal.adapt.finetune import finetune
from shoal.adapt.keep import load_rater
from shoal.adapt.start import Around, make_reader, open_base
from shoal.data.dataset import make
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.encode.lm import LanguageModel
from shoal.encode.strategy import STRATEGIES
from shoal.errors import MismatchError, NotEnoughDataError


def liked(data):
    items, texts = item_sentences(data)
    return histories(data.interactions, Ids(data.users["user_id"]), items).liked(data.scale.at(0.7)), items, texts


@pytest.fixture
def learner(settings, log):
    def make_learner(hard=2, strategy="full", left_out=(), **whole):
        made = settings("bert", strategy, whole={"hard_negatives": hard, **whole})
        past, _, texts = liked(log)
        reader = make_reader(open_base(made, "cpu"), made, 10)
        held = np.zeros(20, bool)
        held[list(left_out)] = True
        parts = past.take(np.arange(20)), past.take(np.arange(20, 24))
        return CoUse(reader, texts, *parts, held, made, Around("cpu"))

    return make_learner


def group_of(items):
    return np.array([int(i[1:]) // 10 for i in items.values])


@given(st.lists(st.lists(st.integers(0, 9), max_size=6, unique=True), min_size=1, max_size=6), st.integers(0, 99))
def test_a_pair_is_two_different_items_of_one_user(users, seed):
    counts = [len(one) for one in users]
    if max(counts) < 2:
        return
    flat = np.array([i for one in users for i in one], dtype=np.int32)
    past = Histories(np.concatenate([[0], np.cumsum(counts)]), flat, flat * 1.0, flat * 1.0, 10)
    pairs = draw_pairs(past, 20, np.random.default_rng(seed))
    assert pairs.shape == (20, 2)
    for a, b in pairs:
        assert a != b
        assert any({a, b} <= set(one) for one in users)


@given(st.integers(0, 99))
def test_a_pair_with_held_out_items_leads_from_the_others_to_them(seed):
    rng = np.random.default_rng(seed)
    chosen, held = rng.random((6, 10)) < 0.4, np.arange(10) > 6
    items = np.nonzero(chosen)[1]
    starts = np.concatenate([[0], np.cumsum(chosen.sum(1))])
    past = Histories(starts, items.astype(np.int32), items * 1.0, items * 1.0, 10)
    if not (chosen[:, held].any(1) & chosen[:, ~held].any(1)).any():
        return
    for a, b in draw_pairs(past, 20, rng, held):
        assert not held[a]
        assert held[b]
        assert (chosen[:, a] & chosen[:, b]).any()


def test_no_item_is_a_negative_of_itself_or_of_one_used_with_it_more_than_by_chance(learner):
    one = learner()
    matrix = one.histories.matrix().toarray()
    together = (matrix.T @ matrix) * len(matrix) > np.outer(matrix.sum(0), matrix.sum(0))
    assert together.any()
    assert not together.all()
    distinct = np.array([0, 3, 4, 9, 12, 17])
    allowed = one._negatives(distinct)
    assert not allowed.diagonal().any()
    assert np.array_equal(allowed, ~together[distinct][:, distinct] & ~np.eye(6, dtype=bool))


def test_what_everybody_uses_is_used_with_nothing_more_than_by_chance():
    square = np.ones((8, 4), bool)
    square[:4, 1] = square[4:, 2] = square[4:, 3] = False  # item 0 is everybody's; 2 and 3 go together, 1 goes apart
    items = np.nonzero(square)[1]
    starts = np.concatenate([[0], np.cumsum(square.sum(1))])
    past = Histories(starts, items.astype(np.int32), items * 1.0, items * 1.0, 4)
    expected = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert np.array_equal(more_than_by_chance(past).toarray(), expected)


def test_held_out_items_are_neither_learnt_from_nor_pushed_away_and_are_what_is_to_be_found(learner):
    one = learner(left_out=(4, 15))
    assert not np.isin(one.histories.items, [4, 15]).any()
    assert not np.isin(one.hard, [4, 15]).any()
    assert one.candidates.tolist() == [4, 15]
    assert np.isin(one.valid_pairs[:, 1], [4, 15]).all()
    assert not np.isin(one.valid_pairs[:, 0], [4, 15]).any()
    batches = one.epoch(np.random.default_rng(0), 8)
    assert not np.isin(np.concatenate(batches), [4, 15]).any()


@pytest.mark.parametrize("left_out", [(), (4, 11, 15)])
def test_validation_tells_the_rank_of_the_positive_among_the_candidates(learner, left_out):
    one = learner(left_out=left_out)
    told = one.validate()
    vectors = one.vectors(np.arange(20)).detach().numpy()
    ranks = []
    for a, b in one.valid_pairs:
        among = [c for c in one.candidates if c != a]
        ranks.append(1 + (vectors[among] @ vectors[a] > vectors[b] @ vectors[a] + 1e-6).sum())
    assert told["mean_rank"] == pytest.approx(np.mean(ranks), abs=0.02)
    assert told["valid"] == pytest.approx(np.log(ranks).mean(), abs=0.02)


def test_the_loss_is_infonce_over_the_positive_and_the_allowed_negatives():
    similar = torch.tensor([[9.0, 1.0, 2.0, 3.0], [1.0, 9.0, 0.5, 0.2], [2.0, 0.5, 9.0, 1.5], [3.0, 0.2, 1.5, 9.0]])
    allowed = torch.zeros(4, 4, dtype=torch.bool)
    allowed[0, 2] = allowed[0, 3] = allowed[1, 2] = True
    got = _cross_entropy(similar, allowed, torch.tensor([0, 1]), torch.tensor([1, 3]))
    first = -torch.log_softmax(torch.tensor([1.0, 2.0, 3.0]), 0)[0]  # positive 1, negatives 2 and 3
    second = -torch.log_softmax(torch.tensor([0.2, 0.5]), 0)[0]  # positive 3, negative 2
    assert torch.isclose(got, (first + second) / 2)
    alone = _cross_entropy(similar, torch.zeros_like(allowed), torch.tensor([0]), torch.tensor([1]))
    assert alone == 0  # a positive is never its own negative


def test_what_is_used_often_is_not_pushed_away_more_for_it(learner):
    one = learner(hard=0)
    vectors = torch.eye(4, 16)
    distinct, place = np.array([0, 10, 11, 12]), np.array([[0, 1]])
    one.together = one.together * 0  # everything is a negative
    one.log_share = torch.zeros(20)
    flat = one._loss(vectors, distinct, place)
    one.log_share[12] = np.log(100.0)  # drawn a hundred times as often: its logit falls by log 100
    assert one._loss(vectors, distinct, place) < flat
    assert torch.isclose(flat, torch.log(torch.tensor(3.0)))


def test_hard_negatives_were_not_used_together_more_than_by_chance_and_are_the_closest_texts(learner):
    one = learner()
    vectors = torch.nn.functional.normalize(one.reader.all(one.tokens, Around().progress), dim=1)
    cosines = (vectors @ vectors.T).numpy()
    for item in range(20):
        apart = [j for j in range(20) if one.together[item, j] == 0 and j != item]
        found = one.hard[item][: min(8, len(apart))]
        assert set(found) <= set(apart)
        np.testing.assert_allclose(cosines[item][found], np.sort(cosines[item][apart])[::-1][: len(found)], atol=1e-5)


def test_batches_hold_pairs_and_their_hard_negatives_and_none_of_one_pair_alone(learner):
    one = learner(hard=3)
    parts = one.epoch(np.random.default_rng(0), 7)
    assert all(part.shape[1] == 5 and len(part) > 1 for part in parts)
    assert sum(len(part) for part in parts) >= one.n_pairs - 1
    assert learner(hard=0).epoch(np.random.default_rng(0), 7)[0].shape == (7, 2)


def test_disliked_items_are_no_use(learner, log):
    past, items, _ = liked(log)
    group = group_of(items)
    for user in range(past.n_users):
        assert len(set(group[past.items[past.starts[user] : past.starts[user + 1]]])) == 1


@pytest.mark.parametrize("base", ["bert", "gpt2"])
def test_items_of_one_group_come_closer_than_items_of_two(settings, log, base):
    _, items, texts = liked(log)
    made = settings(base, "full", epochs=5, batch_size=16, dropout=0.0, optimizer={"name": "adamw", "lr": 5e-3})
    tuned = finetune(log, task="couse", config=made)
    group = group_of(items)
    same = (group[:, None] == group) & ~np.eye(20, dtype=bool)
    other = group[:, None] != group
    plain = LanguageModel(made.base, precision="float32", device="cpu").encode(texts)
    before, after = plain @ plain.T, tuned.encode(texts) @ tuned.encode(texts).T
    assert abs(before[same].mean() - before[other].mean()) < 0.1
    assert after[same].mean() > after[other].mean() + 0.15
    assert tuned.about["after"]["valid"] < tuned.about["before"]["valid"]


@pytest.mark.parametrize(
    ("base", "strategy"), [(("bert", "gpt2", "llama")[i % 3], strategy) for i, strategy in enumerate(STRATEGIES)]
)
def test_every_strategy_ends_in_an_encoder_that_gives_the_same_vectors_when_loaded(
    settings, log, tmp_path, base, strategy
):
    tuned = finetune(log, task="couse", config=settings(base, strategy, batch_size=32))
    texts = ["ba ga", "be", ""]
    vectors = tuned.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    folder = str(tuned.save(tmp_path / "model"))
    loaded = LanguageModel(folder, precision="float32", device="cpu").encode(texts)
    np.testing.assert_allclose(loaded, vectors, atol=1e-4)
    base_vectors = LanguageModel(tuned.reader.lm.name, precision="float32", device="cpu").encode(texts)
    assert np.allclose(base_vectors, vectors, atol=1e-6) == (strategy == "frozen")
    with pytest.raises(MismatchError, match=r"task couse, which tells no ratings.*shoal fit --encoder"):
        load_rater(folder)


def test_a_learnt_map_starts_as_identity(learner):
    one = learner(strategy="head")
    assert torch.equal(one.projection.weight, torch.eye(16))
    assert learner(strategy="lora").projection is None


def test_cosines_stay_in_float32_where_the_rest_is_bfloat16(learner):
    one = learner(hard=0)
    vectors = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    told = np.array([0, 1, 10, 11]), np.array([[0, 1], [2, 3]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = one._loss(vectors, *told)
    assert torch.equal(low, one._loss(vectors, *told))


def test_nobody_who_liked_two_items_is_too_little(settings):
    table = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["x", "y", "x"], "rating": [5.0, 5.0, 1.0]})
    with pytest.raises(NotEnoughDataError, match=r"0 users of data liked two items or more"):
        learn_couse(make(table), settings(), Around())
