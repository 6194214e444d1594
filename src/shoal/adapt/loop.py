"""The loop that fine-tunes, from top to bottom: set up, step, validate, stop early, keep the best.

All that is random is drawn from the seed, the epoch and the step, so that a fine-tuning which is killed at any moment
goes on from its last checkpoint and ends at the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from shoal.adapt.devices import Devices, out_of_memory
from shoal.adapt.learner import Learner
from shoal.adapt.settings import Finetune, Learning
from shoal.config import SGD
from shoal.errors import ConfigError, NotEnoughDataError
from shoal.progress import Progress, Task, duration, rate
from shoal.seeding import generator, integer
from shoal.train.checkpoint import Checkpoint
from shoal.train.loop import Story

NAME = "finetune.checkpoint.safetensors"

Watch = Callable[[str, dict[str, float]], None]
"""Hears of each step (``step``: step, loss, lr, per_second) and each epoch (``epoch``: its row)."""


def finetune(
    learner: Learner,
    settings: Finetune,
    progress: Progress,
    *,
    devices: Devices,
    work: Path | None = None,
    watch: Watch | None = None,
    stop: Callable[[Story], bool] | None = None,
) -> Story:
    """Train `learner` in place and leave it with the weights of its best epoch.

    With AdaLoRA only epochs after which the ranks are those asked for can be the best, and patience begins with them.

    Parameters
    ----------
    learner : Learner
    settings : Finetune
    progress : Progress
    devices : Devices
    work : Path, optional
        Folder for the checkpoint; without one, a killed fine-tuning starts over.
    watch : callable, optional
        Hears of each step and epoch.
    stop : callable, optional
        Asked after each epoch; True ends training there, as a search does with a trial that is not promising.

    Raises
    ------
    ConfigError
        The loss is no longer a number before any epoch was good, or memory did not suffice.
    """
    how = settings.learning
    if not any(p.requires_grad for p in learner.parameters()):
        progress.log("finetune  nothing moves, so there is nothing to learn: the base stays as it is")
        learner.eval()
        return Story()
    first = learner.epoch(generator(settings.seed, "epoch", 0), how.batch_size)
    steps = plan(len(first), settings)
    optimizer = make_optimizer(learner, settings)
    mark = mark_of(learner, settings) if work else ""
    checkpoint = Checkpoint(work, learner, optimizer, mark=mark, progress=progress, name=NAME, only_free=True)
    story = Story(*checkpoint.restore())
    devices.wait()  # all have read before the first one writes
    checkpoint.path = checkpoint.path if devices.is_first else None
    learner.adapted.load_state(checkpoint.extra)
    run = _Run(learner, settings, progress, devices, optimizer, checkpoint, story, steps, watch or _deaf)
    first_whole = learner.adapted.settled // (steps // max(settings.epochs, 1) or 1)

    for number in range(len(story.rows), settings.epochs):
        if number - story.best > how.patience and story.rows:
            break
        loss = run.epoch(number)
        row = {"epoch": number, "loss": loss, **learner.validate()}
        if not math.isfinite(loss + row["valid"]):
            _diverged(story, settings, progress)
            break
        story.rows.append(row)
        if story.best < first_whole or row["valid"] < story.best_loss:  # before, ranks have not come down yet
            story.best = number
            checkpoint.keep_best()
        checkpoint.save(story.rows, story.best, extra=learner.adapted.state())
        run.watch("epoch", row)
        each = run.seconds / max(run.texts, 1)
        progress.log(_line(story, settings.epochs, each, sum(map(len, first)), learner.unit))
        if stop is not None and stop(story):
            break

    checkpoint.load_best()
    learner.eval()
    learner.finish()
    return story


def plan(batches: int, settings: Finetune) -> int:
    """Return how many steps the optimizer takes in all, for the schedule and for AdaLoRA's ranks."""
    return max(1, -(-batches // settings.learning.accumulate) * settings.epochs)


@dataclass
class _Run:
    """One fine-tuning under way."""

    learner: Learner
    settings: Finetune
    progress: Progress
    devices: Devices
    optimizer: torch.optim.Optimizer
    checkpoint: Checkpoint
    story: Story
    steps: int
    watch: Watch

    def __post_init__(self) -> None:
        self.called = self.devices.wrap(self.learner)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.saved = time.monotonic()
        self.texts, self.seconds = 0, 0.0

    def epoch(self, number: int) -> float:
        """Train for one epoch, or for what is left of it, and return the mean loss."""
        how = self.settings.learning
        batches = list(self.learner.epoch(generator(self.settings.seed, "epoch", number), how.batch_size))
        groups = [batches[i : i + how.accumulate] for i in range(0, len(batches), how.accumulate)]
        if not groups:
            raise NotEnoughDataError("There is no example to train on. Give more examples, or a smaller validation.")
        at, self.checkpoint.at = self.checkpoint.at, {}
        begun, total, seen = int(at.get("step", 0)), at.get("total", 0.0), int(at.get("seen", 0))
        examples = sum(len(b) for b in batches)
        self.learner.train()
        name = f"finetune  epoch {number + 1}/{self.settings.epochs}"
        with torch.random.fork_rng(), self.progress.task(name, examples, self.learner.unit) as bar:
            bar.advance(seen)
            for i in range(begun, len(groups)):
                loss, n = self._step(number * len(groups) + i, groups[i], bar)
                total, seen = total + loss * n, seen + n
                self._maybe_save({"step": i + 1, "total": total, "seen": seen})
        return total / max(seen, 1)

    def _step(self, step: int, group: list[np.ndarray], bar: Task) -> tuple[float, int]:
        """Take one step of the optimizer; return the mean loss and the number of examples."""
        torch.manual_seed(integer(self.settings.seed, "dropout", step, self.devices.rank))
        began, n = time.monotonic(), sum(len(rows) for rows in group)
        factor = scheduled(step, self.steps, self.settings.learning)
        for one, highest in zip(self.optimizer.param_groups, self.rates, strict=True):
            one["lr"] = highest * factor
        total = 0.0
        for rows in group:
            total += self._backward(rows, len(rows) / n)
            bar.advance(len(rows))
        free = [p for p in self.learner.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(free, self.settings.learning.clip)
        self.optimizer.step()
        self.learner.adapted.after_step(step)
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.monotonic() - began
        self.texts, self.seconds = self.texts + n, self.seconds + seconds
        lr = float(self.optimizer.param_groups[0]["lr"])
        self.watch("step", {"step": step, "loss": total, "lr": lr, "per_second": n / max(seconds, 1e-9)})
        return total, n

    def _backward(self, rows: np.ndarray, share: float) -> float:
        try:
            with self.devices.autocast():
                loss = self.called(self.devices.share(rows)) * share
            (loss + self.learner.adapted.penalty().to(loss.device) * share).backward()
        except (RuntimeError, MemoryError) as error:
            tell_if_out_of_memory(error, self.settings.learning)
            raise
        return float(loss.detach())

    def _maybe_save(self, at: dict[str, float]) -> None:
        if time.monotonic() - self.saved >= self.settings.learning.checkpoint_minutes * 60:
            self.checkpoint.save(self.story.rows, self.story.best, at=at, extra=self.learner.adapted.state())
            self.saved = time.monotonic()


def scheduled(step: int, steps: int, how: Learning) -> float:
    """Return what the highest learning rate is multiplied by at `step` of `steps`, in (0, 1].

    It rises in a straight line over the warm-up, and then falls to 0 in a straight line or as half a cosine.
    """
    rising = round(how.warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    gone = (step - rising) / max(steps - rising, 1)
    if how.schedule == "linear":
        return 1 - gone
    return (1 + math.cos(math.pi * gone)) / 2 if how.schedule == "cosine" else 1.0


def make_optimizer(learner: Learner, settings: Finetune) -> torch.optim.Optimizer:
    """Return the optimizer: a rate of its own for the head, and no weight decay on norms and biases."""
    choice, head_lr = settings.optimizer, settings.learning.head_lr
    inside = {id(p) for p in learner.reader.parameters()}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for p in learner.parameters():
        if p.requires_grad:
            groups.setdefault((id(p) in inside, p.ndim > 1), []).append(p)
    made = [
        {
            "params": params,
            "lr": choice.lr if in_model else head_lr,
            "weight_decay": choice.weight_decay if is_matrix else 0.0,
        }
        for (in_model, is_matrix), params in sorted(groups.items(), key=lambda one: one[0], reverse=True)
    ]
    if isinstance(choice, SGD):
        return torch.optim.SGD(made, lr=choice.lr, momentum=choice.momentum, nesterov=choice.momentum > 0)
    return torch.optim.AdamW(made, lr=choice.lr)


def tell_if_out_of_memory(error: BaseException, how: Learning) -> None:
    """Do nothing, unless memory did not suffice.

    Raises
    ------
    ConfigError
        Says what to try.
    """
    if not out_of_memory(error):
        return
    half = max(1, how.batch_size // 2)
    ways = f"Try learning.batch_size = {half} with learning.accumulate = {how.accumulate * 2}"
    if how.batch_size == 1:
        ways = "Try a smaller max_tokens"
    more = "" if how.gradient_checkpointing else ", or learning.gradient_checkpointing = true"
    raise ConfigError(f"Out of memory with learning.batch_size = {how.batch_size}. {ways}{more}.") from error


def _diverged(story: Story, settings: Finetune, progress: Progress) -> None:
    """Stop where the loss is no number: at the best epoch so far, or, where there is none, with an error."""
    what = f"Fine-tuning diverged in epoch {len(story.rows) + 1}: the loss is no longer a number."
    if story.best < 0:
        raise ConfigError(f"{what} Lower learning.optimizer.lr, which is {settings.optimizer.lr:g}.")
    progress.warn(f"{what} The weights of epoch {story.best + 1} are kept; a lower learning rate may do better.")


def mark_of(learner: Learner, settings: Finetune) -> str:
    """Return a digest of what a checkpoint must agree on: base, examples, and all settings but when to write."""
    told = settings.model_dump(mode="json")
    for free in ("patience", "checkpoint_minutes"):
        told["learning"].pop(free)
    words = [learner.reader.lm.source.sha256, learner.mark(), json.dumps(told, sort_keys=True)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _line(story: Story, epochs: int, each: float, examples: int, unit: str) -> str:
    """Say how an epoch went; `each` are the seconds of one example."""
    row, best = story.rows[-1], story.rows[story.best]
    others = "".join(f"  {k} {v:.3f}" for k, v in row.items() if k not in ("epoch", "loss", "valid"))
    left = each * examples * (epochs - len(story.rows))
    return (
        f"finetune  epoch {len(story.rows)}/{epochs}  loss {row['loss']:.4f}  valid {row['valid']:.4f} "
        f"(best {best['valid']:.4f}, epoch {story.best + 1}){others}  {rate(1 / max(each, 1e-9))} {unit}"
        f"  at most {duration(left)} left"
    )


def _deaf(kind: str, values: dict[str, float]) -> None:
    """Hear nothing."""
