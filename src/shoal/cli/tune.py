"""The command `shoal tune`: a search for settings of a fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from shoal.cli.options import AsJson, Circumstances, Examples, Label, Reading, Track, Tuning, expand
from shoal.cli.tables import out, out_json, out_table, talk

if TYPE_CHECKING:
    from shoal.adapt.space import Space
    from shoal.adapt.study import Study

Task = Literal["review", "pair", "twin", "couse", "words"]
SHOWN = 10


@expand
def tune(
    table: Examples,
    study: Annotated[Path, Argument(metavar="STUDY", help="Folder of the study; one that is there is gone on with.")],
    *,
    task: Annotated[Task, Option(help="What is learnt, as in shoal finetune.")] = "review",
    label: Label = None,
    trials: Annotated[int, Option(min=1, help="Trials in the whole study, those done before included.")] = 20,
    minutes: Annotated[float | None, Option(min=0, help="Begin no trial after so many minutes.")] = None,
    space: Annotated[Path | None, Option(metavar="FILE", help="What is tried, as TOML; else a default space.")] = None,
    track: Track = None,
    reading: Reading,
    tuning: Tuning,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Search for settings of a fine-tuning: strategy, learning rate, rank, dropout and others.

    STUDY holds study.db, best.toml for shoal finetune --config, and report.html: what mattered, and every trial's
    curve. Settings that are given as options, such as --strategy, hold for all trials. No trial reads the test
    examples. A search that was stopped goes on when the same command is given again; more --trials goes on with one
    that is done.

    \b
    Examples:
      shoal tune reviews.csv studies/first --text review --rating rating --strategy frozen --trials 3
      shoal tune reviews.csv studies/first --text review --rating rating --strategy frozen --trials 4 --json
      shoal tune tweets.csv studies/mood --text text --label sentiment --space space.toml --trials 2 --minutes 30
    """
    from shoal.adapt.search import refuse_other_folder, search
    from shoal.adapt.space import Space

    settings, tried = tuning.make(), _fixed(Space() if space is None else Space.from_toml(space), tuning)
    refuse_other_folder(study)
    data = reading.examples(table, task, label)
    try:
        found = search(
            data,
            study,
            space=tried,
            trials=trials,
            minutes=minutes,
            task=task,
            config=settings,
            device=around.device,
            track=track or (),
            progress=around.progress(),
        )
    except KeyboardInterrupt:
        _keep_page(study)
        raise
    _tell(found, as_json=as_json)


def _fixed(space: Space, tuning: Tuning) -> Space:
    """Return the space without the settings that were given as options: they hold for all trials."""
    from shoal.adapt.space import Space

    values = space.model_dump()
    if tuning.strategy is not None:
        values["strategy"] = [tuning.strategy]
    for name in ("head", "max_tokens"):
        if getattr(tuning, name) is not None:
            values[name] = None
    for name in ("lr", "batch_size", "epochs"):
        if getattr(tuning, name) is not None:
            values["learning"][name] = None
    return Space(**values)


def _keep_page(study: Path) -> None:
    """Write the page of what was done before a stop, where something was."""
    from shoal.adapt.study import load_study
    from shoal.errors import StoreError
    from shoal.report.study import write_study

    try:
        write_study(load_study(study))
    except StoreError as error:  # stopped before the first trial, say
        talk(f"no report: {error}")


def _tell(found: Study, *, as_json: bool) -> None:
    from shoal.adapt.study import BEST
    from shoal.report.study import write_study

    page = write_study(found)
    if found.best_settings is None:
        talk(f"no trial ended well; see {page}")
    else:
        talk(f"the page is {page}; next: shoal finetune TABLE MODEL --config {found.folder / BEST}")
    if as_json:
        out_json(_as_json(found, page))
        return
    for line in _headline(found):
        out(line)
    order = found.trials.sort("value", descending=found.larger_is_better, nulls_last=True).drop("low", "high", "note")
    some = order.drop([c for c in order.columns if order[c].null_count() == order.height]).head(SHOWN)
    headers = {c: "at most" if c == "learning.epochs" else c.removeprefix("learning.") for c in some.columns}
    out_table(some, headers, formats=_formats(some.columns))


def _headline(found: Study) -> list[str]:
    if found.best is None:
        return ["no trial ended well"]
    row = found.row(found.best)
    lines = [
        f"best: trial {found.best}, {found.objective} {row['value']:.4f} on validation, of {found.trials.height} trials"
    ]
    if found.importance:
        shares = ", ".join(f"{k.removeprefix('learning.')} {v:.0%}" for k, v in found.importance.items())
        lines.append(f"what mattered: {shares}")
    return lines


def _formats(columns: list[str]) -> dict[str, str]:
    return {c: ".4f" if c == "value" else ".0f" if c == "seconds" else "," if c == "moved" else ".3g" for c in columns}


def _as_json(found: Study, page: Path) -> dict[str, Any]:
    settings = found.best_settings
    return {
        "study": str(found.folder),
        "objective": found.objective,
        "best": found.best,
        "value": None if found.best is None else found.row(found.best)["value"],
        "settings": None if settings is None else settings.model_dump(mode="json"),
        "importance": found.importance,
        "trials": found.trials,
        "report": str(page),
    }
