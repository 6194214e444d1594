"""The work folder of a fit: what was done so far, marked with what it was done for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import shoal
from shoal.config import Config
from shoal.data.dataset import Dataset
from shoal.errors import StoreError

NOTE = "work.json"
"""In a work folder: what it is the work on."""


def open_work(work: str | Path | None, data: Dataset, config: Config) -> Path | None:
    """Return the work folder, emptied if it was used for another fit.

    Raises
    ------
    StoreError
        The folder holds something that no fit put there: it is not ours to remove.
    """
    if work is None:
        return None
    folder = Path(work)
    note, half = folder / NOTE, folder / f"{NOTE}.half"
    if folder.exists() and not note.exists() and (folder.is_file() or any(f != half for f in folder.iterdir())):
        raise StoreError(f"{folder} is no work folder of a fit, and not empty. Give an empty one, or one to be made.")
    mark = {"data": data.fingerprint(), "config": config.model_dump(mode="json"), "shoal": shoal.__version__}
    if folder.exists() and _read(note) != mark:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    half.write_text(json.dumps(mark), encoding="utf-8")
    half.replace(note)
    return folder


def _read(note: Path) -> Any:
    """Return what a note says; None where there is none, or where it is damaged."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def clear(folder: Path | None, *, everything: bool) -> None:
    """Remove a work folder that nobody can go on from: the input has to change first, or it holds no work yet."""
    if folder is not None and (everything or [file.name for file in folder.iterdir()] == [NOTE]):
        shutil.rmtree(folder, ignore_errors=True)
