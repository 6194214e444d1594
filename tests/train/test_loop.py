"""Batches and the loop: no look ahead, and a killed fit that ends at the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.config import Config
from shoal.data import split
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.synthetic import planted_world
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.progress import Progress
from shoal.train import loop
from shoal.train.batches import cut, draws, epoch

SETTINGS = {"tower": {"width": 16, "heads": 2, "history": 20}, "train": {"epochs": 4}}


def some_histories(seed: int, users: int = 12) -> Histories:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 15, users)
    items = np.concatenate([rng.permutation(30)[:n] for n in counts]).astype(np.int32)
    times = np.concatenate([np.sort(rng.random(n)) for n in counts])
    return Histories(np.r_[0, np.cumsum(counts)], items, rng.random(len(items), np.float32), times, 30)


def events_of(past: Histories) -> list[set[int]]:
    return [set(past.items[past.starts[u] : past.starts[u + 1]].tolist()) for u in range(past.n_users)]


@given(st.integers(0, 500), st.sampled_from(["time", "none"]))
def test_past_and_future_share_nothing_and_lose_nothing(seed, order):
    whole = some_histories(seed)
    past, future = cut(whole, np.random.default_rng(seed), order=order, newcomers=0.1)
    for before, after, both in zip(events_of(past), events_of(future), events_of(whole), strict=True):
        assert before & after == set()
        assert before | after == both


@given(st.integers(0, 500))
def test_in_order_of_time_no_past_event_is_newer_than_a_future_one(seed):
    whole = some_histories(seed)
    past, future = cut(whole, np.random.default_rng(seed), order="time", newcomers=0.1)
    for u in range(whole.n_users):
        before, after = (h.times[h.starts[u] : h.starts[u + 1]] for h in (past, future))
        if len(before) and len(after):
            assert before.max() <= after.min()


def test_no_target_is_in_its_own_past():
    rng = np.random.default_rng(0)
    for one in epoch(
        some_histories(1), Values(0.5, 1.0, log=False), rng, users=4, history=20, order="none", relevant_from=None
    ):
        for row in range(len(one.habits)):
            past = set(one.events.items[row][one.events.mask[row]].tolist())
            assert past.isdisjoint(one.targets[row][one.liked[row] > 0].tolist())


def test_an_epoch_shows_each_event_about_once():
    counts = np.array([1, 2, 32, 33, 320])
    times = np.bincount(draws(counts, 32, np.random.default_rng(0)), minlength=5)
    assert times.tolist() == [0, 1, 1, 2, 10]


@pytest.fixture(scope="module")
def world():
    data, _ = planted_world(users=60, items=40, segments=2, events_per_user=15, seed=3)
    held = split.random(data, share=0.2, seed=0)
    items, users = Ids(data.items["item_id"]), Ids(sorted(data.users["user_id"].cast(str)))
    parts = [histories(t, users, items) for t in (held.train.interactions, held.given, held.test)]
    topics = sorted({g for genres in data.items["genres"] for g in genres})
    features = torch.tensor([[float(t in genres) for t in topics] for genres in data.items["genres"]])
    return parts, features, data.scale


def train(world, *, work: Path | None = None, progress: Progress | None = None, ratings: bool = True, **settings):
    (past, given_, future), features, scale = world
    config = Config(**{**SETTINGS, **settings})
    if not ratings:
        blank = [
            Histories(h.starts, h.items, np.full_like(h.values, np.nan), h.times, h.n_items)
            for h in (past, given_, future)
        ]
        past, given_, future = blank
    torch.manual_seed(7)
    popularity = torch.from_numpy(np.bincount(past.items, minlength=past.n_items).astype(np.float32))
    network = Network(
        features, popularity, config.tower, kind=config.train.rating_head, scale=scale if ratings else None
    )
    values = Values.measure(past.values, counts=not ratings)
    task = loop.Task(past, given_, future, values, "none", 4.0 if ratings else None)
    return network, loop.fit(network, task, config, progress or Progress(), work=work)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("head", ["ordinal", "regression", "classification"])
def test_the_loss_falls_whichever_the_rating_head(world, head):
    _, story = train(world, train={"epochs": 5, "rating_head": head})
    assert story.rows[-1]["loss"] < story.rows[0]["loss"]
    assert story.best_loss < story.rows[0]["valid"]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_ranking_alone_and_rating_alone_are_learnt(world, share):
    _, story = train(world, train={"epochs": 5, "rating_share": share})
    assert story.best_loss < story.rows[0]["valid"]
    assert story.rows[-1]["rating" if share == 0 else "ranking"] == 0


def test_data_without_ratings_are_learnt_by_ranking(world):
    _, story = train(world, ratings=False)
    assert story.rows[-1]["loss"] < story.rows[0]["loss"]


def test_sgd_learns_too(world):
    _, story = train(world, train={"epochs": 5, "optimizer": {"name": "sgd", "lr": 0.05}})
    assert story.rows[-1]["loss"] < story.rows[0]["loss"]


def test_a_sampled_softmax_learns_what_the_full_one_does(world):
    _, full = train(world, train={"epochs": 5, "softmax": "full", "rating_share": 0.0})
    _, sampled = train(world, train={"epochs": 5, "softmax": "sampled", "rating_share": 0.0})
    assert sampled.best_loss == pytest.approx(full.best_loss, rel=0.02)


def test_same_seed_same_weights(world):
    assert same(train(world)[0], train(world)[0])
    assert not same(train(world)[0], train(world, seed=1)[0])


def test_early_stopping_leaves_the_weights_of_the_best_epoch(world):
    network, story = train(world, train={"epochs": 60, "patience": 2, "optimizer": {"name": "adamw", "lr": 0.05}})
    assert len(story.rows) == story.best + 1 + 2  # the patience
    again, _ = train(
        world, train={"epochs": story.best + 1, "patience": 60, "optimizer": {"name": "adamw", "lr": 0.05}}
    )
    assert same(network, again)


class Killed(Progress):
    def __init__(self, after: int) -> None:
        self.left = after

    def log(self, line: str) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("optimizer", [{"name": "adamw"}, {"name": "sgd", "lr": 0.05}])
def test_a_killed_fit_goes_on_and_ends_at_the_same_numbers(world, tmp_path, after, optimizer):
    whole, story = train(world, train={"epochs": 4, "optimizer": optimizer})
    with pytest.raises(KeyboardInterrupt):
        train(world, work=tmp_path, progress=Killed(after), train={"epochs": 4, "optimizer": optimizer})
    resumed, again = train(world, work=tmp_path, train={"epochs": 4, "optimizer": optimizer})
    assert same(whole, resumed)
    assert again.rows == story.rows


def test_a_checkpoint_that_cannot_be_read_starts_over_and_says_so(world, tmp_path, caplog):
    whole, _ = train(world)
    (tmp_path / "tower.checkpoint.safetensors").write_bytes(b"half of a file")
    again, _ = train(world, work=tmp_path)
    assert "training starts over" in caplog.text
    assert same(whole, again)


def test_no_epochs_leave_the_network_as_it_was(world):
    _, story = train(world, train={"epochs": 0})
    assert story.rows == []
