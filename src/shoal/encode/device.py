"""Where a language model runs and in which numbers: CUDA, MPS or the CPU; bfloat16 where the hardware has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shoal.errors import ConfigError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]


def pick(device: str = "auto") -> torch.device:
    """Return the device called `device`; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    ConfigError
        The name means nothing to torch, or this machine has no such device.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in has.items() if there))
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device = {device!r} is no device. Give auto, cpu, cuda or mps.") from None
    there = [name for name, found in has.items() if found]
    beyond = wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count()
    if wanted.type not in there or beyond:
        raise ConfigError(f"device = {device!r}: this machine has {', '.join(there)}. Give auto to take what is there.")
    return wanted


def bf16_in_hardware(device: torch.device) -> bool:
    """Whether bfloat16 is multiplied in hardware here; where it is emulated it is slower than float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def precision_on(device: torch.device, precision: str = "auto") -> Precision:
    """Return the precision to load weights in; ``auto`` takes bfloat16 where the hardware has it."""
    if precision == "auto":
        return "bfloat16" if bf16_in_hardware(device) else "float32"
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f"precision = {precision!r} is none. Give auto, float32 or bfloat16.")
    return precision  # type: ignore[return-value]
