"""A language model as an encoder: any Hugging Face encoder or decoder turns texts into vectors of length 1.

    texts --tokenize--> ids (batch, tokens) --model--> hidden (batch, tokens, width) --pool--> vectors (batch, width)

Texts of like length share a batch, so that little is padded; padding never reaches a vector. Weights are loaded at the
first text that must be encoded: width and fingerprint are known without them, so that a cache can serve alone.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.encode import device as devices
from shoal.encode.heads import HEADS_CUT, cut_heads
from shoal.encode.source import Pooling, find
from shoal.errors import ConfigError, EncoderError
from shoal.progress import Progress, Task

if TYPE_CHECKING:
    import torch

    Hidden = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

ENCODE_VERSION = 1
"""Goes up whenever the same model and text would give another vector; cached vectors then go unused."""
FIRST_PLACES_UNUSED = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text"}
"""Models that count places from the padding id on, and so read fewer tokens than they have places."""
WINDOW = 16_384
"""Texts that are held as tokens at a time."""


class LanguageModel:
    """Turns texts into vectors with a pretrained language model.

    Parameters
    ----------
    name : str
        ``minilm``, a folder, or a hub name; see `shoal.encode.source.find`.
    max_tokens : int
        Longer texts are cut, and counted in `truncated`; never more than the model itself can read.
    pooling : str
        ``mean`` over tokens, ``cls`` (the first token), ``last`` (the last token), or ``auto``: what the model's folder
        says, else mean for encoders and last for decoders.
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device has it in hardware (cosine to float32 .9999).
    device : str
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``.
    batch_tokens : int, optional
        Tokens in a batch, padding included. None takes 2,048 on a CPU, where more outgrow its caches (8,192 are a third
        slower with minilm), 512 for the CPU engines of `shoal.encode.engines`, and 16,384 elsewhere.

    Raises
    ------
    EncoderError
        There is no such model, or it cannot be trusted.
    ConfigError
        A number or a word is out of range.
    """

    def __init__(
        self,
        name: str = "minilm",
        *,
        max_tokens: int = 128,
        pooling: str = "auto",
        precision: str = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
    ) -> None:
        if max_tokens < 1 or (batch_tokens is not None and batch_tokens < 1):
            raise ConfigError(f"max_tokens = {max_tokens} and batch_tokens = {batch_tokens} must be 1 or more.")
        if pooling not in ("auto", "mean", "cls", "last"):
            raise ConfigError(f"pooling = {pooling!r} is none. Give auto, mean, cls or last.")
        if precision not in ("auto", "float32", "bfloat16"):
            raise ConfigError(f"precision = {precision!r} is none. Give auto, float32 or bfloat16.")
        self.name, self.max_tokens, self.batch_tokens = name, max_tokens, batch_tokens
        self.source = find(name)
        self.truncated = 0
        self._pooling, self._precision, self._device = pooling, precision, device

    @property
    def width(self) -> int:
        """The width of a vector."""
        return self.source.width

    @cached_property
    def pooling(self) -> Pooling:
        """How tokens become one vector: ``mean``, ``cls`` or ``last``."""
        return self.source.pooling if self._pooling == "auto" else self._pooling  # type: ignore[return-value]

    @cached_property
    def device(self) -> torch.device:
        """Where the model runs."""
        return devices.pick(self._device)

    @cached_property
    def precision(self) -> devices.Precision:
        """Type of the weights."""
        return devices.precision_on(self.device, self._precision)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the model's files and of every setting that changes a vector."""
        makes = [ENCODE_VERSION, self.source.sha256, self.pooling, self.max_tokens, self.precision, "length 1"]
        return hashlib.sha256(json.dumps(makes).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest should say of the encoder, for JSON."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "weights_sha256": self.source.weights_sha256,
            "model_type": self.source.config.get("model_type"),
            "width": self.width,
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "precision": self.precision,
            "device": str(self.device),
            "left_out": self.source.left_out,
        }

    def encode(
        self, texts: Sequence[str], progress: Progress | None = None, *, hidden: Hidden | None = None
    ) -> np.ndarray:
        """Return (texts, width) float32, each row of length 1, in the order of `texts`.

        An empty text gets what the model makes of nothing. Which texts share a call does not change a vector (within
        1e-5 in float32). `truncated` says afterwards how many of these texts were cut at `max_tokens`.

        Parameters
        ----------
        texts : sequence of str
        progress : Progress, optional
        hidden : callable, optional
            Another way from tokens to hidden states, such as an exported model; None runs `model`.

        Raises
        ------
        EncoderError
            The model cannot be loaded, or its vectors are not numbers.
        """
        vectors = np.empty((len(texts), self.width), np.float32)
        self.truncated = 0
        with (progress or Progress()).task("encode", len(texts), "texts") as task:
            for start in range(0, len(texts), WINDOW):
                part = slice(start, start + WINDOW)
                self._encode_window(texts[part], vectors[part], task, hidden)
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        if broken:
            raise EncoderError(
                f"The language model {self.name} gave {broken:,} of {len(texts):,} texts vectors that are not numbers. "
                "Set encode.precision to float32, or choose another model."
            )
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Return the number of tokens of each text, special ones included, before any is cut. Shape (texts,)."""
        return np.array([len(ids) for ids in self._ids(texts)], dtype=np.int64)

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the model's last hidden states, (batch, tokens, width), of ids and mask, (batch, tokens) both."""
        states: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text as the model is to read them; what is too long is cut and counted."""
        ids = self._ids(texts)
        long = [i for i, one in enumerate(ids) if len(one) > self.limit]
        if long:
            self.truncated += len(long)
            cut = self._ids([texts[i] for i in long], truncation=True, max_length=self.limit)
            for i, one in zip(long, cut, strict=True):
                ids[i] = one
        return ids

    def _encode_window(self, texts: Sequence[str], out: np.ndarray, task: Task, hidden: Hidden | None) -> None:
        ids = self.tokens(texts)
        usual = 16_384 if self.device.type != "cpu" else 512 if hidden else 2048
        budget = self.batch_tokens or usual
        for rows in batches(np.array([len(one) for one in ids]), budget):
            out[rows] = self._vectors([ids[row] for row in rows], hidden)
            task.advance(len(rows))

    def _ids(self, texts: Sequence[str], **how: Any) -> list[list[int]]:
        if not len(texts):
            return []
        with quiet():
            ids: list[list[int]] = self.tokenizer(list(texts), verbose=False, **how)["input_ids"]
        return [one or [self.nothing] for one in ids]

    @cached_property
    def nothing(self) -> int:
        """The token that stands for an empty text, of which decoders make no token."""
        return _first_of(self.tokenizer, "bos", "cls", "eos", "pad")

    @cached_property
    def pad(self) -> int:
        """The token that fills up a batch; it is masked."""
        return _first_of(self.tokenizer, "pad", "eos")

    def padded(self, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask, (batch, tokens) int64, filled up at the end."""
        import torch

        longest = max(len(one) for one in ids)
        padded = torch.tensor([one + [self.pad] * (longest - len(one)) for one in ids], device=self.device)
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids], device=self.device)
        return padded, mask

    def pooled(self, ids: list[list[int]], hidden: Hidden | None = None) -> torch.Tensor:
        """Return the vectors of texts that are tokens already, (batch, width) float32 of any length, in one batch."""
        padded, mask = self.padded(ids)
        vectors = pool((hidden or self.hidden)(padded, mask).float(), mask, self.pooling)
        for adaptation in self.source.adaptations:
            vectors = adaptation.project(vectors)
        return vectors

    def _vectors(self, ids: list[list[int]], hidden: Hidden | None) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return torch.nn.functional.normalize(self.pooled(ids, hidden), dim=1).cpu().numpy()

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        from transformers import AutoTokenizer

        with self._loading():
            return AutoTokenizer.from_pretrained(self.source.folder, local_files_only=True, trust_remote_code=False)

    @cached_property
    def model(self) -> torch.nn.Module:
        """The model itself, in evaluation mode; loaded when first asked for."""
        import torch
        from transformers import AutoModel

        with self._loading():
            model, report = AutoModel.from_pretrained(
                self.source.folder,
                dtype=getattr(torch, self.precision),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        # A missing weight is drawn at random, which no error would show. The pooler is not read here.
        missing = sorted(k for k in report["missing_keys"] if "pooler" not in k)
        if missing:
            raise EncoderError(
                f"The weights of {self.name} lack {len(missing)} parts, {missing[0]} among them. "
                "They do not belong to this config.json; fetch the model again."
            )
        if self.source.config.get("is_encoder_decoder"):
            model = model.get_encoder()
        model.config.use_cache = False
        cut_heads(model, self.source.config.get(HEADS_CUT, {}))
        for adaptation in self.source.adaptations:
            model = adaptation.put_into(model, self.width)
        return model.to(self.device).eval()

    @cached_property
    def limit(self) -> int:
        """The most tokens of a text that are read: `max_tokens`, or fewer where the model cannot take so many."""
        config = self.source.config
        own = int(config.get("max_position_embeddings") or config.get("n_positions") or 2**31)
        if config.get("model_type") in FIRST_PLACES_UNUSED:
            own -= int(config.get("pad_token_id") or 0) + 1
        return min(self.max_tokens, own, int(self.tokenizer.model_max_length))

    @contextmanager
    def _loading(self) -> Iterator[None]:
        try:
            with quiet():
                yield
        except Exception as error:  # a folder from elsewhere can be wrong in any way
            why = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise EncoderError(
                f"The language model {self.name} cannot be loaded: {why[0]} Check its folder, {self.source.folder}."
            ) from error


def pool(hidden: torch.Tensor, mask: torch.Tensor, how: Pooling) -> torch.Tensor:
    """Pool hidden states (batch, tokens, width) into (batch, width), wherever the padding stands.

    Parameters
    ----------
    hidden : torch.Tensor
        float32.
    mask : torch.Tensor
        (batch, tokens), 1 for a token and 0 for padding; each row holds at least one token.
    how : str
        ``mean``, ``cls`` (the first token), ``last``.
    """
    import torch

    if how == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)  # (batch, tokens, 1)
        return (hidden * weights).sum(1) / weights.sum(1)
    place = mask.argmax(1) if how == "cls" else mask.shape[1] - 1 - mask.flip(1).argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), place]


def batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Yield row numbers in batches of like length, longest first, none above `batch_tokens` unless a row alone is.

    Longest first: what does not fit into memory fails at once, and the time left is not told too low.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        n = max(1, batch_tokens // int(lengths[order[start]]))
        yield order[start : start + n]
        start += n


def _first_of(tokenizer: Any, *kinds: str) -> int:
    """Return the id of the first special token that the tokenizer has, else 0 (padding is masked: any id will do)."""
    found = (getattr(tokenizer, f"{kind}_token_id") for kind in kinds)
    return next((int(one) for one in found if one is not None), 0)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own bars, reports and warnings off the screen, and leave its settings as they were."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
