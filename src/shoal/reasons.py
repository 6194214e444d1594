"""Reasons: what a run says of one user's place and of one recommendation, each in parts that can be checked.

why      memberships of all segments, the segment's exemplars that the user has, events checked by deletion
shares   a score = everybody's mean + what the segment adds + what the user adds + what texts add
way_to   the fewest events that would put the user into another segment
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.errors import ConfigError, UnknownIdError
from shoal.explain.counterfactual import STEPS, Way, fewest
from shoal.explain.deletion import REASONS, Effect, deletion
from shoal.explain.faithful import CITED, Faithfulness, faithfulness
from shoal.explain.shapley import SHAPLEY, shapley
from shoal.learnt import Learnt, sorted_ids
from shoal.recommend.asked import Asked
from shoal.recommend.weights import warmth
from shoal.seeding import generator
from shoal.segment.contrast import log_odds
from shoal.tables import ITEM, NAME, SEGMENT, UNASSIGNED, USER

REFERENCE = 256
"""Members of the segment, and users of all, over whom a mean score is taken; with more of them, as many are drawn."""
CANDIDATES = 60
"""Items that set a segment apart, of which some may be added on the way into it."""
FEWEST_USES = 5
AGAINST = 0.1
"""What takes so much of what lifts a score is named as speaking against the item."""
BLOCK = 64

MEMBERSHIPS = {SEGMENT: pl.Int32(), NAME: pl.String(), "membership": pl.Float32(), "here": pl.Boolean()}
SHARED = {ITEM: pl.String(), "share_in": pl.Float64(), "share_out": pl.Float64()}
SHARES = {"part": pl.String(), "amount": pl.Float64(), "share": pl.Float64()}
BY_MODEL = {
    "model": pl.String(),
    "everybody": pl.Float64(),
    "segment": pl.Float64(),
    "you": pl.Float64(),
}


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


@dataclass(frozen=True)
class Shares:
    """How a score is made up.

    Attributes
    ----------
    score : float
        Of the item, for the user.
    table : polars.DataFrame
        part, amount, share. The amounts add up to the score: ``everybody``, the mean score over users; ``segment``,
        what the mean over the user's segment adds to it; ``you``, what the user's own past (and what is told of the
        user) adds to that; ``text``, the part of that which the texts of items carry; ``order``, what trees that
        order the first candidates change. Shares, 0 to 1, are of segment, you and text, amounts below 0 counting
        as 0; null elsewhere, and where none is above 0.
    by_model : polars.DataFrame
        model, everybody, segment, you: the same by model, after its weight for this user.
    """

    score: float
    table: pl.DataFrame
    by_model: pl.DataFrame

    def sentence(self) -> str:
        """Say it in words, such as ``61 % segment, 39 % you``."""
        told = self.table.drop_nulls("share").filter(pl.col("share") > 0).sort("share", descending=True)
        words = ", ".join(f"{100 * share:.0f} % {part}" for part, share in told.select("part", "share").iter_rows())
        above = float(told["amount"].sum())
        against = self.table.filter(pl.col("part").is_in(told["part"].to_list()).not_(), pl.col("amount") < 0)
        names = against.filter(pl.col("part") != "everybody", pl.col("amount") <= -AGAINST * above)["part"].to_list()
        words = words or "nothing beyond what everybody likes"
        return words + (f"; {' and '.join(names)} against it" if names else "")

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        parts = {"parts": self.table.to_dicts(), "models": self.by_model.to_dicts()}
        return {"score": self.score, "sentence": self.sentence(), **parts}


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


def shares(learnt: Learnt, members: pl.DataFrame, past: Histories, item: int, *, seed: int = 0) -> Shares:
    """Say how much of an item's score is everybody's, the segment's, the user's own, and the texts'.

    Each model's part of the score is taken apart step by step: its mean over users of the run, what the mean over the
    members of the user's segment adds, and what the user adds to that; every mean has the weights of this user. So
    the amounts add up exactly, whatever the models are. What the text model adds in the last step is ``text``. Where
    the user is in no segment, the step to it is 0. Means are over at most `REFERENCE` users drawn by the seed.
    """
    weighed = learnt.blend.weigh(Asked(past))
    score, weights = float(weighed.scores[0, item]), weighed.weights[0]
    segment = int(learnt.segments(past)[0][0])
    everyone = _reference(learnt, members, None, seed)
    alike = None if segment < 0 else _reference(learnt, members, segment, seed)
    names = [model.name for model in learnt.blend.models]
    if learnt.blend.warm_[item]:
        own = np.array([float(said[0, item]) for said in weighed.said]) * weights
        usual = _mean_said(learnt, everyone, item, weights)
        inside = usual if alike is None else _mean_said(learnt, alike, item, weights)
    else:  # its score is what texts say of it
        names, own = ["text"], np.array([score])
        usual = _mean_told(learnt, everyone, item, past)
        inside = usual if alike is None else _mean_told(learnt, alike, item, past)
    by_model = pl.DataFrame(
        {"model": names, "everybody": usual, "segment": inside - usual, "you": own - inside}, schema=BY_MODEL
    )
    is_text = np.array([name == "text" for name in names])
    amounts = {
        "everybody": float(usual.sum()),
        "segment": float((inside - usual).sum()),
        "you": float((own - inside)[~is_text].sum()),
        "text": float((own - inside)[is_text].sum()),
        "order": score - float(own.sum()),
    }
    above = {part: max(amounts[part], 0.0) for part in ("segment", "you", "text")}
    total = sum(above.values())
    rows = [
        (part, amount, above[part] / total if part in above and total > 0 else None) for part, amount in amounts.items()
    ]
    return Shares(score, pl.DataFrame(rows, SHARES, orient="row"), by_model)


def _reference(learnt: Learnt, members: pl.DataFrame, segment: int | None, seed: int) -> Histories:
    """Return the pasts of some users of the run, or of a segment."""
    some = members if segment is None else members.filter(pl.col(SEGMENT) == segment)
    users = some[USER].sort()
    if len(users) > REFERENCE:
        rng = generator(seed, "reference", 0 if segment is None else segment + 1)
        users = users.gather(np.sort(rng.choice(len(users), REFERENCE, replace=False)))
    return pasts_of(learnt, users)


def pasts_of(learnt: Learnt, users: pl.Series) -> Histories:
    """Return the pasts of users of the run, in their order."""
    events = learnt.data.interactions.filter(pl.col(USER).cast(pl.String).is_in(users.implode()))
    return learnt.pasts(events, Ids(users))


def _mean_said(learnt: Learnt, pasts: Histories, item: int, weights: np.ndarray) -> np.ndarray:
    """Return what each model says of an item, mean over users, after the weights given: (models,)."""
    total = np.zeros(len(weights))
    for part in _parts(pasts):
        said = learnt.blend.said(Asked(part), weights != 0)
        total += [float(one[:, item].sum(dtype=np.float64)) for one in said]
    return total / max(pasts.n_users, 1) * weights


def _mean_told(learnt: Learnt, pasts: Histories, item: int, past: Histories) -> np.ndarray:
    """Return what texts say of a cold item, mean over users, on the scale of the user with that past: (1,)."""
    text = learnt.blend.text
    if text is None:
        return np.array([0.0])
    slope = float(learnt.blend.slopes_[warmth(past.counts)][0])
    total = sum(float(np.nansum(Asked(part).of(text)[:, item], dtype=np.float64)) for part in _parts(pasts))
    return np.array([slope * total / max(pasts.n_users, 1)])


def _parts(pasts: Histories) -> list[Histories]:
    rows = np.arange(pasts.n_users)
    return [pasts.take(rows[first : first + BLOCK]) for first in range(0, len(rows), BLOCK)]


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
