"""A tuned encoder: what the tasks couse and words leave behind, to be used wherever an encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoal.adapt.reader import Reader
from shoal.progress import Progress


@dataclass
class TunedEncoder:
    """Turns texts into vectors with a fine-tuned language model.

    Attributes
    ----------
    reader : Reader
    projection : nn.Linear or None
        A map after pooling, where the strategy head learnt one.
    about : dict
        What a manifest should say: task, base, parameters moved and in all, settings, figures, story.
    """

    reader: Reader
    projection: nn.Linear | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return (texts, width) float32, each row of length 1; an empty text gets what the model makes of nothing."""
        tokens = self.reader.tokens(texts)
        with torch.no_grad():
            pooled = self.reader.all(tokens, progress or Progress(), "encode")
            return projected(pooled, self.projection).cpu().numpy()

    def save(self, folder: str | Path) -> Path:
        """Write the model into a folder, whole or not at all; ``shoal fit --encoder FOLDER`` takes it."""
        from shoal.adapt.keep import save_model

        tensors = {}
        if self.projection is not None:
            tensors = {"projection": {"weight": self.projection.weight.detach().cpu().numpy()}}
        return save_model(folder, self.reader, self.about, tensors=tensors)


def projected(pooled: torch.Tensor, projection: nn.Linear | None) -> torch.Tensor:
    """Return vectors of length 1, (rows, width)."""
    made = pooled if projection is None else projection(pooled)
    return nn.functional.normalize(made, dim=1)
