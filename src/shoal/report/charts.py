"""Charts as inline SVG, drawn here: lines over steps, and dots of a setting's value against a figure.

Colours are CSS variables, so that a chart follows the reader's light or dark; text in it is text, so that it can be
read out and searched. Nothing needs a script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from shoal.report.figures import MINUS, Scale, scale

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 34
MOST_POINTS = 400
"""More points than pixels say nothing: longer lines are averaged in bins."""


@dataclass(frozen=True)
class Line:
    """A line of a chart: its points in order of x, and its class in the style sheet."""

    points: Sequence[tuple[float, float]]
    style: str = "line"
    label: str = ""
    """Shown when the pointer rests on it."""
    dots: bool = False
    colour: str = ""
    """A CSS variable, such as ``--segment-2``; empty takes the class's own."""


@dataclass(frozen=True)
class Dot:
    """A dot of a chart: a number, or a word that has a column of its own, against a figure."""

    x: float | str
    y: float
    style: str = "dot"
    label: str = ""


def lines(
    drawn: Sequence[Line],
    *,
    x: str,
    y: str,
    title: str,
    rings: Sequence[Dot] = (),
    ticks: Mapping[float, str] | None = None,
) -> str:
    """Return a chart of lines; points that are no numbers are left out.

    Parameters
    ----------
    drawn : sequence of Line
        Later ones lie above earlier ones.
    x, y : str
        Names of the axes.
    title : str
        What the chart shows, for those who cannot see it.
    rings : sequence of Dot
        Marks on top.
    ticks : mapping of float to str, optional
        Words on the x axis, such as dates; None: round numbers.
    """
    kept = [(one, _finite(one.points)) for one in drawn]
    every = [p for _, points in kept for p in points]
    if not every:
        return ""
    across = scale([p[0] for p in every], wanted=5)
    if all(float(p[0]).is_integer() for p in every):  # steps, epochs and trials are counted
        across = _counted(across)
    down = scale([*(p[1] for p in every), *(ring.y for ring in rings)], wanted=4)
    at = None if ticks is None else [(_x(across, where), word) for where, word in ticks.items()]
    body = [_frame(None if at else across, down, x, y, ticks=at)]
    for one, points in kept:
        placed = [(_x(across, p[0]), _y(down, p[1])) for p in _thinned(points)]
        body.append(_path(placed, one))
    body += [_dot(_x(across, float(ring.x)), _y(down, ring.y), ring, 5.5) for ring in rings]
    return _svg(body, title)


def dots(
    drawn: Sequence[Dot],
    *,
    x: str,
    y: str,
    title: str,
    words: Sequence[str] = (),
    log: bool = False,
    width: int = 340,
) -> str:
    """Return a chart of dots. Words stand in columns, numbers on an axis.

    Parameters
    ----------
    drawn : sequence of Dot
    x, y, title : str
    words : sequence of str
        The columns, in order; words of dots that are not among them follow.
    log : bool
        Whether the x axis is logarithmic.
    width : int
        Of the drawing, in its own units.
    """
    drawn = [d for d in drawn if math.isfinite(d.y) and (isinstance(d.x, str) or math.isfinite(d.x))]
    if not drawn:
        return ""
    down = scale([d.y for d in drawn], wanted=4)
    columns = list(dict.fromkeys([*words, *(str(d.x) for d in drawn if isinstance(d.x, str))]))
    if columns:
        places = {word: (i + 0.5) / len(columns) for i, word in enumerate(columns)}
        at = [LEFT + places[str(d.x)] * (width - LEFT - RIGHT) + _jitter(i) for i, d in enumerate(drawn)]
        ticks = [(LEFT + where * (width - LEFT - RIGHT), word) for word, where in places.items()]
    else:
        to: Callable[[float], float] = math.log10 if log else float
        on = scale([to(float(d.x)) for d in drawn], wanted=3)
        at = [_x(on, to(float(d.x)), width) for d in drawn]
        ticks = [(_x(on, t, width), _power(10**t) if log else _number(t, on)) for t in _whole(on, log=log)]
    body = [_frame(None, down, x, y, width=width, ticks=ticks)]
    body += [_dot(where, _y(down, d.y), d, 4.5) for where, d in zip(at, drawn, strict=True)]
    return _svg(body, title, width)


def _svg(body: Sequence[str], title: str, width: int = WIDTH) -> str:
    inner = "\n".join(body)
    return (
        f'<svg class="chart" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(title)}">\n{inner}\n</svg>'
    )


def _frame(
    across: Scale | None,
    down: Scale,
    x: str,
    y: str,
    *,
    width: int = WIDTH,
    ticks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """Return grid lines, ticks and the names of the axes."""
    if across is not None:
        ticks = [(_x(across, t, width), _number(t, across)) for t in across.ticks if t >= 0]
    parts = []
    for t in down.ticks:
        at = _y(down, t)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{width - RIGHT}"/>')
        word = _number(t, down)
        parts.append(f'<text x="{LEFT - 7}" y="{at + 4:.1f}" class="end">{word}</text>')
    for at, word in ticks or ():
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" class="middle">{escape(word)}</text>')
    parts.append(f'<path class="base" d="M{LEFT} {HEIGHT - BOTTOM}H{width - RIGHT}"/>')
    parts.append(f'<text x="{width - RIGHT}" y="{HEIGHT - 3}" class="end name">{escape(x)}</text>')
    parts.append(f'<text x="{LEFT - 44}" y="{TOP - 2}" class="name">{escape(y)}</text>')
    return "\n".join(parts)


def _counted(on: Scale) -> Scale:
    """Return the scale with ticks at whole numbers from 0 up."""
    step = max(1, math.ceil(on.ticks[1] - on.ticks[0])) if len(on.ticks) > 1 else 1
    first = max(0, math.ceil(on.low / step)) * step
    return Scale(on.low, on.high, tuple(float(t) for t in range(first, math.floor(on.high) + 1, step)))


def _whole(on: Scale, *, log: bool) -> list[float]:
    """Return the ticks; on a logarithmic axis the whole powers of ten, with 2 and 5 of each where they are few."""
    if not log:
        return list(on.ticks)
    powers = range(math.floor(on.low), math.ceil(on.high) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = [p + math.log10(s) for p in powers for s in steps if on.low <= p + math.log10(s) <= on.high]
        if len(found) >= 2:
            return found
    return found


def _path(placed: Sequence[tuple[float, float]], one: Line) -> str:
    label = f"<title>{escape(one.label)}</title>" if one.label else ""
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    marks = (
        "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed) if one.dots or len(placed) < 2 else ""
    )
    colour = f' style="--colour: var({one.colour})"' if one.colour else ""
    return f'<g class="{one.style}"{colour}>{label}<path d="M{way}"/>{marks}</g>' if placed else ""


def _dot(x: float, y: float, dot: Dot, size: float) -> str:
    return (
        f'<circle class="{dot.style}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"><title>{escape(dot.label)}</title></circle>'
    )


def _x(on: Scale, value: float, width: int = WIDTH) -> float:
    return LEFT + on.at(value) / 100 * (width - LEFT - RIGHT)


def _y(on: Scale, value: float) -> float:
    return HEIGHT - BOTTOM - on.at(value) / 100 * (HEIGHT - BOTTOM - TOP - 8)


def _jitter(i: int) -> float:
    """Return a small shift, always the same, so that dots of one word do not hide each other."""
    return ((i * 0.618034) % 1 - 0.5) * 26


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the means of bins of neighbours, where there are more points than can be seen."""
    size = -(-len(points) // MOST_POINTS)
    bins = [points[i : i + size] for i in range(0, len(points), max(size, 1))]
    return [(sum(p[0] for p in some) / len(some), sum(p[1] for p in some) / len(some)) for some in bins]


def smoothed(points: Sequence[tuple[float, float]], share: float = 0.05) -> list[tuple[float, float]]:
    """Return a running mean over `share` of the points, centred; numbers that are none are left out."""
    kept = _finite(points)
    half = int(len(kept) * share / 2)
    out = []
    for i, (x, _) in enumerate(kept):
        reach = min(half, i, len(kept) - 1 - i)  # as many on either side, so that the ends are not pulled inward
        some = kept[i - reach : i + reach + 1]
        out.append((x, sum(p[1] for p in some) / len(some)))
    return out


def _power(value: float) -> str:
    """Return a label on a logarithmic axis: ``1e-4``, ``0.05``, ``20``."""
    if value < 0.0099:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", MINUS)
    return f"{value:.2g}"


def _number(value: float, on: Scale) -> str:
    """Return a tick's label, in as many digits as the ticks need."""
    step = on.ticks[1] - on.ticks[0] if len(on.ticks) > 1 else abs(value) or 1.0
    if step < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", MINUS)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}".replace("-", MINUS)
