"""A file is written whole or not at all."""

from __future__ import annotations

import hashlib

import polars as pl
import pytest

from shoal.errors import ConfigError, StoreError
from shoal.store.whole import check_suffix, write_table, write_whole

TABLE = pl.DataFrame({"user_id": pl.Series(["a", "b"], dtype=pl.Categorical), "segment": [0, 1]})


def test_the_hash_is_that_of_the_file(tmp_path):
    found = write_table(TABLE, tmp_path / "t.csv")
    assert found == hashlib.sha256((tmp_path / "t.csv").read_bytes()).hexdigest()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def fail(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stop_leaves_nothing_behind(tmp_path):
    def stop(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "t.csv", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        write_table(TABLE, tmp_path / "no" / "t.csv")


def test_a_name_that_says_no_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must end in"):
        check_suffix(tmp_path / "t.txt")
