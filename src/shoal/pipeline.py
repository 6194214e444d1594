"""The face in Python: fit, load, rename.

fit: hold out --learn--> Learnt --judge, certify--> what it is worth --refit on everything, describe, name, rules--> Run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shoal import keep
from shoal.certify import certify
from shoal.config import Config, Name
from shoal.data.dataset import Dataset
from shoal.describe import check_same_users, everyone, manifest_of, renamed, survived
from shoal.errors import ShoalError
from shoal.judge import judge
from shoal.learn import Around, hold_out, learn
from shoal.names import blind, named, names_of, with_certificate, with_names
from shoal.progress import Progress, duration
from shoal.progress import progress as make_progress
from shoal.run import Run
from shoal.seeding import integer
from shoal.segment.identity import Before, history, kept_share
from shoal.segment.namer import check as check_namer
from shoal.segment.readable import readable_rules, with_rules
from shoal.tables import PARENT, SEGMENT, SUBSEGMENT, USER
from shoal.work import clear, open_work


def fit(
    data: Dataset,
    *,
    config: Config | None = None,
    work: str | Path | None = None,
    device: str = "auto",
    cache: str | Path | Literal["default"] | None = "default",
    progress: Progress | None = None,
    after: Run | str | Path | None = None,
) -> Run:
    """Learn who the users are, what they would rate and what they want next, and how good that is.

    A part of the events is held out first, and only the judgement sees it. What is learnt by gradient, every weight and
    every setting comes from the rest; at the end the closed-form models are fitted again on everything.

    Parameters
    ----------
    data : Dataset
        As `shoal.read` gives it.
    config : Config, optional
    work : path, optional
        A folder for the work so far: a fit that is stopped at any moment and called again with the same data, settings
        and folder goes on, and ends at the same numbers. The work of another fit that stands there is removed.
    device : str
        For the language model: ``auto``, ``cpu``, ``cuda``, ``mps``.
    cache : path, "default" or None
        Where encoded texts are kept.
    progress : Progress, optional
        None: a bar when stderr is a terminal, else nothing.
    after : Run or path, optional
        The last run, on older data of the same users. Its segments are looked for first and keep their numbers and
        names; `Run.migration`, `Run.history` and `Run.drift` say what became of them.

    Raises
    ------
    NotEnoughDataError
        There are too few users, items or events.
    MismatchError
        The last run knows none of the users.
    EncoderError
        The language model cannot be had.
    ConfigError, MissingExtraError
        A language model is to name segments, and its address, name, file or package is missing. One that does not
        answer is no error: names come from contrasts, with a warning.
    StoreError
        `work` holds something that no fit put there.
    """
    config = config or Config()
    last = load(after) if isinstance(after, str | Path) else after
    if last is not None:
        check_same_users(last.members, data)
    folder = None if cache is None else cache if cache == "default" else Path(cache)
    place = open_work(work, data, config)
    around = Around(progress or make_progress(), device, folder, place)  # type: ignore[arg-type]
    try:
        return _fit(data, config, around, last)
    except BaseException as error:
        clear(place, everything=isinstance(error, ShoalError))
        raise


def _fit(data: Dataset, config: Config, around: Around, last: Run | None) -> Run:
    began = datetime.now(UTC)
    check_namer(config.name)
    before = None if last is None else _before(last)
    held = hold_out(data, config, share=config.validation.share, seed=integer(config.seed, "outer"))
    learnt = learn(held.train, config, around, cutoff=held.cutoff, before=before)
    with around.stage("judge"):
        judgement = judge(learnt, held, n=10, seed=config.seed)
    with around.stage("certify"):
        certificate = certify(learnt, held, seed=integer(config.seed, "certify"))
    with around.stage("closed form"):
        learnt.refit(replace(data, items=learnt.data.items))
    with around.stage("describe"):
        members = everyone(learnt)
    with around.stage("name"):
        old = {} if last is None else names_of(last.segments, last.subsegments)
        segments, inside, naming = named(learnt, members, held, old, config, around)
        more = {"history": history(segments, began)}
        if last is not None:
            segments, more = survived(segments, members, last.segments, last.members, last.history, began)
    with around.stage("certify"):
        judged = blind(learnt, held, names_of(segments, inside), inside, around)
        certificate, parents = with_names(certificate, judged), dict(inside.select(SEGMENT, PARENT).iter_rows())
        segments, inside = (with_certificate(table, certificate, judged, parents) for table in (segments, inside))
    with around.stage("rules"):
        rules = readable_rules(members, learnt.data, traits=config.recommend.traits)
        segments, inside = (with_rules(table, rules) for table in (segments, inside))
    manifest = manifest_of(learnt, around, began)
    if last is not None:
        manifest["after"] = {"made": last.manifest["made"], "kept": kept_share(more["migration"])}
        around.progress.log(
            f"keep  {100 * manifest['after']['kept']:.0f} % of those who are still there kept their segment"
        )
    around.progress.log(f"fit  done in {duration(sum(around.seconds.values()))}: {segments.height} segments")
    more |= {"subsegments": inside, "certificate": certificate}
    run = Run(learnt, segments, members, judgement, manifest, {keep.NAMING: naming}, more)
    if last is None:
        return run
    run, notes = run.continuing(last, {one: one for one in last.segments[SEGMENT] if one in segments[SEGMENT]})
    for note in notes:
        around.progress.warn(note)
    return run


def _before(last: Run) -> Before:
    """Return what a fit needs to know of the last run's segments."""
    numbers = [*last.history[SEGMENT], *last.more.get("subsegments", last.subsegments)[SEGMENT]]
    numbers += [one for edit in last.edits for one in edit.segments]
    inside = None
    if SUBSEGMENT in last.members.columns:
        inside = last.members.select(USER, pl.col(SUBSEGMENT).alias(SEGMENT))
    return Before(last.members, max(numbers), inside)


def load(folder: str | Path) -> Run:
    """Return the run that was kept in a folder.

    Raises
    ------
    StoreError
        The folder is missing, is no run, is damaged or was written by a newer version.
    """
    return Run(*keep.load(folder))


def rename(
    folder: str | Path,
    settings: Name,
    *,
    keep_names: Mapping[int, str] | None = None,
    cache: str | Path | Literal["default"] | None = "default",
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Name the segments of a kept run anew, and keep it, whole or not at all; nothing else of it changes.

    A report that stands in the folder tells of the old names, and goes.

    Parameters
    ----------
    folder : path
    settings : shoal.config.Name
        They become those of the run.
    keep_names : mapping of int to str, optional
        Names, by segment, that stay as they are; the others differ from them.
    cache : path, "default" or None
        Where a language model's replies are kept by content.
    progress : Progress, optional
        Warned where a language model's name was not taken.

    Returns
    -------
    segments : polars.DataFrame
        As `Run.segments`.
    naming : dict
        As `Run.naming`.

    Raises
    ------
    StoreError
        The folder is no run, is damaged, or cannot be written.
    ConfigError, MissingExtraError
        A language model is wanted, and its address, name, file or package is missing.
    """
    check_namer(settings)
    place = None if cache is None else cache if cache == "default" else Path(cache)

    def name(segments: pl.DataFrame, members: pl.DataFrame, data: Dataset, seed: int) -> keep.Renamed:
        told = progress or make_progress()
        return renamed(segments, members, data, settings, keep=keep_names, seed=seed, cache=place, progress=told)  # type: ignore[arg-type]

    return keep.rename(folder, settings, name)
