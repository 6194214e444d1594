"""Tracking: what a fine-tuning tells of each step and epoch goes to JSON lines, TensorBoard, Weights & Biases.

    loop --("step", ...), ("epoch", ...)--> Trackers --> training.jsonl   always
                                                     --> TensorBoard      "tensorboard"
                                                     --> Weights & Biases "wandb", "wandb-offline"

A fine-tuning that is resumed repeats the steps since its last checkpoint, with the same numbers. The curves hold each
of them once: what was told before is left out; TensorBoard is told to forget the first telling.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from shoal.adapt.curves import JsonLines
from shoal.errors import ConfigError, MissingExtraError, did_you_mean

FLUSH_SECONDS = 10
"""A kill costs TensorBoard so many seconds of curves at most."""

TrackerName = Literal["tensorboard", "wandb", "wandb-offline"]
TRACKERS: tuple[TrackerName, ...] = ("tensorboard", "wandb", "wandb-offline")


class Tracker(Protocol):
    """Hears of each step and each epoch; a `Watch` of the loop with an end."""

    def __call__(self, kind: str, values: dict[str, float]) -> None:
        """Keep the figures of a ``step`` or an ``epoch``."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Writes scalars for TensorBoard: ``train/loss``, ``epoch/valid`` and so on, over steps.

    Parameters
    ----------
    folder : path
        For the event files; several processes may write there, one after the other.
    last_step : int
        The last one that was told before a kill; 0 to begin.

    Raises
    ------
    MissingExtraError
        tensorboard is not installed.
    """

    def __init__(self, folder: str | Path, last_step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError(_missing("TensorBoard", "tensorboard")) from None
        self._make, self._folder = SummaryWriter, str(folder)
        self._writer: Any = None
        self._step = last_step

    def __call__(self, kind: str, values: dict[str, float]) -> None:
        """Write the figures of a step or an epoch."""
        if kind == "step":
            self._step = int(values["step"])
        if self._writer is None:  # at the first step it is known which ones are repeated, and they are purged
            purge = self._step if kind == "step" else self._step + 1
            self._writer = self._make(self._folder, purge_step=purge, flush_secs=FLUSH_SECONDS)
        for name, value in values.items():
            if name != kind:
                self._writer.add_scalar(_tag(kind, name), value, self._step)
        if kind == "epoch":
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """Logs to Weights & Biases, or into a folder that ``wandb sync`` sends later.

    It never asks anything on a terminal. It sends figures and settings; no code, no list of packages, nothing of the
    machine. Offline it uses no network at all.

    Parameters
    ----------
    folder : path
        wandb makes a folder ``wandb`` in it.
    offline : bool
    name : str
        Of the run.
    mark : str
        Gives the run its id, so that a resumed fine-tuning is one run.
    about : mapping, optional
        Shown as the run's settings.
    last_step : int
        The last one that was told before a kill; 0 to begin.
    project : str

    Raises
    ------
    MissingExtraError
        wandb is not installed.
    ConfigError
        Online without a key; or the service refused, or cannot be reached.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        offline: bool = False,
        name: str = "",
        mark: str = "",
        about: Mapping[str, Any] | None = None,
        last_step: int = 0,
        project: str = "shoal",
    ) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtraError(_missing("Weights & Biases", "wandb")) from None
        if not offline:
            _refuse_without_key(wandb)
        Path(folder).mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True,
            x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
        )  # fmt: skip
        try:
            self._run = wandb.init(
                project=project, dir=str(folder), mode="offline" if offline else "online", name=name or None,
                id=mark[:16] or None, resume="allow" if mark else None, config=dict(about or {}), settings=quiet,
            )  # fmt: skip
        except wandb.errors.Error as error:
            raise ConfigError(
                f"Weights & Biases: {' '.join(str(error).split())}. Track with wandb-offline and send it later with: "
                "wandb sync."
            ) from error
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        self._step = float(last_step)

    def __call__(self, kind: str, values: dict[str, float]) -> None:
        """Log the figures of a step or an epoch."""
        self._step = values["step"] if kind == "step" else self._step
        self._run.log({"step": self._step, **{_tag(kind, k): v for k, v in values.items() if k != kind}})

    def close(self) -> None:
        """Write or send what is left."""
        self._run.finish()


class Trackers:
    """Several trackers as one `Watch`.

    Parameters
    ----------
    lines : JsonLines
        Also knows what was told before a kill.
    board : TensorBoard, optional
        Is told everything, as it forgets by itself what is told again.
    others : iterable of Tracker
        Are told what is new.
    """

    def __init__(self, lines: JsonLines, board: TensorBoard | None = None, others: Iterable[Tracker] = ()) -> None:
        self.lines, self.board, self.others = lines, board, tuple(others)

    def __call__(self, kind: str, values: dict[str, float]) -> None:
        """Tell every tracker of a step or an epoch."""
        if not self.lines.knows(kind, values):
            self.lines(kind, values)
            for one in self.others:
                one(kind, values)
        if self.board is not None:
            self.board(kind, values)

    def close(self) -> None:
        """Close every tracker, the later ones even if an earlier one fails."""
        with contextlib.ExitStack() as stack:
            for one in (*self.others, self.board, self.lines):
                if one is not None:
                    stack.callback(one.close)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def trackers(
    names: Iterable[str],
    lines: str | Path,
    *,
    logs: str | Path,
    name: str = "",
    mark: str = "",
    about: Mapping[str, Any] | None = None,
) -> Trackers:
    """Return one `Watch` that keeps JSON lines and whatever else is named.

    Parameters
    ----------
    names : iterable of str
        Of ``tensorboard``, ``wandb``, ``wandb-offline``; may be empty.
    lines : path
        The file of JSON lines.
    logs : path
        Folder for TensorBoard's event files and for wandb's; made only when one of them is named.
    name : str
        Of the run in Weights & Biases.
    mark : str
        Says which fine-tuning this is: the curves of another one are not gone on with.
    about : mapping, optional
        Settings and the like, kept with the curves.

    Raises
    ------
    ConfigError
        A name is none, or wandb is named in both modes.
    MissingExtraError
        A package is not installed.
    StoreError
        The file cannot be written.
    """
    wanted = list(dict.fromkeys(names))
    check_names(wanted)
    kept = JsonLines(lines, mark=mark, about=about)
    how: dict[str, Any] = {"name": name, "mark": mark, "about": about, "last_step": kept.last_step}
    with contextlib.ExitStack() as undo:  # where one cannot begin, those that did are closed
        undo.callback(kept.close)
        board = TensorBoard(logs, kept.last_step) if "tensorboard" in wanted else None
        modes = [one for one in wanted if one != "tensorboard"]
        others = [WeightsAndBiases(logs, offline=one == "wandb-offline", **how) for one in modes]
        undo.pop_all()
    return Trackers(kept, board, others)


def check_names(names: Iterable[str]) -> None:
    """Refuse names that are no tracker's, before anything is trained.

    Raises
    ------
    ConfigError
        A name is none, or wandb is named in both modes.
    """
    for one in names:
        if one not in TRACKERS:
            raise ConfigError(
                f"track = {one!r} is no tracker. Give {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}; JSON lines "
                f"are always kept.{did_you_mean(one, TRACKERS)}"
            )
    if {"wandb", "wandb-offline"} <= set(names):
        raise ConfigError("track names wandb and wandb-offline. Give one of the two.")


def _tag(kind: str, name: str) -> str:
    return f"train/{name}" if kind == "step" else f"epoch/{name}"


def _missing(what: str, package: str) -> str:
    return f"Tracking with {what} needs {package}, which is not installed. Install it with: pip install 'shoal[track]'"


def _refuse_without_key(wandb: Any) -> None:
    """Say that there is no key, where wandb itself would ask for one on the terminal."""
    import netrc
    from urllib.parse import urlparse

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return
    settings = wandb.Settings()
    settings.update_from_env_vars(os.environ)
    hosts = {urlparse(settings.base_url).hostname, "api.wandb.ai"}
    kept = Path(os.environ.get("NETRC") or Path.home() / ("_netrc" if os.name == "nt" else ".netrc"))
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        if hosts & set(netrc.netrc(str(kept)).hosts):
            return
    raise ConfigError(
        "Weights & Biases has no key here. Set WANDB_API_KEY or type wandb login once; or track with wandb-offline and "
        "send it later with: wandb sync."
    )
