"""Words are masked as in BERT, guessed from what came before as in GPT, and a tiny language is learnt."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from tiny_models import FILL, MASK, NAMES, SPECIAL, write_model, write_tokenizer

from shoal.adapt.finetune import finetune
from shoal.adapt.keep import load_rater
from shoal.adapt.reader import Tokens
from shoal.adapt.start import Around, make_reader, open_base
from shoal.adapt.words import IGNORED, Words, _with_word_head
from shoal.data.dataset import make
from shoal.encode.lm import LanguageModel
from shoal.encode.strategy import STRATEGIES
from shoal.errors import EncoderError, NotEnoughDataError


@pytest.fixture
def learner(settings):
    def make_learner(base="bert", texts=("ba be bi", "bo"), strategy="full", **whole):
        made = settings(base, strategy, whole=whole)
        lm = open_base(made, "cpu")
        body, head = _with_word_head(lm, Around())
        reader = make_reader(lm, made, 10, model=body)
        rows = np.arange(len(texts))
        return Words(reader, head, reader.tokens(list(texts)), rows, rows, made)

    return make_learner


def long_texts(n=200, words=20, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(NAMES, words)) for _ in range(n)]


def test_about_15_of_100_tokens_are_asked_for_of_which_8_in_10_are_masked(learner):
    one = learner(texts=long_texts())
    batch = one.tokens.batch(range(200))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    hidden, asked = one._masked(ids, mask, torch.Generator().manual_seed(0))
    chosen = asked != IGNORED
    real = 200 * 20
    assert chosen.sum() / real == pytest.approx(0.15, abs=0.02)
    assert torch.equal(asked[chosen], ids[chosen])
    assert torch.equal(hidden[~chosen], ids[~chosen])  # nothing else is touched
    assert (hidden[chosen] == MASK).float().mean() == pytest.approx(0.8, abs=0.05)
    kept = (hidden[chosen] == ids[chosen]).float().mean()
    assert kept == pytest.approx(0.1, abs=0.04)
    special = torch.isin(ids, torch.tensor(sorted(one.special)))
    assert special.sum() == 200 * 2
    assert not chosen[special].any()


def test_padding_is_never_asked_for_and_every_text_is_asked_something(learner):
    one = learner(texts=["ba", "be bi bo bu ba be bi bo", ""], mask_share=0.01)
    batch = one.tokens.batch(range(3))
    for seed in range(20):
        _, asked = one._masked(batch["input_ids"], batch["attention_mask"], torch.Generator().manual_seed(seed))
        assert not (asked != IGNORED)[batch["attention_mask"] == 0].any()
        assert (asked != IGNORED).any(1).tolist() == [True, True, False]  # an empty text has no real token


def test_the_share_that_is_masked_is_a_setting(learner):
    one = learner(texts=long_texts(), mask_share=0.5)
    batch = one.tokens.batch(range(200))
    asked = one._masked(batch["input_ids"], batch["attention_mask"], torch.Generator().manual_seed(0))[1]
    assert (asked != IGNORED).sum() / 4000 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("base", ["gpt2", "llama"])
def test_a_decoder_s_loss_is_that_of_the_next_token(learner, base):
    one = learner(base, texts=["ba be bi bo", "bu ba"])
    one.eval()
    with torch.no_grad():
        loss, n = one._loss(np.arange(2), torch.Generator())
        by_hand = []
        for ids in one.tokens.ids:
            logits = one.head(one.reader.model(input_ids=torch.tensor([ids])).last_hidden_state)[0]
            by_hand += (-logits[:-1].log_softmax(1)[torch.arange(len(ids) - 1), ids[1:]]).tolist()
    assert n == len(by_hand) == 4
    assert float(loss) == pytest.approx(np.mean(by_hand), rel=1e-4)


@pytest.mark.parametrize("base", ["gpt2", "llama"])
def test_a_decoder_guesses_from_the_past_alone(learner, base):
    one = learner(base)
    one.eval()
    some, others = (torch.tensor([[20, 21, 22, last]]) for last in (23, 30))
    with torch.no_grad():
        a, b = (one.head(one.reader.model(input_ids=ids).last_hidden_state)[0] for ids in (some, others))
    assert torch.allclose(a[:3], b[:3], atol=1e-5)
    assert not torch.allclose(a[3], b[3], atol=1e-3)


def test_an_encoder_guesses_from_both_sides(learner):
    one = learner("bert")
    one.eval()
    with torch.no_grad():
        a, b = (
            one.head(one.reader.model(input_ids=torch.tensor([[2, MASK, last, 3]])).last_hidden_state)
            for last in (20, 30)
        )
    assert not torch.allclose(a[0, 1], b[0, 1], atol=1e-3)


def test_a_head_that_comes_with_the_base_is_used_as_it_is(learner, bases):
    from transformers import BertForMaskedLM

    whole = BertForMaskedLM.from_pretrained(bases["bert"]).eval()
    one = learner("bert")
    one.eval()
    ids = torch.tensor([[2, 20, MASK, 3]])
    with torch.no_grad():
        assert torch.allclose(one.head(one.reader.model(input_ids=ids).last_hidden_state), whole(ids).logits, atol=1e-5)


def catalogue(n=40):
    """Titles in which one word always follows another: ba be, bi bo, ...; nothing is random but which pairs occur."""
    rng = np.random.default_rng(0)
    titles = []
    for _ in range(n):
        firsts = rng.integers(0, 5, 3)
        titles.append(" ".join(f"{NAMES[2 * f]} {NAMES[2 * f + 1]}" for f in firsts))
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(n)], "title": titles})
    seen = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["i0", "i1"]})
    return make(seen, items)


@pytest.mark.parametrize("base", ["bert", "gpt2"])
def test_perplexity_falls_on_a_language_with_a_rule(settings, base):
    made = settings(
        base, "full", epochs=8, batch_size=8, dropout=0.0, optimizer={"name": "adamw", "lr": 0.01}, patience=8
    )
    about = finetune(catalogue(), task="words", config=made).about
    assert about["before"]["perplexity"] > 50  # of 60 words or so
    assert about["after"]["perplexity"] < 15
    assert about["after"]["perplexity"] == pytest.approx(math.exp(about["after"]["valid"]))


@pytest.mark.parametrize(
    ("base", "strategy"), [(("gpt2", "llama", "bert")[i % 3], strategy) for i, strategy in enumerate(STRATEGIES)]
)
def test_every_strategy_ends_in_an_encoder_that_gives_the_same_vectors_when_loaded(
    settings, log, tmp_path, base, strategy
):
    tuned = finetune(log, task="words", config=settings(base, strategy, batch_size=16))
    texts = ["ba ga", "be", ""]
    loaded = LanguageModel(str(tuned.save(tmp_path / "model")), precision="float32", device="cpu")
    np.testing.assert_allclose(loaded.encode(texts), tuned.encode(texts), atol=1e-4)


@pytest.mark.parametrize("first", ["lora", "full", "adapter"])
def test_what_learnt_words_learns_ratings_on_top_and_comes_back_with_both(settings, log, reviews, tmp_path, first):
    words = finetune(log, task="words", config=settings("bert", first))
    middle = str(words.save(tmp_path / "words"))
    rater = finetune(reviews(), config=settings(middle, "lora"))
    top = load_rater(rater.save(tmp_path / "top"), device="cpu")
    texts = ["good w1", "sad w2 w3"]
    np.testing.assert_allclose(top.predict(texts)["rating"], rater.predict(texts)["rating"], atol=1e-4)
    assert [one.strategy.name for one in top.reader.lm.source.adaptations] == [first, "lora"]
    plain = LanguageModel(middle, precision="float32", device="cpu").encode(texts)
    on_top = LanguageModel(str(tmp_path / "top"), precision="float32", device="cpu").encode(texts)
    assert not np.allclose(plain, on_top, atol=1e-6)


def test_a_base_without_a_mask_token_cannot_learn_words(settings, log, tmp_path):
    folder = write_model(tmp_path / "bert", "bert", FILL)
    write_tokenizer(folder, [*SPECIAL, *FILL], encoder=False)
    with pytest.raises(EncoderError, match=r"no token for a mask. Choose another base"):
        finetune(log, task="words", config=settings(str(folder)))


def test_a_random_word_is_one_that_the_model_has(learner):
    one = learner()
    assert one.vocabulary == one.reader.model.get_input_embeddings().num_embeddings == len(one.reader.lm.tokenizer)


def test_too_few_texts_are_refused(settings):
    with pytest.raises(NotEnoughDataError, match=r"has 3 texts to learn words from; ten are needed"):
        finetune(catalogue(3), task="words", config=settings())


def test_the_mark_follows_the_texts(learner):
    same, other = learner(texts=["ba be"]), learner(texts=["ba bi"])
    assert same.mark() == learner(texts=["ba be"]).mark() != other.mark()
    assert isinstance(same.tokens, Tokens)
