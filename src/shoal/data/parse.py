"""Cells become ids, numbers, times and texts; what cannot is named with its reason.

Each function takes a column as it came from the file (strings, or the types of a Parquet file or a DataFrame) and
returns the values with the problems found: for each reason, which cells have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from polars.exceptions import PolarsError

from shoal.errors import ReadError
from shoal.tables import MOMENT

MISSING = ("", "NaN", "nan", "NULL", "null", "None", "\\N")
"""What stands for an empty cell."""

ISO = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
)
ISO_OFFSET = "%Y-%m-%d %H:%M:%S%.f%#z"
UNIX, ISO_NAME = "unix", "iso"
NO_TIME, OUTSIDE = "time is no time", "rating is outside the scale"
SECONDS, MILLISECONDS, MICROSECONDS, NANOSECONDS = 1e11, 1e14, 1e17, 1e20
"""Smaller numbers than these are of that unit: 1e11 seconds are the year 5138, 1e11 milliseconds are 1973."""


@dataclass(frozen=True)
class Parsed:
    """Values, null where there is none, and for each reason a mask of the cells that have it."""

    values: pl.Series
    problems: dict[str, pl.Series]


def identifiers(column: pl.Series) -> Parsed:
    """Return ids as strings: 12 and 12.0 of a float column are both "12"; blanks around an id are taken off."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.round(0)) & (column.abs() < 2**63)
        as_integer = column.set(~whole.fill_null(False), None).cast(pl.Int64).cast(pl.String)
        column = as_integer.zip_with(whole.fill_null(False), column.cast(pl.String))
    text = _stripped(column)
    empty = _is_missing(text)
    return Parsed(text.set(empty, None), {f"{column.name} is empty": empty})


def mend_ids(ids: pl.Series) -> pl.Series:
    """Turn "12.0" into "12" where all ids of a categorical column are whole numbers and some are written so.

    Other programs write integers as floats when a column has an empty cell.
    """
    known = ids.unique().drop_nulls().cast(pl.String)
    floats = known.str.ends_with(".0")
    if not floats.any() or not known.str.contains(r"^-?\d+(\.0)?$").all():
        return ids
    old = known.filter(floats)
    new = old.str.strip_suffix(".0").cast(pl.Categorical)
    return ids.replace(old.cast(pl.Categorical), new)


def numbers(column: pl.Series, scale: tuple[float, float] | None = None) -> Parsed:
    """Return a column as Float32, checked to be finite and, if given, within `scale` (both ends included)."""
    name = column.name
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        value, empty = column.cast(pl.Float64), column.is_null()
    else:
        text = _stripped(column)
        empty = _is_missing(text) & ~text.str.to_lowercase().eq("nan").fill_null(False)
        value = text.cast(pl.Float64, strict=False)
    finite = value.is_finite().fill_null(True)
    problems = {
        f"{name} is empty": empty,
        f"{name} is not a number": value.is_null() & ~empty,
        f"{name} is not finite": ~finite,
    }
    if scale is not None:
        problems[OUTSIDE] = ((value < scale[0]) | (value > scale[1])).fill_null(False) & finite
    return Parsed(value.cast(pl.Float32), problems)


def counts(column: pl.Series) -> Parsed:
    """Return a column of counts as Float32; a count is above 0."""
    parsed = numbers(column)
    small = (parsed.values <= 0).fill_null(False) & parsed.values.is_finite().fill_null(False)
    return Parsed(parsed.values, {**parsed.problems, f"{column.name} is not above 0": small})


def moments(column: pl.Series, formats: Sequence[str] | None = None) -> Parsed:
    """Return times in UTC without a zone, in microseconds; a blank cell is a null time and no problem.

    Parameters
    ----------
    column : polars.Series
        Strings, numbers since 1970 (the unit goes by the size of each), dates or datetimes.
    formats : sequence of str or None
        strptime formats, tried in order; ``"unix"`` and ``"iso"`` may stand among them. None tries these two.
    """
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        return Parsed(_naive(column), {})
    if column.dtype.is_numeric() and formats is None:
        number = column.cast(pl.Float64).fill_nan(None)
        value = _from_unix(number)
        return Parsed(value, {NO_TIME: value.is_null() & number.is_not_null()})
    text = _stripped(column)
    empty = _is_missing(text)
    value = pl.Series(column.name, [None], dtype=MOMENT).new_from_index(0, len(text))
    for form in formats or (UNIX, ISO_NAME):
        left = value.is_null() & ~empty
        if left.any():
            value = value.zip_with(~left, _parse(text.set(~left, None), form))
    return Parsed(value, {NO_TIME: value.is_null() & ~empty})


def texts(columns: Sequence[pl.Series]) -> pl.Series:
    """Join text columns into one, ". " between them unless a part ends a sentence itself; null where all are empty."""
    frame = pl.DataFrame([_stripped(c).alias(str(i)) for i, c in enumerate(columns)])
    parts = [_or_null(c) for c in frame.columns]
    joined = parts[0]
    for part in parts[1:]:
        mark = pl.when(joined.str.contains(r"[.!?。!?…]$")).then(pl.lit(" ")).otherwise(pl.lit(". "))
        joined = pl.coalesce(joined + mark + part, joined, part)
    return frame.select(joined.alias("text")).to_series()


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a time format that nothing can be read with.

    Raises
    ------
    ReadError
        Names the format.
    """
    for form in formats:
        if form not in (UNIX, ISO_NAME) and "%" not in form:
            raise ReadError(
                f"at_format {form!r} is no strptime format. Give one such as '%d/%m/%Y %H:%M' (--at-format)."
            )


def _parse(text: pl.Series, form: str) -> pl.Series:
    if form == UNIX:
        return _from_unix(text.cast(pl.Float64, strict=False))
    if form != ISO_NAME:
        return _naive(_strptime(text, form))
    plain = text.str.replace("T", " ", literal=True)
    value = pl.Series(text.name, [None], dtype=MOMENT).new_from_index(0, len(text))
    for one in (*ISO, ISO_OFFSET):
        left = value.is_null() & text.is_not_null()
        if left.any():
            value = value.zip_with(~left, _naive(_strptime(plain.set(~left, None), one)))
    return value


def _strptime(text: pl.Series, form: str) -> pl.Series:
    try:
        return text.str.to_datetime(form, strict=False, time_unit="us", ambiguous="earliest")
    except PolarsError as error:
        raise ReadError(f"at_format {form!r} cannot be used: {error}.") from None


def _from_unix(value: pl.Series) -> pl.Series:
    size = value.abs()
    micros = (
        pl.when(size < SECONDS)
        .then(pl.col("v") * 1e6)
        .when(size < MILLISECONDS)
        .then(pl.col("v") * 1e3)
        .when(size < MICROSECONDS)
        .then(pl.col("v"))
        .when(size < NANOSECONDS)
        .then(pl.col("v") / 1e3)
    )
    whole = pl.DataFrame({"v": value}).select(micros.round(0).cast(pl.Int64, strict=False)).to_series()
    return whole.cast(MOMENT).alias(value.name)


def _naive(moment: pl.Series) -> pl.Series:
    if isinstance(moment.dtype, pl.Datetime) and moment.dtype.time_zone is not None:
        moment = moment.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return moment.cast(MOMENT)


def _stripped(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise ReadError(f"The column for {column.name} holds {column.dtype}, not single values. Name another column.")
    return column.cast(pl.String).str.strip_chars().str.strip_chars("\ufeff")


def _is_missing(text: pl.Series) -> pl.Series:
    return text.is_null() | text.is_in(MISSING)


def _or_null(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != "").then(pl.col(column))
