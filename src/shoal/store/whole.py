"""One file, written whole or not at all: made beside its place under another name, then renamed."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl

from shoal.errors import ConfigError, StoreError

SUFFIXES = (".csv", ".parquet", ".jsonl")


def write_table(table: pl.DataFrame, to: Path) -> str:
    """Write a table as the name says, .csv, .parquet or .jsonl, and return the SHA-256 of the file.

    Raises
    ------
    ConfigError
        The name ends in something else.
    StoreError
        The file cannot be written; what was there is there still.
    """
    check_suffix(to)
    plain = table.with_columns(pl.col(pl.Categorical).cast(pl.String))
    makers: dict[str, Callable[[Path], object]] = {
        ".csv": plain.write_csv,
        ".parquet": plain.write_parquet,
        ".jsonl": plain.write_ndjson,
    }
    return write_whole(to, makers[to.suffix.lower()])


def check_suffix(to: Path) -> None:
    """Refuse a file name that says no format."""
    if to.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{to}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")


def write_whole(to: Path, make: Callable[[Path], object]) -> str:
    """Let `make` write a file under another name, bring it to the disk and rename it; return its SHA-256.

    Raises
    ------
    StoreError
        The file cannot be written; what was there is there still.
    """
    part = to.with_name(f".{to.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        make(part)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        part.replace(to)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StoreError(f"{to} cannot be written: {why}. Free some space or give another path.") from error
    finally:  # Ctrl-C included
        with suppress(OSError):
            part.unlink()
    return found
