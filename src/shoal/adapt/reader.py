"""The reader: texts go through the language model that is being fine-tuned, a batch at a time, and become vectors.

    texts --tokenize, once--> Tokens --rows of a batch--> model --pool--> (rows, width)

Where nothing of the model moves, the vectors of all texts are computed once and then served.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoal.encode.adapt import Adapted
from shoal.encode.lm import LanguageModel, batches, pool
from shoal.progress import Progress

BATCH_TOKENS = 4096
"""Tokens that go through the model at once where no gradient is kept, padding included."""


@dataclass
class Tokens:
    """Texts as tokens.

    Attributes
    ----------
    ids : list of list of int
    pad : int
        Token that fills up a batch; never seen by the model.
    truncated : int
        How many texts were cut at the most tokens that the model takes.
    kinds : list of list of int or None
        For pairs of texts read together: 0 for a token of the first, 1 for one of the second.
    vectors : Tensor or None
        (texts, width), where nothing of the model moves.
    """

    ids: list[list[int]]
    pad: int
    truncated: int = 0
    kinds: list[list[int]] | None = None
    vectors: Tensor | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, (texts,)."""
        return np.array([len(one) for one in self.ids], dtype=np.int64)

    def batch(self, rows: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Return what the model takes for the texts in `rows`: ids and mask, (rows, tokens), padded at the end."""
        chosen = [self.ids[row] for row in rows]
        inputs = {"input_ids": _padded(chosen, self.pad), "attention_mask": _padded([[1] * len(c) for c in chosen], 0)}
        if self.kinds is not None:
            inputs["token_type_ids"] = _padded([self.kinds[row] for row in rows], 0)
        return inputs


def _padded(lists: list[list[int]], pad: int) -> Tensor:
    longest = max(len(one) for one in lists)
    return torch.tensor([one + [pad] * (longest - len(one)) for one in lists])


class Reader(nn.Module):
    """A language model, part of which may move.

    Parameters
    ----------
    lm : LanguageModel
        Gives tokenizer, pooling, device and the most tokens.
    adapted : Adapted
        Its model, as it may move.
    """

    def __init__(self, lm: LanguageModel, adapted: Adapted) -> None:
        super().__init__()
        self.lm, self.adapted = lm, adapted
        self.model = adapted.model

    def tokens(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> Tokens:
        """Return texts as tokens; with `seconds`, each text and its second one read together.

        Where a pair is too long, the longer one of the two is cut; where the tokenizer cannot join two, the end is.
        """
        limit = self.lm.limit
        made = _tokenize(self.lm, texts, seconds)
        long = [i for i, one in enumerate(made["input_ids"]) if len(one) > limit]
        if long:
            others = None if seconds is None else [seconds[i] for i in long]
            cut = _tokenize(self.lm, [texts[i] for i in long], others, truncation=True, max_length=limit)
            for key, lists in cut.items():
                for i, one in zip(long, lists, strict=True):
                    made[key][i] = one
        knows = int(self.lm.source.config.get("type_vocab_size") or 0) > 1  # RoBERTa has one kind, DistilBERT none
        return Tokens(made["input_ids"], self.lm.pad, len(long), made.get("token_type_ids") if knows else None)

    def forward(self, tokens: Tokens, rows: np.ndarray) -> Tensor:
        """Return (rows, width) float32, pooled, of any length."""
        if tokens.vectors is not None:
            return tokens.vectors[torch.as_tensor(rows)]
        inputs = {k: v.to(self.lm.device) for k, v in tokens.batch(rows).items()}
        hidden = self.model(**inputs).last_hidden_state  # (rows, tokens, width)
        return pool(hidden.float(), inputs["attention_mask"], self.lm.pooling)

    @torch.no_grad()
    def all(self, tokens: Tokens, progress: Progress, name: str = "read") -> Tensor:
        """Return (texts, width) for all texts, without dropout and without gradients, on the reader's device."""
        was_training = self.training
        self.eval()
        out = torch.empty(len(tokens.ids), self.lm.width, device=self.lm.device)
        with progress.task(name, len(tokens.ids), "texts") as task:
            for rows in batches(tokens.lengths, BATCH_TOKENS):
                out[torch.as_tensor(rows, device=out.device)] = self(tokens, rows)
                task.advance(len(rows))
        self.train(was_training)
        return out

    def settle(self, tokens: Tokens, progress: Progress) -> None:
        """Compute the vectors of all texts, where nothing of the model moves and they can never change."""
        if not self.adapted.moves:
            tokens.vectors = self.all(tokens, progress)


def _tokenize(
    lm: LanguageModel, texts: Sequence[str], seconds: Sequence[str] | None, **how: Any
) -> dict[str, list[list[int]]]:
    """Return the tokenizer's lists by name; where it has no way to join two texts (GPT-like), a line break does."""
    if not len(texts):
        return {"input_ids": []}
    pairs: tuple[list[str], ...] = (list(texts),)
    if seconds is not None:
        pairs = (list(texts), list(seconds))
        if lm.tokenizer.sep_token_id is None:
            pairs = ([f"{a}\n{b}" for a, b in zip(texts, seconds, strict=True)],)
    made = lm.tokenizer(*pairs, verbose=False, return_token_type_ids=seconds is not None, **how)
    wanted = ("input_ids", "token_type_ids") if "token_type_ids" in made and len(pairs) == 2 else ("input_ids",)
    nothing = [lm.nothing]
    return {key: [one or nothing for one in made[key]] for key in wanted}


def shuffled_batches(
    rng: np.random.Generator, lengths: np.ndarray, size: int, *, bucket: int = 50
) -> Iterator[np.ndarray]:
    """Yield all rows in batches of `size`, in a random order, texts of like length together so that little is padded.

    Rows are shuffled, sorted by length within stretches of `bucket` batches, and the batches shuffled again.
    """
    order = rng.permutation(len(lengths))
    stretch = size * bucket
    parts = []
    for start in range(0, len(order), stretch):
        part = order[start : start + stretch]
        part = part[np.argsort(lengths[part], kind="stable")]
        parts += [part[i : i + size] for i in range(0, len(part), size)]
    for i in rng.permutation(len(parts)):
        yield parts[i]
