"""Ids cross the border once: outside the caller's ids, inside row numbers from 0."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl


class Ids:
    """Ids in a fixed order; an id's place is its row number.

    Parameters
    ----------
    ids : iterable of str, or polars.Series
        Distinct ids.
    """

    def __init__(self, ids: Iterable[str] | pl.Series) -> None:
        values = ids.cast(pl.String) if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)
        self.values = values.rename("id")
        self._rows = pl.DataFrame({"id": self.values, "row": np.arange(len(values), dtype=np.int64)})

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, one: str) -> bool:
        return bool(self.rows([one])[0] >= 0)

    def rows(self, ids: Iterable[str] | pl.Series) -> np.ndarray:
        """Return the row number of each id, -1 for an id that is not here. Shape (ids,), int64."""
        wanted = ids.cast(pl.String) if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)
        found = wanted.rename("id").to_frame().join(self._rows, on="id", how="left", maintain_order="left")
        return found["row"].fill_null(-1).to_numpy()

    def take(self, rows: np.ndarray) -> pl.Series:
        """Return the ids of row numbers, as strings."""
        return self.values.gather(rows)
