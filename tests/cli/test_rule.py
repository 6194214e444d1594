"""`shoal rule`: size before saving, rules kept with the run, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from shoal.cli import main as cli
from shoal.pipeline import load
from shoal.segment import readable

pytestmark = pytest.mark.xdist_group("small run")

HORROR = 'share("Horror") > 0.5 and rating_count > 5'


def said(capsys, *arguments) -> str:
    code = cli.run([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def refused(capsys, *arguments) -> str:
    assert cli.run([str(a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_preview_tells_size_share_and_overlap_and_keeps_nothing(small_run, capsys) -> None:
    before, run = files(small_run), load(small_run)
    told = json.loads(said(capsys, "rule", small_run, HORROR, "--json"))
    assert 0 < told["size"] < 150 == told["users"]
    assert told["share"] == told["size"] / 150
    assert told["size"] == len(run.match(HORROR))
    assert sum(row["matched"] for row in told["overlap"]) == told["size"]
    assert [row["size"] for row in told["overlap"]] == run.segments["size"].to_list()
    assert sum(row["of_rule"] for row in told["overlap"]) == pytest.approx(1)
    lines = said(capsys, "rule", small_run, HORROR).splitlines()
    assert lines[0].startswith(f"  {told['size']} of 150 users match (")
    assert lines[2].split() == ["#", "segment", "users", "match", "of", "the", "segment", "of", "the", "rule"]
    assert files(small_run) == before


def test_the_rule_of_a_segment_is_taken_as_it_stands_and_finds_what_is_said(small_run, capsys) -> None:
    segments = json.loads(said(capsys, "segments", small_run, "--json"))
    asked = [row for row in segments if row["rule"] is not None]
    assert len(asked) >= 2
    members = dict(load(small_run).members.select("user_id", "segment").iter_rows())
    measured = {user for user in members if readable._hash(user) % 2 == 1}  # the others are those it was learnt from
    for row in asked:
        own = {user for user in measured if members[user] == row["segment"]}
        found = measured & set(load(small_run).match(row["rule"]))
        assert row["rule_precision"] == len(found & own) / len(found)
        assert row["rule_recall"] == len(found & own) / len(own)
        assert row["rule_share"] == len(own) / len(measured)
        assert len(found & own) >= 10
        assert json.loads(said(capsys, "rule", small_run, row["rule"], "--json"))["size"] >= len(found)
        assert row["rule_precision_low"] > row["rule_share"]
        shown = said(capsys, "segments", small_run, "--segment", row["segment"])
        assert row["rule"] in shown
    said(capsys, "rule", small_run, asked[0]["rule"], "--save", "Found")


def test_a_rule_is_kept_listed_asked_by_others_and_dropped(small_run, capsys) -> None:
    said(capsys, "rule", small_run, HORROR, "--save", "Horror fans", "--who", "anna", "--why", "October")
    nested = 'in_segment("Horror fans") and segment != 2'
    said(capsys, "rule", small_run, nested, "--save", "Some of them")
    run = load(small_run)
    assert list(run.rules) == ["Horror fans", "Some of them"]
    assert set(run.match("Some of them")) <= set(run.match("Horror fans"))
    listed = json.loads(said(capsys, "rule", small_run, "--list", "--json"))
    assert [(row["name"], row["users"]) for row in listed] == [(n, len(run.match(n))) for n in run.rules]
    assert (listed[0]["who"], listed[0]["why"], listed[0]["rule"]) == ("anna", "October", HORROR)
    assert "Horror fans" in said(capsys, "rule", small_run, "--list")
    assert 'The rule "Some of them" asks for "Horror fans"' in refused(
        capsys, "rule", small_run, "--drop", "Horror fans"
    )
    said(capsys, "rule", small_run, "--drop", "Some of them")
    said(capsys, "rule", small_run, "--drop", "Horror fans")
    assert load(small_run).rules == {}


def test_keeping_a_rule_changes_nothing_else_in_the_folder(small_run, capsys) -> None:
    (small_run / "report.html").write_text("a report")
    before, run = files(small_run), load(small_run)
    said(capsys, "rule", small_run, HORROR, "--save", "Horror fans")
    after, again = files(small_run), load(small_run)
    assert {name for name in after if before.get(name) != after[name]} == {"rules.json", "manifest.json"}
    assert_frame_equal(again.members, run.members)
    assert_frame_equal(again.segments, run.segments)


def test_a_rule_survives_a_save_elsewhere(small_run, tmp_path) -> None:
    run = load(small_run).with_rule("Horror fans", HORROR)
    assert list(load(run.save(tmp_path / "other")).rules) == ["Horror fans"]


def test_a_rule_that_can_no_longer_be_asked_is_listed_without_a_size(small_run, capsys) -> None:
    name = load(small_run).segments["name"][0]
    said(capsys, "rule", small_run, f'in_segment("{name}")', "--save", "As found")
    said(capsys, "edit", small_run, "rename", "0", "Another name")
    assert cli.run(["rule", str(small_run), "--list", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["users"] is None
    assert 'The rule "As found" can no longer be asked.' in err


UNREADABLE = {
    "": "it is empty",
    "rating_count >": "expected a name, a number",
    "rating_count = 3": "write == to compare",
    "ratng_count > 3": "Did you mean rating_count?",
    'share("Horor") > 0': 'Did you mean "Horror"?',
    'has("no such thing")': "no item has the id or the title",
    'in_segment("nobody")': "no segment and no rule is called",
    'mean_rating == "high"': "they cannot be compared",
    "rating_count": "a rule needs a condition",
    "gender == 1": "no column of the users table",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_rule_that_cannot_be_read_or_asked_is_pointed_at(small_run, capsys, text) -> None:
    for more in ([], ["--save", "x"]):
        err = refused(capsys, "rule", small_run, text, *more)
        first, shown, caret = err.splitlines()
        assert first.startswith("shoal: The rule cannot be ")
        assert UNREADABLE[text] in first
        assert shown == f"    {text}"
        assert caret.strip() == "^"
        assert "x" not in load(small_run).rules


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mean_rating > 5 and rating_count > 3", "mean_rating > 5 alone holds for none of 150 users"),
        ("mean_rating > 5", "mean_rating > 5 holds for none of 150 users"),
        ('segment == 0 and segment == 1 and has("i1")', "and no user has them all"),
    ],
)
def test_a_rule_that_matches_nobody_is_refused_with_the_part_that_does_so(small_run, capsys, text, words) -> None:
    for more in ([], ["--save", "x"], ["--json"]):
        err = refused(capsys, "rule", small_run, text, *more)
        assert err.startswith("shoal: The rule matches nobody: ")
        assert words in err
        assert len(err.splitlines()) == 1
    assert load(small_run).rules == {}


def test_names_that_are_taken_or_none_are_refused(small_run, capsys) -> None:
    name = load(small_run).segments["name"][0]
    said(capsys, "rule", small_run, HORROR, "--save", "Horror fans")
    before = files(small_run)
    for save, words in {
        name.upper(): "A segment is called",
        "horror FANS": "Drop it first",
        " ": "1 to 40 characters",
        "7": "taken for a segment's id",
    }.items():
        assert words in refused(capsys, "rule", small_run, HORROR, "--save", save)
    assert files(small_run) == before


@pytest.mark.parametrize(
    "options", [[], ["--save", "x"], ["true", "--list"], ["--list", "--drop", "x"], ["true", "--drop", "x"]]
)
def test_rule_wants_to_be_told_one_thing(small_run, capsys, options) -> None:
    assert "Say one thing" in refused(capsys, "rule", small_run, *options)


def test_what_is_not_there_cannot_be_dropped_or_asked(small_run, capsys, tmp_path) -> None:
    assert 'No rule is called "x"; there is none' in refused(capsys, "rule", small_run, "--drop", "x")
    said(capsys, "rule", small_run, HORROR, "--save", "Horror fans")
    err = refused(capsys, "rule", small_run, "--drop", "Horor fans")
    assert "Did you mean Horror fans?" in err
    assert "There is no run folder" in refused(capsys, "rule", tmp_path / "nowhere", HORROR)
