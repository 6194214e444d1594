from __future__ import annotations

import polars as pl
import pytest

from shoal.data.pairs import read_pairs
from shoal.errors import ReadError


def test_pairs_keep_their_order_and_their_repetitions(tmp_path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("movieId,note,userId\n7,x,2\n7,y,1\n7,x,2\n", encoding="utf-8")
    assert read_pairs(path).rows() == [("2", "7"), ("1", "7"), ("2", "7")]


def test_columns_may_be_named(tmp_path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("who\twhat\na\tb\n", encoding="utf-8")
    assert read_pairs(path, user_id="who", item_id="what").to_dicts() == [{"user_id": "a", "item_id": "b"}]


def test_ids_of_numbers_are_strings_without_a_fraction() -> None:
    assert read_pairs(pl.DataFrame({"user_id": [1.0], "item_id": [2]})).rows() == [("1", "2")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user_id,item_id\n1,2\n,3\n", r"pairs.csv, line 3: user_id is empty"),
        ("user_id,item_id\n1\n", r"pairs.csv, line 2 has 1 fields instead of 2"),
        ("user_id,item_id\n", r"pairs.csv has a header and no rows"),
        ("user_id,thing\n1,2\n", r"pairs.csv has no column for item_id"),
        ("", r"pairs.csv"),
    ],
)
def test_a_file_that_cannot_serve_says_where_and_why(tmp_path, text, words) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=words):
        read_pairs(path)


def test_a_missing_file_is_a_read_error(tmp_path) -> None:
    with pytest.raises(ReadError, match=r"no\.csv"):
        read_pairs(tmp_path / "no.csv")
