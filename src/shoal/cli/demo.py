"""The command `shoal demo`: the whole journey on the data that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from shoal.cli.fit import fit_into, refuse_other_folder
from shoal.cli.options import AsJson, Circumstances, Settings, expand
from shoal.cli.tables import out, out_json, out_table, talk
from shoal.cli.words import segment_table, with_titles

if TYPE_CHECKING:
    import polars as pl

    from shoal.run import Run

SHOWN_ITEMS = 3
SHOWN_REASONS = 2


@expand
def demo(
    run: Annotated[Path, Argument(metavar="RUN", help="The run folder to make.")] = Path("runs/demo"),
    *,
    settings: Settings,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Show the whole journey on MovieLens latest-small: 610 users, 9,742 films, 100,836 ratings.

    Fits, prints the segments, three users with recommendations and the reasons, and how good it is beside honest
    baselines; writes the report. A demo that was stopped goes on from where it was.

    \b
    Examples:
      shoal demo
      shoal demo runs/demo
    """
    from shoal.data.demo import demo_data
    from shoal.report.contents import report_run

    config = settings.make()
    refuse_other_folder(run)
    data = demo_data()
    for line in data.report.lines():
        talk(line)
    fitted = fit_into(run, data, config, around)
    page = run / "report.html"
    report_run(fitted, page)
    if as_json:
        out_json(_as_dict(fitted, run, page))
    else:
        _tell(fitted)
        talk(f"kept in {run}; open {page} in a browser")


def _tell(run: Run) -> None:
    from shoal.report.contents import typical_users

    out("Who the users are\n")
    out_table(*segment_table(run.segments, run.subsegments))
    out("\nWhat three of them are recommended, and why\n")
    for user in typical_users(run):
        _tell_user(run, user)
    out("How good it is on events that were held out, beside honest baselines\n")
    for line in run.judgement.lines():
        out(line)


def _tell_user(run: Run, user: str) -> None:
    names = dict(run.segments.select("segment", "name").iter_rows())
    segment = dict(run.members.select("user_id", "segment").iter_rows())[user]
    out(f"  User {user}, {names[segment]}")
    for row in _recommended(run, user).iter_rows(named=True):
        out(f"    {row['rank']}. {row['title']}{because(run, user, row['item_id'])}")
    out()


def _recommended(run: Run, user: str) -> pl.DataFrame:
    return with_titles(run.recommend([user], n=SHOWN_ITEMS), run)


def because(run: Run, user: str, item: str) -> str:
    """Return the events that carry a recommendation, strongest first: those whose deletion would lower its score."""
    why = with_titles(run.explain(user, item), run)
    carry = why.filter(why["effect"] > 0).sort("effect", descending=True, maintain_order=True)["title"].to_list()
    return f", because of {'; '.join(carry[:SHOWN_REASONS])}" if carry else ""


def _as_dict(run: Run, folder: Path, page: Path) -> dict[str, Any]:
    from shoal.report.contents import typical_users

    return {
        "run": str(folder),
        "report": str(page),
        "segments": run.segments,
        "recommendations": run.recommend(typical_users(run), n=SHOWN_ITEMS),
        "metrics": run.judgement.as_dict(),
    }
