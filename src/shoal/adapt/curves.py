"""The curves of a fine-tuning as JSON lines: written one by one, gone on with after a kill, read back."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from shoal.errors import StoreError

NAME = "training.jsonl"


@dataclass
class Curves:
    """What a file of JSON lines tells.

    Attributes
    ----------
    about : dict
        What the fine-tuning said of itself when it began.
    steps, epochs : list of dict
        Rising by step and by epoch, each once. Steps: step, loss, lr, per_second, time; epochs: epoch, loss, valid and
        other figures, step (the last one before it, where one was told), time (seconds since 1970).
    """

    about: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)


class JsonLines:
    """Appends an object a line to a file: ``start`` first, then ``step`` and ``epoch``; each line is on disk at once.

    Parameters
    ----------
    path : path
        Gone on with where it was begun with the same mark, else begun anew. A last line that was cut by a kill goes.
    mark : str
        Says which fine-tuning this is.
    about : mapping, optional
        What is said of it in the first line; must be JSON.

    Raises
    ------
    StoreError
        The file cannot be written.
    """

    def __init__(self, path: str | Path, *, mark: str = "", about: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        told = _mended(self.path)
        begin = not told or told[0].get("kind") != "start" or told[0].get("mark") != mark
        self._last = {"step": -1.0, "epoch": -1.0}
        for row in [] if begin else told:
            if row["kind"] in self._last:
                self._last[row["kind"]] = max(self._last[row["kind"]], row[row["kind"]])
        self._file = self._open("w" if begin else "a")
        if begin:
            self._write({"kind": "start", "mark": mark, "about": dict(about or {}), "time": time.time()})

    def __call__(self, kind: str, values: dict[str, float]) -> None:
        """Append a line, unless its step or epoch was told before."""
        if self.knows(kind, values):
            return
        self._last[kind] = values[kind]
        extra = {"step": self._last["step"]} if kind == "epoch" and self._last["step"] >= 0 else {}
        self._write({"kind": kind, **extra, **values, "time": time.time()})

    @property
    def last_step(self) -> int:
        """The last step that was told; 0 where none was."""
        return max(0, int(self._last["step"]))

    def knows(self, kind: str, values: Mapping[str, float]) -> bool:
        """Whether this step or epoch was told before."""
        return values[kind] <= self._last[kind]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self, mode: str) -> IO[str]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self.path.open(mode, encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}. Give a folder that can be written."
            ) from error

    def _write(self, row: Mapping[str, Any]) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        self._file.write(json.dumps(finite, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()


def read_curves(path: str | Path) -> Curves:
    """Return the curves in a file of JSON lines; none where there is no file. Lines that are cut are left out.

    Raises
    ------
    StoreError
        The file is not one of ours.
    """
    found = Curves()
    for row in _rows(Path(path)):
        kind = row.get("kind")
        if kind == "start":
            found.about = row.get("about", {})
        elif kind in ("step", "epoch") and kind in row:
            kept = found.steps if kind == "step" else found.epochs
            if not kept or row[kind] > kept[-1][kind]:
                kept.append({k: math.nan if v is None else v for k, v in row.items() if k != "kind"})
        else:
            raise StoreError(f"{path} is no file of curves: it holds a line of kind {kind!r}. Give a {NAME}.")
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file; what stands after the last line end was cut by a kill."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict):
                    rows.append(row)
    return rows


def _mended(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file, and cut off a last one that is not whole, so that the next is a line of its own."""
    if path.exists():
        raw = path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(raw.rfind(b"\n") + 1)
    return _rows(path)
