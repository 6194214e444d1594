"""What a run needs from the machine, looked at one by one; nothing is changed."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from shoal.errors import ShoalError

LIBRARIES = ("torch", "transformers", "polars", "pyarrow", "numpy", "scikit-learn", "implicit")
ENOUGH_DISK = 1.0
"""Gigabytes of free disk below which a run may fail half-way."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class Fact:
    """One thing that was looked at.

    Attributes
    ----------
    name, value : str
        What was looked at, and what was found, in words.
    advice : str
        What to do when a run cannot do with that; empty when it can.
    """

    name: str
    value: str
    advice: str = ""

    @property
    def fine(self) -> bool:
        """Whether a run can do with what was found."""
        return not self.advice


def examine(*, encoder: str = "minilm", cache: Path | None = None, folder: Path | None = None) -> list[Fact]:
    """Look at versions, processor, device, language model, cache and free disk.

    Parameters
    ----------
    encoder : str
        The language model to try, as in the setting ``encode.encoder``; one from the hub is fetched if it is not here.
    cache : Path, optional
        The cache of encoded texts; None is the one that runs take by default.
    folder : Path, optional
        Where runs will be kept; None is the current folder.
    """
    from shoal.encode.cache import default_folder

    cache = default_folder() if cache is None else cache
    return [
        Fact("shoal", version("shoal")),
        Fact("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *map(_library, LIBRARIES),
        *_device(),
        _encoder(encoder),
        Fact("cache", f"{cache}, {_gigabytes(_size(cache))}"),
        _disk("free for the cache", cache),
        _disk("free for runs", folder or Path.cwd()),
    ]


def _library(name: str) -> Fact:
    try:
        return Fact(name, version(name))
    except PackageNotFoundError:
        return Fact(name, "not installed", f"Install it with: {sys.executable} -m pip install {name}")


def _device() -> list[Fact]:
    try:
        import torch
    except Exception as error:  # a torch that does not fit the machine fails in many ways, and the doctor says so
        return [Fact("device", f"torch does not start: {error}", "Install a build of torch that fits this machine.")]
    from shoal.encode.device import bf16_in_hardware, pick

    device = pick("auto")
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return [
        Fact("device", str(device)),
        Fact("threads", threads),
        Fact("bfloat16", "in hardware" if bf16_in_hardware(device) else "not in hardware: float32 is used"),
    ]


def _encoder(name: str) -> Fact:
    from shoal.config import Encode
    from shoal.encode.open import open_encoder

    try:
        model = open_encoder(Encode(encoder=name))
        model.encode(["a shoal is a group of fish that swim together"])
    except ShoalError as error:
        return Fact("language model", f"{name}: not usable", str(error))
    about = f"{name}, {model.width} wide, SHA-256 {model.source.sha256[:12]}"
    return Fact("language model", f"{about}, {model.precision}; gives vectors")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def _disk(name: str, folder: Path) -> Fact:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    low = free < ENOUGH_DISK * GIGABYTE
    return Fact(name, f"{_gigabytes(free)} in {there}", "Free some space; runs may fail half-way." if low else "")


def _gigabytes(size: float) -> str:
    return f"{size / GIGABYTE:,.1f} GB" if size >= GIGABYTE / 10 else f"{size / 1e6:,.0f} MB"
