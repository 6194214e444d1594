"""Vectors on disk by content: a text is encoded once, however often it occurs and however often a run is repeated.

    <folder>/<encoder fingerprint>-<template version>/<hash of its keys>.safetensors
        keys     (texts, 32)     uint8    SHA-256 of each text
        vectors  (texts, width)  float32

A shard is written whole or not at all, and is named by what it holds, so that two processes at once do no harm. A
shard that is damaged is thrown away and its texts are encoded again. The cache is a help: where it cannot be written,
encoding goes on without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from shoal.progress import Progress
from shoal.protocols import Encoder

SHARD_TEXTS = 2_000
SHARD_SECONDS = 10.0
"""A shard is written after so many new texts or seconds: what an interruption can cost."""
MANY_SHARDS = 16
"""Above so many small shards they are made one."""
SMALL_TEXTS = 32_768
"""A shard with fewer texts is small."""
CALL_CHARACTERS = 16_384
"""Characters in one call of the encoder, as if all were as long as the longest: short enough for a bar that moves.

Never a matter of time: in bfloat16 a vector depends a little on the texts beside it in the batch, and the same texts
must give the same vectors again.
"""


def default_folder() -> Path:
    """Return the cache folder: $SHOAL_CACHE, else shoal in $XDG_CACHE_HOME, else ~/.cache/shoal."""
    if os.environ.get("SHOAL_CACHE"):
        return Path(os.environ["SHOAL_CACHE"]).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "shoal"


def encode_cached(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    template_version: str,
    folder: Path | None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return (texts, width) float32, asking the encoder only for texts that it has not encoded before.

    Parameters
    ----------
    encoder : Encoder
        Its `fingerprint` and `width` are read; `encode` is called only if a text is new.
    texts : sequence of str
        May repeat and may be empty.
    template_version : str
        See `shoal.text.render.Texts`; another version, other vectors.
    folder : Path or None
        Where vectors are kept, such as `default_folder()`; None keeps nothing.
    progress : Progress, optional
        Told of new texts alone.
    """
    told = progress or Progress()
    keys, first, inverse = _distinct(texts)
    vectors = np.zeros((len(keys), encoder.width), np.float32)
    store = None if folder is None else _Store(folder, encoder, template_version, told)
    known = store.read(keys, vectors) if store else np.zeros(len(keys), bool)
    missing = {row: texts[first[row]] for row in np.flatnonzero(~known).tolist()}
    if missing:
        _encode_missing(encoder, missing, keys, vectors, store, told)
    return vectors[inverse]


def _distinct(texts: Sequence[str]) -> tuple[list[bytes], list[int], np.ndarray]:
    """Return the keys of the distinct texts, where each stands first, and for each text the row of its key."""
    rows: dict[bytes, int] = {}
    inverse = [rows.setdefault(hashlib.sha256(text.encode()).digest(), len(rows)) for text in texts]
    first = np.unique(np.array(inverse, dtype=np.int64), return_index=True)[1]
    return list(rows), first.tolist(), np.array(inverse, dtype=np.int64)


def _encode_missing(
    encoder: Encoder,
    missing: dict[int, str],
    keys: list[bytes],
    vectors: np.ndarray,
    store: _Store | None,
    told: Progress,
) -> None:
    # Longest first, as the encoder itself would: little padding, and the time left is not told too low.
    rows = sorted(missing, key=lambda row: (-len(missing[row]), row))
    with told.task("encode", len(rows), "texts") as task:
        pending: list[int] = []
        written = time.monotonic()
        cut = 0
        try:
            for part in _parts(rows, [len(missing[row]) for row in rows]):
                vectors[part] = encoder.encode([missing[row] for row in part])
                task.advance(len(part))
                cut += getattr(encoder, "truncated", 0)
                pending += part
                if len(pending) >= SHARD_TEXTS or time.monotonic() - written >= SHARD_SECONDS:
                    pending, written = _flush(store, keys, vectors, pending), time.monotonic()
        finally:
            _flush(store, keys, vectors, pending)
    if cut:
        limit = getattr(encoder, "max_tokens", "the most")
        told.log(f"encode  {cut:,} of {len(rows):,} texts are longer than {limit} tokens and were cut")
    if store:
        store.tidy()


def _parts(rows: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """Yield rows, whose texts stand longest first, in parts of CALL_CHARACTERS."""
    start = 0
    while start < len(rows):
        size = min(max(1, CALL_CHARACTERS // max(1, lengths[start])), SHARD_TEXTS)
        yield rows[start : start + size]
        start += size


def _flush(store: _Store | None, keys: list[bytes], vectors: np.ndarray, rows: list[int]) -> list[int]:
    if store and rows:
        store.write([keys[row] for row in rows], vectors[rows])
    return []


class _Store:
    """The shards of one encoder and template version."""

    def __init__(self, folder: Path, encoder: Encoder, template_version: str, told: Progress) -> None:
        name = re.sub(r"[^\w.-]", "_", f"{encoder.fingerprint}-{template_version}")
        self.folder, self.width, self.told = Path(folder) / name, encoder.width, told
        self.writes = True

    def shards(self) -> list[Path]:
        try:
            return sorted(self.folder.glob("*.safetensors"))
        except OSError:
            return []

    def read(self, keys: list[bytes], vectors: np.ndarray) -> np.ndarray:
        """Fill the rows of `vectors` that are on disk; return which, (keys,) bool."""
        wanted = {key: row for row, key in enumerate(keys)}
        known = np.zeros(len(keys), bool)
        for path in self.shards():
            found = self._load(path)
            if found is None:
                continue
            there = np.array([wanted.get(key, -1) for key in _split(found[0])], dtype=np.int64)
            hit = there >= 0
            vectors[there[hit]] = found[1][hit]
            known[there[hit]] = True
        return known

    def write(self, keys: list[bytes], vectors: np.ndarray) -> Path | None:
        """Write one shard; None where the disk does not let us, which is said once."""
        if not self.writes:
            return None
        from safetensors.numpy import save

        table = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 32)
        vectors = np.ascontiguousarray(vectors, np.float32)
        data = save({"keys": table, "vectors": vectors}, {"sha256": _sha256(table, vectors)})
        path = self.folder / f"{hashlib.sha256(table.tobytes()).hexdigest()[:32]}.safetensors"
        part = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            os.replace(part, path)
        except OSError as error:
            self.writes = False
            self.told.warn(f"the cache {self.folder} cannot be written ({error.strerror}); encoding goes on without it")
            return None
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        return path

    def tidy(self) -> None:
        """Make one shard of many small ones; what it holds is on disk before an old one goes."""
        self._sweep()
        small = [(path, found) for path in self._small() if (found := self._load(path)) is not None]
        if len(small) <= MANY_SHARDS:
            return
        rows = {key: vector for _, (keys, vectors) in small for key, vector in zip(_split(keys), vectors, strict=True)}
        whole = self.write(sorted(rows), np.stack([rows[key] for key in sorted(rows)]))
        if whole is None:
            return
        for path, _ in small:
            if path != whole:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what processes that were killed while writing have left, an hour ago or more."""
        for part in self.folder.glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > 3600:
                    part.unlink()

    def _small(self) -> list[Path]:
        paths = self.shards()
        if len(paths) <= MANY_SHARDS:
            return []
        limit, small = SMALL_TEXTS * (32 + 4 * self.width), []
        for path in paths:
            with contextlib.suppress(OSError):  # another process may tidy up at the same time
                if path.stat().st_size < limit:
                    small.append(path)
        return small

    def _load(self, path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        """Return keys and vectors of a shard; None where it is damaged (it is removed) or gone."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as shard:
                keys, vectors = shard.get_tensor("keys"), shard.get_tensor("vectors")
                hashed = (shard.metadata() or {}).get("sha256")
        except FileNotFoundError:  # another process has tidied up
            return None
        except OSError as error:
            self.told.warn(f"{path} cannot be read ({error.strerror}); its texts are encoded again")
            return None
        except (SafetensorError, ValueError):
            keys = vectors = hashed = None
        if keys is not None and self._fits(keys, vectors) and hashed == _sha256(keys, vectors):
            return keys, vectors
        self.told.warn(f"{path} is damaged; its texts are encoded again")
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return None

    def _fits(self, keys: np.ndarray, vectors: np.ndarray) -> bool:
        shaped = keys.shape == (len(vectors), 32) and vectors.shape[1:] == (self.width,)
        return shaped and keys.dtype == np.uint8 and vectors.dtype == np.float32


def _split(keys: np.ndarray) -> list[bytes]:
    data = keys.tobytes()
    return [data[i : i + 32] for i in range(0, len(data), 32)]


def _sha256(keys: np.ndarray, vectors: np.ndarray) -> str:
    digest = hashlib.sha256(keys.tobytes())
    digest.update(np.ascontiguousarray(vectors).reshape(-1).data)
    return digest.hexdigest()
