"""The parts that segments are made of once somebody has merged or split them: a tree of centres.

    centre 0 -> segment 0        merge 0 and 2: both lead to segment 0
    centre 1 --+-> segment 1     split 1: the nearest of its children decides, among those whom centre 1 is nearest to
               +-> segment 4
    centre 2 -> segment 0

So a merged segment holds exactly the users of those it was made of, the children of a split one exactly the users of
that one, and nobody else moves, today or later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

SPLIT = -1
"""The segment of a part that has children."""
TOP = -1
"""The parent of a part that has none."""


@dataclass(frozen=True)
class Parts:
    """A tree of centres.

    Attributes
    ----------
    centers : numpy.ndarray
        (parts, width) float32.
    parent : numpy.ndarray
        (parts,) int32: the part that this one is a child of, which stands before it; -1 at the top.
    segment : numpy.ndarray
        (parts,) int32: the segment that the part leads to; -1 for a part that was split. Several may lead to one.
    """

    centers: np.ndarray
    parent: np.ndarray
    segment: np.ndarray

    @classmethod
    def of_segments(cls, centers: np.ndarray, ids: np.ndarray) -> Self:
        """Return the parts of segments that nobody has changed: one each."""
        return cls(centers, np.full(len(ids), TOP, np.int32), ids.astype(np.int32))

    def merged(self, keep: int, gone: list[int]) -> Self:
        """Return the parts after the segments `gone` became a part of `keep`."""
        return replace(self, segment=np.where(np.isin(self.segment, gone), np.int32(keep), self.segment))

    def split(self, segment: int, centers: np.ndarray, ids: list[int]) -> Self:
        """Return the parts after each part of `segment` got children with these centres, which lead to `ids`."""
        found = np.flatnonzero(self.segment == segment)
        old = self.segment.copy()
        old[found] = SPLIT
        return replace(
            self,
            centers=np.concatenate([self.centers, *[centers] * len(found)]).astype(np.float32),
            parent=np.concatenate([self.parent, np.repeat(found, len(ids))]).astype(np.int32),
            segment=np.concatenate([old, np.tile(ids, len(found))]).astype(np.int32),
        )

    def told(self, rows: np.ndarray, temperature: float, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return memberships (users, k) and the place in `ids` of each user's segment (users,).

        The membership in a part is its softmax among its siblings times the membership in their parent; that in a
        segment is the sum over the parts that lead to it. The segment is that of the nearest part, then of its nearest
        child: with several parts to a segment it need not be the one with the largest membership.
        """
        reach = np.zeros((len(rows), len(self.centers)), np.float32)  # (users, parts)
        at = np.full(len(rows), TOP)  # the part that each user has come down to
        for parent in dict.fromkeys(self.parent.tolist()):  # rising, so that parents come before their children
            children = np.flatnonzero(self.parent == parent)
            shares = softmax(rows @ self.centers[children].T, temperature)
            reach[:, children] = shares if parent == TOP else shares * reach[:, [parent]]
            here = at == parent
            at[here] = children[shares[here].argmax(axis=1)]
        leads = self.segment[:, None] == ids  # (parts, k)
        return reach @ leads.astype(np.float32), leads[at].argmax(axis=1)


def softmax(cosines: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of each row of `cosines` at a temperature, (users, k)."""
    powers = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / np.float32(temperature))
    return powers / powers.sum(axis=1, keepdims=True)
