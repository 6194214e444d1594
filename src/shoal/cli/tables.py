"""What the command line prints to stdout: aligned text for people, JSON for programs."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    import polars as pl

GAP = "   "
SHORTEST = 12  # a column of words is never cut below this many cells


def out(text: str = "") -> None:
    """Print to stdout: data only. Talk goes to stderr."""
    print(text)


def talk(text: str = "") -> None:
    """Print to stderr, a line in one piece."""
    sys.stderr.write(f"{text}\n")


def out_json(value: Any) -> None:
    """Print a table or an object as JSON: UTF-8, null for what is missing or no number, a record a line."""
    if not isinstance(value, Mapping):
        records = [
            _dumps(plain(row)) for row in (value.iter_rows(named=True) if hasattr(value, "iter_rows") else value)
        ]
        out("[" + ",\n ".join(records) + "]")
    else:
        out(json.dumps(plain(value), ensure_ascii=False, indent=2, allow_nan=False, default=str))


def plain(value: Any) -> Any:
    """Return `value` made of what JSON knows: tables become lists of records, NaN and infinities None."""
    if hasattr(value, "iter_rows"):
        return [plain(row) for row in value.iter_rows(named=True)]
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if type(value).__module__ == "numpy" and not getattr(value, "shape", ()):
        value = value.item()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    return [plain(one) for one in value]


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)


def out_table(table: pl.DataFrame, headers: Mapping[str, str] | None = None, *, formats: Formats | None = None) -> None:
    """Print a table as aligned text; at a terminal, long words are cut so that a row stays on its line."""
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
    for line in lines(table, headers, formats=formats, width=width):
        out(line)


Formats = Mapping[str, str]
"""How the numbers of a column are written, such as ``{"score": ".2f"}``."""


def lines(
    table: pl.DataFrame,
    headers: Mapping[str, str] | None = None,
    *,
    formats: Formats | None = None,
    width: int | None = None,
) -> list[str]:
    """Lay a table out as lines: words to the left, numbers to the right, a header above.

    Parameters
    ----------
    table : polars.DataFrame
        Any table; lists of words are joined by commas.
    headers : mapping of str to str, optional
        Which columns, in which order, under which words; None shows all columns under their own names.
    formats : mapping of str to str, optional
        Format specifications by column; without one integers get thousands commas, fractions three decimals.
    width : int, optional
        Cells that a line may take; the widest columns of words are cut to fit. None cuts nothing.
    """
    headers = headers or {column: column for column in table.columns}
    numeric = {column: table.schema[column].is_numeric() for column in headers}
    columns = []
    for column, header in headers.items():
        spec = (formats or {}).get(column)
        columns.append([header, *(cell(value, spec) for value in table[column].to_list())])
    widths = _fit([max(map(cell_len, column)) for column in columns], list(numeric.values()), width)
    rows = zip(*columns, strict=True)
    return [("  " + _line(row, widths, list(numeric.values()))).rstrip() for row in rows]


def cell(value: Any, spec: str | None = None) -> str:
    """Write one value: ``-`` for what is missing, commas in thousands, lists joined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return str(value)
    if isinstance(value, list):
        return ", ".join(cell(one, spec) for one in value)
    return format(value, spec or ("," if isinstance(value, int) else ",.3f"))


def _fit(widths: list[int], numeric: Sequence[bool], width: int | None) -> list[int]:
    """Cut the widest column of words, cell by cell, until the line fits or all are as short as they may be."""
    widths = list(widths)
    while width is not None and 2 + sum(widths) + len(GAP) * (len(widths) - 1) > width:
        words = [i for i, is_number in enumerate(numeric) if not is_number and widths[i] > SHORTEST]
        if not words:
            break
        widths[max(words, key=lambda i: widths[i])] -= 1
    return widths


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = []
    for text, width, is_number in zip(row, widths, numeric, strict=True):
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1) + "…"
        padding = " " * (width - cell_len(text))
        cells.append(padding + text if is_number else text + padding)
    return GAP.join(cells)
