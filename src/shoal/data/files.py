"""One file, whatever its format, as batches of a table; and back from a row to its line.

    path or DataFrame --open_source--> Source --batches(columns)--> DataFrames of about a million rows

Text formats arrive as strings ('' where a cell is empty), Parquet and DataFrames with the types they have. Rows whose
number of fields is wrong never reach a batch: they are counted in `Source.malformed`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from shoal.data.bytes import (
    Encoding,
    check_quotes,
    detect_encoding,
    open_recoded,
    open_text,
    rows_with_lines,
    sample,
)
from shoal.errors import ReadError

BLOCK = 1 << 24  # bytes of text a batch; also the longest row that can be read
UNIT = "\x1f"  # stands in for a separator of several characters, which the parser cannot take
TOO_FEW, TOO_MANY, NO_JSON = "too few fields", "too many fields", "the line is no JSON object"


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

    Raises
    ------
    ReadError
        The file is missing, empty, or in a format that is not known.
    """
    if isinstance(table, pl.DataFrame):
        return _Frame(table, what)
    if not isinstance(table, str | Path):
        raise ReadError(
            f"The {what} are a {type(table).__module__}.{type(table).__name__}; give a path or a polars DataFrame "
            "(polars.from_pandas(df) makes one)."
        )
    path = Path(table)
    start = sample(path)
    if start.startswith(b"PAR1"):
        return _Parquet(path)
    found = detect_encoding(path, encoding)
    text = start.decode(found.name, errors="replace").lstrip("\ufeff")
    if not text.strip():
        raise ReadError(f"{path.name} holds blank lines only.")
    if text.lstrip().startswith("{"):
        return _JsonLines(path, text, found)
    if text.lstrip().startswith("[") and path.name.removesuffix(".gz").endswith("json"):
        raise ReadError(f"{path.name} is one JSON array. Write one object a line (JSON lines) instead.")
    return _Delimited(path, text, found, separator, names)


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
    try:
        if start.startswith(b"PAR1"):
            return _Parquet(path).columns
        text = start.decode("utf-8-sig", errors="replace")
        if text.lstrip().startswith("{"):
            return _JsonLines(path, text, Encoding("utf-8-sig", False)).columns
        return _Delimited(path, text, Encoding("utf-8-sig", False), None, ()).columns
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
            raise ReadError(f"{path.name} begins like a Parquet file and cannot be read as one: {error}.") from None
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


class _Delimited:
    """CSV and its kin."""

    def __init__(
        self, path: Path, text: str, encoding: Encoding, separator: str | None, names: tuple[str, ...]
    ) -> None:
        self.name, self._path, self._encoding = path.name, path, encoding
        self.malformed: Counter[str] = Counter()
        self.notes = list(encoding.notes)
        self._separator = "\t" if separator == "\\t" else (separator or _guess_separator(path, text))
        # Quotes count between commas and semicolons alone: between tabs and in .dat files a name may begin with one.
        self._quoted = self._separator in (",", ";")
        self._header_lines, first = self._first_row(text)
        if not names and _all_numbers(first):
            names = tuple(f"column {i}" for i in range(1, len(first) + 1))
        if names:
            self._header_lines = 0
        self.columns = names or _header(first, self.name)

    def _first_row(self, text: str) -> tuple[int, list[str]]:
        lines = iter(text.splitlines(keepends=True))
        for line, row in rows_with_lines(lines, self._separator, quoted=self._quoted):
            height = max(1, sum(cell.count("\n") for cell in row) + 1)
            return line + height - 1, row
        raise ReadError(f"{self.name} holds no row.")

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        import pyarrow as pa

        self.malformed.clear()
        if self._quoted and self._encoding.quotes:
            check_quotes(self._path, self._encoding.name, self._separator)
        single = self._separator if len(self._separator) == 1 else UNIT
        try:
            with open_recoded(self._path, self._encoding.name, self._separator, single) as stream:
                yield from _parse(stream, self.columns, columns, single, self._quoted, self._header_lines, self._width)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise ReadError(f"{self.name} cannot be read ({error}). {_ADVICE}") from None

    def _width(self, row: Any) -> str:
        self.malformed[TOO_FEW if row.actual_columns < row.expected_columns else TOO_MANY] += 1
        return "skip"

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        with open_text(self._path, self._encoding.name) as lines:
            rows = rows_with_lines(lines, self._separator, quoted=self._quoted)
            yield from ((line, row) for line, row in rows if line > self._header_lines)

    def place(self, index: int) -> str:
        whole = (line for line, row in self._rows() if len(row) == len(self.columns))
        return f"line {_nth(whole, index)}"

    def first_malformed(self) -> str:
        line, n = next((line, len(row)) for line, row in self._rows() if len(row) != len(self.columns))
        return f"line {line} has {n} fields instead of {len(self.columns)}"


class _JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path, text: str, encoding: Encoding) -> None:
        self.name, self._path, self._encoding = path.name, path, encoding
        self.malformed: Counter[str] = Counter()
        self.notes = list(encoding.notes)
        keys: dict[str, None] = {}
        for line in text.splitlines()[:1000]:
            keys.update(dict.fromkeys(_object(line) or ()))
        self.columns = tuple(keys)
        if not keys:
            raise ReadError(
                f"{path.name} begins with {{ and its first line is no JSON object. Write one object a line."
            )

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        self.malformed.clear()
        with open_recoded(self._path, self._encoding.name) as stream:
            for lines in _parse(stream, ("line",), ("line",), UNIT, False, 0, lambda row: "skip"):
                yield self._fields(lines, columns)

    def _fields(self, lines: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
        line = pl.col("line")
        whole = lines.filter(line.str.json_path_match("$").str.starts_with("{").fill_null(False))
        if whole.height < lines.height:
            self.malformed[NO_JSON] += lines.height - whole.height
        return whole.select(line.str.json_path_match(f"$['{c}']").fill_null("").alias(c) for c in columns)

    def _lines(self) -> Iterator[tuple[int, str]]:
        with open_text(self._path, self._encoding.name) as lines:
            yield from ((i, line) for i, line in enumerate(lines, 1) if line.strip())

    def place(self, index: int) -> str:
        return f"line {_nth((i for i, line in self._lines() if _object(line) is not None), index)}"

    def first_malformed(self) -> str:
        return f"line {next(i for i, line in self._lines() if _object(line) is None)} is no JSON object"


_ADVICE = f"A row may be at most {BLOCK >> 20} MB long; a longer one is often a quote that is never closed."


def _parse(
    stream: Any,
    names: tuple[str, ...],
    wanted: Iterable[str],
    separator: str,
    quoted: bool,
    skip: int,
    on_width: Any,
) -> Iterator[pl.DataFrame]:
    """Yield batches of strings from UTF-8 bytes; a row of another width goes to `on_width`."""
    import pyarrow as pa
    import pyarrow.csv as csv

    try:
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(column_names=list(names), skip_rows=skip, block_size=BLOCK),
            parse_options=csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                invalid_row_handler=on_width,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                include_columns=list(wanted),
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # a header and nothing below it
            return
        raise
    for batch in reader:
        yield pl.DataFrame(pl.from_arrow(batch))


def _guess_separator(path: Path, text: str) -> str:
    """Return the separator of the first line."""
    first = next(line for line in text.splitlines() if line.strip())
    if "::" in first:
        return "::"
    if "\t" in first:
        return "\t"
    counts = {mark: first.count(mark) for mark in (",", ";", "|")}
    best = max(counts, key=counts.__getitem__)
    if not counts[best]:
        raise ReadError(
            f"{path.name} has one column alone ({first.strip()[:60]!r}): no tab, comma, semicolon, | or :: in its "
            "first line. Give separator='...' (--separator) if it uses another one."
        )
    return best


def _header(cells: list[str], name: str) -> tuple[str, ...]:
    names = tuple(c.strip().strip("\ufeff").strip('"').strip() or f"column {i}" for i, c in enumerate(cells, 1))
    twice = [n for n, times in Counter(names).items() if times > 1]
    if twice:
        raise ReadError(f"{name}, line 1: the column {twice[0]} stands there twice. Rename one of the two.")
    return names


def _all_numbers(cells: list[str]) -> bool:
    try:
        return len([float(c) for c in cells]) > 1
    except ValueError:
        return False


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _nth(values: Iterator[int], index: int) -> int:
    for i, value in enumerate(values):
        if i == index:
            return value
    raise AssertionError("the row was read a moment ago")
