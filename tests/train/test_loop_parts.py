"""Parts of the loop: what is learnt from, the sampled softmax, divergence, and what a stopped fit goes on from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from shoal.config import Config
from shoal.data.histories import Histories
from shoal.errors import ConfigError
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.model.tower import Events
from shoal.progress import Progress
from shoal.train import loop
from shoal.train.batches import Batch
from shoal.train.checkpoint import NAME

ITEMS = 20


class Ear(Progress):
    """Keeps what it was told; stops the fit after some lines, as Ctrl-C would."""

    def __init__(self, stop_after: int = 0) -> None:
        self.lines: list[str] = []
        self.warned: list[str] = []
        self.stop_after = stop_after

    def log(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) == self.stop_after:
            raise KeyboardInterrupt

    def warn(self, line: str) -> None:
        self.warned.append(line)


def some(users: int, seed: int, *, rated: bool = True) -> Histories:
    """Users of two kinds: the even ones take, and like, the lower half of the items."""
    rng = np.random.default_rng(seed)
    items = np.concatenate([rng.permutation(10)[:6] + 10 * (u % 2) for u in range(users)]).astype(np.int32)
    values = rng.integers(3, 6, len(items)).astype(np.float32) if rated else np.full(len(items), np.nan, np.float32)
    return Histories(np.arange(users + 1) * 6, items, values, np.tile(np.arange(6.0), users), ITEMS)


def task(*, rated: bool = True, values: Values | None = None) -> loop.Task:
    parts = [some(n, seed, rated=rated) for n, seed in ((40, 0), (12, 1), (12, 2))]
    return loop.Task(*parts, values or Values(4.0, 1.0, log=False), "time", 4.0 if rated else None)


def config(**train) -> Config:
    return Config(tower={"width": 8, "heads": 2, "history": 6}, train={"epochs": 3, **train})


def network(settings: Config, items: int = ITEMS) -> Network:
    torch.manual_seed(0)
    features = torch.nn.functional.one_hot(torch.arange(items) * 2 // items, 2).float()
    return Network(features, torch.ones(items), settings.tower, kind=settings.train.rating_head, scale=None)


def fit(settings: Config, ear: Ear | None = None, work: Path | None = None) -> tuple[Network, loop.Story]:
    made = network(settings)
    return made, loop.fit(made, task(), settings, ear or Ear(), work=work)


def same(one: Network, other: Network) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_epoch_is_told_in_one_line():
    ear = Ear()
    fit(config(), ear)
    shape = (
        r"fit  epoch \d/3  loss \d+\.\d{4}  valid \d+\.\d{4} \(best \d+\.\d{4}, epoch \d\)  \S+ pasts  at most .+ left"
    )
    assert len(ear.lines) == 3
    assert all(re.fullmatch(shape, line) for line in ear.lines)


def test_the_story_holds_the_loss_that_stops_the_fit():
    _, story = fit(config(rating_share=0.25))
    for row in story.rows:
        assert row["valid"] == pytest.approx(0.75 * row["ranking"] + 0.25 * row["rating"])
    assert story.best_loss == min(row["valid"] for row in story.rows)
    assert loop.Story().best_loss == float("inf")


@pytest.mark.parametrize(
    ("learnt_from", "shares"),
    [
        (task(), (0.75, 0.25)),
        (task(rated=False), (1.0, 0.0)),
        (task(values=Values(1.0, 1.0, log=True)), (1.0, 0.0)),  # counts are no ratings
    ],
)
def test_without_ratings_there_is_only_ranking(learnt_from, shares):
    assert loop._shares(config(rating_share=0.25).train, learnt_from) == shares


@pytest.mark.parametrize("optimizer", [{"name": "adamw", "weight_decay": 0.5}, {"name": "sgd", "weight_decay": 0.5}])
def test_weight_decay_spares_biases_and_norms(optimizer):
    settings = config(optimizer={**optimizer, "lr": 0.01})
    made = network(settings)
    groups = loop.make_optimizer(made, settings.train).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == sum(len(group["params"]) for group in groups) == len(list(made.parameters()))
    for name, p in made.named_parameters():
        assert decay[id(p)] == (0.5 if p.ndim > 1 else 0.0), name
    assert all(group["lr"] == 0.01 for group in groups)


@pytest.mark.parametrize(("softmax", "few", "many"), [("auto", False, True), ("full", False, False)])
def test_the_softmax_is_sampled_where_items_are_many(softmax, few, many):
    settings = config(softmax=softmax)
    assert loop._is_sampled(settings.train, network(settings)) == few
    assert loop._is_sampled(settings.train, network(settings, 20_001)) == many
    assert loop._is_sampled(config(softmax="sampled").train, network(settings))


def question(items: int) -> Batch:
    """Thirty users with two targets each, the second one of the first ten no hit."""
    rng = np.random.default_rng(0)
    past, targets = (torch.from_numpy(rng.integers(0, items, shape)) for shape in ((30, 4), (30, 2)))
    events = Events(past, torch.zeros(30, 4), torch.zeros(30, 4), torch.ones(30, 4, dtype=torch.bool))
    liked = torch.ones(30, 2)
    liked[:10, 1] = 0
    return Batch(events, torch.zeros(30), targets, torch.zeros(30, 2), torch.zeros(30, 2), liked)


def test_a_sample_of_everything_is_the_full_softmax(monkeypatch):
    monkeypatch.setattr(loop, "SAMPLE", 5_000)
    made, one = network(config()).eval(), question(ITEMS)
    parts = made.item_parts()
    full, _ = loop._losses(made, parts, one, (1.0, 0.0), False)
    sampled, _ = loop._losses(made, parts, one, (1.0, 0.0), True)
    torch.testing.assert_close(sampled, full, atol=1e-5, rtol=0)


def test_a_catalogue_of_one_item_can_be_sampled():
    made = network(config(), 1).eval()
    ranking, _ = loop._losses(made, made.item_parts(), question(1), (1.0, 0.0), True)
    assert ranking.item() == 0  # there is nothing else to choose


def test_a_sample_stands_for_the_whole_catalogue(monkeypatch):
    monkeypatch.setattr(loop, "SAMPLE", 600)
    made, one = network(config(), 2_000).eval(), question(2_000)
    with torch.no_grad():
        made.ranking.bias.own.normal_()  # some items are far likelier than others
    parts = made.item_parts()
    full, _ = loop._losses(made, parts, one, (1.0, 0.0), False)
    torch.manual_seed(0)
    sampled = [loop._losses(made, parts, one, (1.0, 0.0), True)[0].item() for _ in range(30)]
    assert np.mean(sampled) == pytest.approx(full.item(), abs=0.03)  # uncorrected, it would be about a whole unit lower


def test_at_most_so_many_users_are_validated_the_same_ones_each_time(monkeypatch):
    monkeypatch.setattr(loop, "MOST_VALIDATED", 5)
    one, other = (loop._validation(task(), config()) for _ in range(2))
    assert len(one.habits) == 5
    assert torch.equal(one.targets, other.targets)


def validated(monkeypatch, losses: list[float]) -> None:
    told = iter(losses)
    monkeypatch.setattr(loop, "_validate", lambda *_: {"valid": next(told), "ranking": 0.0, "rating": 0.0})


def test_patience_is_counted_from_the_best_epoch(monkeypatch):
    validated(monkeypatch, [5, 4, 4.5, 3, 3, 3.5, 2])
    _, story = fit(config(epochs=9, patience=2))
    assert [row["valid"] for row in story.rows] == [5, 4, 4.5, 3, 3, 3.5]
    assert story.best == 3


def test_a_fit_that_diverges_keeps_its_best_epoch_and_says_so(monkeypatch):
    whole, _ = fit(config(epochs=1))
    validated(monkeypatch, [5, 6, float("nan")])
    ear = Ear()
    made, story = fit(config(epochs=9), ear)
    assert [row["valid"] for row in story.rows] == [5, 6]
    assert same(made, whole)
    assert len(ear.warned) == 1
    assert "diverged in epoch 3" in ear.warned[0]
    assert "weights of epoch 1 are kept" in ear.warned[0]


def test_a_fit_that_diverges_at_once_names_the_setting_to_lower(monkeypatch):
    validated(monkeypatch, [float("inf")])
    with pytest.raises(ConfigError, match=r"epoch 1: .*Lower train\.optimizer\.lr, which is 7\."):
        fit(config(optimizer={"name": "sgd", "lr": 7}))


def test_a_fit_whose_checkpoint_was_cut_short_starts_over_and_ends_at_the_same_numbers(tmp_path):
    whole, story = fit(config())
    with pytest.raises(KeyboardInterrupt):
        fit(config(), Ear(stop_after=2), tmp_path)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: len(content) // 2])
    ear = Ear()
    again, told = fit(config(), ear, tmp_path)
    assert "training starts over" in ear.warned[0]
    assert same(again, whole)
    assert told.rows == story.rows


@pytest.mark.parametrize("other", [{"batch_users": 5}, {"rating_share": 0.5}, {"optimizer": {"name": "sgd"}}])
def test_a_fit_with_other_settings_does_not_go_on_from_a_checkpoint(tmp_path, other):
    fit(config(), work=tmp_path)
    ear = Ear()
    again, _ = fit(config(**other), ear, tmp_path)
    assert "other data or settings" in ear.warned[0]
    assert same(again, fit(config(**other))[0])


def test_a_fit_that_may_take_more_epochs_goes_on_from_its_last_one(tmp_path):
    fit(config(epochs=1), work=tmp_path)
    ear = Ear()
    again, story = fit(config(epochs=3), ear, tmp_path)
    assert len(ear.lines) == 2
    whole, told = fit(config(epochs=3))
    assert story.rows == told.rows
    assert same(again, whole)


def test_a_fit_that_is_done_is_not_trained_again(tmp_path):
    whole, story = fit(config(), work=tmp_path)
    ear = Ear()
    again, told = fit(config(), ear, tmp_path)
    assert ear.lines == []
    assert told.rows == story.rows
    assert same(again, whole)


def test_training_moves_no_global_random_state():
    settings = config()
    made = network(settings)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    loop.fit(made, task(), settings, Ear())
    assert torch.equal(torch.random.get_rng_state(), before)
