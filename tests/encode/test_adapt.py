"""What may move, moves; what is held stays bit-equal; and what moved brings the same vectors back."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from shoal.encode.adapt import adapt, count, moved, restore
from shoal.encode.lm import LanguageModel
from shoal.encode.strategy import STRATEGIES, AdaLoRA, LastN, LoRA
from shoal.errors import ConfigError, MismatchError, MissingExtraError

KINDS = ("bert", "gpt2", "llama")
WIDTH, LAYERS = 32, 4
BATCH = {
    "input_ids": torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
}


@pytest.fixture
def fresh(tiny):
    return lambda kind: LanguageModel(str(tiny[kind]), precision="float32", device="cpu").model


def hidden(model):
    model.eval()
    with torch.no_grad():
        return model(**BATCH).last_hidden_state


def copies(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def train(adapted, steps=4, lr=0.02):
    """Take a few steps of Adam towards any target."""
    free = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(free, lr=lr) if free else None
    torch.manual_seed(0)
    adapted.model.train()
    for step in range(steps if optimizer else 0):
        out = adapted.model(**BATCH).last_hidden_state
        loss = (out - torch.linspace(-1, 1, WIDTH)).square().mean() + adapted.penalty()
        loss.backward()
        optimizer.step()
        adapted.after_step(step)
        optimizer.zero_grad()


NORM = {"bert": "LayerNorm", "gpt2": "ln_", "llama": "layernorm"}
BLOCK = {"bert": "encoder.layer.", "gpt2": "h.", "llama": "layers."}
LAST = {"bert": None, "gpt2": "ln_f.", "llama": "norm."}


def should_move(kind, strategy, name):
    """Whether a parameter of the adapted model is to move, told from its name by hand."""
    block = name.split(".")[len(BLOCK[kind].split(".")) - 1] if name.startswith(BLOCK[kind]) else None
    if strategy == "full":
        return not name.startswith("pooler.")
    if strategy == "last-n":
        return (block is not None and int(block) >= LAYERS - 2) or (LAST[kind] and name.startswith(LAST[kind]))
    if strategy == "lora":
        return "lora_A" in name or "lora_B" in name
    if strategy == "adalora":
        return any(part in name for part in ("lora_A", "lora_B", "lora_E"))
    if strategy == "adapter":
        return block is not None and (".down." in name or ".up." in name or NORM[kind] in name)
    return False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_starts_unchanged_moves_only_its_own_and_comes_back(fresh, kind, name):
    strategy = STRATEGIES[name]()
    base = hidden(fresh(kind))
    adapted = adapt(fresh(kind), strategy, width=WIDTH, seed=1, steps=4)
    assert torch.equal(hidden(adapted.model), base)

    free = {n for n, p in adapted.model.named_parameters() if p.requires_grad}
    assert free == {n for n, _ in adapted.model.named_parameters() if should_move(kind, name, n)}
    assert adapted.moves == bool(free) == (name not in ("frozen", "head"))

    before = copies(adapted.model)
    train(adapted)
    after = copies(adapted.model)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed <= free
    assert len(changed) >= 0.6 * len(free)  # a key's bias never gets a gradient

    kept = moved(adapted.model)
    assert set(kept) == free
    whole = restore(fresh(kind), strategy, kept, width=WIDTH)
    assert not any(p.requires_grad for p in whole.parameters())
    assert torch.allclose(hidden(whole), hidden(adapted.model), atol=2e-5)
    if free:
        assert not torch.allclose(hidden(whole), base, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_lora_on_attention_alone_leaves_the_feed_forward_part(fresh, kind):
    adapted = adapt(fresh(kind), LoRA(where="attention", rank=2), width=WIDTH)
    names = [n for n, p in adapted.model.named_parameters() if p.requires_grad]
    assert names
    assert all("attn" in n or "attention" in n for n in names)
    assert all(2 in p.shape for p in adapted.model.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [2, 3, 25])
def test_adalora_s_ranks_end_at_their_budget(fresh, kind, steps):
    adapted = adapt(fresh(kind), AdaLoRA(rank=2, start_rank=5), width=WIDTH, steps=steps)
    train(adapted, steps)
    ranks = [int((p != 0).sum()) for n, p in adapted.model.named_parameters() if "lora_E" in n]
    assert sum(ranks) / len(ranks) == 2
    assert max(ranks) <= 5


def test_adalora_is_pulled_towards_orthogonal_factors_and_the_others_are_not(fresh):
    adapted = adapt(fresh("bert"), AdaLoRA(rank=2, start_rank=3), width=WIDTH)
    first = adapted.penalty()
    gaps = []
    for n, p in adapted.model.named_parameters():
        if "lora_A" in n or "lora_B" in n:
            square = p @ p.T if "lora_A" in n else p.T @ p
            gaps.append((square - torch.eye(3)).square().sum().sqrt())
    assert torch.isclose(first, 0.1 * torch.stack(gaps).mean())
    with torch.no_grad():
        for n, p in adapted.model.named_parameters():
            if "lora_A" in n or "lora_B" in n:
                nn.init.orthogonal_(p)
    assert adapted.penalty() < 1e-5 < first
    assert adapt(fresh("bert"), LoRA(), width=WIDTH).penalty() == 0


@pytest.mark.parametrize("name", ["lora", "adalora", "adapter"])
def test_new_weights_follow_the_seed_and_nothing_else(fresh, name):
    made = []
    for seed, outside in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(outside)
        state = torch.get_rng_state()
        made.append(moved(adapt(fresh("gpt2"), STRATEGIES[name](), width=WIDTH, seed=seed).model))
        assert name == "adapter" or torch.equal(torch.get_rng_state(), state)
    same = [all((made[0][n] == other[n]).all() for n in made[0]) for other in made[1:]]
    assert same == [True, False]


def test_a_size_that_was_kept_and_does_not_fit_is_refused(fresh):
    kept = moved(adapt(fresh("bert"), LoRA(rank=2), width=WIDTH).model)
    with pytest.raises(MismatchError, match=r"does not fit its base.*parts"):
        restore(fresh("bert"), LoRA(rank=4), kept, width=WIDTH)
    with pytest.raises(MismatchError, match="does not fit its base"):
        restore(fresh("gpt2"), LoRA(rank=2), kept, width=WIDTH)


def test_more_layers_than_there_are_cannot_move(fresh):
    with pytest.raises(ConfigError, match=r"strategy.n = 5: the model has 4 layers. Give 4 at most"):
        adapt(fresh("bert"), LastN(n=5), width=WIDTH)


@pytest.mark.parametrize("name", ["lora", "adalora"])
def test_without_peft_the_pip_command_is_named(fresh, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shoal\[finetune\]'"):
        adapt(fresh("bert"), STRATEGIES[name](), width=WIDTH)


def test_free_and_all_numbers_are_counted(fresh):
    model = fresh("bert")
    assert count(model)[1] == sum(p.numel() for p in model.parameters())
    adapted = adapt(model, LoRA(rank=1, where="attention"), width=WIDTH)
    assert count(adapted.model)[0] == LAYERS * 4 * 2 * WIDTH  # a row and a column for each of four square maps
