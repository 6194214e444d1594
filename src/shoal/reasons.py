"""Reasons: what a run says of one user's place and of one recommendation, each in parts that can be checked.

why      memberships of all segments, the segment's exemplars that the user has, events checked by deletion
way_to   the fewest events that would put the user into another segment

What a score is made up of stands in `shoal.shares`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.errors import ConfigError, UnknownIdError
from shoal.explain.counterfactual import STEPS, Way, fewest
from shoal.explain.deletion import REASONS, Effect, deletion
from shoal.explain.faithful import CITED, Faithfulness, faithfulness
from shoal.explain.shapley import SHAPLEY, shapley
from shoal.learnt import Learnt, sorted_ids
from shoal.seeding import generator
from shoal.segment.contrast import log_odds
from shoal.shares import pasts_of
from shoal.tables import ITEM, NAME, SEGMENT, UNASSIGNED, USER

CANDIDATES = 60
"""Items that set a segment apart, of which some may be added on the way into it."""
FEWEST_USES = 5
MEMBERSHIPS = {SEGMENT: pl.Int32(), NAME: pl.String(), "membership": pl.Float32(), "here": pl.Boolean()}
SHARED = {ITEM: pl.String(), "share_in": pl.Float64(), "share_out": pl.Float64()}


@dataclass(frozen=True)
class Why:
    """Why a user is in a segment.

    Attributes
    ----------
    segment : int
        -1: the user cannot be placed.
    memberships : polars.DataFrame
        segment, name, membership (0 to 1), here; the largest membership first.
    shared : polars.DataFrame
        item_id, share_in, share_out: the exemplars of the segment that the user has too.
    events : polars.DataFrame
        `shoal.explain.deletion.REASONS`: what leaving each event out takes from the membership of the segment.
    """

    segment: int
    memberships: pl.DataFrame
    shared: pl.DataFrame
    events: pl.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "segment": self.segment,
            "memberships": self.memberships.to_dicts(),
            "shared": self.shared.to_dicts(),
            "events": self.events.to_dicts(),
        }


def score_of(learnt: Learnt, item: int) -> Effect:
    """Return what gives the blend's score of an item row, of any past."""
    return lambda pasts: learnt.blend.score(pasts)[:, item]


def strength_of(learnt: Learnt, past: Histories) -> Effect:
    """Return what gives the membership of the segment that `past`, of one user, is in; 0 if it is in none."""
    segment = int(learnt.segments(past)[0][0])
    if segment < 0:
        return lambda pasts: np.zeros(pasts.n_users)
    column = learnt.segmentation.column(segment)
    return lambda pasts: _placed(learnt)(pasts)[0][:, column]


def events_that_count(learnt: Learnt, past: Histories, effect: Effect) -> pl.DataFrame:
    """Return `shoal.explain.deletion.REASONS` of one user's past."""
    table = deletion(past, effect, learnt.sequence.attention(past)[0])
    return _with_ids(learnt, table).cast(REASONS)  # type: ignore[arg-type]


def shapley_values(learnt: Learnt, past: Histories, effect: Effect, *, pairs: int, seed: int) -> pl.DataFrame:
    """Return `shoal.explain.shapley.SHAPLEY` of one user's past."""
    found = shapley(past, effect, generator(seed, "shapley"), pairs=pairs)
    return _with_ids(learnt, found).cast(SHAPLEY)  # type: ignore[arg-type]


def why(learnt: Learnt, segments: pl.DataFrame, past: Histories) -> Why:
    """Say why the user with this past is where the segmentation places it; see `Why`."""
    memberships, placed = _placed(learnt)(past)
    ids = learnt.segmentation.ids
    segment = int(ids[placed[0]]) if placed[0] >= 0 else UNASSIGNED
    names = segments.select(pl.col(SEGMENT).cast(pl.Int32), NAME)
    table = pl.DataFrame({SEGMENT: ids.astype(np.int32), "membership": memberships[0].astype(np.float32)})
    table = table.join(names, on=SEGMENT, how="left").with_columns(here=pl.col(SEGMENT) == segment)
    table = table.sort("membership", SEGMENT, descending=[True, False]).select(*MEMBERSHIPS)
    return Why(
        segment,
        table,
        _shared(learnt, segments, past, segment),
        events_that_count(learnt, past, strength_of(learnt, past)),
    )


def _shared(learnt: Learnt, segments: pl.DataFrame, past: Histories, segment: int) -> pl.DataFrame:
    row = segments.filter(pl.col(SEGMENT) == segment)
    if segment == UNASSIGNED or not row.height:
        return pl.DataFrame(schema=SHARED)
    told = row.select("exemplars").explode("exemplars", empty_as_null=False, keep_nulls=False).unnest("exemplars")
    his = learnt.items.take(past.items)
    return told.filter(pl.col(ITEM).is_in(his.implode())).select(pl.col(c).cast(t) for c, t in SHARED.items())


def way_to(learnt: Learnt, segments: pl.DataFrame, members: pl.DataFrame, past: Histories, wanted: int) -> Way:
    """Find the fewest events that would put a user into a segment; see `shoal.explain.counterfactual.fewest`.

    What may be added are the `CANDIDATES` items that set the segment most apart, each with the mean rating or count
    that its members gave.

    Raises
    ------
    UnknownIdError
        There is no such segment.
    ConfigError
        -1 is asked for: nobody moves there by doing something.
    """
    there = [s for s in segments[SEGMENT].to_list() if s >= 0]
    if wanted == UNASSIGNED:
        raise ConfigError("Nobody is moved to -1: those are the users with too few events to be placed.")
    if wanted not in there:
        raise UnknownIdError(f"There is no segment {wanted}; there are {', '.join(map(str, sorted(there)))}.")
    items, values = _telling(learnt, members, wanted)
    return fewest(past, _placed(learnt), learnt.segmentation.column(wanted), items=items, values=values)


def steps_of(learnt: Learnt, way: Way) -> pl.DataFrame:
    """Return `shoal.explain.counterfactual.STEPS`."""
    ids = learnt.items.take(np.array([s.item for s in way.steps], np.int64))
    numbers = [*learnt.segmentation.ids.tolist(), UNASSIGNED]  # the last one is that of place -1
    rows = [
        (number, s.action, one, s.value, s.strength, numbers[s.segment])
        for number, (s, one) in enumerate(zip(way.steps, ids, strict=True), 1)
    ]
    return pl.DataFrame(rows, STEPS, orient="row").with_columns(pl.col("value").fill_nan(None))


def _telling(learnt: Learnt, members: pl.DataFrame, segment: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the items that set a segment apart and their mean value in it."""
    users = sorted_ids(members, USER)
    everything = learnt.pasts(learnt.data.interactions, users)
    inside = np.zeros(len(users), bool)
    inside[users.rows(members.filter(pl.col(SEGMENT) == segment)[USER])] = True
    here = inside[everything.users]
    n = everything.n_items
    count = np.bincount(everything.items[here], minlength=n).astype(np.float64)
    out = np.bincount(everything.items[~here], minlength=n).astype(np.float64)
    score = log_odds(count, np.full(n, count.sum()), out, np.full(n, out.sum()))
    best = np.argsort(-np.where(count >= FEWEST_USES, score, -np.inf), kind="stable")[:CANDIDATES]
    best = best[(score[best] > 0) & (count[best] >= FEWEST_USES)]
    values, told = everything.values[here], np.isfinite(everything.values[here])
    with np.errstate(invalid="ignore"):
        given = np.bincount(everything.items[here][told], minlength=n)
        means = np.bincount(everything.items[here][told], values[told], n) / given
    return best, _on_scale(learnt, means[best])


def _on_scale(learnt: Learnt, values: np.ndarray) -> np.ndarray:
    levels = np.array(learnt.data.scale.levels if learnt.data.scale else ())
    if not len(levels):
        return values
    nearest = levels[np.abs(np.nan_to_num(values)[:, None] - levels).argmin(1)]
    return np.where(np.isfinite(values), nearest, values)


def faithful(learnt: Learnt, users: pl.Series, *, cited: int = CITED, seed: int = 0) -> Faithfulness:
    """Check on some users whether the events cited for their first recommendation carry it.

    See `shoal.explain.faithful.faithfulness`.
    """
    pasts = pasts_of(learnt, users)
    first = learnt.best(pasts, 1)[0][:, 0]
    effects = [score_of(learnt, int(row)) for row in first]
    attention = [learnt.sequence.attention(pasts.take(np.array([u])))[0] for u in range(len(users))]
    rng = generator(seed, "faithful")
    return faithfulness(users.to_list(), pasts, effects, attention, rng, cited=cited, seed=seed)


def long_enough(learnt: Learnt, n: int, *, more_than: int = CITED, seed: int = 0) -> pl.Series:
    """Return n users, drawn by the seed, of those with more than so many events; all of them if there are fewer."""
    counts = learnt.data.interactions.group_by(USER).len().filter(pl.col("len") > more_than)
    users = counts[USER].cast(pl.String).sort()
    if len(users) <= n:
        return users
    return users.gather(np.sort(generator(seed, "faithful", "users").choice(len(users), n, replace=False)))


def _placed(learnt: Learnt) -> Callable[[Histories], tuple[np.ndarray, np.ndarray]]:
    """Return what gives memberships (users, segments), and the column of the segment of each user, -1 for none."""
    segmentation = learnt.segmentation

    def place(pasts: Histories) -> tuple[np.ndarray, np.ndarray]:
        vectors = learnt.users(pasts)
        memberships, column = segmentation.told(vectors)
        return memberships, np.where(segmentation.placeable(vectors, pasts.counts), column, UNASSIGNED)

    return place


def _with_ids(learnt: Learnt, table: pl.DataFrame) -> pl.DataFrame:
    ids = learnt.items.take(table["item_row"].to_numpy())
    return table.drop("item_row").insert_column(0, pl.Series(ITEM, ids, pl.String))
