"""One seed a run: every part draws from a stream of its own, named, so that parts do not disturb each other."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _sequence(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    words = [n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names]
    return np.random.SeedSequence([seed, *words])


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator of the part called `names`.

    Parameters
    ----------
    seed : int
        The run's seed, 0 or more.
    names : str or int
        Which part draws, such as ``"split", "random"`` or ``"epoch", 3``. Other names, other numbers.
    """
    return np.random.default_rng(_sequence(seed, names))


def integer(seed: int, *names: str | int) -> int:
    """Return a seed below 2**31 for libraries that take an integer."""
    return int(_sequence(seed, names).generate_state(1)[0] >> 1)


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return the torch generator (on the CPU) of the part called `names`."""
    import torch

    return torch.Generator().manual_seed(integer(seed, *names))
