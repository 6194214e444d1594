"""The commands `shoal finetune` and `shoal score`: a language model learns a task, and is asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from shoal.cli.options import AsJson, Circumstances, Examples, Label, Reading, Track, Tuning, expand
from shoal.cli.tables import out, out_json, out_table, talk
from shoal.errors import ShoalError

if TYPE_CHECKING:
    from shoal.adapt.encoder import TunedEncoder
    from shoal.adapt.rater import TextRater

Model = Annotated[Path, Argument(metavar="MODEL", help="A model folder, as made by shoal finetune.")]


@expand
def finetune(
    table: Examples,
    model: Annotated[Path, Argument(metavar="MODEL", help="The model folder to make; one that is there is replaced.")],
    *,
    task: Annotated[str, Option(help="What is learnt: review, pair, twin, couse or words.")] = "review",
    label: Label = None,
    track: Track = None,
    reading: Reading,
    tuning: Tuning,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Teach a language model to tell ratings or labels, or which items are used together.

    \b
    review  a rating or label from the text itself;  --text and --rating, or --label
    pair    a rating from a user's past and an item's text, read as one
    twin    the same, read apart
    couse   vectors of items that the same people use come close;  for shoal fit --encoder MODEL
    words   the language of the catalogue, without labels;  for --base MODEL, or --encoder MODEL

    A fine-tuning that was stopped goes on from where it was when the same command is given again.

    \b
    Examples:
      shoal finetune reviews.csv models/reviews --text review --rating rating --strategy head
      shoal finetune tweets.csv models/mood --text text --label sentiment --strategy frozen
      shoal finetune ratings.csv models/items --items movies.csv --task couse --strategy head --epochs 2
    """
    from shoal.adapt.devices import is_first
    from shoal.adapt.finetune import check_task
    from shoal.adapt.keep import check_base
    from shoal.store.artifacts import MODEL, check_place

    check_task(task)
    settings = tuning.make()
    check_place(model, MODEL)
    check_base(settings.base, model)
    learnt = _learn(table, model, task, label, track or (), reading, settings, around)
    if not is_first():
        return
    talk(f"{_next(model, task)}; its curves: {model / 'report.html'}")
    if as_json:
        out_json({"model": str(model), **learnt.about})
    else:
        for line in summary(learnt.about):
            out(line)


def _learn(
    table: Path,
    model: Path,
    task: str,
    label: str | None,
    track: Sequence[str],
    reading: Reading,
    settings: Any,
    around: Circumstances,
) -> TextRater | TunedEncoder:
    """Read, fine-tune, and keep the model; the work so far stands beside its folder until it is whole.

    Of several processes that train together the first one talks and keeps.
    """
    from shoal.adapt.devices import is_first, meet
    from shoal.adapt.finetune import finetune as learn
    from shoal.progress import Progress

    work = model.with_name(model.name + ".part")
    data = reading.examples(table, task, label, tell=is_first())
    progress = around.progress() if is_first() else Progress()
    how: dict[str, Any] = {"task": task, "device": around.device, "work": work, "progress": progress, "track": track}
    try:
        learnt = learn(data, config=settings, **how)
    except ShoalError:
        _clear(work, unless_resumable=True)
        raise
    meet()  # the others still read or write nothing of the work folder when it goes
    if is_first():
        _keep(learnt, model, work)
    return learnt


def _keep(learnt: TextRater | TunedEncoder, model: Path, work: Path) -> None:
    """Write the model, its curves and its page; the work folder goes."""
    from shoal.adapt.curves import NAME
    from shoal.report.training import write_training

    learnt.save(model)
    if (work / NAME).is_file():
        os.replace(work / NAME, model / NAME)
    write_training(model)
    _clear(work)


def _clear(work: Path, *, unless_resumable: bool = False) -> None:
    """Remove the checkpoint and the curves, and their folder where nothing else is in it."""
    from shoal.adapt.curves import NAME as CURVES
    from shoal.adapt.loop import NAME

    if unless_resumable and (work / NAME).exists():
        return
    for name in (NAME, CURVES):
        (work / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        work.rmdir()


def _next(model: Path, task: str) -> str:
    if task == "review":
        return f"kept in {model}; next: shoal score {model} texts.csv --text COLUMN"
    if task in ("pair", "twin"):
        return f"kept in {model}; next, in Python: shoal.load_rater({str(model)!r}).predict(pasts, items)"
    return f"kept in {model}; next: shoal fit RATINGS RUN --encoder {model}"


def summary(about: dict[str, Any]) -> list[str]:
    """Return what a fine-tuning came to, as lines."""
    moved, whole = about["parameters"]["moved"], about["parameters"]["all"]
    best = f"; best epoch {about['best_epoch'] + 1}" if about["story"] else ""
    lines = [f"{about['task']}: {moved:,} of {whole:,} parameters moved{best}"]
    if "after" in about:
        names = [name for name in about["after"] if name != "valid"]
        lines += [f"  {n:<18} {about['before'][n]:>10.3f} before  {about['after'][n]:>10.3f} after" for n in names]
        return lines
    figures = about.get("test")
    if figures is None:
        return lines
    lines.append(f"on {about['examples']['test']:,} texts that were held out:")
    for name, found in figures.items():
        if name == "baseline":
            continue
        knowing = figures["baseline"].get(name)
        beside = "" if knowing is None else f"   knowing nothing of the text {knowing:.4f}"
        if isinstance(found, dict):
            lines.append(f"  {name:<18} {found['value']:.4f}  ({found['low']:.4f} to {found['high']:.4f}){beside}")
        else:
            lines.append(f"  {name:<18} {found:.4f}{beside}")
    return lines


@expand
def score(
    model: Model,
    texts: Annotated[Path, Argument(metavar="TEXTS", help="A file with a column of texts.")],
    *,
    text: Annotated[list[str] | None, Option(metavar="COLUMN", help="Column of the text; may be repeated.")] = None,
    separator: Annotated[str | None, Option(metavar="TEXT", help="Such as ';' or '::'; else found.")] = None,
    encoding: Annotated[str | None, Option(help="Such as utf-8 or latin-1; else found.")] = None,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Ratings or labels of texts, by a model that shoal finetune made for the task review.

    A row for each row of the file. A text that is empty gets the shares of the classes in training.

    \b
    Examples:
      shoal score models/reviews new.csv --text review
      shoal score models/reviews new.csv --text review --json
    """
    import polars as pl

    from shoal.adapt.keep import load_rater
    from shoal.data.texts import read_texts

    rater = load_rater(model, device=around.device)
    column = None if text is None else text[0] if len(text) == 1 else tuple(text)
    read = read_texts(texts, text=column, label=None, separator=separator, encoding=encoding)
    told = rater.predict(read["text"].to_list(), progress=around.progress())
    if rater.truncated:
        talk(
            f"{rater.truncated:,} of {read.height:,} texts are longer than {rater.reader.lm.limit} tokens and were cut"
        )
    if as_json:
        out_json(told)
    else:
        short = read["text"].str.slice(0, 60).fill_null("").alias("text")
        out_table(told.with_columns(short).select("row", "text", pl.exclude("row", "text")))
