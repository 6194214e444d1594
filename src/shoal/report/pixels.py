"""The picture as PNG: a scene drawn with Pillow, which is loaded only when somebody asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shoal.errors import ConfigError, MissingExtraError
from shoal.report.picture import HEIGHT, PAPER, WIDTH, Dots, Scene, Words

TIMES = 2
"""Pixels of the file for each pixel of the scene: 3200 by 1800."""
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
OF_SYSTEMS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf")
"""Fonts that have more letters than the one that comes with Pillow, where the machine has them."""


def draw_png(scene: Scene, path: Path) -> None:
    """Draw a scene and write it as PNG to `path`.

    Raises
    ------
    MissingExtraError
        Pillow is not installed, or is too old to write text.
    ConfigError
        No font at hand has the letters of a name.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont

        ImageFont.load_default(10)
    except (ImportError, TypeError, OSError) as error:
        raise MissingExtraError(
            "A PNG needs Pillow 10.1 or newer. Install it with: pip install 'pillow>=10.1'. An SVG needs nothing: name "
            "a file that ends in .svg."
        ) from error
    picture = Image.new("RGB", (WIDTH * TIMES, HEIGHT * TIMES), PAPER)
    pen = ImageDraw.Draw(picture, "RGBA")
    for dots in scene.dots:
        _points(pen, dots)
    for words in scene.words:
        _write(pen, words)
    picture.save(path, "PNG", optimize=True)


def _points(pen: Any, dots: Dots) -> None:
    size = dots.radius * TIMES
    colour = (*(int(dots.colour[k : k + 2], 16) for k in (1, 3, 5)), round(255 * dots.opacity))
    for x, y in dots.places * TIMES:
        box = (x - size, y - size, x + size, y + size)
        if dots.shape == "square":
            pen.rectangle((x - 0.85 * size, y - 0.85 * size, x + 0.85 * size, y + 0.85 * size), fill=colour)
        elif dots.shape == "ring":
            pen.ellipse(box, outline=colour, width=max(1, round(0.55 * size)))
        else:
            pen.ellipse(box, fill=colour)


def _write(pen: Any, words: Words) -> None:
    font = _font(words.text, words.size * TIMES)
    place, anchor = (words.x * TIMES, words.y * TIMES), ANCHORS[words.anchor]
    text = words.text.replace("\u202f", " ").replace("\u2212", "-")
    if words.halo:
        pen.text(place, text, font=font, anchor=anchor, fill=PAPER, stroke_width=3 * TIMES, stroke_fill=PAPER)
    weight = 0.5 * TIMES if words.bold else 0
    pen.text(place, text, font=font, anchor=anchor, fill=words.colour, stroke_width=weight, stroke_fill=words.colour)


def _font(text: str, size: float) -> Any:
    """Return a font that has the letters of `text`: Pillow's own for Latin, else one of the system's."""
    from PIL import ImageFont

    own = ImageFont.load_default(size)
    strange = sorted({letter for letter in text if ord(letter) > 0x17F and letter not in "\u202f\u2212–…"})
    if not strange:
        return own
    for name in OF_SYSTEMS:
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if all(bytes(font.getmask(letter)) != missing for letter in strange):
            return font
    raise ConfigError(
        f"No font on this machine has {strange[0]!r}, of {text!r}. Write an SVG instead, which takes the reader's "
        "fonts: name a file that ends in .svg."
    )
