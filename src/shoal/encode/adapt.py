"""Adapting a language model: what may move is set free, the rest is held, and what moved can be kept and put back.

adapted = adapt(model, LoRA(rank=8), width=384, seed=0)     in place
moved(adapted.model)                                        name -> tensor, of what is free to move
restore(model, strategy, tensors, width=384)                the same model as after training, ready to encode
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoal.encode.layers import Bottleneck, insert_bottlenecks, layers, maps
from shoal.encode.strategy import AdaLoRA, Adapter, LastN, LoRA, Strategy
from shoal.errors import ConfigError, MismatchError, MissingExtraError
from shoal.seeding import integer, torch_generator

ORTHOGONALITY = 0.1
"""Weight of AdaLoRA's pull of its factors towards orthogonal ones (Zhang et al. 2023, eq. 4; their choice)."""


@dataclass
class Adapted:
    """A model of which a part may move.

    Attributes
    ----------
    model : nn.Module
    tuner : object or None
        peft's own, for LoRA and AdaLoRA.
    strategy : Strategy
    settled : int
        The step in which AdaLoRA's ranks come down to their budget for good; 0 for the others.
    """

    model: nn.Module
    tuner: Any
    strategy: Strategy
    settled: int = 0

    @property
    def moves(self) -> bool:
        """Whether anything of the model itself moves."""
        return any(p.requires_grad for p in self.model.parameters())

    def penalty(self) -> Tensor:
        """Return what is added to the loss: AdaLoRA's pull towards orthogonal factors; 0 for the others."""
        if not isinstance(self.strategy, AdaLoRA):
            return torch.zeros(())
        gaps = []
        for name, p in self.model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                square = p @ p.T if "lora_A" in name else p.T @ p
                gaps.append(torch.linalg.norm(square - torch.eye(len(square), device=p.device)))
        return ORTHOGONALITY * torch.stack(gaps).mean()

    def after_step(self, step: int) -> None:
        """Let AdaLoRA move its ranks; to be called after each step of the optimizer, before gradients are cleared."""
        if isinstance(self.strategy, AdaLoRA):
            self.tuner.update_and_allocate(step)

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold beside the weights: AdaLoRA's running importances and present ranks."""
        if not isinstance(self.strategy, AdaLoRA):
            return {}
        ranks = self.tuner.peft_config["default"].rank_pattern or {}
        state = {f"ranks|{name}": torch.tensor(kept) for name, kept in ranks.items()}
        for kind in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
            state |= {f"{kind}|{name}": tensor for name, tensor in getattr(self.tuner.rankallocator, kind).items()}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        if not isinstance(self.strategy, AdaLoRA):
            return
        parts: dict[str, dict[str, Any]] = {"ranks": {}, "ipt": {}, "exp_avg_ipt": {}, "exp_avg_unc": {}}
        for key, tensor in state.items():
            kind, name = key.split("|", 1)
            parts[kind][name] = tensor.tolist() if kind == "ranks" else tensor
        self.tuner.peft_config["default"].rank_pattern = parts.pop("ranks")
        for kind, tensors in parts.items():
            setattr(self.tuner.rankallocator, kind, tensors)


def adapt(model: nn.Module, strategy: Strategy, *, width: int, seed: int = 0, steps: int = 1000) -> Adapted:
    """Set free what the strategy lets move, hold the rest, in place.

    Parameters
    ----------
    model : nn.Module
        Encoder or decoder, as `transformers.AutoModel` gives it.
    strategy : Strategy
    width : int
        Of the hidden states.
    seed : int
        New weights are drawn from it; they start so that the model is unchanged.
    steps : int
        Steps of the optimizer to come; AdaLoRA plans its ranks by them.

    Raises
    ------
    EncoderError
        The model is not built of layers that the strategy knows.
    ConfigError
        Last-n asks for more layers than there are.
    MissingExtraError
        LoRA and AdaLoRA need peft.
    """
    model.requires_grad_(False)
    tuner = None
    if strategy.name == "full":
        model.requires_grad_(True)
        _hold_pooler(model)
    elif isinstance(strategy, LastN):
        _free_last(model, strategy.n)
    elif isinstance(strategy, Adapter):
        insert_bottlenecks(model, width, strategy.width, torch_generator(seed, "adapter"))
        _free_bottlenecks_and_norms(model)
    elif isinstance(strategy, LoRA | AdaLoRA):
        tuner = _tuner(model, strategy, width, seed, steps)
    return Adapted(model, tuner, strategy, _settled(tuner) if isinstance(strategy, AdaLoRA) else 0)


def moved(model: nn.Module) -> dict[str, np.ndarray]:
    """Return a copy of all that is free to move, float32 by name."""
    return {n: p.detach().float().cpu().numpy().copy() for n, p in model.named_parameters() if p.requires_grad}


def restore(model: nn.Module, strategy: Strategy, tensors: Mapping[str, np.ndarray], *, width: int) -> nn.Module:
    """Return `model` with what was kept put back; offsets of LoRA and AdaLoRA are added to the weights for good.

    Raises
    ------
    MismatchError
        The tensors are not those of this model and strategy.
    """
    dtype = next(model.parameters()).dtype
    adapted = adapt(model.float(), strategy, width=width)
    free = {n: p for n, p in adapted.model.named_parameters() if p.requires_grad}
    wrong = sorted(n for n in free.keys() ^ tensors.keys())
    wrong += sorted(n for n in free.keys() & tensors.keys() if tuple(free[n].shape) != tensors[n].shape)
    if wrong:
        raise MismatchError(
            f"What was kept of the fine-tuned model does not fit its base: {wrong[0]} and {len(wrong) - 1} more parts. "
            "Use the base that it was trained on, or fine-tune again."
        )
    with torch.no_grad():
        for name, parameter in free.items():
            parameter.copy_(torch.from_numpy(np.asarray(tensors[name])))
    whole: nn.Module = adapted.tuner.merge_and_unload() if adapted.tuner else adapted.model
    return whole.requires_grad_(False).to(dtype)


def count(module: nn.Module) -> tuple[int, int]:
    """Return how many numbers are free to move, and how many there are."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, free in sizes if free), sum(n for n, _ in sizes)


def _free_last(model: nn.Module, n: int) -> None:
    name, blocks = layers(model)
    if n > len(blocks):
        raise ConfigError(f"strategy.n = {n}: the model has {len(blocks)} layers. Give {len(blocks)} at most.")
    for block in list(blocks)[-n:]:
        block.requires_grad_(True)
    inside = name.partition(".")[0]
    for own, part in model.named_children():  # the norm after the last layer, in GPT-like models
        if own != inside and "norm" in type(part).__name__.lower():
            part.requires_grad_(True)


def _free_bottlenecks_and_norms(model: nn.Module) -> None:
    for block in layers(model)[1]:
        for part in block.modules():
            if "norm" in type(part).__name__.lower():
                part.requires_grad_(True)
            elif isinstance(part, Bottleneck):
                part.down.requires_grad_(True)
                part.up.requires_grad_(True)


def _hold_pooler(model: nn.Module) -> None:
    """Hold the part that no vector of ours reads: it would get no gradient."""
    for name, part in model.named_children():
        if name == "pooler":
            part.requires_grad_(False)


def _tuner(model: nn.Module, strategy: LoRA | AdaLoRA, width: int, seed: int, steps: int) -> Any:
    try:
        from peft import AdaLoraConfig, AdaLoraModel, LoraConfig, LoraModel
    except ImportError:
        raise MissingExtraError(
            f"The strategy {strategy.name} needs peft, which is not installed. "
            "Install it with: pip install 'shoal[finetune]'"
        ) from None
    found = maps(model, width)
    targets = [n for m in found for n in (m.attention + m.feed_forward if strategy.where == "all" else m.attention)]
    transposed = {type(model.get_submodule(n)).__name__ for n in targets} == {"Conv1D"}
    common: dict[str, Any] = {
        "target_modules": targets,
        "lora_alpha": strategy.alpha,
        "lora_dropout": strategy.dropout,
        "fan_in_fan_out": transposed,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(seed, "lora"))
        if isinstance(strategy, LoRA):
            return LoraModel(model, LoraConfig(r=strategy.rank, **common), "default")
        total = max(steps, 2)
        settled = max(1, total // 4)  # steps after the last move of ranks; with none it would never come
        plan: dict[str, Any] = {"tinit": total // 10, "tfinal": settled, "deltaT": max(1, total // 50)}
        config = AdaLoraConfig(target_r=strategy.rank, init_r=strategy.start_rank, total_step=total, **plan, **common)
        return AdaLoraModel(model, config, "default")  # type: ignore[no-untyped-call]


def _settled(tuner: Any) -> int:
    plan = tuner.peft_config["default"]
    return int(plan.total_step - plan.tfinal)
