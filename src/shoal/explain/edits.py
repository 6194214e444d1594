"""One user's past, changed: events left out, events added.

past (1 user) --> pasts (n users), each the same past with another change
"""

from __future__ import annotations

import numpy as np

from shoal.data.histories import Histories


def subsets(past: Histories, keep: np.ndarray) -> Histories:
    """Return one history for each row of `keep` (n, events): the events of `past`, of one user, that it keeps."""
    n, total = keep.shape
    index = np.broadcast_to(np.arange(total), keep.shape)[keep]
    starts = np.concatenate([[0], np.cumsum(keep.sum(1))])
    traits = None if past.traits is None else np.repeat(past.traits, n, axis=0)
    return Histories(starts, past.items[index], past.values[index], past.times[index], past.n_items, traits)


def with_each(past: Histories, items: np.ndarray, values: np.ndarray) -> Histories:
    """Return one history for each of `items` (n,): the past of one user, and that item as its newest event.

    The new event has the value given for it, (n,), and the time of the newest event that is there.
    """
    n, total = len(items), len(past.items)
    starts = np.arange(n + 1) * (total + 1)
    newest = past.times[-1] if total else np.nan

    def joined(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.concatenate([np.tile(old, (n, 1)), new[:, None].astype(old.dtype)], axis=1).ravel()

    traits = None if past.traits is None else np.repeat(past.traits, n, axis=0)
    return Histories(
        starts,
        joined(past.items, items),
        joined(past.values, values),
        joined(past.times, np.full(n, newest)),
        past.n_items,
        traits,
    )
