"""Ids and row numbers are two names of one thing."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.ids import Ids


@given(ids=st.lists(st.text(max_size=5), unique=True, max_size=20))
def test_rows_and_ids_are_each_others_inverse(ids):
    known = Ids(ids)
    assert len(known) == len(ids)
    assert known.rows(ids).tolist() == list(range(len(ids)))
    assert known.take(known.rows(ids)).to_list() == ids


def test_an_id_that_is_not_here_has_the_row_minus_one():
    known = Ids(["b", "a"])
    rows = known.rows(["a", "x", "b", "a"])
    assert rows.tolist() == [1, -1, 0, 1]
    assert rows.dtype == np.int64
    assert "a" in known
    assert "x" not in known


def test_categoricals_and_strings_give_the_same_rows():
    known = Ids(pl.Series(["b", "a"], dtype=pl.Categorical))
    wanted = ["a", "b", "c"]
    assert known.rows(pl.Series(wanted, dtype=pl.Categorical)).tolist() == known.rows(wanted).tolist() == [1, 0, -1]


def test_no_ids_are_allowed():
    assert Ids([]).rows([]).tolist() == []
    assert Ids([]).rows(["a"]).tolist() == [-1]
