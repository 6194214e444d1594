"""Texts with a rating or a label: what a language model learns to tell from the text itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from shoal.data import parse
from shoal.data.columns import find
from shoal.data.files import Source, open_source
from shoal.errors import ConfigError, NotEnoughDataError, ReadError
from shoal.tables import RATING, TEXT

LABEL = "label"
EMPTY = "text is empty"
MOST_LEVELS = 20
"""Ratings with more distinct values than this are taken as continuous, and cut into CUT levels where need be."""
CUT = 11


@dataclass(frozen=True)
class Labelled:
    """Texts, and the class of each.

    Attributes
    ----------
    name : str
        Of the file.
    texts : list of str
    classes : (texts,) int64
        Place of each text's class in `names`; for continuous ratings, of the nearest level.
    values : (texts,) float32
        The rating itself; for labels the class as a number.
    levels : (classes,) float32
        The rating that each class stands for, rising; for labels 0, 1, 2...
    names : tuple of str
        Of the classes: ratings as they are written, or labels in alphabetical order.
    ordered : bool
        Whether the classes are ratings.
    rows : int
        Rows of the file.
    dropped : dict of str to int
        Rows left out, by reason.
    """

    name: str
    texts: list[str]
    classes: np.ndarray
    values: np.ndarray
    levels: np.ndarray
    names: tuple[str, ...]
    ordered: bool
    rows: int
    dropped: dict[str, int]

    def take(self, rows: np.ndarray) -> Labelled:
        """Return the texts in `rows`, with the same classes."""
        texts = [self.texts[row] for row in rows]
        return Labelled(
            self.name, texts, self.classes[rows], self.values[rows], self.levels, self.names, self.ordered,
            self.rows, self.dropped,
        )  # fmt: skip

    def lines(self) -> list[str]:
        """Say what was kept and left out, and the classes."""
        told = [f"read  {self.name}: {self.rows:,} rows, {len(self.texts):,} texts kept"]
        told += [f"read  {n:,} rows left out: {reason}" for reason, n in self.dropped.items()]
        counts = np.bincount(self.classes, minlength=len(self.names))
        shares = ", ".join(
            f"{name} {n / max(len(self.texts), 1):.0%}" for name, n in zip(self.names, counts, strict=True)
        )
        return [*told, f"read  {len(self.names)} {'ratings' if self.ordered else 'labels'}: {shares}"]


def read_labelled(
    table: str | Path | pl.DataFrame,
    *,
    text: str | Sequence[str] | None = None,
    rating: str | None = None,
    label: str | None = None,
    scale: tuple[float, float] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    on_bad: Literal["error", "drop"] = "error",
) -> Labelled:
    """Read texts with what is to be told from them.

    A row whose text is empty is left out and counted, as nothing can be told from it. A rating or label that is missing
    or wrong is an error, or with ``on_bad="drop"`` left out and counted.

    Parameters
    ----------
    table : path or polars.DataFrame
        In any format that `shoal.read` takes.
    text : str or sequence of str, optional
        The columns of the text, joined in this order; None looks for the usual names.
    rating, label : str, optional
        One of the two: a column of numbers, or of names. Neither given: the usual names of ratings, then ``label``.
    scale : (float, float), optional
        Ratings outside it are bad; None takes what occurs.

    Raises
    ------
    ReadError
        The file, a column or a row cannot be read; names file, line, value and the way out.
    NotEnoughDataError
        No text is left, or all are of one class.
    """
    if rating and label:
        raise ConfigError(f"rating = {rating!r} and label = {label!r} are both given. Give the one to be learnt.")
    source = open_source(table, what="texts", separator=separator, encoding=encoding)
    columns, ordered = _columns(source, text, rating, label)
    parts, dropped, rows = [], Counter[str](), 0
    for batch in source.batches([*columns[TEXT], columns["target"][0]]):
        values, reasons = _read(batch, columns, scale, ordered)
        if on_bad == "error":
            _refuse(source, batch, reasons, rows, columns, scale)
        dropped.update(reasons.drop_nulls().to_list())
        rows += batch.height
        parts.append(values.filter(reasons.is_null()))
    if source.malformed and on_bad == "error":
        raise ReadError(f"{source.name}, {source.first_malformed()}. Mend the row, or leave it out with on_bad='drop'.")
    dropped.update(source.malformed)
    rows += source.malformed.total()
    whole = pl.concat(parts) if parts else pl.DataFrame(schema={TEXT: pl.String, "target": pl.Float32})
    if not whole.height:
        why = f"; {dropped[EMPTY]:,} of {rows:,} texts are empty" if EMPTY in dropped else ""
        raise NotEnoughDataError(f"{source.name} has no row with a text and a {RATING if ordered else LABEL}{why}.")
    texts = whole[TEXT].to_list()
    return as_labelled(source.name, texts, whole["target"], ordered=ordered, rows=rows, dropped=dict(dropped))


def _columns(
    source: Source, text: str | Sequence[str] | None, rating: str | None, label: str | None
) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Return the columns of the text and of what is to be learnt, and whether the latter are ratings."""
    wanted = text if text is None or isinstance(text, str) else tuple(text)
    hint = " Or name the labels' column: label=... (--label ...)."
    if label is not None:
        found = find(source.columns, {TEXT: wanted}, name=source.name, needed=(TEXT,))
        if label not in source.columns:
            raise ReadError(
                f"{source.name} has no column {label} (given as label); it has {', '.join(source.columns)}."
            )
        return {TEXT: found[TEXT], "target": (label,)}, False
    if rating is None and LABEL in source.columns and "rating" not in source.columns:
        return _columns(source, text, None, LABEL)
    found = find(source.columns, {TEXT: wanted, RATING: rating}, name=source.name, needed=(TEXT, RATING), hint=hint)
    return {TEXT: found[TEXT], "target": found[RATING]}, True


def _read(
    batch: pl.DataFrame, columns: dict[str, tuple[str, ...]], scale: tuple[float, float] | None, ordered: bool
) -> tuple[pl.DataFrame, pl.Series]:
    """Return texts and targets, and for each row the reason why it is bad, or null."""
    texts = parse.texts([batch[c] for c in columns[TEXT]]).alias(TEXT)
    target = batch[columns["target"][0]].alias(RATING if ordered else LABEL)
    parsed = parse.numbers(target, scale) if ordered else parse.identifiers(target)
    reasons = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, batch.height)
    for reason, where in {EMPTY: texts.is_null(), **parsed.problems}.items():
        if where.any():
            reasons = reasons.set(where & reasons.is_null(), reason)
    return pl.DataFrame({TEXT: texts, "target": parsed.values}), reasons


def _refuse(
    source: Source,
    batch: pl.DataFrame,
    reasons: pl.Series,
    before: int,
    columns: dict[str, tuple[str, ...]],
    scale: tuple[float, float] | None,
) -> None:
    bad = (reasons.is_not_null() & (reasons != EMPTY)).arg_true()
    if not len(bad):
        return
    row, reason = int(bad[0]), str(reasons[int(bad[0])])
    value = batch[columns["target"][0]][row]
    where = f"{source.name}, {source.place(before + row)}"
    leave = f"on_bad='drop' (--on-bad drop) leaves such rows out ({len(bad):,} so far)."
    if reason == parse.OUTSIDE and scale is not None:
        raise ReadError(
            f"{where}: rating {value} lies outside the scale {scale[0]:g} to {scale[1]:g}. Give scale=(low, high) "
            f"(--scale) if the file uses another one; {leave}"
        )
    thing, is_not = reason.split(" ", 1)
    shown = "" if reason.endswith("is empty") else f" {value!r}"
    raise ReadError(f"{where}: {thing}{shown} {is_not}. Mend the row; {leave}")


def as_labelled(
    name: str,
    texts: list[str],
    target: pl.Series,
    *,
    ordered: bool = True,
    rows: int | None = None,
    dropped: dict[str, int] | None = None,
) -> Labelled:
    """Return texts with their ratings, or labels, as classes.

    Parameters
    ----------
    name : str
    texts : list of str
    target : polars.Series
        Ratings (numbers) where `ordered`, else labels (strings); one for each text, none missing.
    ordered : bool
    rows, dropped : optional
        What was read, for the account.

    Raises
    ------
    NotEnoughDataError
        All are of one class.
    """
    distinct = target.unique().sort()
    if len(distinct) < 2:
        raise NotEnoughDataError(
            f"All {len(texts):,} texts of {name} are of one class, {_name(distinct[0])}: there is nothing to tell "
            "apart. Give texts of two classes at least."
        )
    if ordered:
        values = target.cast(pl.Float32).to_numpy().astype(np.float32)
        levels = distinct.cast(pl.Float32).to_numpy().astype(np.float32)
        if len(levels) > MOST_LEVELS:
            levels = np.linspace(levels[0], levels[-1], CUT, dtype=np.float32)
        classes = np.searchsorted((levels[1:] + levels[:-1]) / 2, values).astype(np.int64)
    else:
        classes = target.rank("dense").cast(pl.Int64).to_numpy() - 1
        levels = np.arange(len(distinct), dtype=np.float32)
        values = classes.astype(np.float32)
    names = tuple(_name(v) for v in (levels if ordered else distinct))
    whole = len(texts) if rows is None else rows
    return Labelled(name, texts, classes, values, levels, names, ordered, whole, dropped or {})


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
