"""Settings: each wrong one is told in one line that begins with its name, and says what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal.config import SGD, AdamW, Config, Rate, Tower
from shoal.errors import ConfigError

WRONG = [
    ({"sed": 1}, "sed is not a setting. Did you mean seed?"),
    ({"train": {"epoch": 3}}, "train.epoch is not a setting. Did you mean train.epochs?"),
    ({"tower": {"qqq": 1}}, "tower.qqq is not a setting. Known: width, heads, history, dropout,"),
    ({"adamw": {}}, "adamw is not a setting. Known: seed, effort, text,"),
    ({"seed": -1}, "seed = -1: input should be greater than or equal to 0."),
    ({"seed": 1.5}, "seed = 1.5: input should be a valid integer"),
    ({"tower": 3}, "tower = 3: input should be a valid dictionary"),
    ({"tower": {"heads": 5}}, "tower.heads = 5: must divide width = 64. Take 4, say."),
    ({"segment": {"n": 0}}, "segment.n = 0: input should be greater than or equal to 1."),
    ({"encode": {"pooling": "means"}}, "encode.pooling = 'means': must be auto, mean, cls or last. Did you mean mean?"),
    ({"validation": {"share": float("nan")}}, "validation.share = nan: input should be a finite number."),
    ({"recommend": {"relevant_from": float("nan")}}, "recommend.relevant_from = nan: input should be a finite number."),
    ({"train": {"optimizer": {"name": "adam"}}}, "train.optimizer.name = 'adam': must be adamw or sgd. Did you mean"),
    ({"train": {"optimizer": {"lr": 0.1}}}, "train.optimizer.name is missing"),
    ({"train": {"optimizer": {"name": "sgd", "lr": -1}}}, "train.optimizer.lr = -1: input should be greater than 0."),
    ({"train": {"optimizer": {"name": "sgd", "momentm": 1}}}, "Did you mean train.optimizer.momentum?"),
    ({"train": {"optimizer": {"name": "adamw", "momentum": 1}}}, "Known: name, lr, weight_decay."),
]


@pytest.mark.parametrize(("values", "says"), WRONG)
def test_a_wrong_setting_is_told_in_one_line(values, says):
    with pytest.raises(ConfigError) as told:
        Config(**values)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("values", "says"), WRONG)
def test_the_line_begins_with_the_settings_full_name(values, says):
    with pytest.raises(ConfigError) as told:
        Config(**values)
    name = str(told.value).split(" ")[0]
    inner = values
    for part in name.split("."):
        if part not in inner:  # a setting that is missing, in a group that is there
            assert "is missing" in says
            break
        inner = inner[part]


def test_settings_left_out_have_their_defaults():
    config = Config(tower={"width": 32})
    assert config.tower == Tower(width=32)
    assert config.train == Config().train


def test_an_optimizer_is_chosen_by_its_name():
    assert Config().train.optimizer == AdamW()
    chosen = Config(train={"optimizer": {"name": "sgd", "momentum": 0.5}}).train.optimizer
    assert chosen == SGD(momentum=0.5)


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        Config().tower.width = 3


@given(width=st.integers(4, 1024), heads=st.integers(1, 32))
def test_the_heads_that_a_message_suggests_are_taken(width, heads):
    try:
        Config(tower={"width": width, "heads": heads})
    except ConfigError as error:
        near = int(str(error).split("Take ")[1].split(",")[0])
        assert Config(tower={"width": width, "heads": near}).tower.heads < heads
    else:
        assert width % heads == 0


@given(st.builds(Config, seed=st.integers(0, 2**31 - 1), train=st.sampled_from([{}, {"optimizer": {"name": "sgd"}}])))
def test_a_config_comes_back_from_json_whole(config):
    assert Config(**config.model_dump(mode="json")) == config


def from_text(folder: Path, text: str) -> Config:
    (folder / "run.toml").write_text(text, encoding="utf-8")
    return Config.from_toml(folder / "run.toml")


def test_a_toml_file_is_read(tmp_path):
    config = from_text(tmp_path, 'seed = 3\n[train]\nepochs = 2\noptimizer = { name = "sgd", lr = 0.1 }\n')
    assert (config.seed, config.train.epochs, config.train.optimizer) == (3, 2, SGD(lr=0.1))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tower]\nwidth = 64\n[train]\nwidth = 3\n", 4),  # not line 2, where another group has the same name
        ("seed = 1\ntrain.epoch = 3\n", 2),
        ("seed = 1\n[trian]\nepochs = 3\n", 2),
        ("[train]\nepochs = 3\noptimizer = { name = 'sgd', lr = -3 }\n", 3),
        ("[train.optimizer]\nlr = 1e-3\nname = 'adam'\n", 3),
        ("[train.optimizer]\nlr = 1e-3\n", 1),
        ("[tower]  # wide\n'wdth' = 3\n", 2),
        ("[ tower ]\nheads = 5\n", 2),
    ],
)
def test_a_message_about_a_file_names_it_and_the_line(tmp_path, text, line):
    with pytest.raises(ConfigError) as told:
        from_text(tmp_path, text)
    assert str(told.value).endswith(f"({tmp_path / 'run.toml'}, line {line})")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: No such file.* Give the path of a TOML file"):
        Config.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"seed 3", b"seed = \xff"])
def test_a_file_that_is_no_toml_is_told(tmp_path, content):
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.toml is not TOML"):
        Config.from_toml(tmp_path / "run.toml")


def test_effort_fills_in_what_is_not_given_and_nothing_else():
    quick, full = Config(effort="quick"), Config(effort="full")
    assert quick.train.epochs < Config().train.epochs < full.train.epochs
    assert quick.rate.starts < Config().rate.starts < full.rate.starts
    given = Config(effort="quick", train={"epochs": 11}, rate=Rate(width=5))
    assert (given.train.epochs, given.rate.width, given.rate.starts) == (11, 5, quick.rate.starts)
    assert Config(effort="usual") == Config()


@pytest.mark.parametrize("effort", ["quick", "usual", "full"])
def test_settings_of_an_effort_survive_being_written_and_read(effort):
    made = Config(effort=effort, recommend={"trees": True})
    assert Config(**made.model_dump()) == made
    assert made.recommend.trees
