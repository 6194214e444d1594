"""`shoal edit`: what was edited is kept, places users consistently, stands in the log; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoal.cli import main as cli
from shoal.config import Config
from shoal.data.synthetic import planted_world
from shoal.errors import ConfigError, StoreError
from shoal.pipeline import fit, load
from shoal.run import Run
from shoal.segment import readable
from shoal.segment.edits import Edit
from shoal.segment.readable import READABLE, readable_rules, with_rules
from shoal.tables import SEGMENT, USER

pytestmark = pytest.mark.xdist_group("small run")


def edit(folder: Path, *arguments) -> Run:
    assert cli.run(["edit", str(folder), *map(str, arguments)]) == 0
    return load(folder)


def refused(capsys, folder: Path, *arguments) -> str:
    capsys.readouterr()
    assert cli.run(["edit", str(folder), *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def of(run: Run, segment: int) -> set[str]:
    return set(run.members.filter(pl.col(SEGMENT) == segment)[USER])


def consistent(run: Run) -> None:
    """What the tables say and what `assign` says are one, and sizes and names are right."""
    assert_frame_equal(run.assign(run.data.interactions), run.members, abs_tol=1e-5)
    sizes = dict(run.members.group_by(SEGMENT).len().iter_rows())
    assert dict(run.segments.select(SEGMENT, "size").iter_rows()) == sizes
    assert run.segments["name"].str.to_lowercase().n_unique() == run.segments.height
    assert run.recommend(n=3).height == 3 * run.data.users.height


def test_a_merge_is_kept_and_later_users_are_placed_accordingly(small_run, capsys) -> None:
    before = load(small_run)
    after = edit(small_run, "merge", 3, 1, "--why", "siblings")
    assert of(after, 1) == of(before, 1) | of(before, 3)
    assert after.segments[SEGMENT].to_list() == [0, 1, 2]
    assert [v.segment for v in after.learnt.by_segment.verdicts_] == [
        v.segment for v in before.learnt.by_segment.verdicts_ if v.segment not in (1, 3)
    ]
    assert "merged or split" in after.segments.filter(pl.col(SEGMENT) == 1)["verdict"][0]
    consistent(after)
    user = min(of(before, 3))
    stranger = f"{user}!"  # unknown, and in the same place of the order of ids: ties in time are drawn by that
    events = before.data.interactions.with_columns(pl.col(USER).cast(pl.String).replace(user, stranger))
    assert after.assign(events).filter(pl.col(USER) == stranger)[SEGMENT].to_list() == [1]
    assert "Done: 1 and 3 are one segment, 1." in capsys.readouterr().err


def test_names_of_segments_that_were_not_touched_stay_and_so_do_their_figures(small_run) -> None:
    before, after = load(small_run), edit(small_run, "merge", 1, 3)
    alike = ["segment", "name", "size", "lift", "gain", "events_per_user"]
    one, two = (r.segments.filter(pl.col(SEGMENT).is_in([0, 2])).select(alike) for r in (before, after))
    assert_frame_equal(one, two)


def test_a_split_keeps_the_number_for_the_largest_child_and_gives_numbers_that_nobody_had(small_run) -> None:
    before = edit(small_run, "merge", 0, 3)
    after = edit(small_run, "split", 0, "--into", 3)
    assert after.segments[SEGMENT].to_list() == [0, 1, 2, 4, 5]  # 3 died
    assert of(after, 0) | of(after, 4) | of(after, 5) == of(before, 0)
    assert len(of(after, 0)) >= len(of(after, 4)) >= len(of(after, 5)) > 0
    assert of(after, 1) == of(before, 1)
    assert after.edits[-1].segments == (0, 4, 5)
    consistent(after)
    assert edit(small_run, "split", 4, "--into", 2).segments[SEGMENT].max() == 6


def test_a_name_keeps_its_segment_through_load_merge_and_split(small_run) -> None:
    edit(small_run, "rename", 1, " VIPs ", "--who", "anna", "--why", "as we say")
    assert edit(small_run, "merge", 1, 3).segments.filter(pl.col(SEGMENT) == 1)["name"][0] == "VIPs"
    assert edit(small_run, "rename", "VIPs", "vips").segments.filter(pl.col(SEGMENT) == 1)["name"][0] == "vips"
    after = edit(small_run, "split", "vips", "--into", 2)
    assert after.segments.filter(pl.col(SEGMENT) == 1)["name"][0] == "vips"
    consistent(after)


def test_a_pin_wins_an_out_moves_to_the_next_best_and_unpin_takes_back(small_run) -> None:
    before = load(small_run)
    user = min(of(before, 0))
    pinned = edit(small_run, "pin", user, 2)
    assert of(pinned, 2) == of(before, 2) | {user}
    consistent(pinned)
    row = pinned.data.users[USER].cast(pl.String).sort().to_list().index(user)
    vectors = pinned.learnt.users(pinned.learnt.pasts(pinned.data.interactions, pinned._known(None)))
    shares = pinned.learnt.segmentation.memberships(vectors)[row]
    assert pinned.members.filter(pl.col(USER) == user)["strength"][0] == pytest.approx(shares[2], abs=1e-5)
    out = edit(small_run, "out", user, 0)
    assert user in of(out, 2)  # still pinned
    out = edit(small_run, "out", user, 2)
    left = {1: shares[1], 3: shares[3]}
    assert user in of(out, max(left, key=left.__getitem__))
    consistent(out)
    back = edit(small_run, "unpin", user)
    assert_frame_equal(back.members, before.members, abs_tol=1e-5)
    assert back.explain(user).height


def test_a_pinned_user_stays_through_a_merge_and_another_split(small_run) -> None:
    user = min(of(load(small_run), 0))
    edit(small_run, "pin", user, 3)
    assert user in of(edit(small_run, "merge", 1, 3), 1)
    after = edit(small_run, "split", 0, "--into", 2)
    assert user in of(after, 1)
    consistent(after)


def test_the_log_says_who_what_and_why(small_run, capsys) -> None:
    edit(small_run, "lock", 2, "--who", "anna", "--why", "the campaign runs on it")
    edit(small_run, "unlock", 2, "--who", "ben")
    capsys.readouterr()
    edit(small_run, "log")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["when", "by", "what", "why"]
    assert "anna   segment 2 is locked" in lines[1]
    assert lines[1].endswith("the campaign runs on it")
    assert "ben    segment 2 is unlocked" in lines[2]
    edit(small_run, "log", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [(e["kind"], e["who"], e["segments"]) for e in told] == [("lock", "anna", [2]), ("unlock", "ben", [2])]
    assert told[0]["when"].endswith("+00:00")


def test_a_run_without_edits_has_an_empty_log(small_run, capsys) -> None:
    assert cli.run(["edit", str(small_run), "log", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_other_columns_pass_through(small_run) -> None:
    run = load(small_run)
    run.segments = run.segments.with_columns(parent=pl.lit(None, pl.Int32), stability=pl.lit(0.9))
    run.members = run.members.with_columns(mark=pl.lit(7, pl.Int32))
    extra = run.segments.head(1).with_columns(
        segment=pl.lit(7, pl.Int32), name=pl.lit("A child"), parent=pl.lit(3, pl.Int32)
    )
    run.segments = pl.concat([run.segments, extra])
    after = run.edited(Edit("merge", (1, 3)), Edit("split", (0,), into=2))
    assert after.segments.columns == run.segments.columns
    assert after.segments.select(SEGMENT, "stability").rows() == [(0, None), (1, None), (2, 0.9), (8, None), (7, 0.9)]
    assert after.members.columns == run.members.columns
    assert after.members["mark"].unique().to_list() == [7]
    assert after.segments.filter(pl.col(SEGMENT) == 7)["parent"].to_list() == [1]  # 3 is a part of 1 now


def test_after_a_merge_reasons_are_those_of_the_right_segment(small_run) -> None:
    after = load(small_run).edited(Edit("merge", (0, 1)))
    assert after.learnt.segmentation.ids.tolist() == [0, 2, 3]
    user = min(of(after, 3))
    told = after.why(user)
    assert told.segment == 3
    assert set(told.memberships[SEGMENT]) == {0, 2, 3}
    assert told.memberships.filter("here")[SEGMENT].to_list() == [3]
    way = after.way_to(user, 2)
    assert way.height > 0
    assert set(way["segment"]) <= {-1, 0, 2, 3}
    assert after.explain(user).height > 0


def test_what_was_certified_of_a_segment_goes_when_it_is_merged(small_run) -> None:
    run = load(small_run)
    assert set(run.certificate[SEGMENT].drop_nulls()) >= {0, 1, 2, 3}
    after = run.edited(Edit("merge", (0, 1)))
    assert set(after.certificate[SEGMENT].drop_nulls()) & {0, 1} == set()
    assert after.segments.filter(pl.col(SEGMENT) == 0)["verdict"][0].startswith("merged or split by hand")
    renamed = run.edited(Edit("rename", (2,), name="Night owls"))
    assert renamed.segments.filter(pl.col(SEGMENT) == 2)["blind_score"].to_list() == [None]
    assert renamed.segments.filter(pl.col(SEGMENT) == 3)["blind_score"].null_count() == 0


def test_rules_are_about_the_users_that_a_segment_has_now(small_run, capsys) -> None:
    before, after = load(small_run), edit(small_run, "merge", 0, 1)
    fresh = with_rules(after.segments.drop(READABLE.keys()), readable_rules(after.members, after.data))
    assert_frame_equal(after.segments, fresh.select(after.segments.columns))
    assert after.segments["rule"][0] != before.segments["rule"][0]
    same = ["rule", "rule_precision", "rule_recall"]
    assert after.segments.tail(2).select(same).equals(before.segments.tail(2).select(same))
    user = min(of(after, 3))
    pinned = edit(small_run, "pin", user, 2)
    fresh = with_rules(after.segments.drop(READABLE.keys()), readable_rules(pinned.members, pinned.data))
    assert_frame_equal(pinned.segments.select("segment", *READABLE), fresh.select("segment", *READABLE))


def test_a_run_of_before_has_no_rules_until_a_segment_is_edited(small_run) -> None:
    run = load(small_run)
    old = replace(run, segments=run.segments.drop(READABLE.keys()), more={})
    old.save(small_run.with_name("old"))
    loaded = load(small_run.with_name("old"))
    assert loaded.segments.columns == [*old.segments.columns, *READABLE]
    assert loaded.segments.select(READABLE.keys()).null_count().row(0) == (loaded.segments.height,) * len(READABLE)
    assert loaded.subsegments.height == 0
    assert loaded.edited(Edit("rename", (2,), name="Night owls")).segments["rule"].null_count() == 4
    after = loaded.edited(Edit("merge", (0, 1)))
    assert after.segments.filter(pl.col("rule").is_not_null() | pl.col("rule_reason").is_not_null())[
        SEGMENT
    ].to_list() == [0]


def test_what_is_said_of_subsegments_is_kept_with_an_edit(small_run) -> None:
    run = load(small_run)
    inside = with_rules(run.segments.head(1).with_columns(segment=pl.lit(9, pl.Int32), parent=pl.lit(0, pl.Int32)), {})
    run.more["subsegments"] = inside.with_columns(rule=pl.lit("event_count > 1"))
    run.edited(Edit("rename", (2,), name="Night owls")).update(small_run)
    assert load(small_run).more["subsegments"]["rule"].to_list() == ["event_count > 1"]


def test_a_run_is_not_changed_by_its_edits(small_run) -> None:
    run = load(small_run)
    before, offered = run.members.clone(), run.recommend(n=3)
    verdicts = list(run.learnt.by_segment.verdicts_)
    run.edited(Edit("merge", (0, 1)), Edit("pin", (2,), ("u0",)))
    assert run.edits == []
    assert_frame_equal(run.members, before)
    assert_frame_equal(run.assign(run.data.interactions), before, abs_tol=1e-5)
    assert_frame_equal(run.recommend(n=3), offered)
    assert run.learnt.by_segment.verdicts_ == verdicts


def test_the_same_edits_in_one_go_and_one_by_one_end_alike(small_run) -> None:
    edits = [Edit("merge", (1, 3)), Edit("split", (0,), into=2), Edit("pin", (4,), ("u0",)), Edit("out", (1,), ("u1",))]
    at_once, step = load(small_run).edited(*edits), load(small_run)
    for one in edits:
        step = step.edited(one)
        step.update(small_run)
        step = load(small_run)
    assert_frame_equal(at_once.members, step.members)
    assert_frame_equal(at_once.segments, step.segments)


def test_edits_survive_a_save_elsewhere(small_run, tmp_path) -> None:
    run = load(small_run).edited(Edit("merge", (1, 3)))
    again = load(run.save(tmp_path / "other"))
    assert again.edits == run.edits
    consistent(again)


def test_a_run_that_was_edited_meanwhile_is_not_overwritten(small_run) -> None:
    one, two = load(small_run), load(small_run)
    one.edited(Edit("lock", (0,))).update(small_run)
    with pytest.raises(StoreError, match="edited meanwhile"):
        two.edited(Edit("lock", (1,))).update(small_run)
    assert [e.segments for e in load(small_run).edits] == [(0,)]


def test_another_runs_folder_is_not_overwritten(small_run, tmp_path) -> None:
    run = load(small_run)
    run.manifest = run.manifest | {"seed": 99}
    other = run.save(tmp_path / "other")
    with pytest.raises(StoreError, match="holds another run"):
        load(small_run).edited(Edit("lock", (0,))).update(other)


def test_the_last_user_cannot_leave_a_segment(small_run) -> None:
    run = load(small_run)
    *most, last = [Edit("pin", (0,), (user,)) for user in sorted(of(run, 3))]
    run = run.edited(*most)
    with pytest.raises(ConfigError, match="would have nobody left"):
        run.edited(last)


REFUSED = {
    "an unknown segment": (["lock", 9], "There is no segment 9; there are 0, 1, 2, 3."),
    "an unknown name": (["lock", "Horor"], "There is no segment Horor"),
    "an unknown user": (["pin", "u999x", 1], "This run has no user u999x; it has 150. Did you mean"),
    "a merge with itself": (["merge", 1, 1], "merged with itself"),
    "a merge of one": (["merge", 1], "Write it so: shoal edit RUN merge SEGMENT SEGMENT ..."),
    "a split without a number": (["split", 1], "split SEGMENT --into 2"),
    "a split into one": (["split", 1, "--into", 1], "into 2 to 20 others"),
    "a number for something else": (["lock", 1, "--into", 2], "Write it so: shoal edit RUN lock SEGMENT"),
    "a rename without a name": (["rename", 1], 'rename SEGMENT "New name"'),
    "a name of three words": (["rename", 1, "New", "name"], 'rename SEGMENT "New name"'),
    "an empty name": (["rename", 1, ""], "1 to 40 characters"),
    "the unassigned": (["rename", "(unassigned)", "x"], "There is no segment (unassigned)"),
    "a pin to nowhere": (["pin", "u1"], "pin USER SEGMENT"),
    "an unpin of the free": (["unpin", "u1"], "neither pinned"),
    "an unlock of the open": (["unlock", 1], "is unlocked already"),
    "a log of something": (["log", 1], "shoal edit RUN log"),
    "what is no action": (["delete", 1], "'delete' is not one of"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_edit_is_refused_in_one_line_and_nothing_is_changed(fitted_once, capsys, what) -> None:
    arguments, words = REFUSED[what]
    before = {p.name: p.stat().st_mtime_ns for p in fitted_once.iterdir()}
    assert words in refused(capsys, fitted_once, *arguments)
    assert {p.name: p.stat().st_mtime_ns for p in fitted_once.iterdir()} == before


def test_a_segment_is_not_split_into_more_than_it_has_users(small_run, capsys) -> None:
    run = edit(small_run, "split", 0, "--into", 5)
    smallest = run.segments.sort("size")[SEGMENT][0]
    assert run.segments["size"].min() < 20
    assert f"Segment {smallest} cannot be split into 20: it has" in refused(
        capsys, small_run, "split", smallest, "--into", 20
    )
    assert load(small_run).edits == run.edits


@pytest.mark.parametrize("arguments", [["merge", 0, 2], ["split", 2, "--into", 2], ["rename", 2, "x"]])
def test_a_locked_segment_is_neither_merged_nor_split_nor_renamed(small_run, capsys, arguments) -> None:
    edit(small_run, "lock", 2)
    assert "is locked" in refused(capsys, small_run, *arguments)
    edit(small_run, "unlock", 2)
    edit(small_run, *arguments)


def test_a_siblings_name_and_a_rules_name_are_refused(small_run, capsys) -> None:
    name = load(small_run).segments.filter(pl.col(SEGMENT) == 2)["name"][0]
    assert f'Segment 2 is called "{name}" already' in refused(capsys, small_run, "rename", 1, name.upper())
    assert cli.run(["rule", str(small_run), "event_count > 1", "--save", "VIPs"]) == 0
    assert 'A rule is called "vips" already' in refused(capsys, small_run, "rename", 1, "vips")


def test_a_run_that_is_not_there_is_told(tmp_path, capsys) -> None:
    assert "There is no run folder" in refused(capsys, tmp_path / "nowhere", "log")


def test_a_later_run_obeys_what_was_done_by_hand(small_run, tmp_path) -> None:
    found = load(small_run)
    user = min(of(found, 2))
    before = found.with_rule("Many", "event_count > 1").edited(
        Edit("merge", (1, 3), who="ann"),
        Edit("split", (0,), into=2),
        Edit("rename", (4,), name="Fans"),
        Edit("rename", (1,), name="VIPs", who="ann", why="as we say"),
        Edit("pin", (1,), (user,)),
        Edit("lock", (2,)),
    )
    mapping = {0: 0, 1: 1, 2: 2}  # the later fit found what the first one did, before anybody edited it
    after, notes = found.continuing(before, mapping)
    assert notes == []
    assert_frame_equal(after.members.sort(USER), _with_ids_of(after, before).sort(USER), abs_tol=1e-5)
    names = dict(after.segments.select(SEGMENT, "name").iter_rows())
    assert names[1] == "VIPs"
    assert "Fans" in names.values()
    assert after.edits[: len(before.edits)] == before.edits
    assert after.edits[len(before.edits)].kind == "refit"
    assert list(after.rules) == ["Many"]
    assert max(after.segments[SEGMENT]) > 4  # 4 is the old part's id, and not given again
    with pytest.raises(ConfigError, match="is locked"):
        after.edited(Edit("merge", (1, 2)))
    consistent(load(after.save(tmp_path / "later")))


def test_rules_are_made_again_once_however_many_edits_a_later_run_obeys(small_run, monkeypatch) -> None:
    found, passes = load(small_run), []
    pins = [Edit("pin", (2,), (user,)) for user in sorted(of(found, 0))[:4]]
    before = found.edited(Edit("merge", (1, 3)), *pins, Edit("rename", (0,), name="Fans"))
    asked = readable._ask
    monkeypatch.setattr(readable, "_ask", lambda *given: passes.append(1) or asked(*given))
    after, notes = found.continuing(before, {0: 0, 1: 1, 2: 2})
    assert notes == []
    assert len(after.edits) == 13
    assert passes == [1]
    fresh = with_rules(after.segments.drop(READABLE.keys()), readable_rules(after.members, after.data))
    assert_frame_equal(after.segments, fresh.select(after.segments.columns))
    passes.clear()
    found.edited(*pins)
    assert passes == [1]


@pytest.mark.parametrize("traits", [True, False])
def test_rules_ask_for_columns_of_users_only_where_the_run_uses_them(small_run, monkeypatch, traits: bool) -> None:
    run, asked = load(small_run), []
    users = run.data.users.with_columns(age=pl.int_range(pl.len()) % 60)
    config = run.learnt.config
    recommend = config.recommend.model_copy(update={"traits": traits})
    config = config.model_copy(update={"recommend": recommend})
    run.learnt = replace(run.learnt, data=replace(run.data, users=users), config=config)
    made = readable.facts_of
    monkeypatch.setattr(readable, "facts_of", lambda *given: asked.extend(made(*given)) or asked)
    run.edited(Edit("pin", (2,), (min(of(run, 0)),)))
    assert asked
    assert ("age" in {fact.text for fact in asked}) == traits


@pytest.mark.slow
def test_a_fit_that_does_not_use_columns_of_users_has_no_rule_that_asks_for_them(monkeypatch) -> None:
    world, _ = planted_world(users=80, items=40, segments=2, events_per_user=12, seed=1)
    world = replace(world, users=world.users.with_columns(age=pl.int_range(pl.len()) % 10))
    asked, made = [], readable.facts_of
    monkeypatch.setattr(readable, "facts_of", lambda *given: asked.extend(made(*given)) or asked)
    small = {"train": {"epochs": 1, "batch_users": 64}, "tower": {"width": 16, "history": 20}, "segment": {"n": 2}}
    fit(world, config=Config(**small, recommend={"factors": 8, "traits": False}, effort="quick"))
    told = {fact.text for fact in asked}
    assert "event_count" in told
    assert "age" not in told


def _with_ids_of(after: Run, before: Run) -> pl.DataFrame:
    """The members of `before` under the ids that the segments of the same names have in `after`."""
    ids = before.segments.select(SEGMENT, "name").join(
        after.segments.select("name", now=SEGMENT), on="name", how="left"
    )
    table = before.members.join(ids, on=SEGMENT, how="left", maintain_order="left")
    return table.select(USER, pl.coalesce("now", SEGMENT).alias(SEGMENT), "strength", "subsegment")


def test_what_a_later_run_cannot_carry_over_is_told(small_run) -> None:
    found = load(small_run)
    name = found.segments.filter(pl.col(SEGMENT) == 2)["name"][0]
    before = found.edited(Edit("rename", (2,), name="Two"), Edit("rename", (0,), name=name), Edit("lock", (3,)))
    after, notes = found.continuing(before, {0: 0, 1: 1})
    assert notes == [
        'Segment 2 ("Two") is no more; its name is dropped.',
        "Segment 3 is no more; its lock is dropped.",
    ]
    names = dict(after.segments.select(SEGMENT, "name").iter_rows())
    assert names[0] == name  # a name given by hand wins over one that was made
    assert names[2] != name
    assert len(set(names.values())) == 4
