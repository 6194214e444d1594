"""Trees read by columns: LightGBM's own sums, to the last bit."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from shoal.recommend.boosted import TREES
from shoal.recommend.trees import Trees

ROWS, FEATURES = 2_000, 5


def grown(leaves: int = 7, features: np.ndarray | None = None) -> tuple[lightgbm.Booster, np.ndarray]:
    """Return trees, and the columns they were grown on, of whole numbers unless they are given."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(scale=3, size=(ROWS, FEATURES))).astype(np.float32) if features is None else features
    y = (np.nan_to_num(x[:, 0]) * np.nan_to_num(x[:, 1]) + rng.normal(size=ROWS) > 2).astype(np.int32)
    table = lightgbm.Dataset(x, y, group=np.full(ROWS // 100, 100))
    return lightgbm.train(TREES | {"num_leaves": leaves, "min_data_in_leaf": 5}, table, 30), np.ascontiguousarray(x.T)


@pytest.mark.parametrize("leaves", [2, 7, 8])
def test_sums_are_those_of_lightgbm_to_the_last_bit(leaves):
    booster, seen = grown(leaves)
    trees = Trees(booster)
    assert trees.readable
    new = np.random.default_rng(1).normal(scale=5, size=(FEATURES, 3_000)).astype(np.float32)
    for columns in (seen, new):
        np.testing.assert_array_equal(trees.predict(columns), booster.predict(columns.T))


def test_a_number_that_is_the_threshold_goes_left_and_its_neighbours_as_in_lightgbm():
    booster, _ = grown()
    trees = Trees(booster)
    thresholds = np.array([threshold for tree in trees.trees for _, threshold, _ in tree.splits], np.float32)
    thresholds = thresholds[np.abs(thresholds) > 1e-30]
    columns = np.concatenate([np.nextafter(thresholds, np.float32(side)) for side in (-np.inf, np.inf)] + [thresholds])
    columns = np.tile(columns, (FEATURES, 1))
    np.testing.assert_array_equal(trees.predict(columns), booster.predict(columns.T))


def test_a_tree_without_a_split_says_the_same_of_all():
    booster, columns = grown(features=np.ones((ROWS, FEATURES), np.float32))
    trees = Trees(booster)
    assert trees.readable
    np.testing.assert_array_equal(trees.predict(columns), booster.predict(columns.T))


def test_larger_trees_and_those_that_ask_for_missing_numbers_are_left_to_lightgbm():
    x = np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype(np.float32)
    x[::3, 0] = np.nan
    for booster, columns in (grown(leaves=9), grown(features=x)):
        trees = Trees(booster)
        assert not trees.readable
        np.testing.assert_array_equal(trees.predict(columns), booster.predict(columns.T))
