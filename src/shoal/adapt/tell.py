"""Telling ratings or labels: the learner of the tasks review, pair and twin, which differ only in what is read.

review  the text to be rated                    -> vector -----------------------------------> head
pair    a user's past and an item, read as one  -> vector -----------------------------------> head
twin    a user's past -> u,  an item -> v       -> [u, v, u * v, |u - v|] -------------------> head
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shoal.adapt.head import TextHead
from shoal.adapt.learner import Learner
from shoal.adapt.reader import Reader, Tokens, shuffled_batches
from shoal.data.labelled import Labelled
from shoal.evaluate import labels
from shoal.progress import Progress
from shoal.seeding import integer


class Teller(Learner):
    """Learns classes of texts, or of pairs of texts.

    Parameters
    ----------
    reader : Reader
    head : TextHead
    sides : sequence of (Tokens, rows)
        One for a text or a pair read as one, two for twins; rows (examples,) say which text each example reads.
    data : Labelled
        The classes of the examples; its texts are not read here.
    train, valid : (rows,) int64
        Which examples are learnt from, and which decide when to stop.
    """

    def __init__(
        self,
        reader: Reader,
        head: TextHead,
        sides: Sequence[tuple[Tokens, np.ndarray]],
        data: Labelled,
        train: np.ndarray,
        valid: np.ndarray,
        progress: Progress,
    ) -> None:
        super().__init__(reader)
        self.head, self.sides, self.train_rows, self.valid_rows = head, sides, train, valid
        self.classes, self.values = torch.from_numpy(data.classes), torch.from_numpy(data.values)
        self.data = data
        for tokens, _ in sides:
            reader.settle(tokens, progress)

    def epoch(self, rng: np.random.Generator, size: int) -> Sequence[np.ndarray]:
        """Return batches of rows of the training examples, of like length together."""
        lengths = np.sum([tokens.lengths[rows[self.train_rows]] for tokens, rows in self.sides], axis=0)
        return [self.train_rows[b] for b in shuffled_batches(rng, lengths, size)]

    def raw(self, rows: np.ndarray) -> Tensor:
        """Return the head's scores or logits of some examples."""
        parts = [self.reader(tokens, which[rows]) for tokens, which in self.sides]
        out: Tensor = self.head(joined(parts))
        return out

    def forward(self, rows: np.ndarray) -> Tensor:
        """Return the mean loss of some examples."""
        raw = self.raw(rows)
        return self.head.loss(raw, self.classes[rows].to(raw.device), self.values[rows].to(raw.device))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the loss and what people read: accuracy, and for ratings RMSE."""
        self.eval()
        rows = self.valid_rows
        raw = self.all_raw(rows)
        classes, values = self.classes[rows].to(raw.device), self.values[rows].to(raw.device)
        figures = {"valid": float(self.head.loss(raw, classes, values))}
        chances = self.head.log_chances(raw).exp().cpu().numpy()
        figures["accuracy"] = labels.accuracy(chances, self.data.classes[rows])
        if self.data.ordered:
            figures["rmse"] = labels.rmse(self.head.expected(raw)[0].cpu().numpy(), self.data.values[rows])
        return figures

    @torch.no_grad()
    def finish(self) -> None:
        """Choose the temperature on the validation examples."""
        self.eval()
        rows = self.valid_rows
        raw = self.all_raw(rows)
        self.head.calibrate(raw, self.classes[rows].to(raw.device), self.values[rows].to(raw.device))

    def mark(self) -> str:
        """Return a digest of the examples."""
        digest = hashlib.sha256(self.data.values.tobytes() + self.train_rows.tobytes() + self.valid_rows.tobytes())
        for tokens, rows in self.sides:
            digest.update(rows.tobytes())
            digest.update(np.concatenate([np.array(one, np.int64) for one in tokens.ids]).tobytes())
        return digest.hexdigest()

    def all_raw(self, asked: np.ndarray) -> Tensor:
        """Return what `raw` gives for any number of examples, in order; those of like length are read together."""
        lengths = np.sum([tokens.lengths[rows[asked]] for tokens, rows in self.sides], axis=0)
        order = np.argsort(-lengths, kind="stable")
        raw = torch.cat([self.raw(asked[order[i : i + 32]]) for i in range(0, len(order), 32)])
        return raw[torch.from_numpy(np.argsort(order, kind="stable")).to(raw.device)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return what the head reads: one vector, or two and how they meet."""
    if len(parts) == 1:
        return parts[0]
    u, v = parts
    return torch.cat([u, v, u * v, (u - v).abs()], 1)


def make_head(
    data: Labelled, width: int, kind: str, *, hidden: bool, dropout: float, smoothing: float, balanced: bool, seed: int
) -> TextHead:
    """Return the head for these classes; `kind` ``auto`` is ordinal for ratings and classification for labels."""
    if kind == "auto":
        kind = "ordinal" if data.ordered else "classification"
    weights = None
    counts = np.bincount(data.classes, minlength=len(data.names)).clip(1)
    if balanced:
        weights = torch.from_numpy(len(data.classes) / (len(data.names) * counts))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(seed, "head"))
        head = TextHead(
            width,
            kind,  # type: ignore[arg-type]
            torch.from_numpy(data.levels),
            hidden=hidden,
            dropout=dropout,
            weights=weights,
            smoothing=smoothing,
        )
    head.begin_at(torch.ones(len(counts)) if balanced else torch.from_numpy(counts))
    return head


def held_out(classes: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to learn from and rows to validate on, (rows,) each, rising.

    Each class gives its share, rounded, so that a rare one is on both sides where it can be.
    """
    valid = []
    for one in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == one))
        valid.append(rows[: round(share * len(rows))])
    chosen = np.sort(np.concatenate(valid))
    return np.setdiff1d(np.arange(len(classes)), chosen), chosen
