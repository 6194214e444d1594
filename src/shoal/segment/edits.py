"""Edits: what people changed in segments by hand, kept in a log of who, when and why.

    log of edits --Standing.of--> names, locks, pins, outs that hold now --obey--> where each user is

A pin wins over placement. A user who was put out of a segment goes to the one with the next largest membership. A
locked segment is neither merged nor split nor renamed; users may still be pinned into it or put out of it. Nothing is
ever taken out of the log: what is undone is undone by another edit.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from shoal.tables import SEGMENT, UNASSIGNED

Kind = Literal["rename", "merge", "split", "pin", "out", "unpin", "lock", "unlock", "refit"]


def login() -> str:
    """Return the name that the user of this machine goes by, or an empty string where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def now() -> datetime:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Edit:
    """One change by hand.

    Attributes
    ----------
    kind : str
        ``rename``, ``merge``, ``split``, ``pin`` (into a segment), ``out`` (of a segment), ``unpin`` (take back pins
        and outs), ``lock``, ``unlock``; ``refit`` marks where a later fit took over: nothing before it holds by itself,
        and what was carried over follows it.
    segments : tuple of int
        The segments that it is about. In the log a merge has the one that stays first, a split its children.
    users : tuple of str
        For ``pin``, ``out`` and ``unpin``.
    name : str
        For ``rename``.
    into : int
        For ``split``: how many children.
    who, why : str
    when : datetime
        In UTC.
    """

    kind: Kind
    segments: tuple[int, ...] = ()
    users: tuple[str, ...] = ()
    name: str = ""
    into: int = 0
    who: str = field(default_factory=login)
    why: str = ""
    when: datetime = field(default_factory=now)

    def as_dict(self) -> dict[str, Any]:
        """Return the edit for JSON."""
        return {
            "kind": self.kind,
            "segments": list(self.segments),
            "users": list(self.users),
            "name": self.name,
            "into": self.into,
            "who": self.who,
            "why": self.why,
            "when": self.when.isoformat(),
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Return the edit that `as_dict` came from."""
        lists = {"segments": tuple(kept["segments"]), "users": tuple(kept["users"])}
        return cls(**{**kept, **lists, "when": datetime.fromisoformat(kept["when"])})


@dataclass
class Standing:
    """What a log comes to: what holds now.

    Attributes
    ----------
    names : dict of int to str
        Names given by hand.
    locked : set of int
    pins : dict of str to int
        The segment that a user is pinned into.
    outs : dict of str to set of int
        The segments that a user was put out of.
    reshaped : set of int
        Living segments that were merged or split.
    used : set of int
        All ids that the log knows, those that died included.
    """

    names: dict[int, str] = field(default_factory=dict)
    locked: set[int] = field(default_factory=set)
    pins: dict[str, int] = field(default_factory=dict)
    outs: dict[str, set[int]] = field(default_factory=dict)
    reshaped: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, log: Iterable[Edit]) -> Self:
        """Return what a log comes to, its edits taken one after the other."""
        standing = cls()
        for edit in log:
            standing.take(edit)
        return standing

    def take(self, edit: Edit) -> None:
        """Let one more edit hold."""
        self.used.update(edit.segments)
        if edit.kind == "refit":
            self.__dict__.update(vars(Standing(used=self.used)))
        elif edit.kind == "rename":
            self.names[edit.segments[0]] = edit.name
        elif edit.kind == "lock":
            self.locked.add(edit.segments[0])
        elif edit.kind == "unlock":
            self.locked.discard(edit.segments[0])
        elif edit.kind == "merge":
            self._merge(*edit.segments)
        elif edit.kind == "split":
            self._split(*edit.segments)
        else:
            for user in edit.users:
                self._move(edit.kind, user, edit.segments)

    def by_hand(self) -> list[str]:
        """Return the users who are pinned or put out, sorted."""
        return sorted({*self.pins, *self.outs})

    def _merge(self, keep: int, *gone: int) -> None:
        for dead in gone:
            self.names.pop(dead, None)
            self.reshaped.discard(dead)
        self.reshaped.add(keep)
        self.pins = {user: keep if at in gone else at for user, at in self.pins.items()}
        self.outs = {user: {keep if at in gone else at for at in out} for user, out in self.outs.items()}

    def _split(self, parent: int, *children: int) -> None:
        """A pin stays with the id; who was put out of the whole is out of all its parts."""
        self.reshaped.update((parent, *children))
        self.outs = {user: out | set(children) if parent in out else out for user, out in self.outs.items()}

    def _move(self, kind: str, user: str, segments: tuple[int, ...]) -> None:
        if kind == "unpin":
            self.pins.pop(user, None)
            self.outs.pop(user, None)
            return
        at = segments[0]
        out = self.outs.pop(user, set())
        if kind == "pin":
            self.pins[user] = at
            out = out - {at}
        elif kind == "out":
            out = out | {at}
            if self.pins.get(user) == at:
                del self.pins[user]
        if out:
            self.outs[user] = out


def obey(
    users: Sequence[str],
    segment: np.ndarray,
    memberships: np.ndarray,
    ids: np.ndarray,
    standing: Standing,
) -> tuple[np.ndarray, np.ndarray]:
    """Lay pins and outs over a placement.

    Parameters
    ----------
    users : sequence of str
    segment : numpy.ndarray
        (users,) the segment that each is placed in; -1: none.
    memberships : numpy.ndarray
        (users, k) how far each user belongs to each of `ids`.
    ids : numpy.ndarray
        (k,) the segments.
    standing : Standing
        A pin into a segment that is not among `ids` does not hold.

    Returns
    -------
    segment : numpy.ndarray
        (users,) int32. Pinned users are where they are pinned, those with too few events included. A user who was put
        out of the own segment is in the one with the largest membership of those that are left, or in none.
    strength : numpy.ndarray
        (users,) float32: the membership in that segment, as the model sees it; 0 for users whom it does not place.
    """
    found = np.array(segment, np.int32)
    columns = {int(s): place for place, s in enumerate(ids)}
    held = {user: row for row, user in enumerate(users) if user in standing.pins or user in standing.outs}
    for user, row in held.items():
        pin, out = standing.pins.get(user), standing.outs.get(user, set())
        if pin in columns:
            found[row] = pin
        elif found[row] in out:
            left = [c for s, c in columns.items() if s not in out]
            found[row] = ids[max(left, key=lambda c: (memberships[row, c], -c))] if left else UNASSIGNED
    place = np.array([columns.get(int(s), 0) for s in found], np.int64)
    strength = np.take_along_axis(memberships, place[:, None], axis=1)[:, 0]
    known = (np.asarray(segment) != UNASSIGNED) & (found != UNASSIGNED)
    return found, np.where(known, strength, 0).astype(np.float32)


def next_ids(n: int, segments: pl.DataFrame, standing: Standing, others: Iterable[int] = ()) -> list[int]:
    """Return n ids that no segment has, or ever had, nor any of `others`."""
    first = 1 + max([*segments[SEGMENT].to_list(), *standing.used, *others], default=-1)
    return list(range(first, first + n))
