"""Text formats as batches of strings: CSV and its kin, and JSON lines; and back from a row to its line."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from shoal.data.bytes import Encoding, check_quotes, open_recoded, open_text, rows_with_lines
from shoal.errors import ReadError

BLOCK = 1 << 24  # bytes of text a batch; also the longest row that can be read
SAMPLE = 1000  # lines that are looked through for the keys of JSON objects
UNIT = "\x1f"  # stands in for a separator of several characters, which the parser cannot take
TOO_FEW, TOO_MANY, NO_JSON = "too few fields", "too many fields", "the line is no JSON object"


class Delimited:
    """CSV and its kin."""

    def __init__(
        self,
        path: Path,
        text: str,
        encoding: Encoding,
        separator: str | None,
        names: tuple[str, ...],
        alone: bool = False,
    ) -> None:
        self.name, self._path, self._encoding = path.name, path, encoding
        self.malformed: Counter[str] = Counter()
        self.notes = list(encoding.notes)
        self._separator = "\t" if separator == "\\t" else (separator or _guess_separator(path, text, alone))
        # Quotes count between commas and semicolons alone: between tabs and in .dat files a name may begin with one.
        self._quoted = self._separator in (",", ";")
        self._header_lines, first = self._first_row(text)
        if not names and _all_numbers(first):
            names = tuple(f"column {i}" for i in range(1, len(first) + 1))
        if names:
            self._header_lines = 0
        self.columns = names or _header(first, self.name)

    def _first_row(self, text: str) -> tuple[int, list[str]]:
        for line, row in rows_with_lines(_lines(text), self._separator, quoted=self._quoted):
            height = max(1, sum(cell.count("\n") for cell in row) + 1)
            return line + height - 1, row
        raise ReadError(f"{self.name} holds no row.")  # a sample of blank lines alone is refused before

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows with these columns, in order."""
        import pyarrow as pa

        self.malformed.clear()
        if self._quoted and self._encoding.quotes:
            check_quotes(self._path, self._encoding.name, self._separator)
        single = self._separator if len(self._separator) == 1 else UNIT
        try:
            with open_recoded(self._path, self._encoding.name, self._separator, single) as stream:
                yield from _parse(
                    stream, self.columns, columns, single, self._quoted, self._header_lines, self._on_width
                )
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise ReadError(f"{self.name} cannot be read ({error}). {_ADVICE}") from None

    def _on_width(self, row: Any) -> str:
        self.malformed[TOO_FEW if row.actual_columns < row.expected_columns else TOO_MANY] += 1
        return "skip"

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        with open_text(self._path, self._encoding.name) as lines:
            rows = rows_with_lines(lines, self._separator, quoted=self._quoted)
            yield from ((line, row) for line, row in rows if line > self._header_lines)

    def place(self, index: int) -> str:
        """Return where a row stands: line 7."""
        whole = (line for line, row in self._rows() if len(row) == len(self.columns))
        return _nth(whole, index)

    def first_malformed(self) -> str:
        """Return what the first malformed row is."""
        line, n = next((line, len(row)) for line, row in self._rows() if len(row) != len(self.columns))
        return f"line {line} has {n} fields instead of {len(self.columns)}"


class JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.name, self._path, self._encoding = path.name, path, encoding
        self.malformed: Counter[str] = Counter()
        self.notes = list(encoding.notes)
        keys: dict[str, None] = {}
        for _, line in islice(self._lines(), SAMPLE):
            keys.update(dict.fromkeys(_object(line) or ()))
        self.columns = tuple(key for key in keys if _path(key))
        if left := [key for key in keys if not _path(key)]:
            self.notes.append(f"{path.name}: left out, their names cannot be looked up: {', '.join(left)}")
        if not keys:
            raise ReadError(
                f"{path.name} begins with {{ and its first line is no JSON object. Write one object a line."
            )

    def batches(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows with these columns, in order."""
        self.malformed.clear()
        with open_recoded(self._path, self._encoding.name) as stream:
            for lines in _parse(stream, ("line",), ("line",), UNIT, False, 0, lambda row: "skip"):
                yield self._fields(lines, columns)

    def _fields(self, lines: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
        whole = lines.filter(_is_object(lines["line"]))
        if whole.height < lines.height:
            self.malformed[NO_JSON] += lines.height - whole.height
        return whole.select(pl.col("line").str.json_path_match(_path(c)).fill_null("").alias(c) for c in columns)

    def _lines(self) -> Iterator[tuple[int, str]]:
        with open_text(self._path, self._encoding.name) as lines:
            yield from ((i, line) for i, line in enumerate(lines, 1) if line.strip("\ufeff\r\n"))

    def _numbers(self, *, whole: bool) -> Iterator[int]:
        """Yield the numbers of the lines that are, or are not, JSON objects to the parser that read them."""
        lines = self._lines()
        while part := list(islice(lines, SAMPLE)):
            are = _is_object(pl.Series([line.strip("\ufeff\r\n") for _, line in part]))
            yield from (number for (number, _), is_whole in zip(part, are, strict=True) if is_whole == whole)

    def place(self, index: int) -> str:
        """Return where a row stands: line 7."""
        return _nth(self._numbers(whole=True), index)

    def first_malformed(self) -> str:
        """Return what the first malformed row is."""
        return f"{_nth(self._numbers(whole=False), 0)} is no JSON object"


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
        if "Empty CSV file" in str(error) or "file is too short" in str(error):  # a header and nothing below it
            return
        raise
    for batch in reader:
        yield pl.DataFrame(pl.from_arrow(batch))


def _guess_separator(path: Path, text: str, alone: bool) -> str:
    """Return the separator of the first line; a comma where there is none and a column `alone` will do."""
    first = next(line for line in _lines(text) if line.strip())
    if "::" in first:
        return "::"
    if "\t" in first:
        return "\t"
    counts = {mark: first.count(mark) for mark in (",", ";", "|")}
    best = max(counts, key=counts.__getitem__)
    if not counts[best] and not alone:
        raise ReadError(
            f"{path.name} has one column alone ({first.strip()[:60]!r}): no tab, comma, semicolon, | or :: in its "
            "first line. Give separator='...' (--separator) if it uses another one."
        )
    return best


def _lines(text: str) -> Iterator[str]:
    """Yield lines as a file does; str.splitlines would also cut at characters that may stand in a cell."""
    return io.StringIO(text, newline="")


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


def _is_object(lines: pl.Series) -> pl.Series:
    return lines.str.json_path_match("$").str.starts_with("{").fill_null(False)


def _path(key: str) -> str:
    """Return the JSON path of a key; empty where the path language cannot say it."""
    if "\\" in key or ("'" in key and '"' in key):
        return ""
    return f'$["{key}"]' if "'" in key else f"$['{key}']"


def _nth(lines: Iterator[int], index: int) -> str:
    """Return the line number that stands at `index`; the row's own number if this reader finds fewer rows."""
    line = next(islice(lines, index, None), None)
    return f"row {index + 1}" if line is None else f"line {line}"
