"""What the network reads and what it must say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.model.pasts import Values
from shoal.train import batches
from shoal.train.batches import LEAST_BATCH, STEPS, batch, cut, draws, epoch

STANDARD = Values(3.0, 1.0, log=False)


def some(counts: list[int], seed: int = 0, *, rated: bool = True) -> Histories:
    rng = np.random.default_rng(seed)
    n = sum(counts)
    items = np.concatenate([rng.permutation(60)[:c] for c in counts]).astype(np.int32)
    values = rng.integers(1, 6, n).astype(np.float32) if rated else np.full(n, np.nan, np.float32)
    times = np.concatenate([np.sort(rng.random(c)) for c in counts])
    return Histories(np.r_[0, np.cumsum(counts)], items, values, times, 60)


def together(past: Histories, future: Histories, targets: int = 8, relevant_from: float | None = 4.0) -> batches.Batch:
    return batch(past, future, STANDARD, history=10, targets=targets, relevant_from=relevant_from)


def test_targets_stand_with_their_ratings_and_padding_is_neither_rated_nor_liked():
    future = Histories(
        np.array([0, 3, 4]), np.array([7, 8, 9, 5], np.int32), np.array([5, 2, np.nan, 4], np.float32), np.zeros(4), 60
    )
    one = together(some([2, 2]), future)
    assert one.targets.tolist() == [[7, 8, 9], [5, 0, 0]]
    assert one.ratings.tolist() == [[5, 2, 0], [4, 0, 0]]
    assert one.rated.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert one.liked.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_without_a_threshold_every_event_is_a_hit():
    one = together(some([2, 2]), some([3, 1], rated=False), relevant_from=None)
    assert one.liked.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert not one.rated.any()


def test_of_many_later_events_the_earliest_are_targets():
    future = some([9, 2])
    assert together(some([2, 2]), future, targets=4).targets[0].tolist() == future.items[:4].tolist()


def test_users_without_a_future_have_no_targets():
    one = together(some([2, 2]), some([0, 0]))
    assert one.targets.shape == (2, 1)
    assert not one.liked.any()
    assert not one.rated.any()


@given(st.lists(st.integers(0, 200), min_size=1, max_size=30), st.integers(1, 40), st.integers(0, 99))
def test_a_user_is_drawn_as_often_as_it_takes_to_show_all_events(counts, targets, seed):
    counts = np.array(counts)
    times = np.bincount(draws(counts, targets, np.random.default_rng(seed)), minlength=len(counts))
    assert (times[counts < 2] == 0).all()  # one event cannot be a past and its future
    more = counts >= 2
    assert (times[more] * targets >= counts[more]).all()
    assert ((times[more] - 1) * targets < counts[more]).all()


def test_an_epoch_is_bounded_and_drawn_anew(monkeypatch):
    monkeypatch.setattr(batches, "MOST_DRAWS", 50)
    counts = np.full(200, 5)
    first, second = (draws(counts, 32, np.random.default_rng(seed)) for seed in (0, 1))
    assert len(first) == len(second) == 50
    assert set(first.tolist()) != set(second.tolist())


@pytest.mark.parametrize(
    ("users", "at_most", "size"),
    [
        (LEAST_BATCH * STEPS // 2, 256, LEAST_BATCH),  # fewer steps rather than smaller batches
        (LEAST_BATCH * STEPS * 2, 256, 2 * LEAST_BATCH),
        (LEAST_BATCH * STEPS * 2, 20, 20),
    ],
)
def test_small_data_take_smaller_batches(users, at_most, size):
    drawn = epoch(
        some([4] * users),
        STANDARD,
        np.random.default_rng(0),
        users=at_most,
        history=4,
        order="time",
        relevant_from=None,
    )
    sizes = [len(one.habits) for one in drawn]
    assert sizes[0] == size
    assert sum(sizes) == users
    assert max(sizes) <= at_most


@given(st.integers(0, 99), st.sampled_from(["time", "none"]))
def test_every_user_with_a_past_has_a_future(seed, order):
    counts = np.random.default_rng(seed).integers(1, 9, 20).tolist()
    past, future = cut(some(counts, seed), np.random.default_rng(seed), order=order, newcomers=0.0)
    assert (future.counts >= 1).all()
    assert (past.counts + future.counts).tolist() == counts


def test_a_share_of_the_pasts_is_empty_and_long_ones_are_drawn_more_often():
    whole = some([20] * 4000)
    past, _ = cut(whole, np.random.default_rng(0), order="time", newcomers=0.25)
    empty = (past.counts == 0).mean()
    assert empty == pytest.approx(0.25 + 0.75 / 400, abs=0.03)
    assert past.counts[past.counts > 0].mean() == pytest.approx(2 / 3 * 20 - 0.5, abs=0.4)
    everyone_new, _ = cut(whole, np.random.default_rng(0), order="time", newcomers=1.0)
    assert not everyone_new.counts.any()


def test_a_past_stands_oldest_first_even_where_order_means_nothing():
    past, _ = cut(some([30] * 20), np.random.default_rng(0), order="none", newcomers=0.0)
    assert all((np.diff(past.times[past.users == u]) >= 0).all() for u in range(20))


def test_where_order_means_nothing_any_event_may_be_a_target():
    oldest_later = 0
    for seed in range(40):
        whole = some([10], 0)
        _, future = cut(whole, np.random.default_rng(seed), order="none", newcomers=0.0)
        oldest_later += whole.times[0] in future.times
    assert 3 <= oldest_later <= 30  # about a third of the cuts


def test_same_seed_same_epoch():
    def drawn(seed: int) -> list[list[int]]:
        ones = epoch(
            some([9] * 40),
            STANDARD,
            np.random.default_rng(seed),
            users=16,
            history=9,
            order="none",
            relevant_from=4.0,
        )
        return [one.targets.flatten().tolist() for one in ones]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
