"""The training loop, from top to bottom: set up, loop over epochs, validate, stop early, keep the best.

A checkpoint is written after each epoch. All that is random in an epoch is drawn from the run's seed and the epoch's
number, so a fit that is killed at any moment goes on from its last whole epoch and ends at the same numbers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from shoal.config import Config, Train
from shoal.data.histories import Histories
from shoal.model.heads import RankingHead
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.progress import Progress, duration, rate
from shoal.seeding import generator, integer
from shoal.train.batches import Batch, Order, batch, draws, epoch
from shoal.train.checkpoint import Checkpoint

SAMPLE = 8192
"""Items in a sampled softmax."""


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
    """
    settings = config.train
    optimizer = make_optimizer(network, settings)
    shares = _shares(settings, task)
    valid = batch(
        task.given,
        task.held_out,
        task.values,
        history=config.tower.history,
        targets=64,
        relevant_from=task.relevant_from,
    )
    checkpoint = Checkpoint(work, network, optimizer)
    story = Story(*checkpoint.restore())
    per_epoch = len(draws(task.train.counts, 32, generator(config.seed, "epoch", 0)))
    began = time.monotonic()

    first = len(story.rows)
    for number in range(first, settings.epochs):
        if number - story.best > settings.patience and story.rows:
            break
        loss = _one_epoch(network, optimizer, task, config, shares, number, per_epoch, progress)
        row = {"epoch": number, "loss": loss, **_validate(network, valid, shares)}
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
            loss = _loss(network, one, shares, _is_sampled(config.train, network))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total, seen = total + float(loss.detach()) * len(one.habits), seen + len(one.habits)
            bar.advance(len(one.habits))
    return total / max(seen, 1)


def _loss(network: Network, one: Batch, shares: tuple[float, float], sampled: bool) -> Tensor:
    ranking, rating = _losses(network, one, shares, sampled)
    return shares[0] * ranking + shares[1] * rating


def _losses(network: Network, one: Batch, shares: tuple[float, float], sampled: bool) -> tuple[Tensor, Tensor]:
    """Return the ranking and the rating loss of a batch; one whose share is 0 is not computed."""
    parts = network.item_parts()
    users, _ = network.users(parts, one.events)
    ranking = rating = torch.zeros(())
    if shares[0]:
        if sampled:
            ranking = _sampled(network, parts.vectors, parts.ranking, users, one)
        else:
            logits = network.ranking(users, parts.vectors, parts.ranking)
            ranking = RankingHead.loss(logits, one.targets, one.liked)
    if shares[1]:
        score = network.rate(parts, users, one.targets, one.habits)
        rating = network.rating.loss(score, one.ratings, one.rated)
    return ranking, rating


def _sampled(network: Network, vectors: Tensor, bias: Tensor, users: Tensor, one: Batch) -> Tensor:
    """Return the ranking loss over the batch's targets and a uniform sample of the catalogue."""
    items = len(vectors)
    wanted = one.targets[one.liked > 0]
    counts = torch.bincount(wanted, minlength=items).float()
    drawn = torch.randint(items, (SAMPLE,))
    sample = torch.unique(torch.cat([wanted, drawn]))
    by_chance = 1 - (1 - 1 / items) ** SAMPLE
    as_target = counts / max(len(wanted), 1)
    chance = 1 - (1 - by_chance) * (1 - as_target) ** len(wanted)
    place = torch.full((items,), -1)
    place[sample] = torch.arange(len(sample))
    logits = network.ranking(users, vectors[sample], bias[sample])
    targets = place[one.targets].clamp_min(0)
    return RankingHead.sampled_loss(logits, chance[sample].log(), targets, one.liked)


@torch.no_grad()
def _validate(network: Network, valid: Batch, shares: tuple[float, float]) -> dict[str, float]:
    network.eval()
    blocks = torch.split(torch.arange(len(valid.habits)), 512)
    sums = torch.zeros(2, dtype=torch.float64)
    weights = torch.stack([valid.liked.sum(), valid.rated.sum()]).double().clamp_min(1)
    for block in blocks:
        part = Batch(type(valid.events)(*(x[block] for x in valid.events)), *(x[block] for x in valid[1:]))
        losses = torch.stack(_losses(network, part, shares, sampled=False)).double()
        sums += losses * torch.stack([part.liked.sum(), part.rated.sum()])
    ranking, rating = (sums / weights).tolist()
    return {"valid": shares[0] * ranking + shares[1] * rating, "ranking": ranking, "rating": rating}


def _shares(settings: Train, task: Task) -> tuple[float, float]:
    """Return the weights of ranking and rating; without a rating in training there is only ranking."""
    if task.values.log or not len(task.train.values) or not bool((task.train.values == task.train.values).any()):
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
        return torch.optim.SGD(groups, lr=choice.lr, momentum=choice.momentum, nesterov=nesterov)
    return torch.optim.AdamW(groups, lr=choice.lr)


def _line(story: Story, epochs: int, per_epoch: int, done: int, seconds: float) -> str:
    row, best = story.rows[-1], story.rows[story.best]
    each = seconds / done
    return (
        f"fit  epoch {len(story.rows)}/{epochs}  loss {row['loss']:.4f}  valid {row['valid']:.4f} "
        f"(best {best['valid']:.4f}, epoch {story.best + 1})  {rate(per_epoch / each)} pasts"
        f"  at most {duration(each * (epochs - len(story.rows)))} left"
    )
