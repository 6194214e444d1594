"""What an item is called: the catalogue's title or name of it, else its id."""

from __future__ import annotations

import polars as pl

from shoal.tables import ITEM

TITLES = ("title", "name", "original_title", "text")
"""Columns of the catalogue that may call an item by its name, first one found."""


def titles(items: pl.DataFrame) -> pl.DataFrame:
    """Return item_id (String) and title (String, never null) of each item."""
    column = next((c for c in TITLES if items.schema.get(c) == pl.String), ITEM)
    called, by_id = pl.col(column).cast(pl.String), pl.col(ITEM).cast(pl.String)
    blank = called.is_null() | (called.str.strip_chars() == "")
    return items.select(by_id, title=pl.when(blank).then(by_id).otherwise(called))
