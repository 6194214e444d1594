"""`read`: an interaction log and its catalogue, whatever their format, become a checked data set.

    file --batches--> cells parsed, each bad row with its reason --> rows kept + rows dropped by reason
         --> the last event of each pair --> Dataset with its account

Nothing is lost silently: rows in = rows kept + rows dropped, by reason, in `Dataset.report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from shoal.data import parse
from shoal.data.catalogue import read_side
from shoal.data.columns import WITHOUT, find
from shoal.data.dataset import EARLIER, Dataset, ReadReport, last_of_pairs, make
from shoal.data.files import Source
from shoal.data.recognise import Found, Table, open_with, recognise
from shoal.errors import NotEnoughDataError, ReadError
from shoal.tables import AT, ITEM, RATING, TEXT, USER, WEIGHT

OnBad = Literal["error", "drop"]


def read(
    ratings: Table,
    *,
    items: Table | None = None,
    users: Table | None = None,
    preset: str = "auto",
    user_id: str | None = None,
    item_id: str | None = None,
    rating: str | None = None,
    weight: str | None = None,
    at: str | None = None,
    text: str | Sequence[str] | None = None,
    at_format: str | Sequence[str] | None = None,
    scale: tuple[float, float] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    on_bad: OnBad = "error",
    name: str | None = None,
    least: int = 2,
) -> Dataset:
    """Read interactions, and items and users where they are given, into a Dataset.

    CSV, TSV, ``::``- and ``|``-separated files, JSON lines (all of these may be gzipped), Parquet files and polars
    DataFrames are read. Ids of any type become strings, without the ``.0`` that other programs add to integers.

    Parameters
    ----------
    ratings : path or polars.DataFrame
        The interactions, or a folder that holds a public data set whose files are known.
    items, users : path, polars.DataFrame or None
        What is known of items and users, one row each. In a known folder they are found.
    preset : str
        ``"auto"`` recognises a public data set by its files and columns (the report's notes say which), a name of
        `shoal.data.presets.PRESETS` insists on it, ``"none"`` does without.
    user_id, item_id, rating, weight, at, text : str or None
        The file's column for each; None looks for the usual names, ``""`` does without. Without rating and weight, an
        interaction is a bare event. Several text columns may be given; they are joined.
    at_format : str, sequence of str or None
        strptime formats of the times, tried in order. None takes numbers as unix times, in seconds, milliseconds,
        microseconds or nanoseconds by the size of each, and everything else as ISO 8601. Times are kept in UTC.
    scale : (float, float) or None
        Smallest and largest rating that can be given; a rating outside is bad. None takes the preset's, else the
        smallest and largest that occur.
    separator, encoding : str or None
        None finds out: the separator from the first line, the encoding among UTF-8, UTF-16 by its mark, and latin-1.
    on_bad : {"error", "drop"}
        What becomes of a row that cannot be read: an error for the first one, or left out and counted.
    name : str or None
        For titles; None takes the folder's or file's name.
    least : int
        Fewest users and items to take: two are needed to learn from; 1 also reads the past of one person alone, for
        ``run.recommend(history=data.interactions)``.

    Returns
    -------
    Dataset
        A blank time is kept as a null time, and noted. Of several events of one user and item the last one is kept,
        by time and then by place in the file, for ratings and for counts alike; the others are counted as dropped.

    Raises
    ------
    ReadError
        A file is missing, empty or damaged, a column is not found, or (unless dropped) a row is bad: the message
        names file, line, value and the way out.
    NotEnoughDataError
        Nothing is left, or one user or one item alone.
    """
    _check_options(on_bad, scale)
    found = recognise(ratings, items, users, preset)
    source = open_with(found.ratings, found.layout, what="ratings", separator=separator, encoding=encoding)
    given = {USER: user_id, ITEM: item_id, RATING: rating, WEIGHT: weight, AT: at, TEXT: _several(text)}
    columns = _columns(source, given, found)
    formats = _formats(at_format, found)
    scale = scale or (found.preset.scale if found.preset and RATING in columns else None)
    events = _read_events(source, columns, formats, scale, on_bad)
    kept, earlier = last_of_pairs(events.table)
    dropped = dict(events.dropped) | ({EARLIER: earlier} if earlier else {})
    if not kept.height:
        raise NotEnoughDataError(_nothing_left(source, events.rows, dropped))
    sides = [
        read_side(
            table, kind, found.preset, columns[key], kept[key], separator=separator, encoding=encoding, on_bad=on_bad
        )
        for table, kind, key in ((found.items, "items", ITEM), (found.users, "users", USER))
    ]
    notes = (*_preset_notes(found), *source.notes, *_event_notes(kept), *(n for side in sides for n in side.notes))
    files = (*_file_name(found.ratings), *(f for side in sides for f in side.files))
    report = ReadReport(events.rows, kept.height, dropped, notes, files)
    name = name or _data_name(ratings, found)
    return make(kept, sides[0].table, sides[1].table, scale=scale, report=report, name=name, least=least)


@dataclass
class _Events:
    """Rows kept so far, and the account of the others."""

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    parts: list[pl.DataFrame] = field(default_factory=list)
    first: tuple[int, str, str] | None = None
    """The first bad row: its index, its reason, its value."""

    @property
    def table(self) -> pl.DataFrame:
        return pl.concat(self.parts).with_columns(pl.col(USER, ITEM).map_batches(parse.mend_ids))


def _read_events(
    source: Source,
    columns: dict[str, tuple[str, ...]],
    formats: tuple[str, ...] | None,
    scale: tuple[float, float] | None,
    on_bad: OnBad,
) -> _Events:
    events = _Events()
    good = 0  # rows that had the right number of fields
    for batch in source.batches(dict.fromkeys(c for names in columns.values() for c in names)):
        table, reasons = _parse_batch(batch, columns, formats, scale)
        bad = reasons.is_not_null()
        if bad.any():
            events.dropped.update(dict(reasons.drop_nulls().value_counts().iter_rows()))
            if events.first is None:
                index = int(bad.arg_max() or 0)
                events.first = (good + index, str(reasons[index]), _cell(batch, index, str(reasons[index]), columns))
            table = table.filter(~bad)
        good += batch.height
        events.parts.append(table)
    events.dropped.update(source.malformed)
    events.rows = good + sum(source.malformed.values())
    if not events.rows:
        raise ReadError(f"{source.name} has a header and no rows. Check the path, or the export that made it.")
    if on_bad == "error" and events.dropped:
        raise ReadError(_complaint(source, events, formats, scale))
    return events


def _parse_batch(
    batch: pl.DataFrame,
    columns: dict[str, tuple[str, ...]],
    formats: tuple[str, ...] | None,
    scale: tuple[float, float] | None,
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the batch as Interactions columns, and for each row the reason why it is bad, or null."""
    values: dict[str, pl.Series] = {}
    reasons = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, batch.height)
    for meaning, names in columns.items():
        if meaning == TEXT:
            values[meaning] = parse.texts([batch[n] for n in names])
            continue
        parsed = _parse(meaning, batch[names[0]].alias(meaning), formats, scale)
        values[meaning] = parsed.values.cast(pl.Categorical) if meaning in (USER, ITEM) else parsed.values
        for reason, where in parsed.problems.items():
            if where.any():
                reasons = reasons.set(where & reasons.is_null(), reason)
    return pl.DataFrame(values), reasons


def _parse(
    meaning: str, column: pl.Series, formats: tuple[str, ...] | None, scale: tuple[float, float] | None
) -> parse.Parsed:
    if meaning in (USER, ITEM):
        return parse.identifiers(column)
    if meaning == AT:
        return parse.moments(column, formats)
    return parse.numbers(column, scale) if meaning == RATING else parse.counts(column)


def _cell(batch: pl.DataFrame, index: int, reason: str, columns: dict[str, tuple[str, ...]]) -> str:
    word = reason.split(" ", 1)[0]
    return str(batch[columns[AT if word == "time" else word][0]][index])


def _complaint(
    source: Source, events: _Events, formats: tuple[str, ...] | None, scale: tuple[float, float] | None
) -> str:
    """Say what the first bad row is, why, and the ways out."""
    total = sum(events.dropped.values())
    leave = f"on_bad='drop' (--on-bad drop) leaves such rows out ({total:,} of {events.rows:,})."
    if source.malformed:
        return f"{source.name}, {source.first_malformed()}. Mend the row; {leave}"
    assert events.first is not None
    index, reason, value = events.first
    where = f"{source.name}, {source.place(index)}"
    if reason.endswith("is empty"):
        return f"{where}: {reason}. Mend the row; {leave}"
    if reason == parse.NO_TIME:
        tried = "does not follow " + " or ".join(map(repr, formats)) if formats else "is no unix time and not ISO 8601"
        return (
            f"{where}: time {value!r} {tried}. Give at_format='...' (--at-format), such as "
            f"'%d/%m/%Y %H:%M'; several are tried in order. Or {leave}"
        )
    if reason == parse.OUTSIDE and scale is not None:
        return (
            f"{where}: rating {value} lies outside the scale {scale[0]:g} to {scale[1]:g}. Give scale=(low, high) "
            f"(--scale) if the file uses another one; {leave}"
        )
    thing, is_not = reason.split(" ", 1)
    return f"{where}: {thing} {value!r} {is_not}. Mend the row; {leave}"


def _columns(
    source: Source, given: dict[str, str | tuple[str, ...] | None], found: Found
) -> dict[str, tuple[str, ...]]:
    if found.layout is not None:
        known = {meaning: found.layout.columns.get(meaning, WITHOUT) for meaning in given}
        given = {meaning: known[meaning] if option is None else option for meaning, option in given.items()}
    elif source.columns[0] == "column 1" and given[USER] is None and len(source.columns) in (3, 4):
        source.notes.append(f"{source.name}: no header; columns taken as user, item, rating, time")
        usual = dict(zip((USER, ITEM, RATING, AT), source.columns, strict=False))
        given = {meaning: option if option is not None else usual.get(meaning) for meaning, option in given.items()}
    hint = " Texts without users are read with shoal.data.texts.read_texts."
    return find(source.columns, given, name=source.name, hint=hint)


def _formats(given: str | Sequence[str] | None, found: Found) -> tuple[str, ...] | None:
    formats = (given,) if isinstance(given, str) else tuple(given) if given is not None else None
    if formats is None:
        return found.preset.at_format if found.preset else None
    parse.check_formats(formats)
    return formats


def _several(text: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    return text if text is None or isinstance(text, str) else tuple(text)


def _check_options(on_bad: str, scale: tuple[float, float] | None) -> None:
    if on_bad not in ("error", "drop"):
        raise ReadError(f"on_bad {on_bad!r} is neither 'error' nor 'drop' (--on-bad).")
    if scale is not None and not (len(scale) == 2 and scale[0] < scale[1]):
        raise ReadError(f"scale {scale!r} does not rise. Give the smallest and the largest rating, such as (1, 5).")


def _preset_notes(found: Found) -> list[str]:
    if found.preset is None:
        return []
    return [f"preset {found.preset.name}" + (f": {found.preset.note}" if found.preset.note else "")]


def _event_notes(events: pl.DataFrame) -> list[str]:
    notes = []
    if AT in events.columns:
        blank = events[AT].null_count()
        if blank:
            notes.append(f"{blank:,} of {events.height:,} events have no time")
        last = events[AT].max()
        if isinstance(last, datetime) and last.year < 1990:
            notes.append(f"all times lie before 1990 (the last is {last}); give at_format= if they are no unix times")
    if RATING in events.columns and events[RATING].n_unique() == 1:
        notes.append(f"every rating is {events[RATING][0]:g}: there is nothing to learn from it")
    return notes


def _nothing_left(source: Source, rows: int, dropped: dict[str, int]) -> str:
    why = "; ".join(f"{n:,}: {reason}" for reason, n in dropped.items())
    return f"{source.name}: none of {rows:,} rows could be kept ({why}). Check the columns and the separator."


def _file_name(table: Table | None) -> list[str]:
    return [] if table is None or isinstance(table, pl.DataFrame) else [Path(table).name]


def _data_name(ratings: Table, found: Found) -> str:
    if isinstance(ratings, pl.DataFrame):
        return found.preset.name if found.preset else "data"
    path = Path(ratings).resolve()
    return path.name if path.is_dir() else path.name.removesuffix(".gz").rsplit(".", 1)[0]
