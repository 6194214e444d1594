"""The command `shoal report`: a run, or a fine-tuned model, becomes one page that opens in a browser, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out, out_json


def report(
    run: Folder,
    to: Annotated[Path | None, Option("--out", metavar="FILE", help="[default: RUN/report.html]")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report: a map of the users, a card a segment with its certificate, what differs between segments,
    what changed since the last run, metrics beside baselines, what was read.

    For a model that shoal finetune made: its curves and figures. Prints the path of the page. It is one file, needs
    no network, and holds the ids of the users on its map.

    \b
    Examples:
      shoal report runs/demo
      shoal report runs/demo --out demo.html
    """
    from shoal.store.artifacts import MODEL, is_run_folder

    path = to or run / "report.html"
    if is_run_folder(run, MODEL):
        from shoal.report.training import write_training

        write_training(run, path)
    else:
        from shoal.pipeline import load
        from shoal.report.contents import report_run

        report_run(load(run), path)
    out_json({"report": str(path)}) if as_json else out(str(path))
