"""By traits: people of whom the same is told like the same, and what is not told changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.by_traits import DAMPING, FEW, ByTraits

USERS, ITEMS = 400, 6


def pasts(matrix: np.ndarray, traits: np.ndarray | None) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1], traits)


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray]:
    """Item 0 is for those of value 0, item 1 for those of value 1, item 5 for nobody; the second trait says nothing."""
    rng = np.random.default_rng(0)
    traits = np.stack([np.arange(USERS) % 2, rng.integers(0, 3, USERS)], 1).astype(np.int32)
    matrix = rng.random((USERS, ITEMS)) < [0, 0, 0.4, 0.3, 0.2, 0]
    for value in (0, 1):
        matrix[:, value] = (rng.random(USERS) < 0.8) & (traits[:, 0] == value)
    return matrix, traits


def strangers(*traits) -> Histories:
    return pasts(np.zeros((len(traits), ITEMS), bool), np.array(traits, np.int32))


def test_a_stranger_gets_what_people_of_the_same_value_like(world):
    scores = ByTraits().fit(pasts(*world)).score(strangers([0, -1], [1, -1]))
    assert np.nanargmax(scores[0]) == 0
    assert np.nanargmax(scores[1]) == 1


def test_scores_are_the_damped_logarithms_of_shrunken_shares(world):
    matrix, traits = world
    scores = ByTraits().fit(pasts(matrix, traits)).score(strangers([1, 2]))
    usual = matrix.mean(0)
    expected = np.log(usual[:5])
    for place, value in ((0, 1), (1, 2)):
        like = traits[:, place] == value
        expected += DAMPING * np.log((matrix[like].sum(0) + FEW * usual)[:5] / ((like.sum() + FEW) * usual[:5]))
    np.testing.assert_allclose(scores[0, :5], expected, rtol=1e-5)
    assert np.isnan(scores[0, 5])


def test_of_whom_nothing_or_something_new_is_told_gets_what_is_popular(world):
    matrix, traits = world
    model = ByTraits().fit(pasts(matrix, traits))
    popular = np.log(matrix.mean(0)[:5])
    np.testing.assert_allclose(model.score(strangers([-1, -1], [7, 9]))[:, :5], [popular, popular], rtol=1e-5)
    np.testing.assert_allclose(model.score(replace(strangers([0, 0]), traits=None))[0, :5], popular, rtol=1e-5)


def test_a_column_that_nobody_in_training_has_a_value_of_says_nothing(world):
    matrix, traits = world
    empty = np.concatenate([traits, np.full((USERS, 1), -1, np.int32)], 1)
    one = ByTraits().fit(pasts(matrix, traits)).score(strangers([0, 1]))
    other = ByTraits().fit(pasts(matrix, empty)).score(strangers([0, 1, 3]))
    np.testing.assert_allclose(one, other, rtol=1e-6)
