"""Terms of items: which words and which labels two items share, the rare ones most.

    texts   --words and pairs of words, TF-IDF-->  (items, words)    unit length
    labels  --each name whole, IDF-->              (items, labels)   unit length
    both side by side                              (items, terms)    unit length, sparse

A language model blurs names: to it two novelists are much alike, and who wrote a book is the best clue to who reads it.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.preprocessing import normalize

from shoal.segment.chinese import HAN, spaced
from shoal.segment.words import categories, string_columns
from shoal.tables import ITEM

FEWEST_ITEMS = 2
"""A term of one item alone is left out: nobody shares it."""
MOST_CHARACTERS, FEWEST_CHARACTERS = 30_000_000, 100
"""Of all texts together, from their beginnings, since pairs of words fill memory. Where that leaves fewer than so many
for each, words are left out, and labels alone are read."""
TOKEN = rf"(?u)\b\w\w+\b|[{HAN}]"
"""Words of two letters or more, and of one Chinese sign."""


def terms_of(items: pl.DataFrame) -> sparse.csr_matrix:
    """Return what items share, as TF-IDF.

    Parameters
    ----------
    items : polars.DataFrame
        The catalogue. String columns that are no links, and lists of strings, are read; in Chinese and Japanese too.

    Returns
    -------
    (items, terms) float32
        Rows of length one, so that the product of two is their cosine; an item without a shared term has zeros. There
        may be no terms at all.
    """
    parts = [part for part in (_words(items), _labels(items)) if part is not None]
    if not parts:
        return sparse.csr_matrix((items.height, 0), dtype=np.float32)
    return normalize(sparse.hstack(parts, format="csr")).astype(np.float32)


def _words(items: pl.DataFrame) -> sparse.csr_matrix | None:
    texts = _texts(items)
    if texts is None:
        return None
    read = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), min_df=FEWEST_ITEMS, token_pattern=TOKEN, dtype=np.float32
    )
    try:
        return read.fit_transform(texts)
    except ValueError:  # no word of two items
        return None


def _texts(items: pl.DataFrame) -> list[str] | None:
    """Return the strings and lists of strings of each item as one text."""
    lists = [pl.col(c).list.join(", ", ignore_nulls=True) for c, t in items.schema.items() if t == pl.List(pl.String)]
    plain, each = [pl.col(c) for c in string_columns(items)], MOST_CHARACTERS // max(items.height, 1)
    if each < FEWEST_CHARACTERS or not (lists or plain):
        return None
    joined = items.select(pl.concat_str(*plain, *lists, separator=". ", ignore_nulls=True).alias("text"))["text"]
    return spaced(joined.fill_null("").str.slice(0, each)).to_list()


def _labels(items: pl.DataFrame) -> sparse.csr_matrix | None:
    told = categories(items).with_columns(pl.col(ITEM).cast(pl.String))
    told = told.filter(pl.len().over("kind", "label") >= FEWEST_ITEMS)
    if not told.height:
        return None
    places = items.select(pl.col(ITEM).cast(pl.String)).with_row_index("row")
    rows = told.select(ITEM).join(places, on=ITEM, how="left", maintain_order="left")
    terms = told.select(pl.struct("kind", "label").rank("dense") - 1).to_series()
    shape = (items.height, int(terms.max()) + 1)  # type: ignore[arg-type]
    uses = sparse.csr_matrix((np.ones(told.height, np.float32), (rows["row"], terms)), shape)
    return TfidfTransformer().fit_transform(uses)
