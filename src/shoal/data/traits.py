"""Traits: what is told of users besides what they did, as small whole numbers.

users table (user_id, gender, age, ...)   --Traits-->   codes (users, columns), -1 where nothing is told
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.data.ids import Ids
from shoal.tables import USER

MOST_VALUES = 50
"""A column of words with more values says too little about each, as a postal code does, and is left out."""
PARTS = 5
"""A column of numbers with more values is cut into so many parts of equal size."""


class Traits:
    """The columns of a users table that group users.

    Words, truth values and numbers of 2 to `MOST_VALUES` values are taken as they are; other numbers are cut at their
    quantiles; everything else (texts, lists, times, a value that all share) is left out.

    Parameters
    ----------
    users : polars.DataFrame
        user_id, and any columns.

    Attributes
    ----------
    names : list of str
        The columns taken, in the order of the alphabet.
    """

    def __init__(self, users: pl.DataFrame) -> None:
        self._ids = Ids(users[USER])
        found = {name: _codes(users[name]) for name in sorted(users.columns) if name != USER}
        self.names = [name for name, codes in found.items() if codes is not None]
        told = [codes for codes in found.values() if codes is not None]
        self._codes = np.stack(told, 1) if told else np.empty((len(users), 0), np.int32)

    def of(self, users: Ids) -> np.ndarray | None:
        """Return the codes of users (users, columns) int32, -1 for what is not known; None where no column is taken."""
        if not self.names:
            return None
        rows = self._ids.rows(users.values)
        return np.where(rows[:, None] >= 0, self._codes[rows], np.int32(-1))


def _codes(column: pl.Series) -> np.ndarray | None:
    column = column.fill_nan(None) if column.dtype.is_float() else column
    kind, values = column.dtype, column.drop_nulls().n_unique()
    if kind.is_numeric() and values > MOST_VALUES:
        cuts = np.unique(np.quantile(column.drop_nulls().to_numpy(), np.arange(1, PARTS) / PARTS))
        numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return np.where(np.isnan(numbers), -1, np.searchsorted(cuts, numbers)).astype(np.int32)
    groups = kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Categorical)
    if not groups or not 2 <= values <= MOST_VALUES:
        return None
    words = column.cast(pl.String)
    ordered = words.drop_nulls().unique().sort()
    return Ids(ordered).rows(words).astype(np.int32)
