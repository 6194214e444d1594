"""What people add to a run by hand, after the fit: rules, and edits of its segments.

    rules  a name and a text each; who belongs is computed whenever it is asked
    edits  a log; each edit gives new tables of members and segments, and a new segmentation if it merged or split

Both are documents of the run folder. A run without them is a run all the same.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.describe import describe, members_of
from shoal.errors import ConfigError, ShoalError, UnknownIdError, did_you_mean
from shoal.learnt import Learnt, sorted_ids
from shoal.recommend.by_segment import BySegment
from shoal.seeding import integer
from shoal.segment import reshape
from shoal.segment.admit import admit, clean_name
from shoal.segment.carry import carry, rematch, reshaping
from shoal.segment.edits import Edit, Standing, login, next_ids, now, obey
from shoal.segment.readable import rules_again
from shoal.segment.rules import Rule, parse
from shoal.tables import NAME, SEGMENT, STRENGTH, SUBSEGMENT, UNASSIGNED, USER

if TYPE_CHECKING:
    from shoal.acts import Acts

RULES, EDITS = "rules", "edits"
EDITED = "everyone's models serve it: merged or split since it was compared"
UNCERTIFIED = "merged or split by hand: not certified since"
Extra = dict[str, Any]
Run = TypeVar("Run", bound="Acts")


@dataclass(frozen=True)
class SavedRule:
    """A rule that is kept with a run: its name, its text, who wrote it when, and why."""

    name: str
    rule: str
    who: str
    when: str
    why: str = ""


def saved_rules(extra: Extra) -> list[SavedRule]:
    """Return the rules that are kept with a run, oldest first."""
    return [SavedRule(**kept) for kept in extra.get(RULES, [])]


def rules_of(extra: Extra) -> dict[str, Rule]:
    """Return the same by name, ready to be asked."""
    return {one.name: parse(one.rule) for one in saved_rules(extra)}


def with_rule(extra: Extra, segments: pl.DataFrame, name: str, rule: str, *, who: str | None, why: str) -> Extra:
    """Return the documents with one more rule.

    Raises
    ------
    ConfigError
        The name is taken by a rule or a segment, or is no name; or the rule cannot be read.
    """
    name, rules = clean_name(name), saved_rules(extra)
    if name.lower() in {one.name.lower() for one in rules}:
        raise ConfigError(f'A rule is called "{name}" already. Drop it first, or give another name.')
    if name.lower() in segments[NAME].str.to_lowercase():
        raise ConfigError(f'A segment is called "{name}" already. Give another name.')
    text = parse(rule).text
    made = SavedRule(name, text, login() if who is None else who, now().isoformat(), why)
    return extra | {RULES: [vars(one) for one in (*rules, made)]}


def without_rule(extra: Extra, name: str) -> Extra:
    """Return the documents without a rule.

    Raises
    ------
    UnknownIdError
        There is no such rule.
    ConfigError
        Another rule asks for it.
    """
    rules = saved_rules(extra)
    if name not in (names := [one.name for one in rules]):
        known = f"there are {', '.join(names)}" if names else "there is none"
        raise UnknownIdError(f'No rule is called "{name}"; {known}.{did_you_mean(name, names)}')
    users = [one.name for one in rules if name in parse(one.rule).uses()]
    if users:
        raise ConfigError(f'The rule "{users[0]}" asks for "{name}". Drop it first.')
    return extra | {RULES: [vars(one) for one in rules if one.name != name]}


def edits_of(extra: Extra) -> list[Edit]:
    """Return the log of edits, oldest first."""
    return [Edit.of(kept) for kept in extra.get(EDITS, [])]


def place(learnt: Learnt, users: Ids, pasts: Histories, standing: Standing) -> pl.DataFrame:
    """Return `shoal.tables.MEMBERS`: where users belong, pins and outs laid over the placement."""
    vectors, found = learnt.users(pasts), learnt.segmentation
    segment, strength = found.assign(vectors, pasts.counts)
    if standing.pins or standing.outs:
        names = users.values.to_list()
        segment, strength = obey(names, segment, found.memberships(vectors), found.ids, standing)
    return members_of(users, segment, strength, learnt.subsegments(pasts, segment)[0])


def edited(
    learnt: Learnt, segments: pl.DataFrame, members: pl.DataFrame, extra: Extra, edit: Edit
) -> tuple[Learnt, pl.DataFrame, pl.DataFrame, Extra]:
    """Return what was learnt, segments, members and documents after one more edit; nothing given is changed.

    Raises
    ------
    UnknownIdError, ConfigError
        See `shoal.segment.admit.admit`.
    NotEnoughDataError
        A segment has too few users to be split.
    """
    log = edits_of(extra)
    standing = Standing.of(log)
    edit = admit(edit, segments, standing, set(members[USER]), [one.name for one in saved_rules(extra)])
    before = members
    if edit.kind == "split":
        below = [one for made in learnt.inside.values() for one in made.ids.tolist()]
        below += members[SUBSEGMENT].to_list() if SUBSEGMENT in members.columns else []
        edit = replace(edit, segments=(*edit.segments, *next_ids(edit.into - 1, segments, standing, below)))
    if edit.kind in ("merge", "split"):
        learnt = _reshaped(learnt, members, edit, standing)
    standing.take(edit)
    extra = extra | {EDITS: [one.as_dict() for one in (*log, edit)]}
    if edit.kind == "rename":
        here = pl.col(SEGMENT) == edit.segments[0]
        changed = [pl.when(here).then(pl.lit(edit.name)).otherwise(NAME).alias(NAME)]
        changed += [pl.when(~here).then(c).alias(c) for c in segments.columns if c.startswith("blind_")]
        return learnt, segments.with_columns(changed), members, extra
    if edit.kind in ("lock", "unlock", "refit"):
        return learnt, segments, members, extra
    touched = set(edit.segments) if edit.kind in ("merge", "split") else set()
    members = _members(learnt, before, touched, edit, standing)
    _check_nobody_lost(learnt, segments, members, edit)
    return learnt, _segments(learnt, segments, members, touched, standing), members, extra


def applied(run: Run, *edits: Edit) -> Run:
    """Return a run after some edits, one after the other; readable rules are still those of before."""
    for edit in edits:
        learnt, segments, members, extra = edited(run.learnt, run.segments, run.members, run.extra, edit)
        run = replace(run, learnt=learnt, segments=segments, members=members, extra=extra)
    return run


def told_again(run: Run, before: pl.DataFrame) -> Run:
    """Return a run with readable rules for the members that it has now, where it had others before."""
    traits, inside = run.learnt.config.recommend.traits, run.more.get("subsegments")
    segments, inside = rules_again(run.segments, inside, before, run.members, run.data, traits=traits)
    return replace(run, segments=segments, more=run.more if inside is None else run.more | {"subsegments": inside})


def continuing(now: Run, before: Acts, mapping: Mapping[int, int]) -> tuple[Run, list[str]]:
    """Return a run that goes on for an earlier one, and notes; see `shoal.acts.Acts.continuing`."""
    log, notes = before.edits, list[str]()
    rules = {RULES: before.extra[RULES]} if RULES in before.extra else {}
    run = replace(now, extra=now.extra | rules | {EDITS: [one.as_dict() for one in log]})
    run = applied(run, Edit("refit", why=f"a later fit, made {now.manifest.get('made', '')}"))
    run, mapping = _reshaped_again(run, before, dict(mapping), notes)
    carried = carry(log, mapping, run.members[USER])
    for edit in carried.edits:
        run = _tried(_make_way(run, edit) if edit.kind == "rename" else run, edit, notes)
    return told_again(run, now.members), [*notes, *carried.notes]


def _reshaped_again(run: Run, before: Acts, mapping: dict[int, int], notes: list[str]) -> tuple[Run, dict[int, int]]:
    """Merge and split as before, and say which segments go on as which now."""
    now_in: dict[int, int] = {}  # segments of the new fit that were merged into another
    for edit, olds in reshaping(before.edits, mapping, before.members, run.members):
        edit = replace(edit, segments=tuple(now_in.get(s, s) for s in edit.segments))
        made = _tried(run, edit, notes)
        if made is not run and edit.kind == "merge":
            keep, *gone = made.edits[-1].segments
            now_in.update(dict.fromkeys(gone, keep))
            mapping[olds[0]] = keep
        elif made is not run:
            mapping = rematch(mapping, olds, made.edits[-1].segments, before.members, made.members)
        run = made
    return run, mapping


def _tried(run: Run, edit: Edit, notes: list[str]) -> Run:
    """Return the run after an edit, or the run itself and one more note."""
    try:
        return applied(run, edit)
    except ShoalError as error:
        notes.append(f"The {edit.kind} by {edit.who or 'somebody'} could not be carried over: {error}")
        return run


def _make_way(run: Run, edit: Edit) -> Run:
    """Let names that were made give way to one that was given by hand, wherever it stood."""
    segment = edit.segments[0]
    names = _names(run.segments, {segment: edit.name})
    names = [f"({s})" if s == segment else name for s, name in zip(run.segments[SEGMENT], names, strict=True)]
    return replace(run, segments=run.segments.with_columns(pl.Series(NAME, names, pl.String)))


def _check_nobody_lost(learnt: Learnt, segments: pl.DataFrame, members: pl.DataFrame, edit: Edit) -> None:
    """Refuse a pin or an out that takes the last user of a segment, which would then be a name for nobody."""
    placed = segments.filter(
        pl.col(SEGMENT).is_in(learnt.segmentation.ids.tolist()),
        ~pl.col(SEGMENT).is_in(members[SEGMENT].unique().implode()),
    )
    if placed.height and edit.kind in ("pin", "out", "unpin"):
        segment, name = placed.select(SEGMENT, NAME).row(0)
        raise ConfigError(f'Segment {segment} ("{name}") would have nobody left. Merge it with another instead.')


def _reshaped(learnt: Learnt, members: pl.DataFrame, edit: Edit, standing: Standing) -> Learnt:
    found = learnt.segmentation
    if edit.kind == "merge":
        sizes = dict(members.group_by(SEGMENT).len().iter_rows())
        made = reshape.merge(found, list(edit.segments), sizes)
    else:
        segment, *new = edit.segments
        users = _affected(members, {segment}, standing.by_hand())
        pasts = _pasts(learnt, users)
        vectors = learnt.users(pasts)
        here = found.assign(vectors, pasts.counts)[0] == segment  # pinned users are no part of what is split
        made = reshape.split(found, segment, vectors[here], new, seed=integer(learnt.config.seed, "edit"))
    return _with_segmentation(learnt, made, set(edit.segments))


def _with_segmentation(learnt: Learnt, segmentation: Any, touched: set[int]) -> Learnt:
    """Return the same with other segments; what was compared of those that were touched no longer counts."""
    users, old = learnt.users, learnt.by_segment

    def where(pasts: Histories) -> np.ndarray:
        return segmentation.assign(users(pasts), pasts.counts)[0]

    local: BySegment = copy.copy(old)
    local.place = where
    local.verdicts_ = [v for v in old.verdicts_ if v.segment not in touched]
    local.local_ = {s: model for s, model in old.local_.items() if s not in touched}
    local.popular_ = {s: model for s, model in old.popular_.items() if s not in touched}
    blend = copy.copy(learnt.blend)
    blend.models = [local if model is old else model for model in blend.models]
    inside = {s: made for s, made in learnt.inside.items() if s not in touched}
    models = learnt.models | {"by_segment": local}
    return replace(learnt, segmentation=segmentation, models=models, blend=blend, inside=inside)


def _affected(members: pl.DataFrame, touched: set[int], by_hand: list[str]) -> Ids:
    """Return the users whose place may be another now, sorted."""
    here = pl.col(SEGMENT).is_in(sorted(touched)) | pl.col(USER).is_in(by_hand)
    return Ids(members.filter(here)[USER].sort())


def _pasts(learnt: Learnt, users: Ids) -> Histories:
    """Return the pasts of users of the run, as they were when everyone was placed: ties are drawn for all at once."""
    everyone = sorted_ids(learnt.data.users, USER)
    return learnt.pasts(learnt.data.interactions, everyone).take(everyone.rows(users.values))


def _members(learnt: Learnt, members: pl.DataFrame, touched: set[int], edit: Edit, standing: Standing) -> pl.DataFrame:
    """Place those users again whom the edit is about; the others, and other columns, stay as they are."""
    users = _affected(members, touched, sorted({*edit.users, *standing.by_hand()} if touched else edit.users))
    if not len(users):
        return members
    found = place(learnt, users, _pasts(learnt, users), standing)
    both = members.join(found, on=USER, how="left", suffix=" now", maintain_order="left")
    columns = [c for c in (SEGMENT, STRENGTH, SUBSEGMENT) if c in members.columns]
    return both.with_columns(pl.coalesce(f"{c} now", c).alias(c) for c in columns).select(members.columns)


def _segments(
    learnt: Learnt, old: pl.DataFrame, members: pl.DataFrame, touched: set[int], standing: Standing
) -> pl.DataFrame:
    """Describe the segments again. Names stay where the segment did, and where they were given by hand.

    Columns that are not made here stay for segments that were not touched, and are empty for the others; so do rows of
    segments that are not placed by the segmentation, under the merged segment where their parent was merged.
    """
    made = describe(learnt, members)
    kept = {s: name for s, name in old.select(SEGMENT, NAME).iter_rows() if s not in touched or s in standing.names}
    made = made.with_columns(pl.Series(NAME, _names(made, kept), pl.String))
    edited = pl.col(SEGMENT).is_in(sorted(standing.reshaped)) & (pl.col("gain") == "")
    made = made.with_columns(served=pl.when(edited).then(pl.lit(EDITED)).otherwise("served"))
    others = [c for c in old.columns if c not in made.columns]
    rest = old.filter(~pl.col(SEGMENT).is_in([*learnt.segmentation.ids.tolist(), UNASSIGNED, *sorted(touched)]))
    if "parent" in rest.columns and touched:
        parent = pl.when(pl.col("parent").is_in(sorted(touched))).then(pl.lit(min(touched))).otherwise("parent")
        rest = rest.with_columns(parent=parent.cast(rest.schema["parent"]))
    alike = old.filter(~pl.col(SEGMENT).is_in(sorted(touched))).select(SEGMENT, *others)
    made = made.join(alike, on=SEGMENT, how="left", maintain_order="left").select(old.columns)
    if "verdict" in made.columns:
        reshaped = pl.col(SEGMENT).is_in(sorted(standing.reshaped)) & pl.col("verdict").is_null()
        made = made.with_columns(verdict=pl.when(reshaped).then(pl.lit(UNCERTIFIED)).otherwise("verdict"))
    return pl.concat([made, rest.cast(made.schema)])


def _names(made: pl.DataFrame, kept: dict[int, str]) -> list[str]:
    """Return the names that are kept, and new ones for the others; a new one that is taken gets a number."""
    taken = {name.lower() for name in kept.values()}
    names = []
    for segment, name in made.select(SEGMENT, NAME).iter_rows():
        if segment not in kept:
            number, plain = 1, re.sub(r" \(\d+\)$", "", name)
            while name.lower() in taken:
                number += 1
                name = f"{plain[:35]} ({number})"
            taken.add(name.lower())
        names.append(kept.get(segment, name))
    return names
