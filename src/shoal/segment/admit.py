"""Whether an edit may be made: its segments and users exist, nothing is locked, no name is taken."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import polars as pl

from shoal.errors import ConfigError, UnknownIdError, did_you_mean
from shoal.segment.edits import Edit, Standing
from shoal.tables import NAME, SEGMENT, UNASSIGNED

LONGEST_NAME = 40  # characters, as the names that are made
MOST_CHILDREN = 20


def segment_of(segments: pl.DataFrame, asked: str | int) -> int:
    """Return the segment that somebody means by a number or by its exact name.

    Raises
    ------
    UnknownIdError
        There is none; the nearest name is offered.
    """
    ids = [s for s in segments[SEGMENT].to_list() if s != UNASSIGNED]
    text = str(asked).strip()
    if text.lstrip("-").isdigit():
        if int(text) in ids:
            return int(text)
    else:
        named = segments.filter((pl.col(NAME) == text) & (pl.col(SEGMENT) != UNASSIGNED))[SEGMENT]
        if len(named):
            return int(named[0])
    hint = did_you_mean(text, segments[NAME].to_list())
    raise UnknownIdError(f"There is no segment {text}; there are {', '.join(map(str, sorted(ids)))}.{hint}")


def admit(
    edit: Edit, segments: pl.DataFrame, standing: Standing, users: Collection[str], taken: Collection[str] = ()
) -> Edit:
    """Return the edit as it goes to the log, or refuse it.

    Parameters
    ----------
    edit : Edit
    segments : polars.DataFrame
        segment and name, as they are now.
    standing : Standing
    users : collection of str
        All users.
    taken : collection of str
        Names that no segment may have, such as those of rules.

    Raises
    ------
    UnknownIdError
        A segment or a user does not exist.
    ConfigError
        A segment is locked, a name is taken, or the edit changes nothing.
    """
    wanted = {"merge": range(2, 1000), "unpin": range(1), "refit": range(1)}.get(edit.kind, range(1, 2))
    if len(edit.segments) not in wanted:
        raise ConfigError(f"{edit.kind} is about {_count(wanted)}; {len(edit.segments)} given.")
    for segment in edit.segments:
        segment_of(segments, segment)
    _check_users(edit, standing, users)
    if edit.kind in ("merge", "split", "rename"):
        _check_locks(edit, segments, standing)
    if edit.kind == "rename":
        return _checked_name(edit, segments, taken)
    if edit.kind == "merge":
        return _checked_merge(edit)
    if edit.kind == "split" and not 2 <= edit.into <= MOST_CHILDREN:
        raise ConfigError(f"A segment is split into 2 to {MOST_CHILDREN} others, not into {edit.into}.")
    if edit.kind in ("lock", "unlock") and (edit.segments[0] in standing.locked) == (edit.kind == "lock"):
        raise ConfigError(f"{_called(edit.segments[0], segments)} is {edit.kind}ed already.")
    return edit


def _count(wanted: range) -> str:
    return {0: "no segment", 1: "one segment"}.get(wanted[-1], "two segments or more")


def _check_locks(edit: Edit, segments: pl.DataFrame, standing: Standing) -> None:
    for segment in edit.segments:
        if segment in standing.locked:
            raise ConfigError(
                f"{_called(segment, segments)} is locked: it cannot be {_DONE[edit.kind]}. Unlock it first."
            )


_DONE = {"merge": "merged", "split": "split", "rename": "renamed"}


def _check_users(edit: Edit, standing: Standing, users: Collection[str]) -> None:
    if edit.kind not in ("pin", "out", "unpin"):
        return
    if not edit.users:
        raise ConfigError(f"{edit.kind} is about one user or more; none given.")
    for user in edit.users:
        if user not in users:
            hint = did_you_mean(user, users if len(users) <= 50_000 else ())
            raise UnknownIdError(f"This run has no user {user}; it has {len(users):,}.{hint}")
        if edit.kind == "unpin" and user not in standing.pins and user not in standing.outs:
            raise ConfigError(f"User {user} is neither pinned into a segment nor put out of one.")
        if edit.kind == "pin" and standing.pins.get(user) == edit.segments[0]:
            raise ConfigError(f"User {user} is pinned into segment {edit.segments[0]} already.")
        if edit.kind == "out" and edit.segments[0] in standing.outs.get(user, set()):
            raise ConfigError(f"User {user} is out of segment {edit.segments[0]} already.")


def _checked_merge(edit: Edit) -> Edit:
    if len(set(edit.segments)) < len(edit.segments):
        raise ConfigError(f"A segment cannot be merged with itself: {', '.join(map(str, edit.segments))}.")
    return replace(edit, segments=tuple(sorted(edit.segments)))


def _checked_name(edit: Edit, segments: pl.DataFrame, taken: Collection[str]) -> Edit:
    name = clean_name(edit.name)
    others = segments.filter(pl.col(SEGMENT) != edit.segments[0])
    same = others.filter(pl.col(NAME).str.to_lowercase() == name.lower())
    if same.height:
        raise ConfigError(f'Segment {same[SEGMENT][0]} is called "{same[NAME][0]}" already. Give another name.')
    if name.lower() in {t.lower() for t in taken}:
        raise ConfigError(f'A rule is called "{name}" already. Give another name.')
    if segments.filter((pl.col(SEGMENT) == edit.segments[0]) & (pl.col(NAME) == name)).height:
        raise ConfigError(f'Segment {edit.segments[0]} is called "{name}" already.')
    return replace(edit, name=name)


def clean_name(name: str) -> str:
    """Return a name for a segment without spaces around it.

    Raises
    ------
    ConfigError
        It is empty, too long, has a line break in it, or is a number, which would be taken for an id.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"A name has 1 to {LONGEST_NAME} characters on one line; {name[:60]!r} has {len(name)}.")
    if name.lstrip("-").isdigit():
        raise ConfigError(f"{name!r} is a number, and would be taken for a segment's id. Give another name.")
    return name


def _called(segment: int, segments: pl.DataFrame) -> str:
    name = segments.filter(pl.col(SEGMENT) == segment)[NAME]
    return f'Segment {segment} ("{name[0]}")' if len(name) else f"Segment {segment}"
