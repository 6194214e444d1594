"""Edits: the laws of merges, splits, pins and locks, and every edit that is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ConfigError, NotEnoughDataError, ShoalError, UnknownIdError
from shoal.segment.admit import admit, clean_name, segment_of
from shoal.segment.cluster import fit_segments
from shoal.segment.edits import Edit, Standing, next_ids, obey
from shoal.segment.reshape import merge, split
from shoal.segment.segmentation import Segmentation

WHEN = datetime(2026, 1, 31, 12, tzinfo=UTC)
USERS = 240


def blobs() -> np.ndarray:
    """Users around six directions that differ in size."""
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(6), [60, 50, 45, 35, 30, 20])
    rows = np.eye(8)[own] + 0.25 * rng.normal(size=(USERS, 8)) + 1
    return rows.astype(np.float32)


VECTORS, COUNTS = blobs(), np.full(USERS, 9)
FOUND = fit_segments(VECTORS, COUNTS, n=6, at_most=6, min_events=5, seed=0)
SEGMENTS = pl.DataFrame(
    {"segment": pl.Series([-1, 0, 1, 2], dtype=pl.Int32), "name": ["(unassigned)", "Horror", "Kids", "Noir"]}
)
KNOWN = ("ann", "bob", "cid")


def placed(found: Segmentation) -> np.ndarray:
    return found.assign(VECTORS, COUNTS)[0]


def after(found: Segmentation, steps: list[tuple[str, int, int]]) -> Segmentation:
    """Merge and split at random: the numbers choose among what there is."""
    for kind, a, b in steps:
        ids, where = found.ids.tolist(), placed(found)
        if kind == "merge" and len(ids) > 1:
            two = {ids[a % len(ids)], ids[b % len(ids)]}
            if len(two) == 2:
                found = merge(found, list(two), {int(s): int((where == s).sum()) for s in ids})
        elif kind == "split":
            segment = ids[a % len(ids)]
            if (where == segment).sum() >= 3:
                new = list(range(max(100, *ids) + 1, max(100, *ids) + 2 + b % 2))
                found = split(found, segment, VECTORS[where == segment], new, seed=a)
    return found


STEPS = st.lists(st.tuples(st.sampled_from(["merge", "split"]), st.integers(0, 9), st.integers(0, 9)), max_size=5)


@given(STEPS, st.integers(0, 5), st.integers(0, 5))
def test_a_merged_segment_has_exactly_the_users_of_both_under_the_lower_number(steps, a, b):
    found = after(FOUND, steps)
    one, two = found.ids[a % found.n], found.ids[b % found.n]
    if one == two:
        return
    low, high = min(one, two), max(one, two)
    before, then = placed(found), placed(merge(found, [int(two), int(one)], {}))
    assert then.tolist() == np.where(before == high, low, before).tolist()


@given(STEPS, st.integers(0, 9))
def test_the_children_of_a_split_have_exactly_the_users_of_the_whole_and_nobody_else_moves(steps, a):
    found = after(FOUND, steps)
    before = placed(found)
    segment = int(found.ids[a % found.n])
    here = before == segment
    if here.sum() < 2:
        return
    made = split(found, segment, VECTORS[here], [999], seed=1)
    then = placed(made)
    assert set(then[here]) == {segment, 999}
    assert (then == segment).sum() >= (then == 999).sum()
    assert then[~here].tolist() == before[~here].tolist()


@given(STEPS)
def test_memberships_sum_to_one_and_strength_is_the_membership_in_the_own_segment(steps):
    found = after(FOUND, steps)
    memberships = found.memberships(VECTORS)
    segment, strength = found.assign(VECTORS, COUNTS)
    assert found.ids.tolist() == sorted(set(found.ids.tolist()))
    np.testing.assert_allclose(memberships.sum(1), 1, atol=1e-5)
    columns = [found.column(s) for s in segment]
    np.testing.assert_allclose(memberships[np.arange(USERS), columns], strength, atol=1e-6)
    assert strength.min() > 0


@given(STEPS)
def test_edited_segments_come_back_from_their_tensors_and_place_users_one_by_one_alike(steps):
    found = after(FOUND, steps)
    again = Segmentation.of(found.tensors(), json.loads(json.dumps(found.document())))
    assert placed(again).tolist() == placed(found).tolist()
    alone = [int(again.assign(VECTORS[[u]], COUNTS[[u]])[0][0]) for u in range(0, USERS, 40)]
    assert alone == placed(found)[::40].tolist()


def test_memberships_of_a_merge_are_the_sum_and_those_of_a_split_sum_to_the_whole():
    before = FOUND.memberships(VECTORS)
    merged = merge(FOUND, [1, 4], {1: 50, 4: 30})
    np.testing.assert_allclose(merged.memberships(VECTORS)[:, merged.column(1)], before[:, 1] + before[:, 4], atol=1e-6)
    here = placed(FOUND) == 2
    children = split(FOUND, 2, VECTORS[here], [6, 7], seed=0)
    columns = [children.column(s) for s in (2, 6, 7)]
    np.testing.assert_allclose(children.memberships(VECTORS)[:, columns].sum(1), before[:, 2], atol=1e-6)


def test_a_merged_centre_is_the_weighted_mean_direction_of_length_one():
    merged = merge(FOUND, [4, 1], {1: 50, 4: 30})
    mean = 50 * FOUND.centers[1] + 30 * FOUND.centers[4]
    np.testing.assert_allclose(merged.centers[merged.column(1)], mean / np.linalg.norm(mean), atol=1e-6)
    assert merged.ids.tolist() == [0, 1, 2, 3, 5]
    assert len(merged.centers) == merged.n == 5
    opposite = replace(FOUND, centers=np.concatenate([FOUND.centers[:1], -FOUND.centers[:1], FOUND.centers[2:]]))
    assert np.isfinite(merge(opposite, [0, 1], {0: 1, 1: 1}).centers).all()


def test_a_merge_undone_by_a_split_gives_the_segments_back():
    two = placed(FOUND)
    merged = merge(FOUND, [0, 5], {0: 60, 5: 20})
    here = placed(merged) == 0
    again = placed(split(merged, 0, VECTORS[here], [6], seed=0))
    assert again[here].tolist() == np.where(two[here] == 5, 6, 0).tolist()


def test_the_only_segment_there_is_can_be_split_and_all_can_be_merged():
    alone = fit_segments(VECTORS, COUNTS, n=1, at_most=6, min_events=5, seed=0)
    made = split(alone, 0, VECTORS, [1, 2], seed=0)
    assert set(placed(made)) == {0, 1, 2}
    assert set(placed(merge(made, [0, 1, 2], {}))) == {0}


def test_the_same_seed_splits_alike():
    here = placed(FOUND) == 0
    one, two = (split(FOUND, 0, VECTORS[here], [6], seed=3) for _ in range(2))
    assert one.parts.centers.tolist() == two.parts.centers.tolist()


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (VECTORS[:2], "has 2 placed users"),
        (np.repeat(VECTORS[:1], 9, 0), "9 placed users, 1 of them"),
        (VECTORS[:0], "0 placed"),
    ],
)
def test_a_segment_with_too_few_users_cannot_be_split(vectors, words):
    with pytest.raises(NotEnoughDataError, match=words):
        split(FOUND, 0, vectors, [6, 7], seed=0)


def test_segments_that_nobody_edited_are_numbered_by_their_rows_and_so_are_runs_of_before():
    assert FOUND.ids.tolist() == list(range(6))
    assert FOUND.parts is None
    old = {name: tensor for name, tensor in FOUND.tensors().items() if name in ("centers", "mean")}
    assert placed(Segmentation.of(old, FOUND.document())).tolist() == placed(FOUND).tolist()
    with pytest.raises(UnknownIdError, match="no segment 9; there are 0, 1"):
        FOUND.column(9)


# --- pins -----------------------------------------------------------------------------------------------------------

NAMES = ["ann", "bob", "cid", "dee"]
OWN = np.array([0, 1, 5, -1])
SHARES = np.array([[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.2, 0.3, 0.5], [0.9, 0.1, 0.0]], np.float32)
IDS = np.array([0, 1, 5])
PINS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0, 1, 5]))
OUTS = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from([0, 1, 5]), min_size=1))


def obeyed(pins, outs):
    return obey(NAMES, OWN, SHARES, IDS, Standing(pins=pins, outs=outs))


@given(PINS, OUTS)
def test_pins_win_outs_go_to_the_next_best_and_nobody_else_moves(pins, outs):
    segment, strength = obeyed(pins, outs)
    for row, user in enumerate(NAMES):
        left = [c for c, s in enumerate(IDS) if s not in outs.get(user, set())]
        if user in pins:
            assert segment[row] == pins[user]
        elif OWN[row] == -1 or not left:
            assert segment[row] == -1
        elif user in outs:
            best = left[int(SHARES[row, left].argmax())]
            assert segment[row] == (IDS[best] if OWN[row] in outs[user] else OWN[row])
        else:
            assert segment[row] == OWN[row]
        known = OWN[row] != -1 and segment[row] != -1
        assert strength[row] == (SHARES[row, list(IDS).index(segment[row])] if known else 0)


def test_a_pin_into_a_segment_that_is_not_there_does_not_hold():
    assert obeyed({"ann": 77}, {})[0].tolist() == OWN.tolist()


def standing(*edits: Edit) -> Standing:
    return Standing.of(edits)


def test_pins_follow_a_merge_and_stay_with_the_number_of_a_split():
    found = standing(
        Edit("pin", (4,), ("ann",)),
        Edit("out", (4,), ("bob",)),
        Edit("out", (2,), ("cid",)),
        Edit("merge", (1, 4)),
        Edit("split", (2, 7), into=2),
    )
    assert found.pins == {"ann": 1}
    assert found.outs == {"bob": {1}, "cid": {2, 7}}
    assert found.reshaped == {1, 2, 7}
    assert found.by_hand() == ["ann", "bob", "cid"]


def test_a_pin_takes_back_an_out_an_out_a_pin_and_unpin_both():
    pin, out = Edit("pin", (1,), ("ann",)), Edit("out", (1,), ("ann",))
    assert standing(out, pin) == Standing(pins={"ann": 1}, used={1})
    assert standing(pin, out) == Standing(outs={"ann": {1}}, used={1})
    assert standing(pin, Edit("out", (2,), ("ann",)), Edit("unpin", (), ("ann",))) == Standing(used={1, 2})
    assert standing(pin, Edit("out", (2,), ("ann",))).outs == {"ann": {2}}


def test_names_and_locks_hold_until_they_are_changed_or_the_segment_dies():
    found = standing(
        Edit("rename", (1,), name="A"),
        Edit("rename", (2,), name="B"),
        Edit("rename", (1,), name="C"),
        Edit("lock", (3,)),
        Edit("lock", (1,)),
        Edit("unlock", (1,)),
        Edit("merge", (1, 2)),
    )
    assert found.names == {1: "C"}
    assert found.locked == {3}


def test_an_id_that_died_is_never_given_again():
    assert next_ids(2, SEGMENTS, standing(Edit("merge", (1, 7)))) == [8, 9]
    assert next_ids(1, SEGMENTS, Standing()) == [3]
    assert next_ids(1, SEGMENTS.head(0), Standing()) == [0]


# --- what is kept -----------------------------------------------------------------------------------------------------


@given(
    st.builds(
        Edit,
        st.sampled_from(["rename", "merge", "split", "pin"]),
        st.tuples(st.integers(0, 9)),
        st.lists(st.text(), max_size=3).map(tuple),
        name=st.text(),
        into=st.integers(0, 9),
        who=st.text(),
        why=st.text(),
        when=st.just(WHEN),
    )
)
def test_an_edit_comes_back_from_json(edit):
    assert Edit.of(json.loads(json.dumps(edit.as_dict()))) == edit


def test_an_edit_knows_who_made_it_and_when_in_utc(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    edit = Edit("lock", (1,))
    assert edit.who == "anna"
    assert edit.when.tzinfo is UTC
    assert abs((datetime.now(UTC) - edit.when).total_seconds()) < 60


def test_a_machine_without_login_names_gives_an_empty_one(monkeypatch):
    def none() -> str:
        raise OSError("no login name")

    monkeypatch.setattr("getpass.getuser", none)
    assert Edit("lock", (1,)).who == ""


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_segment_is_meant_by_its_number_or_its_name():
    assert segment_of(SEGMENTS, "1") == segment_of(SEGMENTS, 1) == segment_of(SEGMENTS, " Kids ") == 1


LOCKED = [Edit("lock", (1,))]
REFUSED = {
    "an unknown number": (Edit("lock", (9,)), [], UnknownIdError, "no segment 9; there are 0, 1, 2"),
    "the unassigned": (Edit("rename", (-1,), name="x"), [], UnknownIdError, "no segment -1"),
    "a merge of a locked segment": (Edit("merge", (0, 1)), LOCKED, ConfigError, r'1 \("Kids"\) is locked.*be merged'),
    "a split of a locked segment": (Edit("split", (1,), into=2), LOCKED, ConfigError, "cannot be split. Unlock it"),
    "a new name for a locked one": (Edit("rename", (1,), name="x"), LOCKED, ConfigError, "cannot be renamed"),
    "locking twice": (Edit("lock", (1,)), LOCKED, ConfigError, "is locked already"),
    "unlocking what is open": (Edit("unlock", (0,)), LOCKED, ConfigError, "is unlocked already"),
    "a merge with itself": (Edit("merge", (1, 1)), [], ConfigError, "merged with itself"),
    "a merge of one": (Edit("merge", (1,)), [], ConfigError, "about two segments or more; 1 given"),
    "a lock of none": (Edit("lock"), [], ConfigError, "about one segment; 0 given"),
    "a split into one": (Edit("split", (1,), into=1), [], ConfigError, "2 to 20 others, not into 1"),
    "a split into many": (Edit("split", (1,), into=21), [], ConfigError, "not into 21"),
    "a sibling's name": (Edit("rename", (1,), name="HORROR"), [], ConfigError, 'Segment 0 is called "Horror" already'),
    "the name of the unassigned": (Edit("rename", (1,), name="(unassigned)"), [], ConfigError, "already"),
    "the same name": (Edit("rename", (1,), name=" Kids "), [], ConfigError, "called .Kids. already"),
    "a rule's name": (Edit("rename", (1,), name="vips"), [], ConfigError, 'A rule is called "vips" already'),
    "no name": (Edit("rename", (1,), name="  "), [], ConfigError, "1 to 40 characters"),
    "a long name": (Edit("rename", (1,), name="x" * 41), [], ConfigError, "has 41"),
    "a name over two lines": (Edit("rename", (1,), name="a\nb"), [], ConfigError, "on one line"),
    "a number as a name": (Edit("rename", (1,), name="2"), [], ConfigError, "taken for a segment's id"),
    "an unknown user": (Edit("pin", (1,), ("anna",)), [], UnknownIdError, "no user anna; it has 3. Did you mean ann?"),
    "nobody": (Edit("pin", (1,)), [], ConfigError, "about one user or more"),
    "a pin twice": (Edit("pin", (1,), ("ann",)), [Edit("pin", (1,), ("ann",))], ConfigError, "pinned into segment 1"),
    "an out twice": (Edit("out", (1,), ("ann",)), [Edit("out", (1,), ("ann",))], ConfigError, "is out of segment 1"),
    "unpinning the free": (Edit("unpin", (), ("ann",)), [], ConfigError, "neither pinned"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_edit_is_refused(what):
    edit, log, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        admit(edit, SEGMENTS, Standing.of(log), KNOWN, ["VIPs"])
    assert issubclass(error, ShoalError)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(UnknownIdError, match=r"no segment Horor; .* Did you mean Horror?"):
        segment_of(SEGMENTS, "Horor")


def test_users_may_be_pinned_into_a_locked_segment_and_a_name_may_change_its_case():
    found = Standing.of(LOCKED)
    assert admit(Edit("pin", (1,), ("ann",)), SEGMENTS, found, KNOWN)
    assert admit(Edit("rename", (0,), name="horror"), SEGMENTS, found, KNOWN).name == "horror"
    assert admit(Edit("merge", (2, 0)), SEGMENTS, found, KNOWN).segments == (0, 2)
    assert clean_name("  犯罪  ") == "犯罪"


def test_a_new_number_is_none_that_a_segment_a_subsegment_or_an_edit_ever_had():
    standing = Standing.of([Edit("merge", (1, 6))])
    segments = pl.DataFrame({"segment": [0, 1]}, schema={"segment": pl.Int32})
    assert next_ids(2, segments, standing) == [7, 8]
    assert next_ids(1, segments, standing, [3, 11, -1]) == [12]
