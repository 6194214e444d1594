"""The doctor: says what is here, and what to do about what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shoal import doctor
from shoal.cli import main as cli
from shoal.doctor import Fact, examine


@pytest.fixture(scope="module")
def facts() -> dict[str, Fact]:
    return {fact.name: fact for fact in examine()}


def test_a_machine_that_runs_these_tests_is_fine(facts) -> None:
    assert [fact for fact in facts.values() if not fact.fine] == []


def test_the_language_model_was_tried_and_is_told_with_its_hash(facts) -> None:
    from shoal.encode.source import find

    assert facts["language model"].value.startswith(f"minilm, 384 wide, SHA-256 {find('minilm').sha256[:12]}")


def test_versions_device_threads_and_disk_are_told(facts) -> None:
    import torch

    assert facts["torch"].value == torch.__version__
    assert facts["device"].value in {"cpu", "mps", "cuda"}
    assert facts["threads"].value.startswith(f"{torch.get_num_threads()} of ")
    assert facts["free for runs"].value.endswith(f"GB in {Path.cwd()}")


def test_the_size_of_the_cache_is_told(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "shard").write_bytes(b"x" * 3_000_000)
    facts = {fact.name: fact for fact in examine(cache=tmp_path)}
    assert facts["cache"].value == f"{tmp_path}, 3 MB"


def test_a_cache_that_is_not_there_yet_is_fine(tmp_path) -> None:
    facts = {fact.name: fact for fact in examine(cache=tmp_path / "not" / "yet")}
    assert facts["cache"].value.endswith("not/yet, 0 MB")
    assert facts["free for the cache"].value.endswith(str(tmp_path))


def test_a_package_that_is_not_installed_is_named_with_the_way_to_get_it() -> None:
    fact = doctor._library("no-such-package")
    assert not fact.fine
    assert fact.advice.endswith("-m pip install no-such-package")


def test_little_disk_is_a_warning(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(doctor, "ENOUGH_DISK", 1e9)
    assert not doctor._disk("free for runs", tmp_path).fine


def test_the_command_exits_with_2_and_marks_what_is_missing(capsys) -> None:
    assert cli.run(["doctor", "--encoder", "./no/such/folder"]) == 2
    out, err = capsys.readouterr()
    assert re.search(r"^! language model +\./no/such/folder: not usable$", out, re.MULTILINE)
    assert err.startswith("shoal: language model: ")
    assert len(err.splitlines()) == 1


def test_the_command_as_json_names_every_fact(capsys, facts) -> None:
    assert cli.run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == list(facts)
    assert told["language model"]["fine"] is True
