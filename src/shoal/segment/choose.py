"""How many segments: enough to tell users apart, few enough to come out the same from half of the users.

For each number that is tried: refit on random halves of the users, place everyone, and compare the refits. More
segments tell more users apart, as long as other users would have led to the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment

from shoal.seeding import generator
from shoal.segment.spherical import BLOCK, Clusters, cluster, nearest

REFITS = 5
TRIES = 3  # starts of one refit
SAMPLE = 10_000  # users measured on, at most
GOOD, MODERATE = 0.80, 0.65  # adjusted Rand index; the words are Steinley's, Psychological Methods 9(3), 2004
LEAST_USERS, LEAST_SHARE = 20, 0.02

CHOICE = {
    "n": pl.Int32(),
    "stability": pl.Float64(),
    "apart": pl.Float64(),
    "separation": pl.Float64(),
    "smallest": pl.Float64(),
    "verdict": pl.String(),
}
"""The choice table; see `choose`."""


@dataclass(frozen=True)
class Trial:
    """What was measured of one number of segments.

    Attributes
    ----------
    n : int
    stability : float
        Mean adjusted Rand index of pairs of refits on half of the users; 1 is the same segments, 0 is chance.
    agreement : float
        Mean share of users whom a refit puts into the segment that the fit on everyone puts them into.
    apart : float
        Share of pairs of users whom the segments tell apart: 1 - 1/n for segments of one size, less for others.
    separation : float
        Mean margin between the cosine to the own centre and to the second.
    smallest : float
        Share of users in the smallest segment.
    """

    n: int
    stability: float
    agreement: float
    apart: float
    separation: float
    smallest: float


@dataclass(frozen=True)
class Choice:
    """A number of segments, the trials behind it as a table (`CHOICE`), and the reason in one sentence."""

    n: int
    table: pl.DataFrame
    reason: str
    agreement: float = 1.0


def least_users(users: int) -> int:
    """Return how many users a segment must have: 20, or 2 % of them if that is more."""
    return max(LEAST_USERS, math.ceil(LEAST_SHARE * users))


def choose(rows: np.ndarray, *, at_most: int, seed: int) -> Choice:
    """Choose the number of segments for rows of length one, (users, width).

    Of the numbers from 2 to `at_most` whose smallest segment has `least_users`, and whose stability is at least
    `MODERATE`, the one with the largest product of stability and `Trial.apart`: the share of pairs of users that the
    segments tell apart, as far as the segments can be trusted. (The largest stable number would split a planted segment
    at random; the most stable number is often 2, and says little.) Where none is stable enough, the most stable one,
    and the reason says so; where the users are too few for two segments, one.

    Returns
    -------
    Choice
        The table has one row for each number tried: n, stability, apart, separation, smallest, verdict.
    """
    users, least = len(rows), least_users(len(rows))
    if users < 2 * least:
        return alone(f"One segment: {users:,} users can be placed, and two segments of {least} would need {2 * least}.")
    rows = sample(rows, seed)
    trials = [try_out(rows, n, seed) for n in range(2, min(at_most, users // least) + 1)]
    fit = [t for t in trials if t.smallest * users >= least]
    if not fit:
        return alone(f"One segment: every split leaves a segment with fewer than {least} of {users:,} users.", trials)
    stable = [t for t in fit if t.stability >= MODERATE]
    best = max(stable, key=lambda t: t.stability * t.apart) if stable else max(fit, key=lambda t: t.stability)
    return Choice(best.n, _table(trials, best, users, least), _reason(best, trials), best.agreement)


def given(rows: np.ndarray, n: int, *, seed: int) -> Choice:
    """Measure a number of segments that the caller has set."""
    if n == 1:
        return alone("One segment, as asked for.")
    trial = try_out(sample(rows, seed, at_least=n), n, seed)
    table = _rows([trial], ["as asked for"])
    return Choice(n, table, f"{n} segments, as asked for; stability {trial.stability:.2f}.", trial.agreement)


def alone(reason: str, trials: list[Trial] | None = None) -> Choice:
    """Return the choice of one segment."""
    return Choice(1, _rows(trials or [], ["a segment would be too small"] * len(trials or [])), reason)


def try_out(rows: np.ndarray, n: int, seed: int) -> Trial:
    """Measure `n` segments of rows of length one."""
    return measure(rows, n, seed, lambda part, rng: cluster(part, n, rng, n_init=TRIES, max_iter=50))


def measure(rows: np.ndarray, n: int, seed: int, fit: Callable[[np.ndarray, np.random.Generator], Clusters]) -> Trial:
    """Measure the `n` segments that `fit` makes of rows of length one and of random halves of them."""
    whole = fit(rows, generator(seed, "try", n))
    refits = []
    for number in range(REFITS):
        rng = generator(seed, "refit", n, number)
        half = np.sort(rng.choice(len(rows), max(n, len(rows) // 2), replace=False))
        refits.append(nearest(rows, fit(rows[half], rng).centers)[0])
    pairs = itertools.combinations(refits, 2)
    shares = np.bincount(whole.labels, minlength=n) / len(rows)
    return Trial(
        n=n,
        stability=float(np.mean([adjusted_rand(a, b, n) for a, b in pairs])),
        agreement=float(np.mean([agreement(whole.labels, other, n) for other in refits])),
        apart=float(1 - (shares**2).sum()),
        separation=_separation(rows, whole.centers),
        smallest=float(shares.min()),
    )


def adjusted_rand(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Return the adjusted Rand index [1]_ of two labellings with labels below `n`.

    References
    ----------
    .. [1] Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 1985.
    """
    table = _contingency(a, b, n).astype(np.float64)
    both, in_a, in_b = (float((t * (t - 1) / 2).sum()) for t in (table, table.sum(1), table.sum(0)))
    chance = in_a * in_b / max(1.0, len(a) * (len(a) - 1) / 2)
    most = (in_a + in_b) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)


def agreement(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Return the share of users in matching segments, under the matching of labels that makes it largest."""
    table = _contingency(a, b, n)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(a))


def _contingency(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(a.astype(np.int64) * n + b, minlength=n * n).reshape(n, n)


def _separation(rows: np.ndarray, centers: np.ndarray) -> float:
    margin = 0.0
    step = max(1, BLOCK // len(centers))
    for start in range(0, len(rows), step):
        two = np.partition(rows[start : start + step] @ centers.T, len(centers) - 2, axis=1)[:, -2:]
        margin += float((two[:, 1] - two[:, 0]).sum(dtype=np.float64))
    return margin / len(rows)


def sample(rows: np.ndarray, seed: int, at_least: int = 0) -> np.ndarray:
    """Return at most `SAMPLE` rows, drawn at random, in their order."""
    size = max(SAMPLE, at_least)
    if len(rows) <= size:
        return rows
    return rows[np.sort(generator(seed, "choose").choice(len(rows), size, replace=False))]


def _table(trials: list[Trial], best: Trial, users: int, least: int) -> pl.DataFrame:
    def verdict(trial: Trial) -> str:
        if trial is best:
            return "chosen"
        if trial.smallest * users < least:
            return f"smallest segment has about {round(trial.smallest * users):,} users, fewer than {least:,}"
        return "tells fewer apart" if trial.stability >= best.stability else "less stable"

    return _rows(trials, [verdict(t) for t in trials])


def _rows(trials: list[Trial], verdicts: list[str]) -> pl.DataFrame:
    rows = [(t.n, t.stability, t.apart, t.separation, t.smallest, v) for t, v in zip(trials, verdicts, strict=True)]
    return pl.DataFrame(rows, schema=CHOICE, orient="row")


def _reason(best: Trial, trials: list[Trial]) -> str:
    figures = f"stability {best.stability:.2f} of 1, {100 * best.apart:.0f} % of pairs of users told apart"
    tried = f"{trials[0].n} to {trials[-1].n}" if len(trials) > 1 else f"only {best.n}"
    if best.stability >= MODERATE:
        word = "much" if best.stability >= GOOD else "roughly"
        return (
            f"{best.n} segments: of {tried} tried, they tell most users apart while coming out {word} the same "
            f"from half of the users ({figures})."
        )
    return (
        f"{best.n} segments, with low stability: other users would have led to other segments, and of {tried} tried "
        f"none does better ({figures}). Read them as a rough map, if at all."
    )
