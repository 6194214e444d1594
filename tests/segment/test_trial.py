"""The worth of a trial, and the bars that it has to reach."""

from __future__ import annotations

import pytest

from shoal.segment.trial import Evidence, Trial


def trial(stability: float, halves: float | None = 0.5, bits: float | None = 0.02) -> Trial:
    return Trial(3, stability, 1.0, 0.6, 0.1, 0.2, halves=halves, bits=bits)


def test_stability_counts_in_worth_only_where_it_is_less_than_moderate():
    assert trial(0.95).worth == trial(0.65).worth == pytest.approx(0.01)
    assert trial(0.325).worth == pytest.approx(0.005)
    assert trial(0.8, halves=None, bits=None).worth == pytest.approx(0.8 * 0.6)
    assert trial(0.9, bits=-0.1).worth == 0


def test_each_bar_holds_by_itself():
    asked = Evidence(least=0.3, stable=0.45)
    assert trial(0.45, halves=0.3).comes_out_again(asked)
    assert not trial(0.44, halves=0.9).comes_out_again(asked)
    assert not trial(0.9, halves=0.29).comes_out_again(asked)
    assert trial(0.9, halves=None).comes_out_again(asked)
    assert not trial(0.6, halves=0.9).comes_out_again(Evidence())
