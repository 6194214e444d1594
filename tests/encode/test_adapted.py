"""A fine-tuned folder is an encoder like any other: found by path, on its base, with a fingerprint of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from shoal.encode.adapt import Adapted, adapt, moved
from shoal.encode.adapted import is_adapted, open_adapted
from shoal.encode.lm import LanguageModel
from shoal.encode.source import find
from shoal.encode.strategy import STRATEGIES, LoRA
from shoal.errors import MismatchError, StoreError
from shoal.store import artifacts

TEXTS = ["a b c", "d e", ""]


@pytest.fixture
def write(tiny, tmp_path):
    """Return a writer of a tuned folder: random steps away from its base, with the vectors that it should give."""

    def make(base, strategy, *, projection=None, name="tuned", pooling="mean"):
        lm = LanguageModel(str(base), precision="float32", device="cpu", pooling=pooling, max_tokens=20)
        model: Adapted = adapt(lm.model, strategy, width=lm.width)
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in model.model.parameters():
                if p.requires_grad:
                    p.add_(0.05 * torch.randn(p.shape, generator=rng))
        tensors = {"moved": moved(model.model)}
        if projection is not None:
            tensors["projection"] = {"weight": projection}
        document = {
            "base": str(base), "base_sha256": lm.source.sha256, "strategy": strategy.model_dump(mode="json"),
            "pooling": pooling, "max_tokens": 20, "head": None,
        }  # fmt: skip
        folder = tmp_path / name
        artifacts.save(
            folder,
            tensors={k: v for k, v in tensors.items() if v},
            documents={"model": document},
            manifest={"task": "words"},
            kind=artifacts.MODEL,
        )
        model.model.eval()
        return folder, lm, lm.encode(TEXTS)  # what moves was put into its own model

    return make


def read(folder, **how):
    return LanguageModel(str(folder), precision="float32", device="cpu", max_tokens=20, **how)


@pytest.mark.parametrize("base", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_tuned_folder_gives_the_vectors_of_the_tuned_model(tiny, write, base, name):
    folder, _, vectors = write(tiny[base], STRATEGIES[name](), pooling="cls" if base == "bert" else "last")
    np.testing.assert_allclose(read(folder).encode(TEXTS), vectors, atol=2e-5)
    assert read(folder).pooling == ("cls" if base == "bert" else "last")  # as it was trained
    assert find(str(folder)).adaptations[0].strategy.name == name


def test_a_map_after_pooling_is_applied(tiny, write):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0].astype(np.float32)
    plain, _, vectors = write(tiny["bert"], STRATEGIES["head"]())
    folder, *_ = write(tiny["bert"], STRATEGIES["head"](), projection=turn, name="turned")
    np.testing.assert_allclose(read(folder).encode(TEXTS), vectors @ turn.T, atol=1e-5)
    assert read(folder).fingerprint != read(plain).fingerprint


def test_a_fingerprint_is_neither_the_base_s_nor_another_tuning_s(tiny, write):
    folder, lm, _ = write(tiny["bert"], LoRA(rank=2))
    other, *_ = write(tiny["bert"], LoRA(rank=3), name="other")
    prints = {lm.fingerprint, read(folder, pooling="mean").fingerprint, read(other, pooling="mean").fingerprint}
    assert len(prints) == 3
    assert read(folder).fingerprint == read(folder).fingerprint


def test_a_tuned_model_on_a_tuned_model_has_both(tiny, write):
    first, *_ = write(tiny["gpt2"], STRATEGIES["full"](), name="first")
    second, _, vectors = write(first, LoRA(rank=2), name="second")
    np.testing.assert_allclose(read(second).encode(TEXTS), vectors, atol=2e-5)
    assert [one.strategy.name for one in find(str(second)).adaptations] == ["full", "lora"]
    assert find(str(second)).folder == tiny["gpt2"]


def test_another_base_is_refused_by_both_fingerprints(tiny, write):
    folder, lm, _ = write(tiny["bert"], LoRA(rank=2))
    said = json.loads((folder / "model.json").read_text())
    said["base"] = str(tiny["gpt2"])
    artifacts.save(folder, tensors=artifacts.load(folder, artifacts.MODEL).tensors, documents={"model": said},
                   manifest={}, kind=artifacts.MODEL)  # fmt: skip
    ours, theirs = lm.source.sha256[:12], find(str(tiny["gpt2"])).sha256[:12]
    with pytest.raises(MismatchError, match=rf"SHA-256 {ours}….*has {theirs}….*Give it back its base"):
        find(str(folder))


def test_a_damaged_folder_is_refused_before_its_base_is_read(tiny, write):
    folder, *_ = write(tiny["bert"], LoRA(rank=2))
    (folder / "moved.safetensors").write_bytes(b"")
    with pytest.raises(StoreError, match=r"moved.safetensors has 0 bytes"):
        read(folder).encode(TEXTS)


def test_only_a_model_folder_is_one(tiny, write, tmp_path):
    folder, *_ = write(tiny["bert"], LoRA(rank=2))
    assert is_adapted(folder)
    assert not is_adapted(tiny["bert"])
    assert not is_adapted(tmp_path / "none")
    made = open_adapted(folder)
    assert (made.base, made.max_tokens, made.strategy) == (str(tiny["bert"]), 20, LoRA(rank=2))
    artifacts.save(tmp_path / "run", manifest={})
    assert not is_adapted(tmp_path / "run")
