"""Posteriors of many small models at once, against one at a time and term by term."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from shoal.data.histories import Histories
from shoal.model import gauss
from shoal.model.gauss import factor_posterior, posterior_of_users

WIDTH, NOISE = 3, 0.6


def spd(rng: np.random.Generator, n: int) -> np.ndarray:
    """n random covariances (n, width, width)."""
    root = rng.normal(size=(n, WIDTH, WIDTH))
    return root @ root.transpose(0, 2, 1) * 0.1 + np.eye(WIDTH) * 0.05


@pytest.fixture(scope="module")
def case() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    there = rng.random((6, 7)) < 0.6
    there[2] = False  # has rated nothing
    return {
        "there": there,
        "values": rng.normal(size=(6, 7)) * there,
        "means": rng.normal(size=(7, WIDTH)),
        "covariances": spd(rng, 7),
        "prior": rng.normal(size=(6, WIDTH)),
        "precision": np.linalg.inv(spd(rng, 1)[0]),
    }


def solve(case: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    values = sparse.csr_matrix(case["values"])
    there = sparse.csr_matrix(case["there"].astype(float))
    squared = np.square(case["values"]).sum(1)
    rest = (case[k] for k in ("means", "covariances", "prior", "precision"))
    return factor_posterior(values, there, *rest, NOISE, squared)


def moments(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """E[v v'] of v = (1, factors)."""
    wide = np.r_[1.0, mean]
    second = np.outer(wide, wide)
    second[1:, 1:] += covariance
    return second


def test_an_uncertain_other_side_enters_by_its_moments(case):
    found, spread, _ = solve(case)
    for row in range(6):
        information, target = case["precision"].copy(), case["precision"] @ case["prior"][row]
        for column in np.flatnonzero(case["there"][row]):
            second = moments(case["means"][column], case["covariances"][column])  # of (1, b_0, b_1, ...)
            loads = np.r_[0, np.arange(2, WIDTH + 1)]  # what a row's (offset, factors) meet: (1, b_1, ...)
            information += second[np.ix_(loads, loads)] / NOISE
            target += (case["values"][row, column] * second[0, loads] - second[1, loads]) / NOISE
        np.testing.assert_allclose(spread[row], np.linalg.inv(information), rtol=1e-8)
        np.testing.assert_allclose(found[row], np.linalg.solve(information, target), rtol=1e-8, atol=1e-10)


def test_the_expected_squared_error_is_that_of_two_independent_sides(case):
    found, spread, squares = solve(case)
    expected = 0.0
    for row, column in zip(*np.nonzero(case["there"]), strict=True):
        ours = moments(found[row], spread[row])  # of (1, a_0, a_1, ...)
        theirs = moments(case["means"][column], case["covariances"][column])
        pairs = np.r_[1, 0, np.arange(2, WIDTH + 1)]  # a_0 meets 1, and 1 meets b_0
        ours = ours[np.ix_(pairs, pairs)]
        mean, second = ours_mean(found[row], case["means"][column]), float((ours * theirs).sum())
        expected += case["values"][row, column] ** 2 - 2 * case["values"][row, column] * mean + second
    assert squares == pytest.approx(expected, rel=1e-9)


def ours_mean(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] + b[0] + a[1:] @ b[1:])


def test_a_row_without_ratings_keeps_its_prior(case):
    found, spread, _ = solve(case)
    np.testing.assert_allclose(found[2], case["prior"][2])
    np.testing.assert_allclose(spread[2], np.linalg.inv(case["precision"]))


def test_without_squares_the_error_is_not_told(case):
    values, there = sparse.csr_matrix(case["values"]), sparse.csr_matrix(case["there"].astype(float))
    rest = [case[k] for k in ("means", "covariances", "prior", "precision")]
    assert np.isnan(factor_posterior(values, there, *rest, NOISE)[2])


def test_blocks_of_users_make_no_difference(monkeypatch):
    rng = np.random.default_rng(1)
    counts = np.array([3, 0, 5, 1, 4])
    items = rng.integers(0, 9, counts.sum()).astype(np.int32)
    bare = np.full(len(items), np.nan)
    past = Histories(np.r_[0, np.cumsum(counts)], items, bare, bare, 9)
    arguments = (past, rng.normal(size=len(items)), rng.normal(size=(9, WIDTH)), np.ones(WIDTH), np.eye(WIDTH), NOISE)
    (whole,) = posterior_of_users(*arguments)
    monkeypatch.setattr(gauss, "BLOCK_FLOATS", 2 * WIDTH**2)
    parts = list(posterior_of_users(*arguments))
    assert [len(p[0]) for p in parts] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate([p[0] for p in parts]), whole[0])
    np.testing.assert_allclose(sum(p[1] for p in parts), whole[1])
    assert sum(p[2] for p in parts) == pytest.approx(whole[2])
    np.testing.assert_allclose(whole[0][1], 1.0)  # without a past: the prior mean
