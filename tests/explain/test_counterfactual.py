"""Ways into another segment, where the shortest is known: a majority of odd or even items decides."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.explain.counterfactual import ADD, REMOVE, fewest

EVEN, ODD, LEAST = 0, 1, 2


def past(items) -> Histories:
    items = np.asarray(items, np.int32)
    n = len(items)
    return Histories(np.array([0, n]), items, np.full(n, 3.0, np.float32), np.arange(n, dtype=float), 100)


def place(pasts: Histories):
    """Place by majority, ties with the even; item 99 counts five times; fewer than two events are not placed."""
    weight = np.where(pasts.items == 99, 5.0, 1.0)
    odd = np.bincount(pasts.users, weight * (pasts.items % 2), pasts.n_users)
    even = np.bincount(pasts.users, weight * (pasts.items % 2 == 0), pasts.n_users)
    scores = np.exp(np.stack([even, odd], 1))
    segment = np.where(odd > even, ODD, EVEN)
    return scores / scores.sum(1, keepdims=True), np.where(pasts.counts < LEAST, -1, segment)


def way(items, wanted, add=(), **options):
    add = np.asarray(add, np.int64)
    return fewest(past(items), place, wanted, items=add, values=np.full(len(add), 4.0), **options)


def test_who_is_there_already_has_nowhere_to_go():
    found = way([1, 3, 5], ODD)
    assert found.steps == ()
    assert found.arrived


def test_one_removal_that_is_enough_is_found():
    found = way([0, 2, 1, 3], ODD, add=[5])
    assert [s.action for s in found.steps] == [REMOVE]
    assert found.steps[0].item in (0, 2)
    assert found.steps[0].segment == ODD


def test_one_strong_item_beats_many_removals():
    found = way([0, 2, 4, 6, 8, 1], ODD, add=[5, 99])
    assert [(s.action, s.item, s.value) for s in found.steps] == [(ADD, 99, 4.0)]


def test_what_may_not_be_placed_is_no_way():
    found = way([0, 2], ODD)  # every removal leaves one event
    assert not found.arrived
    assert found.steps == ()


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 8))
def test_the_way_is_the_shortest_and_placing_the_changed_past_anew_confirms_it(n_even, n_odd, n_add):
    items = [2 * i for i in range(n_even)] + [2 * i + 1 for i in range(n_odd)]
    found = way(items, ODD, add=[51 + 2 * i for i in range(n_add)])
    if n_odd > n_even and n_even + n_odd >= LEAST:
        assert found.steps == ()
        return
    ways = [
        r + a
        for r in range(n_even + 1)
        for a in range(n_add + 1)
        if n_odd + a > n_even - r and n_odd + a + n_even - r >= LEAST
    ]
    assert found.arrived or not ways or n_odd < 2
    if found.arrived:
        assert place(found.past)[1][0] == ODD
        assert found.steps[-1].segment == ODD
        assert len(found.steps) >= min(ways)
        assert len(found.steps) == min(ways) or n_odd < 2  # else removals alone may leave too few events


def test_a_way_never_takes_more_steps_than_allowed_and_says_that_it_did_not_arrive():
    found = way([2 * i for i in range(20)], ODD, add=[1, 3, 5], most=2)
    assert not found.arrived
    assert len(found.steps) == 2
    assert found.steps[-1].segment == EVEN


def test_an_item_that_the_user_has_is_not_added_again():
    found = way([0, 2, 4, 99 - 98], ODD, add=[1, 3, 5, 7])
    assert found.arrived
    assert 1 not in [s.item for s in found.steps if s.action == ADD]


def test_steps_that_turn_out_to_be_needless_are_taken_back():
    def tricky(pasts: Histories):
        """Item 2 looks best at first, and items 4 and 6 together are what it takes."""
        has = pasts.matrix().toarray() > 0
        lead = 0.5 * ~has[:, 2] + 0.4 * ~has[:, 4] + 0.4 * ~has[:, 6]
        arrived = ~has[:, 4] & ~has[:, 6]
        scores = np.stack([np.ones(len(has)), 0.1 + 0.5 * lead], 1)
        return scores, np.where(arrived, 1, 0)

    found = fewest(past([2, 4, 6, 8]), tricky, 1, items=np.empty(0, np.int64), values=np.empty(0))
    assert sorted(s.item for s in found.steps) == [4, 6]
    assert found.arrived


def test_removals_win_over_additions_of_the_same_number():
    found = way([0, 2, 4, 1, 3], ODD, add=[5, 7])
    assert [s.action for s in found.steps] == [REMOVE, REMOVE]
