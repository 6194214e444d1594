"""One file that is replaced whole: what is kept comes back, and what is damaged starts over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from shoal.progress import Progress
from shoal.train import checkpoint
from shoal.train.checkpoint import NAME, Checkpoint

ROWS = [{"epoch": 0, "loss": 1.5, "valid": 1.25}, {"epoch": 1, "loss": 1.0, "valid": 1.5}]


class Ear(Progress):
    """Keeps what it was warned of."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, line: str) -> None:
        self.heard.append(line)


def fresh(folder: Path | None, ear: Progress, *, seed: int = 0, mark: str = "this fit", sgd: bool = False):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    if sgd:
        optimizer: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    return network, optimizer, Checkpoint(folder, network, optimizer, mark=mark, progress=ear)


def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.arange(6.0).view(2, 3)).square().mean().backward()
    optimizer.step()


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def saved(folder: Path, **kind) -> list[torch.Tensor]:
    """Save a fit of two epochs, the first one best, and return its newest weights."""
    network, optimizer, kept = fresh(folder, Ear(), **kind)
    step(network, optimizer)
    kept.keep_best()
    step(network, optimizer)
    kept.save(ROWS, 0)
    return weights(network)


@pytest.mark.parametrize("sgd", [False, True])
def test_network_optimizer_and_story_come_back(tmp_path, sgd):
    newest = saved(tmp_path, sgd=sgd)
    went_on, optimizer, _ = fresh(None, Ear(), sgd=sgd)
    for _ in range(3):
        step(went_on, optimizer)

    network, optimizer, kept = fresh(tmp_path, Ear(), seed=1, sgd=sgd)
    assert kept.restore() == (ROWS, 0)
    torch.testing.assert_close(weights(network), newest, rtol=0, atol=0)
    step(network, optimizer)  # the third step is the same only if the optimizer's memory came back
    torch.testing.assert_close(weights(network), weights(went_on), rtol=0, atol=0)


def test_the_best_weights_come_back_beside_the_newest(tmp_path):
    newest = saved(tmp_path)
    best, optimizer, _ = fresh(None, Ear())
    step(best, optimizer)
    network, _, kept = fresh(tmp_path, Ear(), seed=1)
    kept.restore()
    kept.load_best()
    torch.testing.assert_close(weights(network), weights(best), rtol=0, atol=0)
    assert not torch.equal(weights(network)[0], newest[0])


def test_the_best_are_kept_apart_from_what_is_learnt_afterwards():
    network, optimizer, kept = fresh(None, Ear())
    before = weights(network)
    step(network, optimizer)
    kept.load_best()  # none was kept: the start is the best there is
    torch.testing.assert_close(weights(network), before, rtol=0, atol=0)


def test_without_a_folder_nothing_is_kept():
    _, _, kept = fresh(None, Ear())
    kept.save(ROWS, 0)
    assert kept.restore() == ([], -1)


def test_without_a_checkpoint_training_starts_quietly(tmp_path):
    ear = Ear()
    assert fresh(tmp_path / "none yet", ear)[2].restore() == ([], -1)
    assert ear.heard == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_file_that_was_cut_short_starts_over_and_says_so(tmp_path, share):
    saved(tmp_path)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: int(share * len(content))])
    ear = Ear()
    network, _, kept = fresh(tmp_path, ear, seed=1)
    before = weights(network)
    assert kept.restore() == ([], -1)
    torch.testing.assert_close(weights(network), before, rtol=0, atol=0)
    assert len(ear.heard) == 1
    assert "cannot be read" in ear.heard[0]
    assert "training starts over" in ear.heard[0]


def test_a_file_of_something_else_starts_over(tmp_path):
    checkpoint.save_file({"a": torch.zeros(3)}, tmp_path / NAME)
    ear = Ear()
    assert fresh(tmp_path, ear)[2].restore() == ([], -1)
    assert "training starts over" in ear.heard[0]


def test_the_checkpoint_of_another_fit_is_left_alone(tmp_path):
    saved(tmp_path)
    ear = Ear()
    network, _, kept = fresh(tmp_path, ear, seed=1, mark="another fit")
    before = weights(network)
    assert kept.restore() == ([], -1)
    assert ear.heard == [f"{tmp_path / NAME} was written for other data or settings; training starts over."]
    torch.testing.assert_close(weights(network), before, rtol=0, atol=0)


def test_a_half_written_file_never_replaces_a_good_one(tmp_path, monkeypatch):
    newest = saved(tmp_path)

    def killed(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    network, optimizer, kept = fresh(tmp_path, Ear())
    kept.restore()
    step(network, optimizer)
    monkeypatch.setattr(checkpoint, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        kept.save([*ROWS, ROWS[1]], 0)

    network, _, kept = fresh(tmp_path, Ear(), seed=1)
    assert kept.restore() == (ROWS, 0)
    torch.testing.assert_close(weights(network), newest, rtol=0, atol=0)


def test_a_full_disk_stops_the_checkpoints_and_not_the_fit(tmp_path, monkeypatch):
    saved(tmp_path)

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    ear = Ear()
    _, _, kept = fresh(tmp_path, ear)
    kept.save(ROWS, 0)
    kept.save(ROWS, 0)
    assert len(ear.heard) == 1  # once, not after every epoch
    assert "No space left on device" in ear.heard[0]
    assert [file.name for file in tmp_path.iterdir()] == [NAME]
