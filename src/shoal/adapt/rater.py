"""The rater: a fine-tuned model that tells ratings or labels from texts, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from shoal.adapt.devices import out_of_memory
from shoal.adapt.head import TextHead
from shoal.adapt.reader import Reader, Tokens
from shoal.adapt.tell import joined
from shoal.encode.lm import batches
from shoal.errors import ConfigError, MismatchError
from shoal.progress import Progress

SENTIMENTS = ("negative", "neutral", "positive")
BATCH_TOKENS = 4096


@dataclass
class TextRater:
    """Tells ratings or labels from texts.

    Made by `shoal.finetune` and `shoal.load_rater`.

    Attributes
    ----------
    reader : Reader
    head : TextHead
    names : tuple of str
        Of the classes.
    ordered : bool
        Whether the classes are ratings.
    prior : (classes,) float64
        Share of each class in training: what is told of an empty text.
    about : dict
        What a manifest should say: task, base, parameters moved and in all, settings, figures, story.
    truncated : int
        How many texts of the last call were cut at the model's limit.
    """

    reader: Reader
    head: TextHead
    names: tuple[str, ...]
    ordered: bool
    prior: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)
    truncated: int = 0

    @property
    def twin(self) -> bool:
        """Whether it reads two texts apart."""
        return self.about.get("task") == "twin"

    def predict(
        self, texts: Sequence[str | None], seconds: Sequence[str | None] | None = None, progress: Progress | None = None
    ) -> pl.DataFrame:
        """Return what is told of each text.

        Parameters
        ----------
        texts : sequence of str
            One that is empty or missing gets the shares of the classes in training.
        seconds : sequence of str, optional
            For models that read a user's past and an item: the items' texts.

        Returns
        -------
        polars.DataFrame
            row (place in `texts`), then for ratings rating and spread (standard deviation, in rating units), for labels
            label (the likeliest); then sentiment where the classes have one, then a column a class with its chance.

        Raises
        ------
        MismatchError
            The model reads pairs and got texts alone, or the other way round, or the lengths differ.
        """
        needs = self.about.get("task") in ("pair", "twin")
        if needs != (seconds is not None) or (seconds is not None and len(seconds) != len(texts)):
            takes = "a user's past and an item's text, as many of each" if needs else "texts alone"
            raise MismatchError(f"This model was trained for the task {self.about.get('task')}: it reads {takes}.")
        blank = np.array([not (t or "").strip() for t in texts], dtype=bool)
        raw = self._raw([t or "" for t in texts], None if seconds is None else [s or "" for s in seconds], progress)
        with torch.inference_mode():
            chances = self.head.log_chances(raw).exp().double().cpu().numpy()
            rating, spread = (x.double().cpu().numpy().copy() for x in self.head.expected(raw))
        chances[blank] = self.prior
        levels = self.head.levels.double().cpu().numpy()
        rating[blank] = self.prior @ levels
        spread[blank] = np.sqrt(self.prior @ (levels - self.prior @ levels) ** 2)
        return self._table(chances, rating, spread)

    def _table(self, chances: np.ndarray, rating: np.ndarray, spread: np.ndarray) -> pl.DataFrame:
        columns: dict[str, Any] = {"row": np.arange(len(chances))}
        if self.ordered:
            columns |= {"rating": rating.astype(np.float32), "spread": spread.astype(np.float32)}
        else:
            columns["label"] = [self.names[i] for i in chances.argmax(1)]
        groups = sentiments(self.names, self.head.levels.cpu().numpy() if self.ordered else None)
        if groups is not None:
            sums = np.stack([chances[:, groups == i].sum(1) for i in range(3)], 1)
            columns["sentiment"] = [SENTIMENTS[i] for i in sums.argmax(1)]
        columns |= {name: chances[:, i].astype(np.float32) for i, name in enumerate(self.names)}
        return pl.DataFrame(columns)

    def _raw(self, texts: list[str], seconds: list[str] | None, progress: Progress | None) -> torch.Tensor:
        self.reader.eval()
        self.head.eval()
        if self.twin and seconds is not None:
            sides = [self.reader.tokens(texts), self.reader.tokens(seconds)]
        else:
            sides = [self.reader.tokens(texts, seconds)]
        self.truncated = max(side.truncated for side in sides)
        lengths = np.max([side.lengths for side in sides], axis=0) if texts else np.zeros(0, int)
        width = len(self.names) if self.head.kind == "classification" else 1
        out = torch.zeros(len(texts), width, device=self.head.levels.device)
        with torch.inference_mode(), (progress or Progress()).task("score", len(texts), "texts") as task:
            for rows in batches(lengths, BATCH_TOKENS):
                out[torch.as_tensor(rows, device=out.device)] = self._told(sides, rows).reshape(len(rows), width)
                task.advance(len(rows))
        return out if self.head.kind == "classification" else out[:, 0]

    def _told(self, sides: list[Tokens], rows: np.ndarray) -> torch.Tensor:
        """Return what the head gives for some rows; where memory does not suffice, for half of them at a time."""
        try:
            made: torch.Tensor = self.head(joined([self.reader(side, rows) for side in sides]))
            return made
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(rows) == 1:
                tokens = max(int(side.lengths[rows[0]]) for side in sides)
                raise ConfigError(
                    f"Out of memory with a single text of {tokens} tokens. Free memory, or ask for device cpu."
                ) from error
        half = len(rows) // 2  # outside the handler, which holds on to what did not fit
        return torch.cat([self._told(sides, rows[:half]), self._told(sides, rows[half:])])

    def save(self, folder: str | Path) -> Path:
        """Write the model into a folder, whole or not at all: what moved, the head, and which base they belong to."""
        from shoal.adapt.keep import save_rater

        return save_rater(self, folder)


def sentiments(names: Sequence[str], levels: np.ndarray | None) -> np.ndarray | None:
    """Return 0 (negative), 1 (neutral) or 2 (positive) for each class, or None where the classes say nothing of it.

    Labels go by how they begin (neg, neu, pos); ratings by where they stand on the scale: below 40 % of the way
    negative, above 60 % positive. A scale of two ratings has no middle.
    """
    if levels is not None:
        way = (levels - levels[0]) / (levels[-1] - levels[0])
        return np.where(way < 0.4, 0, np.where(way > 0.6, 2, 1))
    found = [next((i for i, s in enumerate(SENTIMENTS) if n.lower().startswith(s[:3])), -1) for n in names]
    return None if -1 in found or len(set(found)) < 2 else np.array(found)
