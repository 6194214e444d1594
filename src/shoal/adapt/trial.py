"""A trial of a search: one fine-tuning, which is stopped where it is behind the others."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.adapt.settings import Finetune, TaskName
from shoal.adapt.space import LARGER_IS_BETTER, Dial, Space, Value
from shoal.adapt.study import done
from shoal.adapt.track import trackers
from shoal.progress import BarProgress, Progress, Task

if TYPE_CHECKING:
    from shoal.data.dataset import Dataset
    from shoal.data.labelled import Labelled
    from shoal.train.loop import Story

RUNGS = 8
"""Trials are compared at eighths of their planned epochs, since strategies plan different numbers of them."""


@dataclass(frozen=True)
class How:
    """What all trials share."""

    folder: Path
    task: TaskName
    data: Labelled | Dataset
    space: Space
    base: Finetune
    device: str
    track: tuple[str, ...]
    progress: Progress


@dataclass
class Trial:
    """One trial: a fine-tuning that may be stopped."""

    how: How
    study: Any
    trial: Any
    settings: Finetune
    rung: int = 0
    pruned: bool = False

    def run(self) -> None:
        """Fine-tune, and tell the study how it ended. One with settings that were tried before ends as that one did."""
        how, about = self.how, self.study.user_attrs
        dumped = self.settings.model_dump(mode="json")
        self.mark = hashlib.sha256(json.dumps([about["data"], dumped], sort_keys=True).encode()).hexdigest()
        where = f"trials/{self.mark[:12]}.jsonl"
        for name, value in (("settings", dumped), ("curves", where)):
            self.trial.set_user_attr(name, value)
        if self._as_before(where):
            return
        began = time.monotonic()
        with trackers(
            how.track, how.folder / where, logs=how.folder / "logs" / self.mark[:12],
            name=f"{how.folder.name}-{self.trial.number}", mark=self.mark, about={"settings": dumped},
        ) as watch:  # fmt: skip
            told = self._fine_tune(watch)
        shutil.rmtree(self._work, ignore_errors=True)
        found = _figure(told, about["objective"])
        self.trial.set_user_attr("seconds", time.monotonic() - began)
        self.trial.set_user_attr("epochs", len(told["story"]))
        self.trial.set_user_attr("moved", told["parameters"]["moved"])
        if isinstance(found, dict):
            self.trial.set_user_attr("interval", [found["low"], found["high"]])
        value = found["value"] if isinstance(found, dict) else found
        self._tell(None if self.pruned else float(value))

    @property
    def _work(self) -> Path:
        return self.how.folder / "trials" / f"{self.mark[:12]}.part"

    def _fine_tune(self, watch: Callable[[str, dict[str, float]], None]) -> dict[str, Any]:
        from shoal.adapt.finetune import finetune
        from shoal.data.labelled import Labelled

        how = self.how
        # the test examples of texts are gone already; those of a log are drawn inside, and what is told of them goes
        share = 0.0 if isinstance(how.data, Labelled) else self.settings.test_share
        model = finetune(
            how.data,
            task=how.task,
            config=self.settings.model_copy(update={"test_share": share}),
            device=how.device,
            work=self._work,
            progress=_Inner(how.progress),
            watch=watch,
            stop=self._stop,
        )
        return {name: value for name, value in model.about.items() if name != "test"}

    def _stop(self, story: Story) -> bool:
        """Tell the study how far the trial is, and whether it is behind the others there."""
        about, epochs = self.study.user_attrs, max(self.settings.epochs, 1)
        as_error = about["figure"] == "accuracy" and about["objective"] not in LARGER_IS_BETTER
        for row in story.rows:  # all of them: a trial that goes on from a checkpoint has told none yet
            rung = RUNGS * (int(row["epoch"]) + 1) // epochs
            if self.rung < rung < RUNGS:
                self.rung = rung
                value = row[about["figure"]]
                self.trial.report(1 - value if as_error else value, rung)
                self.pruned = bool(self.trial.should_prune())
        return self.pruned

    def _as_before(self, where: str) -> bool:
        """Whether the same settings were tried before; then the trial is told as that one was."""
        for one in done(self.study):
            if one.user_attrs.get("curves") == where and one.state.name in ("COMPLETE", "PRUNED"):
                for name in ("interval", "epochs", "moved"):
                    if name in one.user_attrs:
                        self.trial.set_user_attr(name, one.user_attrs[name])
                self.trial.set_user_attr("why", f"the same settings as trial {one.number}")
                self._tell(one.value if one.state.name == "COMPLETE" else None)
                return True
        return False

    def _tell(self, value: float | None) -> None:
        from optuna.trial import TrialState

        if value is None:
            self.trial.set_user_attr(
                "comparable", self.study.user_attrs["figure"] == self.study.user_attrs["objective"]
            )
            self.study.tell(self.trial, state=TrialState.PRUNED)
        else:
            self.study.tell(self.trial, value)


def asker(trial: Any) -> Callable[[str, Dial | tuple[str, ...]], Value]:
    """Return what asks the study for a value; a setting with one value alone is not asked for."""

    def pick(name: str, dial: Dial | tuple[str, ...]) -> Value:
        some = dial.among if isinstance(dial, Dial) else dial
        if some is not None:
            chosen: Value = some[0] if len(some) == 1 else trial.suggest_categorical(name, list(some))
            return chosen
        assert isinstance(dial, Dial)
        ask = trial.suggest_int if isinstance(dial.low, int) else trial.suggest_float
        number: Value = ask(name, dial.low, dial.high, log=dial.log)
        return number

    return pick


def _figure(told: dict[str, Any], objective: str) -> Any:
    """Return the objective: of the validation examples after calibration, else of the best epoch."""
    if objective in told.get("validation", {}):
        return told["validation"][objective]
    return told["story"][told["best_epoch"]][objective]


class _Inner(Progress):
    """The progress of a trial inside a search: bars where the search has them, no lines; warnings always."""

    def __init__(self, outer: Progress) -> None:
        self.outer = outer

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Task]:
        """Open a job, with a bar where the search has bars."""
        inner = self.outer if isinstance(self.outer, BarProgress) else Progress()
        with inner.task(name, total, unit) as task:
            yield task

    def warn(self, line: str) -> None:
        """Say it as the search does."""
        self.outer.warn(line)
