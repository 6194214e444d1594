"""A run fitted after another: segments that still are there keep numbers and names, a new one is born, all is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoal.cli import main as cli
from shoal.data.synthetic import planted_world
from shoal.errors import MismatchError
from shoal.pipeline import fit, load
from shoal.run import Run
from shoal.segment.identity import kept_share
from shoal.tables import NAME, SEGMENT, USER

pytestmark = pytest.mark.xdist_group("journey")


def without(data, users):
    """Return the data as if `users` had never been there."""
    gone = pl.col(USER).cast(pl.String).is_in(users.implode())
    return replace(data, interactions=data.interactions.filter(~gone), users=data.users.filter(~gone))


@pytest.fixture(scope="module")
def newcomers(world):
    """The users of one planted segment."""
    return world[1].filter(pl.col(SEGMENT) == 2)[USER].cast(pl.String)


@pytest.fixture(scope="module")
def first(world, newcomers, config):
    return fit(without(world[0], newcomers), config=config)


@pytest.fixture(scope="module")
def second(world, first, config):
    return fit(world[0], config=config, after=first)


def test_users_and_names_stay_and_the_new_group_is_born(first, second, newcomers):
    assert sorted(first.segments[SEGMENT]) == [0, 1, 2]
    assert sorted(second.segments[SEGMENT]) == [0, 1, 2, 3]
    assert kept_share(second.migration) >= 0.95
    names = [dict(run.segments.select(SEGMENT, NAME).iter_rows()) for run in (first, second)]
    assert {one: names[1][one] for one in names[0]} == names[0]
    assert len(set(names[1].values())) == 4
    born = second.members.filter(pl.col(SEGMENT) == 3)[USER]
    assert len(set(born) & set(newcomers)) >= 0.9 * max(len(born), len(newcomers))


def test_the_run_says_who_came_and_that_it_is_more_than_chance(second, newcomers):
    came = second.migration.filter(pl.col("from").is_null())
    assert came["users"].sum() == len(newcomers)
    assert dict(second.drift.select(SEGMENT, "alarm").iter_rows())[3]


def test_history_goes_from_run_to_run(first, second):
    assert first.migration is None
    assert first.history.height == 3
    assert second.history.height == 7
    assert second.history["fitted"].n_unique() == 2


def test_numbers_mean_the_same_everywhere(second):
    placed = second.assign(second.data.interactions)
    assert_frame_equal(placed, second.members)
    assert set(second.explain("u1").columns) >= {"item_id", "effect"}
    assert {v.segment for v in second.learnt.by_segment.verdicts_} <= set(second.segments[SEGMENT])


def test_what_became_of_segments_is_kept_and_loaded(second, tmp_path):
    again = load(second.save(tmp_path / "run"))
    assert again.more.keys() == {"history", "migration", "drift", "subsegments", "certificate"}
    for name, table in second.more.items():
        assert_frame_equal(again.more[name], table)
    np.testing.assert_array_equal(again.learnt.segmentation.ids, second.learnt.segmentation.ids)
    assert_frame_equal(again.assign(second.data.interactions), second.members)


def test_a_run_of_before_has_a_history_made_from_its_segments(first):
    old = Run(first.learnt, first.segments, first.members, first.judgement, first.manifest)
    assert old.migration is None
    assert old.drift is None
    assert_frame_equal(old.history.drop("fitted"), first.history.drop("fitted"))


def test_a_last_run_of_other_users_is_refused_before_any_work(first, config):
    other, _ = planted_world(users=30, items=40, segments=2, events_per_user=8)
    renamed = pl.format("x{}", pl.col(USER).cast(pl.String)).cast(pl.Categorical).alias(USER)
    named, events = other.users.with_columns(renamed), other.interactions.with_columns(renamed)
    with pytest.raises(MismatchError, match="knows none of the 30 users, such as x"):
        fit(replace(other, users=named, interactions=events), config=config, after=first)


def test_after_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert cli.run(["fit", "demo", str(tmp_path / "run"), "--after", str(tmp_path / "no")]) == 2
    assert "There is no run folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_goes_on_from_the_last_run(first, second, tmp_path, capsys):
    first.save(tmp_path / "first")
    log = second.data.interactions.with_columns(pl.col(pl.Categorical).cast(pl.String))
    log.write_csv(tmp_path / "log.csv")
    second.data.items.with_columns(
        pl.col(pl.Categorical).cast(pl.String), pl.col(pl.List(pl.String)).list.join("|")
    ).write_csv(tmp_path / "items.csv")
    (tmp_path / "small.toml").write_text(
        "[train]\nepochs = 12\nbatch_users = 128\n[tower]\nwidth = 32\nhistory = 40\n[recommend]\nfactors = 16\n"
    )
    folder = tmp_path / "second"
    options = ["--items", str(tmp_path / "items.csv"), "--config", str(tmp_path / "small.toml")]
    code = cli.run(["fit", str(tmp_path / "log.csv"), str(folder), "--after", str(tmp_path / "first"), *options])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "of the users who were in a segment are in the same one; segments kept: 3, new: 1, gone: 0" in err
    kept = set(first.segments[NAME])
    assert kept <= set(load(folder).segments[NAME])
    assert all(name in out for name in kept)
