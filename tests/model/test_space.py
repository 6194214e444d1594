"""The space in which users are grouped."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.model.space import SOURCES, Space, halves, smoothed

ITEMS, TOPICS = 60, 3


def pasts(users: int = 90, *, seed: int = 0, events: int = 14) -> Histories:
    """User u likes topic u % 3; items of topic t are t, t + 3, t + 6, ..."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        own = np.arange(user % TOPICS, ITEMS, TOPICS)
        rows.append(np.concatenate([rng.permutation(own)[:events], rng.integers(0, ITEMS, 2)]))
    rows = [np.unique(row) for row in rows]
    counts = np.array([len(row) for row in rows])
    items = np.concatenate(rows).astype(np.int32)
    bare = np.full(len(items), np.nan)
    return Histories(np.concatenate([[0], np.cumsum(counts)]), items, bare.astype(np.float32), bare, ITEMS)


FEATURES = np.eye(TOPICS, dtype=np.float32)[np.arange(ITEMS) % TOPICS] + 0.01
WEIGHTS = np.random.default_rng(5).normal(size=(ITEMS, 4)).astype(np.float32)


def tower(histories: Histories) -> np.ndarray:
    return np.asarray(histories.matrix() @ WEIGHTS) + FEATURES[0, 0]


def fitted(*sources: str) -> Space:
    return Space(sources, FEATURES, tower).fit(pasts(), seed=0)


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_alone_makes_vectors_of_length_one(source):
    for vectors in fitted(source).both(pasts(seed=1)):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("sources", [("events",), ("text",), ("events", "text", "tower")])
def test_users_of_one_topic_lie_together(sources):
    vectors = fitted(*sources).of(pasts(seed=1))
    own = np.arange(len(vectors)) % TOPICS
    cosine = vectors @ vectors.T
    assert cosine[own[:, None] == own].mean() > cosine[own[:, None] != own].mean() + 0.3


def test_a_past_has_the_same_vector_alone_and_among_others():
    space, everyone = fitted("events", "text", "tower"), pasts(seed=1)
    whole = space.both(everyone)
    for user in (0, 7, 89):
        for level, alone in enumerate(space.both(everyone.take(np.array([user])))):
            np.testing.assert_allclose(alone[0], whole[level][user], atol=1e-5)


def test_who_did_nothing_has_no_direction():
    space = fitted("events", "text", "tower")
    nobody = pasts().where(np.zeros(len(pasts().items), bool))
    assert not space.of(nobody).any()


def test_users_of_items_that_nobody_used_before_are_placed_by_the_texts():
    train = pasts()
    known = Space(("events", "text"), FEATURES, tower).fit(train.where(train.items < 30), seed=0)
    cold = pasts(seed=3)
    cold = cold.where(cold.items >= 30)
    vectors = known.of(cold)
    own = np.arange(len(vectors)) % TOPICS
    cosine = vectors @ vectors.T
    assert cosine[own[:, None] == own].mean() > cosine[own[:, None] != own].mean() + 0.1


def test_what_was_kept_gives_the_same_vectors():
    space = fitted(*SOURCES)
    again = Space(SOURCES, FEATURES, tower).restore(space.tensors())
    for one, other in zip(space.both(pasts(seed=2)), again.both(pasts(seed=2)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_same_seed_same_space():
    np.testing.assert_array_equal(fitted("events").of(pasts()), fitted("events").of(pasts()))


def test_halves_have_no_event_in_common_and_are_of_one_size():
    everyone = pasts(users=200)
    first = halves(everyone, np.random.default_rng(0))
    one, other = everyone.where(first), everyone.where(~first)
    assert (one.counts + other.counts == everyone.counts).all()
    assert (np.abs(one.counts - other.counts) <= 1).all()
    odd = everyone.counts % 2 == 1
    assert 0.3 < (one.counts > other.counts)[odd].mean() < 0.7


def test_an_item_without_users_keeps_its_own_features_and_others_become_like_their_neighbours():
    train = pasts()
    train = train.where(train.items != 0)
    noisy = FEATURES + np.random.default_rng(0).normal(size=FEATURES.shape).astype(np.float32)
    smooth = smoothed(train, noisy)
    np.testing.assert_allclose(smooth[0], noisy[0] / 3, atol=1e-6)  # the mean of three stops, two of them empty

    def spread(vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.mean(
            [np.linalg.norm(unit[t::TOPICS][1:] - unit[t::TOPICS][1:].mean(0), axis=1).mean() for t in range(3)]
        )

    assert spread(smooth) < 0.8 * spread(noisy)
