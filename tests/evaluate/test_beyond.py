import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import MismatchError, NotEnoughDataError, TableError
from shoal.evaluate.beyond import coverage, diversity, novelty


def lists(**shown: str) -> pl.DataFrame:
    rows = [(u, i, r) for u, items in shown.items() for r, i in enumerate(items, 1)]
    return pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32}, orient="row")


def vectors(**of: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": list(of), "vector": np.array(list(of.values()), np.float32)})


CATALOGUE = pl.DataFrame({"item_id": list("abcde")})


def test_coverage_is_the_share_of_the_catalogue_that_someone_is_shown():
    shown = lists(ann="abc", bob="abd")
    assert coverage(shown, CATALOGUE) == 0.8
    assert coverage(shown, CATALOGUE, n=2) == 0.4
    assert coverage(shown.clear(), CATALOGUE) == 0


def test_coverage_refuses_an_item_outside_the_catalogue_and_an_empty_catalogue():
    with pytest.raises(MismatchError, match=r"Item x is recommended and is not in the catalogue \(1 such items\)"):
        coverage(lists(ann="ax"), CATALOGUE)
    with pytest.raises(NotEnoughDataError, match="catalogue is empty"):
        coverage(lists(ann="a"), CATALOGUE.clear())


def test_an_item_that_half_of_the_users_have_carries_one_bit():
    known = lists(ann="ab", bob="a", cid="ab", dan="a")
    judged = novelty(lists(ann="a", bob="b", cid="ab"), known)
    assert judged.table.rows() == [("ann", 0, 1), ("bob", 1, 1), ("cid", 0.5, 2)]


def test_an_item_that_nobody_has_counts_as_if_one_user_had_it():
    known = lists(ann="a", bob="a", cid="a", dan="a")
    assert novelty(lists(ann="z"), known).mean == 2


def test_the_diversity_of_like_unlike_and_opposite_items():
    table = vectors(a=[1, 0], b=[3, 0], c=[0, 2], d=[-1, 0])
    judged = diversity(lists(ann="ab", bob="ac", cid="ad", dan="abc"), table)
    assert judged.table["value"].to_list() == pytest.approx([0, 1, 2, 2 / 3])


def test_a_list_of_one_item_has_no_diversity_and_is_counted():
    judged = diversity(lists(ann="a", bob="ab"), vectors(a=[1, 0], b=[0, 1]))
    assert judged.table["user_id"].to_list() == ["bob"]
    assert judged.skipped == 1


def test_an_item_without_a_direction_is_unlike_everything():
    assert diversity(lists(ann="az"), vectors(a=[1, 0], z=[0, 0])).mean == 1


@given(st.integers(2, 8), st.integers(0, 2**16))
def test_diversity_is_the_mean_over_pairs_whatever_the_order_and_the_lengths_of_vectors(k, seed):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(k, 3)).astype(np.float32)
    ids = [str(i) for i in range(k)]
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    slow = np.mean([1 - unit[i] @ unit[j] for i in range(k) for j in range(i)])
    shown = pl.DataFrame({"user_id": "u", "item_id": rng.permutation(ids), "rank": np.arange(1, k + 1)})
    scaled = pl.DataFrame({"item_id": ids, "vector": raw * 2})
    assert diversity(shown, scaled).mean == pytest.approx(slow, abs=1e-5)


def test_diversity_refuses_items_without_a_vector_and_tables_that_are_none():
    with pytest.raises(MismatchError, match="Item b is recommended and is not in the table of vectors"):
        diversity(lists(ann="ab"), vectors(a=[1, 0]))
    with pytest.raises(TableError, match="column vector is Float64, and must be an Array"):
        diversity(lists(ann="ab"), pl.DataFrame({"item_id": ["a", "b"], "vector": [1.0, 2.0]}))
    with pytest.raises(TableError, match="an item stands twice"):
        diversity(lists(ann="ab"), pl.concat([vectors(a=[1, 0], b=[1, 0])] * 2))
