"""Small figures made of HTML and CSS: colours, figures in words, bars against a tick, dots with whiskers.

None needs a script, a picture or a library: each is a box with a few positions in per cent, so that it prints, grows
with its column and follows the reader's light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LIGHT = (
    "#479ff2", "#454706", "#d67f09", "#2650bd", "#a87cae", "#b94d1f",
    "#1c8263", "#651786", "#6d5a8f", "#70a275", "#8466e0", "#842d55",
)  # fmt: skip
"""Segment colours on white. Found by search: as far apart as twelve can be for normal, protan, deutan and tritan eyes
(Machado, Oliveira and Fernandes 2009), none near black or white. The first few are the farthest apart."""
DARK = (
    "#a5c0fc", "#b05e17", "#e6ba24", "#7c78e3", "#75a978", "#44dbad",
    "#baf27e", "#df8720", "#208562", "#99eefc", "#c495c2", "#aa66a2",
)  # fmt: skip
"""The same on the dark page."""

SHAPES = ("disc", "ring", "square")
NARROW = "\u202f"
MINUS = "\u2212"


@dataclass(frozen=True)
class Scale:
    """A linear scale with round ticks that covers `low` to `high`."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return where `value` stands, in per cent of the width; values beyond an end stand at that end."""
        return 100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def scale(values: Sequence[float], *, wanted: int = 3) -> Scale:
    """Return a scale over the finite `values` with a little air, and ticks at round numbers, `wanted` or one more."""
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(1.0, abs(high)):
        low, high = low - max(0.05, 0.05 * abs(low)), high + max(0.05, 0.05 * abs(high))
    air = 0.06 * (high - low)
    low, high = low - air, high + air
    step = _round_step((high - low) / wanted)
    first = math.ceil(low / step)
    ticks = tuple(step * k for k in range(first, math.floor(high / step) + 1))
    return Scale(low, high, ticks)


def _round_step(rough: float) -> float:
    """Return the smallest of 1, 2, 5, 10 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return power * min(m for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def colours() -> str:
    """Return the CSS that gives --segment-0, --segment-1, ... their colours, light and dark.

    Dark is what the reader's system wants, unless `data-theme` on the page says otherwise.
    """

    def named(palette: Sequence[str]) -> str:
        return " ".join(f"--segment-{k}: {colour};" for k, colour in enumerate(palette))

    dark = named(DARK)
    return (
        f':root {{ {named(LIGHT)} }}\n:root[data-theme="dark"] {{ {dark} }}\n'
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}'
    )


def mark(position: int) -> tuple[str, str]:
    """Return the colour (a CSS variable) and the shape of the segment at `position` in the page.

    Twelve colours come round: the thirteenth segment has the first colour and is a ring, the twenty-fifth a square,
    the thirty-seventh looks like the first.
    Users without a segment (position -1) are grey discs.
    """
    if position < 0:
        return "--unassigned", "disc"
    return f"--segment-{position % len(LIGHT)}", SHAPES[position // len(LIGHT) % len(SHAPES)]


def swatch(position: int) -> str:
    """Return the mark of a segment, to stand before its name."""
    colour, shape = mark(position)
    return f'<span class="swatch {shape}" style="--colour: var({colour})" aria-hidden="true"></span>'


def whole(number: float) -> str:
    """Return ``9,742``."""
    return f"{round(number):,}"


def percent(share: float | None) -> str:
    """Return ``31 %`` for .31, with one decimal below a tenth; a dash for nothing."""
    if share is None or not math.isfinite(share):
        return "–"
    digits = 1 if 0 < abs(share) < 0.0995 else 0
    return f"{100 * share:.{digits}f}{NARROW}%".replace("-", MINUS)


def decimal(value: float | None, digits: int = 3) -> str:
    """Return ``0.312``; fewer decimals for large numbers, a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    digits = digits if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}".replace("-", MINUS)


def bar(share_in: float, share_out: float | None, most: float) -> str:
    """Return a bar of `share_in` with a tick at `share_out`, both of `most`; without a `share_out`, without a tick."""
    here, elsewhere = (100 * min(1.0, max(0.0, (s or 0.0) / (most or 1.0))) for s in (share_in, share_out))
    tick = "" if share_out is None else f'<i class="tick" style="left: {elsewhere:.1f}%"></i>'
    return f'<span class="bar" aria-hidden="true"><i class="fill" style="width: {here:.1f}%"></i>{tick}</span>'


def whisker(
    value: float | None, low: float | None, high: float | None, on: Scale, *, beside: float | None = None
) -> str:
    """Return a dot at `value` with a whisker from `low` to `high`, and a faint line at `beside` to compare with."""
    parts = [f'<i class="grid" style="left: {on.at(t):.2f}%"></i>' for t in on.ticks]
    if beside is not None:
        parts.append(f'<i class="beside" style="left: {on.at(beside):.2f}%"></i>')
    if low is not None and high is not None:
        left, right = on.at(low), on.at(high)
        parts.append(f'<i class="span" style="left: {left:.2f}%; width: {right - left:.2f}%"></i>')
    if value is not None:
        parts.append(f'<i class="dot" style="left: {on.at(value):.2f}%"></i>')
    return f'<span class="whisker" aria-hidden="true">{"".join(parts)}</span>'


def axis(on: Scale) -> str:
    """Return the tick labels of a scale, to stand over a column of whiskers."""
    digits = _digits(on)
    labels = (f'<i style="left: {on.at(t):.2f}%">{decimal(t, digits)}</i>' for t in on.ticks)
    return f'<span class="axis" aria-hidden="true">{"".join(labels)}</span>'


def listed(titles: Sequence[str], *, ordered: bool = False) -> str:
    """Return the titles as a list, escaped."""
    tag = "ol" if ordered else "ul"
    return f"<{tag}>{''.join(f'<li>{escape(title)}</li>' for title in titles)}</{tag}>"


def _digits(on: Scale) -> int:
    step = on.ticks[1] - on.ticks[0] if len(on.ticks) > 1 else 0.1
    return max(0, min(6, -math.floor(math.log10(step) + 1e-9)))
