"""Faithfulness: do the events that are cited carry more than others, over many users?

drop of the score without the cited events - mean drop without as many others drawn at random, user by user
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.errors import NotEnoughDataError
from shoal.evaluate.bootstrap import percentiles, resample
from shoal.explain.deletion import MOST_EVENTS, Effect, deletion, in_blocks
from shoal.explain.edits import subsets
from shoal.tables import USER

CITED = 3
RANDOM = 10  # draws of events for each user

FAITHFUL = {
    USER: pl.String(),
    "cited": pl.Float64(),
    "random": pl.Float64(),
    "attention": pl.Float64(),
    "events": pl.Int64(),
}
"""The columns of `Faithfulness.table`."""


@dataclass(frozen=True)
class Faithfulness:
    """How much more the score falls without the cited events than without random ones.

    Attributes
    ----------
    table : polars.DataFrame
        `FAITHFUL`: user_id, how far the score falls without the events cited, without as many random ones (a mean over
        draws), and without those that attention weighs most; events that could be left out.
    cited, random, attention : float
        Means over users.
    low, high : float
        95 % bootstrap interval, over users, of the mean of cited - random.
    attention_low, attention_high : float
        The same of attention - random.
    share : float
        Share of users whose score falls more without the cited events.
    events : int
        How many are cited.
    """

    table: pl.DataFrame
    cited: float
    random: float
    attention: float
    low: float
    high: float
    attention_low: float
    attention_high: float
    share: float
    events: int

    @property
    def faithful(self) -> bool:
        """Whether the cited events carry more than random ones, by an interval that excludes 0."""
        return self.low > 0

    def sentence(self) -> str:
        """Say it in words."""
        verdict = "more than" if self.faithful else "not surely more than"
        return (
            f"Without the {self.events} events cited the score falls by {self.cited:.3f}, without {self.events} random "
            f"ones by {self.random:.3f}: {verdict} by chance ({self.cited - self.random:+.3f}, 95 % {self.low:+.3f} to "
            f"{self.high:+.3f}; {self.table.height:,} users, {100 * self.share:.0f} % of them alike). Without the "
            f"{self.events} that attention weighs most it falls by {self.attention:.3f}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        names = ("cited", "random", "attention", "low", "high", "attention_low", "attention_high", "share", "events")
        return {name: getattr(self, name) for name in names} | {
            "users": self.table.height,
            "faithful": self.faithful,
            "sentence": self.sentence(),
        }


def faithfulness(
    users: Sequence[str],
    pasts: Histories,
    effects: Sequence[Effect],
    attention: Sequence[np.ndarray],
    rng: np.random.Generator,
    *,
    cited: int = CITED,
    seed: int = 0,
) -> Faithfulness:
    """Leave out the events that deletion cites, and as many drawn at random, and compare.

    Parameters
    ----------
    users : sequence of str
    pasts : Histories
        Their pasts, in that order.
    effects : sequence of callable
        What is explained, for each user.
    attention : sequence of numpy.ndarray
        (1 + events,) for each user, as `deletion` takes it.
    rng : numpy.random.Generator
        Draws the random events.
    cited : int
        Events left out together. Users with no more events than that are left out.
    seed : int
        Of the bootstrap.

    Raises
    ------
    NotEnoughDataError
        Fewer than two users have more than `cited` events.

    Notes
    -----
    The events cited are those whose single deletion moves the score most; what is measured is their deletion together.
    This is comprehensiveness (DeYoung et al., "ERASER", ACL 2020) against a random rationale of the same length.
    """
    rows = []
    for place, (user, effect) in enumerate(zip(users, effects, strict=True)):
        past = pasts.take(np.array([place]))
        if len(past.items) > cited:
            drops = _drops(past, effect, attention[place], rng, cited)
            rows.append((user, *drops, min(len(past.items), MOST_EVENTS)))
    if len(rows) < 2:
        raise NotEnoughDataError(
            f"{len(rows)} of {len(users)} users have more than the {cited} events that are left out; at least two are "
            "needed. Take more users, or users with longer pasts."
        )
    table = pl.DataFrame(rows, FAITHFUL, orient="row")
    each = table.select("cited", "random", "attention").to_numpy().T
    more = np.stack([each[0] - each[1], each[2] - each[1]])
    means = resample(more, seed=seed, draws=2000) / more.shape[1]
    (low, high), (a_low, a_high) = (percentiles(one, 0.95) for one in means)
    cited_, random_, attention_ = (float(x) for x in each.mean(1))
    share = float((more[0] > 0).mean())
    return Faithfulness(table, cited_, random_, attention_, low, high, a_low, a_high, share, cited)


def _drops(
    past: Histories, effect: Effect, attention: np.ndarray, rng: np.random.Generator, cited: int
) -> tuple[float, float, float]:
    """Return how far the score falls without the cited events, random ones, and those most attended to."""
    total = len(past.items)
    events = np.arange(max(0, total - MOST_EVENTS), total)
    whole = float(effect(past)[0])
    effects = deletion(past, effect).select("item_row", "effect").rows()
    strongest = [row for row, _ in effects[:cited]]
    seen = min(total, len(attention) - 1)
    weights = np.full(total, -1.0)
    weights[total - seen :] = attention[len(attention) - seen :]
    chosen = [
        np.flatnonzero(np.isin(past.items, strongest)),
        np.argsort(-weights, kind="stable")[:cited],
        *(rng.choice(events, cited, replace=False) for _ in range(RANDOM)),
    ]
    keep = np.ones((len(chosen), total), bool)
    for row, places in zip(keep, chosen, strict=True):
        row[places] = False
    scores = whole - in_blocks(effect, subsets(past, keep))
    return float(scores[0]), float(scores[2:].mean()), float(scores[1])
