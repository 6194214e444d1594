"""The layers of a transformer and the linear maps in them, found by shape, so that any Hugging Face model will do.

A layer's maps stand in the order in which the layer uses them. Those that end in the model's width are, last of all,
the feed-forward part's way out and, before it, the attention's way out:

    BERT   query key value attention.output.dense* | intermediate.dense output.dense*
    GPT-2  c_attn c_proj*                          | c_fc c_proj*
    Llama  q_proj k_proj v_proj o_proj*            | gate_proj up_proj down_proj*
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from shoal.errors import EncoderError


@dataclass(frozen=True)
class Maps:
    """The linear maps of one layer, by their names in the model.

    Attributes
    ----------
    attention : tuple of str
        Those of attention; the last one is its way out.
    feed_forward : tuple of str
        Those after it; the last one is the way out.
    """

    attention: tuple[str, ...]
    feed_forward: tuple[str, ...]


def layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name and the list of the model's layers: the longest list of modules of one type.

    Raises
    ------
    EncoderError
        There is none.
    """
    lists = [
        (name, part)
        for name, part in model.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) and len({type(one) for one in part}) == 1
    ]
    if not lists:
        raise EncoderError(
            f"{type(model).__name__} has no list of layers, so none of its parts can be chosen to move. "
            "Choose the strategy frozen, head or full."
        )
    return max(lists, key=lambda named: len(named[1]))


def maps(model: nn.Module, width: int) -> list[Maps]:
    """Return the linear maps of each layer of a model that is `width` wide.

    Raises
    ------
    EncoderError
        A layer is not made of attention and a feed-forward part.
    """
    name, blocks = layers(model)
    return [_maps_of(f"{name}.{i}", block, width) for i, block in enumerate(blocks)]


def _maps_of(name: str, layer: nn.Module, width: int) -> Maps:
    linear = [(f"{name}.{n}", out) for n, part in layer.named_modules() if (out := _outputs(part)) is not None]
    ends = [i for i, (_, out) in enumerate(linear) if out == width]
    if len(ends) < 2:
        raise EncoderError(
            f"The layer {name} is not made of attention and a feed-forward part as in BERT, GPT-2 or Llama. "
            "Choose the strategy frozen, head, last-n or full."
        )
    names = [n for n, _ in linear]
    return Maps(tuple(names[: ends[-2] + 1]), tuple(names[ends[-2] + 1 : ends[-1] + 1]))


def _outputs(part: nn.Module) -> int | None:
    """Return how many numbers a linear map gives; None for any other module. GPT-2's maps are a kind of their own."""
    if isinstance(part, nn.Linear):
        return part.out_features
    return int(part.nf) if type(part).__name__ == "Conv1D" else None  # type: ignore[arg-type]


class Bottleneck(nn.Module):
    """A linear map with a small network after it, which starts out as nothing (Houlsby et al. 2019).

    y = W x;  return y + up(gelu(down(y)))
    """

    def __init__(self, inner: nn.Module, width: int, bottleneck: int, generator: torch.Generator) -> None:
        super().__init__()
        self.inner = inner
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.normal_(self.down.weight, std=0.02, generator=generator)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., width)."""
        y = self.inner(x)
        return y + self.up(nn.functional.gelu(self.down(y)))


def insert_bottlenecks(model: nn.Module, width: int, bottleneck: int, generator: torch.Generator) -> None:
    """Put a bottleneck after the attention and after the feed-forward part of each layer, in place."""
    for found in maps(model, width):
        for name in (found.attention[-1], found.feed_forward[-1]):
            above, _, own = name.rpartition(".")
            parent = model.get_submodule(above)
            setattr(parent, own, Bottleneck(getattr(parent, own), width, bottleneck, generator))
