"""The number of segments: planted numbers are found, noise is called noise, small data gets one segment."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given as with_examples
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from shoal.segment.agree import adjusted_rand, agreement
from shoal.segment.choose import CHOICE, choose, given, least_users
from shoal.segment.spherical import unit
from shoal.segment.trial import Evidence


def planted(k: int, users: int = 200, spread: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return unit((np.eye(8)[np.arange(users) % k] + rng.normal(0, spread, (users, 8))).astype(np.float32))


def noise(users: int = 200) -> np.ndarray:
    return unit(np.random.default_rng(0).normal(size=(users, 16)).astype(np.float32))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_planted_number_is_chosen(k):
    choice = choose(planted(k), at_most=6, seed=0)
    assert choice.n == k
    assert choice.reason.startswith(f"{k} segments: of 2 to 6 tried")


def test_noise_is_called_unstable():
    choice = choose(noise(), at_most=5, seed=0)
    assert choice.table["stability"].max() < 0.65
    assert "with low stability" in choice.reason
    assert "rough map" in choice.reason


def test_a_lower_bar_takes_what_comes_out_again_loosely_and_the_reason_says_so():
    loosely = choose(noise(), at_most=5, seed=0, evidence=Evidence(stable=0.0))
    assert "coming out loosely the same" in loosely.reason
    assert "low stability" not in loosely.reason
    assert loosely.table.filter(pl.col("stability") < 0.65).height == 4


def test_the_table_has_a_row_for_each_number_and_one_is_chosen():
    choice = choose(planted(3), at_most=5, seed=0)
    assert dict(choice.table.schema) == CHOICE
    assert choice.table["n"].to_list() == [2, 3, 4, 5]
    assert choice.table.filter(verdict="chosen")["n"].to_list() == [3]
    shares = choice.table.select("apart", "smallest")
    assert shares.min().row(0) >= (0, 0)
    assert shares.max().row(0) <= (1, 1)


def test_users_too_few_for_two_segments_are_one_segment():
    choice = choose(planted(2, users=39), at_most=5, seed=0)
    assert choice.n == 1
    assert choice.reason == "One segment: 39 users can be placed, and two segments of 20 would need 40."
    assert choice.table.height == 0


def test_a_split_off_handful_is_not_a_segment():
    rows = np.repeat(np.eye(2, dtype=np.float32), [95, 5], axis=0)
    choice = choose(rows, at_most=4, seed=0)
    assert choice.n == 1
    assert "fewer than 20 of 100 users" in choice.reason


def test_no_number_is_tried_that_cannot_have_large_enough_segments():
    assert choose(planted(2, users=70), at_most=12, seed=0).table["n"].to_list() == [2, 3]


def test_a_segment_needs_twenty_users_or_two_in_a_hundred():
    assert [least_users(n) for n in (10, 1000, 1001, 5000)] == [20, 20, 21, 100]


def test_same_seed_same_choice():
    first, second = (choose(planted(3), at_most=4, seed=5) for _ in range(2))
    assert first.table.equals(second.table)


def test_a_given_number_is_measured_all_the_same():
    choice = given(planted(3), 3, seed=0)
    assert choice.n == 3
    assert choice.table["verdict"].to_list() == ["as asked for"]
    assert choice.table["stability"][0] == pytest.approx(1.0)


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40)


@with_examples(labels)
def test_the_adjusted_rand_index_is_scikit_learns(pairs):
    a, b = np.array(pairs).T
    assert adjusted_rand(a, b, 4) == pytest.approx(adjusted_rand_score(a, b))


@with_examples(labels, st.permutations(range(4)))
def test_agreement_does_not_depend_on_the_numbers_of_segments(pairs, order):
    a, b = np.array(pairs).T
    assert agreement(a, np.array(order)[b], 4) == pytest.approx(agreement(a, b, 4))
    assert agreement(a, np.array(order)[a], 4) == 1.0
