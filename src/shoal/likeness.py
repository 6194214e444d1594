"""Whether likeness to a list of users tells who behaves like it: by events that were hidden from the likeness.

a part of everybody's events hidden, similarity from the rest --> does it tell who likes what the list likes?
    --isotonic--> probability of behaving alike --> threshold
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from shoal.data.histories import Histories
from shoal.evaluate.bootstrap import percentiles, resample
from shoal.learnt import Learnt
from shoal.seeding import generator

NEAREST = 5  # seeds that a similarity is the mean cosine of
LEAST_SEEDS = 10  # with hidden events, for a threshold
HIDDEN = 0.2  # share of a user's events that is hidden
LEAST_EVENTS = 5  # of a user who is checked
PRIOR = 5.0  # users: the taste of the list is drawn to everyone's as if it had so many usual ones
MOST_CHECKED = 20_000  # users who are checked beside the seeds; more are drawn by the seed
BLOCK = 4096


@dataclass(frozen=True)
class Check:
    """What held-out events say of a threshold.

    Attributes
    ----------
    threshold : float
        The similarity above which users are added.
    checked, added : int
        Users who were checked, and how many of them lie above their threshold.
    alike, expected : float
        Share of the added who behave alike, and of users of the same activity drawn at random. To behave alike is to
        have, on hidden events, at least the median taste of the seeds themselves: by definition half of these do.
    low, high : float
        95 % bootstrap interval, over the added, of alike - expected.
    lift, lift_low, lift_high : float
        Mean taste of the added on hidden events, less that of users of the same activity. Taste is the log of how much
        more the seeds use an item than everyone, mean over the hidden events.
    auc, auc_low, auc_high : float
        Chance that a member who is left out of the list is found before somebody else, by visible events; .5 if the
        list has nothing in common. 95 % bootstrap interval over the list.
    """

    threshold: float
    checked: int
    added: int
    alike: float
    expected: float
    low: float
    high: float
    lift: float
    lift_low: float
    lift_high: float
    auc: float
    auc_low: float
    auc_high: float

    @property
    def holds(self) -> bool:
        """Whether the list has something in common, and the added behave alike more often than others.

        Both by intervals: `auc_low` above .5, and `low` above 0.
        """
        return self.low > 0 and self.auc_low > 0.5

    def sentence(self) -> str:
        """Say it in words."""
        again = (
            f"A member left out of the list is found before somebody else with a chance of {self.auc:.2f} "
            f"({self.auc_low:.2f} to {self.auc_high:.2f})."
        )
        if not self.added:
            return f"No similarity tells who behaves like the list. {again}"
        verdict = "more often than others" if self.low > 0 else "not surely more often than others"
        return (
            f"Of the added, {100 * self.alike:.0f} % behave like the list on held-out events; of users of the same "
            f"activity {100 * self.expected:.0f} %: {verdict} ({100 * (self.alike - self.expected):+.0f} points, 95 % "
            f"{100 * self.low:+.0f} to {100 * self.high:+.0f}; half of the list itself, by definition). {again}"
        )


def directions(learnt: Learnt, pasts: Histories) -> np.ndarray:
    """Return rows of length one in the space of the segments, (users, width); zeros for a user without a past."""
    rows = learnt.segmentation.directions(learnt.users(pasts))
    rows[pasts.counts == 0] = 0
    return rows


def nearness(rows: np.ndarray, seeds: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Return the mean cosine of each row to the nearest `NEAREST` seeds, (rows,) float32.

    Parameters
    ----------
    rows, seeds : (n, width), of length one
    own : (rows,) int, optional
        The place of each row among the seeds, which is then not compared with itself.
    """
    out = np.empty(len(rows), np.float32)
    k = min(NEAREST, len(seeds) - (own is not None))
    for first in range(0, len(rows), BLOCK):
        cosine = rows[first : first + BLOCK] @ seeds.T
        if own is not None:
            cosine[np.arange(len(cosine)), own[first : first + BLOCK]] = -np.inf
        out[first : first + BLOCK] = np.partition(cosine, len(seeds) - k, axis=1)[:, len(seeds) - k :].mean(1)
    return out


@dataclass(frozen=True)
class Calibrated:
    """What held-out events say of a threshold, and how a similarity becomes a probability of behaving alike."""

    check: Check
    calibration: IsotonicRegression


def checked(
    learnt: Learnt,
    pasts: Histories,
    usable: np.ndarray,
    others: np.ndarray,
    seed: int,
) -> Calibrated | None:
    """Hold the similarity to a list against events that are hidden.

    Parameters
    ----------
    learnt : Learnt
    pasts : Histories
        Of all users.
    usable, others : numpy.ndarray
        Row numbers of the users on the list, and of those who are not.
    seed : int
        Of what is hidden and drawn.

    Returns
    -------
    Calibrated or None
        None where fewer than `LEAST_SEEDS` of either have `LEAST_EVENTS` events.
    """
    rng = generator(seed, "alike")
    enough = pasts.counts >= LEAST_EVENTS
    seeds, rest = usable[enough[usable]], others[enough[others]]
    if len(seeds) < LEAST_SEEDS or len(rest) < LEAST_SEEDS:
        return None
    if len(rest) > MOST_CHECKED:
        rest = np.sort(rng.choice(rest, MOST_CHECKED, replace=False))
    some = pasts.take(np.concatenate([seeds, rest]))
    hidden = hide(some, rng)
    kept = directions(learnt, some.where(~hidden))
    k = len(seeds)
    near = nearness(kept[k:], kept[:k])
    taste = tastes(some, hidden, k)
    line = float(np.median(taste[:k]))
    alike = taste[k:] >= line
    counts = np.bincount(some.users[hidden], minlength=some.n_users)[k:]
    auc = found_again(kept, np.arange(k), np.arange(k, len(kept)), seed=seed)
    return _judged(near, alike, taste[k:], counts, auc, rng, seed)


def hide(pasts: Histories, rng: np.random.Generator) -> np.ndarray:
    """Return which events are hidden, (events,) bool: each user's newest fifth, or a random one without times."""
    counts = pasts.counts
    number = np.maximum(1, np.round(HIDDEN * counts)).astype(np.int64) * (counts > 1)
    if np.isnan(pasts.times).all():
        order = np.lexsort((rng.random(len(pasts.items)), pasts.users))
    else:
        order = np.arange(len(pasts.items))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(pasts.starts[:-1], counts)
    return place >= np.repeat(counts - number, counts)


def tastes(pasts: Histories, hidden: np.ndarray, seeds: int) -> np.ndarray:
    """Return each user's taste for what the first `seeds` users like, on hidden events, (users,).

    The log of how much more of the seeds' visible events an item takes than of everyone's, all users weighing alike;
    a seed's own events are left out where it is judged itself.
    """
    n, users = pasts.n_items, pasts.users
    visible = ~hidden
    each = 1.0 / np.maximum(np.bincount(users[visible], minlength=pasts.n_users), 1)[users]
    usual = np.bincount(pasts.items[visible], each[visible], n) + 1.0 / n
    usual /= usual.sum()
    theirs = visible & (users < seeds)
    uses = np.bincount(pasts.items[theirs], each[theirs], n)
    who, items = users[hidden], pasts.items[hidden]
    # A pair of user and item stands once: of a hidden item a seed has no visible event to leave out.
    whole = uses.sum() - (who < seeds) + PRIOR
    weight = np.log((uses[items] + PRIOR * usual[items]) / (whole * usual[items]))
    number = np.bincount(who, minlength=pasts.n_users)
    return np.bincount(who, weight, pasts.n_users) / np.maximum(number, 1)


def found_again(rows: np.ndarray, seeds: np.ndarray, others: np.ndarray, *, seed: int) -> tuple[float, float, float]:
    """Return the chance that a seed is found before another user by the rest of the list, and its 95 % interval."""
    own = nearness(rows[seeds], rows[seeds], np.arange(len(seeds)))
    near = np.sort(nearness(rows[others], rows[seeds]))
    below, up_to = np.searchsorted(near, own, side="left"), np.searchsorted(near, own, side="right")
    chance = (below + up_to) / (2 * len(near))  # of each seed; equals count half
    means = resample(chance[None], seed=seed, draws=2000)[0] / len(chance)
    return float(chance.mean()), *percentiles(means, 0.95)


def _judged(
    near: np.ndarray,
    alike: np.ndarray,
    taste: np.ndarray,
    counts: np.ndarray,
    auc: tuple[float, float, float],
    rng: np.random.Generator,
    seed: int,
) -> Calibrated:
    """Calibrate, set a threshold, and judge it on users who had no part in it."""
    fold = rng.permutation(len(near)) % 2
    added = np.zeros(len(near), bool)
    for k in (0, 1):
        other = fold != k
        added[~other] = near[~other] >= _threshold(near[other], alike[other])[0]
    threshold, calibration = _threshold(near, alike)
    expected, usual = _like(counts, alike.astype(np.float64)), _like(counts, taste)
    if added.sum() < 2 or not np.isfinite(threshold):
        nothing = (float("nan"),) * 2, (float("nan"),) * 3
        check = Check(float("inf"), len(near), 0, *nothing[0], *nothing[0], *nothing[1], *auc)
        return Calibrated(check, calibration)
    gains = np.stack([alike[added] - expected[added], taste[added] - usual[added]])
    means = resample(gains, seed=seed, draws=2000) / gains.shape[1]
    (low, high), (lift_low, lift_high) = (percentiles(one, 0.95) for one in means)
    figures = float(alike[added].mean()), float(expected[added].mean()), low, high
    lift = float(gains[1].mean()), lift_low, lift_high
    return Calibrated(Check(threshold, len(near), int(added.sum()), *figures, *lift, *auc), calibration)


def _threshold(near: np.ndarray, alike: np.ndarray) -> tuple[float, IsotonicRegression]:
    """Return the smallest similarity that makes a user nearer to the list (half of it alike) than to anybody."""
    calibration = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(near, alike)
    base = float(alike.mean())
    probable = np.asarray(calibration.predict(near))
    above = near[probable >= (0.5 + base) / 2] if base < 0.5 else near[:0]
    return (float(above.min()) if len(above) else float("inf")), calibration


def _like(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return for each user the mean value of users with about as many events, (users,)."""
    edges = np.unique(np.quantile(counts, np.linspace(0, 1, 11)[1:-1]))
    bins = np.searchsorted(edges, counts)
    total, number = np.bincount(bins, values), np.bincount(bins)
    return (total / np.maximum(number, 1))[bins]
