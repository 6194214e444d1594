"""Static vectors as an encoder: one vector for each token, and a text is the mean of its tokens' vectors.

For very large catalogues: a look-up and a mean, no network is run. A token has the same vector in every text, and order
counts for nothing. `shoal.encode.distil` makes such a folder from a language model and says what was lost; it is the
folder of Model2Vec, so that published models of that kind can be read as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.encode.source import Source, find
from shoal.errors import ConfigError, EncoderError
from shoal.progress import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

STATIC_VERSION = 1
"""Goes up whenever the same folder and text would give another vector."""
MODEL_TYPE = "model2vec"
LOSS = "loss.json"
"""File in the folder that says what distillation lost."""
WINDOW = 16_384
"""Texts that are held as tokens at a time."""


class StaticEncoder:
    """Turns texts into vectors by looking up one vector for each token.

    Parameters
    ----------
    name : str or Source
        A folder that `distil` or model2vec wrote, or the name of such a model on the hub.
    max_tokens : int
        Longer texts are cut, and counted in `truncated`.

    Raises
    ------
    EncoderError
        There is no such folder, or it holds something else.
    """

    precision = "float32"

    def __init__(self, name: str | Source, *, max_tokens: int = 128) -> None:
        self.source = name if isinstance(name, Source) else find(str(name))
        if not is_static(self.source):
            raise EncoderError(
                f"{self.source.name} holds no static vectors: its config.json does not say {MODEL_TYPE}. "
                "Give a folder that shoal.encode.distil wrote, or read it as a LanguageModel."
            )
        if max_tokens < 1:
            raise ConfigError(f"max_tokens = {max_tokens} must be 1 or more.")
        self.max_tokens, self.truncated = max_tokens, 0

    @cached_property
    def table(self) -> np.ndarray:
        """The vectors of all tokens, (tokens, width) float32, each already weighted."""
        from safetensors.numpy import load_file

        tensors = load_file(self.source.folder / "model.safetensors")
        table = tensors.get("embeddings", tensors.get("embedding.weight"))
        if table is None or table.ndim != 2 or not np.issubdtype(table.dtype, np.number):
            raise EncoderError(f"{self.source.name} holds no table of vectors. Distil the model again.")
        table = table.astype(np.float32)
        if "mapping" in tensors:  # several tokens share a vector
            table = table[tensors["mapping"]]
        if "weights" in tensors:
            table = table * tensors["weights"].astype(np.float32)[:, None]
        return table

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, of the library tokenizers."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.source.folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise EncoderError(f"The tokenizer of {self.source.name} cannot be read: {error}.") from None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if tokenizer.get_vocab_size() > len(self.table):
            raise EncoderError(
                f"{self.source.name} has {tokenizer.get_vocab_size():,} tokens and {len(self.table):,} vectors. "
                "The files do not belong together; distil the model again."
            )
        return tokenizer

    @property
    def width(self) -> int:
        """The width of a vector."""
        return int(self.table.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the folder's files and of every setting that changes a vector."""
        makes = ["static", STATIC_VERSION, self.source.sha256, self.max_tokens]
        return hashlib.sha256(json.dumps(makes).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest should say of the encoder, for JSON; `loss` is what distillation lost, if it says."""
        return {
            "name": self.source.name,
            "fingerprint": self.fingerprint,
            "weights_sha256": self.source.weights_sha256,
            "model_type": MODEL_TYPE,
            "width": self.width,
            "max_tokens": self.max_tokens,
            "precision": self.precision,
            "device": "cpu",
            "loss": self.loss,
        }

    @property
    def loss(self) -> dict[str, Any] | None:
        """What `distil` measured; None for a folder that somebody else wrote, or where no texts were given."""
        try:
            said: dict[str, Any] = json.loads((self.source.folder / LOSS).read_text(encoding="utf-8"))
            return said
        except (OSError, ValueError):
            return None

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return (texts, width) float32, each row of length 1, in the order of `texts`.

        A text without a known token, such as the empty one, is a row of zeros: near to nothing.
        """
        vectors = np.zeros((len(texts), self.width), np.float32)
        self.truncated = 0
        with (progress or Progress()).task("encode", len(texts), "texts") as task:
            for start in range(0, len(texts), WINDOW):
                part = list(texts[start : start + WINDOW])
                vectors[start : start + len(part)] = means_of(self._ids(part), len(self.table)) @ self.table
                task.advance(len(part))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Return the number of tokens of each text, unknown ones included, before any is cut. Shape (texts,)."""
        return np.array([len(e.ids) for e in self._encodings(texts)], dtype=np.int64)

    def _encodings(self, texts: Sequence[str]) -> Any:
        return self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids = [e.ids for e in self._encodings(texts)]
        self.truncated += sum(len(one) > self.max_tokens for one in ids)
        unknown = self._unknown
        return [[i for i in one[: self.max_tokens] if i != unknown] for one in ids]

    @cached_property
    def _unknown(self) -> int | None:
        """The token of unknown words, which has no meaning to add."""
        said = json.loads((self.source.folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        if said.get("unk_token") is not None:
            return self.tokenizer.token_to_id(said["unk_token"])
        return said.get("unk_id")


def is_static(source: Source) -> bool:
    """Whether a folder holds static vectors."""
    return source.config.get("model_type") == MODEL_TYPE


def means_of(ids: Sequence[Sequence[int]], n: int) -> csr_matrix:
    """Return (texts, tokens) that makes means of token vectors: a row sums to 1, or to 0 where a text has no token."""
    from scipy.sparse import csr_matrix

    counts = np.array([len(one) for one in ids], dtype=np.int64)
    flat = np.fromiter((i for one in ids for i in one), np.int64, int(counts.sum()))
    shares = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    return csr_matrix((shares, flat, np.cumsum([0, *counts])), (len(ids), n))
