"""The command `shoal plot`: the map of a run for slides, as SVG or PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out, out_json
from shoal.errors import ConfigError

SUFFIXES = (".svg", ".png")


def plot(
    run: Folder,
    to: Annotated[Path, Option(metavar="FILE", help="Where to: .svg, or .png with Pillow. It is replaced.")],
    level: Annotated[
        Literal["segments", "subsegments"], Option(help="What is coloured and named; what is not divided stays whole.")
    ] = "segments",
    as_json: AsJson = False,
) -> None:
    """Draw the map of the users for a slide: the map of the report, alone, with names and a legend.

    It is the same map each time, light, 1600 by 900 (a PNG twice as large). It holds no user ids. Prints its path.

    \b
    Examples:
      shoal plot runs/demo --to map.svg
      shoal plot runs/demo --to map.svg --level subsegments --json
    """
    from shoal.pipeline import load
    from shoal.report.contents import mapped
    from shoal.report.picture import scene, svg
    from shoal.report.pixels import draw_png
    from shoal.store.whole import write_whole

    suffix = to.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{to}: the name must end in {' or '.join(SUFFIXES)}.")
    fitted = load(run)
    drawn = scene(
        mapped(fitted),
        fitted.segments,
        fitted.subsegments,
        title=fitted.data.name,
        users=fitted.members.height,
        level=int(level == "subsegments"),
    )
    if suffix == ".svg":
        write_whole(to, lambda part: part.write_text(svg(drawn), encoding="utf-8"))
    else:
        write_whole(to, lambda part: draw_png(drawn, part))
    out_json({"picture": str(to), "level": level}) if as_json else out(str(to))
