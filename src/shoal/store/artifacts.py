"""The run folder: tables, tensors, documents and a manifest, written whole or not at all, and checked when read.

    run/
      manifest.json         format, shoal's version, SHA-256 and bytes of each file, and what the run says of itself
      <table>.parquet       tables
      <group>.safetensors   arrays
      <document>.json       anything else that JSON can say

Nothing here can run code: no pickle is written or read. A folder is first made beside its place under another name and
then renamed; what stands in its place is replaced only if it is a run folder too.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoal.errors import StoreError
from shoal.store import files
from shoal.store.files import MANIFEST

FORMAT = 1
"""Goes up whenever an older shoal could not read the folder, or would read it wrongly."""
BESIDE = ("report.html", "training.jsonl")
"""Files that may be written into a run folder later, and go when the run is replaced."""


@dataclass(frozen=True)
class Kind:
    """What a folder is: its name in messages, and the command that makes one."""

    name: str
    made_by: str


RUN = Kind("run", "shoal fit")
MODEL = Kind("model", "shoal finetune")


@dataclass(frozen=True)
class Artifacts:
    """What a run folder holds.

    Attributes
    ----------
    tables : dict of str to polars.DataFrame
    tensors : dict of str to dict of str to numpy.ndarray
        Groups of named arrays: bool, integers and floats.
    documents : dict of str to object
        As JSON gives them back: tuples are lists, keys are strings.
    manifest : dict
        What the run says of itself, without the part that is the store's own.
    shoal_version : str
        Of the shoal that wrote the folder.
    """

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    tensors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    shoal_version: str = ""


def save(
    folder: str | Path,
    *,
    tables: Mapping[str, pl.DataFrame] | None = None,
    tensors: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    documents: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    kind: Kind = RUN,
) -> Path:
    """Write a run folder, whole or not at all, and return its path.

    Parameters
    ----------
    folder : str or Path
        A path where nothing stands, an empty folder, or a run folder, which is replaced.
    tables, tensors, documents : mapping, optional
        By name; a name becomes a file name. Categoricals are stored as strings.
    manifest : mapping, optional
        What the run says of itself: settings, data fingerprint, times. Must be JSON.
    kind : Kind
        A run, or a fine-tuned model, which is kept in the same way.

    Raises
    ------
    StoreError
        Something else stands at `folder`, it cannot be written (a full disk, say), or a part cannot be stored. Nothing
        is left behind, and what stood there stands there still.
    """
    folder = Path(folder).resolve()
    check_place(folder, kind)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.part")
    parents = [p for p in part.parents if not p.exists()]
    try:
        part.mkdir(parents=True)
        for name, write in files.writers(tables or {}, tensors or {}, documents or {}):
            write(part / name)
        _seal(part, dict(manifest or {}), kind)
        _put_in_place(part, folder, kind)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StoreError(f"{folder} cannot be written: {why}. Free some space or give another path.") from error
    finally:  # Ctrl-C included
        shutil.rmtree(part, ignore_errors=True)
        for parent in parents:
            with contextlib.suppress(OSError):  # it holds the run, if all went well
                parent.rmdir()
    return folder


def amend(
    folder: str | Path,
    *,
    tables: Mapping[str, pl.DataFrame] | None = None,
    tensors: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    documents: Mapping[str, Any] | None = None,
    kind: Kind = RUN,
) -> Path:
    """Add or replace parts of a folder that is kept already, all of them or none; what else stands in it stays.

    The new parts are written beside links to the old files, and the whole then takes the folder's place.

    Raises
    ------
    StoreError
        There is no such folder, it changed meanwhile, it cannot be written, or a part cannot be stored. What stood
        there stands there still.
    """
    folder = Path(folder).resolve()
    head, before = _manifest_of(folder, kind), (folder / MANIFEST).read_bytes()
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        shutil.copytree(folder, part, symlinks=True, copy_function=files.link)
        for name, write in files.writers(tables or {}, tensors or {}, documents or {}):
            (part / name).unlink(missing_ok=True)  # a link: writing into it would change the old file
            write(part / name)
            files.to_disk(part / name)
            head["files"][name] = files.entry_of(part / name)
        (part / MANIFEST).unlink()
        files.write_json(head | {"files": dict(sorted(head["files"].items()))}, "manifest", part / MANIFEST)
        files.to_disk(part / MANIFEST)
        files.to_disk(part)
        if (folder / MANIFEST).read_bytes() != before:
            raise StoreError(f"{folder} was changed by another program meanwhile. Do it again.")
        files.swap(part, folder)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StoreError(f"{folder} cannot be written: {why}. Free some space or give another path.") from error
    finally:  # Ctrl-C included
        shutil.rmtree(part, ignore_errors=True)
    return folder


def load(folder: str | Path, kind: Kind = RUN, *, only: Collection[str] | None = None) -> Artifacts:
    """Read a folder of this kind, or `only` the parts of these names; a file is checked against its hash first.

    Raises
    ------
    StoreError
        The folder is missing, is no run folder, lacks a file, holds a changed one, or was made by a newer shoal.
    """
    folder = Path(folder)
    head = _manifest_of(folder, kind)
    found = Artifacts(manifest=head["run"], shoal_version=str(head["shoal"]))
    for name, expected in head["files"].items():
        if only is not None and Path(name).stem not in only:
            continue
        path = files.checked_file(folder, name, expected)
        if path.suffix == ".parquet":
            found.tables[path.stem] = pl.read_parquet(path)
        elif path.suffix == ".safetensors":
            found.tensors[path.stem] = files.read_tensors(path)
        else:
            found.documents[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def load_document(folder: str | Path, name: str, kind: Kind = RUN) -> Any:
    """Return one document of a folder, checked against its hash; None where the folder has none of this name.

    Raises
    ------
    StoreError
        See `load`.
    """
    head = _manifest_of(Path(folder), kind)
    file = files.file_name(name, ".json")
    if file not in head["files"]:
        return None
    return json.loads(files.checked_file(Path(folder), file, head["files"][file]).read_text(encoding="utf-8"))


def is_run_folder(folder: str | Path, kind: Kind = RUN) -> bool:
    """Whether a manifest of this kind stands in `folder`, whole or of a newer format; nothing else is looked at."""
    try:
        head = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(head, dict) and head.get("kind") == f"shoal {kind.name}"


def check_place(folder: str | Path, kind: Kind = RUN) -> None:
    """Refuse a path at which `save` would refuse to write; ask before long work.

    Raises
    ------
    StoreError
        What stands there is no run folder, or a run folder with files of somebody else's in it.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_run_folder(folder, kind):
        raise StoreError(f"{folder} exists and is not a {kind.name} folder. Give another path.")
    theirs = sorted({p.name for p in folder.iterdir()} - _own_files(folder))
    if theirs:
        raise StoreError(
            f"{folder} is a {kind.name} folder, and {theirs[0]} in it is not the {kind.name}'s; saving would delete "
            "it. Move it away or give another path."
        )


def _own_files(folder: Path) -> set[str]:
    listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("files")
    return {MANIFEST, *BESIDE, *(listed if isinstance(listed, dict) else ())}


def _seal(part: Path, manifest: dict[str, Any], kind: Kind) -> None:
    """Write the manifest, last of all, and bring every file to the disk itself."""
    listed = {path.name: files.entry_of(path) for path in sorted(part.iterdir())}
    head = {"kind": f"shoal {kind.name}", "format": FORMAT, "shoal": version("shoal"), "files": listed, "run": manifest}
    files.write_json(head, "manifest", part / MANIFEST)
    for path in part.iterdir():
        files.to_disk(path)
    files.to_disk(part)


def _put_in_place(part: Path, folder: Path, kind: Kind) -> None:
    """Rename `part` to `folder`, if nothing of somebody else's stands there."""
    check_place(folder, kind)  # something may have come while we wrote
    files.swap(part, folder)


def _manifest_of(folder: Path, kind: Kind) -> dict[str, Any]:
    what, wrote = f"{kind.name} folder", f"Give the folder that {kind.made_by} wrote."
    if not folder.is_dir():
        raise StoreError(f"There is no {what} {folder}. Make one with {kind.made_by}, or give another path.")
    if not (folder / MANIFEST).is_file():
        raise StoreError(f"{folder} is not a {what}: it has no {MANIFEST}. {wrote}")
    try:
        head = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise files.damaged(folder, MANIFEST, f"cannot be read ({error})") from None
    if not isinstance(head, dict) or head.get("kind") != f"shoal {kind.name}":
        raise StoreError(f"{folder} is not a {what}: its {MANIFEST} is another program's. {wrote}")
    if not isinstance(head.get("format"), int) or head["format"] > FORMAT:
        raise StoreError(
            f"{folder} was written by shoal {head.get('shoal')} in format {head.get('format')}; this shoal reads up to "
            f"{FORMAT}. Install a newer shoal, or fit again."
        )
    if not isinstance(head.get("files"), dict) or not isinstance(head.get("run"), dict) or "shoal" not in head:
        raise files.damaged(folder, MANIFEST, "lacks a part")
    return head
