"""The work folder: gone on from for the same data and settings, emptied for all else."""

from __future__ import annotations

import pytest

from shoal.config import Config
from shoal.data.synthetic import planted_world
from shoal.errors import StoreError
from shoal.work import NOTE, clear, open_work

DATA, _ = planted_world(users=6, items=8, segments=2, events_per_user=3, seed=0)
OTHER, _ = planted_world(users=6, items=8, segments=2, events_per_user=3, seed=1)


def opened(folder, data=DATA, **settings):
    return open_work(folder, data, Config(**settings))


def test_without_a_folder_there_is_no_work():
    assert opened(None) is None


def test_the_same_fit_finds_its_work_again(tmp_path):
    folder = opened(tmp_path / "deep" / "work")
    (folder / "weights").write_text("learnt")
    assert opened(folder) == folder
    assert (folder / "weights").read_text() == "learnt"


@pytest.mark.parametrize(("data", "settings"), [(OTHER, {}), (DATA, {"seed": 1})])
def test_the_work_of_another_fit_is_emptied(tmp_path, data, settings):
    folder = opened(tmp_path / "work")
    (folder / "weights").write_text("learnt")
    opened(folder, data, **settings)
    assert [file.name for file in folder.iterdir()] == [NOTE]


@pytest.mark.parametrize("damaged", ["", '{"data": "ab', "[]"])
def test_a_damaged_note_starts_over(tmp_path, damaged):
    folder = opened(tmp_path / "work")
    (folder / "weights").write_text("learnt")
    (folder / NOTE).write_text(damaged)
    opened(folder)
    assert [file.name for file in folder.iterdir()] == [NOTE]


def test_a_folder_that_no_fit_made_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(StoreError, match="is no work folder of a fit, and not empty"):
            opened(place)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_was_stopped_before_its_note_stood_is_taken(tmp_path):
    (tmp_path / f"{NOTE}.half").write_text("{")
    assert [file.name for file in opened(tmp_path).iterdir()] == [NOTE]


def test_a_folder_without_work_is_cleared_and_one_with_work_only_if_everything_goes(tmp_path):
    empty, full = opened(tmp_path / "empty"), opened(tmp_path / "full")
    (full / "weights").write_text("learnt")
    clear(empty, everything=False)
    clear(full, everything=False)
    assert not empty.exists()
    assert full.exists()
    clear(full, everything=True)
    assert not full.exists()
    clear(None, everything=True)
