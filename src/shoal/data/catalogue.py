"""What is known of items and users: one row each, with texts, categories and numbers told apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shoal.data import parse
from shoal.data.columns import find, plain
from shoal.data.files import Source
from shoal.data.presets import Layout, Preset
from shoal.data.recognise import Table, open_with, side_layout
from shoal.errors import ReadError
from shoal.tables import ITEM, USER

LONGEST_CATEGORY = 40
"""Characters; what is longer between two | is a sentence, not a category."""


@dataclass(frozen=True)
class Side:
    """The items or the users as read; `table` is None where nothing was given."""

    table: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def read_side(
    table: Table | None,
    kind: str,
    preset: Preset | None,
    key_columns: tuple[str, ...],
    used: pl.Series,
    *,
    separator: str | None,
    encoding: str | None,
    on_bad: str,
) -> Side:
    """Read the items or the users.

    Parameters
    ----------
    table : path, polars.DataFrame or None
    kind : {"items", "users"}
    preset : Preset or None
        Says how the file is laid out, if it knows it.
    key_columns : tuple of str
        The id's column in the interactions: it is looked for here first.
    used : polars.Series
        The ids that occur in the interactions, for the note on how many have no row here.

    Raises
    ------
    ReadError
        The file cannot be read, has no id column, or (unless `on_bad` is "drop") a row is bad.
    """
    if table is None:
        return Side()
    layout = side_layout(table, preset, kind)
    source = open_with(table, layout, what=kind, separator=separator if layout is None else None, encoding=encoding)
    id_column = _id_column(source, layout, kind, key_columns)
    rows, notes = _load(source, id_column, kind, on_bad)
    key = ITEM if kind == "items" else USER
    ids, fields = parse.mend_ids(rows.ids), rows.fields
    fields = fields.select(layout.fields) if layout and _suits(layout, fields) else _infer(fields.drop(id_column))
    fields = fields.drop(key, strict=False).with_columns(ids.alias(key)).select(key, pl.exclude(key))
    once = fields.unique(key, keep="first", maintain_order=True)
    if once.height < fields.height:
        notes.append(f"{source.name}: {fields.height - once.height:,} rows repeat an id; the first of each was kept")
    distinct = used.unique()
    missing = len(distinct) - int(distinct.is_in(once[key].implode()).sum())
    if missing:
        notes.append(f"{missing:,} of {len(distinct):,} {kind} with interactions have no row in {source.name}")
    files = () if isinstance(table, pl.DataFrame) else (Path(table).name,)
    return Side(once, tuple(source.notes + notes), files)


@dataclass(frozen=True)
class _Rows:
    ids: pl.Series
    fields: pl.DataFrame


def _load(source: Source, id_column: str, kind: str, on_bad: str) -> tuple[_Rows, list[str]]:
    parts = list(source.batches(source.columns))
    if not parts:
        raise ReadError(f"{source.name} has a header and no rows. Leave {kind}= (--{kind}) out, or check the path.")
    fields = pl.concat(parts)
    parsed = parse.identifiers(fields[id_column])
    empty = parsed.values.is_null()
    notes = []
    bad = int(empty.sum()) + sum(source.malformed.values())
    if bad and on_bad == "error":
        what = source.first_malformed() if source.malformed else f"{source.place(int(empty.arg_max() or 0))}: no id"
        raise ReadError(
            f"{source.name}, {what}. Mend the row; on_bad='drop' (--on-bad drop) leaves such rows out "
            f"({bad:,} of {fields.height + sum(source.malformed.values()):,})."
        )
    if bad:
        notes.append(f"{source.name}: {bad:,} rows left out: too few or too many fields, or no id")
    fields = fields.with_columns(_blank_to_null(c) for c in fields.columns if fields.schema[c] == pl.String)
    return _Rows(parsed.values.filter(~empty).cast(pl.Categorical), fields.filter(~empty)), notes


def _id_column(source: Source, layout: Layout | None, kind: str, key_columns: tuple[str, ...]) -> str:
    key = ITEM if kind == "items" else USER
    if layout is not None:
        named = layout.columns[key]
        return named if isinstance(named, str) else named[0]
    for column in (key, *key_columns):
        if column in source.columns:
            return column
    same = [c for c in source.columns if plain(c) == "id"]
    if len(same) == 1:
        return same[0]
    return find(source.columns, {key: None}, name=source.name, needed=(key,))[key][0]


def _suits(layout: Layout, fields: pl.DataFrame) -> bool:
    """Whether the layout's fields can be made: a table in memory may hold other types than the file does."""
    needed = {column for field in layout.fields for column in field.meta.root_names()}
    return all(fields.schema.get(column) == pl.String for column in needed)


def _infer(fields: pl.DataFrame) -> pl.DataFrame:
    """Turn columns of strings into numbers or lists of categories where all their cells agree; the rest stays text."""
    return fields.select(_infer_column(fields[c]) for c in fields.columns)


def _infer_column(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Categorical:
        return column.cast(pl.String)
    if column.dtype != pl.String or column.null_count() == len(column):
        return column
    known = column.drop_nulls()
    if known.str.contains(r"^-?(0|[1-9]\d{0,17})$").all():  # a leading zero is a code, such as a postcode
        return column.cast(pl.Int64)
    if known.str.contains(r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$").all():
        return column.cast(pl.Float64)
    if known.str.starts_with("[").all() and known.str.ends_with("]").all():
        return _json_list(column)
    return _categories(column)


def _categories(column: pl.Series) -> pl.Series:
    """Split "Animation|Comedy" where the parts are short and come again."""
    parts = column.str.split("|").list.eval(pl.element().str.strip_chars())
    single = parts.explode().drop_nulls()
    if len(single) == len(column.drop_nulls()):
        return column
    longest = single.str.len_chars().max()
    assert isinstance(longest, int)
    return parts if longest <= LONGEST_CATEGORY and single.n_unique() <= max(len(single) / 2, 10) else column


def _json_list(column: pl.Series) -> pl.Series:
    try:
        return column.str.json_decode(pl.List(pl.String))
    except pl.exceptions.PolarsError:
        return column


def _blank_to_null(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars().str.strip_chars("\ufeff")
    return pl.when(text != "").then(text).alias(column)
