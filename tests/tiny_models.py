"""Tiny language models with random weights and a tokenizer of one token a word, made where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EOS]"]
PAD, UNKNOWN, CLS, SEP, MASK, EOS = range(len(SPECIAL))
ENCODERS, DECODERS = ("bert",), ("gpt2", "llama")
PLACES = 64

GOOD, BAD = ("good", "fine", "lovely"), ("bad", "awful", "sad")
FILL = tuple(f"w{i}" for i in range(12))
"""Words for texts that are told a rating by one of GOOD or BAD."""
NAMES = tuple(c + v for c in "bdfgklmn" for v in "aeiou")
"""40 words for titles; words with a digit in them would be taken for codes."""


def write_model(
    folder: Path, kind: str, words: Sequence[str], *, width: int = 16, layers: int = 2, seed: int = 0
) -> Path:
    """Write a language model of a kind, bert, gpt2 or llama, that knows `words`; its head of words comes along."""
    vocabulary = [*SPECIAL, *words]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _model(kind, len(vocabulary), width, layers).save_pretrained(folder)
    write_tokenizer(folder, vocabulary, encoder=kind in ENCODERS)
    return folder


def _model(kind: str, words: int, width: int, layers: int) -> Any:
    wide: dict[str, Any] = {"initializer_range": 0.1, "vocab_size": words}
    same = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 2 * width}
    if kind == "bert":
        return BertForMaskedLM(BertConfig(max_position_embeddings=PLACES, pad_token_id=PAD, **same, **wide))
    if kind == "gpt2":
        shape = {"n_embd": width, "n_layer": layers, "n_head": 2, "n_positions": PLACES}
        return GPT2LMHeadModel(GPT2Config(bos_token_id=EOS, eos_token_id=EOS, **shape, **wide))
    ends = {"bos_token_id": EOS, "eos_token_id": EOS, "pad_token_id": PAD, "max_position_embeddings": PLACES}
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=1, **ends, **same, **wide))


def write_tokenizer(folder: Path, vocabulary: Sequence[str], *, encoder: bool) -> None:
    """Write a tokenizer of one token a word; BERT-like with [CLS], [SEP], [MASK], or GPT-like with an end alone."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "[UNK]", "eos_token": "[EOS]"}
    if encoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
        )
        special = {name: f"[{name.split('_')[0].upper()}]" for name in ("pad_token", "cls_token", "sep_token")}
        special |= {"unk_token": "[UNK]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=PLACES, **special).save_pretrained(folder)
