"""What a fit made: tables, models, and lookups of users and items. Its verbs are in `shoal.acts` and `shoal.run`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from shoal import by_hand, keep
from shoal.certify import CERTIFICATE
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.errors import TableError, UnknownIdError
from shoal.judgement import Judgement
from shoal.learnt import Learnt, sorted_ids
from shoal.segment.identity import history
from shoal.tables import ITEM, PARENT, SEGMENT, USER

RESHAPING = ("merge", "split")
"""Edits after which what was certified of a segment no longer counts."""


@dataclass
class Fitted:
    """What a fit made.

    Attributes
    ----------
    learnt : Learnt
    segments : polars.DataFrame
        A row a segment: segment, size, share, name, sets_apart, habits, categories, words, exemplars, and how its own
        models did on held-out events: gain (words), lift, lift_low, lift_high (popularity in the segment against
        everyone's, relative), verdict; and a readable rule, see `shoal.segment.readable.READABLE`. The unassigned, if
        any, are segment -1.
    members : polars.DataFrame
        user_id, segment, strength, for every user of the data.
    judgement : Judgement
        How good it was on events that were held out before anything was learnt.
    manifest : dict
        Versions, data fingerprint, rows kept and dropped, seed, settings, times.
    extra : dict
        Documents beside: rules and edits, which were added by hand (`shoal.by_hand`), and how the names came about.
    more : dict of str to polars.DataFrame
        What a run fitted after another has beside: see `history`, `migration`, `drift`.
    """

    learnt: Learnt
    segments: pl.DataFrame
    members: pl.DataFrame
    judgement: Judgement
    manifest: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    more: dict[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def naming(self) -> dict[str, Any] | None:
        """How the names came about: each segment's source, and each prompt and reply of a language model.

        None in a run of before.
        """
        return self.extra.get(keep.NAMING)

    @property
    def history(self) -> pl.DataFrame:
        """Sizes over time, of this run and those that it was fitted after: fitted, segment, name, size, share."""
        made = datetime.fromisoformat(self.manifest["made"])
        return self.more["history"] if "history" in self.more else history(self.segments, made)

    @property
    def migration(self) -> pl.DataFrame | None:
        """Who moved since the last run: from (null: new), to (null: gone), users, share; None for a first run."""
        return self.more.get("migration")

    @property
    def subsegments(self) -> pl.DataFrame:
        """What segments are made of, a row a subsegment, as `segments`, with parent; what sets it apart is told
        against the rest of its segment. Empty in a run of before.
        """
        found = self.more.get("subsegments", pl.DataFrame(schema={PARENT: pl.Int32(), **self.segments.schema}))
        return found.filter(pl.col(PARENT).is_in(list(self.learnt.inside)))

    @property
    def certificate(self) -> pl.DataFrame:
        """How the figures beside segments came about, and more of them; see `shoal.certify.CERTIFICATE`."""
        found = self.more.get("certificate", pl.DataFrame(schema=CERTIFICATE))
        edits = by_hand.edits_of(self.extra)
        changed = {one for edit in edits if edit.kind in RESHAPING for one in edit.segments}
        living = {*self.segments[SEGMENT], *self.subsegments[SEGMENT]} - changed
        return found.filter(pl.col(SEGMENT).is_null() | pl.col(SEGMENT).is_in(sorted(living)))

    @property
    def drift(self) -> pl.DataFrame | None:
        """Which segments' sizes changed by more than chance since the last run; see `shoal.segment.drift.sizes`."""
        return self.more.get("drift")

    @property
    def data(self) -> Dataset:
        """The data set that the run was fitted on."""
        return self.learnt.data

    def _known(self, users: list[str] | None) -> Ids:
        everyone = sorted_ids(self.data.users, USER)
        if users is None:
            return everyone
        wanted = Ids(dict.fromkeys(str(u) for u in users))
        unknown = [u for u, row in zip(wanted.values, everyone.rows(wanted.values), strict=True) if row < 0]
        if unknown:
            raise UnknownIdError(
                f"This run does not know user {unknown[0]}"
                + (f" and {len(unknown) - 1} more" if unknown[1:] else "")
                + f"; it has {len(everyone):,} users. Hand in what they did with history=..."
            )
        return wanted

    def _item_row(self, item: str) -> int:
        row = int(self.learnt.items.rows([item])[0])
        if row < 0:
            raise UnknownIdError(f"The catalogue has no item {item}; it has {len(self.learnt.items):,} items.")
        return row

    def _events_of(self, users: Ids) -> pl.DataFrame:
        return self.data.interactions.filter(pl.col(USER).cast(pl.String).is_in(users.values.implode()))

    def _given(self, history: pl.DataFrame, users: list[str] | None = None) -> tuple[Ids, Histories]:
        history = with_columns(history, USER, ITEM)
        who = sorted_ids(history, USER) if users is None else Ids(dict.fromkeys(str(u) for u in users))
        return who, self.learnt.pasts(history, who)


def with_columns(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return some columns' table, once it is known to have them.

    Raises
    ------
    TableError
        A column is missing.
    """
    for column in columns:
        if column not in table.columns:
            raise TableError(f"The table has no column {column}; it has {', '.join(table.columns)}.")
    return table.with_columns(pl.col(c).cast(pl.String) for c in columns)
