"""A changed past is the past with that change, and nothing else."""

from __future__ import annotations

import numpy as np

from shoal.data.histories import Histories
from shoal.explain.edits import subsets, with_each


def past(n=4) -> Histories:
    rows = np.arange(n)
    return Histories(np.array([0, n]), rows.astype(np.int32), rows / 2, rows + 10.0, 50, np.array([[3, 1]]))


def of(pasts: Histories, name: str) -> list[list[float]]:
    return [getattr(pasts.take(np.array([u])), name).tolist() for u in range(pasts.n_users)]


def test_subsets_keep_what_is_kept_in_its_order():
    pasts = subsets(past(), np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool))
    assert of(pasts, "items") == [[0, 2, 3], [], [0, 1, 2, 3]]
    assert of(pasts, "times") == [[10, 12, 13], [], [10, 11, 12, 13]]
    assert pasts.traits.tolist() == [[3, 1]] * 3


def test_an_added_event_is_the_newest_and_has_its_own_value():
    pasts = with_each(past(2), np.array([7, 9]), np.array([4.0, np.nan]))
    assert of(pasts, "items") == [[0, 1, 7], [0, 1, 9]]
    assert of(pasts, "values")[0] == [0, 0.5, 4]
    assert np.isnan(of(pasts, "values")[1][2])
    assert of(pasts, "times") == [[10, 11, 11]] * 2


def test_an_event_may_be_added_to_an_empty_past():
    pasts = with_each(past(0), np.array([7]), np.array([4.0]))
    assert of(pasts, "items") == [[7]]
    assert np.isnan(pasts.times).all()
