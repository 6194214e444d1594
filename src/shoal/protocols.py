"""What one may replace: six faces with one or two verbs each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import polars as pl

from shoal.data.histories import Histories


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def fingerprint(self) -> str:
        """A short string that changes whenever the vectors would."""
        ...

    @property
    def width(self) -> int:
        """The width of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return (texts, width) float32. An empty text gets a vector too: what the model makes of nothing."""
        ...


class Rater(Protocol):
    """Predicts ratings of pairs, on the data's own scale."""

    def rate(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Return user_id, item_id, rating, spread for each pair, in order; unseen ids get the prior and its spread."""
        ...


class Segmenter(Protocol):
    """Groups user vectors, and places new ones in the frozen space."""

    def fit(self, vectors: np.ndarray) -> Self:
        """Group (users, width)."""
        ...

    def assign(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the segment and the strength (0 to 1) of each vector."""
        ...


class Namer(Protocol):
    """Names segments, all siblings in one call."""

    def name(self, profiles: pl.DataFrame) -> list[str]:
        """Return one distinct name for each row of `profiles`."""
        ...


class Recommender(Protocol):
    """Scores the whole catalogue for a user's past, in row numbers.

    The past is handed in at both verbs, so that a user unseen in training is served like any other.
    """

    name: str

    def fit(self, histories: Histories) -> Self:
        """Learn from users' pasts."""
        ...

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items) float32; NaN where this model knows nothing of the item or of the user.

        Several threads may ask at once, about different users.
        """
        ...


class Mapper(Protocol):
    """Runs a function over parts, here or elsewhere, and returns the results in order."""

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
        """Return ``[function(part) for part in parts]``."""
        ...
