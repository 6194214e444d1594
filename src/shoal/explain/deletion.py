"""Deletion: each event that is cited is checked by leaving it out.

    past without event e --the same models--> score without e;   effect of e = score - score without e

Attention is shown beside the effect, and is no proof of cause. The events that are checked are the user's newest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.explain.edits import subsets
from shoal.tables import ITEM

MOST_EVENTS = 60
"""Newest events that are checked."""
BLOCK = 64

Effect = Callable[[Histories], np.ndarray]
"""Histories -> a number for each (users,): the score of one item, or the strength of one segment."""


def without_each(past: Histories, events: np.ndarray) -> Histories:
    """Return one history for each of `events` (places in `past`, of one user), with that event left out."""
    keep = np.ones((len(events), len(past.items)), bool)
    keep[np.arange(len(events)), events] = False
    return subsets(past, keep)


def in_blocks(effect: Effect, pasts: Histories) -> np.ndarray:
    """Return the effect of each of many pasts (users,), asking about at most `BLOCK` of them at once."""
    rows = np.arange(pasts.n_users)
    parts = [effect(pasts.take(rows[first : first + BLOCK])) for first in range(0, len(rows), BLOCK)]
    return np.concatenate(parts) if parts else np.zeros(0)


def deletion(past: Histories, effect: Effect, attention: np.ndarray | None = None) -> pl.DataFrame:
    """Measure what each event of one user's past carries.

    Parameters
    ----------
    past : Histories
        Of one user.
    effect : callable
        What is to be explained, of any past.
    attention : (1 + events,) float32, optional
        Attention on the newcomer's event and on the newest events.

    Returns
    -------
    polars.DataFrame
        item_row, value, effect (above 0: the event carries what is explained), attention (null where the tower did not
        read the event); strongest first. Empty for a user without a past.
    """
    total = len(past.items)
    events = np.arange(max(0, total - MOST_EVENTS), total)
    effects = np.zeros(len(events))
    if len(events):
        whole = float(effect(past)[0])
        effects = whole - in_blocks(effect, without_each(past, events))
    read = np.full(total, np.nan)
    if attention is not None and total:
        seen = min(total, len(attention) - 1)
        read[total - seen :] = attention[len(attention) - seen :]
    table = pl.DataFrame(
        {
            "item_row": past.items[events].astype(np.int64),
            "value": past.values[events],
            "effect": effects.astype(np.float32),
            "attention": read[events].astype(np.float32),
        }
    )
    return table.with_columns(pl.col("value", "attention").fill_nan(None)).sort(
        "effect", descending=True, maintain_order=True
    )


REASONS = {ITEM: pl.String(), "value": pl.Float32(), "effect": pl.Float32(), "attention": pl.Float32()}
"""The columns of reasons on the way out: the item of the user's event, its rating or count, effect, attention."""
