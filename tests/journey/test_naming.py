"""A fit whose segments a language model names, behind a real local server: kept, loaded, and named again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shoal.config import Config
from shoal.errors import ConfigError
from shoal.pipeline import fit, load
from shoal.segment.name import ContrastNamer
from shoal.segment.profile import PROFILES
from shoal.store import artifacts

sys.path.insert(0, str(Path(__file__).parents[1]))  # pytest's importlib mode puts no folder on the path
from chat_server import fails, serving

pytestmark = pytest.mark.xdist_group("journey")


def test_a_run_says_how_its_names_came_about(run, tmp_path):
    assert [s["source"] for s in run.naming["segments"]] == ["contrast"] * run.segments.height
    assert run.naming["calls"] == []
    again = load(run.save(tmp_path / "run"))
    assert again.naming == run.naming


def test_a_run_of_before_has_no_naming(run, tmp_path):
    folder = run.save(tmp_path / "run")
    kept = artifacts.load(folder)
    documents = {name: one for name, one in kept.documents.items() if name != "naming"}
    documents["config"] = {key: one for key, one in documents["config"].items() if key != "name"}
    artifacts.save(folder, tables=kept.tables, tensors=kept.tensors, documents=documents, manifest=kept.manifest)
    old = load(folder)
    assert old.naming is None
    assert old.segments.equals(run.segments)


@pytest.mark.slow
def test_a_fit_goes_on_without_a_namer_that_fails(world, config, tmp_path, monkeypatch):
    monkeypatch.setattr("shoal.segment.ask.FIRST_WAIT", 0.001)
    with serving(fails(503)) as server:
        name = {"namer": "openai", "url": server.url, "model": "tiny", "retries": 1}
        made = fit(world[0], config=Config(**(config.model_dump() | {"name": name})))
    assert len(server.seen) == 2
    told = made.segments.select(PROFILES.keys())
    assert made.segments["name"].to_list() == ContrastNamer().name(told)
    assert [c["status"] for c in load(made.save(tmp_path / "run")).naming["calls"]] == ["503", "503"]


def test_a_namer_that_cannot_be_is_refused_before_the_fit(world):
    with pytest.raises(ConfigError, match=r"no such file"):
        fit(world[0], config=Config(name={"namer": "gguf", "model": "/no/such.gguf"}))  # type: ignore[arg-type]
