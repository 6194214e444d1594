"""Factors: users are folded in exactly, known or not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

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


@pytest.mark.parametrize("counts", [False, True])
def test_an_event_is_trusted_by_how_rare_its_item_is_and_by_how_much_the_user_used_it(counts):
    rng = np.random.default_rng(3)
    past = draws(40, 25)
    used = pasts(past)
    used = replace(used, values=rng.integers(1, 100, len(used.items)).astype(np.float32))
    model = Factors(5, 2.0, 4.0, 0.5, counts=counts, iterations=6, seed=1).fit(used)
    amounts = used.matrix(used.values).toarray().astype(float)
    trust = np.where(past, 1 / np.sqrt(past.sum(0)), 0)
    if counts:
        trust = np.where(past, trust * np.log2(1 + amounts / (amounts.sum(1) / past.sum(1))[:, None]), 0)
    trust *= 4.0 / trust[past].mean()
    items = model.items_.astype(float)
    for row, confidence, user in zip(past, trust, model.users(used), strict=True):
        confidence = np.where(row, confidence, 1.0)
        system = items.T @ (confidence[:, None] * items) + 2.0 * np.eye(5)
        np.testing.assert_allclose(user, np.linalg.solve(system, items.T @ (confidence * row)), rtol=2e-3, atol=2e-4)


def test_events_without_a_count_are_trusted_like_a_mean_one():
    past = pasts(draws(40, 25))
    bare, counted = (Factors(4, counts=counts, iterations=2).fit(past).items_ for counts in (False, True))
    np.testing.assert_allclose(counted, bare, atol=1e-5)


def test_restored_factors_score_the_same():
    past = pasts(draws(40, 25))
    model = Factors(4, 2.0, 4.0, 0.25, iterations=2).fit(past)
    again = Factors(4, 2.0, 4.0, 0.25).restore(model.tensors())
    np.testing.assert_array_equal(again.score(past), model.score(past))


def test_factors_kept_before_confidences_differed_are_read_as_they_were(model):
    again = Factors(5, 2.0, 4.0).restore({"items": model.items_})
    strangers = pasts(draws(9, 25, seed=7))
    np.testing.assert_allclose(again.users(strangers), model.users(strangers), atol=1e-6)


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
