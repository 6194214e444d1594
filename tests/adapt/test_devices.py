"""One process or several: a batch is shared out, and all processes hold the same weights after every step."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from shoal.adapt.devices import Devices, is_first, own_device
from shoal.adapt.keep import load_rater
from shoal.adapt.loop import NAME
from shoal.errors import ConfigError, MissingExtraError


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def devices(rank=0, size=1, precision="float32"):
    made = Devices(torch.device("cpu"), precision)
    made.rank, made.size = rank, size
    return made


def test_one_process_is_first_and_takes_all():
    made = devices()
    assert (made.rank, made.size, made.is_first) == (0, 1, True)
    assert is_first()
    module = nn.Linear(2, 2)
    assert made.wrap(module) is module
    assert made.share(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    made.wait()
    assert own_device("auto") == "auto"


@given(st.integers(1, 40), st.integers(1, 6))
def test_the_shares_of_a_batch_are_as_good_as_equal_and_hold_every_row(rows, size):
    batch = np.arange(rows) + 100
    parts = [devices(rank, size).share(batch) for rank in range(size)]
    assert set(np.concatenate(parts)) == set(batch)
    sizes = [len(part) for part in parts]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    if rows >= size:
        assert sum(sizes) == rows  # none is read twice


def test_autocast_is_bfloat16_only_where_it_was_chosen():
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with devices(precision=precision).autocast():
            assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_without_accelerate_several_processes_name_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingExtraError, match=r"pip install 'shoal\[finetune\]'"):
        Devices(torch.device("cpu"), "float32")


def test_processes_that_do_not_know_each_other_are_refused(monkeypatch):
    import accelerate

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "PartialState", lambda cpu: SimpleNamespace(num_processes=1, process_index=0))
    with pytest.raises(ConfigError, match=r"2 processes were started.*accelerate sees 1.*accelerate launch"):
        Devices(torch.device("cpu"), "float32")


SHOAL = [sys.executable, "-c", "from shoal.cli.main import main; main()"]
RANK = """
import json, os, sys
import polars as pl, torch
from safetensors.torch import save_file
from shoal.adapt.finetune import finetune
from shoal.adapt.settings import Finetune

table, settings, out, stop = sys.argv[1:]
def watch(kind, row):
    if kind == "step" and row["step"] == int(stop):
        os._exit(9)  # as if killed
config = Finetune(**json.loads(settings))
done = finetune(pl.read_csv(table), config=config, work=out + "/work", device="cpu", watch=watch)
moved = {n: p.detach().clone() for n, p in done.reader.named_parameters() if p.requires_grad}
moved |= {"head." + n: p.detach().clone() for n, p in done.head.named_parameters()}
rank = os.environ.get("RANK", "0")
save_file(moved, f"{out}/{rank}.safetensors")
"""


def together(command, processes, **how):
    """Run a command in several processes with the environment that `accelerate launch --cpu` sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(processes):
        own = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
        }
        own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
        env = {**os.environ, **(own if processes > 1 else {}), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=env, **pipes, **how))
    told = [one.communicate(timeout=300) for one in started]
    return [(one.returncode, *both) for one, both in zip(started, told, strict=True)]


@pytest.fixture
def table(tmp_path, reviews):
    reviews(24).write_csv(tmp_path / "reviews.csv")
    return tmp_path / "reviews.csv"


def settings_of(bases, **learning):
    how = {"epochs": 2, "batch_size": 4, "precision": "float32", "dropout": 0.0, "clip": 1e6, **learning}
    how["optimizer"] = {"name": "sgd", "lr": 0.05}
    whole = {"base": bases["bert"], "strategy": "full", "validation_share": 0.33, "test_share": 0, "max_tokens": 16}
    return json.dumps({**whole, "learning": how})


def trained(tmp_path: Path, name, processes, table, settings, stop=-1):
    out = tmp_path / name
    out.mkdir(exist_ok=True)
    return out, together([sys.executable, "-c", RANK, str(table), settings, str(out), str(stop)], processes)


@pytest.mark.slow
def test_two_processes_end_with_equal_weights_near_those_of_one(tmp_path, bases, table):
    settings = settings_of(bases)
    ends = {}
    for name, processes in (("one", 1), ("two", 2)):
        out, told = trained(tmp_path, name, processes, table, settings)
        assert all(code == 0 for code, _, _ in told), told
        ends[name] = [load_file(out / f"{rank}.safetensors") for rank in range(processes)]
    (one,), (first, second) = ends["one"], ends["two"]
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert max(float((one[n] - first[n]).abs().max()) for n in one if one[n].numel()) < 1e-5


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_together(tmp_path, bases, table):
    settings = settings_of(bases, checkpoint_minutes=1e-9)
    out, told = trained(tmp_path, "broken", 2, table, settings, stop=6)
    assert told[0][0] == 9
    assert (out / "work" / NAME).exists()
    again, told = trained(tmp_path, "broken", 2, table, settings)
    assert all(code == 0 for code, _, _ in told), told
    whole, _ = trained(tmp_path, "whole", 2, table, settings)
    for rank in range(2):
        resumed, unbroken = load_file(again / f"{rank}.safetensors"), load_file(whole / f"{rank}.safetensors")
        assert all(torch.equal(resumed[n], unbroken[n]) for n in unbroken)


@pytest.mark.slow
def test_of_two_processes_of_the_command_line_the_first_alone_talks_and_keeps(tmp_path, bases, table):
    (tmp_path / "tune.toml").write_text('strategy = "lora"\nmax_tokens = 16\n[learning]\nepochs = 1\n')
    command = [*SHOAL, "finetune", str(table), str(tmp_path / "model"), "--base", bases["gpt2"]]
    told = together([*command, "--config", str(tmp_path / "tune.toml")], 2)
    assert [code for code, _, _ in told] == [0, 0], told
    assert "parameters moved" in told[0][1]
    assert "kept in" in told[0][2]
    assert told[1][1] == ""
    assert "finetune" not in told[1][2]
    assert load_rater(tmp_path / "model", device="cpu").predict(["good"]).height == 1
    assert not (tmp_path / "model.part").exists()
