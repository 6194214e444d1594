"""The command `shoal fit`: a log becomes a run folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from shoal.cli.options import AsJson, Circumstances, Reading, Settings, expand
from shoal.cli.tables import out_json, out_table, talk
from shoal.cli.words import segment_table
from shoal.errors import StoreError
from shoal.tables import UNASSIGNED

if TYPE_CHECKING:
    from shoal.config import Config
    from shoal.data.dataset import Dataset
    from shoal.run import Run


@expand
def fit(
    ratings: Annotated[Path, Argument(metavar="RATINGS", help="What users did; demo is the data that comes along.")],
    run: Annotated[Path, Argument(metavar="RUN", help="The run folder to make; a run that is there is replaced.")],
    *,
    after: Annotated[
        Path | None, Option(metavar="RUN", help="The last run: its segments keep their numbers and names.")
    ] = None,
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
      shoal fit ratings.csv runs/second --items movies.csv --after runs/demo
    """
    config = settings.make()
    refuse_other_folder(run)
    last = None if after is None else _last(after)
    data = reading.read(ratings)
    fitted = fit_into(run, data, config, around, last)
    talk(f"kept in {run}; next: shoal segments {run}, shoal recommend {run} --user ID, shoal report {run}")
    if fitted.migration is not None:
        _tell_kept(fitted)
    if as_json:
        told = {"run": str(run), "segments": fitted.segments, "read": data.report.as_dict()}
        out_json(told if last is None else told | {"migration": fitted.migration, "drift": fitted.drift})
    else:
        out_table(*segment_table(fitted.segments, fitted.subsegments))


def _last(after: Path) -> Run:
    from shoal.pipeline import load

    return load(after)


def _tell_kept(run: Run) -> None:
    """Say on stderr what became of the last run's segments."""
    from shoal.segment.identity import kept_share

    assert run.migration is not None
    assert run.drift is not None
    now, before = (set(run.migration[side].drop_nulls().to_list()) - {UNASSIGNED} for side in ("to", "from"))
    talk(
        f"{100 * kept_share(run.migration):.0f} % of the users who were in a segment are in the same one; "
        f"segments kept: {len(now & before)}, new: {len(now - before)}, gone: {len(before - now)}"
    )
    names = dict(run.history.select("segment", "name").iter_rows())
    for row in run.drift.filter("alarm").iter_rows(named=True):
        shares = f"{100 * row['before']:.1f} to {100 * row['after']:.1f} % of users"
        talk(f"  {names[row['segment']]}: {shares}, more than chance (p {row['p']:.4f})")


def fit_into(run: Path, data: Dataset, config: Config, around: Circumstances, after: Run | None = None) -> Run:
    """Fit, and keep the run; the work so far stands beside the run folder until it is whole."""
    from shoal.pipeline import fit

    work = run.with_name(run.name + ".part")
    fitted = fit(data, config=config, work=work, after=after, **around.arguments())
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
