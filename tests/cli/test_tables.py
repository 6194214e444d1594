"""What stdout gets: aligned text and strict JSON."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from shoal.cli.tables import cell, lines, out_json, plain

WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Mn", "Me", "Cf", "Zl", "Zp")), max_size=20)


def test_words_stand_left_and_numbers_right_under_their_headers() -> None:
    table = pl.DataFrame({"name": ["Noir", "Animation"], "size": [1204, 87]})
    assert lines(table, {"name": "name", "size": "users"}) == [
        "  name        users",
        "  Noir        1,204",
        "  Animation      87",
    ]


def test_only_the_columns_with_a_header_are_shown_in_that_order() -> None:
    table = pl.DataFrame({"a": [1], "b": [2], "c": [3]})
    assert lines(table, {"c": "C", "a": "A"}) == ["  C   A", "  3   1"]


def test_a_table_without_rows_shows_its_header() -> None:
    assert lines(pl.DataFrame({"user_id": [], "rank": []})) == ["  user_id   rank"]


def test_cells_say_what_is_missing_and_keep_to_one_line() -> None:
    assert cell(None) == "-"
    assert cell(float("nan")) == "-"
    assert cell("two\n  lines") == "two lines"
    assert cell(["noir", "heist"]) == "noir, heist"
    assert cell(1234.5) == "1,234.500"
    assert cell(0.5, ".2f") == "0.50"
    assert cell(True) == "True"


def test_wide_characters_are_counted_by_the_cells_they_take() -> None:
    shown = lines(pl.DataFrame({"name": ["悬疑片", "Noir"], "size": [1, 2]}))
    assert {cell_len(line) for line in shown} == {2 + 6 + 3 + 4}


def test_the_widest_words_are_cut_to_fit_and_numbers_never() -> None:
    table = pl.DataFrame({"name": ["a" * 30], "about": ["b" * 60], "size": [1_000_000]})
    shown = lines(table, width=60)
    assert max(map(len, shown)) <= 60
    assert shown[1].endswith("1,000,000")
    assert "…" in shown[1]
    assert "a" * 20 in shown[1]  # the shorter column gives way only after the longer one has come down to it


def test_a_line_that_cannot_fit_keeps_its_numbers_whole() -> None:
    shown = lines(pl.DataFrame({"name": ["word " * 5], "a": [10**9], "b": [10**9]}), width=10)
    assert "1,000,000,000   1,000,000,000" in shown[1]


@given(st.lists(st.tuples(WORDS, st.integers(-(10**6), 10**6)), min_size=1, max_size=8))
def test_every_row_is_one_line_and_all_lines_are_equally_wide(rows: list[tuple[str, int]]) -> None:
    shown = lines(pl.DataFrame(rows, schema={"words": pl.String, "number": pl.Int64}, orient="row"))
    assert len(shown) == len(rows) + 1
    assert len({cell_len(line) for line in shown}) == 1


def test_a_table_is_printed_as_a_json_array_of_records_one_a_line(capsys) -> None:
    out_json(pl.DataFrame({"user_id": ["1", "王"], "score": [0.5, float("nan")], "why": [["a"], None]}))
    text = capsys.readouterr().out
    assert json.loads(text) == [
        {"user_id": "1", "score": 0.5, "why": ["a"]},
        {"user_id": "王", "score": None, "why": None},
    ]
    assert len(text.splitlines()) == 2
    assert "王" in text


def test_an_empty_table_is_an_empty_json_array(capsys) -> None:
    out_json(pl.DataFrame({"user_id": []}))
    assert json.loads(capsys.readouterr().out) == []


def test_an_object_with_tables_and_numpy_numbers_becomes_plain_json(capsys) -> None:
    out_json(
        {"segments": pl.DataFrame({"n": [1]}), "rmse": np.float32(0.5), "low": np.float64("inf"), "k": np.int64(3)}
    )
    assert json.loads(capsys.readouterr().out) == {"segments": [{"n": 1}], "rmse": 0.5, "low": None, "k": 3}


def test_plain_turns_arrays_and_tuples_into_lists() -> None:
    assert plain({"a": np.array([1.0, np.nan]), "b": (1, "x")}) == {"a": [1.0, None], "b": [1, "x"]}
