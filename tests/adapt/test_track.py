"""Curves hold every step once, in the order of training, however often a fine-tuning was killed and resumed."""

from __future__ import annotations

import json
import math
import socket
import sys
import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapt.curves import JsonLines, read_curves
from shoal.adapt.finetune import finetune
from shoal.adapt.settings import Finetune
from shoal.adapt.track import TensorBoard, WeightsAndBiases, check_names, trackers
from shoal.errors import ConfigError, MissingExtraError, StoreError


def step(n, loss=1.0):
    return {"step": n, "loss": loss, "lr": 1e-3, "per_second": 10.0}


def told(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_says_its_kind_its_figures_and_the_time(tmp_path):
    path = tmp_path / "deep" / "training.jsonl"
    lines = JsonLines(path, mark="a", about={"base": "minilm"})
    lines("step", step(0))
    lines("epoch", {"epoch": 0, "loss": 1.0, "valid": 0.5, "rmse": 0.9})
    assert [row["kind"] for row in told(path)] == ["start", "step", "epoch"]  # on disk before it is closed
    lines.close()
    start, one, epoch = told(path)
    assert start["about"] == {"base": "minilm"}
    assert {k: v for k, v in one.items() if k != "time"} == {"kind": "step", **step(0)}
    assert epoch["step"] == 0
    assert start["time"] <= one["time"] <= epoch["time"]


def test_a_number_that_is_none_is_kept_as_null_and_read_as_nan(tmp_path):
    lines = JsonLines(tmp_path / "t.jsonl")
    lines("step", step(0, math.inf))
    lines.close()
    assert told(tmp_path / "t.jsonl")[1]["loss"] is None
    assert math.isnan(read_curves(tmp_path / "t.jsonl").steps[0]["loss"])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(0, 40)), max_size=5))
def test_however_a_run_is_killed_its_curves_are_those_of_an_unbroken_one(tmp_path_factory, kills):
    path = tmp_path_factory.mktemp("curves") / "t.jsonl"
    for reached, back, torn in [*kills, (13, 13, 0)]:
        known = read_curves(path).steps
        start = max(0, (int(known[-1]["step"]) + 1 if known else 0) - back)
        lines = JsonLines(path, mark="a")
        for n in range(start, reached + 1):
            lines("step", step(n, 1 / (n + 1)))
        lines.close()
        raw = path.read_bytes()
        last = raw.rfind(b"\n", 0, -1) + 1
        path.write_bytes(raw[: max(last, len(raw) - torn)])  # a last line cut short, as by a full disk
    steps = read_curves(path).steps
    assert [s["step"] for s in steps] == list(range(14))
    assert [s["loss"] for s in steps] == [1 / (n + 1) for n in range(14)]


def test_curves_of_another_fine_tuning_are_begun_anew(tmp_path):
    for mark, losses in [("a", [1.0, 2.0]), ("b", [3.0])]:
        lines = JsonLines(tmp_path / "t.jsonl", mark=mark)
        for n, loss in enumerate(losses):
            lines("step", step(n, loss))
        lines.close()
    assert [s["loss"] for s in read_curves(tmp_path / "t.jsonl").steps] == [3.0]


def test_a_file_of_something_else_is_refused_and_a_missing_one_is_empty(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"kind": "purchase"}\n')
    with pytest.raises(StoreError, match="holds a line of kind 'purchase'"):
        read_curves(tmp_path / "t.jsonl")
    assert read_curves(tmp_path / "no.jsonl").steps == []


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        JsonLines(tmp_path / "file" / "t.jsonl")


def scalars(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [(e.step, e.value) for e in EventAccumulator(str(folder)).Reload().Scalars(tag)]


def test_tensorboard_forgets_the_steps_that_a_resumed_run_repeats(tmp_path):
    for steps, value in [(range(6), 1.0), (range(3, 9), 2.0)]:
        board = TensorBoard(tmp_path, last_step=0 if value == 1.0 else 5)
        for n in steps:
            board("step", step(n, value))
            if n in (2, 5, 8):
                board("epoch", {"epoch": n // 3, "loss": value, "valid": value})
        board.close()
    losses = [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2), (8, 2)]
    assert scalars(tmp_path, "train/loss") == losses
    assert scalars(tmp_path, "epoch/valid") == [(2, 1), (5, 2), (8, 2)]


def test_an_epoch_that_ends_without_a_further_step_stands_at_the_last_step_told(tmp_path):
    board = TensorBoard(tmp_path, last_step=5)
    board("epoch", {"epoch": 1, "loss": 1.0, "valid": 0.5})
    board.close()
    assert scalars(tmp_path, "epoch/valid") == [(5, 0.5)]


@pytest.mark.slow
def test_wandb_offline_asks_nothing_and_keeps_figures_in_its_folder(tmp_path, monkeypatch):
    connect = socket.socket.connect

    def only_here(self, address):  # wandb talks to its own service on this machine
        assert isinstance(address, str | bytes) or address[0] in ("127.0.0.1", "::1", "localhost"), address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    one = WeightsAndBiases(tmp_path, offline=True, name="first", mark="f" * 64, about={"base": "minilm"})
    one("step", step(0))
    one("epoch", {"epoch": 0, "loss": 1.0, "valid": 0.5})
    one.close()
    (kept,) = tmp_path.glob("wandb/offline-run-*/run-ffffffffffffffff.wandb")
    until = time.monotonic() + 30  # wandb's own service may still be writing
    while b"epoch/valid" not in kept.read_bytes() and time.monotonic() < until:
        time.sleep(0.1)
    assert b"epoch/valid" in kept.read_bytes()
    assert not list(tmp_path.glob("wandb/offline-run-*/files/requirements.txt"))


def test_wandb_online_without_a_key_is_refused_before_it_can_ask(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"no key here.*wandb-offline"):
        trackers(["wandb"], tmp_path / "t.jsonl", logs=tmp_path / "logs")


@pytest.mark.parametrize(
    ("names", "package"), [(["tensorboard"], "torch.utils.tensorboard"), (["wandb-offline"], "wandb")]
)
def test_a_missing_package_names_the_pip_command(tmp_path, monkeypatch, names, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shoal\[track\]'"):
        trackers(names, tmp_path / "t.jsonl", logs=tmp_path / "logs")


@pytest.mark.parametrize(
    ("names", "words"),
    [(["tensorbord"], "Did you mean tensorboard"), (["wandb", "wandb-offline"], "Give one of the two")],
)
def test_names_that_are_no_trackers_are_refused(names, words):
    with pytest.raises(ConfigError, match=words):
        check_names(names)


class Killed(BaseException):
    """As if the process had been killed."""


def reviews(n=24):
    good, bad = ["a b c", "a b", "b a c d"], ["f g h", "g h", "h f i j"]
    texts = [(good if i % 2 else bad)[i % 3] for i in range(n)]
    return pl.DataFrame({"text": texts, "rating": [5.0 if i % 2 else 1.0 for i in range(n)]})


def train_until(killed_at, path, settings):
    """Fine-tune with curves in `path`; at step `killed_at` (None: never) it ends as if the process were killed."""
    with trackers([], path, logs=path.with_name("logs"), mark="m") as kept:

        def watch(kind, values):
            kept(kind, values)
            if kind == "step" and values["step"] == killed_at:
                raise Killed

        finetune(reviews(), config=settings, work=path.with_suffix(".work"), watch=watch)


def test_a_fine_tuning_that_is_killed_and_resumed_has_the_curves_of_an_unbroken_one(tmp_path, tiny_bert):
    learning = {"epochs": 3, "batch_size": 4, "checkpoint_minutes": 0.0001}
    settings = Finetune(base=str(tiny_bert), strategy="last-n", learning=learning)
    for at in (4, 9):
        with pytest.raises(Killed):
            train_until(at, tmp_path / "broken.jsonl", settings)
    for name in ("broken", "whole"):
        train_until(None, tmp_path / f"{name}.jsonl", settings)
    broken, whole = (read_curves(tmp_path / f"{name}.jsonl") for name in ("broken", "whole"))
    timed = ("time", "per_second")
    for some, all_of_them in ((broken.steps, whole.steps), (broken.epochs, whole.epochs)):
        assert [{k: v for k, v in row.items() if k not in timed} for row in some] == [
            {k: v for k, v in row.items() if k not in timed} for row in all_of_them
        ]
    assert len(whole.epochs) == 3
    assert not (tmp_path / "logs").exists()
