"""Lookalikes: the users most like a list of users, and how many of them really behave alike on held-out events.

seeds --mean cosine to the nearest of them--> similarity of everyone else
      --held against hidden events: see `shoal.likeness`--> probability of behaving alike, threshold
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.data.ids import Ids
from shoal.errors import ConfigError, NotEnoughDataError
from shoal.learnt import Learnt, sorted_ids
from shoal.likeness import LEAST_EVENTS, LEAST_SEEDS, Calibrated, Check, checked, directions, nearness
from shoal.tables import USER

ALIKE = {USER: pl.String(), "similarity": pl.Float32(), "probability": pl.Float64()}
"""The columns of `Lookalikes.table`."""


@dataclass(frozen=True)
class Lookalikes:
    """Users like a list.

    Attributes
    ----------
    table : polars.DataFrame
        `ALIKE`: user_id, similarity (-1 to 1), probability of behaving alike (null where it could not be calibrated);
        the most similar first; the list itself is left out.
    check : Check or None
        None where the list is too short to be checked.
    """

    table: pl.DataFrame
    check: Check | None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        check = (
            None
            if self.check is None
            else vars(self.check) | {"holds": self.check.holds, "sentence": self.check.sentence()}
        )
        return {"users": self.table.to_dicts(), "check": check}


def lookalikes(learnt: Learnt, seeds: pl.Series, n: int | None = None, *, seed: int = 0) -> Lookalikes:
    """Find the users most like a list of users.

    Parameters
    ----------
    learnt : Learnt
    seeds : polars.Series
        Ids of users of the run. Those whose past has no direction (no events, say) count for nothing.
    n : int, optional
        How many to add. None: all above the smallest similarity from which on the calibrated probability of behaving
        alike is nearer to that of the list than to that of random users; nobody, if held-out events do not show that
        similarity tells anything.
    seed : int
        Of what is hidden and drawn.

    Returns
    -------
    Lookalikes
        A user's similarity is the mean cosine to the nearest `NEAREST` of the list, in the space in which segments
        are made.

    Raises
    ------
    ConfigError
        `n` is below 1.
    NotEnoughDataError
        Fewer than two of the list have a past; or no `n` is given, and fewer than `LEAST_SEEDS` have the events to
        set a threshold by, or everybody is on the list.

    Notes
    -----
    What is hidden is hidden from the user's vector and from the taste of the list, not from the tower's weights, which
    were learnt from the events of all: a figure for users whom the tower never saw may be a little lower. Threshold and
    calibration come from one half of the users checked, their figures from the other, and the other way round.
    """
    if n is not None and n < 1:
        raise ConfigError(f"n = {n}: must be 1 or more. Leave it out for a threshold from held-out events.")
    users = sorted_ids(learnt.data.users, USER)
    pasts = learnt.pasts(learnt.data.interactions, users)
    rows = directions(learnt, pasts)
    listed = np.zeros(len(users), bool)
    listed[users.rows(seeds)] = True
    usable = np.flatnonzero(listed & rows.any(1))
    if len(usable) < 2:
        raise NotEnoughDataError(
            f"{len(usable)} of the {int(listed.sum())} users of the list have a past to be compared by; at least 2 are "
            "needed."
        )
    others = np.flatnonzero(~listed & rows.any(1))
    if not len(others):
        raise NotEnoughDataError("Everybody with a past is on the list: there is nobody to add.")
    similarity = nearness(rows[others], rows[usable])
    found = checked(learnt, pasts, usable, others, seed)
    if found is None and n is None:
        raise NotEnoughDataError(
            f"Fewer than {LEAST_SEEDS} users of the list have {LEAST_EVENTS} events: too few to set a threshold by. "
            "Say how many to add with n (--n), or give a longer list."
        )
    return _told(users, others, similarity, found, n)


def _told(
    users: Ids, others: np.ndarray, similarity: np.ndarray, found: Calibrated | None, n: int | None
) -> Lookalikes:
    order = np.argsort(-similarity, kind="stable")
    if n is not None:
        order = order[:n]
    elif found is not None:
        holds = found.check.added > 0 and found.check.holds
        order = order[similarity[order] >= found.check.threshold] if holds else order[:0]
    probability = np.full(len(order), np.nan)
    if found is not None and len(order):
        probability = np.asarray(found.calibration.predict(similarity[order]), np.float64)
    table = pl.DataFrame(
        {USER: users.take(others[order]), "similarity": similarity[order], "probability": probability}, schema=ALIKE
    )
    table = table.with_columns(pl.col("probability").fill_nan(None))
    return Lookalikes(table, None if found is None else found.check)
