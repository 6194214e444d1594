"""Bad input to `shoal finetune` and `shoal score`: exit code 2, one clear line, nothing half-written."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from shoal.adapt.reader import Reader
from shoal.cli.main import run

sys.path.insert(0, str(Path(__file__).parents[1]))  # pytest's importlib mode puts no folder on the path
from tiny_models import BAD, FILL, GOOD, write_model

GOOD_TABLE = "text,rating\n" + "".join(
    f"{FILL[i % 12]} {(GOOD if i % 2 else BAD)[i % 3]},{1 + 4 * (i % 2)}\n" for i in range(40)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("base"), "bert", [*GOOD, *BAD, *FILL])


@pytest.fixture
def place(tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(GOOD_TABLE)
    Path("tune.toml").write_text('max_tokens = 16\n[learning]\nepochs = 1\nprecision = "float32"\n')
    return tmp_path


def tune(base, *more):
    return run(["finetune", "table.csv", "model", "--quiet", "--config", "tune.toml", "--base", str(base), *more])


def said_in_one_line(capsys, words):
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if line.startswith("shoal: ")]
    assert len(told) == 1, err
    assert out == ""
    assert "Traceback" not in err
    assert "fault of ours" not in err
    assert re.search(words, told[0]), told[0]


LONG = "w1 " * 400
BAD_INPUT = {
    "a missing file": (None, [], "no such file"),
    "an empty file": ("", [], "is empty"),
    "no text column": ("words,rating\na,1\nb,2\n", [], "no column for text.*--text"),
    "no rating column": ("text,mark\na,1\nb,2\n", [], "no column for rating.*--label"),
    "a label column that is not there": (GOOD_TABLE, ["--label", "mood"], "no column mood"),
    "all texts empty": ("text,rating\n,1\n ,2\n", [], "2 of 2 texts are empty"),
    "one class only": ("text,rating\na,3\nb,3\nc,3\n", [], "one class, 3"),
    "a rating outside the scale": (GOOD_TABLE, ["--scale", "1", "4"], "line 3: rating 5 lies outside the scale 1 to 4"),
    "a rating that is a word": ("text,rating\na,1\nb,good\n", [], "line 3: rating 'good'.*--on-bad drop"),
    "too few examples": ("text,rating\na,1\nb,2\n", [], "2 examples are too few"),
    "an unknown strategy": (GOOD_TABLE, ["--strategy", "lorra"], r"strategy.name = 'lorra'.*Did you mean lora\?"),
    "an unknown task": (GOOD_TABLE, ["--task", "reviw"], r"task = 'reviw' is none.*Did you mean review\?"),
    "an unknown head": (GOOD_TABLE, ["--head", "ordnal"], r"head = 'ordnal'.*Did you mean ordinal\?"),
    "a batch of nothing": (GOOD_TABLE, ["--batch-size", "0"], "learning.batch_size = 0"),
    "a base that is not here": (GOOD_TABLE, ["--base", "no/such"], "no/such is not on this machine"),
    "a base that is no name": (GOOD_TABLE, ["--base", "./nowhere"], "There is no folder './nowhere'"),
    "more layers than there are": (GOOD_TABLE, ["--config", "layers.toml"], "strategy.n = 9: the model has 2 layers"),
    "settings that are not there": (GOOD_TABLE, ["--config", "no.toml"], "no.toml: No such file"),
    "a log for a task of texts": (GOOD_TABLE, ["--task", "pair"], "user_id"),
    "a device that is not here": (GOOD_TABLE, ["--device", "cuda:7"], "device = 'cuda:7'"),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_finetune_refuses(what, place, base, capsys):
    content, options, words = BAD_INPUT[what]
    Path("layers.toml").write_text('strategy = {name = "last-n", n = 9}\n')
    if content is None:
        Path("table.csv").unlink()
    else:
        Path("table.csv").write_text(content)
    before = set(place.iterdir())
    assert tune(base, *options) == 2
    said_in_one_line(capsys, words)
    assert set(place.iterdir()) == before


def test_texts_longer_than_the_model_takes_are_cut_counted_and_no_error(place, base, capsys):
    Path("table.csv").write_text(GOOD_TABLE + f"{LONG},1\n{LONG},5\n")
    command = ["finetune", "table.csv", "model", "--config", "tune.toml", "--base", str(base)]
    assert run(command) == 0
    assert "2 of 42 texts are longer than 16 tokens and were cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried"), RuntimeError("not enough memory: you tried"), MemoryError()],
)
@pytest.mark.parametrize("strategy", ["full", "frozen"])
def test_too_little_memory_names_the_batch_size_to_try(place, base, capsys, monkeypatch, error, strategy):
    def fail(*args):
        raise error

    monkeypatch.setattr(Reader, "forward", fail)
    before = set(place.iterdir())
    assert tune(base, "--strategy", strategy, "--batch-size", "12") == 2
    said_in_one_line(capsys, r"Out of memory with learning.batch_size = 12. Try learning.batch_size = 6 with")
    assert set(place.iterdir()) == before


def test_a_loss_that_is_no_number_names_the_rate(place, base, capsys):
    learning = "[learning]\nepochs = 2\nbatch_size = 1\nwarmup = 0\nschedule = 'constant'\nprecision = 'float32'\n"
    wild = "[learning.optimizer]\nname = 'sgd'\nlr = 100\nweight_decay = 10\n"
    Path("tune.toml").write_text(f"strategy = 'full'\n{learning}{wild}")
    assert tune(base) == 2
    said_in_one_line(capsys, r"diverged in epoch 1.*Lower learning.optimizer.lr, which is 100")
    assert not Path("model").exists()


def test_somebody_else_s_folder_is_refused_before_any_work(place, base, capsys):
    Path("model").mkdir()
    Path("model/thesis.txt").write_text("years of work")
    assert tune(base) == 2
    said_in_one_line(capsys, "model exists and is not a model folder. Give another path")
    assert [p.name for p in Path("model").iterdir()] == ["thesis.txt"]
    assert not Path("model.part").exists()


def test_a_model_is_not_made_where_its_base_is(place, base, capsys):
    assert tune(base) == 0
    capsys.readouterr()
    before = {p: p.stat().st_mtime_ns for p in Path("model").iterdir()}
    assert run(["finetune", "table.csv", "model", "--quiet", "--base", "model"]) == 2
    said_in_one_line(capsys, "model is what base = 'model' is made of.*Give another folder")
    assert {p: p.stat().st_mtime_ns for p in Path("model").iterdir()} == before


def test_ctrl_c_is_said_and_leaves_no_model(place, base, capsys, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Reader, "forward", stop)
    assert tune(base) == 130
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "shoal: stopped. The same command again goes on from where it was."
    assert not Path("model").exists()


@pytest.fixture(scope="module")
def made(tmp_path_factory, base):
    """A model that tells ratings, and one that is an encoder."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "table.csv").write_text(GOOD_TABLE)
    (folder / "tune.toml").write_text(f'base = "{base}"\nmax_tokens = 16\n[learning]\nepochs = 1\n')
    rows = [f"u{u},i{(u + 2 * k) % 11},{1 + (u + k) % 5}" for u in range(8) for k in range(5)]
    (folder / "log.csv").write_text("user_id,item_id,rating\n" + "\n".join(rows))
    films = [f"i{i},{FILL[i]} {GOOD[i % 3]} story" for i in range(11)]
    (folder / "films.csv").write_text("item_id,title\n" + "\n".join(films))
    config = ["--config", str(folder / "tune.toml"), "--quiet"]
    assert run(["finetune", str(folder / "table.csv"), str(folder / "rater"), *config]) == 0
    log = [str(folder / "log.csv"), str(folder / "encoder"), "--items", str(folder / "films.csv"), "--task", "couse"]
    assert run(["finetune", *log, *config]) == 0
    pair = [str(folder / "log.csv"), str(folder / "pair"), "--items", str(folder / "films.csv"), "--task", "pair"]
    assert run(["finetune", *pair, *config, "--strategy", "frozen"]) == 0
    return folder


SCORED = {
    "a model that is not there": ("none", "table.csv", [], "There is no model folder"),
    "a folder that is no model": (".", "table.csv", [], "is not a model folder"),
    "a model that is an encoder": (
        "encoder",
        "table.csv",
        [],
        "task couse, which tells no ratings.*shoal fit --encoder",
    ),
    "a model of pairs": ("pair", "table.csv", [], "task pair: it reads a user's past and an item's text"),
    "texts that are not there": ("rater", "no.csv", [], "no such file"),
    "a column that is not there": ("rater", "table.csv", ["--text", "body"], "no column body"),
    "no column of texts": ("rater", "films.csv", [], "no column for text.*--text"),
}


@pytest.mark.parametrize("what", SCORED)
def test_score_refuses(what, made, capsys, monkeypatch):
    model, texts, options, words = SCORED[what]
    monkeypatch.chdir(made)
    capsys.readouterr()
    assert run(["score", model, texts, "--quiet", *options]) == 2
    said_in_one_line(capsys, words)


@pytest.mark.parametrize("file", ["model.json", "head.safetensors", "moved.safetensors", "manifest.json"])
def test_a_damaged_model_is_refused_by_the_name_of_the_file(made, tmp_path, capsys, file):
    shutil.copytree(made / "rater", tmp_path / "rater")
    with open(tmp_path / "rater" / file, "r+b") as damaged:
        damaged.truncate(20)
    capsys.readouterr()
    assert run(["score", str(tmp_path / "rater"), str(made / "table.csv"), "--quiet"]) == 2
    said_in_one_line(capsys, file)
