"""Figures stand where their numbers say, and colours can be told apart by everyone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.report.figures import DARK, LIGHT, bar, decimal, listed, mark, percent, scale, swatch, whisker

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "deutan": np.array([[0.3673, 0.8607, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "tritan": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}
LMS = np.array([[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]])
LAB = np.array([[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]])


def linear(colours: tuple[str, ...]) -> np.ndarray:
    rgb = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Ottosson 2020: distances in it go with what people see; .02 is about what one just notices."""
    return np.cbrt(np.clip(rgb, 0, 1) @ LMS.T) @ LAB.T


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_any_two_of_the_twelve_colours_can_be_told_apart(palette: tuple[str, ...], sight: str) -> None:
    seen = oklab(linear(palette) @ SIGHT[sight].T)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(len(palette))
    assert len(palette) == 12
    assert apart.min() > 0.065


@pytest.mark.parametrize(("palette", "page"), [(LIGHT, "#ffffff"), (DARK, "#161b20")], ids=["light", "dark"])
def test_every_colour_stands_out_from_the_page(palette: tuple[str, ...], page: str) -> None:
    weights = np.array([0.2126, 0.7152, 0.0722])
    own, ground = linear(palette) @ weights + 0.05, linear((page,)) @ weights + 0.05
    assert (np.maximum(own, ground) / np.minimum(own, ground)).min() > 2.7


def test_no_two_of_36_segments_share_a_mark_and_unassigned_is_grey() -> None:
    marks = [mark(k) for k in range(36)]
    assert len(set(marks)) == 36
    assert mark(-1) == ("--unassigned", "disc")
    assert "ring" in swatch(12)


def test_a_bar_and_its_tick_stand_at_their_shares_of_the_largest() -> None:
    drawn = bar(0.1, 0.3, 0.4)
    assert "width: 25.0%" in drawn
    assert "left: 75.0%" in drawn
    assert "width: 0.0%" in bar(0.0, 0.0, 0.0)


def test_a_whisker_spans_its_interval_around_its_dot() -> None:
    on = scale([0.0, 1.0])
    drawn = whisker(0.5, 0.0, 1.0, on)
    assert '"dot" style="left: 50.00%' in drawn
    assert f'"span" style="left: {on.at(0.0):.2f}%; width: {on.at(1.0) - on.at(0.0):.2f}%' in drawn


def test_a_whisker_without_an_interval_is_a_dot() -> None:
    drawn = whisker(0.5, None, 0.7, scale([0.0, 1.0]))
    assert '<i class="dot"' in drawn
    assert '<i class="span"' not in drawn


@given(st.lists(st.floats(-1e6, 1e6), max_size=6))
def test_a_scale_holds_all_its_values_and_has_few_ticks(values: list[float]) -> None:
    on = scale(values)
    assert all(0 < on.at(v) < 100 for v in values)
    assert 1 <= len(on.ticks) <= 6
    assert all(on.low <= t <= on.high for t in on.ticks)


def test_ticks_are_round_numbers() -> None:
    assert scale([0.138, 0.330]).ticks == pytest.approx((0.2, 0.3))
    assert scale([0.0, 1.0], wanted=2).ticks == pytest.approx((0.0, 1.0))


def test_figures_are_written_as_one_reads_them() -> None:
    assert percent(0.31) == "31\u202f%"
    assert percent(0.054) == "5.4\u202f%"
    assert percent(None) == percent(float("nan")) == "–"
    assert decimal(-0.25, 2) == "\u22120.25"
    assert decimal(1234.6) == "1,235"
    assert decimal(None) == "–"


def test_titles_are_text_and_not_markup() -> None:
    assert listed(["<b>&"], ordered=True) == "<ol><li>&lt;b&gt;&amp;</li></ol>"
