"""Settings of a fine-tuning: what stands for what, and what is refused in one sentence."""

from __future__ import annotations

import pytest

import shoal
from shoal.adapt.finetune import check_task
from shoal.adapt.settings import Finetune
from shoal.config import SGD, AdamW
from shoal.errors import ConfigError


@pytest.mark.parametrize(
    ("strategy", "epochs", "lr"),
    [("frozen", 40, 5e-4), ("head", 40, 5e-4), ("last-n", 3, 1e-4), ("full", 3, 5e-5), ("lora", 3, 5e-4)],
)
def test_epochs_and_rate_suit_the_strategy_unless_they_are_given(strategy, epochs, lr):
    settings = Finetune(strategy=strategy)
    assert (settings.epochs, settings.optimizer) == (epochs, AdamW(lr=lr))
    given = Finetune(strategy=strategy, learning={"epochs": 7, "optimizer": {"name": "sgd", "lr": 0.1}})
    assert (given.epochs, given.optimizer) == (7, SGD(lr=0.1))


def test_the_default_is_lora_on_the_base_that_suits_the_language():
    settings = Finetune()
    assert (settings.base, settings.strategy.name, settings.strategy.rank, settings.head) == ("auto", "lora", 8, "auto")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learning": {"epoch": 3}}, r"learning.epoch is not a setting. Did you mean learning.epochs\?"),
        ({"learning": {"warmup": 1.0}}, r"learning.warmup = 1.0"),
        ({"learning": {"batch_size": 0}}, r"learning.batch_size = 0"),
        ({"learning": {"schedule": "cosin"}}, r"learning.schedule = 'cosin'.*Did you mean cosine\?"),
        ({"learning": {"precision": "int8"}}, r"learning.precision = 'int8'"),
        ({"head": "ordered"}, r"head = 'ordered': must be auto, ordinal, regression or classification"),
        ({"validation_share": 0}, r"validation_share = 0"),
        ({"mask_share": 1.0}, r"mask_share = 1.0"),
        ({"max_tokens": 4}, r"max_tokens = 4"),
        ({"learning": {"optimizer": {"name": "adam"}}}, r"optimizer.name = 'adam'.*Did you mean adamw\?"),
    ],
)
def test_what_is_wrong_is_said_with_the_value_and_the_way_out(given, words):
    with pytest.raises(ConfigError, match=words):
        Finetune(**given)


def test_settings_come_from_toml_and_a_message_names_file_and_line(tmp_path):
    path = tmp_path / "tune.toml"
    path.write_text('base = "minilm"\nstrategy = "head"\n[learning]\nepochs = 2\n')
    settings = Finetune.from_toml(path)
    assert (settings.base, settings.strategy.name, settings.epochs) == ("minilm", "head", 2)
    path.write_text('[strategy]\nname = "lora"\nrank = "many"\n')
    with pytest.raises(ConfigError, match=r"strategy.rank = 'many'.*tune.toml, line 3"):
        Finetune.from_toml(path)


def test_a_wrong_task_is_answered_with_the_tasks_and_the_closest():
    with pytest.raises(
        ConfigError, match=r"task = 'reviews' is none.*pair, twin, couse or words. Did you mean review\?"
    ):
        check_task("reviews")
    with pytest.raises(ConfigError, match="is none"):
        shoal.finetune("nowhere.csv", task="no")


def test_json_and_back_is_the_same():
    settings = Finetune(strategy={"name": "adalora", "rank": 2}, learning={"optimizer": {"name": "sgd"}})
    assert Finetune(**settings.model_dump(mode="json")) == settings


def test_a_wrong_setting_of_an_optimizer_that_may_be_left_out_is_told_by_its_name():
    with pytest.raises(ConfigError, match=r"^learning\.optimizer\.lr = 5"):
        Finetune(learning={"optimizer": {"name": "adamw", "lr": 5}})
    with pytest.raises(ConfigError, match=r"learning\.optimizer\.weightdecay is not a setting.*weight_decay"):
        Finetune(learning={"optimizer": {"name": "adamw", "weightdecay": 5}})
