"""Which segment is which after a refit: numbers and names survive, and who moved is told.

    old members, new members --users in both--> overlaps (old, new) --one to one, the most in common--> survivors
                                                                    --too little in common--> births and deaths

The matching is the one that has most in common over all pairs [1]_, so it does not depend on how either side is
numbered. It works on one level of segments; a second level is matched by calling it again with that level's column.

References
----------
.. [1] Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics Quarterly 2, 1955.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment

from shoal.errors import MismatchError
from shoal.segment.spherical import unit
from shoal.tables import MOMENT, NAME, SEGMENT, SIZE, UNASSIGNED, USER

LEAST = 0.25
"""How much of a segment must be in its match, beyond chance, for it to be the same one; see `match`."""

MIGRATION = {"from": pl.Int32(), "to": pl.Int32(), "users": pl.Int64(), "share": pl.Float64()}
"""Who moved: from (null: new users), to (null: gone), users, share of those with the same from; -1 is unassigned."""
HISTORY = {"fitted": MOMENT, SEGMENT: pl.Int32(), NAME: pl.String(), SIZE: pl.Int64(), "share": pl.Float64()}
"""Sizes over time: when a run was fitted, and its segments; -1 is unassigned."""


@dataclass(frozen=True)
class Matching:
    """What became of the segments.

    Attributes
    ----------
    ids : dict of int to int
        The new fit's own number of a segment -> the number that it goes by from now on: that of the old segment which
        it is, or one never used before.
    births, deaths : tuple of int
        Numbers that came, and old numbers that went, rising.
    pairs : polars.DataFrame
        A row a survivor: segment, users (in both), share_old, share_new (of the old and the new segment's continuing
        users, 0 to 1), cosine (of the centres; null without centres).
    migration : polars.DataFrame
        `MIGRATION`, in the numbers from now on.
    """

    ids: dict[int, int]
    births: tuple[int, ...]
    deaths: tuple[int, ...]
    pairs: pl.DataFrame
    migration: pl.DataFrame


@dataclass(frozen=True)
class Before:
    """What a refit needs to know of the last run.

    Attributes
    ----------
    members : polars.DataFrame
        user_id, segment.
    largest : int
        The largest number that any segment ever had.
    inside : polars.DataFrame or None
        The same as `members`, of subsegments.
    """

    members: pl.DataFrame
    largest: int
    inside: pl.DataFrame | None = None

    def of(self, users: Sequence[str]) -> np.ndarray:
        """Return the segment in which each of `users` was, (users,) int32; -1: in none."""
        asked = pl.DataFrame({USER: users}, schema={USER: pl.String})
        found = asked.join(self.members.select(_user, SEGMENT), on=USER, how="left", maintain_order="left")
        return found[SEGMENT].fill_null(UNASSIGNED).to_numpy()

    def numbers(self, users: Sequence[str], segment: np.ndarray, n: int) -> tuple[int, ...]:
        """Return the numbers that `n` new segments go by, in order, given where the users are now, (users,)."""
        table = pl.DataFrame({USER: users, SEGMENT: segment}, schema={USER: pl.String, SEGMENT: pl.Int32})
        ids = match(self.members, table, largest=self.largest).ids
        for one in range(n):  # one without members gets a number too
            ids.setdefault(one, max([self.largest, *ids.values()]) + 1)
        return tuple(ids[one] for one in range(n))


def match(
    old: pl.DataFrame,
    new: pl.DataFrame,
    old_centers: Mapping[int, np.ndarray] | None = None,
    new_centers: Mapping[int, np.ndarray] | None = None,
    *,
    largest: int | None = None,
    by: str = SEGMENT,
) -> Matching:
    """Match new segments with old ones by the users that they share, and by their centres where these can be compared.

    What a pair has in common is the Jaccard index of its members among the users of both tables; with centres, the
    mean of that and of their cosine (not below 0). A pair is one segment if enough of either side's continuing users is
    in the other: a quarter (`LEAST`) of the way from what chance puts there, the other's share of all users, to all of
    them. Else the old segment died, and the new one was born. So the larger half of a segment that splits survives, and
    so does the largest of three that became one, but not one of four. Of random groupings of 200 users into 2 to 8, or
    of 600 into 12, not one in 60 had a pair that passed.

    Parameters
    ----------
    old, new : polars.DataFrame
        user_id and the column `by`: the segment, -1 for the unassigned. Each user stands once.
    old_centers, new_centers : mapping of int to numpy.ndarray, optional
        The centre of each segment, (width,); both in one space, or both None.
    largest : int, optional
        The largest number ever used; births are numbered from the next. None: the largest of `old`.
    by : str
        The column of the segment.

    Raises
    ------
    MismatchError
        Centres are given on one side alone, or for other segments than have members.
    """
    old_ids, new_ids = sorted(_sizes(old, by)), _in_order(new, by)
    table = _overlaps(old, new, old_ids, new_ids, by)  # (old, new) users
    of_old, of_new = table.sum(1, keepdims=True), table.sum(0, keepdims=True)
    cosine = _cosines(old_centers, new_centers, old_ids, new_ids)
    alike = table / np.maximum(1, of_old + of_new - table)
    alike = alike if cosine is None else (alike + cosine.clip(0)) / 2
    share_old, share_new = table / np.maximum(1, of_old), table / np.maximum(1, of_new)
    users = max(1, int(table.sum()))
    enough = np.minimum(_beyond(share_old, of_new / users), _beyond(share_new, of_old / users)) >= LEAST
    rows, columns = linear_sum_assignment(np.where(enough, alike, 0), maximize=True)
    pairs = [(o, n) for o, n in zip(rows, columns, strict=True) if enough[o, n]]
    survivors = {new_ids[n]: old_ids[o] for o, n in pairs}
    first = max([UNASSIGNED, *old_ids] if largest is None else [largest, *old_ids]) + 1
    born = [one for one in new_ids if one not in survivors]
    ids = survivors | {one: first + place for place, one in enumerate(born)}
    told = [
        (old_ids[o], int(table[o, n]), share_old[o, n], share_new[o, n], None if cosine is None else cosine[o, n])
        for o, n in pairs
    ]
    return Matching(
        ids=ids,
        births=tuple(range(first, first + len(born))),
        deaths=tuple(one for one in old_ids if one not in survivors.values()),
        pairs=pl.DataFrame(told, schema=PAIRS, orient="row").sort(SEGMENT),
        migration=migration(old, relabel(new, ids, by=by), by=by),
    )


PAIRS = {
    SEGMENT: pl.Int32(),
    "users": pl.Int64(),
    "share_old": pl.Float64(),
    "share_new": pl.Float64(),
    "cosine": pl.Float64(),
}
"""The columns of `Matching.pairs`."""


def relabel(table: pl.DataFrame, ids: Mapping[int, int], *, by: str = SEGMENT) -> pl.DataFrame:
    """Return `table` (members or segments) with the numbers that segments go by from now on; -1 stays -1."""
    if not ids:
        return table
    return table.with_columns(pl.col(by).replace(ids).cast(table.schema[by]))


def keep_names(
    segments: pl.DataFrame, old: Mapping[int, str], *, used: Iterable[str] = (), by: str = SEGMENT
) -> pl.DataFrame:
    """Return `segments` with the old names of those that survived, and new names that are none of the old ones.

    Parameters
    ----------
    segments : polars.DataFrame
        The column `by`, in the numbers from now on, and name. The unassigned keep theirs.
    old : mapping of int to str
        The last run's names.
    used : iterable of str
        Names of segments that died earlier, which are not given again either.
    by : str
        The column of the segment.
    """
    taken = {_words(name) for name in (*old.values(), *used)}
    names = []
    for segment, name in segments.select(by, NAME).iter_rows():
        if segment == UNASSIGNED or segment in old:
            names.append(old.get(segment, name))
            continue
        names.append(_free(name, taken))
        taken.add(_words(names[-1]))
    return segments.with_columns(pl.Series(NAME, names, pl.String))


def migration(old: pl.DataFrame, new: pl.DataFrame, *, by: str = SEGMENT) -> pl.DataFrame:
    """Return `MIGRATION`: how many users went from each segment to each, by falling number, nulls last."""
    both = old.select(_user, pl.col(by).alias("from"), here=True).join(
        new.select(_user, pl.col(by).alias("to"), here=True), on=USER, how="full", coalesce=True
    )
    moved = both.group_by("from", "to").agg(users=pl.len().cast(pl.Int64))
    moved = moved.with_columns(share=pl.col("users") / pl.col("users").sum().over("from"))
    order = ["from", "users", "to"]
    return moved.sort(order, descending=[False, True, False], nulls_last=True).select(
        pl.col(c).cast(t) for c, t in MIGRATION.items()
    )


def kept_share(migration: pl.DataFrame) -> float:
    """Return the share of the users who had a segment and are still there that kept it; NaN where there are none."""
    stayed = migration.filter(pl.col("from") >= 0, pl.col("to").is_not_null())
    users = int(stayed["users"].sum())
    return int(stayed.filter(pl.col("from") == pl.col("to"))["users"].sum()) / users if users else float("nan")


def history(segments: pl.DataFrame, fitted: datetime, before: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return `HISTORY`: the rows of the runs before, then one for each segment of this one.

    Parameters
    ----------
    segments : polars.DataFrame
        segment, name, size, share.
    fitted : datetime
        When; a zone is turned into UTC.
    before : polars.DataFrame, optional
        The last run's history.
    """
    moment = pl.Series([fitted]).dt.convert_time_zone("UTC").dt.replace_time_zone(None) if fitted.tzinfo else [fitted]
    now = segments.select(pl.lit(pl.Series(moment)).first().alias("fitted"), SEGMENT, NAME, SIZE, "share")
    now = now.select(pl.col(c).cast(t) for c, t in HISTORY.items())
    return now if before is None else pl.concat([before, now])


_user = pl.col(USER).cast(pl.String)


def _sizes(members: pl.DataFrame, by: str) -> dict[int, tuple[int, str]]:
    """Return minus the size, and the first user, of each segment; the unassigned are left out."""
    found = members.filter(pl.col(by) != UNASSIGNED).group_by(by).agg(size=pl.len(), first=_user.min())
    return {segment: (-size, first) for segment, size, first in found.iter_rows()}


def _in_order(members: pl.DataFrame, by: str) -> list[int]:
    """Return the segments by falling size, those of one size by their first user: however they are numbered."""
    sizes = _sizes(members, by)
    return sorted(sizes, key=lambda one: sizes[one])


def _beyond(share: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return how far a share is on the way from chance to 1; where chance is 1 already, 1."""
    return np.where(chance < 1, (share - chance) / np.where(chance < 1, 1 - chance, 1), 1.0)


def _overlaps(old: pl.DataFrame, new: pl.DataFrame, old_ids: list[int], new_ids: list[int], by: str) -> np.ndarray:
    both = old.select(_user, old=pl.col(by)).join(new.select(_user, new=pl.col(by)), on=USER)
    table = np.zeros((len(old_ids), len(new_ids)), np.int64)
    for o, n, users in both.group_by("old", "new").len().iter_rows():
        if o != UNASSIGNED and n != UNASSIGNED:
            table[old_ids.index(o), new_ids.index(n)] = users
    return table


def _cosines(
    old: Mapping[int, np.ndarray] | None, new: Mapping[int, np.ndarray] | None, old_ids: list[int], new_ids: list[int]
) -> np.ndarray | None:
    if old is None and new is None:
        return None
    if old is None or new is None:
        raise MismatchError("Centres are given for one run alone. Give those of both, in one space, or none.")
    lacking = [one for ids, centers in ((old_ids, old), (new_ids, new)) for one in ids if one not in centers]
    if lacking:
        raise MismatchError(f"Segment {lacking[0]} has members and no centre. Give a centre for each segment.")
    if not old_ids or not new_ids:
        return np.zeros((len(old_ids), len(new_ids)))
    a, b = (unit(np.stack([c[i] for i in ids]).astype(float)) for c, ids in ((old, old_ids), (new, new_ids)))
    return np.asarray(a @ b.T)


def _words(name: str) -> tuple[str, ...]:
    """Return what makes a name: its words, whatever their case and order."""
    return tuple(sorted(re.findall(r"\w+", name.casefold())))


def _free(name: str, taken: set[tuple[str, ...]]) -> str:
    number, found = 2, name
    while _words(found) in taken:
        found, number = f"{name} ({number})", number + 1
    return found
