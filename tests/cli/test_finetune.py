"""`shoal finetune` and `shoal score` from end to end: what is printed, kept, gone on from, and told of new texts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shoal
from shoal.adapt.loop import NAME
from shoal.cli.main import run
from shoal.encode.lm import LanguageModel

sys.path.insert(0, str(Path(__file__).parents[1]))  # pytest's importlib mode puts no folder on the path
from tiny_models import BAD, FILL, GOOD, write_model

SHOAL = [sys.executable, "-c", "from shoal.cli.main import main; main()"]


def review(i, rng):
    words = [*rng.choice(FILL, 3), str(rng.choice(GOOD if i % 2 else BAD))]
    return " ".join(rng.permutation(words))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a tiny base, reviews with ratings and labels, new texts, and settings that are quick."""
    folder = tmp_path_factory.mktemp("files")
    write_model(folder / "bert", "bert", [*GOOD, *BAD, *FILL])
    rng = np.random.default_rng(0)
    rows = [(review(i, rng), 5 if i % 2 else 1, "up" if i % 2 else "down") for i in range(60)]
    pl.DataFrame(rows, schema=["review", "stars", "mood"], orient="row").write_csv(folder / "reviews.csv")
    (folder / "new.csv").write_text('review\ngood w1\n""\n"awful w2"\n' + "w3 " * 90 + "\n")  # no other column
    (folder / "tune.toml").write_text(
        f'base = "{folder / "bert"}"\nstrategy = "full"\nmax_tokens = 32\n'
        '[learning]\nepochs = 2\nprecision = "float32"\noptimizer = {name = "adamw", lr = 0.01}\n'
    )
    return folder


def tune(files, model, *more):
    return run(["finetune", str(files / "reviews.csv"), str(model), "--config", str(files / "tune.toml"), *more])


@pytest.fixture(scope="module")
def model(files):
    assert tune(files, files / "made" / "model", "--quiet") == 0
    return files / "made" / "model"


def test_a_model_is_made_with_what_was_read_and_how_good_it_is(files, tmp_path, capsys):
    assert tune(files, tmp_path / "model") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("review: ")
    assert "parameters moved; best epoch" in out
    assert "on 6 texts that were held out:" in out
    assert "knowing nothing of the text 0.5000" in out
    assert "read  reviews.csv: 60 rows, 60 texts kept" in err
    assert "read  2 ratings: 1 50%, 5 50%" in err
    assert "finetune  full on " in err
    assert "finetune  epoch 2/2  loss" in err
    assert f"next: shoal score {tmp_path / 'model'} texts.csv" in err
    assert {p.name for p in tmp_path.iterdir()} == {"model"}  # no work folder is left


def test_json_is_all_that_stdout_holds(files, tmp_path, capsys):
    assert tune(files, tmp_path / "model", "--json", "--label", "mood", "--strategy", "frozen", "--epochs", "1") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["task"] == "review"
    assert told["settings"]["strategy"]["name"] == "frozen"
    assert told["examples"] == {"train": 48, "validation": 6, "test": 6}
    assert set(told["test"]) >= {"accuracy", "macro_f1", "log_loss", "calibration_error", "baseline"}


def test_options_win_over_the_file(files, tmp_path, capsys):
    more = ["--strategy", "head", "--head", "regression", "--epochs", "3", "--batch-size", "7", "--lr", "0.02"]
    assert tune(files, tmp_path / "model", "--json", *more, "--seed", "4", "--max-tokens", "9") == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["strategy"]["name"], settings["head"], settings["seed"]) == ("head", "regression", 4)
    assert settings["max_tokens"] == 9
    learning = settings["learning"]
    assert (learning["epochs"], learning["batch_size"], learning["optimizer"]["lr"]) == (3, 7, 0.02)
    assert learning["precision"] == "float32"


def test_score_tells_a_row_for_each_row_of_the_file(files, model, capsys):
    assert run(["score", str(model), str(files / "new.csv"), "--text", "review", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [row["row"] for row in told] == [0, 1, 2, 3]
    assert set(told[0]) == {"row", "rating", "spread", "sentiment", "1", "5"}
    assert told[1]["1"] == pytest.approx(0.5, abs=0.01)  # an empty text: the shares of training
    assert all(row["1"] + row["5"] == pytest.approx(1, abs=1e-5) for row in told)
    assert "1 of 4 texts are longer than 32 tokens and were cut" in err
    same = shoal.load_rater(model, device="cpu").predict(["good w1"])
    assert told[0]["rating"] == pytest.approx(same["rating"][0], abs=1e-4)


def test_score_prints_a_table_with_the_text_beside_it(files, model, capsys):
    assert run(["score", str(model), str(files / "new.csv"), "--text", "review", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["row", "text", "rating", "spread"]
    assert "good w1" in lines[1] or "good w1" in lines[2]


@pytest.mark.parametrize("task", ["pair", "twin", "couse", "words"])
def test_the_other_tasks_learn_from_a_log(files, tmp_path, capsys, task):
    log = [
        f"u{u},i{(u + 3 * k) % 14},{1 + (u + k) % 5},{1_600_000_000 + 9_000 * k}" for u in range(12) for k in range(6)
    ]
    (tmp_path / "log.csv").write_text("user_id,item_id,rating,timestamp\n" + "\n".join(log))
    titles = [f"i{i},{FILL[i % 12]} {GOOD[i % 3]}ly story of {BAD[i % 3]}" for i in range(14)]
    (tmp_path / "films.csv").write_text("item_id,title\n" + "\n".join(titles))
    more = ["--items", str(tmp_path / "films.csv"), "--task", task, "--epochs", "1"]
    command = ["finetune", str(tmp_path / "log.csv"), str(tmp_path / "model"), "--config", str(files / "tune.toml")]
    assert run([*command, *more]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{task}: ")
    assert {"pair": "load_rater", "twin": "load_rater"}.get(task, "--encoder") in err
    if task in ("couse", "words"):
        assert " before " in out
        assert LanguageModel(str(tmp_path / "model"), device="cpu").encode(["good"]).shape == (1, 16)


def test_a_model_that_is_there_is_replaced_and_a_fine_tuned_one_is_a_base(files, tmp_path, model, capsys):
    for _ in range(2):
        assert tune(files, tmp_path / "top", "--base", str(model), "--strategy", "lora", "--epochs", "1") == 0
    assert run(["score", str(tmp_path / "top"), str(files / "new.csv"), "--text", "review", "--json"]) == 0


def test_a_folder_of_mine_beside_the_model_is_left_alone(files, tmp_path):
    (tmp_path / "model.part").mkdir()
    (tmp_path / "model.part" / "notes.txt").write_text("mine")
    assert tune(files, tmp_path / "model", "--quiet") == 0
    assert [p.name for p in (tmp_path / "model.part").iterdir()] == ["notes.txt"]


# Stopped


def start(folder, model, log):
    command = [*SHOAL, "finetune", str(folder / "reviews.csv"), str(model), "--config", str(folder / "slow.toml")]
    with log.open("w") as told:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, env=env)


@pytest.fixture(scope="module")
def whole(files):
    """A folder with settings of many quick epochs, a checkpoint at every step, and a model made undisturbed."""
    more = "epochs = 40\npatience = 40\ncheckpoint_minutes = 1e-6"
    text = (files / "tune.toml").read_text().replace("epochs = 2", more).replace('"full"', '"lora"')
    (files / "slow.toml").write_text(text)
    assert start(files, files / "whole", files / "whole.log").wait(timeout=300) == 0
    return files


def wait_for(checkpoint, child, epoch, log):
    until = time.monotonic() + 120
    while time.monotonic() < until and child.poll() is None:
        if checkpoint.exists() and f"epoch {epoch}/40" in log.read_text():
            return
        time.sleep(0.01)
    pytest.fail(f"never came so far: {log.read_text()}")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_stopped_fine_tuning_goes_on_and_ends_as_if_undisturbed(whole, tmp_path, how, capsys):
    log, model = tmp_path / "log", tmp_path / "model"
    child = start(whole, model, log)
    wait_for(tmp_path / "model.part" / NAME, child, 4, log)
    child.send_signal(how)
    assert child.wait(timeout=60) == (130 if how == signal.SIGINT else -how)
    assert not model.exists()
    if how == signal.SIGINT:
        said = log.read_text().splitlines()[-1]
        assert said == "shoal: stopped. The same command again goes on from where it was."
        assert "Traceback" not in log.read_text()
    assert start(whole, model, log).wait(timeout=300) == 0
    assert "epoch 2/40" not in log.read_text()  # it did go on
    assert not (tmp_path / "model.part").exists()
    told = []
    for one in (model, whole / "whole"):
        capsys.readouterr()
        assert run(["score", str(one), str(whole / "new.csv"), "--text", "review", "--json", "--quiet"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
