"""One file, whatever its format, as batches of a table; and back from a row to its line.

    path or DataFrame --open_source--> Source --batches(columns)--> DataFrames of about a million rows

Text formats arrive as strings ('' where a cell is empty), Parquet and DataFrames with the types they have. Rows whose
number of fields is wrong never reach a batch: they are counted in `Source.malformed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import polars as pl

from shoal.data.bytes import Encoding, detect_encoding, sample
from shoal.data.delimited import Delimited, JsonLines
from shoal.errors import ReadError


class Source(Protocol):
    """A table that can be read in batches."""

    name: str
    columns: tuple[str, ...]
    malformed: Counter[str]
    notes: list[str]

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows with these columns, in order; fills `malformed` on the way."""
        ...

    def place(self, index: int) -> str:
        """Return where the row number `index` (from 0, malformed rows not counted) stands: "line 7" or "row 5"."""
        ...

    def first_malformed(self) -> str:
        """Return what the first malformed row is, as "line 7 has 3 fields instead of 4"."""
        ...


def open_source(
    table: str | Path | pl.DataFrame,
    *,
    what: str = "ratings",
    separator: str | None = None,
    encoding: str | None = None,
    names: tuple[str, ...] = (),
    alone: bool = False,
) -> Source:
    """Open a CSV, TSV, ``::``- or ``|``-separated, JSON lines or Parquet file (text may be gzipped) or a DataFrame.

    Parameters
    ----------
    table : path or polars.DataFrame
    what : str
        What to call a DataFrame in messages.
    separator, encoding : str or None
        None finds out.
    names : tuple of str
        Column names of a file that has no header.
    alone : bool
        Whether a file of one column will do; else it is taken for one whose separator was not found.

    Raises
    ------
    ReadError
        The file is missing, empty, or in a format that is not known.
    """
    if isinstance(table, pl.DataFrame):
        return _Frame(table, what)
    path = Path(table)
    start = sample(path)
    if start.startswith(b"PAR1"):
        return _Parquet(path)
    found = detect_encoding(path, encoding)
    text = start.decode(found.name, errors="replace").lstrip("\ufeff")
    if not text.strip():
        raise ReadError(f"{path.name} holds blank lines only.")
    if text.lstrip().startswith("{"):
        return JsonLines(path, found)
    if text.lstrip().startswith("[") and path.name.removesuffix(".gz").endswith("json"):
        raise ReadError(f"{path.name} is one JSON array. Write one object a line (JSON lines) instead.")
    return Delimited(path, text, found, separator, names, alone)


def columns_of(table: str | Path | pl.DataFrame) -> tuple[str, ...]:
    """Return a table's columns from its first bytes alone; none where they cannot be read.

    Raises
    ------
    ReadError
        The file is missing or empty.
    """
    if isinstance(table, pl.DataFrame):
        return tuple(table.columns)
    path = Path(table)
    start = sample(path)
    if not start.strip():
        return ()
    try:
        if start.startswith(b"PAR1"):
            return _Parquet(path).columns
        text = start.decode("utf-8-sig", errors="replace")
        if text.lstrip().startswith("{"):
            return JsonLines(path, Encoding("utf-8-sig", False)).columns
        return Delimited(path, text, Encoding("utf-8-sig", False), None, ()).columns
    except ReadError:
        return ()  # whoever opens the file to read it says what is wrong


class _Frame:
    """A DataFrame in memory."""

    def __init__(self, table: pl.DataFrame, name: str) -> None:
        self.name, self._table = f"the {name} table", table
        self.columns = tuple(table.columns)
        self.malformed: Counter[str] = Counter()
        self.notes: list[str] = []

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        yield from self._table.select(list(columns)).iter_slices(1 << 20)

    def place(self, index: int) -> str:
        return f"row {index} (counted from 0)"

    def first_malformed(self) -> str:
        raise AssertionError("a DataFrame has no malformed rows")


class _Parquet:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ReadError(
                f"{path.name} begins like a Parquet file and cannot be read as one ({error}). Fetch it again."
            ) from None
        self.name = path.name
        self.columns = tuple(self._file.schema_arrow.names)
        self.malformed: Counter[str] = Counter()
        self.notes: list[str] = []

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        for batch in self._file.iter_batches(batch_size=1 << 20, columns=list(columns)):
            yield pl.DataFrame(pl.from_arrow(batch))

    def place(self, index: int) -> str:
        return f"row {index} (counted from 0)"

    def first_malformed(self) -> str:
        raise AssertionError("a Parquet file has no malformed rows")
