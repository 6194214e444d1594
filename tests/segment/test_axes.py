"""Axes of taste: what comes back in the other half of a history, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from shoal.segment.axes import CLIP, PRIOR, Axes

USERS, ITEMS = 400, 40


def world(seed: int = 0):
    """Two tastes; base vectors show the taste faintly, and loudly something that each half makes up anew."""
    rng = np.random.default_rng(seed)
    taste = rng.choice([-1.0, 1.0], USERS)
    bases, uses = [], []
    for _ in range(2):
        base = np.zeros((USERS, 6), np.float32)
        base[:, 0] = 0.5 * taste + 0.1 * rng.normal(size=USERS)
        base[:, 1] = 3.0 * rng.choice([-1.0, 1.0], USERS)
        base[:, 2:] = 0.2 * rng.normal(size=(USERS, 4))
        bases.append(base)
        of_taste = rng.random((USERS, ITEMS)) < 0.2
        of_taste[:, : ITEMS // 2] &= (taste > 0)[:, None]
        of_taste[:, ITEMS // 2 :] &= (taste < 0)[:, None]
        uses.append(sparse.csr_matrix(of_taste.astype(np.float32)))
    return (bases[0], bases[1]), (uses[0], uses[1]), taste


def test_the_first_axis_is_the_taste_and_not_the_loudest_direction():
    bases, uses, taste = world()
    axes = Axes.fit(bases, uses, 3)
    own = axes.of(bases[0], np.full(USERS, 100))
    assert abs(np.corrcoef(own[:, 0], taste)[0, 1]) > 0.9
    assert abs(np.corrcoef(own[:, 0], bases[0][:, 1])[0, 1]) < 0.2
    assert axes.foretold[0] == 1
    assert axes.foretold[1] < 0.1


def test_axes_foretell_ever_less_and_are_no_more_than_there_are():
    bases, uses, _ = world()
    axes = Axes.fit(bases, uses, 50)
    assert axes.directions.shape[1] <= 6
    assert (np.diff(axes.foretold) <= 0).all()


def test_few_events_draw_a_user_to_the_middle():
    bases, uses, _ = world()
    axes = Axes.fit(bases, uses, 2)
    much, little = axes.of(bases[0], np.full(USERS, 10**9)), axes.of(bases[0], np.full(USERS, 5))
    np.testing.assert_allclose(little, much * 5 / (5 + PRIOR), rtol=1e-4, atol=1e-6)


def test_far_ends_are_cut():
    bases, uses, _ = world()
    axes = Axes.fit(bases, uses, 2)
    wild = np.concatenate([bases[0], 100 * np.eye(6, dtype=np.float32), -100 * np.eye(6, dtype=np.float32)])
    own = axes.of(wild, np.full(len(wild), 10**9))
    assert (np.abs(own) <= axes.cut + 1e-6).all()
    spread = axes.of(np.concatenate(bases), np.full(2 * USERS, 10**9)).std(0)
    np.testing.assert_allclose(axes.cut, CLIP * spread, rtol=0.15)


def test_who_is_nowhere_stays_at_zero():
    bases, uses, _ = world()
    axes = Axes.fit(bases, uses, 2)
    assert not axes.of(np.zeros((3, 6), np.float32), np.array([0, 5, 50])).any()


def test_which_half_is_called_the_first_does_not_matter():
    bases, uses, _ = world()
    one, other = Axes.fit(bases, uses, 2), Axes.fit(bases[::-1], uses[::-1], 2)
    counts = np.full(USERS, 30)
    np.testing.assert_allclose(one.of(bases[0], counts), other.of(bases[0], counts), atol=1e-4)


@pytest.mark.parametrize("name", ["middle", "centre", "directions", "cut", "foretold"])
def test_what_was_kept_comes_back(name):
    bases, uses, _ = world()
    axes = Axes.fit(bases, uses, 2)
    np.testing.assert_array_equal(getattr(Axes.restore(axes.tensors()), name), getattr(axes, name))


def test_where_nobody_says_anything_there_are_no_axes_and_nobody_is_placed():
    nothing = np.zeros((4, 3), np.float32)
    none = sparse.csr_matrix((4, ITEMS), dtype=np.float32)
    axes = Axes.fit((nothing, nothing), (none, none), 2)
    assert axes.of(np.ones((2, 3), np.float32), np.array([3, 4])).shape == (2, 0)


def test_users_who_are_all_alike_have_finite_vectors():
    same = np.ones((6, 3), np.float32)
    all_ = sparse.csr_matrix(np.ones((6, ITEMS), np.float32))
    axes = Axes.fit((same, same), (all_, all_), 2)
    assert np.isfinite(axes.of(same, np.full(6, 5))).all()
