"""The task words: the language of the catalogue and of what users wrote is learnt, without any label.

encoder  some tokens are masked, and guessed from both sides   (Devlin et al. 2019: 80 % mask, 10 % random, 10 % kept)
decoder  each token is guessed from those before it            (Radford et al. 2018)

Going on with the pretraining on the texts of one's own field before a task is learnt is Gururangan et al. (2020).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.adapt.couse import item_sentences
from shoal.adapt.encoder import TunedEncoder
from shoal.adapt.learner import Learner
from shoal.adapt.loop import plan
from shoal.adapt.reader import Reader, Tokens, shuffled_batches
from shoal.adapt.settings import Finetune
from shoal.adapt.start import Around, learn, make_reader, open_base, with_base
from shoal.data.dataset import Dataset
from shoal.encode.heads import HEADS_CUT, cut_heads
from shoal.encode.lm import LanguageModel, quiet
from shoal.errors import EncoderError, NotEnoughDataError
from shoal.seeding import generator, torch_generator
from shoal.tables import TEXT

IGNORED = -100
"""The label of a token that is not asked for."""


class Words(Learner):
    """Learns to guess tokens.

    Parameters
    ----------
    reader : Reader
    head : nn.Module
        From hidden states (tokens, width) to logits (tokens, vocabulary).
    tokens : Tokens
    train, valid : (rows,) int64
    settings : Finetune
    """

    def __init__(
        self,
        reader: Reader,
        head: nn.Module,
        tokens: Tokens,
        train: np.ndarray,
        valid: np.ndarray,
        settings: Finetune,
    ) -> None:
        super().__init__(reader)
        self.head, self.tokens, self.settings = head, tokens, settings
        self.train_rows, self.valid_rows = train, valid
        self.masks = not reader.lm.source.is_decoder
        self.special = {int(i) for i in reader.lm.tokenizer.all_special_ids}
        self.mask_token = reader.lm.tokenizer.mask_token_id
        words = reader.model.get_input_embeddings().num_embeddings  # type: ignore[operator]
        self.vocabulary = min(len(reader.lm.tokenizer), words)

    def epoch(self, rng: np.random.Generator, size: int) -> Sequence[np.ndarray]:
        """Return batches of rows of the texts to learn from."""
        return [self.train_rows[b] for b in shuffled_batches(rng, self.tokens.lengths[self.train_rows], size)]

    def forward(self, rows: np.ndarray) -> Tensor:
        """Return the mean loss of guessed tokens; which are masked is drawn anew each time."""
        seed = int(torch.randint(2**31 - 1, ()))  # from the step's own stream
        return self._loss(rows, torch.Generator().manual_seed(seed))[0]

    def _loss(self, rows: np.ndarray, rng: torch.Generator) -> tuple[Tensor, int]:
        inputs = self.tokens.batch(rows)
        if self.masks:
            inputs["input_ids"], asked = self._masked(inputs["input_ids"], inputs["attention_mask"], rng)
        else:
            asked = torch.full_like(inputs["input_ids"], IGNORED)
            asked[:, :-1] = inputs["input_ids"][:, 1:].masked_fill(inputs["attention_mask"][:, 1:] == 0, IGNORED)
        device = self.reader.lm.device
        hidden = self.reader.model(**{k: v.to(device) for k, v in inputs.items()}).last_hidden_state
        where = (asked != IGNORED).to(device)
        n = int(where.sum())
        if not n:
            return hidden.sum() * 0, 0
        return F.cross_entropy(self.head(hidden.float()[where]), asked.to(device)[where]), n

    def _masked(self, ids: Tensor, mask: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return ids with some tokens hidden, and what they were; at least one in each text that has a real token."""
        plain = (mask == 1) & ~torch.isin(ids, torch.tensor(sorted(self.special)))
        luck = torch.rand(ids.shape, generator=rng).masked_fill(~plain, 2.0)
        chosen = (luck < self.settings.mask_share) | ((luck == luck.min(1, keepdim=True).values) & plain)
        asked = ids.masked_fill(~chosen, IGNORED)
        kind = torch.rand(ids.shape, generator=rng)
        other = torch.randint(self.vocabulary, ids.shape, generator=rng)
        hidden = torch.where(chosen & (kind < 0.8), torch.full_like(ids, int(self.mask_token)), ids)
        return torch.where(chosen & (kind >= 0.9), other, hidden), asked

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the loss over held-out texts, masked in the same places each time, and its perplexity."""
        self.eval()
        rng = torch_generator(self.settings.seed, "words", "valid")
        total, tokens = 0.0, 0
        for start in range(0, len(self.valid_rows), 32):
            loss, n = self._loss(self.valid_rows[start : start + 32], rng)
            total, tokens = total + float(loss) * n, tokens + n
        mean = total / max(tokens, 1)
        return {"valid": mean, "perplexity": math.exp(min(mean, 50))}

    def mark(self) -> str:
        """Return a digest of the texts."""
        digest = hashlib.sha256(self.train_rows.tobytes() + self.valid_rows.tobytes())
        digest.update(np.concatenate([np.array(one, np.int64) for one in self.tokens.ids]).tobytes())
        return digest.hexdigest()


def learn_words(data: Dataset, settings: Finetune, around: Around) -> TunedEncoder:
    """Go on with a language model's pretraining on the texts of items, and on what users wrote where they wrote.

    Raises
    ------
    NotEnoughDataError
        There are fewer than ten texts.
    """
    texts = sorted({text for text in [*item_sentences(data)[1], *_written(data)] if text.strip()})
    if len(texts) < 10:
        raise NotEnoughDataError(f"{data.name} has {len(texts)} texts to learn words from; ten are needed.")
    settings = with_base(settings, texts, around.progress)
    lm = open_base(settings, around.device)
    body, head = _with_word_head(lm, around)
    order = generator(settings.seed, "words", "validation").permutation(len(texts))
    n = max(1, round(settings.validation_share * len(texts)))
    train, valid = np.sort(order[n:]), np.sort(order[:n])
    steps = plan(-(-len(train) // settings.learning.batch_size), settings)
    reader = make_reader(lm, settings, steps, model=body)
    learner = Words(reader, head, reader.tokens(texts), train, valid, settings)
    about: dict[str, Any] = {"task": "words", "settings": settings.model_dump(mode="json"), "data": data.name}
    about["before"] = learner.validate()
    about |= learn(learner, settings, around)
    about["examples"] = {"train": len(train), "validation": len(valid)}
    about["after"] = learner.validate()
    return TunedEncoder(reader, None, about)


def _written(data: Dataset) -> list[str]:
    """Return what users wrote, where the data has it."""
    if TEXT not in data.interactions.columns:
        return []
    return data.interactions[TEXT].drop_nulls().to_list()


def _with_word_head(lm: LanguageModel, around: Around) -> tuple[nn.Module, nn.Module]:
    """Return the language model and its head of words; where the base comes without one, it begins anew.

    Raises
    ------
    EncoderError
        The model has no such head that can be used by itself.
    """
    import transformers

    if not lm.source.is_decoder and lm.tokenizer.mask_token_id is None:
        raise EncoderError(f"{lm.name} cannot learn words: its tokenizer has no token for a mask. Choose another base.")
    kind = "AutoModelForCausalLM" if lm.source.is_decoder else "AutoModelForMaskedLM"
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        try:
            whole, report = getattr(transformers, kind).from_pretrained(
                lm.source.folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:
            raise EncoderError(
                f"{lm.name} cannot learn words: {str(error).strip().splitlines()[0]} Choose another base."
            ) from error
    body = whole.base_model
    heads = [part for part in whole.children() if part is not body]
    if len(heads) != 1:
        raise EncoderError(f"{lm.name} ({type(whole).__name__}) has no head of words that can be used by itself.")
    if report["missing_keys"]:
        around.progress.log(f"finetune  {lm.name} comes without a head of words: a new one is learnt along the way")
    body.config.use_cache = False
    cut_heads(body, lm.source.config.get(HEADS_CUT, {}))
    for adaptation in lm.source.adaptations:
        body = adaptation.put_into(body, lm.width)
    return body.to(lm.device), heads[0].to(lm.device)
