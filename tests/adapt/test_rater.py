"""A rater tells a row a text: chances that sum to 1, a sentiment where classes have one, the prior for no text."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import shoal
from shoal.adapt.finetune import finetune
from shoal.adapt.rater import TextRater, sentiments
from shoal.adapt.reader import Reader
from shoal.errors import ConfigError, MismatchError


@pytest.fixture(scope="module")
def quick(bases):
    """Return a maker of raters of mere ratings or labels, hardly trained."""

    def make(targets, base="bert", **columns):
        table = pl.DataFrame({"text": [f"w{i % 12} w{(5 * i) % 12}" for i in range(len(targets))], "target": targets})
        learning = {"epochs": 1, "precision": "float32"}
        config = shoal.Finetune(
            base=bases[base], strategy="frozen", validation_share=0.3, test_share=0, max_tokens=16, learning=learning
        )
        return finetune(table, config=config, **columns)

    return make


@pytest.fixture(scope="module")
def stars(quick) -> TextRater:
    return quick([1.0, 2.0, 3.0, 4.0, 5.0, 5.0] * 8, rating="target")


def test_ratings_are_told_with_their_spread_sentiment_and_chances(stars):
    told = stars.predict(["w1 w2", "w3"])
    assert told.columns == ["row", "rating", "spread", "sentiment", "1", "2", "3", "4", "5"]
    chances = told.select("1", "2", "3", "4", "5").to_numpy()
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(told["rating"], chances @ np.arange(1, 6), atol=1e-4)
    spread = np.sqrt(chances @ np.arange(1, 6) ** 2 - (chances @ np.arange(1, 6)) ** 2)
    np.testing.assert_allclose(told["spread"], spread, atol=1e-3)


def test_an_empty_or_missing_text_gets_the_shares_of_training(stars):
    told = stars.predict(["", None, "  \n", "w1"])
    shares = told.select("1", "2", "3", "4", "5").to_numpy()
    for row in range(3):
        np.testing.assert_allclose(shares[row], stars.prior, atol=1e-6)
        assert told["rating"][row] == pytest.approx(stars.prior @ np.arange(1, 6), abs=1e-5)
    assert not np.allclose(shares[3], stars.prior, atol=1e-4)


def test_no_text_at_all_is_an_empty_table(stars):
    told = stars.predict([])
    assert (told.height, told.columns[:2]) == (0, ["row", "rating"])


def test_who_shares_the_call_changes_nothing(stars):
    texts = ["w1 " * n for n in range(1, 14)]
    together = stars.predict(texts)["rating"].to_numpy()
    alone = [stars.predict([text])["rating"][0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried"), MemoryError()])
def test_where_memory_does_not_suffice_fewer_texts_are_read_at_once(stars, monkeypatch, error):
    texts, read = ["w1 " * n for n in range(1, 14)], Reader.forward
    whole = stars.predict(texts)
    sizes = []

    def narrow(self, tokens, rows):
        sizes.append(len(rows))
        if len(rows) > 3:
            raise error
        return read(self, tokens, rows)

    monkeypatch.setattr(Reader, "forward", narrow)
    assert_frame_equal(stars.predict(texts), whole, abs_tol=1e-5)
    assert max(sizes) == 13
    monkeypatch.setattr(Reader, "forward", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(ConfigError, match="a single text of 15 tokens"):
        stars.predict(texts)
    monkeypatch.setattr(Reader, "forward", lambda *_: (_ for _ in ()).throw(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        stars.predict(texts)


def test_long_texts_are_cut_and_counted_anew_in_each_call(stars):
    stars.predict(["w1 " * 40, "w2"])
    assert stars.truncated == 1
    stars.predict(["w2"])
    assert stars.truncated == 0


def test_labels_are_told_by_the_likeliest(quick):
    rater = quick(["joy", "anger"] * 20, label="target")
    told = rater.predict(["w1", "w2"])
    assert told.columns == ["row", "label", "anger", "joy"]
    for row in told.iter_rows(named=True):
        assert row[row["label"]] == max(row["anger"], row["joy"])


def test_labels_that_speak_of_moods_are_sentiments(quick):
    rater = quick(["Negative", "pos", "neu"] * 12, label="target")
    told = rater.predict(["w1"])
    likeliest = {"Negative": "negative", "neu": "neutral", "pos": "positive"}[told["label"][0]]
    assert told["sentiment"][0] == likeliest


def test_sentiment_goes_by_the_place_on_the_scale():
    assert sentiments(["1", "2", "3", "4", "5"], np.arange(1.0, 6)).tolist() == [0, 0, 1, 2, 2]
    assert sentiments(["0", "10"], np.array([0.0, 10])).tolist() == [0, 2]
    assert sentiments(["joy", "anger"], None) is None
    assert sentiments(["negative", "neg2"], None) is None
    assert sentiments(["Neutral", "NEG", "positive"], None).tolist() == [1, 0, 2]


def test_two_texts_for_a_model_of_one_are_refused(stars):
    with pytest.raises(MismatchError, match="trained for the task review: it reads texts alone"):
        stars.predict(["w1"], ["w2"])


def test_pairs_must_be_as_many_as_each_other(settings, log):
    rater = finetune(log.with_interactions(log.interactions.head(24)), task="twin", config=settings("bert", "frozen"))
    with pytest.raises(MismatchError, match="as many of each"):
        rater.predict(["a", "b"], ["c"])
    assert rater.twin
    assert rater.predict(["", "ba"], ["be", None]).height == 2


def test_halves_of_a_star_stay_within_the_scale(quick):
    rater = quick([0.5, 1.0, 4.0, 5.0] * 12, rating="target")
    told = rater.predict([f"w{i}" for i in range(12)])
    assert told["rating"].is_between(0.5, 5).all()
    assert (told["spread"] > 0).all()
