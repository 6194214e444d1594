"""Factors: users are folded in exactly, known or not."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.factors import Factors


def pasts(matrix: np.ndarray) -> Histories:
    rows, items = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    bare = np.full(len(items), np.nan)
    return Histories(starts, items.astype(np.int32), bare.astype(np.float32), bare, matrix.shape[1])


def draws(users: int, items: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).random((users, items)) < 0.3
    matrix[0] = matrix[:, 0] = True
    return matrix


@pytest.fixture(scope="module")
def model() -> Factors:
    return Factors(5, 2.0, 4.0, iterations=6, seed=1).fit(pasts(draws(40, 25)))


def test_a_stranger_is_folded_in_as_implicit_does(model):
    from implicit.cpu.als import AlternatingLeastSquares

    strangers = pasts(draws(9, 25, seed=7))
    theirs = AlternatingLeastSquares(factors=5, regularization=2.0, alpha=4.0, num_threads=1)
    theirs.item_factors = model.items_.copy()
    expected = theirs.recalculate_user(np.arange(9), strangers.matrix())
    np.testing.assert_allclose(model.users(strangers), expected, rtol=1e-3, atol=1e-4)


def test_a_user_is_the_minimum_of_the_weighted_squares(model):
    """Hu et al. 2008, equation 3: confidence alpha where there is an event, and 1 elsewhere."""
    past = draws(3, 25, seed=2)
    items = model.items_.astype(float)
    for row, user in zip(past, model.users(pasts(past)), strict=True):
        confidence = np.where(row, 4.0, 1.0)
        system = items.T @ (confidence[:, None] * items) + 2.0 * np.eye(5)
        np.testing.assert_allclose(user, np.linalg.solve(system, items.T @ (confidence * row)), rtol=1e-3, atol=1e-4)


def test_many_users_are_folded_in_as_each_alone(model):
    many = pasts(np.tile(draws(50, 25, seed=3), (50, 1)))  # more than a block of 2,048
    scores = model.score(many)
    np.testing.assert_allclose(scores[2450:], scores[:50], atol=1e-6)


def test_an_item_that_nobody_used_does_not_move_a_user():
    wide, stranger = draws(30, 12), draws(1, 12, seed=4)
    wide[:, 11] = False
    model = Factors(4, iterations=4).fit(pasts(wide))
    with_it, without = stranger.copy(), stranger.copy()
    with_it[:, 11], without[:, 11] = True, False
    np.testing.assert_allclose(model.users(pasts(with_it)), model.users(pasts(without)), atol=1e-6)
    assert np.isnan(model.score(pasts(without))[:, 11]).all()


def test_another_seed_starts_elsewhere():
    past = pasts(draws(30, 12))
    one, other = (Factors(4, iterations=1, seed=s).fit(past).items_ for s in (0, 1))
    assert np.abs(one - other).max() > 1e-3


def test_where_blas_has_threads_of_its_own_nothing_is_warned_of():
    code = """
import numpy as np
from shoal.data.histories import Histories
from shoal.recommend.factors import Factors
bare = np.full(4, np.nan)
past = Histories(np.array([0, 2, 4]), np.array([0, 1, 1, 2], np.int32), bare, bare, 3)
assert np.isfinite(Factors(2, iterations=1).fit(past).score(past)).all()
"""
    threads = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=threads, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
