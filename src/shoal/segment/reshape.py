"""Segments merged and split in their frozen space: nobody moves but those whom the change is about.

An id that died is never given again: a merge keeps the lowest id, a split keeps the id for the largest child.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from shoal.errors import NotEnoughDataError
from shoal.seeding import generator
from shoal.segment.parts import Parts
from shoal.segment.segmentation import Segmentation
from shoal.segment.spherical import cluster, unit


def merge(segmentation: Segmentation, segments: list[int], sizes: Mapping[int, int]) -> Segmentation:
    """Make one segment of several, under the lowest id.

    Parameters
    ----------
    segmentation : Segmentation
    segments : list of int
        Two or more ids.
    sizes : mapping of int to int
        Users of each; the merged centre is the mean direction of their centres, weighted by them. It tells where the
        segment lies; users are placed by the parts, so that the merged segment has exactly the users of those it was
        made of.
    """
    keep, *gone = sorted(segments)
    rows = [segmentation.column(s) for s in (keep, *gone)]
    weights = np.array([sizes.get(s, 0) for s in (keep, *gone)], np.float32)[:, None]
    mean = (segmentation.centers[rows] * weights).sum(axis=0, keepdims=True)
    centers = segmentation.centers.copy()
    if np.linalg.norm(mean) > 1e-6 * weights.sum():  # else they cancel out, and the lowest keeps its own
        centers[rows[0]] = unit(mean)[0]
    left = ~np.isin(segmentation.ids, gone)
    return replace(
        segmentation,
        centers=centers[left],
        ids=segmentation.ids[left],
        parts=_parts(segmentation).merged(keep, gone),
    )


def split(
    segmentation: Segmentation, segment: int, vectors: np.ndarray, new_ids: list[int], *, seed: int
) -> Segmentation:
    """Make several segments of one, by clustering its users again.

    Parameters
    ----------
    segmentation : Segmentation
    segment : int
    vectors : numpy.ndarray
        (users, width) of the users whom the segmentation places in `segment`.
    new_ids : list of int
        Ids for all children but the largest, which keeps the id of the segment.
    seed : int
        Same seed, same children.

    Raises
    ------
    NotEnoughDataError
        There are fewer users, or fewer different ones, than children.
    """
    ids = [segment, *new_ids]
    rows = segmentation.directions(vectors)
    found = cluster(rows, len(ids), generator(seed, "split", segment), n_init=10) if len(rows) >= len(ids) else None
    used = 0 if found is None else int(found.labels.max()) + 1
    if found is None or used < len(ids):
        different = f", {used} of them different" if used else ""
        raise NotEnoughDataError(
            f"Segment {segment} cannot be split into {len(ids)}: it has {len(rows):,} placed users{different}."
        )
    centers = segmentation.centers.copy()
    centers[segmentation.column(segment)] = found.centers[0]
    order = np.argsort(np.concatenate([segmentation.ids, new_ids]), kind="stable")
    return replace(
        segmentation,
        centers=np.concatenate([centers, found.centers[1:]])[order].astype(np.float32),
        ids=np.concatenate([segmentation.ids, new_ids])[order].astype(np.int32),
        parts=_parts(segmentation).split(segment, found.centers, ids),
    )


def _parts(segmentation: Segmentation) -> Parts:
    return segmentation.parts or Parts.of_segments(segmentation.centers, segmentation.ids)
