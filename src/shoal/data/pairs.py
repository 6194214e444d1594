"""Pairs of a user and an item, to be rated: a file of two columns, every row kept in its place."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from shoal.data import parse
from shoal.data.columns import find
from shoal.data.files import open_source
from shoal.errors import ReadError
from shoal.tables import ITEM, PAIRS, USER


def read_pairs(
    table: str | Path | pl.DataFrame,
    *,
    user_id: str | None = None,
    item_id: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> pl.DataFrame:
    """Read pairs, in the order of the file, repeated ones included; other columns are left aside.

    Parameters
    ----------
    table : path or polars.DataFrame
        In any format that `shoal.data.read.read` takes.
    user_id, item_id : str or None
        The columns; None looks for the usual names.

    Returns
    -------
    polars.DataFrame
        user_id and item_id (String).

    Raises
    ------
    ReadError
        The file cannot be read, a column is not found, an id is empty, or a row has too few or too many fields.
    """
    source = open_source(table, what="pairs", separator=separator, encoding=encoding)
    columns = find(source.columns, {USER: user_id, ITEM: item_id}, name=source.name)
    wanted = {meaning: names[0] for meaning, names in columns.items()}
    parts, rows = [], 0
    for batch in source.batches(wanted.values()):
        parsed = {meaning: parse.identifiers(batch[name].alias(meaning)) for meaning, name in wanted.items()}
        for meaning, ids in parsed.items():
            if (empty := ids.values.is_null()).any():
                place = source.place(rows + int(empty.arg_max() or 0))
                raise ReadError(f"{source.name}, {place}: {meaning} is empty. Mend the row.")
        parts.append(pl.DataFrame({meaning: ids.values for meaning, ids in parsed.items()}, schema=PAIRS))
        rows += batch.height
    if source.malformed:
        raise ReadError(f"{source.name}, {source.first_malformed()}. Mend the row.")
    if not rows:
        raise ReadError(f"{source.name} has a header and no rows.")
    return pl.concat(parts)
