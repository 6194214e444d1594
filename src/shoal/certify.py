"""Certificates: what speaks for each segment and subsegment, and what against it, from events that nobody had seen.

    learnt from the training part --refit on other users, on other events--> do the segments come back?
                                  --older events, newer events--> do users stay where they are?
    the held-out part             --popularity in the segment, in random ones, everyone's--> do segments foretell?

All are told with intervals, in a tidy table; a few of them, and a verdict in words, stand beside each segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.data.leakage import Split
from shoal.learnt import Learnt, sorted_ids
from shoal.model.space import halves
from shoal.recommend.lift import Groups, Told, beyond, likelihood, ranking, rating
from shoal.recommend.tune import HeldOut
from shoal.seeding import generator
from shoal.segment.methods import grouped
from shoal.segment.segmentation import Segmentation
from shoal.segment.spherical import nearest
from shoal.segment.stability import Place, Refits, from_halves, from_other_events, from_other_users, staying
from shoal.tables import SEGMENT, UNASSIGNED, USER

MOST_USERS, MOST_JUDGED = 10_000, 3_000
"""Users who are grouped again, and users whose held-out events are asked for; more are sampled by the seed."""
BY_USERS, BY_EVENTS, CUTS = 20, 5, 3
"""Refits on other users, on other events, and pairs of halves."""
STABLE, DISSOLVED = 0.75, 0.5
"""Jaccard index of a stable segment, and of one that is no more than a pattern: Hennig 2007, as in `stability`."""

CERTIFICATE = {
    "level": pl.String(),
    SEGMENT: pl.Int32(),
    "measure": pl.String(),
    "against": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "users": pl.Int64(),
}
"""A row a measure; segment null: of all of the level together. Levels are segments, subsegments, inside N (the
subsegments of segment N), and smallest: the smallest groups that users are in, subsegments or whole segments."""
SUMMARY = {
    "parent": pl.Int32(),
    "stability": pl.Float64(),
    "persistence": pl.Float64(),
    "lift": pl.Float64(),
    "lift_low": pl.Float64(),
    "lift_high": pl.Float64(),
    "blind_score": pl.Float64(),
    "verdict": pl.String(),
}
"""The columns beside each segment."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class _Level:
    """One grouping: all segments, or the subsegments of one of them.

    Attributes
    ----------
    name, whole : str
        The level of a row about one of the groups, and of a row about all of them.
    ids : list of int
    vectors : (users, width) float32
        Of the training users that are grouped.
    users : (users,) int
        Their rows among the training users.
    labels : (users,) int
        Places in `ids`.
    again : callable
        Histories of the same users -> their vectors.
    frozen : Segmentation
        Where users are placed.
    """

    name: str
    whole: str
    ids: list[int]
    vectors: np.ndarray
    users: np.ndarray
    labels: np.ndarray
    again: Callable[[Histories], np.ndarray]
    frozen: Segmentation


def certify(learnt: Learnt, held: Split, *, seed: int) -> pl.DataFrame:
    """Return `CERTIFICATE` of what was learnt from the training part of `held`.

    Parameters
    ----------
    learnt : Learnt
        Not yet refitted on the held-out part.
    held : Split
    seed : int
    """
    users = sorted_ids(held.train.interactions, USER)
    train = learnt.pasts(held.train.interactions, users)
    if learnt.space is None or learnt.segmentation.n < 2:
        return pl.DataFrame(schema=CERTIFICATE)
    segment, _, inside = learnt.placed(train)
    rows: Rows = []
    for level in _levels(learnt, train, segment, inside, seed):
        rows += _comes_back(level, train.take(level.users), learnt.config.segment.min_events, seed)
    rows += _foretells(learnt, held, train, segment, inside, seed)
    return pl.DataFrame(rows, schema=CERTIFICATE).sort("level", SEGMENT, "measure", "against", nulls_last=False)


def _levels(learnt: Learnt, train: Histories, segment: np.ndarray, inside: np.ndarray, seed: int) -> Iterator[_Level]:
    space = learnt.space
    assert space is not None

    def level(name: str, whole: str, made: Segmentation, label: np.ndarray, which: int) -> _Level:
        ids = made.ids.tolist()
        places = {one: place for place, one in enumerate(ids)}
        users = np.flatnonzero(np.isin(label, ids))
        if len(users) > MOST_USERS:
            users = np.sort(generator(seed, "certified", ids[0]).choice(users, MOST_USERS, replace=False))
        labels = np.array([places[one] for one in label[users].tolist()], np.int64)
        own = space.both(train.take(users))[which]
        return _Level(name, whole, ids, own, users, labels, lambda p: space.both(p)[which], made)

    yield level("segments", "segments", learnt.segmentation, segment, 0)
    for parent, made in learnt.inside.items():
        yield level("subsegments", f"inside {parent}", made, inside, 1)


def _comes_back(level: _Level, pasts: Histories, min_events: int, seed: int) -> Rows:
    """Return rows about refits on other users and other events, and about older and newer events."""
    n = len(level.ids)

    def regroup(rows: np.ndarray, rng: np.random.Generator) -> Place:
        found = grouped(rows, n, rng, level.frozen.method)
        return lambda others: nearest(others, found.centers)[0]

    def others() -> Iterator[np.ndarray]:
        for number in range(BY_EVENTS):
            drawn = _drawn(pasts, generator(seed, "events", number))
            yield level.again(pasts.where(drawn))

    def cuts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(CUTS):
            first = halves(pasts, generator(seed, "certified halves", number))
            yield level.again(pasts.where(first)), level.again(pasts.where(~first))

    by_users = from_other_users(level.vectors, level.labels, regroup, n, times=BY_USERS, seed=seed)
    by_events = from_other_events(others(), level.labels, regroup, n, seed=seed)
    rows = _refits(level, "other users", by_users) + _refits(level, "other events", by_events)
    between = from_halves(cuts(), regroup, n, seed=seed).rand
    rows.append(_row(level, None, "rand", "halves of events", between.mean(), between.min(), between.max()))
    return rows + _stay(level, pasts, min_events, seed)


def _refits(level: _Level, against: str, refits: Refits) -> Rows:
    low, high = np.quantile(refits.jaccard, (0.025, 0.975), axis=0)
    rows = [
        _row(level, one, "jaccard", against, refits.jaccard[:, place].mean(), low[place], high[place])
        for place, one in enumerate(level.ids)
    ]
    for measure, values in (("jaccard", refits.jaccard.mean(1)), ("rand", refits.rand)):
        rows.append(_row(level, None, measure, against, values.mean(), *np.quantile(values, (0.025, 0.975))))
    return rows


def _stay(level: _Level, pasts: Histories, min_events: int, seed: int) -> Rows:
    """Return which share stays from each user's older half of events to the newer; nothing without times."""
    timed = np.bincount(pasts.users, np.isfinite(pasts.times), minlength=pasts.n_users) == pasts.counts
    enough = np.flatnonzero(timed & (pasts.counts >= 2 * min_events))
    if not len(enough):
        return []
    some = pasts.take(enough)
    older = some.places < (some.counts // 2)[some.users]
    frozen = level.frozen
    before, after = (nearest(level.again(some.where(part)), frozen.centers)[0] for part in (older, ~older))
    told = staying(before, after, len(level.ids), seed=seed)
    rows = [
        _row(level, one, "staying", "newer events", *told[place], users=int((before == place).sum()))
        for place, one in enumerate(level.ids)
    ]
    same = np.array([(before == after).mean()])
    drawn = generator(seed, "staying").binomial(len(before), same[0], 1000) / len(before)
    rows.append(
        _row(level, None, "staying", "newer events", same[0], *np.quantile(drawn, (0.025, 0.975)), users=len(before))
    )
    return rows


def _drawn(pasts: Histories, rng: np.random.Generator) -> np.ndarray:
    """Return which events (events,) are drawn at least once when each user's are drawn with replacement."""
    drawn = np.zeros(len(pasts.items), bool)
    places = (rng.random(len(pasts.items)) * np.repeat(pasts.counts, pasts.counts)).astype(np.int64)
    drawn[places + np.repeat(pasts.starts[:-1], pasts.counts)] = True
    return drawn


def _foretells(
    learnt: Learnt, held: Split, train: Histories, segment: np.ndarray, inside: np.ndarray, seed: int
) -> Rows:
    """Return rows about held-out events: popularity, likelihood and ratings by segment, against random and everyone."""
    users = sorted_ids(held.test, USER)
    if len(users) > MOST_JUDGED:
        drawn = generator(seed, "certified users").choice(len(users), MOST_JUDGED, replace=False)
        users = type(users)(users.take(np.sort(drawn)))
    pasts, test = learnt.pasts(held.given, users), learnt.pasts(held.test, users)
    liked, train_liked = test.liked(learnt.relevant_from), train.liked(learnt.relevant_from)
    question = HeldOut(pasts, pasts, liked)
    of_held, _, inside_of_held = learnt.placed(pasts)
    rows: Rows = []
    levels = [("segments", learnt.segmentation.ids.tolist(), segment, of_held)]
    if learnt.inside:
        ids = [one for made in learnt.inside.values() for one in made.ids.tolist()]
        levels.append(("subsegments", ids, inside, inside_of_held))
        smallest = np.where(inside >= 0, inside, segment), np.where(inside_of_held >= 0, inside_of_held, of_held)
        whole = [one for one in learnt.segmentation.ids.tolist() if one not in learnt.inside]
        levels.append(("smallest", [*ids, *whole], *smallest))
    for name, ids, own, theirs in levels:
        groups = Groups(_places(own, ids), _places(theirs, ids), len(ids))
        told = {"ndcg@10": ranking(groups, train_liked, question, seed=seed)}
        told["bits"] = likelihood(groups, train_liked, liked, seed=seed)
        if learnt.data.scale is not None:
            rated, of_train = test.where(np.isfinite(test.values)), train.where(np.isfinite(train.values))
            told["squared error"] = rating(groups, of_train, rated, seed=seed)
        for measure, one in told.items():
            rows += _lifts(name, ids, groups.held, measure, one, seed)
    return rows


def _lifts(name: str, ids: list[int], place: np.ndarray, measure: str, told: Told, seed: int) -> Rows:
    """Return lifts against random segments and everyone; of errors and bits, how much less there is of them."""
    rows: Rows = []
    for base, words in (("random", "random segments"), ("everyone", "everyone")):
        for at, one in [(None, None), *enumerate(ids if name != "smallest" else [])]:
            users = np.flatnonzero((place >= 0) if at is None else (place == at))
            found = beyond(told, users, base=base, less=not measure.startswith("ndcg"), seed=seed)
            value, low, high = (found.mean, found.low, found.high) if found.users > 1 else (None, None, None)
            rows.append(
                {"level": name, SEGMENT: one, "measure": f"lift {measure}", "against": words}
                | {"value": value, "low": low, "high": high, "users": found.users}
            )
    return rows


def _places(label: np.ndarray, ids: list[int]) -> np.ndarray:
    places = np.full(max([*ids, *label.tolist(), 0]) + 2, UNASSIGNED, np.int64)
    places[ids] = np.arange(len(ids))
    return places[label]


def _row(
    level: _Level, segment: int | None, measure: str, against: str, *found: float, users: int | None = None
) -> dict[str, Any]:
    value, low, high = (float(one) if np.isfinite(one) else None for one in found)
    if users is None:
        users = len(level.labels) if segment is None else int((level.labels == level.ids.index(segment)).sum())
    names = ("level", SEGMENT, "measure", "against", "value", "low", "high", "users")
    return dict(
        zip(
            names,
            (level.whole if segment is None else level.name, segment, measure, against, value, low, high, users),
            strict=True,
        )
    )


def summary(certificate: pl.DataFrame, parents: dict[int, int], blind: dict[int, float | None]) -> pl.DataFrame:
    """Return `SUMMARY` with the segment of each row, in the order of the certificate's numbers.

    Parameters
    ----------
    certificate : polars.DataFrame
    parents : dict of int to int
        Of subsegments.
    blind : dict of int to float or None
        Scores of names; see `shoal.segment.blind`.
    """
    rows = []
    for segment in certificate[SEGMENT].drop_nulls().unique().sort().to_list():
        own = certificate.filter(pl.col(SEGMENT) == segment)
        found = {(m, a): (v, low, high) for m, a, v, low, high in own.select(*_COLUMNS).iter_rows()}
        nothing = (None, None, None)
        stable = found.get(("jaccard", "other users"), nothing)[0]
        stays = found.get(("staying", "newer events"), nothing)[0]
        lift = found.get(("lift ndcg@10", "random segments"), nothing)
        bits = found.get(("lift bits", "random segments"), nothing)
        told = verdict(stable, lift[:2], bits[:2])
        values = (parents.get(segment), stable, stays, *lift, blind.get(segment), told)
        rows.append({SEGMENT: segment} | dict(zip(SUMMARY, values, strict=True)))
    return pl.DataFrame(rows, schema={SEGMENT: pl.Int32(), **SUMMARY})


_COLUMNS = ("measure", "against", "value", "low", "high")


Bound = tuple[float | None, float | None]
"""A lift over random segments, and the lower bound of its interval."""


def verdict(stability: float | None, lift: Bound, bits: Bound = (None, None)) -> str:
    """Return in words whether a segment holds: from its stability, and from what it foretells.

    It foretells where popularity in it finds more held-out events than in random segments, or where these cost fewer
    bits, by an interval above zero; it foretells nothing where neither is so on average.
    """
    faults, fails = [], False
    if stability is not None and stability < STABLE:
        fails = stability < DISSOLVED
        faults.append("comes out otherwise with other users" if fails else "its border moves with other users")
    told = [(mean, low) for mean, low in (lift, bits) if mean is not None and low is not None]
    if not told:
        faults.append("too few held-out events to tell whether it foretells any")
    elif all(mean <= 0 for mean, _ in told):
        fails = True
        faults.append("foretells no more than a random segment")
    elif all(low <= 0 for _, low in told):
        faults.append("held-out events do not decide whether it foretells more than a random segment")
    if not faults:
        return "holds"
    return ("fails: " if fails else "holds in part: ") + "; ".join(faults)
