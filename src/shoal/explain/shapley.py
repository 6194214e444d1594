"""Shapley values of events: what each carries on average over all orders in which a past could have come about.

value of e = mean over orders of (score with e and those before it - score with those before it)

Orders are drawn, each together with its reverse, which takes out part of the noise. Whatever is drawn, the values add
up to the score of the past less the score without the events.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.errors import ConfigError
from shoal.explain.deletion import MOST_EVENTS, Effect, in_blocks
from shoal.explain.edits import subsets
from shoal.tables import ITEM

SHAPLEY = {ITEM: pl.String(), "value": pl.Float32(), "shapley": pl.Float64(), "error": pl.Float64()}
"""The columns on the way out: the item of the user's event, its rating or count, its Shapley value, standard error."""


def shapley(
    past: Histories, effect: Effect, rng: np.random.Generator, *, pairs: int = 16, most: int = MOST_EVENTS
) -> pl.DataFrame:
    """Estimate the Shapley value [1]_ of each of the newest events by sampling orders [2]_.

    Parameters
    ----------
    past : Histories
        Of one user.
    effect : callable
        What is to be explained, of any past.
    rng : numpy.random.Generator
    pairs : int
        Pairs of an order and its reverse, 2 or more: the effect is asked 2 x pairs x events times.
    most : int
        Newest events that have a value; older ones are always there.

    Returns
    -------
    polars.DataFrame
        item_row, value (rating or count, null for none), shapley, error (standard error over pairs of orders, of the
        sampling alone); strongest first. Empty for a user without a past.

    Raises
    ------
    ConfigError
        There are fewer than 2 pairs.

    References
    ----------
    .. [1] Shapley, "A value for n-person games", 1953.
    .. [2] Mitchell, Cooper, Frank and Holmes, "Sampling permutations for Shapley value estimation", JMLR 23, 2022.
    """
    if pairs < 2:
        raise ConfigError(f"pairs = {pairs}: a standard error needs at least 2 pairs of orders; 16 do well.")
    total = len(past.items)
    events = np.arange(max(0, total - most), total)
    n = len(events)
    values, errors = np.zeros(n), np.zeros(n)
    if n:
        ends = np.ones((2, total), bool)
        ends[1, events] = False
        full, empty = (float(x) for x in in_blocks(effect, subsets(past, ends)))
        orders = [rng.permutation(n) for _ in range(pairs)]
        found = np.stack(
            [
                (_gains(past, effect, events, o, full, empty) + _gains(past, effect, events, o[::-1], full, empty)) / 2
                for o in orders
            ]
        )
        values, errors = found.mean(0), found.std(0, ddof=1) / np.sqrt(pairs)
    table = pl.DataFrame(
        {
            "item_row": past.items[events].astype(np.int64),
            "value": past.values[events],
            "shapley": values,
            "error": errors,
        }
    )
    return table.with_columns(pl.col("value").fill_nan(None)).sort("shapley", descending=True, maintain_order=True)


def _gains(
    past: Histories, effect: Effect, events: np.ndarray, order: np.ndarray, full: float, empty: float
) -> np.ndarray:
    """Return what each event adds when they come in this order, (events,)."""
    n = len(events)
    keep = np.ones((max(n - 1, 0), len(past.items)), bool)
    keep[:, events[order]] = np.tri(n)[: n - 1].astype(bool)  # row i holds the first i + 1 events of the order
    scores = np.concatenate([[empty], in_blocks(effect, subsets(past, keep)), [full]])
    gains = np.empty(n)
    gains[order] = np.diff(scores)
    return gains
