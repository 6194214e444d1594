"""What items can be told by: category labels, decades, and the words and two-word phrases of their texts.

Each function returns a long table: item_id (as in `items`), kind (the column, or ``decade``), label.
"""

from __future__ import annotations

import polars as pl

from shoal.segment import chinese
from shoal.tables import ITEM

DECADE = "decade"

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be been before but by can could did do does for from had has have
    he her him his how i if in into is it its just me more most my no not of off on one only or other our out over own
    part she so some such than that the their them then there these they this those to two too under until up us very
    vol volume was we were what when where which who whom why will with without would you your de der die das el en et
    la le les los un une van von und y""".split()  # noqa: SIM905 -- one word a line would fill the page
)
"""Words that tell nothing by themselves. A phrase may not begin or end with one."""

TOKEN = r"(?:\p{L}\.){2,}|[\p{L}\p{N}][\p{L}\p{M}\p{N}]*(?:['’]\p{L}[\p{L}\p{M}]*)*|[^\s\p{L}\p{N}]"
"""Initials (j.k.), words, or one mark, which no phrase runs across. Many scripts write vowels as signs on letters."""
YEAR = r"\b(1[89]\d\d|20[0-4]\d)\b"
FEWEST_ITEMS = 2  # a word of one item alone is the item, no theme
SHORT = 120  # characters: a title with its subtitle, and no description
LONG_TEXT = 200  # words: one that so long a text says once is none of its themes
MOST_VALUES = 50  # a text column with so few distinct values is a category

LONG = {ITEM: pl.Categorical(), "kind": pl.String(), "label": pl.String()}


def categories(items: pl.DataFrame) -> pl.DataFrame:
    """Return the labels of lists of strings, of text columns with few distinct values, and decades.

    A decade comes from a whole-number column whose name holds ``year``, else from the last year that a short text, such
    as a title, names; a description may name any.
    Labels that stand in brackets, such as ``(no genres listed)``, say that there is none and are left out.
    """
    parts = [_lists(items, c) for c, dtype in items.schema.items() if dtype == pl.List(pl.String)]
    parts += [_labels(items, c) for c in _category_columns(items)]
    parts.append(decades(items))
    return pl.concat([p for p in parts if p.height] or [pl.DataFrame(schema=LONG)]).unique(maintain_order=True)


def decades(items: pl.DataFrame) -> pl.DataFrame:
    """Return the decade of each item whose year is known, such as ``1990s``."""
    numbers = [c for c, dtype in items.schema.items() if "year" in c.lower() and dtype.is_numeric()]
    if numbers:
        year = pl.col(numbers[0]).cast(pl.Float64).fill_nan(None)
    elif columns := [c for c in text_columns(items) if _is_short(items[c])]:
        year = pl.coalesce(pl.col(c).str.extract_all(YEAR).list.last().cast(pl.Int32) for c in columns)
    else:
        return pl.DataFrame(schema=LONG)
    known = items.select(ITEM, year=year).filter(pl.col("year").is_between(1000, 2049))
    label = (pl.col("year").cast(pl.Int32) // 10 * 10).cast(pl.String) + "s"
    return known.select(ITEM, kind=pl.lit(DECADE), label=label)


def words(items: pl.DataFrame) -> pl.DataFrame:
    """Return the words and two-word phrases of each item's texts, in small letters, once an item.

    Only those that at least two items share and, of a text of more than 200 words, those that it says twice. Stop words
    are English with the commonest articles of its neighbours, and Chinese. Chinese is cut into words, Japanese where
    its scripts meet; see `shoal.segment.chinese.spaced` for these and for scripts that stay unbroken.
    """
    parts = [_phrases(items, column) for column in text_columns(items)]
    found = pl.concat([p for p in parts if p.height] or [pl.DataFrame(schema=LONG)])
    found = found.unique([ITEM, "label"], maintain_order=True)
    return found.filter(pl.len().over("label") >= FEWEST_ITEMS)


def text_columns(items: pl.DataFrame) -> list[str]:
    """Return the columns that hold running text: strings that are no links, and no categories."""
    return [c for c in string_columns(items) if not _is_category(items[c])]


def _is_short(column: pl.Series) -> bool:
    return float(column.str.len_chars().median() or 0.0) <= SHORT  # type: ignore[arg-type]


def _category_columns(items: pl.DataFrame) -> list[str]:
    return [c for c in string_columns(items) if _is_category(items[c])]


def string_columns(items: pl.DataFrame) -> list[str]:
    """Return the columns of strings that are no links."""
    names = [c for c, dtype in items.schema.items() if dtype == pl.String and c != ITEM]
    return [c for c in names if (items[c].str.contains(r"^(https?:|www\.)").mean() or 0.0) < 0.5]  # type: ignore[operator]


def _is_category(column: pl.Series) -> bool:
    distinct = column.drop_nulls().n_unique()
    return distinct <= min(MOST_VALUES, column.len() // 10)


def _lists(items: pl.DataFrame, column: str) -> pl.DataFrame:
    long = items.select(ITEM, pl.col(column).alias("label")).explode("label", empty_as_null=False, keep_nulls=False)
    return _long(long, column)


def _labels(items: pl.DataFrame, column: str) -> pl.DataFrame:
    return _long(items.select(ITEM, pl.col(column).alias("label")), column)


def _long(table: pl.DataFrame, kind: str) -> pl.DataFrame:
    label = pl.col("label").str.strip_chars()
    table = table.select(ITEM, kind=pl.lit(kind), label=label)
    return table.filter(pl.col("label").str.contains(r"^[^(]"))


def _phrases(items: pl.DataFrame, column: str) -> pl.DataFrame:
    token = pl.col(column).str.to_lowercase().str.extract_all(TOKEN).alias("label")
    long = (
        items.select(ITEM, chinese.spaced(items[column]))
        .select(ITEM, token)
        .explode("label", empty_as_null=False, keep_nulls=False)
    )
    telling = pl.col("label").str.contains(r"^\p{L}.") & ~pl.col("label").is_in(list(STOP_WORDS | chinese.STOP_WORDS))
    long = long.with_columns(
        telling=telling,
        after=pl.col("label").shift(-1).over(ITEM),
        goes_on=telling.shift(-1, fill_value=False).over(ITEM),
    )
    lengthy = pl.len().over(ITEM) > LONG_TEXT
    long = long.with_columns(least=pl.when(lengthy).then(2).otherwise(1))
    pairs = long.filter("telling", "goes_on").select(ITEM, "least", label=pl.col("label") + " " + pl.col("after"))
    found = pl.concat([long.filter("telling").select(ITEM, "least", "label"), pairs])
    found = found.filter(pl.len().over(ITEM, "label") >= pl.col("least"))
    return found.select(ITEM, kind=pl.lit(column), label="label")
