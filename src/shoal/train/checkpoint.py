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
    name : str
        Of the file.
    only_free : bool
        Keep only the parameters that may move; else the whole state, buffers included.

    Attributes
    ----------
    at : dict of str to float
        Where in an epoch the checkpoint was written, as `save` was told; empty between two epochs.
    extra : dict of str to Tensor
        What else `save` was told to keep.
    """

    def __init__(
        self,
        folder: Path | None,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        mark: str,
        progress: Progress,
        name: str = NAME,
        only_free: bool = False,
    ) -> None:
        self.path = folder / name if folder else None
        self.network, self.optimizer, self.mark, self.progress = network, optimizer, mark, progress
        self.only_free = only_free
        self.at: dict[str, float] = {}
        self.extra: dict[str, Tensor] = {}
        self.best = self._weights()

    def keep_best(self) -> None:
        """Remember the network's present weights as the best."""
        self.best = self._weights()

    def load_best(self) -> None:
        """Give the network its best weights."""
        self._put(self.best)

    def save(
        self,
        rows: Rows,
        best: int,
        *,
        at: dict[str, float] | None = None,
        extra: dict[str, Tensor] | None = None,
    ) -> None:
        """Write everything, whole or not at all; where that fails, training goes on without checkpoints."""
        if self.path is None:
            return
        half = self.path.with_suffix(".half")
        about = {"story": json.dumps([rows, best]), "at": json.dumps(at or {}), "mark": self.mark}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: v.contiguous() for k, v in self._tensors(extra or {}).items()}, half, metadata=about)
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
        self._put(_under("now.", tensors))
        self.at, self.extra = json.loads(about["at"]), _under("extra.", tensors)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": _by_parameter(_under("optimizer.", tensors)), "param_groups": groups})
        return rows, best

    def _weights(self) -> dict[str, Tensor]:
        free = {k for k, p in self.network.named_parameters() if p.requires_grad}
        state = self.network.state_dict()
        return {k: v.detach().clone() for k, v in state.items() if not self.only_free or k in free}

    def _put(self, weights: dict[str, Tensor]) -> None:
        self.network.load_state_dict(weights, strict=not self.only_free)

    def _tensors(self, extra: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors = {f"now.{k}": v for k, v in self._weights().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"extra.{k}": v for k, v in extra.items()}
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
