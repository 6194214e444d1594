"""A search tries what its space says, never the test part, stops what is behind, and goes on where it was killed."""

from __future__ import annotations

import logging
import sqlite3
import sys
import tomllib

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapt import finetune as face
from shoal.adapt import search as module
from shoal.adapt.search import search
from shoal.adapt.settings import Finetune
from shoal.adapt.space import Count, Dial, Space, first, settings_of, toml
from shoal.adapt.study import differs, load_study, locked
from shoal.adapt.trial import RUNGS, How, Trial
from shoal.data.labelled import read_labelled
from shoal.errors import ConfigError, MismatchError, MissingExtraError, NotEnoughDataError, StoreError
from shoal.progress import Progress
from shoal.train.loop import Story


def opinions(n=60):
    good, bad = ["a b c", "a b", "b a c d"], ["f g h", "g h", "h f i j"]
    texts = [f"{(good if i % 2 else bad)[i % 3]} {'abcdefghij'[i % 10]}" for i in range(n)]
    ratings = [float(4 + i % 4 // 2) if i % 2 else float(1 + i % 4 // 2) for i in range(n)]
    return read_labelled(pl.DataFrame({"text": texts, "rating": ratings}))


NARROW = {"strategy": ["frozen", "head"], "startup": 2, "learning": {"dropout": None}}


@pytest.fixture
def base(tiny_bert):
    return Finetune(base=str(tiny_bert), strategy="frozen", max_tokens=16, learning={"epochs": 3})


# The space.


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"strategy": ["lroa"]}, "Did you mean lora"),
        ({"rnk": 8}, "Did you mean rank"),
        ({"rank": []}, "give a list that holds something"),
        ({"rank": [0.5]}, "rank.among.0 = 0.5"),
        ({"rank": [0, 4]}, "strategy.rank = 0"),
        ({"max_tokens": 4}, "max_tokens = 4"),
        ({"learning": {"lr": {"low": 1e-3}}}, "a range needs low and high"),
        ({"learning": {"lr": {"low": 1e-3, "high": 1e-4}}}, r"learning.lr.high: 0.0001 must be above low = 0.001"),
        ({"learning": {"lr": {"low": 0, "high": 1e-4, "log": True}}}, "above 0 where log = true"),
        ({"learning": {"lr": [5]}}, "learning.lr: 5 lies outside"),
        ({"learning": {"lr": {"lo": 1e-3}}}, "Did you mean learning.lr.low"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_by_name(space, words):
    with pytest.raises(ConfigError, match=words):
        Space(**space).check(Finetune())


def test_a_space_is_read_from_toml_with_lists_ranges_and_single_values(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text('strategy = "lora"\nrank = 8\n[learning]\nlr = { low = 1e-5, high = 1e-3, log = true }\n')
    space = Space.from_toml(path)
    assert space.strategy == ("lora",)
    assert space.rank == Count(among=(8,))
    assert space.learning.lr == Dial(low=1e-5, high=1e-3, log=True)


def asked(space, strategy):
    names = []

    def pick(name, dial):
        names.append(name)
        return strategy if name == "strategy" else None

    settings_of(space, Finetune(), pick)
    return names


@pytest.mark.parametrize(
    ("strategy", "there", "not_there"),
    [
        ("frozen", ["learning.head_lr"], ["learning.lr", "rank", "n", "width"]),
        ("last-n", ["learning.lr", "n"], ["rank", "width"]),
        ("lora", ["learning.lr", "rank"], ["n", "width"]),
        ("adapter", ["learning.lr", "width"], ["rank", "n"]),
        ("full", ["learning.lr"], ["rank", "n", "width"]),
    ],
)
def test_a_strategy_is_asked_only_for_what_it_has(strategy, there, not_there):
    names = asked(Space(), strategy)
    assert set(there) <= set(names)
    assert not set(not_there) & set(names)


@given(st.sampled_from(["lora", "adalora"]), st.integers(1, 64))
def test_alpha_is_twice_the_rank_and_adalora_starts_above_it(strategy, rank):
    space = Space(strategy=strategy, rank=rank)
    made = settings_of(space, Finetune(), lambda name, dial: {"strategy": strategy, "rank": rank}.get(name)).strategy
    assert (made.rank, made.alpha) == (rank, 2 * rank)
    assert getattr(made, "start_rank", rank + 1) > rank


def test_the_settings_that_are_searched_from_come_first_as_far_as_they_lie_in_the_space():
    base = Finetune(learning={"optimizer": {"name": "adamw", "lr": 1e-4}, "batch_size": 48})
    assert first(Space(), base) == {
        "strategy": "lora", "rank": 8, "learning.lr": 1e-4, "learning.head_lr": 2e-3, "learning.dropout": 0.1,
    }  # fmt: skip
    assert "strategy" not in first(Space(strategy=["head", "frozen"]), base)


@pytest.mark.parametrize(
    "settings",
    [
        Finetune(),
        Finetune(strategy="adalora", base='a "quoted" C:\\folder', learning={"optimizer": {"name": "sgd", "lr": 1e-5}}),
        Finetune(strategy={"name": "last-n", "n": 3}, learning={"epochs": 7, "gradient_checkpointing": True}),
    ],
)
def test_settings_written_as_toml_are_read_back_as_they_were(settings):
    assert Finetune(**tomllib.loads(toml(settings))) == settings


def test_what_differs_between_two_settings_is_named():
    assert differs({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == "a.c: 2, now 3"
    assert differs({"a": 1}, {"a": 1}) is None


# The search.


def test_a_search_keeps_every_trial_and_the_best_settings_can_be_fine_tuned_with(tmp_path, base):
    found = search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=4, config=base)
    assert found.trials["state"].is_in(["complete", "pruned"]).all()
    assert found.trials.height == 4
    done = found.trials.filter(pl.col("state") == "complete")
    assert found.row(found.best)["value"] == done["value"].min()
    assert found.row(found.best)["low"] <= found.row(found.best)["value"] <= found.row(found.best)["high"]
    assert found.trials["strategy"][0] == "frozen"  # the settings that were searched from are the first trial
    best = found.best_settings
    assert best.strategy.name == found.row(found.best)["strategy"]
    assert best.learning.head_lr == found.row(found.best)["learning.head_lr"]
    assert best.test_share == base.test_share
    assert len(found.curves(found.best).epochs) == found.row(found.best)["epochs"]
    assert load_study(tmp_path / "s").trials.equals(found.trials)
    assert not list((tmp_path / "s").glob("trials/*.part"))


def test_no_trial_reads_a_test_example(tmp_path, base, monkeypatch):
    read = []
    real = face.finetune

    def spy(data, **how):
        model = real(data, **how)
        read.append((set(data.texts), how["config"].test_share, "test" in model.about))
        return model

    data = opinions()
    data.texts[:] = [f"{text} {'abcdefghij'[i // 10]} {'abcdefghij'[i % 10]}" for i, text in enumerate(data.texts)]
    real(data, config=base)  # what a fine-tuning keeps for its test:
    _, test = held_out_rows(data, base)
    monkeypatch.setattr(face, "finetune", spy)
    search(data, tmp_path / "s", space=Space(**NARROW), trials=2, config=base)
    assert len(read) == 2
    for texts, share, tested in read:
        assert share == 0
        assert not tested
        assert not texts & {data.texts[row] for row in test}
        assert len(texts) == len(data.texts) - len(test)


def held_out_rows(data, settings):
    from shoal.adapt.tell import held_out
    from shoal.seeding import generator

    return held_out(data.classes, settings.test_share, generator(settings.seed, "finetune", "test"))


def test_a_search_validates_on_the_examples_that_a_fine_tuning_validates_on(base):
    data = opinions()
    rest, _ = held_out_rows(data, base)
    inner = module._without_test(data, base)
    assert inner.texts == [data.texts[row] for row in rest]
    np.testing.assert_array_equal(inner.classes, data.classes[rest])


@pytest.mark.slow
def test_a_search_that_is_killed_runs_the_trial_again_and_proposes_what_an_unbroken_one_does(
    tmp_path, base, monkeypatch
):
    whole = search(opinions(), tmp_path / "whole", space=Space(**NARROW), trials=4, config=base)
    real, runs = face.finetune, []

    def dying(*args, **how):
        runs.append(how["work"])
        if len(runs) == 3:
            raise KeyboardInterrupt
        return real(*args, **how)

    monkeypatch.setattr(face, "finetune", dying)
    with pytest.raises(KeyboardInterrupt):
        search(opinions(), tmp_path / "broken", space=Space(**NARROW), trials=4, config=base)
    assert load_study(tmp_path / "broken").best is not None  # what was done is kept
    broken = search(opinions(), tmp_path / "broken", space=Space(**NARROW), trials=4, config=base)
    assert broken.trials["state"].to_list().count("killed") == 1
    kept = broken.trials.filter(pl.col("state") != "killed")
    for name in ("strategy", "learning.head_lr", "learning.batch_size"):
        assert kept[name].to_list() == whole.trials[name].to_list()
    assert runs[2] == runs[3]  # in the same work folder, so that the checkpoint is found


def test_a_study_that_is_done_is_not_run_again_and_more_trials_go_on(tmp_path, base, monkeypatch):
    search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=2, config=base)
    assert search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=3, config=base).trials.height == 3
    monkeypatch.setattr(face, "finetune", lambda *_, **__: pytest.fail("trained again"))
    assert search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=3, config=base).trials.height == 3
    assert (
        search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=9, minutes=0, config=base).trials.height == 3
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"table": opinions(50)}, "other data"),
        ({"space": Space(**NARROW, seed=1)}, r"another space \(seed: 0, now 1\)"),
        ({"config": {"seed": 3}}, r"other settings \(seed: 0, now 3\)"),
    ],
)
def test_a_study_of_something_else_is_refused(tmp_path, base, given, words):
    search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=1, config=base)
    config = base.model_copy(update=given.get("config", {}))
    with pytest.raises(MismatchError, match=words):
        search(given.get("table", opinions()), tmp_path / "s", space=given.get("space", Space(**NARROW)), config=config)


def test_a_folder_with_something_else_a_file_and_a_study_in_use_are_refused(tmp_path, base):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="holds something that is no study"):
        search(opinions(), tmp_path / "photos", config=base)
    with pytest.raises(StoreError, match="is a file"):
        search(opinions(), tmp_path / "file", config=base)
    with locked(tmp_path / "s"), pytest.raises(StoreError, match="being searched by another process"):
        search(opinions(), tmp_path / "s", config=base)
    with pytest.raises(StoreError, match="There is no study"):
        load_study(tmp_path / "photos")


def test_a_database_that_is_none_is_said(tmp_path):
    (tmp_path / "study.db").write_text("not a database at all, but long enough to be looked at as one")
    with pytest.raises(StoreError, match="cannot be read or written"):
        load_study(tmp_path)
    sqlite3.connect(tmp_path / "empty.db").close()


def test_settings_that_fail_are_told_and_the_search_goes_on_but_not_for_ever(tmp_path, base, monkeypatch):
    real, calls = face.finetune, []

    def failing(*args, **how):
        calls.append(1)
        if len(calls) in (1, 2):
            raise ConfigError("Out of memory with learning.batch_size = 32. Try 16.")
        return real(*args, **how)

    monkeypatch.setattr(face, "finetune", failing)
    found = search(opinions(), tmp_path / "s", space=Space(**NARROW), trials=3, config=base)
    assert found.trials["state"].to_list()[:2] == ["failed", "failed"]
    assert "Out of memory" in found.trials["note"][0]
    calls.clear()
    monkeypatch.setattr(face, "finetune", lambda *_, **__: failing() if calls.clear() is None else None)
    with pytest.raises(ConfigError, match="Out of memory"):
        search(opinions(), tmp_path / "t", space=Space(**NARROW), trials=20, config=base)
    assert load_study(tmp_path / "t").trials.height == 3


def test_too_few_texts_end_the_search_at_once(tmp_path, base):
    with pytest.raises(NotEnoughDataError):
        search(opinions(4), tmp_path / "s", space=Space(**NARROW), config=base)


def test_settings_that_were_tried_before_are_not_trained_again(tmp_path, base):
    space = Space(strategy="frozen", learning={"head_lr": 1e-3, "batch_size": [8, 16], "dropout": None})
    found = search(opinions(), tmp_path / "s", space=space, trials=6, config=base)
    again = found.trials.filter(pl.col("note").str.contains("the same settings"))
    assert again.height >= 4
    assert len({(r["learning.batch_size"], r["value"]) for r in found.trials.iter_rows(named=True)}) <= 2


@pytest.mark.parametrize(
    ("objective", "words"), [("mean_rank", "no figure of this task"), ("perplexity", "rmse or mae")]
)
def test_an_objective_that_the_data_do_not_have_is_refused(tmp_path, base, objective, words):
    with pytest.raises(ConfigError, match=words):
        search(opinions(), tmp_path / "s", space=Space(objective=objective), config=base)


def test_labels_are_searched_by_log_loss_and_accuracy_is_made_large(tmp_path, base):
    good = pl.DataFrame({"text": ["a b", "f g"] * 30, "label": ["good", "bad"] * 30})
    found = search(good, tmp_path / "s", space=Space(**NARROW), trials=2, config=base)
    assert (found.objective, found.about["figure"], found.larger_is_better) == ("log_loss", "accuracy", False)
    found = search(good, tmp_path / "t", space=Space(**NARROW, objective="accuracy"), trials=2, config=base)
    done = found.trials.filter(pl.col("state") == "complete")["value"]
    assert found.larger_is_better
    assert found.row(found.best)["value"] == done.max()


class FakeTrial:
    """Stands in for optuna's, and says at once that it is behind."""

    def __init__(self):
        self.told = {}

    def report(self, value, step):
        self.told[step] = value

    def should_prune(self):
        return len(self.told) > 1


@pytest.mark.parametrize(("epochs", "rungs"), [(3, [2, 5]), (40, list(range(1, RUNGS))), (1, []), (2, [4])])
def test_trials_are_compared_at_eighths_of_their_epochs_and_not_at_the_end(tmp_path, epochs, rungs):
    class FakeStudy:
        user_attrs = {"figure": "rmse", "objective": "rmse"}  # noqa: RUF012

    how = How(tmp_path, "review", opinions(), Space(), Finetune(), "cpu", (), Progress())
    one = FakeTrial()
    trial = Trial(how, FakeStudy(), one, Finetune(learning={"epochs": epochs}))
    rows = [{"epoch": e, "rmse": 1 / (e + 1)} for e in range(epochs)]
    stops = [trial._stop(Story(rows[: e + 1], 0)) for e in range(epochs)]
    assert list(one.told) == rungs
    assert any(stops) == (len(rungs) > 1)


def test_importance_finds_the_setting_that_decides(tmp_path, monkeypatch):
    import optuna

    from shoal.adapt.study import importance, opened

    tmp_path.mkdir(exist_ok=True)
    with opened(tmp_path, direction="minimize") as study:
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        study.optimize(
            lambda t: t.suggest_float("learning.lr", 0, 1) + 0 * t.suggest_float("learning.dropout", 0, 1), 30
        )
        found = importance(study)
        assert list(found) == ["learning.lr", "learning.dropout"]
        assert found["learning.lr"] > 0.8
        assert sum(found.values()) == pytest.approx(1)
    with opened(tmp_path) as study:
        assert len(study.trials) == 30


def test_a_missing_optuna_names_the_pip_command(tmp_path, base, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shoal\[finetune\]'"):
        search(opinions(), tmp_path / "s", config=base)


def test_a_search_leaves_logging_as_it_was(tmp_path, base):
    root, ours = logging.getLogger(), logging.getLogger("shoal")
    before = (root.handlers[:], root.level, ours.disabled)
    search(opinions(), tmp_path / "study", space=Space(**NARROW), trials=1, config=base, progress=Progress())
    assert (root.handlers, root.level, ours.disabled) == before
