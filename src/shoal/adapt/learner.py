"""A learner: what the loop trains. Each task is one; the loop knows no more of a task than this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from shoal.adapt.reader import Reader
from shoal.encode.adapt import Adapted


class Learner(nn.Module, ABC):
    """A language model with the head of a task, and the examples to learn it from.

    Attributes
    ----------
    reader : Reader
    unit : str
        What an example is, for the progress bar.
    """

    unit = "texts"

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    @property
    def adapted(self) -> Adapted:
        """The language model as it may move."""
        return self.reader.adapted

    @abstractmethod
    def epoch(self, rng: np.random.Generator, size: int) -> Sequence[np.ndarray]:
        """Return the batches of one epoch, `size` examples each: rows of the training examples."""

    @abstractmethod
    def forward(self, rows: np.ndarray) -> Tensor:
        """Return the mean loss of the training examples in `rows`."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Return figures of the validation examples; ``valid`` decides when to stop, and lower is better."""

    def finish(self) -> None:
        """Do what is left once the best weights are in place, such as calibration."""

    @abstractmethod
    def mark(self) -> str:
        """Return a digest of the examples: a checkpoint of other examples is not gone on from."""
