"""Edits carried over to a later fit: what was merged or split is so again, names, locks and pins go along.

    old members, new members, old id -> new id  --reshaping--> merges and splits that bring the new segments into line
                                                --carry--> names, locks, pins and outs under the new ids, and notes

A later fit finds its own segments; which of them goes on for which old one is told by the mapping. What belongs to a
segment that died is dropped, with a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment

from shoal.segment.edits import Edit, Kind, Standing
from shoal.tables import SEGMENT, UNASSIGNED, USER

MOST = 0.5  # a segment goes where more than this share of its continuing users went


@dataclass(frozen=True)
class Carried:
    """Edits for the new run, in order, and what could not be carried over, in words."""

    edits: tuple[Edit, ...]
    notes: tuple[str, ...]


def reshaping(
    log: Sequence[Edit], mapping: Mapping[int, int], before: pl.DataFrame, after: pl.DataFrame
) -> list[tuple[Edit, tuple[int, ...]]]:
    """Return the merges and splits that a later fit needs, each with the old segments that it is for.

    A new segment that goes on for no old one, and most of whose continuing users were in a segment that had been
    merged, is merged into the one that goes on for it. Parts of a split that no new segment goes on for, and most of
    whose users are in the one that goes on for a sibling, are split off again.

    Parameters
    ----------
    log : sequence of Edit
    mapping : mapping of int to int
        Old segment to the new one that goes on for it; those that died are missing.
    before, after : polars.DataFrame
        user_id, segment: members of the old run, edits included, and of the new one.
    """
    counts = _counts(before, after)
    standing, log = Standing.of(log), _since_refit(log)
    return [*_merges(log, mapping, counts, standing), *_splits(log, mapping, counts)]


def rematch(
    mapping: Mapping[int, int],
    siblings: Sequence[int],
    children: Sequence[int],
    before: pl.DataFrame,
    after: pl.DataFrame,
) -> dict[int, int]:
    """Return the mapping in which the parts of an old split go on as the children of its new one.

    They are matched so that as many users as possible stay; `after` are the members after the new split.
    """
    counts = _counts(before, after)
    table = np.array([[counts.get((old, new), 0) for new in children] for old in siblings])
    rows, columns = linear_sum_assignment(table, maximize=True)
    return {**mapping, **{siblings[r]: children[c] for r, c in zip(rows, columns, strict=True)}}


def carry(log: Sequence[Edit], mapping: Mapping[int, int], users: Iterable[str]) -> Carried:
    """Return names, pins, outs and locks under the new ids; who asked for them, when and why, stays.

    Parameters
    ----------
    log : sequence of Edit
    mapping : mapping of int to int
        Old segment to the new one that goes on for it; those that died are missing.
    users : iterable of str
        Users of the new run. Pins of others are dropped, with a note.
    """
    standing, log, known = Standing.of(log), _since_refit(log), set(users)
    edits: list[Edit] = []
    notes: list[str] = []
    for segment, name in sorted(standing.names.items()):
        if segment in mapping:
            edits.append(replace(_last(log, "rename", segment), segments=(mapping[segment],), name=name))
        else:
            notes.append(f'Segment {segment} ("{name}") is no more; its name is dropped.')
    wanted: list[tuple[Kind, str, int]] = [("pin", user, at) for user, at in sorted(standing.pins.items())]
    wanted += [("out", user, at) for user, out in sorted(standing.outs.items()) for at in sorted(out)]
    for kind, user, segment in wanted:
        word = "pin into" if kind == "pin" else "exclusion from"
        if user not in known:
            notes.append(f"User {user} is no more; the {word} segment {segment} is dropped.")
        elif segment not in mapping:
            notes.append(f"Segment {segment} is no more; the {word} it of user {user} is dropped.")
        else:
            edits.append(replace(_last_of(log, kind, user), segments=(mapping[segment],), users=(user,)))
    for segment in sorted(standing.locked):
        if segment in mapping:
            edits.append(replace(_last(log, "lock", segment), segments=(mapping[segment],)))
        else:
            notes.append(f"Segment {segment} is no more; its lock is dropped.")
    return Carried(tuple(edits), tuple(notes))


Counts = Mapping[tuple[int, int], int]
"""Continuing users by old and new segment, the unassigned left out."""


def _counts(before: pl.DataFrame, after: pl.DataFrame) -> Counts:
    placed = pl.col(SEGMENT) != UNASSIGNED
    old = before.filter(placed).select(pl.col(USER).cast(pl.String), old=SEGMENT)
    new = after.filter(placed).select(pl.col(USER).cast(pl.String), new=SEGMENT)
    return {(o, n): c for o, n, c in old.join(new, on=USER).group_by("old", "new").len().iter_rows()}


def _merges(
    log: Sequence[Edit], mapping: Mapping[int, int], counts: Counts, standing: Standing
) -> list[tuple[Edit, tuple[int, ...]]]:
    found: list[tuple[Edit, tuple[int, ...]]] = []
    for old in sorted(standing.reshaped & set(mapping)):
        merges = [e for e in log if e.kind == "merge" and e.segments[0] == old]
        fresh = sorted({n for _, n in counts} - set(mapping.values()))
        same = [n for n in fresh if _goes_to(counts, n, column=1) == old]
        if merges and same:
            found.append((replace(merges[-1], segments=tuple(sorted((mapping[old], *same)))), (old,)))
    return found


def _splits(log: Sequence[Edit], mapping: Mapping[int, int], counts: Counts) -> list[tuple[Edit, tuple[int, ...]]]:
    found: list[tuple[Edit, tuple[int, ...]]] = []
    for edit in (e for e in log if e.kind == "split"):
        lost: dict[int, list[int]] = {}
        for child in edit.segments:
            home = _goes_to(counts, child, column=0)
            if child not in mapping and home is not None:
                lost.setdefault(home, []).append(child)
        for home, children in sorted(lost.items()):
            heirs = [s for s in edit.segments if mapping.get(s) == home]
            if heirs:
                again = replace(edit, segments=(home,), into=1 + len(children))
                found.append((again, (heirs[0], *children)))
    return found


def _goes_to(counts: Counts, segment: int, *, column: int) -> int | None:
    """Return the segment at the other end where most users of this one are, if they are more than half."""
    ends = {pair[1 - column]: count for pair, count in counts.items() if pair[column] == segment}
    best = max(ends, key=lambda end: (ends[end], -end), default=None)
    return best if best is not None and ends[best] > MOST * sum(ends.values()) else None


def _since_refit(log: Sequence[Edit]) -> Sequence[Edit]:
    marks = [place for place, edit in enumerate(log) if edit.kind == "refit"]
    return log[marks[-1] + 1 :] if marks else log


def _last(log: Sequence[Edit], kind: Kind, segment: int) -> Edit:
    return next(e for e in reversed(log) if e.kind == kind and e.segments[0] == segment)


def _last_of(log: Sequence[Edit], kind: Kind, user: str) -> Edit:
    return next(e for e in reversed(log) if e.kind == kind and user in e.users)
