"""A fine-tuned model as it is kept: what moved, and the base that it belongs to. Looked at before it is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.encode.strategy import STRATEGIES
from shoal.store import artifacts

if TYPE_CHECKING:
    import torch

    from shoal.encode.strategy import Strategy


@dataclass(frozen=True)
class Adaptation:
    """What was learnt beside a base.

    Attributes
    ----------
    folder : Path
    base : str
        Name of the base, as `shoal.encode.source.find` takes it.
    base_sha256 : str
        Of the base's weights, configuration and tokenizer.
    strategy : Strategy
    pooling, max_tokens
        How it was trained to be read.
    """

    folder: Path
    base: str
    base_sha256: str
    strategy: Strategy
    pooling: str
    max_tokens: int

    @cached_property
    def kept(self) -> artifacts.Artifacts:
        """The whole folder, every file checked against its hash."""
        return artifacts.load(self.folder, artifacts.MODEL)

    @cached_property
    def sha256(self) -> str:
        """Of everything that changes a vector: what moved, and how it was set free."""
        digest = hashlib.sha256(json.dumps(self.strategy.model_dump(), sort_keys=True).encode())
        for group in ("moved", "projection"):
            for name, tensor in sorted(self.kept.tensors.get(group, {}).items()):
                digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
        return digest.hexdigest()

    def put_into(self, model: torch.nn.Module, width: int) -> torch.nn.Module:
        """Return the base with what was learnt put in."""
        from shoal.encode.adapt import restore

        return restore(model, self.strategy, self.kept.tensors.get("moved", {}), width=width)

    def project(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return pooled vectors (rows, width) after the map that was learnt for them, where one was."""
        import torch

        weight = self.kept.tensors.get("projection", {}).get("weight")
        return pooled if weight is None else pooled @ torch.from_numpy(weight).to(pooled).T


def is_adapted(folder: Path) -> bool:
    """Whether `folder` holds a model that shoal finetune wrote."""
    return artifacts.is_run_folder(folder, artifacts.MODEL)


def open_adapted(folder: Path) -> Adaptation:
    """Look at a fine-tuned model.

    Raises
    ------
    StoreError
        The folder is damaged, or was made by a newer shoal.
    """
    kept = artifacts.load(folder, artifacts.MODEL)
    said: dict[str, Any] = kept.documents["model"]
    strategy: Any = STRATEGIES[said["strategy"]["name"]](**said["strategy"])
    made = Adaptation(
        folder,
        said["base"],
        said["base_sha256"],
        strategy,
        said["pooling"],
        said["max_tokens"],
    )
    made.__dict__["kept"] = kept
    return made
