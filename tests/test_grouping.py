"""Segments, and subsegments inside them, found in worlds whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from shoal.config import Segment
from shoal.data.histories import Histories
from shoal.grouping import Asked, group, subsegments
from shoal.model.space import Space
from shoal.recommend.tune import HeldOut
from shoal.segment.agree import adjusted_rand
from shoal.segment.identity import Before
from shoal.tables import SEGMENT, UNASSIGNED, USER

ITEMS = 240


def world(users: int, topics: list[int], *, noise: float = 0.1, seed: int = 0) -> tuple[Histories, Histories]:
    """User u likes the items of topics[u]; 16 are known of each, and 4 more are to be found."""
    rng = np.random.default_rng(seed)
    kinds = max(topics) + 1
    known, future = [], []
    for user in range(users):
        own = rng.permutation(np.arange(topics[user], ITEMS, kinds))
        other = rng.permutation(ITEMS)
        drawn = np.where(rng.random(20) < noise, other[:20], own[:20] if len(own) >= 20 else np.resize(own, 20))
        drawn = rng.permutation(np.unique(drawn))
        known.append(drawn[:-4])
        future.append(drawn[-4:])
    return events(known), events(future)


def events(rows: list[np.ndarray]) -> Histories:
    items = np.concatenate(rows).astype(np.int32)
    bare = np.full(len(items), np.nan)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Histories(starts, items, bare.astype(np.float32), bare, ITEMS)


def asked(known: Histories, future: Histories) -> Asked:
    space = Space(("events",), np.zeros((ITEMS, 1), np.float32), lambda _: np.empty(0)).fit(known, seed=0)
    users = [f"u{row:04}" for row in range(known.n_users)]
    return Asked(space, known, users, HeldOut(known, known, future), None)


def segments_of(made, question: Asked) -> np.ndarray:
    return made.assign(question.space.of(question.train), question.train.counts)[0]


def test_planted_segments_are_found_and_are_as_many_as_there_are():
    truth = np.arange(480) % 4
    question = asked(*world(480, truth.tolist()))
    top, _ = group(question, Segment(), seed=0, before=None)
    assert top.n == 4
    assert adjusted_rand(truth, segments_of(top, question), 4) >= 0.9
    chosen = top.choice.filter(pl.col("verdict") == "chosen")
    assert chosen["halves"][0] > 0.9
    assert chosen["lift_low"][0] > 0


@pytest.mark.parametrize("seed", range(4))
def test_pure_noise_is_one_segment_and_the_reason_says_so(seed):
    question = asked(*world(400, [0] * 400, noise=1.0, seed=seed))
    top, inside = group(question, Segment(), seed=seed, before=None)
    assert (top.n, inside) == (1, {})
    assert "foretells held-out events better than random" in top.reason


def test_without_held_out_events_segments_are_judged_by_what_comes_out_again():
    truth = np.arange(320) % 4
    question = replace(asked(*world(320, truth.tolist())), held=None)
    top, _ = group(question, Segment(), seed=0, before=None)
    assert adjusted_rand(truth, segments_of(top, question), max(4, top.n)) >= 0.9
    assert top.choice["lift"].null_count() == top.choice.height


def two_levels() -> tuple[Asked, np.ndarray]:
    """Two camps; the first has two wings, which share some items."""
    rng = np.random.default_rng(0)
    wing = np.arange(600) % 4
    known, future = [], []
    for user in range(600):
        if wing[user] < 2:
            own = np.concatenate([np.arange(0, 40), 40 + 40 * wing[user] + np.arange(40)])
        else:
            own = np.arange(120, 240)
        drawn = rng.permutation(own)[:28]
        known.append(drawn[:-6])
        future.append(drawn[-6:])
    return asked(events(known), events(future)), wing


def test_subsegments_lie_inside_their_segment_and_no_number_is_used_twice():
    question, wing = two_levels()
    top, inside = group(question, Segment(n=2), seed=0, before=None)
    segment = segments_of(top, question)
    assert adjusted_rand((wing >= 2).astype(int), segment, 2) >= 0.95
    fine = question.space.both(question.train)[1]
    label, strength = subsegments(inside, segment, fine, question.train.counts)
    camp = int(np.bincount(segment[wing < 2]).argmax())
    assert list(inside) == [camp]
    here = segment == camp
    assert adjusted_rand(wing[here & (wing < 2)], label[here & (wing < 2)] - label[here].min(), 4) >= 0.9
    assert (label[~here] == UNASSIGNED).all()
    assert not strength[~here].any()
    numbers = [*top.ids.tolist(), *(one for made in inside.values() for one in made.ids.tolist())]
    assert len(set(numbers)) == len(numbers)


def test_a_segment_may_be_made_of_more_than_four():
    rng = np.random.default_rng(0)
    known, future, wing = [], [], np.arange(720) % 12
    for user in range(720):
        if wing[user] < 6:
            own = np.concatenate([np.arange(30), 30 + 15 * wing[user] + np.arange(15)])
        else:
            own = np.arange(120, 240)
        drawn = rng.permutation(own)[:20]
        known.append(drawn[:-6])
        future.append(drawn[-6:])
    question = asked(events(known), events(future))
    top, inside = group(question, Segment(n=2), seed=0, before=None)
    segment = segments_of(top, question)
    label = subsegments(inside, segment, question.space.both(question.train)[1], question.train.counts)[0]
    here = wing < 6
    assert list(inside) == [int(np.bincount(segment[here]).argmax())]
    assert next(iter(inside.values())).n == 6
    assert adjusted_rand(wing[here], label[here] - label[here].min(), 6) >= 0.9
    few = group(question, Segment(n=2, subsegments=4), seed=0, before=None)[1]
    assert all(made.n <= 4 for made in few.values())


def test_subsegments_are_left_out_where_the_settings_say_so():
    question, _ = two_levels()
    assert group(question, Segment(n=2, subsegments=0), seed=0, before=None)[1] == {}


def test_after_a_run_both_levels_keep_their_numbers():
    question, _ = two_levels()
    top, inside = group(question, Segment(n=2), seed=0, before=None)
    segment = segments_of(top, question)
    fine = question.space.both(question.train)[1]
    label = subsegments(inside, segment, fine, question.train.counts)[0]
    moved = {0: 7, 1: 3}
    members = pl.DataFrame(
        {USER: question.users, SEGMENT: [moved[s] for s in segment]}, schema_overrides={SEGMENT: pl.Int32}
    )
    below = pl.DataFrame(
        {USER: question.users, SEGMENT: np.where(label < 0, -1, label + 20)}, schema_overrides={SEGMENT: pl.Int32}
    )
    top, inside = group(question, Segment(n=2), seed=5, before=Before(members, 40, below))
    now = segments_of(top, question)
    assert (now == members[SEGMENT].to_numpy()).mean() > 0.98
    again = subsegments(inside, now, question.space.both(question.train)[1], question.train.counts)[0]
    assert (again == below[SEGMENT].to_numpy()).mean() > 0.95


@pytest.mark.parametrize("method", ["mixture", "hdbscan"])
def test_other_methods_find_what_is_planted_too(method):
    truth = np.arange(240) % 3
    question = asked(*world(240, truth.tolist(), noise=0.02))
    top, _ = group(question, Segment(method=method, n=3, subsegments=0), seed=0, before=None)
    assert adjusted_rand(truth, segments_of(top, question), 3) >= 0.9
    assert top.choice["method"].to_list() == [method]
