"""Texts become tokens once and vectors a batch at a time; which batch a text is in changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CLS, DECODERS, EOS, MASK, PLACES, SEP, UNKNOWN

from shoal.adapt.reader import Reader, shuffled_batches
from shoal.encode.adapt import adapt
from shoal.encode.lm import LanguageModel
from shoal.encode.strategy import STRATEGIES
from shoal.progress import Progress

KINDS = ("bert", "gpt2", "llama")
TEXTS = ["good w1 w2", "bad", "", "w1 w2 w3 w4 w5 good w6", "fine w0"]


@pytest.fixture
def make(bases):
    def reader(kind="bert", strategy="frozen", max_tokens=32):
        lm = LanguageModel(bases[kind], precision="float32", device="cpu", max_tokens=max_tokens)
        return Reader(lm, adapt(lm.model, STRATEGIES[strategy](), width=lm.width))

    return reader


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_is_the_language_model_s_own_whoever_shares_the_batch(make, bases, kind):
    reader = make(kind)
    tokens = reader.tokens(TEXTS)
    reader.eval()
    with torch.no_grad():
        together = reader(tokens, np.arange(5))
        alone = torch.cat([reader(tokens, np.array([row])) for row in range(5)])
        whole = reader.all(tokens, Progress())
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, whole, atol=1e-5)
    encoded = LanguageModel(bases[kind], precision="float32", device="cpu", max_tokens=32).encode(TEXTS)
    unit = torch.nn.functional.normalize(together, dim=1).numpy()
    np.testing.assert_allclose(unit, encoded, atol=1e-5)


def test_a_pair_is_read_as_one_with_two_kinds_by_an_encoder(make):
    tokens = make("bert").tokens(["good w1"], ["bad"])
    assert tokens.ids[0][0] == CLS
    assert tokens.ids[0].count(SEP) == 2
    assert tokens.kinds == [[0, 0, 0, 0, 1, 1]]
    assert make("bert").tokens(["good w1"]).kinds is None


@pytest.mark.parametrize("kind", DECODERS)
def test_a_pair_is_read_as_one_text_by_a_decoder(make, kind):
    reader = make(kind)
    assert reader.tokens(["good w1"], ["bad"]).ids == reader.tokens(["good w1 bad"]).ids
    assert reader.tokens(["good w1"], ["bad"]).kinds is None


def test_an_encoder_with_one_kind_of_token_is_given_none(make):
    reader = make("bert")
    reader.lm.source.config["type_vocab_size"] = 1
    assert reader.tokens(["good"], ["bad"]).kinds is None


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_at_the_limit_and_counted(make, kind):
    tokens = make(kind, max_tokens=8).tokens(["w1 " * 50, "good", "w2 " * 8])
    assert tokens.lengths.max() == 8
    assert tokens.truncated == (2 if kind == "bert" else 1)  # [CLS] and [SEP] count too
    assert make(kind, max_tokens=1000).tokens(["w1 " * 100]).lengths.tolist() == [PLACES]


def test_of_a_pair_that_is_too_long_the_longer_one_is_cut(make):
    tokens = make("bert", max_tokens=10).tokens(["w1 " * 50, "good"], ["bad w2", "w3 " * 50])
    assert tokens.truncated == 2
    assert [k.count(1) for k in tokens.kinds] == [3, 7]
    assert tokens.lengths.tolist() == [10, 10]


def test_an_empty_text_is_one_token_for_a_decoder(make):
    assert make("gpt2").tokens([""]).ids == [[EOS]]
    assert make("bert").tokens([]).ids == []


def test_a_word_that_is_not_known_is_unknown_and_never_a_mask(make):
    (ids,) = make("bert").tokens(["zebra"]).ids
    assert ids[1:-1] == [UNKNOWN] != [MASK]


def test_a_batch_is_padded_at_the_end_and_masked(make):
    batch = make("bert").tokens(["good w1 w2", "bad"]).batch([1, 0])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["input_ids"][0, 3:].tolist() == [0, 0]


def test_vectors_are_computed_once_where_nothing_moves_and_anew_where_something_does(make):
    for strategy, settled in (("frozen", True), ("head", True), ("last-n", False)):
        reader = make("bert", strategy)
        tokens = reader.tokens(TEXTS)
        reader.settle(tokens, Progress())
        assert (tokens.vectors is not None) == settled
    reader = make("bert")
    tokens = reader.tokens(TEXTS)
    fresh = reader.all(tokens, Progress())
    reader.settle(tokens, Progress())
    reader.model = None
    assert torch.equal(reader(tokens, np.array([3, 1])), fresh[[3, 1]])


def test_reading_all_keeps_no_gradient_and_leaves_the_mode(make):
    reader = make("bert", "full")
    tokens = reader.tokens(TEXTS)
    reader.train()
    assert not reader.all(tokens, Progress()).requires_grad
    assert reader.training
    assert torch.equal(reader.all(tokens, Progress()), reader.all(tokens, Progress()))  # no dropout
    assert reader(tokens, np.arange(2)).requires_grad


@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_holds_every_row_once(lengths, size, bucket, seed):
    lengths = np.array(lengths, dtype=np.int64)
    parts = list(shuffled_batches(np.random.default_rng(seed), lengths, size, bucket=bucket))
    assert sorted(np.concatenate(parts).tolist() if parts else []) == list(range(len(lengths)))
    assert all(len(part) <= size for part in parts)
    again = list(shuffled_batches(np.random.default_rng(seed), lengths, size, bucket=bucket))
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_texts_of_like_length_share_a_batch():
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    spread = [np.ptp(lengths[part]) for part in shuffled_batches(np.random.default_rng(1), lengths, 8)]
    assert np.mean(spread) < 5
