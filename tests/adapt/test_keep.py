"""A fine-tuned model on disk holds what moved, finds its base again, and refuses any other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import shoal
from shoal.adapt.finetune import finetune
from shoal.adapt.keep import check_base, load_rater
from shoal.encode.lm import LanguageModel
from shoal.encode.strategy import STRATEGIES
from shoal.errors import ConfigError, EncoderError, MismatchError, StoreError

TEXTS = ["good w1", "awful w2 w3", ""]


@pytest.fixture
def own_base(bases, tmp_path):
    """A base that a test may spoil."""
    folder = tmp_path / "base"
    shutil.copytree(bases["bert"], folder)
    return folder


@pytest.fixture
def kept(settings, reviews, own_base, tmp_path):
    rater = finetune(reviews(), config=settings(str(own_base), "lora"))
    return rater, rater.save(tmp_path / "model")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_tells_the_same_when_it_was_kept_and_loaded(settings, reviews, tmp_path, strategy):
    rater = finetune(reviews(30), config=settings("bert", strategy, head="regression", epochs=2))
    again = shoal.load_rater(rater.save(tmp_path / "m"), device="cpu")
    np.testing.assert_allclose(again.predict(TEXTS)["rating"], rater.predict(TEXTS)["rating"], atol=1e-4)
    np.testing.assert_allclose(again.predict(TEXTS)["spread"], rater.predict(TEXTS)["spread"], atol=1e-4)
    assert again.names == rater.names
    assert again.about["settings"] == rater.about["settings"]
    assert (tmp_path / "m" / "moved.safetensors").exists() == (strategy not in ("frozen", "head"))


def test_lora_on_minilm_keeps_no_weight_of_the_base(settings, reviews, tmp_path):
    rater = finetune(reviews(), config=settings("minilm", {"name": "lora", "rank": 2}, batch_size=8))
    folder = rater.save(tmp_path / "m")
    assert sum(f.stat().st_size for f in folder.iterdir()) < 2_000_000  # the base has 90 MB
    assert set(rater.about["parameters"]) == {"moved", "all"}
    assert rater.about["parameters"]["moved"] < 0.02 * rater.about["parameters"]["all"]


def test_another_base_is_refused_by_both_fingerprints(kept, own_base):
    from safetensors.numpy import load_file, save_file

    _, folder = kept
    weights = load_file(own_base / "model.safetensors")
    name = sorted(weights)[0]
    expected = json.loads((folder / "model.json").read_text())["base_sha256"][:12]
    save_file({**weights, name: weights[name] + 1}, own_base / "model.safetensors", metadata={"format": "pt"})
    found = LanguageModel(str(own_base)).source.sha256[:12]
    assert found != expected
    with pytest.raises(MismatchError, match=rf"{expected}….*{found}…") as told:
        load_rater(folder)
    assert str(folder) in str(told.value)


def test_a_base_that_is_gone_is_named(kept, own_base):
    shutil.rmtree(own_base)
    with pytest.raises(EncoderError, match=r"base"):
        load_rater(kept[1])


def test_a_damaged_folder_is_refused_by_the_file(kept):
    _, folder = kept
    (folder / "moved.safetensors").write_bytes(b"no")
    with pytest.raises(StoreError, match=r"moved.safetensors has 2 bytes instead of"):
        load_rater(folder)
    (folder / "moved.safetensors").unlink()
    with pytest.raises(StoreError, match=r"moved.safetensors is missing"):
        load_rater(folder)


def test_a_folder_of_another_kind_is_refused(tmp_path, bases):
    with pytest.raises(StoreError, match="There is no model folder"):
        load_rater(tmp_path / "none")
    with pytest.raises(StoreError, match="is not a model folder: it has no manifest"):
        load_rater(bases["bert"])


def test_somebody_else_s_folder_is_not_written_over(kept, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="exists and is not a model folder"):
        kept[0].save(theirs)
    assert (theirs / "thesis.txt").read_text() == "years of work"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_model_that_is_there_is_replaced(kept):
    rater, folder = kept
    rater.save(folder)
    assert load_rater(folder, device="cpu").names == rater.names


def test_a_model_is_not_kept_where_its_own_base_is(kept, settings, reviews, own_base, tmp_path):
    _, folder = kept
    on_top = finetune(reviews(), config=settings(str(folder), "frozen"))
    for place in (folder, own_base):
        with pytest.raises(ConfigError, match="the model would lose its base"):
            check_base(str(folder), place)
    with pytest.raises(ConfigError, match=r"the model would lose its base. Give another folder"):
        on_top.save(folder)
    check_base(str(folder), tmp_path / "elsewhere")
    check_base("minilm", folder)
    load_rater(on_top.save(tmp_path / "elsewhere"), device="cpu")


def test_the_folder_holds_safetensors_and_json_and_no_path_but_the_base_s(kept, own_base):
    _, folder = kept
    assert {f.name for f in folder.iterdir()} == {
        "manifest.json",
        "model.json",
        "moved.safetensors",
        "head.safetensors",
    }
    document = json.loads((folder / "model.json").read_text())
    assert document["base"] == str(own_base.resolve())
    assert document["strategy"]["name"] == "lora"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["kind"] == "shoal model"
    assert manifest["run"]["task"] == "review"


def test_a_base_given_by_a_relative_path_is_found_from_anywhere(settings, reviews, own_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rater = finetune(reviews(), config=settings("base", "frozen"))
    rater.save("model")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert load_rater("../model", device="cpu").predict(TEXTS).height == 3
