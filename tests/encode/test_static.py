import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from shoal.config import Encode
from shoal.encode import distil as distilling
from shoal.encode.cache import encode_cached
from shoal.encode.compare import neighbours_kept
from shoal.encode.distil import distil
from shoal.encode.lm import LanguageModel
from shoal.encode.open import open_encoder
from shoal.encode.static import StaticEncoder, means_of
from shoal.errors import ConfigError, EncoderError
from shoal.progress import Progress
from shoal.protocols import Encoder


class Heard(Progress):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)

    def warn(self, line):
        self.lines.append(f"warning: {line}")


@pytest.fixture(scope="module")
def teacher(tiny):
    return LanguageModel(str(tiny["bert"]), precision="float32", device="cpu")


@pytest.fixture(scope="module")
def folder(teacher, sentences, tmp_path_factory):
    where = tmp_path_factory.mktemp("static") / "bert"
    distil(teacher, where, sentences, width=16)
    return where


def test_a_text_is_the_mean_of_its_tokens_at_length_one(folder):
    encoder = StaticEncoder(str(folder))
    ids = [encoder.tokenizer.token_to_id(word) for word in "aab"]
    mean = encoder.table[ids].mean(0)
    np.testing.assert_allclose(encoder.encode(["a a b"])[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert encoder.encode(["a b"]).dtype == np.float32


def test_order_counts_for_nothing_and_other_texts_neither(folder, sentences):
    encoder = StaticEncoder(str(folder))
    vectors = encoder.encode(sentences)
    np.testing.assert_allclose(encoder.encode([" ".join(s.split()[::-1]) for s in sentences]), vectors, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(sentences[7:8])[0], vectors[7], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors[1:], axis=1), 1, atol=1e-5)


def test_unknown_words_say_nothing_and_nothing_is_a_row_of_zeros(folder):
    encoder = StaticEncoder(str(folder))
    vectors = encoder.encode(["a zebra", "a", "", "zebra", "[SEP]"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert not vectors[2:].any()
    assert encoder.encode([]).shape == (0, 16)


def test_long_texts_are_cut_and_counted(folder):
    encoder = StaticEncoder(str(folder), max_tokens=2)
    vectors = encoder.encode(["a b c d", "a b"])
    assert encoder.truncated == 1
    np.testing.assert_allclose(vectors[0], vectors[1])
    assert encoder.count_tokens(["a b c d", ""]).tolist() == [4, 0]


def test_model2vec_reads_the_folder_and_gives_the_same_vectors(folder, sentences):
    model2vec = pytest.importorskip("model2vec")
    theirs = model2vec.StaticModel.from_pretrained(folder).encode(sentences)
    np.testing.assert_allclose(StaticEncoder(str(folder)).encode(sentences), theirs, atol=2e-3)  # theirs in float16


def test_weights_and_shared_vectors_of_model2vec_are_understood(folder, tmp_path):
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    table = load_file(folder / "model.safetensors")["embeddings"].astype(np.float32)
    mapping, weights = np.arange(len(table)) // 2, np.linspace(1, 2, len(table)).astype(np.float32)
    save_file({"embeddings": table[: len(table) // 2 + 1], "mapping": mapping, "weights": weights},
              tmp_path / "model.safetensors")  # fmt: skip
    made = StaticEncoder(str(tmp_path)).table
    np.testing.assert_allclose(made, table[mapping] * weights[:, None], atol=1e-6)


def test_what_distillation_lost_is_measured_on_texts_that_were_not_learnt_from(teacher, sentences, tmp_path):
    heard = Heard()
    encoder = distil(teacher, tmp_path / "made", sentences, width=16, progress=heard)
    loss = encoder.describe()["loss"]
    distinct = set(sentences) - {""}
    assert loss["texts"] == len(distinct) // 5
    assert loss["learnt_from"] == len(distinct) - loss["texts"]
    assert 0 < loss["neighbours_kept"] < 1
    assert heard.lines == [
        f"static  of the 10 nearest of {loss['texts']} texts {loss['neighbours_kept']:.0%} are kept; "
        f"cosines of pairs correlate {loss['correlation']:.2f} with those of {teacher.name}"
    ]


def test_learning_from_texts_loses_less_than_tokens_alone(teacher, sentences, tmp_path):
    learnt, held = distilling._parted(sentences)
    theirs = teacher.encode(held)
    kept = [
        neighbours_kept(theirs, distil(teacher, tmp_path / name, texts, width=32).encode(held))
        for name, texts in (("alone", None), ("learnt", learnt))
    ]
    assert kept[1] > kept[0] + 0.05
    assert StaticEncoder(str(tmp_path / "alone")).loss is None


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_decoders_can_be_distilled_too(tiny, sentences, tmp_path, name):
    lm = LanguageModel(str(tiny[name]), precision="float32", device="cpu")
    encoder = distil(lm, tmp_path / name, sentences[:60], width=8)
    assert np.isfinite(encoder.encode(sentences)).all()
    assert encoder.width == 8


def test_the_same_texts_give_the_same_folder(teacher, sentences, tmp_path):
    one = distil(teacher, tmp_path / "one", sentences[:60], width=8)
    two = distil(teacher, tmp_path / "two", sentences[59::-1], width=8)
    assert one.fingerprint == two.fingerprint
    assert distil(teacher, tmp_path / "three", sentences[:50], width=8).fingerprint != one.fingerprint


def test_the_fitted_table_solves_the_ridge_equations():
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 12, size=rng.integers(0, 9)).tolist() for _ in range(50)]
    means, start = means_of(ids, 14), rng.normal(size=(14, 3)).astype(np.float32)
    target = rng.normal(size=(50, 3)).astype(np.float32)
    a = means.toarray().astype(np.float64)
    start64 = start * ((a @ start) * target).sum() / ((a @ start) ** 2).sum()
    ridge = distilling.RIDGE * np.eye(14)
    expected = start64 + np.linalg.solve(a.T @ a + ridge, a.T @ (target - a @ start64))
    np.testing.assert_allclose(distilling._fitted(means, target, start), expected, atol=1e-3)


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=8))
def test_means_are_means(ids):
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    means = means_of(ids, 6) @ table
    for one, mean in zip(ids, means, strict=True):
        np.testing.assert_allclose(mean, table[one].mean(0) if one else 0, rtol=1e-5)


def test_the_settings_open_a_static_folder_and_its_vectors_are_cached(folder, sentences, tmp_path):
    encoder = open_encoder(Encode(encoder=str(folder)))
    assert isinstance(encoder, StaticEncoder)
    assert isinstance(encoder, Encoder)
    vectors = encode_cached(encoder, sentences, template_version="t", folder=tmp_path)
    np.testing.assert_allclose(vectors, encoder.encode(sentences), atol=1e-6)
    assert json.loads(json.dumps(encoder.describe()))["fingerprint"] == encoder.fingerprint
    assert open_encoder(Encode(encoder=str(folder), max_tokens=9)).fingerprint != encoder.fingerprint


@pytest.mark.parametrize("how", [{"engine": "openvino"}, {"pooling": "cls"}, {"precision": "float32"}])
def test_settings_that_static_vectors_do_not_have_are_refused(folder, how):
    (name,) = how
    with pytest.raises(
        ConfigError, match=rf"encode\.{name} = .* static vectors, which have no choice of {name}\. Leave"
    ):
        open_encoder(Encode(encoder=str(folder), **how))


def test_what_cannot_be_distilled_or_read_is_told(teacher, tiny, folder, tmp_path):
    with pytest.raises(ConfigError, match="width = 33: must be 1 to 32"):
        distil(teacher, tmp_path / "x", width=33)
    with pytest.raises(EncoderError, match=r"is there already\. Give a new folder"):
        distil(teacher, folder)
    with pytest.raises(EncoderError, match=r"holds no static vectors: its config\.json does not say model2vec"):
        StaticEncoder(str(tiny["bert"]))
    with pytest.raises(ConfigError, match="max_tokens = 0"):
        StaticEncoder(str(folder), max_tokens=0)
    heard = Heard()
    distil(teacher, tmp_path / "few", ["a", "b c"], progress=heard, width=4)
    assert "too few to measure" in heard.lines[0]
    assert not list(tmp_path.glob(".*.part"))


def test_a_table_that_does_not_belong_to_the_tokenizer_is_refused(folder, tmp_path):
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    save_file({"embeddings": np.zeros((3, 4), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match="25 tokens and 3 vectors"):
        StaticEncoder(str(tmp_path)).encode(["a"])
    save_file({"other": np.zeros((3, 4), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match="holds no table of vectors"):
        StaticEncoder(str(tmp_path)).encode(["a"])
