"""Traits: columns that group users become codes, and nothing else does."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from shoal.data.ids import Ids
from shoal.data.traits import MOST_VALUES, PARTS, Traits


def told(**columns) -> Traits:
    n = len(next(iter(columns.values())))
    return Traits(pl.DataFrame({"user_id": [f"u{i}" for i in range(n)], **columns}))


def test_words_truth_values_and_few_numbers_are_taken_as_they_are_in_the_order_of_names():
    traits = told(sex=["f", "m", None], member=[True, False, True], age=[18, 25, 25])
    assert traits.names == ["age", "member", "sex"]
    np.testing.assert_array_equal(traits.of(Ids(["u1", "u0", "u2"])), [[1, 0, 1], [0, 1, 0], [1, 1, -1]])


def test_a_number_that_is_none_is_not_known():
    np.testing.assert_array_equal(told(age=[18.0, float("nan"), 25.0]).of(Ids(["u0", "u1", "u2"])), [[0], [-1], [1]])


def test_of_strangers_nothing_is_known():
    np.testing.assert_array_equal(told(sex=["f", "m"]).of(Ids(["stranger", "u1"])), [[-1], [1]])


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_many_numbers_are_cut_into_parts_of_equal_size(missing):
    traits = told(income=[*np.random.default_rng(0).permutation(np.arange(1000.0)), missing])
    codes = traits.of(Ids([f"u{i}" for i in range(1001)]))[:, 0]
    assert codes[-1] == -1
    np.testing.assert_array_equal(np.bincount(codes[:-1]), [1000 / PARTS] * PARTS)


@pytest.mark.parametrize(
    "column",
    [
        ["all alike"] * 60,
        [f"street {i}" for i in range(60)],
        [[f"tag {i}"] for i in range(60)],
        [datetime(2020, 1, 1 + i % 20) for i in range(60)],
        [None] * 60,
    ],
)
def test_what_groups_nobody_is_left_out(column):
    assert len(column) > MOST_VALUES
    traits = told(what=column)
    assert traits.names == []
    assert traits.of(Ids(["u0"])) is None


def test_codes_do_not_depend_on_the_order_of_rows():
    table = pl.DataFrame({"user_id": ["a", "b", "c"], "sex": ["m", "f", "m"]})
    one, other = (Traits(t).of(Ids(["a", "b", "c"])) for t in (table, table.reverse()))
    np.testing.assert_array_equal(one, other)
