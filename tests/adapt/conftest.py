"""A tiny BERT with random weights, made here: nothing is fetched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

if TYPE_CHECKING:
    from shoal.adapt.settings import Finetune
    from shoal.data.dataset import Dataset

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij"]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a BERT of two layers, 16 wide, that knows the words a to j."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS), pad_token_id=0, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=32,
        )  # fmt: skip
        BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **special).save_pretrained(folder)
    return folder


sys.path.insert(0, str(Path(__file__).parents[1]))  # for tiny_models.py; pytest's importlib mode puts none on the path


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return folders of bert, gpt2 and llama by name: two layers, 16 wide; they know the words of reviews and logs."""
    from tiny_models import BAD, FILL, GOOD, NAMES, write_model

    told = ["rated", *"12345", "of", ",", ":", "5:", "5."]
    words = [*GOOD, *BAD, *FILL, *NAMES, *told]
    kinds = ("bert", "gpt2", "llama")
    return {kind: str(write_model(tmp_path_factory.mktemp(kind), kind, words)) for kind in kinds}


@pytest.fixture(scope="session")
def reviews() -> Callable[..., pl.DataFrame]:
    """Return a maker of reviews of random words in which one word, good or bad, tells the rating, 5 or 1."""
    from tiny_models import BAD, FILL, GOOD

    def make(n: int = 12, *, seed: int = 0, noise: bool = False) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        texts, ratings = [], []
        for i in range(n):
            words = list(rng.choice(FILL, rng.integers(2, 4)))
            words[rng.integers(len(words))] = str(rng.choice(GOOD if i % 2 else BAD))
            texts.append(" ".join(words))
            ratings.append(5.0 if i % 2 else 1.0)
        return pl.DataFrame({"text": texts, "rating": rng.permutation(ratings) if noise else ratings})

    return make


@pytest.fixture(scope="session")
def log() -> Dataset:
    """Return a log of two groups of users, who rated 6 of their group's 10 items 5 and 2 of the others' 1."""
    from tiny_models import FILL, NAMES

    from shoal.data.dataset import make

    rng = np.random.default_rng(0)
    rows = []
    for user in range(24):
        own = rng.permutation(10)[:6] + 10 * (user % 2)
        others = rng.permutation(10)[:2] + 10 * (1 - user % 2)
        for place, item in enumerate(rng.permutation([*own, *others])):
            rating = 5.0 if item in own else 1.0
            rows.append((f"u{user}", f"i{item}", rating, 1_600_000_000 + 86_400 * place, FILL[item % 12]))
    names = ["user_id", "item_id", "rating", "at", "text"]
    table = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.from_epoch("at"))
    titles = [f"{NAMES[i]} {NAMES[20 + 7 * i % 20]}" for i in range(20)]
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(20)], "title": titles})
    return make(table, items)


@pytest.fixture
def settings(bases: dict[str, str]) -> Callable[..., Finetune]:
    """Return a maker of settings for quick runs in float32: ``settings("bert", "lora", epochs=2)``."""
    from shoal.adapt.settings import Finetune

    def make(
        base: str = "bert", strategy: Any = "full", *, head: str = "auto", whole: Any = None, **learning: Any
    ) -> Finetune:
        learning = {"epochs": 1, "batch_size": 4, "precision": "float32"} | learning
        start = bases.get(base, base)
        rest = {"validation_share": 0.2, "test_share": 0.0, "max_tokens": 32} | (whole or {})
        return Finetune(base=start, strategy=strategy, head=head, learning=learning, **rest)

    return make
