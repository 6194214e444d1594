"""The blind score: near one for true names of a planted world, chance for shuffled ones and for noise."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import polars as pl
import pytest
from chat_server import completion, fails, says, serving

from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.synthetic import TOPICS, noise_world, planted_world
from shoal.errors import MismatchError
from shoal.segment.ask import Chat, Endpoint
from shoal.segment.blind import blind_scores, chat_scores, choice_of, halves, years_of
from shoal.segment.blind_scores import TABLE

WORDS = {word: place for place, word in enumerate(w for t, words in TOPICS.items() for w in (t.lower(), *words))}


class Bags:
    """An encoder whose vectors count words: the words of a topic share a direction beside their own."""

    fingerprint = "bags"
    width = 200

    def encode(self, texts):
        vectors = np.full((len(texts), self.width), 0.5, np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(",", " ").replace(".", " ").split():
                if word in WORDS:
                    vectors[row, WORDS[word]] += 1
                    vectors[row, 180 + WORDS[word] // 11] += 3
        return vectors


ENCODER = Bags()


def world(make, users=400, segments=4, seed=0, **how):
    """Names, the segment of each user, item vectors and histories, titles."""
    data, truth = make(users=users, items=120, segments=segments, events_per_user=20, seed=seed, **how)
    items = Ids(data.items["item_id"])
    who = Ids(truth["user_id"])
    pasts = histories(data.interactions, who, items)
    titles = data.items["title"].to_list()
    return dict(enumerate(list(TOPICS)[:segments])), truth["segment"].to_numpy(), ENCODER.encode(titles), pasts, titles


def test_true_names_of_a_planted_world_are_matched():
    names, segments, vectors, pasts, _ = world(planted_world, noise=0.1)
    found = blind_scores(names, segments, vectors, pasts, ENCODER)
    assert found.score > 0.97
    assert found.low > 0.9
    assert found.chance == 0.25
    assert found.table.schema == TABLE
    assert (found.table["score"] > 0.9).all()
    assert found.table["users"].sum() == 400
    assert "above chance" in found.line()
    assert "not above" not in found.line()


def test_names_dealt_out_in_every_way_score_chance_on_average():
    names, segments, vectors, pasts, _ = world(planted_world, noise=0.3)
    scores = [
        blind_scores(dict(enumerate(dealt)), segments, vectors, pasts, ENCODER, draws=10).score
        for dealt in itertools.permutations(names.values())
    ]
    assert np.mean(scores) == pytest.approx(0.25, abs=0.005)
    assert max(scores) == scores[0] > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_names_of_a_noise_world_score_chance(seed):
    names, segments, vectors, pasts, _ = world(noise_world, seed=seed)
    found = blind_scores(names, segments, vectors, pasts, ENCODER)
    assert found.low - 0.02 <= 0.25 <= found.high + 0.02
    assert found.high - found.low < 0.12


def test_a_name_that_is_near_to_everything_is_not_picked_for_everybody():
    names, segments, vectors, pasts, _ = world(planted_world, noise=0.2)
    towards = ENCODER.encode([names[0]])[0]
    leaning = vectors + 5 * towards  # every item speaks of the first name
    found = blind_scores(names, segments, leaning, pasts, ENCODER)
    assert found.score > 0.9


@pytest.mark.slow
def test_the_real_encoder_matches_the_names_of_a_planted_world():
    from shoal.config import Encode
    from shoal.encode.open import open_encoder

    data, truth = planted_world(users=200, items=60, segments=4, events_per_user=12)
    encoder = open_encoder(Encode(encoder="minilm"))
    vectors = encoder.encode(data.items["title"].to_list())
    pasts = histories(data.interactions, Ids(truth["user_id"]), Ids(data.items["item_id"]))
    names = {s: f"{topic} fans" for s, topic in enumerate(list(TOPICS)[:4])}
    found = blind_scores(names, truth["segment"].to_numpy(), vectors, pasts, encoder)
    assert found.low > 0.6


def test_names_of_habits_have_no_score_and_are_no_choice():
    names, segments, vectors, pasts, _ = world(planted_world)
    names = {**names, 1: "Heavy users", 2: "Frequent, generous raters", -1: "(unassigned)"}
    found = blind_scores(names, segments, vectors, pasts, ENCODER)
    assert found.chance == 0.5
    rows = {row["segment"]: row for row in found.table.to_dicts()}
    assert set(rows) == {0, 1, 2, 3}
    assert rows[1]["score"] is rows[2]["score"] is None
    assert "habits alone" in rows[1]["reason"]
    assert rows[0]["score"] > 0.9
    assert choice_of(names) == [0, 3]


@pytest.mark.parametrize("names", [{}, {0: "Ocean"}, {0: "Heavy users", 1: "Light users"}, {-1: "(unassigned)"}])
def test_fewer_than_two_names_cannot_be_matched(names):
    _, segments, vectors, pasts, _ = world(planted_world)
    found = blind_scores(names, segments, vectors, pasts, ENCODER)
    assert math.isnan(found.score)
    assert found.table["score"].null_count() == found.table.height == len(set(names) - {-1})
    assert "nothing to match" in found.line()


def test_a_segment_whose_users_did_nothing_has_no_score():
    names, segments, vectors, pasts, _ = world(planted_world)
    silent = pasts.where(segments[pasts.users] != 2)
    found = blind_scores(names, segments, vectors, silent, ENCODER)
    row = found.table.row(2, named=True)
    assert row["score"] is None
    assert "could be judged" in row["reason"]
    assert found.score > 0.9


def test_users_without_a_segment_are_not_judged():
    names, segments, vectors, pasts, _ = world(planted_world)
    some = np.where(np.arange(400) % 2, segments, -1)
    assert blind_scores(names, some, vectors, pasts, ENCODER).table["users"].sum() == 200


def test_at_most_so_many_users_are_judged_evenly():
    names, segments, vectors, pasts, _ = world(planted_world)
    found = blind_scores(names, segments, vectors, pasts, ENCODER, most_users=100)
    assert found.table["users"].to_list() == [25] * 4


def test_segments_weigh_the_same_whatever_their_size():
    names, segments, vectors, pasts, _ = world(planted_world)
    few = np.where((segments == 0) & (np.arange(400) % 10 > 0), -1, segments)
    found = blind_scores(names, few, vectors, pasts, ENCODER)
    assert found.score == pytest.approx(found.table["score"].mean())


def test_the_same_seed_gives_the_same_score_and_the_order_of_events_does_not_matter():
    names, segments, vectors, pasts, _ = world(planted_world, noise=0.6)
    first = blind_scores(names, segments, vectors, pasts, ENCODER, seed=3, items_each=2)
    again = blind_scores(names, segments, vectors, pasts, ENCODER, seed=3, items_each=2)
    backwards = Histories(
        pasts.starts,
        np.concatenate([pasts.items[a:b][::-1] for a, b in itertools.pairwise(pasts.starts)]),
        pasts.values,
        pasts.times,
        pasts.n_items,
    )
    turned = blind_scores(names, segments, vectors, backwards, ENCODER, seed=3, items_each=2)
    assert first.table.equals(again.table)
    assert first.table.equals(turned.table)
    other = blind_scores(names, segments, vectors, pasts, ENCODER, seed=4, items_each=2)
    assert not first.table.equals(other.table)


def test_more_items_tell_more():
    names, segments, vectors, pasts, _ = world(planted_world, noise=0.7)
    one, ten = (blind_scores(names, segments, vectors, pasts, ENCODER, items_each=n).score for n in (1, 10))
    assert ten > one + 0.1


def test_years_are_held_against_decades_in_names():
    _, segments, vectors, pasts, _ = world(planted_world, segments=2, noise=0.1)
    topic = np.array([0 if w[WORDS[next(iter(TOPICS)).lower()] // 11 + 180] > 1 else 1 for w in vectors])
    years = np.where(topic == 0, 1984.0, 2003.0)
    named = {0: "1980s titles", 1: "2000s titles"}
    assert blind_scores(named, segments, vectors, pasts, ENCODER, years=years).score > 0.95
    eras = {0: "Older titles", 1: "Newer titles, heavy users"}
    assert blind_scores(eras, segments, vectors, pasts, ENCODER, years=years).score > 0.95
    swapped = {0: "Newer titles", 1: "Older titles"}
    assert blind_scores(swapped, segments, vectors, pasts, ENCODER, years=years).score < 0.05
    unknown = np.full(len(vectors), np.nan)
    assert blind_scores(named, segments, vectors, pasts, ENCODER, years=unknown).score == pytest.approx(0.5)


def test_years_come_from_titles_or_a_column():
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["Heat (1995)", "Heat"]}).cast({"item_id": pl.Categorical})
    assert years_of(items)[0] == 1990
    assert np.isnan(years_of(items)[1])


def test_all_right_is_not_taken_for_certain():
    names, segments, vectors, pasts, _ = world(planted_world, users=40, noise=0.0)
    row = blind_scores(names, segments, vectors, pasts, ENCODER).table.row(0, named=True)
    assert (row["score"], row["high"]) == (1.0, 1.0)
    assert row["low"] == pytest.approx(0.025 ** (1 / 10))  # Clopper and Pearson, ten of ten


def test_halves_part_each_user_by_id_alone():
    members = pl.DataFrame({"user_id": [f"u{i}" for i in range(1_000)], "segment": [i % 3 for i in range(1_000)]})
    making, judged = halves(members, seed=1)
    assert making.height + judged.height == 1_000
    assert 440 < making.height < 560
    assert not set(making["user_id"]) & set(judged["user_id"])
    again, _ = halves(members.reverse().head(700), seed=1)
    assert set(again["user_id"]) <= set(making["user_id"])
    assert set(halves(members, seed=2)[0]["user_id"]) != set(making["user_id"])


@pytest.mark.parametrize("wrong", ["segments", "vectors"])
def test_what_does_not_fit_together_is_refused(wrong):
    names, segments, vectors, pasts, _ = world(planted_world)
    segments = segments[:-1] if wrong == "segments" else segments
    vectors = vectors[:, :-1] if wrong == "vectors" else vectors
    with pytest.raises(MismatchError, match=wrong):
        blind_scores(names, segments, vectors, pasts, ENCODER)


def test_two_thousand_users_and_fifty_names_take_seconds():
    import time

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5_000, ENCODER.width)).astype(np.float32)
    starts = np.arange(0, 20_000 * 50 + 1, 50)
    n = int(starts[-1])
    pasts = Histories(starts, rng.integers(0, 5_000, n).astype(np.int32), np.ones(n), np.zeros(n), 5_000)
    words = list(WORDS)
    names = {s: f"{words[s]} {words[s + 60]}" for s in range(50)}
    began = time.monotonic()
    found = blind_scores(names, rng.integers(0, 50, 20_000), vectors, pasts, ENCODER)
    assert time.monotonic() - began < 10
    assert found.table["users"].sum() == 2_000
    assert found.low < 0.02 < found.high


def judge(handler, body):
    """Pick the group that shares a word with the titles; a chat model would."""
    asked = json.loads(body["messages"][1]["content"])
    groups = {int(n): name for n, name in asked["groups"].items()}
    picks = []
    for titles in asked["users"]:
        told = " ".join(titles).lower()
        count = {n: sum(told.count(word) for word in TOPICS[name]) for n, name in groups.items()}
        picks.append(max(count, key=lambda n: count[n]))
    handler.send(200, completion(json.dumps({"picks": picks})))


def test_a_chat_model_may_judge_and_sees_titles_and_names_alone():
    names, segments, _, pasts, titles = world(planted_world)
    with serving(judge) as server:
        found = chat_scores(names, segments, titles, pasts, Chat(Endpoint(server.url, "t"), budget=10**6))
    assert found.score > 0.9
    assert found.judge == "chat"
    assert found.table["users"].sum() == 200
    assert len(server.seen) == 4
    sent = json.loads(server.seen[0]["body"]["messages"][1]["content"])
    assert set(sent) == {"groups", "users"}
    assert {t for user in sent["users"] for t in user} <= set(titles)
    assert not any(f'"u{i}"' in json.dumps(sent) or f'"i{i}"' in json.dumps(sent) for i in range(400))


def test_a_chat_judge_that_fails_leaves_no_score(caplog):
    names, segments, _, pasts, titles = world(planted_world)
    with serving(fails(401)) as server:
        found = chat_scores(names, segments, titles, pasts, Chat(Endpoint(server.url, "t")))
    assert math.isnan(found.score)
    assert "said nothing" in caplog.text


def test_picks_that_are_no_choice_are_left_out():
    names, segments, _, pasts, titles = world(planted_world)
    with serving(says({"picks": [0, 99, -1, "1", True, *[2] * 45]})) as server:
        found = chat_scores(names, segments, titles, pasts, Chat(Endpoint(server.url, "t"), budget=10**6))
    assert found.table["users"].sum() == 4 * 46
