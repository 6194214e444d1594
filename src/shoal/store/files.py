"""The files of a run folder: parts written and read, held against their hashes, and brought to the disk itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoal.errors import StoreError

MANIFEST = "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def writers(
    tables: Mapping[str, pl.DataFrame],
    tensors: Mapping[str, Mapping[str, np.ndarray]],
    documents: Mapping[str, Any],
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield each file's name and what writes it."""
    for name, table in tables.items():
        yield file_name(name, ".parquet"), partial(write_table, table)
    for name, group in tensors.items():
        yield file_name(name, ".safetensors"), partial(write_tensors, name, group)
    for name, document in documents.items():
        yield file_name(name, ".json"), partial(write_json, document, f"document {name}")


def file_name(name: str, suffix: str) -> str:
    """Return the name of a part's file."""
    if not _NAME.fullmatch(name) or name + suffix == MANIFEST:
        raise StoreError(f"{name!r} cannot name a part of a run folder. Use letters, digits, '_', '-' and '.'.")
    return name + suffix


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet, categoricals as strings."""
    table.with_columns(pl.col(pl.Categorical).cast(pl.String)).write_parquet(path)


def write_tensors(name: str, group: Mapping[str, np.ndarray], path: Path) -> None:
    """Write named arrays as safetensors."""
    from safetensors.numpy import save as to_bytes

    arrays = {key: np.ascontiguousarray(array).reshape(np.shape(array)) for key, array in group.items()}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise StoreError(
                f"{name}.{key} holds {array.dtype}, which a run folder cannot keep. Turn it into bool, integers or "
                "floats of at most 64 bits."
            )
    # safetensors is little-endian; an array that is not would come back as other numbers
    path.write_bytes(to_bytes({k: a.astype(a.dtype.newbyteorder("<"), copy=False) for k, a in arrays.items()}))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays."""
    from safetensors.numpy import load_file

    arrays: dict[str, np.ndarray] = load_file(path)
    return arrays


def write_json(value: Any, what: str, path: Path) -> None:
    """Write a value as JSON; `what` it is stands in the message where it is none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    except (TypeError, ValueError) as error:
        raise StoreError(f"The {what} cannot be written as JSON: {error}.") from None
    path.write_text(text, encoding="utf-8")


def checked_file(folder: Path, name: str, expected: Any) -> Path:
    """Return the path of a file that is as its folder's manifest says."""
    path = folder / name
    if Path(name).name != name or path.suffix not in (".parquet", ".safetensors", ".json"):
        raise damaged(folder, MANIFEST, f"names a file that cannot be ours, {name!r}")
    if not path.is_file():
        raise damaged(folder, name, "is missing")
    if path.stat().st_size != expected["bytes"]:
        raise damaged(folder, name, f"has {path.stat().st_size:,} bytes instead of {expected['bytes']:,}")
    if _sha256(path) != expected["sha256"]:
        raise damaged(folder, name, "has been changed")
    return path


def damaged(folder: Path, name: str, what: str) -> StoreError:
    """Return the error that says what is wrong with a file."""
    return StoreError(f"The run folder {folder} is damaged: {name} {what}. Copy it again, or fit again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry_of(path: Path) -> dict[str, Any]:
    """Return what the manifest says of a file."""
    return {"sha256": _sha256(path), "bytes": path.stat().st_size}


def link(source: str, target: str) -> None:
    """Link a file; where the system cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def to_disk(path: Path) -> None:
    """Sync a file or folder; systems that cannot open a folder go without."""
    flags = os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR
    try:
        handle = os.open(path, flags)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def swap(part: Path, folder: Path) -> None:
    """Rename `part` to `folder`; what stands there steps aside first, and comes back if that fails."""
    aside = part.with_suffix(".old")
    try:
        if folder.exists():
            folder.rename(aside)
        part.rename(folder)
        to_disk(folder.parent)
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
