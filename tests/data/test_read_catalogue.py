"""Items and users: which columns become what, and which rows are joined."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.data.read import read
from shoal.data.texts import read_texts
from shoal.errors import ReadError

EVENTS = pl.DataFrame({"user": ["u1", "u2", "u2"], "item": ["1", "2", "3"]})


def _items(tmp_path, content: str, **options):
    (tmp_path / "items.csv").write_text(content)
    return read(EVENTS, items=tmp_path / "items.csv", **options)


def test_columns_become_numbers_categories_or_texts_by_what_they_hold(tmp_path):
    data = _items(
        tmp_path,
        "id,title,genres,year,price,code,empty\n"
        "1,Heat (1995),Action|Crime,1995,1.5,012,\n"
        "2,Antz (1998),Action | Comedy,1998,2,345,\n"
        "3,,Crime,,,,\n",
    )
    assert data.items.schema == {
        "item_id": pl.Categorical(), "title": pl.String(), "genres": pl.List(pl.String), "year": pl.Int64(),
        "price": pl.Float64(), "code": pl.String(), "empty": pl.String(),
    }  # fmt: skip
    assert data.items.rows() == [
        ("1", "Heat (1995)", ["Action", "Crime"], 1995, 1.5, "012", None),
        ("2", "Antz (1998)", ["Action", "Comedy"], 1998, 2, "345", None),
        ("3", None, ["Crime"], None, None, None, None),
    ]


def test_a_bar_in_a_sentence_splits_nothing(tmp_path):
    long = "A very long sentence about nothing that goes on and on | and another one that ends"
    data = _items(tmp_path, f"item,plot\n1,{long}\n2,x\n3,y\n")
    assert data.items["plot"][0] == long


def test_items_without_interactions_stay_and_items_without_a_row_are_added_and_noted(tmp_path):
    data = _items(tmp_path, "item,title\n1,One\n9,Nine\n")
    assert data.items.rows() == [("1", "One"), ("9", "Nine"), ("2", None), ("3", None)]
    assert "2 of 3 items with interactions have no row in items.csv" in data.report.notes
    assert data.report.files == ("items.csv",)


def test_of_rows_with_one_id_the_first_is_kept_and_noted(tmp_path):
    data = _items(tmp_path, "item,title\n1,One\n1,Uno\n2,Two\n3,Three\n")
    assert data.items["title"].to_list() == ["One", "Two", "Three"]
    assert "items.csv: 1 rows repeat an id; the first of each was kept" in data.report.notes


@pytest.mark.parametrize(("row", "words"), [("4,a,b\n", "line 5 has 3 fields instead of 2"), (",x\n", "line 5: no id")])
def test_a_bad_row_of_items_is_an_error_or_left_out_and_noted(tmp_path, row, words):
    content = "item,title\n1,One\n2,Two\n3,Three\n" + row
    with pytest.raises(ReadError, match=rf"items\.csv, {words}.*\(1 of 4\)"):
        _items(tmp_path, content)
    data = _items(tmp_path, content, on_bad="drop")
    assert data.items.height == 3
    assert any("1 rows left out" in note for note in data.report.notes)


def test_items_with_a_header_alone_are_an_error(tmp_path):
    with pytest.raises(ReadError, match=r"items\.csv has a header and no rows\. Leave items="):
        _items(tmp_path, "item,title\n")


def test_the_id_is_looked_for_under_the_name_it_has_in_the_interactions(tmp_path):
    events = EVENTS.rename({"item": "thing"})
    items = pl.DataFrame({"thing": [1.0, 2.0, 3.0], "id": [7, 8, 9], "tags": [["a"], ["b", "c"], []]})
    data = read(events, items=items, item_id="thing")
    assert data.items.rows() == [("1", 7, ["a"]), ("2", 8, ["b", "c"]), ("3", 9, [])]


def test_users_are_read_like_items_and_a_missing_id_column_is_named(tmp_path):
    data = read(EVENTS, users=pl.DataFrame({"userId": ["u2", "u1"], "age": [30, 40]}))
    assert data.users.rows() == [("u2", 30), ("u1", 40)]
    with pytest.raises(ReadError, match=r"the users table has no column for user_id.*It has age"):
        read(EVENTS, users=pl.DataFrame({"age": [30]}))


def test_lists_in_json_lines_become_categories(tmp_path):
    (tmp_path / "items.jsonl").write_text('{"asin":"1","genres":["a","b"]}\n{"asin":"2","genres":[]}\n')
    data = read(EVENTS, items=tmp_path / "items.jsonl")
    assert data.items["genres"].to_list() == [["a", "b"], [], None]


def test_texts_are_read_with_their_labels_or_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('label,review\n1,"good, very"\n0,\n')
    assert read_texts(path).rows() == [("good, very", "1"), (None, "0")]
    assert read_texts(path, label=None).columns == ["text"]
    with pytest.raises(ReadError, match="no column mark; it has label, review"):
        read_texts(path, label="mark")
    path.write_text("label,review\n1,a,b\n")
    with pytest.raises(ReadError, match="line 2 has 3 fields instead of 2"):
        read_texts(path)
