"""The work folder of a fit: what was done so far, marked with what it was done for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import shoal
from shoal.config import Config
from shoal.data.dataset import Dataset

NOTE = "work.json"
"""In a work folder: what it is the work on."""


def open_work(work: str | Path | None, data: Dataset, config: Config) -> Path | None:
    """Return the work folder, emptied if it was used for something else."""
    if work is None:
        return None
    folder = Path(work)
    mark = {"data": data.fingerprint(), "config": config.model_dump(mode="json"), "shoal": shoal.__version__}
    note = folder / NOTE
    if folder.exists() and (not note.exists() or json.loads(note.read_text() or "{}") != mark):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(mark))
    return folder


def clear(folder: Path | None, *, everything: bool) -> None:
    """Remove a work folder that nobody can go on from: the input has to change first, or it holds no work yet."""
    if folder is not None and (everything or [file.name for file in folder.iterdir()] == [NOTE]):
        shutil.rmtree(folder, ignore_errors=True)
