"""The processes that train together: one, or one a device where the command was started by `accelerate launch`.

Each process takes its share of every batch; gradients are averaged, so all hold the same weights at every step.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from shoal.encode.device import precision_on
from shoal.errors import ConfigError, MissingExtraError


class Devices:
    """Where training runs.

    Parameters
    ----------
    device : torch.device
        Of this process.
    precision : str
        ``auto``, ``float32`` or ``bfloat16``: of the numbers that pass through the model; weights stay float32.

    Attributes
    ----------
    rank, size : int
        This process's number, and how many there are.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision_on(device, precision)
        self.rank, self.size = 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            state = _state()
            self.rank, self.size = int(state.process_index), int(state.num_processes)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def wrap(self, learner: nn.Module) -> nn.Module:
        """Return what is called for the loss: the learner, or one that averages gradients over all processes."""
        if self.size == 1:
            return learner
        numbers = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(learner, device_ids=numbers, find_unused_parameters=True)

    def share(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch; none goes without, so that a small batch is read more than once."""
        return rows[np.arange(max(len(rows), self.size)) % len(rows)][self.rank :: self.size]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the model runs: bfloat16 where that was chosen."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            _state().wait_for_everyone()


def is_first() -> bool:
    """Whether this process is the one that writes and talks, of those that train together."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device(device: str) -> str:
    """Return the device for this process: its own GPU where several processes train together."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and device == "auto":
        return str(_state().device)
    return device


def _state() -> Any:
    try:
        from accelerate import PartialState
    except ImportError:
        raise MissingExtraError(
            "Training in several processes needs accelerate, which is not installed. "
            "Install it with: pip install 'shoal[finetune]'"
        ) from None
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true") or not torch.cuda.is_available()
    state, asked = PartialState(cpu=on_cpu), int(os.environ["WORLD_SIZE"])
    if state.num_processes != asked:
        raise ConfigError(
            f"{asked} processes were started (WORLD_SIZE), and accelerate sees {state.num_processes}: each would train "
            "by itself. Start them with accelerate launch."
        )
    return state


def meet() -> None:
    """Wait for all processes, so that the first may tidy up; does nothing where there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _state().wait_for_everyone()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on a GPU or not."""
    words = str(error).lower()
    told = any(w in words for w in ("out of memory", "not enough memory", "can't allocate memory"))
    return told or isinstance(error, MemoryError)
