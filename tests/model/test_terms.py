"""Terms of items: what two items share, the rare more than the common."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model.terms import terms_of

BOOKS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e"],
        "title": ["The blue lagoon", "The red lagoon", "Winter", "Another thing", "Alone"],
        "authors": [["Ann Lee"], ["Bo Ek"], ["Ann Lee"], ["Bo Ek"], ["Nobody Else"]],
    }
)


def cosines(items: pl.DataFrame) -> np.ndarray:
    words = terms_of(items)
    return (words @ words.T).toarray()


def test_books_of_one_author_and_books_of_one_word_share_something_and_others_nothing():
    shared = cosines(BOOKS) > 0
    pairs = {(a, b) for a, b in np.argwhere(np.triu(shared, 1)).tolist()}
    assert pairs == {(0, 1), (0, 2), (1, 3)}


def test_rows_have_length_one_or_share_nothing_with_anybody():
    length = np.sqrt(np.square(terms_of(BOOKS).toarray()).sum(1))
    np.testing.assert_allclose(length, [1, 1, 1, 1, 0], atol=1e-6)


def test_a_rare_name_counts_more_than_a_common_one():
    many = pl.DataFrame(
        {"item_id": [str(i) for i in range(12)], "tags": [["all", "rare"]] * 2 + [["all"]] * 9 + [["other"]]}
    )
    found = cosines(many)
    assert found[0, 1] == pytest.approx(1)
    assert 0 < found[0, 2] < found[0, 1]
    assert found[0, 11] == 0


def test_a_name_is_one_whole_beside_its_words():
    """Namesakes share a word; one and the same author shares the name too, and that counts more than words alone."""
    people = ["Ann Lee", "Ann Lee", "Ann Fox", "Lee Ann"]
    books = pl.DataFrame({"item_id": list("abcd"), "authors": [[p] for p in people]})
    as_texts = books.with_columns(pl.col("authors").list.join(", "))
    assert terms_of(books).shape[1] == terms_of(as_texts).shape[1] + 1
    assert cosines(books)[0, 2] < cosines(as_texts)[0, 2]


def test_names_of_one_letter_are_known_as_labels():
    found = cosines(pl.DataFrame({"item_id": list("abc"), "tags": [["x"], ["x"], ["y"]]}))
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == 0


def test_links_are_not_read():
    books = BOOKS.with_columns(url="https://images.example.com/books/" + pl.col("item_id"))
    np.testing.assert_array_equal(terms_of(books).toarray(), terms_of(BOOKS).toarray())


def test_of_very_many_items_labels_alone_are_read(monkeypatch):
    monkeypatch.setattr("shoal.model.terms.MOST_CHARACTERS", 100)
    shared = cosines(BOOKS) > 0
    assert {(a, b) for a, b in np.argwhere(np.triu(shared, 1)).tolist()} == {(0, 2), (1, 3)}


def test_the_end_of_a_long_text_is_left_out(monkeypatch):
    monkeypatch.setattr("shoal.model.terms.MOST_CHARACTERS", 200)
    told = pl.DataFrame({"item_id": ["1", "2"], "text": ["x" * 200 + " whale", "whale"]})
    assert terms_of(told).nnz == 0
    monkeypatch.undo()
    assert terms_of(told).nnz == 2


def test_chinese_is_cut_into_words():
    films = pl.DataFrame({"item_id": ["1", "2", "3"], "title": ["房间很大", "大房间", "早餐不错"]})
    found = cosines(films)
    assert found[0, 1] > 0
    assert found[0, 2] == 0


@pytest.mark.parametrize(
    "items",
    [
        pl.DataFrame({"item_id": ["1", "2"]}),
        pl.DataFrame({"item_id": ["1", "2"], "year": [1999, 2001], "title": [None, None]}),
        pl.DataFrame({"item_id": ["1", "2"], "title": ["one", "two"]}),
        pl.DataFrame({"item_id": ["1", "2"], "title": ["", "   "]}),
        pl.DataFrame({"item_id": ["1", "2"], "tags": [[], None]}, schema_overrides={"tags": pl.List(pl.String)}),
    ],
)
def test_items_that_tell_nothing_have_rows_of_zeros(items):
    words = terms_of(items)
    assert words.shape[0] == items.height
    assert words.nnz == 0


def test_a_missing_text_or_label_leaves_the_rest():
    items = pl.DataFrame(
        {"item_id": ["1", "2", "3"], "title": ["sea story", None, "sea song"], "tags": [["x"], ["x", None], None]},
        schema_overrides={"tags": pl.List(pl.String)},
    )
    found = cosines(items)
    assert found[0, 1] > 0
    assert found[0, 2] > 0
    assert found[1, 2] == 0


@given(st.permutations(range(5)))
def test_what_two_items_share_does_not_depend_on_the_order_of_the_catalogue(order):
    np.testing.assert_allclose(cosines(BOOKS[list(order)]), cosines(BOOKS)[np.ix_(order, order)], atol=1e-6)


def test_a_word_of_one_chinese_sign_counts():
    assert terms_of(pl.DataFrame({"item_id": ["1", "2"], "title": ["我", "我"]})).nnz == 2
