"""Texts with a label and no user: for classifiers and checks of an encoder, not for recommending."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from shoal.data import parse
from shoal.data.columns import find
from shoal.data.files import open_source
from shoal.errors import ReadError
from shoal.tables import TEXT


def read_texts(
    table: str | Path | pl.DataFrame,
    *,
    text: str | tuple[str, ...] | None = None,
    label: str | None = "label",
    separator: str | None = None,
    encoding: str | None = None,
) -> pl.DataFrame:
    """Read texts and their labels, such as reviews marked 0 or 1.

    Parameters
    ----------
    table : path or polars.DataFrame
        In any format that `shoal.data.read.read` takes.
    text, label : str, tuple of str (text alone) or None
        The columns. `text` None looks for the usual names; several are joined. `label` None reads the texts alone, also
        from a file that has no other column.

    Returns
    -------
    polars.DataFrame
        text (String, null where the file has none) and label (String), one row for each row of the file.

    Raises
    ------
    ReadError
        The file cannot be read, a column is not found, or a row has too few or too many fields.
    """
    source = open_source(table, what="texts", separator=separator, encoding=encoding, alone=label is None)
    columns = find(source.columns, {TEXT: text}, name=source.name, needed=(TEXT,))[TEXT]
    if label is not None and label not in source.columns:
        raise ReadError(
            f"{source.name} has no column {label}; it has {', '.join(source.columns)}. Name the labels' column with "
            "label=..., or label=None for the texts alone."
        )
    wanted = [*columns, *([label] if label is not None else [])]
    parts = [_batch(batch, columns, label) for batch in source.batches(wanted)]
    if source.malformed:
        raise ReadError(f"{source.name}, {source.first_malformed()}. Mend the row.")
    if not parts:
        raise ReadError(f"{source.name} has a header and no rows.")
    return pl.concat(parts)


def _batch(batch: pl.DataFrame, columns: tuple[str, ...], label: str | None) -> pl.DataFrame:
    texts = parse.texts([batch[c] for c in columns]).alias(TEXT).to_frame().select(_cell(TEXT))
    return texts if label is None else texts.with_columns(batch.select(_cell(label).alias("label")))


def _cell(column: str) -> pl.Expr:
    text = pl.col(column).cast(pl.String).str.strip_chars().str.strip_chars("\ufeff")
    return pl.when(text != "").then(text)
