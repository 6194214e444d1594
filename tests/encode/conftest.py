"""Tiny language models with random weights, made here: nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[EOS]"]
WORDS = [*SPECIAL, *"abcdefghijklmnopqrst"]
LAYERS, HEADS, WIDTH = 4, 4, 32


def _write_tokenizer(folder: Path, *, encoder: bool) -> None:
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "[UNK]", "eos_token": "[EOS]"}
    if encoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of bert, gpt2, llama and t5, by name."""
    small: dict[str, Any] = {"vocab_size": len(WORDS), "pad_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = {
            "bert": BertModel(
                BertConfig(
                    hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64,
                    max_position_embeddings=48, initializer_range=0.2, **small,
                )
            ),
            "gpt2": GPT2Model(
                GPT2Config(
                    n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=48, vocab_size=len(WORDS), bos_token_id=4,
                    eos_token_id=4, initializer_range=0.2,
                )
            ),
            "llama": LlamaModel(
                LlamaConfig(
                    hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=2,
                    intermediate_size=64, bos_token_id=4, eos_token_id=4, initializer_range=0.2, **small,
                )
            ),
            "t5": T5Model(T5Config(d_model=WIDTH, d_kv=8, d_ff=64, num_layers=1, num_heads=HEADS, **small)),
        }  # fmt: skip
    folders = {}
    for name, model in made.items():
        folders[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folders[name])
        _write_tokenizer(folders[name], encoder=name in ("bert", "t5"))
    return folders


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """400 texts of 1 to 20 words, and the empty one."""
    draws = torch.Generator().manual_seed(1)
    words = [[WORDS[5 + int(i)] for i in torch.randint(0, 20, (1 + n % 20,), generator=draws)] for n in range(400)]
    return ["", *(" ".join(one) for one in words)]
