"""The map keeps neighbours together, is the same for the same seed, and has a place for everyone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import MismatchError
from shoal.report.map import layout


def planted(users: int, groups: int, *, noise: float = 0.3, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors around `groups` centres, and who belongs to which."""
    rng = np.random.default_rng(7)
    centres = np.linalg.qr(rng.normal(size=(width, groups)))[0].T
    labels = np.arange(users) % groups
    return (centres[labels] + noise / np.sqrt(width) * rng.normal(size=(users, width))).astype(np.float32), labels


def neighbours_of_the_same_group(points: np.ndarray, labels: np.ndarray) -> float:
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def test_planted_groups_lie_together() -> None:
    vectors, labels = planted(120, 4)
    assert neighbours_of_the_same_group(layout(vectors, seed=0), labels) > 0.97


def test_users_beyond_the_landmarks_lie_with_their_group_too() -> None:
    vectors, labels = planted(600, 4)
    assert neighbours_of_the_same_group(layout(vectors, seed=0, at_most=80), labels) > 0.97


def test_shuffled_vectors_give_a_map_that_knows_nothing_of_the_groups() -> None:
    vectors, labels = planted(120, 4)
    shuffled = vectors[np.random.default_rng(1).permutation(120)]
    assert neighbours_of_the_same_group(layout(shuffled, seed=0), labels) < 0.5


def test_same_seed_same_map_and_another_seed_another() -> None:
    vectors, _ = planted(90, 3)
    first, again, other = (layout(vectors, seed=s, at_most=60) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_length_of_a_vector_does_not_move_a_user() -> None:
    vectors, _ = planted(60, 3)
    lengths = np.random.default_rng(2).integers(1, 5, size=(60, 1)).astype(np.float64) ** 2
    near = layout(vectors.astype(np.float64), seed=0)
    # t-SNE magnifies the last digit, so only lengths that divide without a remainder may be compared exactly.
    np.testing.assert_array_equal(near, layout(vectors.astype(np.float64) * 4.0, seed=0))
    labels = np.arange(60) % 3
    assert neighbours_of_the_same_group(layout(vectors * lengths, seed=0), labels) > 0.97


def test_nobody_hides_behind_an_equal_user() -> None:
    points = layout(np.ones((50, 8)), seed=0)
    assert len(np.unique(points, axis=0)) == 50


@settings(max_examples=15, deadline=None)
@given(
    users=st.integers(0, 40),
    width=st.integers(1, 30),
    distinct=st.integers(1, 4),
    scale=st.sampled_from([0.0, 1e-12, 1.0, 1e6]),
    at_most=st.sampled_from([1, 5, 2_500]),
)
def test_any_finite_vectors_get_a_finite_map_in_its_frame(
    users: int, width: int, distinct: int, scale: float, at_most: int
) -> None:
    rng = np.random.default_rng(3)
    vectors = scale * rng.normal(size=(distinct, width))[rng.integers(distinct, size=users)]
    points = layout(vectors, seed=0, at_most=at_most)
    assert points.shape == (users, 2)
    assert points.dtype == np.float32
    assert np.isfinite(points).all()
    assert users < 2 or np.abs(points).max() == pytest.approx(1.0)


def test_a_vector_that_is_not_finite_is_named_with_its_row() -> None:
    vectors = np.ones((5, 3))
    vectors[3, 1] = np.nan
    with pytest.raises(MismatchError, match=r"1 of 5 user vectors hold a value that is not finite, the first in row 3"):
        layout(vectors, seed=0)


@pytest.mark.parametrize("vectors", [np.ones(4), np.array([["a", "b"]])])
def test_something_else_than_a_table_of_numbers_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(MismatchError, match=r"A map needs a \(users, width\) array of numbers"):
        layout(vectors, seed=0)
