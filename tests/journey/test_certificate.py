"""The certificate of a planted world, from the fit to the command line."""

from __future__ import annotations

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoal.cli import main as cli
from shoal.data.synthetic import noise_world
from shoal.pipeline import fit, load
from shoal.tables import SEGMENT, USER


def of(run, measure, against):
    table = run.certificate.filter(pl.col("measure") == measure, pl.col("against") == against)
    return table.filter(pl.col(SEGMENT).is_null(), pl.col("level") == "segments").to_dicts()[0]


def test_planted_segments_come_back_stay_and_foretell(run):
    assert of(run, "jaccard", "other users")["value"] > 0.9
    assert of(run, "jaccard", "other events")["value"] > 0.9
    assert of(run, "rand", "halves of events")["value"] > 0.9
    assert of(run, "staying", "newer events")["value"] > 0.9
    for against in ("random segments", "everyone"):
        assert of(run, "lift ndcg@10", against)["low"] > 0.2
        assert of(run, "lift bits", against)["low"] > 0
    assert run.segments["verdict"].to_list() == ["holds"] * 4


def test_planted_segments_have_rules_by_their_topics_that_find_them(run):
    for rule, precision, recall in run.segments.select("rule", "rule_precision", "rule_recall").iter_rows():
        assert rule.startswith("share(")
        assert precision > 0.9
        assert recall > 0.9
    members = dict(run.members.select(USER, SEGMENT).iter_rows())
    for segment, rule in run.segments.select(SEGMENT, "rule").iter_rows():
        found = run.match(rule)
        assert sum(members[user] == segment for user in found) > 0.9 * len(found)


def test_names_are_matched_to_held_out_users_better_than_by_chance(run):
    table = run.certificate.filter(pl.col("measure") == "blind score", pl.col(SEGMENT).is_null())
    assert table["low"][0] > 0.25
    assert run.segments["blind_score"].min() > 0.25


def test_every_segment_and_subsegment_has_a_row_and_each_child_lies_in_its_parent(run):
    known = set(run.certificate[SEGMENT].drop_nulls())
    assert known >= {*run.segments[SEGMENT], *run.subsegments[SEGMENT]}
    placed = run.members.filter(pl.col("subsegment") >= 0)
    parents = dict(run.subsegments.select(SEGMENT, "parent").iter_rows())
    assert all(parents[child] == parent for parent, child in placed.select(SEGMENT, "subsegment").iter_rows())
    names = [*run.segments["name"], *run.subsegments["name"]]
    assert len(set(names)) == len(names)


def test_what_was_certified_is_kept(run, tmp_path):
    again = load(run.save(tmp_path / "run"))
    assert_frame_equal(again.certificate, run.certificate)
    assert_frame_equal(again.subsegments, run.subsegments)
    assert_frame_equal(
        again.assign(run.data.interactions), run.members.filter(pl.col(USER).is_in(again.members[USER].implode()))
    )


def test_the_command_tells_all_and_one_in_words_and_in_json(run, tmp_path, capsys):
    kept = str(run.save(tmp_path / "run"))
    assert cli.run(["certify", kept]) == 0
    told = capsys.readouterr().out
    assert run.learnt.segmentation.reason in told
    assert "all segments" in told
    assert "members who come back" in told
    assert cli.run(["certify", kept, "--segment", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["segment"] for row in rows} == {2}
    assert len(rows) == run.certificate.filter(pl.col(SEGMENT) == 2).height


def test_a_segment_without_a_certificate_is_refused(run, tmp_path, capsys):
    kept = str(run.save(tmp_path / "run"))
    assert cli.run(["certify", kept, "--segment", "77"]) == 2
    assert "no certificate of segment 77" in capsys.readouterr().err


@pytest.mark.slow
def test_noise_is_refused_and_has_no_certificate(config, tmp_path, capsys):
    made = fit(noise_world(users=200, items=120, events_per_user=25, seed=2)[0], config=config)
    assert made.learnt.segmentation.n == 1
    kept = str(made.save(tmp_path / "run"))
    assert cli.run(["certify", kept]) == 2
    assert "one segment only" in capsys.readouterr().err
