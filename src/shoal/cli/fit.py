"""The command `shoal fit`: a log becomes a run folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from shoal.cli.options import AsJson, Circumstances, Reading, Settings, expand
from shoal.cli.tables import out_json, out_table, talk
from shoal.cli.words import segment_table
from shoal.errors import StoreError

if TYPE_CHECKING:
    from shoal.config import Config
    from shoal.data.dataset import Dataset
    from shoal.pipeline import Run


@expand
def fit(
    ratings: Annotated[Path, Argument(metavar="RATINGS", help="What users did; demo is the data that comes along.")],
    run: Annotated[Path, Argument(metavar="RUN", help="The run folder to make; a run that is there is replaced.")],
    *,
    reading: Reading,
    settings: Settings,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Read a log, and learn who its users are, what they would rate and what they want next.

    A fit that was stopped goes on from where it was when the same command is given again.

    \b
    Examples:
      shoal fit demo runs/first
      shoal fit ratings.csv runs/first --items movies.csv --segments 6
      shoal fit log.tsv runs/first --user-id who --item-id what --at when --on-bad drop
    """
    config = settings.make()
    refuse_other_folder(run)
    data = reading.read(ratings)
    fitted = fit_into(run, data, config, around)
    talk(f"kept in {run}; next: shoal segments {run}, shoal recommend {run} --user ID, shoal report {run}")
    if as_json:
        out_json({"run": str(run), "segments": fitted.segments, "read": data.report.as_dict()})
    else:
        out_table(*segment_table(fitted.segments))


def fit_into(run: Path, data: Dataset, config: Config, around: Circumstances) -> Run:
    """Fit, and keep the run; the work so far stands beside the run folder until it is whole."""
    from shoal.pipeline import fit

    work = run.with_name(run.name + ".part")
    fitted = fit(data, config=config, work=work, **around.arguments())
    fitted.save(run)
    shutil.rmtree(work, ignore_errors=True)
    return fitted


def refuse_other_folder(run: Path) -> None:
    """Say before a long fit, not after it, that a folder holds something else.

    Raises
    ------
    StoreError
        `run` is a file, or a folder with content that is no run.
    """
    from shoal.store.artifacts import is_run_folder

    if run.is_dir() and any(run.iterdir()) and not is_run_folder(run):
        raise StoreError(f"{run} holds something that is no run. Name a folder that is new or empty.")
    if run.exists() and not run.is_dir():
        raise StoreError(f"{run} is a file. Name a folder.")
