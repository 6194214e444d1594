"""`shoal name`: another namer for a kept run, kept whole or not at all, whatever the model does."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from shoal.cli import main as cli
from shoal.cli.options import naming
from shoal.config import Config
from shoal.data.synthetic import TOPICS, planted_world
from shoal.errors import ConfigError
from shoal.pipeline import rename
from shoal.segment.name import ContrastNamer
from shoal.segment.profile import profiles
from shoal.store import artifacts

sys.path.insert(0, str(Path(__file__).parents[1]))  # pytest's importlib mode puts no folder on the path
from chat_server import fails, says, serving

KEY = "sk-cli-secret"
TRUE = [f"{topic} fans" for topic in list(TOPICS)[:3]]
GOOD = {"segments": [{"segment": s, "name": n, "evidence": ""} for s, n in enumerate(TRUE)]}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The parts of a run folder that names are made from, and one more that must not change."""
    data, truth = planted_world(users=240, items=90, segments=3, events_per_user=20, noise=0.2, seed=3)
    table = profiles(truth, data.interactions, data.items)
    table = table.with_columns(
        pl.Series("name", ContrastNamer().name(table)), blind_score=pl.lit(0.9), lift=pl.lit(0.1)
    )
    members = truth.with_columns(strength=pl.lit(1.0, pl.Float32))
    return artifacts.save(
        tmp_path_factory.mktemp("made") / "run",
        tables={
            "segments": table,
            "members": members,
            "interactions": data.interactions,
            "items": data.items,
            "users": data.users,
        },
        tensors={"network": {"weights": members["strength"].to_numpy()}},
        documents={
            "config": {k: v for k, v in Config(seed=7).model_dump(mode="json").items() if k != "name"},  # of before
            "data": {"name": data.name, "scale": None, "read": data.report.as_dict()},
        },
        manifest={"name": "planted"},
    )


@pytest.fixture
def run(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SHOAL_NAMER_KEY", KEY)
    monkeypatch.delenv("SHOAL_NAMER_URL", raising=False)
    monkeypatch.delenv("SHOAL_NAMER_MODEL", raising=False)
    monkeypatch.setenv("SHOAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shoal.segment.ask.FIRST_WAIT", 0.001)
    return Path(shutil.copytree(made, tmp_path / "run"))


def names_of(run: Path) -> list[str]:
    return artifacts.load(run).tables["segments"]["name"].to_list()


def bytes_of(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(run.iterdir())}


def test_a_run_is_named_by_an_endpoint_and_kept(run, capsys):
    before = artifacts.load(run)
    with serving(says(GOOD)) as server:
        assert cli.run(["name", str(run), "--namer", server.url, "--namer-model", "tiny", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert all(name in out for name in TRUE)
    assert err == ""
    after = artifacts.load(run)
    assert after.tables["segments"]["name"].to_list() == TRUE
    naming = after.documents["naming"]
    assert [s["source"] for s in naming["segments"]] == ["model"] * 3
    assert naming["calls"][0]["reply"]
    assert after.documents["config"]["name"]["model"] == "tiny"
    assert after.documents["config"]["seed"] == 7
    for name in ("members", "interactions", "items", "users"):
        assert after.tables[name].equals(before.tables[name])
    assert (after.tensors["network"]["weights"] == before.tensors["network"]["weights"]).all()
    assert after.manifest == before.manifest
    assert not any(KEY.encode() in data for data in bytes_of(run).values())


def test_what_was_found_of_the_old_names_is_emptied_and_nothing_else(run):
    with serving(says(GOOD)) as server:
        assert cli.run(["name", str(run), "--namer", server.url, "--namer-model", "tiny", "--quiet"]) == 0
    table = artifacts.load(run).tables["segments"]
    assert table["blind_score"].null_count() == 3
    assert table["lift"].to_list() == [0.1] * 3


@pytest.mark.parametrize("behaviour", [fails(429), fails(500), says("no"), fails(401, KEY)])
def test_a_namer_that_fails_leaves_contrast_names_a_warning_and_exit_code_0(run, behaviour, capsys):
    before = names_of(run)
    with serving(behaviour) as server:
        assert cli.run(["name", str(run), "--namer", server.url, "--namer-model", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert sum(line.startswith("warning: names come from contrasts") for line in err.splitlines()) == 1
    assert names_of(run) == before
    assert KEY not in out + err + json.dumps(artifacts.load(run).documents)


def test_nobody_at_the_address_is_exit_code_0_too(run, capsys):
    with serving(fails(500)) as server:
        url = server.url
    assert cli.run(["name", str(run), "--namer", url, "--namer-model", "tiny"]) == 0
    assert "warning: names come from contrasts" in capsys.readouterr().err


def test_the_same_command_again_asks_nothing(run):
    with serving(says(GOOD)) as server:
        for _ in range(2):
            assert cli.run(["name", str(run), "--namer", server.url, "--namer-model", "tiny", "--quiet"]) == 0
        assert len(server.seen) == 1
    assert names_of(run) == TRUE


def test_without_options_the_run_is_named_as_its_settings_say(run):
    with serving(says(GOOD)) as server:
        assert cli.run(["name", str(run), "--namer", server.url, "--namer-model", "tiny", "--quiet"]) == 0
        assert cli.run(["name", str(run), "--quiet"]) == 0
    assert names_of(run) == TRUE
    assert cli.run(["name", str(run), "--namer", "contrast", "--quiet"]) == 0
    assert names_of(run) != TRUE
    assert artifacts.load(run).documents["config"]["name"]["url"] is None


def test_address_and_model_may_come_from_the_environment(run, monkeypatch):
    with serving(says(GOOD)) as server:
        monkeypatch.setenv("SHOAL_NAMER_URL", server.url)
        monkeypatch.setenv("SHOAL_NAMER_MODEL", "tiny")
        assert cli.run(["name", str(run), "--namer", "openai", "--quiet"]) == 0
    assert names_of(run) == TRUE


def test_json_tells_segments_and_sources(run, capsys):
    with serving(says(GOOD)) as server:
        assert cli.run(["name", str(run), "--namer", server.url, "--namer-model", "tiny", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in told["segments"]] == TRUE
    assert told["naming"][0]["source"] == "model"


def test_a_report_of_the_old_names_goes_and_that_is_said(run, capsys):
    (run / "report.html").write_text("old")
    assert cli.run(["name", str(run), "--namer", "contrast", "--quiet"]) == 0
    assert "old names" in capsys.readouterr().err
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--namer", "gpt"], "--namer gpt: must be contrast"),
        (["--namer", "openai"], "SHOAL_NAMER_URL"),
        (["--namer", "http://localhost/v1"], "SHOAL_NAMER_MODEL"),
        (["--namer", "http://me:pw@localhost/v1", "--namer-model", "m"], "SHOAL_NAMER_KEY"),
        (["--namer", "gguf:/no/such.gguf"], "no such file"),
    ],
)
def test_a_namer_that_cannot_be_is_refused_in_one_line_and_nothing_changes(run, capsys, options, words):
    before = bytes_of(run)
    assert cli.run(["name", str(run), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
    assert "pw@" not in err
    assert bytes_of(run) == before


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert cli.run(["name", str(tmp_path), "--namer", "contrast"]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_a_full_disk_leaves_the_old_run(run, monkeypatch, capsys):
    before = bytes_of(run)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shoal.store.files.to_disk", full)
    assert cli.run(["name", str(run), "--namer", "contrast", "--quiet"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert bytes_of(run) == before


def test_names_that_are_to_stay_stay(run):
    from shoal.config import Name

    segments, told = rename(run, Name(), keep_names={1: "Our friends"})
    assert segments["name"][1] == "Our friends"
    assert [s["source"] for s in told["segments"]] == ["contrast", "kept", "contrast"]


@pytest.mark.parametrize(
    ("namer", "model", "settings"),
    [
        (None, None, {}),
        (None, "m", {"model": "m"}),
        ("contrast", None, {"namer": "contrast"}),
        ("http://x/v1", "m", {"namer": "openai", "url": "http://x/v1", "model": "m"}),
        ("gguf:a/b.gguf", None, {"namer": "gguf", "model": "a/b.gguf"}),
    ],
)
def test_options_stand_for_settings(namer, model, settings):
    assert naming(namer, model) == settings


def test_a_gguf_file_and_a_model_name_together_are_refused():
    with pytest.raises(ConfigError, match="gguf:PATH"):
        naming("gguf:a", "m")
