"""Several factorisations as one model."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.data.histories import Histories
from shoal.recommend.factors import Factors
from shoal.recommend.several import Several
from shoal.recommend.standard import standardise


def pasts(seed: int = 0, users: int = 60, items: int = 30) -> Histories:
    """The last item is used by nobody, and the last user did nothing."""
    rng = np.random.default_rng(seed)
    used = rng.random((users, items)) < 0.2
    used[:, -1], used[-1] = False, False
    columns = np.nonzero(used)[1]
    starts = np.concatenate([[0], np.cumsum(used.sum(1))])
    bare = np.full(len(columns), np.nan)
    return Histories(starts, columns.astype(np.int32), bare.astype(np.float32), bare, items)


@pytest.fixture(scope="module")
def fitted() -> Several:
    return Several([Factors(3, seed=1), Factors(6, power=0.25, seed=1)]).fit(pasts())


def test_the_score_is_the_mean_of_the_standardised_scores(fitted):
    asked = pasts(1)
    want = np.mean([standardise(model.score(asked)) for model in fitted.models], axis=0)
    want[:, -1] = want[-1] = np.nan
    np.testing.assert_allclose(fitted.score(asked), want, atol=1e-6)


def test_what_was_never_used_and_who_never_did_anything_has_no_score(fitted):
    scores = fitted.score(pasts())
    assert np.isnan(scores[-1]).all()
    assert np.isnan(scores[:, -1]).all()
    assert np.isfinite(scores[:-1, :-1]).all()


def test_one_alone_orders_items_as_it_does_by_itself():
    one = Factors(4, seed=2)
    alone = Several([one]).fit(pasts())
    mine, its = alone.score(pasts(1))[:-1, :-1], one.score(pasts(1))[:-1, :-1]
    np.testing.assert_array_equal(np.argsort(mine, axis=1), np.argsort(its, axis=1))
    assert alone.width == 4


def test_what_was_kept_scores_the_same(fitted):
    again = Several.restore(fitted.document(), fitted.tensors())
    np.testing.assert_array_equal(again.score(pasts(1)), fitted.score(pasts(1)))


def test_a_run_of_before_kept_a_single_one():
    one = Factors(4, 5.0, 2.0, 0.25, seed=2).fit(pasts())
    told = {"width": 4, "l2": 5.0, "alpha": 2.0, "power": 0.25, "counts": False}
    again = Several.restore(told, one.tensors())
    np.testing.assert_allclose(again.score(pasts(1)), Several([one]).score(pasts(1)), atol=1e-6)
