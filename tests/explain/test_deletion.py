"""Deletion: a planted effect is given back event by event."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.histories import Histories
from shoal.explain.deletion import BLOCK, MOST_EVENTS, deletion, without_each

N_ITEMS = 200
WEIGHTS = np.random.default_rng(0).permutation(N_ITEMS) / 16 - 5  # all different, and exact in float32


def past(items) -> Histories:
    items = np.asarray(items, np.int32)
    n = len(items)
    return Histories(np.array([0, n]), items, items.astype(np.float32) % 5, np.arange(n, dtype=float), N_ITEMS)


def additive(pasts: Histories) -> np.ndarray:
    return np.bincount(pasts.users, weights=WEIGHTS[pasts.items], minlength=pasts.n_users)


@given(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=MOST_EVENTS, unique=True))
def test_an_additive_effect_is_given_back_exactly_strongest_first(items):
    table = deletion(past(items), additive)
    assert sorted(table["item_row"].to_list()) == sorted(items)
    np.testing.assert_allclose(table["effect"], WEIGHTS[table["item_row"]], atol=1e-5)
    assert table["effect"].is_sorted(descending=True)


def test_an_event_that_matters_only_beside_another_counts_for_both():
    def pair(pasts: Histories) -> np.ndarray:
        return (pasts.matrix()[:, [3, 7]].sum(axis=1).A1 == 2).astype(float)

    effects = dict(deletion(past([3, 5, 7]), pair).select("item_row", "effect").iter_rows())
    assert effects == {3: 1.0, 5: 0.0, 7: 1.0}


def test_a_value_stands_beside_its_item_and_a_missing_one_is_null():
    bare = past([4, 8])
    bare.values[1] = np.nan
    rows = dict(deletion(bare, additive).select("item_row", "value").iter_rows())
    assert rows == {4: 4.0, 8: None}


def test_a_user_without_a_past_has_no_reasons():
    def never(pasts: Histories) -> np.ndarray:
        raise AssertionError("there is nothing to leave out")

    table = deletion(past([]), never, np.array([1.0], np.float32))
    assert table.columns == ["item_row", "value", "effect", "attention"]
    assert table.height == 0


def test_the_only_event_is_checked_against_an_empty_past():
    sizes = []

    def effect(pasts: Histories) -> np.ndarray:
        sizes.append(pasts.counts.tolist())
        return additive(pasts)

    assert deletion(past([9]), effect)["effect"].to_list() == [WEIGHTS[9]]
    assert sizes == [[1], [0]]


def test_of_a_long_past_the_newest_events_are_checked():
    table = deletion(past(range(150)), additive)
    assert sorted(table["item_row"].to_list()) == list(range(150 - MOST_EVENTS, 150))


def test_no_call_holds_more_pasts_than_a_block():
    most = []
    deletion(past(range(150)), lambda pasts: (most.append(pasts.n_users), additive(pasts))[1])
    assert max(most) <= BLOCK


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        ([0.4, 0.3, 0.2, 0.1], {1: pytest.approx(0.3), 2: pytest.approx(0.2), 3: pytest.approx(0.1)}),
        ([0.7, 0.2, 0.1], {1: None, 2: pytest.approx(0.2), 3: pytest.approx(0.1)}),  # the tower read the newest two
        ([0.4, 0.0, 0.0, 0.3, 0.2, 0.1], {1: pytest.approx(0.3), 2: pytest.approx(0.2), 3: pytest.approx(0.1)}),
        (None, {1: None, 2: None, 3: None}),
    ],
)
def test_attention_stands_beside_the_event_that_was_read(attention, expected):
    given_ = None if attention is None else np.array(attention, np.float32)
    table = deletion(past([1, 2, 3]), additive, given_)
    assert dict(table.select("item_row", "attention").iter_rows()) == expected


def test_without_each_leaves_out_one_event_and_keeps_the_order():
    parts = without_each(past([5, 6, 7]), np.array([0, 2]))
    assert [parts.items[parts.users == u].tolist() for u in range(2)] == [[6, 7], [5, 6]]
    assert [parts.times[parts.users == u].tolist() for u in range(2)] == [[1, 2], [0, 1]]
