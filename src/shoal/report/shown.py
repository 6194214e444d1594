"""What a report shows: plain tables and sentences, from whatever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from shoal.errors import MismatchError, TableError, did_you_mean
from shoal.tables import SEGMENT, UNASSIGNED

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "map": ("user_id", "x", "y", "segment", "strength", "events"),
    "segments": (
        "segment", "size", "name", "sets_apart", "rating_gap", "events_per_user", "categories", "words", "exemplars",
    ),
    "recommended": ("segment", "rank", "item_id", "title", "score"),
    "metrics": ("model", "metric", "value", "low", "high", "note"),
    "choice": ("n", "stability", "separation", "smallest", "verdict"),
}  # fmt: skip
"""The columns that each table of `Contents` must have."""


@dataclass(frozen=True)
class Contents:
    """What a report shows: plain tables and sentences, from whatever made them.

    Tables may be empty, and their section then says that there is nothing. Times are shown as they are given.
    """

    title: str
    """What the data is, such as "MovieLens, latest small"."""
    when: datetime
    users: int
    items: int
    events: int
    map: pl.DataFrame
    """user_id, x, y, segment (-1 is unassigned), strength (0 to 1, may be missing), events. One row a user; these
    users, all or a sample, are the only ones whose ids are in the page."""
    segments: pl.DataFrame
    """segment, size, name, sets_apart (a sentence), rating_gap (own mean less everyone's, on the rating scale; may be
    missing), events_per_user; categories and words (List of Struct: label, share_in, share_out, contrast), the most
    over-used first; exemplars (List of Struct: item_id, title, contrast). One row a segment; -1 may have one too.
    Where there are columns verdict, stability, persistence, lift, lift_low, lift_high, blind_score, or those of
    `shoal.segment.readable.READABLE`, cards show them."""
    recommended: pl.DataFrame
    """segment, rank, item_id, title, score: what each segment is recommended."""
    metrics: pl.DataFrame
    """model, metric, value, low, high, note. `blend` is ours, all others are baselines or its parts."""
    choice: pl.DataFrame
    """n, stability, separation, smallest (a share of users, or a count if whole numbers), verdict."""
    reason: str
    """Why this number of segments, in one sentence."""
    verdicts: Sequence[str] = ()
    """Where segments help, tie or hurt, a sentence each."""
    read: Sequence[str] = ()
    """What was read, kept and dropped, a line each."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Each: user_id, segment (its name), recent (titles), recommended (each: title, score, reason)."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Versions, seed, times: what one needs to make the run again."""
    subsegments: pl.DataFrame | None = None
    """As `segments`, with parent; who is in which says a column subsegment of `map` (-1: in none)."""
    certificate: pl.DataFrame | None = None
    """level, segment, measure, against, value, low, high: see `shoal.certify.CERTIFICATE`."""
    differences: pl.DataFrame | None = None
    """What differs between segments, pair by pair: see `shoal.segment.compare.DIFFERENCES`."""
    paired: pl.DataFrame | None = None
    """model, metric, mean, low, high, verdict: the blend minus each other model, user by user."""
    migration: pl.DataFrame | None = None
    """from (null: new), to (null: gone), users: who moved since the run before."""
    history: pl.DataFrame | None = None
    """fitted, segment, name, size, share: of this run and those before."""
    drift: pl.DataFrame | None = None
    """segment, before, after, change, low, high, alarm: whose share changed by more than chance."""

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            table = getattr(self, name)
            for column in columns:
                if column not in table.columns:
                    raise TableError(
                        f"The report's table {name} has no column {column}; it has {', '.join(table.columns)}."
                        f"{did_you_mean(column, table.columns)}"
                    )
        strange = set(self.map[SEGMENT].unique()) - {*self.segments[SEGMENT], UNASSIGNED}
        if strange:
            raise MismatchError(
                f"The report's map shows users in segment {min(strange)}, which its table segments does not have. "
                "Make both from the same run."
            )
