"""Labels, decades, words and phrases of items."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.segment.words import categories, decades, text_columns, words


def items(**columns) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    ids = pl.Series([f"i{k}" for k in range(n)], dtype=pl.Categorical())
    return pl.DataFrame({"item_id": ids, **columns})


def labels(table: pl.DataFrame) -> list[tuple[str, str]]:
    return sorted(table.with_columns(pl.col("item_id").cast(pl.String)).select("item_id", "label").rows())


def test_lists_give_a_label_each_and_brackets_say_none():
    table = categories(items(genres=[["Drama", "Crime"], ["(no genres listed)"], None, []]))
    assert labels(table) == [("i0", "Crime"), ("i0", "Drama")]
    assert table["kind"].unique().to_list() == ["genres"]


def test_a_label_given_twice_counts_once():
    assert categories(items(tags=[["a b", "a b ", "a b"]])).height == 1


def test_strings_with_few_distinct_values_are_categories_and_others_are_text():
    table = items(colour=["red", "blue"] * 20, title=[f"Title {k}" for k in range(40)])
    assert text_columns(table) == ["title"]
    assert set(categories(table)["label"]) == {"red", "blue"}


def test_links_are_neither():
    table = items(cover=[f"https://example.org/{k}.jpg" for k in range(40)])
    assert text_columns(table) == []
    assert categories(table).height == 0


@pytest.mark.parametrize(
    ("title", "decade"),
    [
        ("Heat (1995)", "1990s"),
        ("2001: A Space Odyssey (1968)", "1960s"),
        ("Up (2009)", "2000s"),
        ("Room 237", None),
        ("1500 miles", None),
    ],
)
def test_the_last_year_of_a_text_makes_the_decade(title, decade):
    assert decades(items(title=[title]))["label"].to_list() == ([decade] if decade else [])


def test_a_year_column_goes_before_years_in_titles():
    table = items(title=["1984", "Emma"], year=pl.Series([1949.0, None]))
    assert labels(decades(table)) == [("i0", "1940s")]


def test_words_are_small_distinct_shared_and_no_stop_words():
    table = items(title=["The Dark of the Night, the Night", "Dark night", "Something else"])
    assert labels(words(table)) == [("i0", "dark"), ("i0", "night"), ("i1", "dark"), ("i1", "night")]


def test_phrases_are_two_neighbouring_words_that_no_mark_or_stop_word_parts():
    titles = ["Harry Potter and the Goblet", "Harry Potter", "Potter, Harry", "Goblet"]
    found = labels(words(items(title=titles)))
    assert ("i0", "harry potter") in found
    assert {i for i, label in found if label == "harry potter"} == {"i0", "i1"}
    assert not [label for _, label in found if label in {"potter harry", "potter goblet", "and the"}]


def test_initials_stay_whole():
    assert ("i0", "j.k. rowling") in labels(words(items(authors=["J.K. Rowling", "Mary GrandPré, J.K. Rowling"])))


def test_words_of_other_scripts_are_words():
    found = labels(words(items(title=["Ночной дозор", "Дневной дозор", "霸王别姬", "霸王别姬"])))
    assert found == [("i0", "дозор"), ("i1", "дозор"), ("i2", "霸王别姬"), ("i3", "霸王别姬")]


def test_items_without_text_have_no_words():
    bare = items(price=[1.0, 2.0])
    assert words(bare).height == categories(bare).height == 0
    assert words(items(title=pl.Series([None, None], dtype=pl.String))).height == 0


def test_of_a_long_text_only_what_it_says_twice_is_a_word():
    long = (
        " ".join(f"filler{i} passing" if i == 7 else f"filler{i}" for i in range(220)) + " wizard school, wizard school"
    )
    found = set(words(items(text=[long, long]))["label"])
    assert {"wizard", "school", "wizard school"} <= found
    assert not {"passing", "filler3"} & found
    assert "passing" in set(words(items(text=["a passing thought", "a passing cloud"]))["label"])


def test_years_in_descriptions_are_no_decades():
    description = "In the spring of 1962 a boy finds a letter. " * 5
    assert decades(items(text=[description] * 3)).is_empty()
    both = items(title=["Heat (1995)"] * 3, text=[description] * 3)
    assert set(decades(both)["label"]) == {"1990s"}
