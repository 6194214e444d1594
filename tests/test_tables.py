"""The checks of tables: what is told of a wrong one."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.errors import TableError
from shoal.tables import INTERACTIONS, MEMBERS, check, check_interactions, check_items, check_users

ID = pl.Categorical()
EVENTS = pl.DataFrame(
    {"user_id": ["u", "v"], "item_id": ["a", "b"], "rating": [4.0, 5.0]},
    schema={"user_id": ID, "item_id": ID, "rating": pl.Float32()},
)


def test_a_right_table_is_handed_back_as_it_is():
    assert check_interactions(EVENTS) is EVENTS
    assert check_items(EVENTS.select("item_id")).height == 2
    assert check_users(EVENTS.select("user_id").clear()).height == 0


def test_further_columns_may_follow():
    check_interactions(EVENTS.with_columns(mood=pl.lit("good")))
    check_items(EVENTS.select("item_id", title=pl.lit("Heat")))


def test_a_missing_column_is_named_with_what_is_there():
    with pytest.raises(
        TableError, match=r"^interactions has no column item_id; it has user_id, item, rating\. Did you"
    ):
        check_interactions(EVENTS.rename({"item_id": "item"}))
    with pytest.raises(TableError, match=r"it has no columns\.$"):
        check_items(pl.DataFrame())


@pytest.mark.parametrize(
    ("column", "dtype", "found", "expected"),
    [
        ("user_id", pl.String(), "String", "Categorical"),
        ("rating", pl.Float64(), "Float64", "Float32"),  # an optional column is checked where it is there
    ],
)
def test_a_wrong_type_is_told_beside_the_right_one(column, dtype, found, expected):
    with pytest.raises(TableError, match=rf"^interactions: column {column} is {found}, and must be {expected}"):
        check_interactions(EVENTS.with_columns(pl.col(column).cast(dtype)))


def test_missing_ids_are_counted():
    holes = pl.DataFrame({"user_id": ["u", None, None], "item_id": ["a", "b", "c"]}, schema=dict(INTERACTIONS))
    with pytest.raises(TableError, match=r"^interactions: column user_id is empty in 2 of 3 rows\.$"):
        check_interactions(holes)


def test_a_missing_rating_is_no_fault():
    check_interactions(EVENTS.with_columns(pl.lit(None, pl.Float32()).alias("rating")))


@pytest.mark.parametrize(("checked", "column"), [(check_items, "item_id"), (check_users, "user_id")])
def test_an_id_may_stand_once(checked, column):
    doubled = pl.DataFrame({column: ["a", "b", "a", "a"]}, schema={column: ID})
    with pytest.raises(TableError, match=rf"2 rows repeat a {column}; each may stand once"):
        checked(doubled)


def test_tables_that_go_out_hold_ids_as_strings():
    members = pl.DataFrame({"user_id": ["u"], "segment": [0], "strength": [0.5]}, schema=dict(MEMBERS))
    assert check(members, MEMBERS, what="members") is members
    with pytest.raises(TableError, match="members: column user_id is Categorical, and must be String"):
        check(members.with_columns(pl.col("user_id").cast(ID)), MEMBERS, what="members")
