"""The review to be rated, its rating, and whatever came after it, are never in what is read of a user's past."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import NAMES

from shoal.adapt.finetune import finetune
from shoal.adapt.keep import load_rater
from shoal.adapt.pair import PAST, pair_examples, pasts_before
from shoal.adapt.start import Around
from shoal.data.dataset import make
from shoal.data.histories import Histories
from shoal.encode.strategy import STRATEGIES
from shoal.errors import MismatchError


def planted(times=True, seed=0):
    """A log in which every event has a rating and a word of its own; some events happen at the same moment."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(14):
        moments = np.sort(rng.integers(0, 9, 12))
        for item, moment in zip(rng.permutation(20)[:12], rng.permutation(moments), strict=True):
            n = len(rows)
            rows.append((f"u{user}", f"i{item}", 1 + 0.02 * n, 1_600_000_000 + 86_400 * int(moment), f"x{n}"))
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "at", "text"], orient="row")
    table = table.with_columns(pl.from_epoch("at"))
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(20)], "title": NAMES[:20]})
    return make(table if times else table.drop("at"), items, scale=(0, 5)), table


def events_in(text):
    """The numbers of the events whose word, or whose rating, stands in a text."""
    words = {int(n) for n in re.findall(r"\bx(\d+)\b", text)}
    ratings = {round((float(r) - 1) / 0.02) for r in re.findall(r"rated ([\d.]+) of 5", text)}
    return words, ratings


def examples(settings, data):
    labelled, pasts, of_item, texts = pair_examples(data, settings("bert", whole={"max_tokens": 64}), Around())
    own = [round((float(value) - 1) / 0.02) for value in labelled.values]
    return own, pasts, [texts[i] for i in of_item]


def test_with_times_no_past_holds_its_own_event_nor_one_that_was_not_earlier(settings):
    data, table = planted()
    own, pasts, items = examples(settings, data)
    assert sorted(own) == list(range(table.height))
    rows = table.rows(named=True)
    seen = 0
    for event, past, item in zip(own, pasts, items, strict=True):
        words, ratings = events_in(past)
        assert words == ratings  # an event is told with its rating and its text, or not at all
        seen += len(words)
        for other in words:
            assert other != event
            assert rows[other]["user_id"] == rows[event]["user_id"]
            assert rows[other]["at"] < rows[event]["at"]
        assert item == NAMES[int(rows[event]["item_id"][1:])]
        earlier = [
            n for n, r in enumerate(rows) if r["user_id"] == rows[event]["user_id"] and r["at"] < rows[event]["at"]
        ]
        assert bool(words) == bool(earlier)
    assert seen > table.height


def test_without_times_no_past_holds_its_own_event(settings):
    data, table = planted(times=False)
    own, pasts, _ = examples(settings, data)
    rows = table.rows(named=True)
    assert sorted(own) == list(range(table.height))
    for event, past in zip(own, pasts, strict=True):
        words, ratings = events_in(past)
        assert words == ratings
        assert words
        assert event not in words
        assert {rows[n]["user_id"] for n in words} == {rows[event]["user_id"]}


def test_a_past_tells_the_newest_events_and_fits_two_thirds_of_the_tokens(settings, bases):
    from shoal.encode.lm import LanguageModel

    data, table = planted()
    own, pasts, _ = examples(settings, data)
    lm = LanguageModel(bases["bert"], max_tokens=64, device="cpu")
    assert lm.count_tokens(pasts).max() <= 42
    rows = table.rows(named=True)
    for event, past in zip(own, pasts, strict=True):
        told = events_in(past)[0]
        left_out = [
            r["at"] for n, r in enumerate(rows)
            if r["user_id"] == rows[event]["user_id"] and r["at"] < rows[event]["at"] and n not in told
        ]  # fmt: skip
        assert not told or not left_out or max(left_out) <= min(rows[n]["at"] for n in told)


def test_what_is_kept_of_the_examples_is_bounded(settings, monkeypatch):
    monkeypatch.setattr("shoal.adapt.pair.MOST_EXAMPLES", 30)
    own, _, _ = examples(settings, planted()[0])
    assert len(own) == len(set(own)) == 30


def test_the_same_seed_draws_the_same_pasts(settings):
    first, again = (examples(settings, planted(times=False)[0]) for _ in range(2))
    assert first == again


@given(
    st.lists(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=30), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_a_past_is_of_its_user_and_before_its_event(users, seed):
    times = [sorted((np.nan if t is None else float(t) for t in one), key=lambda t: (t == t, t)) for one in users]
    counts = np.array([len(one) for one in times])
    starts = np.concatenate([[0], np.cumsum(counts)])
    n = int(starts[-1])
    past = Histories(
        starts, np.arange(n, dtype=np.int32), np.arange(n, dtype=np.float32), np.concatenate([*times, []]), n
    )
    events = np.arange(n)
    if not n:
        return
    before = pasts_before(past, events, np.random.default_rng(seed))
    assert before.n_users == n
    for event in events:
        chosen = before.items[before.starts[event] : before.starts[event + 1]]
        assert len(chosen) == len(set(chosen)) <= PAST
        assert event not in chosen
        assert (past.users[chosen] == past.users[event]).all()
        if not np.isnan(past.times[event]):
            earlier = [e for e in range(starts[past.users[event]], event) if not past.times[e] >= past.times[event]]
            assert chosen.tolist() == earlier[-PAST:]


@pytest.mark.parametrize(
    ("task", "base", "strategy"),
    [
        (task, ("bert", "gpt2", "llama")[(i + j) % 3], strategy)
        for i, task in enumerate(("pair", "twin"))
        for j, strategy in enumerate(STRATEGIES)
    ],
)
def test_pairs_are_told_after_training_and_after_loading(settings, log, tmp_path, task, base, strategy):
    data = log.with_interactions(log.interactions.head(24))
    rater = finetune(data, task=task, config=settings(base, strategy, batch_size=16))
    pasts, items = ["ba, rated 5 of 5", "", None], ["be", "bi", "bo"]
    told = rater.predict(pasts, items)
    assert told["1"].to_numpy() + told["5"].to_numpy() == pytest.approx(np.ones(3), abs=1e-5)
    kept = load_rater(rater.save(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(kept.predict(pasts, items)["rating"], told["rating"], atol=1e-4)
    with pytest.raises(MismatchError, match=rf"trained for the task {task}: it reads a user's past"):
        kept.predict(items)


@pytest.mark.parametrize("task", ["pair", "twin"])
def test_an_item_s_text_matters_in_what_is_told(settings, log, task):
    rater = finetune(log, task=task, config=settings("bert", "full", epochs=1))
    told = rater.predict(["ba, rated 5 of 5"] * 2, ["be", "fi"])["rating"]
    assert told[0] != told[1]


def test_data_without_ratings_is_refused(settings, log):
    bare = make(log.interactions.drop("rating"), log.items)
    with pytest.raises(MismatchError, match="holds no ratings, which this task learns"):
        finetune(bare, task="pair", config=settings())
    with pytest.raises(MismatchError, match=r"give what shoal.read returns"):
        finetune(pl.DataFrame({"text": ["a"]}), task="twin", config=settings())
