"""The loop: schedule, steps, early stopping, and going on after a stop as if there had been none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from shoal.adapt import loop
from shoal.adapt.devices import Devices
from shoal.adapt.finetune import finetune
from shoal.adapt.learner import Learner
from shoal.adapt.loop import NAME, make_optimizer, plan, scheduled
from shoal.adapt.reader import Reader
from shoal.adapt.settings import Finetune, Learning
from shoal.adapt.tell import Teller
from shoal.encode.adapt import adapt
from shoal.encode.lm import LanguageModel
from shoal.errors import ConfigError
from shoal.progress import Progress
from shoal.train.loop import Story


def weights(model):
    """Everything that may have moved: the language model's free parameters and the head."""
    parts = [*model.reader.named_parameters(), *model.head.named_parameters(prefix="head")]
    return {n: p.detach().clone() for n, p in parts if p.requires_grad}


def same(some, others):
    return all(torch.equal(some[n], others[n]) for n in some.keys() | others.keys())


def far(some, others):
    return float(torch.cat([(some[n] - others[n]).abs().flatten() for n in some]).max())


class Ear(Progress):
    def __init__(self):
        self.heard = []

    def log(self, line):
        self.heard.append(line)

    warn = log


# The schedule


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"schedule": "linear", "warmup": 0}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ({"schedule": "constant", "warmup": 0}, [1] * 10),
        ({"schedule": "cosine", "warmup": 0}, [(1 + math.cos(math.pi * i / 10)) / 2 for i in range(10)]),
        ({"schedule": "linear", "warmup": 0.2}, [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ({"schedule": "constant", "warmup": 0.4}, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_rises_and_falls_as_the_schedule_says(how, expected):
    assert [scheduled(i, 10, Learning(**how)) for i in range(10)] == pytest.approx(expected)


def test_steps_told_have_the_scheduled_rates(settings, reviews):
    heard = []
    made = settings("bert", "last-n", epochs=2, optimizer={"name": "adamw", "lr": 0.01}, warmup=0.25)
    finetune(reviews(20), config=made, watch=lambda kind, row: heard.append(row) if kind == "step" else None)
    assert [row["step"] for row in heard] == list(range(8))
    assert [row["lr"] for row in heard] == pytest.approx([0.01 * scheduled(i, 8, made.learning) for i in range(8)])


def test_steps_are_planned_for_all_epochs_and_what_is_added_up():
    assert plan(10, Finetune(learning={"epochs": 3, "accumulate": 4})) == 9
    assert plan(1, Finetune(learning={"epochs": 0})) == 1


# The optimizer


class Plain(Learner):
    """A learner of nothing, for what only looks at parameters."""

    def __init__(self, base, strategy):
        lm = LanguageModel(base, precision="float32", device="cpu")
        super().__init__(Reader(lm, adapt(lm.model, Finetune(strategy=strategy).strategy, width=lm.width)))
        self.head = nn.Linear(16, 1)

    def epoch(self, rng, size):
        return []

    def forward(self, rows):
        raise NotImplementedError

    def validate(self):
        return {}

    def mark(self):
        return ""


@pytest.mark.parametrize("base", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("strategy", ["frozen", "full", "last-n", "lora", "adapter"])
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_norms_and_biases_are_spared_by_weight_decay_and_the_head_has_its_own_rate(bases, base, strategy, name):
    learner = Plain(bases[base], strategy)
    how = {"optimizer": {"name": name, "lr": 0.01, "weight_decay": 0.3}, "head_lr": 0.5}
    optimizer = make_optimizer(learner, Finetune(strategy=strategy, learning=how))
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    free = {n: p for n, p in learner.named_parameters() if p.requires_grad}
    assert set(found) == {id(p) for p in free.values()}
    for n, p in free.items():
        spared = n.endswith("bias") or "norm" in n.lower() or ".ln_" in n
        assert found[id(p)]["weight_decay"] == (0 if spared else 0.3), n
        assert found[id(p)]["lr"] == (0.5 if n.startswith("head.") else 0.01), n


# Steps


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_8_at_once_are_2_times_4(settings, reviews, optimizer):
    made = []
    for batch, accumulate in ((8, 1), (4, 2)):
        how = {"batch_size": batch, "accumulate": accumulate, "dropout": 0.0, "schedule": "constant", "warmup": 0}
        how |= {"optimizer": {"name": optimizer, "lr": 0.01}, "epochs": 1, "clip": 1e6}
        made.append(settings("bert", "last-n", whole={"validation_share": 0.5}, **how))
    ends = [weights(finetune(reviews(16), config=one)) for one in made]  # 8 to learn from: one step
    for end in ends:  # a key's bias has no gradient but rounding, which Adam blows up
        for name in [n for n in end if "key.bias" in n]:
            del end[name]
    assert far(*ends) < 1e-5


def test_gradients_are_clipped_to_the_largest_norm(settings, reviews, monkeypatch):
    norms = []
    clip = nn.utils.clip_grad_norm_

    def watched(parameters, most):
        parameters = list(parameters)
        clip(parameters, most)
        norms.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", watched)
    finetune(reviews(), config=settings("bert", "full", clip=0.01))
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)
    assert len(norms) == 3


def test_sgd_learns(settings, reviews):
    losses = []
    made = settings("bert", "full", epochs=6, optimizer={"name": "sgd", "lr": 0.05}, schedule="constant", dropout=0.0)
    finetune(reviews(40), config=made, watch=lambda kind, row: losses.append(row["loss"]) if kind == "epoch" else None)
    assert losses[-1] < losses[0] - 0.02


@pytest.mark.parametrize("base", ["bert", "gpt2", "llama"])
def test_gradient_checkpointing_gives_the_same_numbers(settings, reviews, base):
    made = [settings(base, "full", gradient_checkpointing=on, dropout=0.1) for on in (False, True)]
    plain, recomputed = (weights(finetune(reviews(), config=one)) for one in made)
    assert far(plain, recomputed) < 1e-6


def test_bfloat16_ends_near_float32(settings, reviews):
    ends = []
    for precision in ("float32", "bfloat16"):
        made = settings("bert", "full", precision=precision, epochs=2, dropout=0.0)
        ends.append(finetune(reviews(40), config=made).predict(["good w1", "bad w2 w3"])["rating"].to_numpy())
    np.testing.assert_allclose(*ends, atol=0.02)


def test_the_same_seed_is_the_same_model_and_another_seed_another(settings, reviews):
    ends = []
    for seed, outside in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(outside)
        ends.append(weights(finetune(reviews(), config=settings("bert", "lora", whole={"seed": seed}))))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


# Stopping


class Scripted(Plain):
    """A learner whose validation figures are written beforehand."""

    def __init__(self, base, figures):
        super().__init__(base, "frozen")
        self.figures = list(figures)
        self.asked = 0

    def epoch(self, rng, size):
        return [np.arange(4)]

    def forward(self, rows):
        return self.head(torch.ones(1, 16)).square().sum()

    def validate(self):
        self.asked += 1
        return {"valid": self.figures[self.asked - 1], "bias": float(self.head.bias.detach())}


def run(base, figures, *, stop=None, progress=None, **learning):
    learner = Scripted(base, figures)
    made = Finetune(base=base, strategy="frozen", learning={"epochs": len(figures), **learning})
    devices = Devices(torch.device("cpu"), "float32")
    return learner, loop.finetune(learner, made, progress or Progress(), devices=devices, stop=stop)


def test_training_stops_after_patience_and_keeps_the_best_epoch(bases):
    learner, story = run(bases["bert"], [3, 2, 2.5, 2.4, 2.2, 1, 1], patience=3)
    assert [row["valid"] for row in story.rows] == [3, 2, 2.5, 2.4, 2.2]
    assert story.best == 1
    assert float(learner.head.bias.detach()) == story.rows[1]["bias"] != story.rows[-1]["bias"]
    assert not learner.training


def test_training_that_gets_better_goes_on_to_the_end(bases):
    assert len(run(bases["bert"], [5, 4, 4.5, 3, 2], patience=2)[1].rows) == 5


def test_the_caller_may_end_it_after_an_epoch(bases):
    story = run(bases["bert"], [5, 4, 3, 2], stop=lambda story: len(story.rows) == 2)[1]
    assert (len(story.rows), story.best) == (2, 1)


def test_a_loss_that_is_no_number_keeps_the_best_epoch_and_says_so(bases):
    ear = Ear()
    learner, story = run(bases["bert"], [3, 2, math.nan, 1], progress=ear)
    assert (len(story.rows), story.best) == (2, 1)
    assert float(learner.head.bias.detach()) == story.rows[1]["bias"]
    assert "diverged in epoch 3" in ear.heard[-1]
    assert "weights of epoch 2 are kept" in ear.heard[-1]


def test_a_loss_that_never_was_a_number_names_the_rate(settings, reviews):
    wild = {"name": "sgd", "lr": 100.0, "weight_decay": 10.0}
    made = settings("bert", "full", batch_size=1, optimizer=wild, schedule="constant", warmup=0)
    with pytest.raises(ConfigError, match=r"diverged in epoch 1.*Lower learning.optimizer.lr, which is 100"):
        finetune(reviews(40), config=made)


def test_no_epoch_at_all_leaves_the_model_as_it_was(settings, reviews):
    rater = finetune(reviews(), config=settings("bert", "full", epochs=0))
    assert (rater.about["story"], rater.about["best_epoch"]) == ([], -1)


# Memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] not enough memory: 9 GB"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("strategy", ["frozen", "full"])
def test_too_little_memory_names_the_batch_size_to_try(settings, reviews, monkeypatch, error, strategy):
    def fail(*args):
        raise error

    monkeypatch.setattr(Reader, "forward", fail)
    with pytest.raises(
        ConfigError, match=r"Out of memory with learning.batch_size = 4. Try learning.batch_size = 2 with"
    ):
        finetune(reviews(), config=settings("bert", strategy))


def test_at_a_batch_of_1_shorter_texts_are_what_is_left_to_try(settings, reviews, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(Reader, "forward", fail)
    with pytest.raises(ConfigError, match=r"batch_size = 1. Try a smaller max_tokens."):
        finetune(reviews(), config=settings("bert", batch_size=1, gradient_checkpointing=True))


def test_any_other_error_is_left_as_it_is(settings, reviews, monkeypatch):
    def fail(*args):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Reader, "forward", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        finetune(reviews(), config=settings("bert"))


# Going on


STRATEGIES = {
    "full": "full",
    "lora": {"name": "lora", "rank": 2},
    "adalora": {"name": "adalora", "rank": 2, "start_rank": 4},
}


def stopped_at(step):
    def watch(kind, row):
        if kind == "step" and row["step"] == step:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_fine_tuning_that_was_stopped_goes_on_to_bit_equal_weights(tmp_path, settings, reviews, strategy, optimizer):
    how = {"epochs": 3, "checkpoint_minutes": 1e-9, "optimizer": {"name": optimizer, "lr": 0.01}}
    made = settings("bert", STRATEGIES[strategy], **how)
    table = reviews(20)  # four steps an epoch
    whole = weights(finetune(table, config=made))
    for step in (1, 6, 10):  # in the middle of each epoch
        with pytest.raises(KeyboardInterrupt):
            finetune(table, config=made, work=tmp_path, watch=stopped_at(step))
        assert (tmp_path / NAME).exists()
    heard = []
    done = finetune(table, config=made, work=tmp_path, watch=lambda kind, row: heard.append((kind, row)))
    assert same(weights(done), whole)
    assert [row["step"] for kind, row in heard if kind == "step"] == [10, 11]
    assert len(done.about["story"]) == 3


@pytest.mark.parametrize("epochs", [1, 4, 12])
def test_adalora_is_kept_from_after_its_ranks_came_down_and_not_stopped_before(settings, reviews, epochs, monkeypatch):
    worse = iter(range(1, 100))  # each epoch looks worse than the one before: the first whole one is the best of them
    monkeypatch.setattr(Teller, "validate", lambda self: {"valid": float(next(worse))})
    made = settings("bert", STRATEGIES["adalora"], epochs=epochs, patience=1)
    rater = finetune(reviews(20), config=made)  # four steps an epoch
    first_whole = math.ceil(0.75 * epochs + 0.25)  # the step after three quarters of all is in it
    assert len(rater.about["story"]) == min(first_whole + 1, epochs)
    ranks = [int((p != 0).sum()) for n, p in rater.reader.adapted.model.named_parameters() if "lora_E" in n]
    assert sum(ranks) / len(ranks) == STRATEGIES["adalora"]["rank"]


def test_a_fine_tuning_that_is_done_is_not_done_again(tmp_path, settings, reviews):
    made = settings("bert", "full", epochs=2)
    first = finetune(reviews(), config=made, work=tmp_path)
    heard = []
    again = finetune(reviews(), config=made, work=tmp_path, watch=lambda *told: heard.append(told))
    assert heard == []
    assert same(weights(first), weights(again))
    assert again.about["story"] == first.about["story"]


@pytest.mark.parametrize("what", ["table", "rate", "seed", "base"])
def test_another_table_or_setting_does_not_go_on_from_the_checkpoint(tmp_path, settings, reviews, what):
    how = {"epochs": 2, "checkpoint_minutes": 1e-9}
    with pytest.raises(KeyboardInterrupt):
        finetune(reviews(20), config=settings("bert", "full", **how), work=tmp_path, watch=stopped_at(5))
    table, base, whole = reviews(20), "bert", {}
    if what == "table":
        table = reviews(20, seed=1)
    elif what == "rate":
        how["optimizer"] = {"name": "adamw", "lr": 1e-3}
    elif what == "seed":
        whole = {"seed": 1}
    else:
        base = "gpt2"
    made, ear = settings(base, "full", whole=whole, **how), Ear()
    done = finetune(table, config=made, work=tmp_path, progress=ear)
    assert any("other data or settings; training starts over" in line for line in ear.heard)
    assert same(weights(done), weights(finetune(table, config=made)))


def test_other_patience_goes_on_from_the_checkpoint(tmp_path, settings, reviews):
    how = {"epochs": 2, "checkpoint_minutes": 1e-9}
    with pytest.raises(KeyboardInterrupt):
        finetune(reviews(20), config=settings("bert", **how), work=tmp_path, watch=stopped_at(5))
    heard = []
    finetune(reviews(20), config=settings("bert", **how, patience=9), work=tmp_path, watch=lambda *t: heard.append(t))
    assert len([kind for kind, _ in heard if kind == "step"]) < 4


def test_a_checkpoint_holds_only_what_moves(tmp_path, settings, reviews):
    from safetensors import safe_open

    finetune(reviews(), config=settings("bert", {"name": "lora", "rank": 2}), work=tmp_path)
    with safe_open(tmp_path / NAME, framework="pt") as file:
        names = [n for n in file.keys() if n.startswith("now.")]  # noqa: SIM118 - not a dict
    assert names
    assert all("lora_" in n or n.startswith("now.head.") for n in names)


def test_a_story_without_a_good_epoch_is_worse_than_any():
    assert Story().best_loss == math.inf
