"""The picture: the map for slides, without a page around it, as SVG or PNG.

    map, segments --> Scene: points, names, legend --> svg(scene) | png(scene)

It is always light, 1600 by 900, and says the same as the page's map: the same places, colours and marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import polars as pl

from shoal.report.figures import LIGHT, percent, whole
from shoal.report.levels import levels
from shoal.tables import SEGMENT, STRENGTH, UNASSIGNED

WIDTH, HEIGHT = 1600, 900
LEFT, TOP, ACROSS, DOWN = 70, 150, 1010, 660
"""Where the map lies."""
KEY, KEY_WIDTH, LINE = 1160, 380, 27
INK, SOFT, GREY, PAPER = "#1c2227", "#59636b", "#8b9197", "#ffffff"
SHADES = (0.45, 0.65, 0.85)
"""Opacities of points of little, middling and much strength: a group's points are drawn in three strokes."""
FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"
MOST_LISTED = 25


@dataclass(frozen=True)
class Dots:
    """Points of one group and one opacity; places are (n, 2), in pixels."""

    places: np.ndarray
    colour: str
    shape: str
    opacity: float
    radius: float


@dataclass(frozen=True)
class Words:
    """A line of text; `anchor` is start, middle or end, and y its base line."""

    text: str
    x: float
    y: float
    size: float
    colour: str = INK
    anchor: str = "start"
    bold: bool = False
    halo: bool = False
    """Whether it stands on points, and needs a rim of paper around it."""


@dataclass(frozen=True)
class Scene:
    """What is drawn, from the bottom to the top."""

    title: str
    dots: Sequence[Dots]
    words: Sequence[Words]


def scene(
    table: pl.DataFrame,
    segments: pl.DataFrame,
    subsegments: pl.DataFrame | None = None,
    *,
    title: str,
    users: int,
    level: int = 0,
) -> Scene:
    """Return the picture of a map.

    Parameters
    ----------
    table, segments, subsegments : DataFrame
        As in `shoal.report.shown.Contents`.
    title : str
        What the data is.
    users : int
        How many there are; more than in `table` where that is a sample.
    level : int
        0: segments; 1: subsegments. Where nothing is divided both show the same.
    """
    known = levels(table, segments, subsegments)
    own, groups = known[min(level, len(known) - 1)]
    places, radius = _places(table), float(np.clip(np.sqrt(ACROSS * DOWN * 0.03 / max(1, table.height)), 1.3, 5.5))
    dots, named = [], []
    strength = table[STRENGTH].cast(pl.Float64).fill_nan(None).fill_null(0.5).to_numpy()
    shade = np.digitize(strength, (0.5, 0.8))
    for group in groups:
        mine = own.to_numpy() == group[SEGMENT]
        colour = GREY if group["place"] < 0 else LIGHT[group["place"] % len(LIGHT)]
        dots += [
            Dots(places[mine & (shade == k)], colour, group["shape"], opacity, radius)
            for k, opacity in enumerate(SHADES)
            if (mine & (shade == k)).any()
        ]
        if mine.any() and group[SEGMENT] != UNASSIGNED:
            named.append((int(mine.sum()), group["name"], np.median(places[mine], axis=0)))
    called = "segments and subsegments" if level and len(known) > 1 else "segments"
    counted = f"{whole(users)} users in {sum(g[SEGMENT] != UNASSIGNED and g['size'] > 0 for g in groups)} {called}"
    sample = f"; a sample of {whole(table.height)} is drawn" if table.height < users else ""
    head = [Words(title, LEFT, 72, 38, bold=True), Words(counted + sample, LEFT, 108, 20, SOFT)]
    foot = "Each point is a user. Those who lie close together behave alike; the distance between clouds means nothing."
    marks, entries = _legend(groups, table.height)
    return Scene(title, dots + marks, [*head, Words(foot, LEFT, HEIGHT - 34, 16, SOFT), *_names(named), *entries])


def _places(table: pl.DataFrame) -> np.ndarray:
    """Return (users, 2) in pixels: stretched a little at most, in the middle of the map's frame."""
    points = table.select(pl.col("x", "y").cast(pl.Float64)).to_numpy()
    if not len(points):
        return points
    spread = np.maximum(np.ptp(points, axis=0), 1e-9)
    fit = np.array([ACROSS, DOWN]) / spread
    fit = np.minimum(fit, 1.3 * fit.min())
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    return (points - middle) * fit + np.array([LEFT + ACROSS / 2, TOP + DOWN / 2])


def _names(named: list[tuple[int, str, np.ndarray]]) -> list[Words]:
    """Return names at the middle of their groups, the largest first; one steps aside, or is left to the legend."""
    words: list[Words] = []
    taken: list[tuple[float, float, float, float]] = []
    for _, name, (x, y) in sorted(named, key=lambda one: (-one[0], one[1])):
        lines = _wrapped(name)
        width, height = 9.6 * max(map(len, lines)), 21 * len(lines)
        x = float(np.clip(x, LEFT + width / 2, LEFT + ACROSS - width / 2))
        for step in (0, -0.7, 0.7, -1.4, 1.4, -2.1, 2.1):
            top = y - height / 2 + step * height
            box = (x - width / 2, top, x + width / 2, top + height)
            if all(box[2] < t[0] or box[0] > t[2] or box[3] < t[1] or box[1] > t[3] for t in taken):
                taken.append(box)
                words += [
                    Words(line, x, top + 16 + 21 * k, 18, anchor="middle", bold=True, halo=True)
                    for k, line in enumerate(lines)
                ]
                break
    return words


def _wrapped(name: str, most: int = 24) -> list[str]:
    """Return the name in lines of about `most` letters, three at most."""
    lines = [""]
    for word in name.split():
        if lines[-1] and len(lines[-1]) + len(word) >= most and len(lines) < 3:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _legend(groups: Sequence[dict], users: int) -> tuple[list[Dots], list[Words]]:
    marks, words, y = [], [], float(TOP + 10)
    for group in groups[:MOST_LISTED]:
        colour = GREY if group["place"] < 0 else LIGHT[group["place"] % len(LIGHT)]
        marks.append(Dots(np.array([[KEY, y - 6]]), colour, group["shape"], 1.0, 7))
        words.append(Words(percent(group["size"] / max(1, users)), KEY + KEY_WIDTH, y, 17, SOFT, "end"))
        words.append(Words(whole(group["size"]), KEY + KEY_WIDTH - 62, y, 17, INK, "end"))
        for line in _wrapped(group["name"], 30):
            words.append(Words(line, KEY + 20, y, 17))
            y += 22
        y += LINE - 22
    if len(groups) > MOST_LISTED:
        words.append(Words(f"and {len(groups) - MOST_LISTED} more", KEY + 20, y, 17, SOFT))
    return marks, words


def svg(drawn: Scene) -> str:
    """Return the scene as SVG, text as text. Points are strokes of no length with round ends: 12 bytes each."""
    body = [_strokes(dots) for dots in drawn.dots] + [_text(words) for words in drawn.words]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="{FONT}">\n<title>{escape(drawn.title)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _strokes(dots: Dots) -> str:
    way = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in dots.places)
    cap = "square" if dots.shape == "square" else "round"
    size = 2 * dots.radius * (0.85 if dots.shape == "square" else 1)
    line = f'fill="none" stroke-linecap="{cap}" opacity="{dots.opacity}"'
    drawn = f'<path d="{way}" {line} stroke="{dots.colour}" stroke-width="{size:.1f}"/>'
    hole = f'<path d="{way}" {line} stroke="{PAPER}" stroke-width="{0.45 * size:.1f}"/>'
    return drawn + hole if dots.shape == "ring" else drawn


def _text(words: Words) -> str:
    rim = f' stroke="{PAPER}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"' if words.halo else ""
    weight = ' font-weight="650"' if words.bold else ""
    return (
        f'<text x="{words.x:.1f}" y="{words.y:.1f}" font-size="{words.size}" fill="{words.colour}" '
        f'text-anchor="{words.anchor}"{weight}{rim}>{escape(words.text)}</text>'
    )
