"""The checkpoint of a fit under way: weights, optimizer and story, in one file that is replaced whole."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


class Checkpoint:
    """Keeps the newest state on disk and the best weights in memory (and on disk).

    Parameters
    ----------
    folder : Path or None
        None keeps nothing on disk.
    network, optimizer
        What is saved and restored, in place.
    """

    def __init__(self, folder: Path | None, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.path = folder / "tower.checkpoint.safetensors" if folder else None
        self.network, self.optimizer = network, optimizer
        self.best = self._weights()

    def keep_best(self) -> None:
        """Remember the network's present weights as the best."""
        self.best = self._weights()

    def load_best(self) -> None:
        """Give the network its best weights."""
        self.network.load_state_dict(self.best, strict=False)

    def save(self, rows: list[dict[str, float]], best: int) -> None:
        """Write everything, whole or not at all."""
        if self.path is None:
            return
        tensors = {f"now.{k}": v for k, v in self._weights().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        state = self.optimizer.state_dict()
        tensors |= {f"optimizer.{i}.{k}": v for i, s in state["state"].items() for k, v in s.items() if v is not None}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half = self.path.with_suffix(".half")
        save_file({k: v.contiguous() for k, v in tensors.items()}, half, metadata={"story": json.dumps([rows, best])})
        os.replace(half, self.path)

    def restore(self) -> tuple[list[dict[str, float]], int]:
        """Restore network and optimizer, and return the story; an empty one where nothing whole is kept."""
        if self.path is None or not self.path.exists():
            return [], -1
        try:
            with safe_open(self.path, framework="pt") as file:
                rows, best = json.loads(file.metadata()["story"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            logging.getLogger("shoal").warning(f"{self.path.name} cannot be read ({error}); training starts over.")
            return [], -1
        self.best = _under("best.", tensors)
        self.network.load_state_dict(_under("now.", tensors), strict=False)
        state: dict[int, dict[str, Any]] = {}
        for key, value in _under("optimizer.", tensors).items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return rows, best

    def _weights(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.network.state_dict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
