"""The picture for slides: every user is drawn once, names stand clear of each other, and no id is in it."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from contents import HOSTILE, SEGMENTS, contents
from more import full
from typer.testing import CliRunner

from shoal.cli.main import app
from shoal.errors import ConfigError, MissingExtraError
from shoal.report.figures import LIGHT
from shoal.report.picture import ACROSS, DOWN, LEFT, TOP, Scene, scene, svg
from shoal.report.pixels import draw_png


def drawn(made=None, **more) -> Scene:
    made = made or full(300)
    return scene(made.map, made.segments, made.subsegments, title=made.title, users=made.users, **more)


def points(made: Scene) -> np.ndarray:
    places = np.concatenate([d.places for d in made.dots])
    return places[places[:, 0] < LEFT + ACROSS + 1]  # beyond are the legend's marks


@pytest.mark.parametrize("level", [0, 1])
def test_every_user_is_drawn_once_inside_the_frame(level: int) -> None:
    places = points(drawn(level=level))
    assert len(places) == 300
    assert (places >= [LEFT - 0.1, TOP - 0.1]).all()
    assert (places <= [LEFT + ACROSS + 0.1, TOP + DOWN + 0.1]).all()


def test_the_levels_name_what_they_show() -> None:
    told = [{w.text for w in drawn(level=level).words} for level in (0, 1)]
    assert SEGMENTS[1][0] in " ".join(sorted(told[0]))
    assert "Drawn by hand" not in told[0]
    assert "Drawn by hand" in told[1]
    assert any("in 8 segments" in text for text in told[0])
    assert any("in 11 segments and subsegments" in text for text in told[1])


def test_a_run_without_subsegments_shows_segments_on_either_level() -> None:
    made = contents(80)
    assert svg(drawn(made, level=1)) == svg(drawn(made, level=0))


def test_a_sample_is_said_to_be_one() -> None:
    told = " ".join(w.text for w in drawn(replace(full(300), users=9_000)).words)
    assert "9,000 users in 8 segments; a sample of 300 is drawn" in told


def test_the_svg_is_well_formed_whatever_names_hold_and_has_no_ids() -> None:
    made = full(300)
    bad = replace(
        made,
        segments=made.segments.with_columns(name=pl.lit(HOSTILE)),
        map=made.map.with_columns(user_id=pl.lit("secret-") + pl.col("user_id")),
    )
    text = svg(drawn(bad))
    assert len(ET.fromstring(text).findall("{http://www.w3.org/2000/svg}path")) > 8
    assert "<script" not in text
    assert "secret" not in text
    assert svg(drawn(bad)) == text


def test_100_000_users_make_a_file_that_a_slide_can_hold() -> None:
    assert len(svg(drawn(contents(100_000)))) < 2_500_000


def test_nobody_at_all_gives_a_picture_too() -> None:
    made = contents(10)
    empty = replace(made, map=made.map.clear(), segments=made.segments.clear(), users=0)
    assert "0 users in 0 segments" in svg(drawn(empty))


def test_the_png_shows_every_colour(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    draw_png(drawn(), tmp_path / "map.png")
    picture = image.open(tmp_path / "map.png")
    assert picture.size == (3200, 1800)
    seen = {tuple(pixel) for pixel in np.asarray(picture).reshape(-1, 3)[::7].tolist()}
    wanted = {tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in LIGHT[:8]}
    assert wanted <= seen  # the legend's marks are opaque


def test_letters_that_no_font_has_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    monkeypatch.setattr("shoal.report.pixels.OF_SYSTEMS", ())
    with pytest.raises(ConfigError, match=r"No font on this machine has '星', of '星'\. Write an SVG instead"):
        draw_png(drawn(replace(full(300), title="星")), tmp_path / "map.png")


def test_without_pillow_the_pip_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pillow>=10\.1'"):
        draw_png(drawn(), tmp_path / "map.png")


def test_another_format_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plot", str(tmp_path), "--to", str(tmp_path / "map.pdf")])
    assert isinstance(done.exception, ConfigError)
    assert re.search(r"must end in \.svg or \.png", str(done.exception))
