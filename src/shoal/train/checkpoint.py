"""The checkpoint of a fit under way: weights, optimizer and story, in one file that is replaced whole.

A checkpoint carries the mark of its fit. One with another mark, or one that cannot be read, is not gone on from:
training starts over, and says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from shoal.progress import Progress

NAME = "tower.checkpoint.safetensors"

Rows = list[dict[str, float]]


class Checkpoint:
    """Keeps the newest state on disk and the best weights in memory (and on disk).

    Parameters
    ----------
    folder : Path or None
        None keeps nothing on disk.
    network, optimizer
        What is saved and restored, in place.
    mark : str
        Says which fit this is: only a checkpoint with the same mark is restored.
    progress : Progress
        Hears why training starts over, or why nothing can be written.
    """

    def __init__(
        self,
        folder: Path | None,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        mark: str,
        progress: Progress,
    ) -> None:
        self.path = folder / NAME if folder else None
        self.network, self.optimizer, self.mark, self.progress = network, optimizer, mark, progress
        self.best = self._weights()

    def keep_best(self) -> None:
        """Remember the network's present weights as the best."""
        self.best = self._weights()

    def load_best(self) -> None:
        """Give the network its best weights."""
        self.network.load_state_dict(self.best)

    def save(self, rows: Rows, best: int) -> None:
        """Write everything, whole or not at all; where that fails, training goes on without checkpoints."""
        if self.path is None:
            return
        half = self.path.with_suffix(".half")
        about = {"story": json.dumps([rows, best]), "mark": self.mark}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: v.contiguous() for k, v in self._tensors().items()}, half, metadata=about)
            os.replace(half, self.path)
        except (OSError, SafetensorError) as error:
            half.unlink(missing_ok=True)
            self.progress.warn(f"{self.path} cannot be written ({error}); if this fit is stopped, it starts over.")
            self.path = None

    def restore(self) -> tuple[Rows, int]:
        """Restore network and optimizer, and return the story and its best epoch; no rows and -1 to start afresh."""
        if self.path is None or not self.path.exists():
            return [], -1
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata()
                rows, best = json.loads(about["story"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            self.progress.warn(f"{self.path} cannot be read ({error}); training starts over.")
            return [], -1
        if about.get("mark") != self.mark:
            self.progress.warn(f"{self.path} was written for other data or settings; training starts over.")
            return [], -1
        self.best = _under("best.", tensors)
        self.network.load_state_dict(_under("now.", tensors))
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": _by_parameter(_under("optimizer.", tensors)), "param_groups": groups})
        return rows, best

    def _weights(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"now.{k}": v for k, v in self._weights().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        state = self.optimizer.state_dict()["state"]
        return tensors | {f"optimizer.{i}.{k}": v for i, s in state.items() for k, v in s.items() if v is not None}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _by_parameter(tensors: dict[str, Tensor]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    return state
