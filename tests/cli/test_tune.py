"""`shoal tune`: a study that goes on after a stop, best.toml for `shoal finetune`, a page; bad input in one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from shoal.adapt import finetune as face
from shoal.adapt.settings import Finetune
from shoal.cli import main as cli

SHOAL = [sys.executable, "-c", "from shoal.cli.main import main; main()"]
QUICK = ["--text", "review", "--rating", "rating", "--strategy", "frozen", "--epochs", "2"]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 60 reviews, in which the command runs."""
    kind, harsh = ["lovely and fresh", "we were happy", "great value"], ["cold and stale", "we were angry", "too dear"]
    texts = [f"{(kind if i % 2 else harsh)[i % 3]}, {i}" for i in range(60)]
    pl.DataFrame({"review": texts, "rating": [5 if i % 2 else 1 for i in range(60)]}).write_csv(
        tmp_path / "reviews.csv"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_study_is_made_gone_on_with_and_its_best_settings_are_taken_by_finetune(workplace: Path, capsys) -> None:
    assert cli.run(["tune", "reviews.csv", "study", *QUICK, "--trials", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("best: trial ")
    assert "tune  2/2  trial 1" in err
    assert {p.name for p in Path("study").iterdir()} >= {"study.db", "best.toml", "report.html"}
    assert cli.run(["tune", "reviews.csv", "study", *QUICK, "--trials", "3", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["trial"] for row in told["trials"]] == [0, 1, 2]
    assert told["settings"]["learning"]["epochs"] == 2
    best = Finetune.from_toml("study/best.toml")
    assert best.model_dump(mode="json") == told["settings"]
    words = ["--text", "review", "--rating", "rating", "--config", "study/best.toml", "--quiet"]
    assert cli.run(["finetune", "reviews.csv", "model", *words]) == 0


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(workplace: Path, capsys, monkeypatch) -> None:
    real, calls = face.finetune, []

    def stopped(*args, **how):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **how)

    monkeypatch.setattr(face, "finetune", stopped)
    command = ["tune", "reviews.csv", "study", *QUICK, "--trials", "2"]
    assert cli.run(command) == 130
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "shoal: stopped. The same command again goes on from where it was."
    assert Path("study/report.html").exists()
    assert cli.run(command) == 0
    assert "tune  2/2" in capsys.readouterr().err
    assert len(calls) == 3


@pytest.mark.slow
def test_a_signal_in_the_middle_of_a_trial_ends_in_one_line(workplace: Path) -> None:
    words = ["--text", "review", "--rating", "rating", "--strategy", "full", "--trials", "9"]
    command = [*SHOAL, "tune", "reviews.csv", "study", *words]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list(Path("study").glob("trials/*.jsonl")) and time.monotonic() < until and child.poll() is None:
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "shoal: stopped. The same command again goes on from where it was."
    assert "Traceback" not in err


def refused(arguments: list[str], capsys) -> str:
    code = cli.run(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    return err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--strategy", "lroa"], "Did you mean lora"),
        (["--trials", "0"], "--trials"),
        (["--space", "no.toml"], "no.toml"),
        (["--track", "tensorbord"], "Did you mean tensorboard"),
        (["--text", "words"], "words"),
        (["--task", "revue"], "revue"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_study(workplace: Path, capsys, words, told) -> None:
    base = ["tune", "reviews.csv", "study", "--rating", "rating"]
    assert told in refused([*base, *([] if "--text" in words else ["--text", "review"]), *words], capsys)
    assert not Path("study").exists()


def test_a_space_that_is_wrong_names_the_file_and_the_line(workplace: Path, capsys) -> None:
    Path("space.toml").write_text('strategy = "lora"\n[learning]\nlr = { low = 1e-3, high = 1e-4 }\n', encoding="utf-8")
    last = refused(["tune", "reviews.csv", "study", *QUICK[:4], "--space", "space.toml"], capsys)
    assert "learning.lr.high" in last
    assert "space.toml" in last


def test_a_folder_of_something_else_is_left_alone(workplace: Path, capsys) -> None:
    Path("photos").mkdir()
    Path("photos/cat.jpg").write_text("meow", encoding="utf-8")
    assert "holds something that is no study" in refused(["tune", "reviews.csv", "photos", *QUICK], capsys)
    assert [p.name for p in Path("photos").iterdir()] == ["cat.jpg"]
