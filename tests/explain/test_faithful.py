"""Faithfulness: reasons that are true are found so, and random ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.errors import NotEnoughDataError
from shoal.explain.faithful import faithfulness

N = 400


def pasts(users=40, events=12, seed=0) -> Histories:
    rng = np.random.default_rng(seed)
    items = np.concatenate([rng.choice(N, events, replace=False) for _ in range(users)]).astype(np.int32)
    starts = np.arange(users + 1) * events
    return Histories(starts, items, np.full(len(items), np.nan), np.arange(len(items), dtype=float), N)


def names(histories: Histories) -> list[str]:
    return [f"u{i}" for i in range(histories.n_users)]


def flat(histories: Histories) -> list[np.ndarray]:
    return [np.full(1 + n, 1 / (1 + n)) for n in histories.counts]


def by(weights):
    return lambda some: np.bincount(some.users, weights[some.items], some.n_users)


def test_a_score_that_rests_on_a_few_events_is_explained_by_them():
    weights = np.random.default_rng(1).exponential(size=N)
    some = pasts()
    found = faithfulness(names(some), some, [by(weights)] * 40, flat(some), np.random.default_rng(0))
    top = [np.sort(weights[some.items[some.users == u]])[-3:].sum() for u in range(40)]
    mean = [3 * weights[some.items[some.users == u]].mean() for u in range(40)]
    assert found.cited == pytest.approx(np.mean(top), rel=1e-4)
    assert found.random == pytest.approx(np.mean(mean), rel=0.15)
    assert found.faithful
    assert found.low < found.cited - found.random < found.high
    assert found.share == 1
    assert found.table.height == 40
    assert "more than by chance" in found.sentence()


def test_where_all_events_carry_the_same_no_citation_is_better_than_chance():
    some = pasts()
    found = faithfulness(names(some), some, [by(np.ones(N))] * 40, flat(some), np.random.default_rng(0))
    assert found.cited == found.random == 3
    assert not found.faithful
    assert "not surely more" in found.sentence()


def test_attention_on_what_does_not_matter_does_no_better_than_chance_and_is_told_beside():
    weights = np.random.default_rng(1).exponential(size=N)
    some = pasts(users=60)
    rng = np.random.default_rng(4)
    attention = [rng.random(13) for _ in range(60)]
    found = faithfulness(names(some), some, [by(weights)] * 60, attention, np.random.default_rng(0))
    assert found.attention < found.cited
    assert found.attention_low < 0 < found.attention_high


def test_users_with_no_more_events_than_are_cited_are_left_out():
    some = pasts(users=10, events=3)
    with pytest.raises(NotEnoughDataError, match="0 of 10 users have more than the 3 events"):
        faithfulness(names(some), some, [by(np.ones(N))] * 10, flat(some), np.random.default_rng(0))


def test_same_seed_same_figures():
    weights = np.random.default_rng(1).exponential(size=N)
    some = pasts(users=10)
    one, other = (
        faithfulness(names(some), some, [by(weights)] * 10, flat(some), np.random.default_rng(3)) for _ in range(2)
    )
    assert one.as_dict() == other.as_dict()
