"""The start of every task: the base is found and loaded, and what may move is set free and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from shoal.adapt.curves import NAME as CURVES
from shoal.adapt.devices import Devices, own_device
from shoal.adapt.learner import Learner
from shoal.adapt.loop import Watch, finetune, mark_of
from shoal.adapt.reader import Reader
from shoal.adapt.settings import Finetune
from shoal.adapt.track import trackers
from shoal.encode.adapt import adapt, count
from shoal.encode.language import AUTO, look, pick
from shoal.encode.lm import LanguageModel
from shoal.progress import Progress
from shoal.train.loop import Story

OF_ATTENTION = ("self.dropout", "attn_dropout", "attention.dropout")
"""Dropout of attention weights, which no fused kernel knows: leaving it out makes a step of minilm a tenth quicker."""


@dataclass(frozen=True)
class Around:
    """Where and how loudly a fine-tuning runs; nothing that changes what comes out.

    Attributes
    ----------
    device : str
    work : Path or None
        Folder for checkpoints; None keeps none.
    progress : Progress
    watch : callable or None
        Hears of each step and epoch; None keeps them in the work folder, as JSON lines.
    stop : callable or None
        Asked after each epoch whether to end there.
    track : sequence of str
        What else is told of each step, see `shoal.adapt.track`.
    """

    device: str = "auto"
    work: Path | None = None
    progress: Progress = field(default_factory=Progress)
    watch: Watch | None = None
    stop: Callable[[Story], bool] | None = None
    track: Sequence[str] = ()


def with_base(settings: Finetune, texts: Sequence[str], progress: Progress) -> Finetune:
    """Return the settings with a base in place of ``auto``: what suits the language of the texts; said in the log."""
    if settings.base != AUTO:
        return settings
    found, picked = look(texts), pick(texts)
    why = f"{found.share:.0%} of {found.texts:,} texts are {found.main}" if found.texts else "no text to read"
    progress.log(f"finetune  {why}: the base is {picked} (base decides otherwise)")
    return settings.model_copy(update={"base": picked})


def open_base(settings: Finetune, device: str) -> LanguageModel:
    """Return the language model to begin with, in float32; its weights are loaded when first needed."""
    return LanguageModel(
        settings.base,
        max_tokens=settings.max_tokens,
        pooling=settings.pooling,
        precision="float32",
        device=own_device(device),
    )


def make_reader(lm: LanguageModel, settings: Finetune, steps: int, model: nn.Module | None = None) -> Reader:
    """Return the reader, with the part free that the strategy lets move.

    Parameters
    ----------
    lm : LanguageModel
    settings : Finetune
    steps : int
        Steps of the optimizer to come.
    model : nn.Module, optional
        To be used in place of the language model's own.
    """
    model = lm.model if model is None else model
    for name, part in model.named_modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0 if name.endswith(OF_ATTENTION) else settings.learning.dropout
    adapted = adapt(model, settings.strategy, width=lm.width, seed=settings.seed, steps=steps)
    if settings.learning.gradient_checkpointing and adapted.moves:
        _recompute(model)
    adapted.model.to(lm.device)
    return Reader(lm, adapted)


def _recompute(model: Any) -> None:
    """Let the model compute hidden states twice; newer transformers call the method by another name."""
    how = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)


def learn(learner: Learner, settings: Finetune, around: Around) -> dict[str, Any]:
    """Run the loop, and return what a manifest should say of it: parameters moved and in all, and the story."""
    free, whole = count(learner)
    around.progress.log(
        f"finetune  {settings.strategy.name} on {settings.base}: {free:,} of {whole:,} parameters move "
        f"({free / max(whole, 1):.2%})"
    )
    learner.to(learner.reader.lm.device)
    devices = Devices(learner.reader.lm.device, settings.learning.precision)
    with _watching(learner, settings, around, devices) as watch:
        story = finetune(
            learner, settings, around.progress, devices=devices, work=around.work, watch=watch, stop=around.stop
        )
    return {"parameters": {"moved": free, "all": whole}, "story": story.rows, "best_epoch": story.best}


def _watching(
    learner: Learner, settings: Finetune, around: Around, devices: Devices
) -> AbstractContextManager[Watch | None]:
    """Return who hears of each step: whoever was named, else a file of JSON lines in the work folder."""
    if not devices.is_first:
        return nullcontext()
    if around.watch is not None or around.work is None:
        return nullcontext(around.watch)
    return trackers(
        around.track,
        around.work / CURVES,
        logs=around.work.with_suffix(".logs"),
        name=around.work.stem,
        mark=mark_of(learner, settings),
        about={"settings": settings.model_dump(mode="json")},
    )
