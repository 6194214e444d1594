"""A study on disk: what a search tried and found, in a folder that can be gone on with and read.

study/
  study.db            optuna's trials, in SQLite
  best.toml           the best settings so far, for `shoal finetune --config`
  trials/             the curves of each trial as JSON lines; the checkpoint of the one under way
  logs/               for TensorBoard and Weights & Biases, where asked for
  report.html         what mattered, as a page
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shoal.adapt.curves import Curves, read_curves
from shoal.adapt.settings import Finetune
from shoal.adapt.space import LARGER_IS_BETTER
from shoal.errors import MissingExtraError, StoreError

DATABASE, BEST, LOCK, NAME = "study.db", "best.toml", "search.lock", "shoal"
ENOUGH = 8
"""Trials that ended well from which on it is said what mattered; below, it would be chance."""


@dataclass(frozen=True)
class Study:
    """What a search tried and found.

    Attributes
    ----------
    folder : Path
    about : dict
        Task, data, space, settings searched from, objective, figure (the one of the curves).
    trials : polars.DataFrame
        trial, state (complete, pruned, failed, killed), value (the objective; for pruned ones that of the last epoch,
        missing where the curves hold another figure), low, high (bootstrap interval), seconds, epochs, moved
        (parameters), note, then a column a setting, null where it was not asked for.
    importance : dict of str to float
        Share of each setting in what set the best trials apart (PED-ANOVA [1]_), summing to 1, the largest first.
        Empty below 8 trials that ended well.
    best : int or None
        The best trial; None where none ended well.

    References
    ----------
    .. [1] Watanabe, Bansal and Hutter. "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
       subspaces." IJCAI 2023.
    """

    folder: Path
    about: dict[str, Any]
    trials: pl.DataFrame
    importance: dict[str, float]
    best: int | None

    @property
    def objective(self) -> str:
        """Name of the figure that is searched by."""
        return str(self.about["objective"])

    @property
    def larger_is_better(self) -> bool:
        """Whether the objective should be large."""
        return self.objective in LARGER_IS_BETTER

    @property
    def settings(self) -> list[str]:
        """Names of the settings that were searched, as in the space."""
        return [c for c in self.trials.columns if c not in FIXED]

    @property
    def best_settings(self) -> Finetune | None:
        """All settings of the best trial."""
        return None if self.best is None else Finetune.from_toml(self.folder / BEST)

    def row(self, trial: int) -> dict[str, Any]:
        """Return a trial's row of the table."""
        return self.trials.row(by_predicate=pl.col("trial") == trial, named=True)

    def curves(self, trial: int) -> Curves:
        """Return what a trial told of its steps and epochs; nothing where it came to none."""
        where = self.about["curves"].get(trial)
        return Curves() if where is None else read_curves(self.folder / where)


FIXED = {
    "trial": pl.Int64, "state": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "seconds": pl.Float64, "epochs": pl.Int64, "moved": pl.Int64, "note": pl.String,
}  # fmt: skip
"""Columns of the table of trials that are no settings."""


def load_study(folder: str | Path) -> Study:
    """Read a study; a search may be under way in it.

    Raises
    ------
    StoreError
        There is no study, or it cannot be read.
    MissingExtraError
        optuna is not installed.
    """
    folder = Path(folder)
    if not (folder / DATABASE).is_file():
        raise StoreError(f"There is no study in {folder}. Make one with shoal tune, or give another folder.")
    with opened(folder) as study:
        return read(folder, study)


def read(folder: Path, study: Any) -> Study:
    """Return what an open study holds."""
    found = study.get_trials(deepcopy=False)
    rows = [_row(one) for one in begun(study)]
    names = dict.fromkeys(name for one in found for name in one.params)
    table = pl.DataFrame(rows, schema_overrides=FIXED, infer_schema_length=None) if rows else pl.DataFrame(schema=FIXED)
    known = [name for name in names if name in table.columns]
    about = {**study.user_attrs, "curves": {t.number: t.user_attrs.get("curves") for t in found}}
    best = study.best_trial.number if any(t.state.name == "COMPLETE" for t in found) else None
    return Study(folder, about, table.select(*FIXED, *known), importance(study), best)


def begun(study: Any) -> list[Any]:
    """Return the trials that were begun."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name != "WAITING"]


def done(study: Any) -> list[Any]:
    """Return the trials that need not be run again: they ended well, were pruned, or failed by their settings."""
    return [t for t in begun(study) if t.state.is_finished() and "killed" not in t.user_attrs]


def _row(one: Any) -> dict[str, Any]:
    told = one.user_attrs
    state = "killed" if "killed" in told else {"FAIL": "failed"}.get(one.state.name, one.state.name.lower())
    low, high = told.get("interval", (None, None))
    value = one.value if state == "complete" or told.get("comparable") else None
    fixed = (one.number, state, value, low, high, told.get("seconds"), told.get("epochs"), told.get("moved"))
    return dict(zip(FIXED, (*fixed, told.get("why")), strict=True)) | one.params


def importance(study: Any) -> dict[str, float]:
    """Return how much each setting had to do with being among the best, summing to 1; nothing for too few trials."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    done = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    if len(done) < ENOUGH or len({t.value for t in done}) < 2:
        return {}
    share = min(0.5, max(0.1, 5 / len(done)))  # with fewer than five at the top the estimate is unsteady
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share))
    return dict(sorted(found.items(), key=lambda one: -one[1]))


@contextlib.contextmanager
def opened(folder: Path, *, direction: Literal["minimize", "maximize"] | None = None) -> Iterator[Any]:
    """Open optuna's study of a folder; with a `direction`, make it where there is none.

    Raises
    ------
    MissingExtraError
        optuna is not installed.
    StoreError
        The database cannot be read or written.
    """
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise MissingExtraError(
            "A search needs optuna, which is not installed. Install it with: pip install 'shoal[finetune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / DATABASE
    broken = (SQLAlchemyError, optuna.exceptions.StorageInternalError)
    storage = None
    try:
        try:
            with _logging_kept():  # its migrations read a logging configuration, which would silence all other loggers
                storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
            if direction is None:
                study = optuna.load_study(study_name=NAME, storage=storage)
            else:
                study = optuna.create_study(study_name=NAME, storage=storage, direction=direction, load_if_exists=True)
        except (*broken, KeyError, RuntimeError) as error:  # the last two: no study in it, or a newer optuna's
            raise _unreadable(path, error) from error
        try:
            yield study
        except broken as error:
            raise _unreadable(path, error) from error
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Put back the root logger's handlers and level, and which loggers speak, whatever happens inside."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    silent = [one.disabled for one in loggers]
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        for one, was in zip(loggers, silent, strict=True):
            one.disabled = was


def _unreadable(path: Path, error: Exception) -> StoreError:
    why = str(error.__cause__ or error).splitlines()[0]
    return StoreError(f"{path} cannot be read or written: {why}. Copy it again, or give a new folder.")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one search; a kill lets go of it.

    Raises
    ------
    StoreError
        Another search holds it, or it cannot be written.
    """
    connection = None
    try:  # a lock of SQLite's is let go by the system when a process ends, on every system
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        busy = "locked" in str(error)
        raise StoreError(
            f"{folder} is being searched by another process. Wait for it, or give another folder."
            if busy
            else f"{folder} cannot be written: {error}. Give a folder that can be written."
        ) from error
    try:
        yield
    finally:
        connection.close()


def differs(known: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> str | None:
    """Return the first setting in which two nested mappings differ, as ``learning.lr.low: 1e-05, now 1e-06``."""
    for key in dict.fromkeys([*known, *given]):
        one, other = known.get(key), given.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if found := differs(one, other, f"{prefix}{key}."):
                return found
        elif one != other:
            return f"{prefix}{key}: {json.dumps(one)}, now {json.dumps(other)}"
    return None
