"""Texts with ratings or labels are read; what is bad is named, counted or refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.labelled import CUT, MOST_LEVELS, as_labelled, read_labelled
from shoal.errors import ConfigError, NotEnoughDataError, ReadError

REVIEWS = "review,rating\nA fine film,5\nAwful,1\nSo so,3\n,4\nLovely,5\n"


@pytest.fixture
def write(tmp_path):
    def make(content, name="reviews.csv"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return make


def test_ratings_become_ordered_classes_and_empty_texts_are_counted(write):
    data = read_labelled(write(REVIEWS))
    assert data.texts == ["A fine film", "Awful", "So so", "Lovely"]
    assert data.names == ("1", "3", "5")
    assert data.classes.tolist() == [2, 0, 1, 2]
    assert data.values.tolist() == [5, 1, 3, 5]
    assert data.levels.tolist() == [1, 3, 5]
    assert data.ordered
    assert (data.rows, data.dropped) == (5, {"text is empty": 1})
    assert data.lines() == [
        "read  reviews.csv: 5 rows, 4 texts kept",
        "read  1 rows left out: text is empty",
        "read  3 ratings: 1 25%, 3 25%, 5 50%",
    ]


def test_labels_become_classes_in_alphabetical_order(write):
    path = write("text,mood\nhooray,positive\nalas,negative\nwell,neutral\n")
    data = read_labelled(path, label="mood")
    assert data.names == ("negative", "neutral", "positive")
    assert data.classes.tolist() == [2, 0, 1]
    assert not data.ordered


def test_a_column_called_label_is_found_and_ratings_win_over_it(write):
    assert not read_labelled(write("text,label\na,x\nb,y\n")).ordered
    assert read_labelled(write("text,label,rating\na,x,1\nb,y,2\n")).ordered


def test_numbers_given_as_labels_are_names(write):
    data = read_labelled(write("text,stars\na,10\nb,9\nc,10\n"), label="stars")
    assert (data.names, data.ordered) == (("10", "9"), False)


def test_several_text_columns_are_joined_in_their_order(write):
    path = write("title,body,rating\nOld,A ship sinks,2\nNew!,,4\n")
    assert read_labelled(path, text=["title", "body"]).texts == ["Old. A ship sinks", "New!"]


def test_a_table_in_memory_is_read_too():
    data = read_labelled(pl.DataFrame({"text": ["a", "b"], "rating": [0.5, 4.0]}))
    assert data.names == ("0.5", "4")


def test_continuous_ratings_are_cut_into_levels_and_keep_their_values():
    ratings = np.linspace(0, 10, MOST_LEVELS + 5)
    data = as_labelled("t", ["x"] * len(ratings), pl.Series(ratings))
    assert len(data.levels) == CUT
    np.testing.assert_allclose(data.values, ratings, rtol=1e-6)
    nearest = np.abs(data.levels[None] - data.values[:, None]).argmin(1)
    assert np.abs(data.classes - nearest).max() <= 1  # exactly halfway may go either way
    assert (data.classes == nearest).mean() > 0.8


@given(st.lists(st.sampled_from([1.0, 1.5, 2.0, 4.0, 5.0]), min_size=2, max_size=40).filter(lambda r: len(set(r)) > 1))
def test_a_class_stands_for_its_rating(ratings):
    data = as_labelled("t", ["x"] * len(ratings), pl.Series(ratings))
    assert data.levels[data.classes].tolist() == data.values.tolist() == ratings
    assert [float(n) for n in data.names] == data.levels.tolist() == sorted(set(ratings))


def test_some_rows_are_taken_with_all_the_classes(write):
    data = read_labelled(write(REVIEWS)).take(np.array([1, 0]))
    assert data.texts == ["Awful", "A fine film"]
    assert data.classes.tolist() == [0, 2]
    assert data.names == ("1", "3", "5")


BAD = {
    "no text column": ("words,rating\na,1\nb,2\n", {}, ReadError, r"no column for text.*--text"),
    "no rating column": ("text,mark\na,1\nb,2\n", {}, ReadError, r"no column for rating.*--label"),
    "a label that is not there": (
        "text,a\nx,1\ny,2\n",
        {"label": "mood"},
        ReadError,
        r"no column mood.*it has text, a",
    ),
    "all texts empty": ("text,rating\n,1\n ,2\n", {}, NotEnoughDataError, r"2 of 2 texts are empty"),
    "one class only": ("text,rating\na,3\nb,3\n", {}, NotEnoughDataError, r"one class, 3: there is nothing to tell"),
    "a rating that is a word": ("text,rating\na,1\nb,good\n", {}, ReadError, r"line 3: rating 'good' is not a number"),
    "a rating that is empty": ("text,rating\na,1\nb,\n", {}, ReadError, r"line 3: rating is empty.*--on-bad drop"),
    "a label that is empty": ("text,label\na,x\nb,\n", {}, ReadError, r"line 3: label is empty"),
    "outside the scale": ("text,rating\na,1\nb,7\n", {"scale": (1, 5)}, ReadError, r"rating 7 lies outside.* 1 to 5"),
    "both asked for": (REVIEWS, {"rating": "rating", "label": "review"}, ConfigError, r"both given"),
    "a header alone": ("text,rating\n", {}, (ReadError, NotEnoughDataError), r"no row"),
    "a row too long": ("text,rating\na,1\nb,2,3\nc,3\n", {}, ReadError, r"line 3"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_said_with_the_place_and_the_way_out(write, what):
    content, how, error, words = BAD[what]
    with pytest.raises(error, match=words) as told:
        read_labelled(write(content), **how)
    assert "\n" not in str(told.value)


def test_bad_rows_are_left_out_and_counted_where_that_is_asked(write):
    content = "text,rating\na,1\nb,good\nc,9\n,2\nd,4\ne,2\n"
    data = read_labelled(write(content), scale=(1, 5), on_bad="drop")
    assert data.texts == ["a", "d", "e"]
    assert data.dropped == {"rating is not a number": 1, "rating is outside the scale": 1, "text is empty": 1}
    assert data.rows == 6 == len(data.texts) + sum(data.dropped.values())
