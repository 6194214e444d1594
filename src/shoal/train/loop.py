"""The training loop, from top to bottom: set up, loop over epochs, validate, stop early, keep the best.

A checkpoint is written after each epoch. All that is random in an epoch is drawn from the run's seed and the epoch's
number, so a fit that is killed at any moment goes on from its last whole epoch and ends at the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shoal.config import Config, Train
from shoal.data.histories import Histories
from shoal.errors import ConfigError
from shoal.model.heads import RankingHead
from shoal.model.network import ItemParts, Network
from shoal.model.pasts import Values
from shoal.model.tower import Events
from shoal.progress import Progress, duration, rate
from shoal.seeding import generator, integer
from shoal.train.batches import TARGETS, Batch, Order, batch, draws, epoch
from shoal.train.checkpoint import Checkpoint

SAMPLE = 8192
"""Items in a sampled softmax, beside the targets."""
MOST_VALIDATED = 5_000
"""Validation users that decide when to stop; with more, validating would take longer than an epoch."""


@dataclass(frozen=True)
class Task:
    """What to learn from, and what to stop by.

    Attributes
    ----------
    train : Histories
    given, held_out : Histories
        The validation users' pasts, and the events to be foretold, from training data only.
    values : Values
    order : {"time", "none"}
    relevant_from : float or None
        Ratings from here up count as hits for ranking.
    """

    train: Histories
    given: Histories
    held_out: Histories
    values: Values
    order: Order
    relevant_from: float | None


@dataclass
class Story:
    """How training went: one row an epoch, and the best epoch."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best: int = -1

    @property
    def best_loss(self) -> float:
        """Validation loss of the best epoch so far."""
        return self.rows[self.best]["valid"] if self.best >= 0 else float("inf")


def fit(network: Network, task: Task, config: Config, progress: Progress, *, work: Path | None = None) -> Story:
    """Train `network` in place and leave it with the weights of its best epoch.

    Parameters
    ----------
    network : Network
    task : Task
    config : Config
        `train`, `tower.history` and `seed` are read.
    progress : Progress
    work : Path, optional
        Folder for the checkpoint; without one, a killed fit starts over.

    Raises
    ------
    ConfigError
        The loss is no longer a number, before any epoch was good.
    """
    settings = config.train
    optimizer = make_optimizer(network, settings)
    shares = _shares(settings, task)
    valid = _validation(task, config)
    mark = _mark(network, task, config) if work else ""
    checkpoint = Checkpoint(work, network, optimizer, mark=mark, progress=progress)
    story = Story(*checkpoint.restore())
    per_epoch = len(draws(task.train.counts, TARGETS, generator(config.seed, "epoch", 0)))
    began = time.monotonic()

    first = len(story.rows)
    for number in range(first, settings.epochs):
        if number - story.best > settings.patience and story.rows:
            break
        loss = _one_epoch(network, optimizer, task, config, shares, number, per_epoch, progress)
        row = {"epoch": number, "loss": loss, **_validate(network, valid, shares)}
        if not math.isfinite(loss + row["valid"]):
            _diverged(story, config, progress)
            break
        story.rows.append(row)
        if row["valid"] < story.best_loss or story.best < 0:
            story.best = number
            checkpoint.keep_best()
        checkpoint.save(story.rows, story.best)
        progress.log(_line(story, settings.epochs, per_epoch, number + 1 - first, time.monotonic() - began))

    checkpoint.load_best()
    network.eval()
    return story


def _one_epoch(
    network: Network,
    optimizer: torch.optim.Optimizer,
    task: Task,
    config: Config,
    shares: tuple[float, float],
    number: int,
    draws_per_epoch: int,
    progress: Progress,
) -> float:
    """Train for one epoch and return the mean loss."""
    batches = epoch(
        task.train,
        task.values,
        generator(config.seed, "epoch", number),
        users=config.train.batch_users,
        history=config.tower.history,
        order=task.order,
        relevant_from=task.relevant_from,
    )
    total, seen = 0.0, 0
    network.train()
    name = f"fit  epoch {number + 1}/{config.train.epochs}"
    with torch.random.fork_rng(devices=[]), progress.task(name, draws_per_epoch, "pasts") as bar:
        torch.manual_seed(integer(config.seed, "dropout", number))
        for one in batches:
            ranking, rating = _losses(network, network.item_parts(), one, shares, _is_sampled(config.train, network))
            loss = shares[0] * ranking + shares[1] * rating
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total, seen = total + float(loss.detach()) * len(one.habits), seen + len(one.habits)
            bar.advance(len(one.habits))
    return total / max(seen, 1)


def _losses(
    network: Network, parts: ItemParts, one: Batch, shares: tuple[float, float], sampled: bool
) -> tuple[Tensor, Tensor]:
    """Return the ranking and the rating loss of a batch; one whose share is 0 is not computed."""
    users, _ = network.users(parts, one.events)
    ranking = rating = torch.zeros(())
    if shares[0]:
        if sampled:
            ranking = _sampled(network, parts, users, one)
        else:
            logits = network.ranking(users, parts.vectors, parts.ranking)
            ranking = RankingHead.loss(logits, one.targets, one.liked)
    if shares[1]:
        score = network.rate(parts, users, one.targets, one.habits)
        rating = network.rating.loss(score, one.ratings, one.rated)
    return ranking, rating


def _sampled(network: Network, parts: ItemParts, users: Tensor, one: Batch) -> Tensor:
    """Return the ranking loss over the batch's targets, which are in for certain, and a sample of all other items."""
    items = len(parts.vectors)
    wanted = one.targets[one.liked > 0]
    sample = torch.unique(torch.cat([wanted, torch.randint(items, (SAMPLE,))]))
    place = torch.full((items,), -1)
    place[sample] = torch.arange(len(sample))
    log_chance = torch.full((items,), math.log(1 - (1 - 1 / items) ** SAMPLE))
    log_chance[wanted] = 0
    logits = network.ranking(users, parts.vectors[sample], parts.ranking[sample])
    return RankingHead.sampled_loss(logits, log_chance[sample], place[one.targets].clamp_min(0), one.liked)


def _validation(task: Task, config: Config) -> Batch:
    """Return the question that decides when to stop: what validation users did next, `MOST_VALIDATED` of them."""
    users = generator(config.seed, "validated").permutation(task.given.n_users)[:MOST_VALIDATED]
    return batch(
        task.given.take(np.sort(users)),
        task.held_out.take(np.sort(users)),
        task.values,
        history=config.tower.history,
        targets=2 * TARGETS,
        relevant_from=task.relevant_from,
    )


@torch.no_grad()
def _validate(network: Network, valid: Batch, shares: tuple[float, float]) -> dict[str, float]:
    network.eval()
    parts = network.item_parts()
    sums = torch.zeros(2, dtype=torch.float64)
    weights = torch.stack([valid.liked.sum(), valid.rated.sum()]).double().clamp_min(1)
    for block in torch.split(torch.arange(len(valid.habits)), 512):
        part = Batch(Events(*(x[block] for x in valid.events)), *(x[block] for x in valid[1:]))
        losses = torch.stack(_losses(network, parts, part, shares, sampled=False)).double()
        sums += losses * torch.stack([part.liked.sum(), part.rated.sum()])
    ranking, rating = (sums / weights).tolist()
    return {"valid": shares[0] * ranking + shares[1] * rating, "ranking": ranking, "rating": rating}


def _diverged(story: Story, config: Config, progress: Progress) -> None:
    """Stop a fit whose loss is no number: at the best epoch so far, or, where there is none, with an error."""
    what = f"Training diverged in epoch {len(story.rows) + 1}: the loss is no longer a number."
    if story.best < 0:
        raise ConfigError(f"{what} Lower train.optimizer.lr, which is {config.train.optimizer.lr:g}.")
    progress.warn(f"{what} The weights of epoch {story.best + 1} are kept; a lower train.optimizer.lr may do better.")


def _mark(network: Network, task: Task, config: Config) -> str:
    """Return a digest of what a checkpoint must agree on: the start, the data, and all settings but when to stop."""
    digest = hashlib.sha256()
    tensors = [t.detach().numpy() for t in (*network.parameters(), *network.buffers())]
    events = [x for h in (task.train, task.given, task.held_out) for x in (h.starts, h.items, h.values, h.times)]
    for array in tensors + events:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    train = config.train.model_dump(mode="json", exclude={"epochs", "patience"})
    values = [task.values.mean, task.values.spread, task.values.log]
    settings = [train, config.tower.model_dump(mode="json"), config.seed, values, task.order, task.relevant_from]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def _shares(settings: Train, task: Task) -> tuple[float, float]:
    """Return the weights of ranking and rating; without a rating in training there is only ranking."""
    if task.values.log or np.isnan(task.train.values).all():
        return 1.0, 0.0
    return 1 - settings.rating_share, settings.rating_share


def _is_sampled(settings: Train, network: Network) -> bool:
    if settings.softmax == "auto":
        return len(network.known) > 20_000
    return settings.softmax == "sampled"


def make_optimizer(network: Network, settings: Train) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay spares biases, norms and other vectors of one dimension."""
    choice = settings.optimizer
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": choice.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if choice.name == "sgd":
        nesterov = choice.momentum > 0
        return torch.optim.SGD(groups, lr=choice.lr, momentum=choice.momentum, nesterov=nesterov, fused=True)
    return torch.optim.AdamW(groups, lr=choice.lr, fused=True)


def _line(story: Story, epochs: int, per_epoch: int, done: int, seconds: float) -> str:
    row, best = story.rows[-1], story.rows[story.best]
    each = seconds / done
    return (
        f"fit  epoch {len(story.rows)}/{epochs}  loss {row['loss']:.4f}  valid {row['valid']:.4f} "
        f"(best {best['valid']:.4f}, epoch {story.best + 1})  {rate(per_epoch / each)} pasts"
        f"  at most {duration(each * (epochs - len(story.rows)))} left"
    )
