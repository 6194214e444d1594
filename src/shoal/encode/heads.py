"""Cutting attention heads out of BERT-like layers, so that what is left is smaller and gives the same vectors.

The weights on disk keep their full shape, with the way out of a pruned head at zero: stock transformers, whose
configuration cannot say how many heads each layer has left, reads them and gives the same vectors. Beside them
config.json names the heads, and the model that Shoal loads is cut down to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shoal.errors import EncoderError

if TYPE_CHECKING:
    import torch
    from torch import nn

HEADS_CUT = "shoal_heads_cut"
"""In config.json: number of a layer, as text -> numbers of the heads that are cut."""


def attention(block: nn.Module) -> tuple[Any, Any]:
    """Return the part of a BERT-like layer that holds query, key and value, and the linear map out of attention.

    Raises
    ------
    EncoderError
        The layer is built in another way.
    """
    inner: Any = getattr(block, "attention", None)
    own, out = getattr(inner, "self", None), getattr(getattr(inner, "output", None), "dense", None)
    if out is None or not all(hasattr(own, part) for part in ("query", "key", "value", "attention_head_size")):
        raise EncoderError(
            f"Heads cannot be pruned in {type(block).__name__}: only layers as in BERT, RoBERTa or ELECTRA are known. "
            "Prune layers instead."
        )
    return own, out


def columns(heads: Sequence[int], size: int) -> list[int]:
    """Return the numbers that belong to `heads`, each `size` wide."""
    return [head * size + i for head in heads for i in range(size)]


def cut_heads(model: nn.Module, heads: Mapping[str, Sequence[int]]) -> None:
    """Cut the named heads of each layer out of the model, in place; an empty mapping leaves it as it is.

    Parameters
    ----------
    model : nn.Module
        BERT-like.
    heads : mapping of str to sequence of int
        Number of a layer, as text -> heads, counted in the uncut layer.

    Raises
    ------
    EncoderError
        The model is built in another way, or has no such head.
    """
    import torch

    from shoal.encode.layers import layers

    if not heads:
        return
    blocks = layers(model)[1]
    for layer, cut in heads.items():
        own, out = attention(_layer(blocks, layer))
        size = int(own.attention_head_size)
        kept = [h for h in range(out.in_features // size) if h not in cut]
        if not kept or len(kept) + len(set(cut)) != out.in_features // size:
            raise EncoderError(
                f"Layer {layer} has {out.in_features // size} heads, of which {sorted(cut)} cannot be cut. "
                "Name some of its heads, and leave one at least."
            )
        rows = torch.tensor(columns(kept, size))
        for name in ("query", "key", "value"):
            setattr(own, name, _linear(getattr(own, name), rows, 0))
        _layer(blocks, layer).attention.output.dense = _linear(out, rows, 1)


def _layer(blocks: Any, layer: str) -> Any:
    if not layer.isdigit() or int(layer) >= len(blocks):
        raise EncoderError(f"The model has layers 0 to {len(blocks) - 1}, and none called {layer}.")
    return blocks[int(layer)]


def _linear(old: Any, kept: torch.Tensor, dim: int) -> nn.Linear:
    """Return a linear map with the `kept` outputs (dim 0) or inputs (dim 1) of `old`."""
    from torch import nn

    weight = old.weight.detach().index_select(dim, kept.to(old.weight.device))
    new = nn.Linear(weight.shape[1], weight.shape[0], old.bias is not None, weight.device, weight.dtype)
    new.weight = nn.Parameter(weight, requires_grad=old.weight.requires_grad)
    if old.bias is not None:
        bias = old.bias.detach()
        new.bias = nn.Parameter(bias if dim else bias.index_select(0, kept.to(bias.device)))
    return new
