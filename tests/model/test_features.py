"""Item features: measured on what training saw, and the same space for what it did not."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model.features import LABEL_WEIGHT, Features

ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e", "f"],
        "title": ["Heat (1995)", "Alien (1979)", "Jaws (1975) ", "Up", "Big (1988)", "2001 (part) (1968)"],
        "genres": [["Crime"], ["Space", "Horror"], ["Horror"], None, ["Horror", "Crime"], ["Space", "Crime"]],
        "minutes": [170, 117, 124, None, 104, 149],
    }
)
ALL = np.ones(6, bool)


def vectors(items: int = 6, width: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(items, width)) @ np.diag(np.arange(1, width + 1)) + 3).astype(np.float32)


def bare(items: int) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"i{i}" for i in range(items)]})


@given(st.integers(0, 50), st.integers(12, 40))
def test_training_items_have_unit_spread_in_each_direction_of_the_text(seed, items):
    of = vectors(items, 5, seed)
    seen = np.random.default_rng(seed).random(items) < 0.8
    seen[:8] = True
    fitted = Features.fit(of, bare(items), seen)
    text = (of[seen] - fitted.mean) @ fitted.rotation
    np.testing.assert_allclose(text.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(text.T @ text / seen.sum(), np.eye(5), atol=2e-3)


def test_the_text_of_an_item_has_length_one():
    fitted = Features.fit(vectors(20), bare(20), np.ones(20, bool))
    np.testing.assert_allclose(np.linalg.norm(fitted.of(vectors(9, seed=5), bare(9)), axis=1), 1, atol=1e-5)


def test_what_training_did_not_see_moves_nothing():
    seen = np.arange(20) < 15
    one, other = vectors(20), vectors(20)
    other[15:] = 99
    first, second = Features.fit(one, bare(20), seen), Features.fit(other, bare(20), seen)
    np.testing.assert_array_equal(first.rotation, second.rotation)
    np.testing.assert_array_equal(first.of(one[:15], bare(15)), second.of(one[:15], bare(15)))


def test_no_more_directions_are_kept_than_there_are():
    assert Features.fit(vectors(20, 6), bare(20), np.ones(20, bool), text_width=3).rotation.shape == (6, 3)
    flat = vectors(20, 2) @ np.array([[1, 0, 1, 0], [0, 1, 0, 1]], np.float32)
    assert Features.fit(flat, bare(20), np.ones(20, bool)).width == 2


def test_a_catalogue_without_text_has_features_of_width_zero_or_of_its_numbers():
    same = np.ones((6, 4), np.float32)
    assert Features.fit(same, bare(6), ALL).of(same, bare(6)).shape == (6, 0)
    numbered = Features.fit(same, ITEMS.select("item_id", "minutes"), ALL)
    assert [column for column, _, _ in numbered.numbers] == ["minutes"]


def test_labels_count_from_three_items_up_most_used_first():
    fitted = Features.fit(vectors(), ITEMS, ALL)
    assert fitted.labels == (("genres", "Crime"), ("genres", "Horror"))  # Space: two items
    part = fitted.of(vectors(), ITEMS)[:, fitted.rotation.shape[1] :][:, :2]
    expected = np.array([[1, 0], [0, 1], [0, 1], [0, 0], [1, 1], [1, 0]]) * LABEL_WEIGHT
    np.testing.assert_array_equal(part, expected.astype(np.float32))


def test_a_label_that_an_item_repeats_counts_once():
    items = bare(3).with_columns(genres=pl.Series([["x", "x", "x"], ["y"], ["y"]]))
    assert Features.fit(vectors(3), items, np.ones(3, bool)).labels == ()


def test_numbers_are_standardised_and_years_are_found_in_titles():
    fitted = Features.fit(vectors(), ITEMS, ALL)
    told = {column: (mean, spread) for column, mean, spread in fitted.numbers}
    minutes, years = [170, 117, 124, 104, 149], [1995, 1979, 1975, 1988, 1968]
    assert told["minutes"] == pytest.approx((np.mean(minutes), np.std(minutes)))
    assert told["(year)"] == pytest.approx((np.mean(years), np.std(years)))
    part = fitted.of(vectors(), ITEMS)[:, -2:]
    assert part[0, 1] == pytest.approx(LABEL_WEIGHT * (1995 - np.mean(years)) / np.std(years), abs=1e-5)
    assert part[3].tolist() == [0, 0]  # neither minutes nor a year


def test_unseen_labels_missing_numbers_and_missing_columns_count_zero():
    fitted = Features.fit(vectors(), ITEMS, ALL)
    fresh = pl.DataFrame(
        {"item_id": ["x"], "genres": [["Sport"]], "minutes": [None], "title": ["No year"]},
        schema_overrides={"minutes": pl.Int64},
    )
    width = fitted.rotation.shape[1]
    assert not fitted.of(vectors(1), fresh)[:, width:].any()
    assert not fitted.of(vectors(1), bare(1))[:, width:].any()


def test_a_number_far_out_is_bounded():
    fitted = Features.fit(vectors(), ITEMS, ALL)
    far = ITEMS.with_columns(minutes=pl.lit(10**9))
    assert fitted.of(vectors(), far)[:, -2].tolist() == [4 * LABEL_WEIGHT] * 6


@pytest.mark.parametrize(
    "column", [pl.Series([7.0] * 6), pl.Series([0.1 + 0.2] * 6), pl.Series([1.0, 2.0, None, None, None, None])]
)
def test_a_number_that_is_the_same_for_all_or_mostly_missing_tells_nothing(column):
    items = bare(6).with_columns(column.alias("number"))
    assert Features.fit(vectors(), items, ALL).numbers == ()


def test_an_infinite_number_does_not_spoil_its_column():
    items = bare(6).with_columns(number=pl.Series([1.0, 2, 3, 4, 5, float("inf")]))
    fitted = Features.fit(vectors(), items, ALL)
    assert fitted.numbers == (("number", pytest.approx(3.0), pytest.approx(np.sqrt(2))),)
    assert np.isfinite(fitted.of(vectors(), items)).all()


def test_features_come_back_from_tensors_and_a_document():
    fitted = Features.fit(vectors(), ITEMS, ALL)
    again = Features.restore(fitted.tensors(), json.loads(json.dumps(fitted.document())))
    assert (again.labels, again.numbers, again.width) == (fitted.labels, fitted.numbers, fitted.width)
    np.testing.assert_array_equal(again.of(vectors(), ITEMS), fitted.of(vectors(), ITEMS))


def test_the_order_of_items_changes_nothing():
    fitted = Features.fit(vectors(), ITEMS, ALL)
    whole = fitted.of(vectors(), ITEMS)
    turned = fitted.of(vectors()[::-1], ITEMS.reverse())
    np.testing.assert_allclose(turned[::-1], whole, atol=1e-6)
    assert whole.dtype == np.float32
    assert whole.shape == (6, fitted.width)
