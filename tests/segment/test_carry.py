"""Edits carried over to a later fit: what goes along, what is dropped with a note, and the log that goes on."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.segment.carry import carry, rematch, reshaping
from shoal.segment.edits import Edit, Standing


def members(**of: str) -> pl.DataFrame:
    """Write members as segment and users: s0="abc"; s_ are the unassigned."""
    rows = [(user, -1 if s == "s_" else int(s[1:])) for s, users in of.items() for user in users]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "segment": pl.Int32}, orient="row")


LOG = [
    Edit("rename", (0,), name="Old name", who="ann", why="first"),
    Edit("rename", (0,), name="VIPs", who="bob", why="second"),
    Edit("rename", (2,), name="Gone", who="bob"),
    Edit("lock", (0,), who="cid", why="campaign"),
    Edit("lock", (2,)),
    Edit("pin", (1,), ("u1", "u2"), who="dee", why="asked"),
    Edit("out", (2,), ("u3",)),
    Edit("pin", (2,), ("u4",)),
    Edit("pin", (1,), ("u5",)),
]


def test_names_locks_and_pins_go_along_with_who_asked_and_why() -> None:
    carried = carry(LOG, {0: 5, 1: 0}, ["u1", "u2", "u3", "u4"])
    told = [(e.kind, e.segments, e.users, e.name, e.who, e.why) for e in carried.edits]
    assert told[0] == ("rename", (5,), (), "VIPs", "bob", "second")
    assert told[1:3] == [("pin", (0,), (user,), "", "dee", "asked") for user in ("u1", "u2")]
    assert told[3] == ("lock", (5,), (), "", "cid", "campaign")
    assert carried.edits[0].when == LOG[1].when
    assert len(told) == 4


def test_what_belongs_to_the_dead_is_dropped_with_a_note() -> None:
    notes = carry(LOG, {0: 5, 1: 0}, ["u1", "u2", "u3", "u4"]).notes
    assert notes == (
        'Segment 2 ("Gone") is no more; its name is dropped.',
        "Segment 2 is no more; the pin into it of user u4 is dropped.",
        "User u5 is no more; the pin into segment 1 is dropped.",
        "Segment 2 is no more; the exclusion from it of user u3 is dropped.",
        "Segment 2 is no more; its lock is dropped.",
    )


def test_where_all_go_on_nothing_is_dropped_and_what_holds_is_the_same() -> None:
    same = {s: s for s in range(3)}
    carried = carry(LOG, same, [f"u{i}" for i in range(9)])
    assert carried.notes == ()
    before, after = Standing.of(LOG), Standing.of(carried.edits)
    assert (after.names, after.locked, after.pins, after.outs) == (
        before.names,
        before.locked,
        before.pins,
        before.outs,
    )


def test_after_a_refit_nothing_of_before_holds_by_itself_but_no_id_is_given_again() -> None:
    found = Standing.of([*LOG, Edit("refit"), Edit("lock", (1,))])
    assert found == Standing(locked={1}, used={0, 1, 2})
    assert carry([*LOG, Edit("refit")], {0: 0, 1: 1, 2: 2}, ["u1"]).edits == ()


def test_a_new_segment_with_the_users_of_a_merged_one_is_merged_into_it_again() -> None:
    log = [Edit("merge", (1, 4), who="ann")]
    before = members(s0="abc", s1="defghi", s_="x")
    after = members(s3="abc", s7="def", s2="ghix", s5="yz")  # 5 is new altogether
    (edit, olds), *more = reshaping(log, {0: 3, 1: 7}, before, after)
    assert (edit.kind, edit.segments, edit.who, olds, more) == ("merge", (2, 7), "ann", (1,), [])


@pytest.mark.parametrize(
    "after",
    [
        {"s3": "abc", "s7": "defghi"},  # found whole
        {"s3": "abc", "s7": "def", "s2": "ghixyz" + "bca"},  # half of 2 is of others
    ],
)
def test_nothing_is_merged_where_nothing_fell_apart(after: dict[str, str]) -> None:
    before = members(s0="abc", s1="defghi", s8="xyz")
    kept = {user: (user, s) for s, users in after.items() for user in users}  # a user stands once
    again = pl.DataFrame([(u, int(s[1:])) for u, s in kept.values()], schema=before.schema, orient="row")
    assert reshaping([Edit("merge", (1, 4))], {0: 3, 1: 7}, before, again) == []


def test_two_segments_that_nobody_merged_are_left_alone() -> None:
    before, after = members(s0="abcdef"), members(s0="abc", s1="def")
    assert reshaping([Edit("rename", (0,), name="x")], {0: 0}, before, after) == []


def test_the_parts_of_a_split_that_became_one_are_split_again_and_matched_by_their_users() -> None:
    log = [Edit("split", (2, 5, 6), into=3, who="ann")]
    before = members(s0="abc", s2="defg", s5="hij", s6="kl")
    (edit, olds), *more = reshaping(log, {0: 0, 2: 1, 6: 3}, before, members(s0="abc", s1="defghij", s3="kl"))
    assert (edit.kind, edit.segments, edit.into, olds, more) == ("split", (1,), 2, (2, 5), [])
    then = members(s0="abc", s1="hij", s9="defg", s3="kl")  # the larger child need not be the same
    assert rematch({0: 0, 2: 1, 6: 3}, olds, (1, 9), before, then) == {0: 0, 2: 9, 5: 1, 6: 3}


def test_a_part_of_a_split_that_scattered_is_left_dead() -> None:
    before = members(s2="defg", s5="hijk")
    assert reshaping([Edit("split", (2, 5), into=2)], {2: 1}, before, members(s1="defghi", s3="jk")) == []


def test_an_empty_log_carries_nothing() -> None:
    nobody = members()
    assert reshaping([], {}, nobody, nobody) == []
    assert carry([], {}, []).edits == carry([], {}, []).notes == ()
