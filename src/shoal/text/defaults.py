"""An item template made from the columns found: what a person would read out first stands first.

title, then categories, then other short texts, then long texts. A language model cuts what is too long at the end, so
a description must not push the categories out. Ids, links, numbers and vectors say nothing as words and are left out.
"""

from __future__ import annotations

import re

import polars as pl

from shoal.tables import ITEM
from shoal.text.render import Template, words

TITLES = ("title", "name", "headline", "label", "product_name", "product_title")
PLAIN = {*TITLES, "genre", "genres", "category", "categories", "text", "description", "summary", "overview", "plot"}
"""Columns whose words are understood without the column's name in front."""
ID_WORDS = {"id", "ids", "isbn", "asin", "sku", "url", "link", "links", "uri", "uuid", "hash", "code"}
SHORT = 60
"""Mean characters up to which a text is short."""
SAMPLE = 2_000
"""Rows looked at: enough to tell an id from a name."""


def default_item_template(items: pl.DataFrame) -> Template:
    """Make a template from the text and category columns of an Items table.

    Columns are told apart by name (``title``, ``name`` and their like come first) and by what they hold. A column with
    fewer than one row in twenty filled is left out, and so is one whose name holds braces, ``!`` or ``:``, which mean
    something else in a template. Where no column is left the template is empty, and so are the texts: items are then
    known by their ids alone.
    """
    found = [c for c in items.columns if c != ITEM and _speaks(items[c])]
    found.sort(key=lambda c: _place(items[c]))  # a stable sort: equals stay in the table's order
    return Template(". ".join(_field(c) for c in found))


def _place(column: pl.Series) -> tuple[int, int]:
    if column.name.lower() in TITLES:
        return 0, TITLES.index(column.name.lower())
    if isinstance(column.dtype, pl.List):
        return 1, 0
    mean = column.cast(pl.String).str.len_chars().mean()
    return (2 if float(mean or 0) <= SHORT else 3), 0  # type: ignore[arg-type]


def _field(column: str) -> str:
    braced = "{" + column + "}"
    return braced if column.lower() in PLAIN else f"{column.replace('_', ' ').lower()}: {braced}"


def _speaks(column: pl.Series) -> bool:
    """Whether a column holds words rather than ids, links, numbers, codes or nothing."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    named_badly = _named_like_an_id(column.name) or set(column.name) & set("{}!:")
    if inner not in (pl.String, pl.Categorical, pl.Enum) or named_badly:
        return False
    said = column.to_frame().select(words(pl.col(column.name), column.dtype)).to_series().drop_nulls()
    if len(said) < max(1, column.len() / 20):
        return False
    said = said.head(SAMPLE)
    links = said.str.contains(r"^(?i)(https?://|www\.)").mean()
    letters = said.str.contains(r"\p{L}{2}|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]").mean()
    return float(links) < 0.5 and float(letters) >= 0.5 and not _is_codes(said)  # type: ignore[arg-type]


def _named_like_an_id(name: str) -> bool:
    return name.endswith("Id") or re.split(r"[_\-\s]", name.lower())[-1] in ID_WORDS


def _is_codes(said: pl.Series) -> bool:
    """Whether nearly all are single words with a digit inside and nearly all differ: B00AX12, 7f3e9c."""
    codes = said.str.contains(r"^\S*\d\S*$").mean()
    return len(said) >= 5 and float(codes) > 0.9 and said.n_unique() > 0.9 * len(said)  # type: ignore[arg-type]
