"""Layers and their linear maps are found by shape in BERT, GPT-2 and Llama; what is built otherwise is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoal.encode.layers import Bottleneck, insert_bottlenecks, layers, maps
from shoal.encode.lm import LanguageModel
from shoal.errors import EncoderError

LAYERS, WIDTH = 4, 32

NAMES = {
    "bert": (
        "encoder.layer",
        ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        ("intermediate.dense", "output.dense"),
    ),
    "gpt2": ("h", ("attn.c_attn", "attn.c_proj"), ("mlp.c_fc", "mlp.c_proj")),
    "llama": (
        "layers",
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
        ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    ),
}


@pytest.fixture
def model(tiny):
    return lambda kind: LanguageModel(str(tiny[kind]), precision="float32", device="cpu").model


@pytest.mark.parametrize("kind", NAMES)
def test_the_maps_of_each_layer_are_those_that_the_papers_name(model, kind):
    name, attention, feed_forward = NAMES[kind]
    whole = model(kind)
    assert layers(whole)[0] == name
    found = maps(whole, WIDTH)
    assert len(found) == LAYERS
    for i, one in enumerate(found):
        assert one.attention == tuple(f"{name}.{i}.{n}" for n in attention)
        assert one.feed_forward == tuple(f"{name}.{i}.{n}" for n in feed_forward)


@pytest.mark.parametrize("kind", NAMES)
def test_a_bottleneck_stands_after_attention_and_after_feed_forward_and_starts_as_nothing(model, kind):
    whole = model(kind)
    ids = torch.tensor([[5, 6, 7]])
    before = whole(input_ids=ids).last_hidden_state
    name, attention, feed_forward = NAMES[kind]
    insert_bottlenecks(whole, WIDTH, 8, torch.Generator().manual_seed(0))
    found = [n for n, part in whole.named_modules() if isinstance(part, Bottleneck)]
    assert found == [f"{name}.{i}.{n[-1]}" for i in range(LAYERS) for n in (attention, feed_forward)]
    assert torch.equal(whole(input_ids=ids).last_hidden_state, before)
    nn.init.ones_(whole.get_submodule(found[0]).up.bias)
    assert not torch.allclose(whole(input_ids=ids).last_hidden_state, before)


def test_a_bottleneck_is_what_its_formula_says():
    inner, x = nn.Linear(6, 4), torch.randn(3, 6)
    part = Bottleneck(inner, 4, 2, torch.Generator().manual_seed(0))
    nn.init.normal_(part.up.weight)
    y = inner(x)
    by_hand = y + nn.functional.gelu(y @ part.down.weight.T + part.down.bias) @ part.up.weight.T + part.up.bias
    assert torch.allclose(part(x), by_hand, atol=1e-6)


def test_a_model_without_a_list_of_layers_is_refused():
    with pytest.raises(EncoderError, match=r"Sequential has no list of layers.*frozen, head or full"):
        layers(nn.Sequential(nn.Linear(4, 4)))


def test_a_layer_that_is_no_transformer_s_is_refused():
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 8)), nn.Sequential(nn.Linear(4, 8))])

    with pytest.raises(EncoderError, match=r"The layer blocks.0 is not made of attention.*last-n or full"):
        maps(Stack(), 4)
