"""The search over settings: propose, fine-tune, stop what is behind, keep all in a study that can be gone on with.

    Space --propose (TPE)--> settings --fine-tune--> epochs --behind the others?--> pruned
                                                     end    --figure on validation--> told to the study

Trials are compared by a figure of the validation examples that means the same for every head. The test examples are
taken out before the first trial: no trial reads them.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from shoal.adapt.settings import Finetune, TaskName
from shoal.adapt.space import LARGER_IS_BETTER, Space, first, settings_of, toml
from shoal.adapt.study import BEST, DATABASE, LOCK, Study, begun, differs, done, locked, opened, read
from shoal.adapt.track import check_names
from shoal.adapt.trial import RUNGS, How, Trial, asker
from shoal.errors import ConfigError, MismatchError, StoreError
from shoal.progress import BarProgress, Progress, duration
from shoal.progress import progress as make_progress
from shoal.seeding import generator, integer

if TYPE_CHECKING:
    from shoal.data.dataset import Dataset
    from shoal.data.labelled import Labelled

HOPELESS = 3
"""So many trials may fail at the start before the search ends with the last one's error."""
CURVE = {"rmse": "rmse", "mae": "rmse", "mean_rank": "mean_rank", "perplexity": "perplexity"}
"""The figure of an epoch by which a trial is stopped, for each objective; accuracy for the others."""
RATINGS, LABELS = ("rmse", "mae", "log_loss", "accuracy", "macro_f1"), ("log_loss", "accuracy", "macro_f1")


def search(
    table: str | Path | pl.DataFrame | Dataset | Labelled,
    folder: str | Path,
    *,
    space: Space | None = None,
    trials: int = 20,
    minutes: float | None = None,
    task: TaskName = "review",
    text: str | Sequence[str] | None = None,
    rating: str | None = None,
    label: str | None = None,
    scale: tuple[float, float] | None = None,
    on_bad: Literal["error", "drop"] = "error",
    config: Finetune | None = None,
    device: str = "auto",
    track: Iterable[str] = (),
    progress: Progress | None = None,
) -> Study:
    """Search for settings of a fine-tuning, or go on with a search.

    Parameters
    ----------
    table, task, text, rating, label, scale, on_bad, device
        As for `shoal.finetune`.
    folder : path
        Of the study. One that is there is gone on with; a trial that was killed is run again, from its checkpoint.
    space : Space, optional
        What is tried.
    trials : int
        In the whole study, those done before included; pruned and failed ones count.
    minutes : float, optional
        No trial is begun after so many minutes of this call.
    config : Finetune, optional
        The settings that are tried first, and hold for all that is not in the space. One seed: all trials have the same
        validation examples.
    track : iterable of str
        ``tensorboard``, ``wandb``, ``wandb-offline``: curves beside the JSON lines, a run a trial.
    progress : Progress, optional
        None shows a bar at a terminal.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        A setting is wrong, or the first trials all failed.
    MismatchError
        The study is one of other data, another task, another space or other settings.
    StoreError
        The folder holds something else, is in use, or cannot be written.
    MissingExtraError
        optuna, or what a tracker needs, is not installed.
    ReadError, NotEnoughDataError, EncoderError
        As for `shoal.finetune`.
    """
    space, base = space or Space(), config or Finetune()
    check_names(track := tuple(track))
    space.check(base)
    refuse_other_folder(folder := Path(folder))
    data = _data(table, task, text=text, rating=rating, label=label, scale=scale, on_bad=on_bad)
    about = _about(data, task, space, base)
    how = How(folder, task, _without_test(data, base), space, base, device, track, progress or make_progress())
    direction: Literal["minimize", "maximize"] = "maximize" if about["objective"] in LARGER_IS_BETTER else "minimize"
    with locked(folder), opened(folder, direction=direction) as study:
        _agree(study, about, folder)
        _again(study)
        _Search(how, study, about).run(trials, None if minutes is None else 60 * minutes)
        return read(folder, study)


def refuse_other_folder(folder: Path) -> None:
    """Say before long work that a folder holds something else.

    Raises
    ------
    StoreError
        `folder` is a file, or holds files and no study.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file. Name a folder.")
    theirs = [p for p in folder.iterdir() if not p.name.startswith((LOCK, DATABASE))] if folder.is_dir() else []
    if theirs and not (folder / DATABASE).exists():
        raise StoreError(f"{folder} holds something that is no study. Name a folder that is new or empty.")


def _data(table: Any, task: str, **reading: Any) -> Labelled | Dataset:
    from shoal.data.dataset import Dataset
    from shoal.data.labelled import Labelled, read_labelled

    if task != "review" and not isinstance(table, Dataset):
        raise MismatchError(f"The task {task} learns from users, items and events: give what shoal.read returns.")
    if isinstance(table, Labelled) or task != "review":
        return table
    if isinstance(table, Dataset):
        raise MismatchError("The task review learns from texts: give a table of texts with ratings or labels.")
    return read_labelled(table, **reading)


def _without_test(data: Labelled | Dataset, base: Finetune) -> Labelled | Dataset:
    """Return the texts but for those that a fine-tuning with these settings keeps for its test, drawn as it draws them.

    Logs are returned whole: there the examples are made, and held out, inside the fine-tuning.
    """
    from shoal.adapt.tell import held_out
    from shoal.data.labelled import Labelled

    if not isinstance(data, Labelled):
        return data
    rest, _ = held_out(data.classes, base.test_share, generator(base.seed, "finetune", "test"))
    return data.take(rest)


def _about(data: Labelled | Dataset, task: str, space: Space, base: Finetune) -> dict[str, Any]:
    """Return what a study says of itself, and must agree with when it is gone on with."""
    from shoal.data.labelled import Labelled

    ordered = not isinstance(data, Labelled) or data.ordered
    natural = {"couse": "mean_rank", "words": "perplexity"}.get(task, "rmse" if ordered else "log_loss")
    objective = natural if space.objective == "auto" else space.objective
    known = (natural,) if task in ("couse", "words") else RATINGS if ordered else LABELS
    if objective not in known:
        raise ConfigError(f"objective = {objective!r} is no figure of this task and data. Give {' or '.join(known)}.")
    return {
        "task": task,
        "data": _digest(data),
        "data_name": data.name,
        "objective": objective,
        "figure": CURVE.get(objective, "accuracy"),
        "space": space.model_dump(mode="json"),
        "settings": base.model_dump(mode="json"),
    }


def _digest(data: Labelled | Dataset) -> str:
    from shoal.data.labelled import Labelled

    if not isinstance(data, Labelled):
        return data.fingerprint()
    digest = hashlib.sha256(json.dumps([data.names, data.texts]).encode())
    digest.update(data.classes.tobytes() + data.values.tobytes())
    return digest.hexdigest()[:16]


def _agree(study: Any, about: dict[str, Any], folder: Path) -> None:
    """Write what a new study is of, or refuse to go on with one of something else."""
    known = study.user_attrs
    if not known:
        for key, value in about.items():
            study.set_user_attr(key, value)
        return
    another = "Give a new folder, or what it was begun with."
    if known.get("task") != about["task"]:
        raise MismatchError(f"{folder} is a study of the task {known.get('task')}, not {about['task']}. {another}")
    if known.get("data") != about["data"]:
        raise MismatchError(f"{folder} is a study of other data, {known.get('data_name')} as it was then. {another}")
    for name, words in (("space", "another space"), ("settings", "other settings")):
        if gap := differs(known[name], about[name]):
            raise MismatchError(f"{folder} is a study of {words} ({gap}). {another}")


def _again(study: Any) -> None:
    """Mark trials that a kill left unfinished as failed, and line their settings up to be run again."""
    from optuna.trial import Trial, TrialState

    for one in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        Trial(study, one._trial_id).set_user_attr("killed", True)
        study.tell(one.number, state=TrialState.FAIL)
        study.enqueue_trial(one.params)


@dataclass
class _Search:
    """A search under way."""

    how: How
    study: Any
    about: dict[str, Any]
    seconds: list[float] = field(default_factory=list)

    def run(self, trials: int, seconds: float | None) -> None:
        """Run trials until there are so many, or the time is over."""
        began = time.monotonic()
        left = trials - len(done(self.study))
        if not begun(self.study):
            self.study.enqueue_trial(first(self.how.space, self.how.base))
        shown = self.how.progress if isinstance(self.how.progress, BarProgress) else Progress()  # the lines say it all
        with shown.task("tune", max(left, 0), "trials") as bar:
            for n in range(left):
                if seconds is not None and time.monotonic() - began >= seconds:
                    self.how.progress.log(f"tune  time is over, {left - n} trials are left; the same command goes on")
                    break
                self._one(trials)
                bar.advance()

    def _one(self, trials: int) -> None:
        self.study.sampler, self.study.pruner = self._sampler(), self._pruner(trials)
        trial = self.study.ask()
        settings = settings_of(self.how.space, self.how.base, asker(trial))
        run = Trial(self.how, self.study, trial, settings)
        began = time.monotonic()
        try:
            run.run()
        except ConfigError as error:  # out of memory, diverged, more layers than there are: another trial may do better
            self._failed(trial, error)
        self.seconds.append(time.monotonic() - began)
        self._keep_best()
        self.how.progress.log(self._line(trial.number, trials))
        gc.collect()

    def _sampler(self) -> Any:
        """Return a sampler seeded by how many trials there were, so that a resumed search proposes the same."""
        from optuna.samplers import TPESampler

        # multivariate sampling, the default, draws settings that belong to one strategy alone at random for ever
        seed = integer(
            self.how.space.seed, "search", len([t for t in begun(self.study) if "killed" not in t.user_attrs])
        )
        return TPESampler(seed=seed, multivariate=False, n_startup_trials=self.how.space.startup)

    def _pruner(self, trials: int) -> Any:
        from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

        if self.how.space.pruner == "median":
            # only trials that ended well make the median, so that it grows harder: with one a third of the way, two of
            # three trials were ended, good ones among them
            return MedianPruner(n_startup_trials=self.how.space.startup, n_warmup_steps=RUNGS // 2)
        if self.how.space.pruner == "hyperband":
            return HyperbandPruner(min_resource=2, max_resource=RUNGS, reduction_factor=2)
        return NopPruner()

    def _failed(self, trial: Any, error: ConfigError) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("why", str(error))
        self.study.tell(trial, state=TrialState.FAIL)
        over = done(self.study)
        if len(over) >= HOPELESS and all(t.state == TrialState.FAIL for t in over):
            raise error
        self.how.progress.warn(f"tune  trial {trial.number} failed: {error}")

    def _keep_best(self) -> None:
        from optuna.trial import TrialState

        if self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            best = self.study.best_trial
            told = f"{self.about['objective']} {best.value:.4f} on validation"
            words = f"# Trial {best.number} of a search on {self.about['data_name']}: {told}.\n"
            half = self.how.folder / f"{BEST}.half"
            half.write_text(words + toml(Finetune(**best.user_attrs["settings"])), encoding="utf-8")
            half.replace(self.how.folder / BEST)

    def _line(self, number: int, trials: int) -> str:
        row = self.study.get_trials(deepcopy=False)[number]
        over, name = done(self.study), self.about["objective"]
        state = {"COMPLETE": f"{name} {row.value:.4f}" if row.value is not None else "", "PRUNED": "pruned"}
        ended = [t for t in over if t.state.name == "COMPLETE"]
        best = f" (best {self.study.best_value:.4f}, trial {self.study.best_trial.number})" if ended else ""
        told = "  ".join(f"{k.removeprefix('learning.')} {_short(v)}" for k, v in row.params.items())
        left = (trials - len(over)) * sum(self.seconds) / len(self.seconds)
        more = f"  about {duration(left)} left" if len(over) < trials else ""
        ended_as = state.get(row.state.name, "failed")
        return (
            f"tune  {len(over)}/{trials}  trial {number}  {ended_as}{best}  {told}  {duration(self.seconds[-1])}{more}"
        )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
