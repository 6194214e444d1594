"""Strategies are small, frozen settings: what goes with what is checked at birth."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shoal.adapt.settings import Finetune
from shoal.encode.strategy import STRATEGIES, AdaLoRA, LastN, LoRA
from shoal.errors import ConfigError


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_name_alone_stands_for_the_strategy_with_its_defaults(name):
    assert Finetune(strategy=name).strategy == STRATEGIES[name]()
    assert Finetune(strategy={"name": name}).strategy.name == name


def test_all_seven_are_there():
    assert list(STRATEGIES) == ["frozen", "head", "last-n", "full", "lora", "adalora", "adapter"]


def test_a_strategy_cannot_be_changed():
    with pytest.raises(ValidationError):
        LoRA().rank = 4


def test_a_wrong_name_is_answered_with_all_names_and_the_closest():
    words = (
        r"strategy.name = 'lorra': must be frozen, head, last-n, full, lora, adalora or adapter. Did you mean lora\?"
    )
    with pytest.raises(ConfigError, match=words):
        Finetune(strategy="lorra")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ({"name": "adalora", "rank": 8, "start_rank": 8}, r"start_rank = 8: must be above rank = 8.*Take 12"),
        ({"name": "lora", "rank": 0}, r"strategy.rank = 0"),
        ({"name": "lora", "rnk": 4}, r"strategy.rnk is not a setting. Did you mean strategy.rank\?"),
        ({"name": "last-n", "n": 0}, r"strategy.n = 0"),
        ({"name": "adapter", "width": 0}, r"strategy.width = 0"),
        ({"rank": 4}, r"strategy.name is missing"),
    ],
)
def test_settings_that_make_no_sense_are_refused(strategy, words):
    with pytest.raises(ConfigError, match=words):
        Finetune(strategy=strategy)


def test_a_strategy_survives_json():
    for kind in (LoRA(rank=3), AdaLoRA(rank=2, start_rank=5), LastN(n=1)):
        assert STRATEGIES[kind.name](**kind.model_dump(mode="json")) == kind
