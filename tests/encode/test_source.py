import json
import shutil

import huggingface_hub
import pytest

from shoal.encode import source
from shoal.encode.source import find, sha256_of
from shoal.errors import EncoderError


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a model; nothing here loads it."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "tokenizer.json").write_text("{}")
    return path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty hub cache, and a network that is down."""

    def cached(name, **how):
        assert how.get("local_files_only"), "the download itself must not be tried where the hub does not answer"
        raise huggingface_hub.errors.LocalEntryNotFoundError("not here")

    def down(self, name, timeout):
        assert timeout <= 10
        raise OSError("[Errno -2] Name or service not known\nmore lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", down)
    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: False)


def test_minilm_is_the_packaged_model_with_the_pinned_weights():
    found = find("minilm")
    assert found.width == 384
    assert found.pooling == "mean"
    assert found.weights_sha256 == source.MINILM_SHA256
    assert found.left_out == []


def test_minilm_with_other_weights_is_refused(monkeypatch):
    monkeypatch.setattr(source, "MINILM_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match=r"SHA-256 53aa51172d14…, not 000000000000….*--force-reinstall"):
        find("minilm")


def test_minilm_that_is_not_installed_names_the_command(monkeypatch):
    monkeypatch.setattr(source, "MINILM_PACKAGE", "no-such-package-here")
    with pytest.raises(EncoderError, match="pip install no-such-package-here"):
        find("minilm")


def test_a_folder_is_found_by_its_path(folder):
    assert find(str(folder)).config["model_type"] == "bert"


def test_a_folder_without_config_is_no_model(tmp_path):
    with pytest.raises(EncoderError, match=r"is no language model: it has no config.json"):
        find(str(tmp_path))


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"only pickled weights \(pytorch_model.bin\), which could run code"):
        find(str(folder))


def test_a_missing_part_of_the_weights_is_seen(folder):
    (folder / "model.safetensors").unlink()
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (folder / parts["a"]).write_bytes(b"half")
    with pytest.raises(EncoderError, match="no whole set of weights"):
        find(str(folder))
    (folder / parts["b"]).write_bytes(b"other half")
    assert len(find(str(folder)).weights_sha256) == 64


def test_the_hash_follows_weights_configuration_and_tokenizer_but_not_the_readme(folder):
    first = find(str(folder)).sha256
    (folder / "README.md").write_text("words")
    assert find(str(folder)).sha256 == first
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        with (folder / name).open("a") as file:
            file.write(" ")
        assert find(str(folder)).sha256 != first
        first = find(str(folder)).sha256


def test_a_damaged_config_is_told(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(EncoderError, match=r"is damaged: config.json cannot be read"):
        _ = find(str(folder)).width


def test_steps_that_are_not_taken_are_named(folder):
    steps = ["Transformer", "Pooling", "Dense", "Normalize"]
    modules = [{"path": f"{i}_{s}", "type": f"sentence_transformers.models.{s}"} for i, s in enumerate(steps)]
    (folder / "modules.json").write_text(json.dumps(modules))
    assert find(str(folder)).left_out == ["Dense"]


@pytest.mark.parametrize("name", ["/no/such/folder", "./models/mine", "a/b/c", "two words", "", "../x"])
def test_what_is_neither_folder_nor_hub_name_is_told_without_asking_the_hub(name, offline, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(EncoderError, match="it is no hub name either"):
        find(name)


def test_a_hub_that_does_not_answer_is_told_in_one_line(offline):
    with pytest.raises(EncoderError) as error:
        find("nobody/nothing")
    assert str(error.value) == (
        "The language model nobody/nothing is not on this machine, and the hub cannot be reached "
        "([Errno -2] Name or service not known). Give minilm, which comes with the install, or the folder of a "
        "downloaded model."
    )


def test_a_name_that_is_nearly_minilm_is_seen(offline):
    with pytest.raises(EncoderError, match=r"Did you mean minilm\?"):
        find("mini-lm")


def test_offline_mode_does_not_ask(offline, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: True)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", None)
    with pytest.raises(EncoderError, match="HF_HUB_OFFLINE is set"):
        find("nobody/nothing")


def test_a_model_in_the_hub_cache_needs_no_network(offline, monkeypatch, folder):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **how: str(folder))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", None)
    assert find("somebody/something").folder == folder


def test_a_download_that_was_cut_short_is_taken_up_again(offline, monkeypatch, folder, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(folder, half)
    (half / "model.safetensors").unlink()
    asked = []

    def download(name, **how):
        asked.append(how)
        return str(half if how.get("local_files_only") else folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, name, timeout: None)
    assert find("somebody/something").folder == folder
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in asked[1]["allow_patterns"])


@pytest.mark.parametrize(
    ("kind", "message"),
    [("RepositoryNotFoundError", "There is no language model"), ("GatedRepoError", "asks for a login")],
)
def test_the_hubs_answer_is_told_as_it_is(offline, monkeypatch, kind, message):
    error = getattr(huggingface_hub.errors, kind)

    def answer(self, name, timeout):
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", answer)
    with pytest.raises(EncoderError, match=message):
        find("somebody/something")


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_of(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
