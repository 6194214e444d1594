"""What an item is called."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.titles import TITLES, titles


def items(**columns) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ["a", "b"], **columns}).with_columns(pl.col("item_id").cast(pl.Categorical()))


@pytest.mark.parametrize("column", TITLES)
def test_an_item_goes_by_each_column_that_may_name_it(column):
    assert titles(items(**{column: ["Heat", "Alien"]})).rows() == [("a", "Heat"), ("b", "Alien")]


def test_a_title_goes_before_a_text():
    assert titles(items(text=["long", "longer"], title=["Heat", "Alien"]))["title"].to_list() == ["Heat", "Alien"]


def test_an_item_without_a_title_goes_by_its_id():
    assert titles(items(title=["Heat", None]))["title"].to_list() == ["Heat", "b"]
    assert titles(items(year=[1995, 1979]))["title"].to_list() == ["a", "b"]


def test_a_blank_title_names_nothing():
    assert titles(items(title=["Heat", "  "]))["title"].to_list() == ["Heat", "b"]


def test_a_title_that_is_no_text_is_passed_over():
    assert titles(items(title=[1, 2], name=["Heat", "Alien"]))["title"].to_list() == ["Heat", "Alien"]


def test_ids_go_out_as_strings():
    assert titles(items()).schema == {"item_id": pl.String(), "title": pl.String()}
    assert titles(items().clear()).height == 0
