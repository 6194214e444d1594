"""How many segments: enough to foretell what users do, few enough to come out the same again.

For each number that is tried: refit on random halves of the users, place everyone, and compare the refits; refit on
either half of each user's events, and compare the two; count what is popular in each segment, and see how much better
that finds held-out events than what is popular in random segments of the same sizes. More segments tell more users
apart, as long as other users, or other events of the same users, would have led to the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from shoal.seeding import generator
from shoal.segment.agree import adjusted_rand, agreement, jaccard
from shoal.segment.methods import METHODS
from shoal.segment.spherical import BLOCK, TOL, Clusters, cluster, improve, nearest

REFITS = 5
TRIES = 10  # starts of one refit: fewer end in different places for the same users
SAMPLE = 10_000  # users measured on, at most
GOOD, MODERATE = 0.80, 0.65  # adjusted Rand index; the words are Steinley's, Psychological Methods 9(3), 2004
HALVES = 0.6  # adjusted Rand index of segments from two halves of each user's events
LEAST_USERS, LEAST_SHARE = 20, 0.02

CHOICE = {
    "n": pl.Int32(),
    "method": pl.String(),
    "stability": pl.Float64(),
    "jaccard": pl.Float64(),
    "halves": pl.Float64(),
    "lift": pl.Float64(),
    "lift_low": pl.Float64(),
    "bits": pl.Float64(),
    "bits_low": pl.Float64(),
    "apart": pl.Float64(),
    "separation": pl.Float64(),
    "smallest": pl.Float64(),
    "verdict": pl.String(),
}
"""The choice table; see `choose`. Where there was no evidence, halves and lift are null."""

Lift = Callable[[np.ndarray], tuple[float, float, float, float]]
"""From centres to the lift of their segments over random ones, relative: that of popularity's NDCG@10, the lower bound
of its 95 % interval, and the same of bits for each held-out event, which fewer users decide."""


Halves = Callable[[np.ndarray], Sequence[tuple[np.ndarray, np.ndarray]]]
"""From users (n,) to pairs of rows (n, width), made of two halves of each one's events that have none in common."""


@dataclass(frozen=True)
class Evidence:
    """What is known beside the rows.

    Attributes
    ----------
    halves_of : callable or None
        See `Halves`.
    lift : callable or None
        See `Lift`.
    least : float
        Adjusted Rand index that segments from halves must reach.
    stable : float
        Adjusted Rand index that refits on half of the users must reach.
    users : (rows,) int64 or None
        Which user each row is of; None: 0, 1, 2, ...
    """

    halves_of: Halves | None = None
    lift: Lift | None = None
    least: float = HALVES
    stable: float = MODERATE
    users: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Evidence:
        """Return the same for some rows."""
        return replace(self, users=rows if self.users is None else self.users[rows])

    def halves(self, n: int) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """Return pairs of rows of `n` users."""
        return () if self.halves_of is None else self.halves_of(np.arange(n) if self.users is None else self.users)


NOTHING = Evidence()
LIFTS = ("lift", "lift_low", "bits", "bits_low")


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
    jaccard : float
        Mean over segments and refits of the members in common with a refit's match, as a share of those in either.
    halves : float or None
        Mean adjusted Rand index of the segments found from two halves of each user's events.
    lift, lift_low, bits, bits_low : float or None
        How much better segments foretell held-out events than random segments do; see `Lift`.
    method : str
        How they were found; see `shoal.segment.methods`.
    centers : (n, width) or None
        What was measured.
    """

    n: int
    stability: float
    agreement: float
    apart: float
    separation: float
    smallest: float
    jaccard: float = 1.0
    halves: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    bits: float | None = None
    bits_low: float | None = None
    method: str = "kmeans"
    centers: np.ndarray | None = field(default=None, compare=False, repr=False)

    def comes_out_again(self, evidence: Evidence) -> bool:
        """Return whether other users, and other events of the same users, lead to much the same segments."""
        return self.stability >= evidence.stable and (self.halves is None or self.halves >= evidence.least)

    @property
    def tells(self) -> bool:
        """Whether held-out events bear the segments out; true where nobody asked them."""
        bounds = [low for low in (self.lift_low, self.bits_low) if low is not None]
        return not bounds or max(bounds) > 0

    @property
    def worth(self) -> float:
        """What is told, as far as it can be trusted.

        Beside agreement between halves, stability counts where it is less than moderate.
        """
        told = self.apart if self.bits is None else self.bits
        trust = self.stability if self.halves is None else self.halves * min(self.stability / MODERATE, 1.0)
        return max(told, 0.0) * trust


@dataclass(frozen=True)
class Choice:
    """A number of segments, the trials behind it as a table (`CHOICE`), the reason in one sentence, and centres."""

    n: int
    table: pl.DataFrame
    reason: str
    agreement: float = 1.0
    method: str = "kmeans"
    centers: np.ndarray | None = field(default=None, compare=False, repr=False)


def least_users(users: int) -> int:
    """Return how many users a segment must have: 20, or 2 % of them if that is more."""
    return max(LEAST_USERS, math.ceil(LEAST_SHARE * users))


def choose(
    rows: np.ndarray, *, at_most: int, seed: int, evidence: Evidence = NOTHING, methods: Sequence[str] = ("kmeans",)
) -> Choice:
    """Choose the number of segments for rows of length one, (users, width), and the method if there are several.

    Of the numbers from 2 to `at_most` whose smallest segment has `least_users`, which come out again
    (`Trial.comes_out_again`), and which held-out events bear out, the one with the largest worth: the lift in bits
    times the agreement between halves of events (`Trial.worth`). Without evidence: the product of stability and
    `Trial.apart`, the share of pairs of users that the segments tell apart. (The largest stable number would split a
    planted segment at random; the most stable number is often 2, and says little.) Where none comes out again, the one
    that does so most, and the reason says so; where held-out events bear none out, or the users are too few for two
    segments, one.

    Returns
    -------
    Choice
        The table has one row for each number tried; see `CHOICE`.
    """
    users, least = len(rows), least_users(len(rows))
    if users < 2 * least:
        return alone(f"One segment: {users:,} users can be placed, and two segments of {least} would need {2 * least}.")
    rows, evidence = sampled(rows, evidence, seed)
    pairs = evidence.halves(len(rows))
    numbers = range(2, min(at_most, users // least) + 1)
    trials = [try_out(rows, n, seed, evidence, pairs, method) for method in methods for n in numbers]
    fit = [t for t in trials if t.smallest * users >= least]
    if not fit:
        return alone(f"One segment: every split leaves a segment with fewer than {least} of {users:,} users.", trials)
    telling = [t for t in fit if t.tells]
    if not telling:
        reason = "One segment: of the splits that were tried none foretells held-out events better than random ones do."
        return alone(reason, trials, "foretells no more than random segments")
    again = [t for t in telling if t.comes_out_again(evidence)]
    best = max(again, key=lambda t: (t.worth, _again(t))) if again else max(telling, key=_again)
    table = _table(trials, best, users, least, evidence)
    return Choice(best.n, table, _reason(best, trials, evidence), best.agreement, best.method, best.centers)


def _again(trial: Trial) -> float:
    return trial.stability if trial.halves is None else min(trial.halves, trial.stability)


def given(
    rows: np.ndarray, n: int, *, seed: int, evidence: Evidence = NOTHING, methods: Sequence[str] = ("kmeans",)
) -> Choice:
    """Measure a number of segments that the caller has set."""
    if n == 1:
        return alone("One segment, as asked for.")
    some, evidence = sampled(rows, evidence, seed, at_least=n)
    pairs = evidence.halves(len(some))
    trials = [try_out(some, n, seed, evidence, pairs, method) for method in methods]
    best = max(trials, key=lambda trial: trial.worth)
    table = _rows(trials, ["as asked for" if trial is best else "tells less" for trial in trials])
    reason = f"{n} segments, as asked for; stability {best.stability:.2f}."
    return Choice(n, table, reason, best.agreement, best.method, best.centers)


def alone(reason: str, trials: list[Trial] | None = None, why: str = "a segment would be too small") -> Choice:
    """Return the choice of one segment."""
    return Choice(1, _rows(trials or [], [why] * len(trials or [])), reason)


Pairs = Sequence[tuple[np.ndarray, np.ndarray]]
Fit = Callable[[np.ndarray, np.random.Generator], Clusters]


def try_out(
    rows: np.ndarray, n: int, seed: int, evidence: Evidence = NOTHING, pairs: Pairs = (), method: str = "kmeans"
) -> Trial:
    """Measure `n` segments of rows of length one."""

    def fit(part: np.ndarray, rng: np.random.Generator) -> Clusters:
        if method == "kmeans":
            return cluster(part, n, rng, n_init=TRIES, max_iter=50)
        return METHODS[method](part, n, rng)

    settle = method == "kmeans"
    return replace(measure(rows, n, seed, fit, evidence, pairs, settle=settle), method=method)


def measure(
    rows: np.ndarray,
    n: int,
    seed: int,
    fit: Fit,
    evidence: Evidence = NOTHING,
    pairs: Pairs = (),
    *,
    settle: bool = False,
) -> Trial:
    """Measure the `n` segments that `fit` makes of rows of length one, of random halves of them, and of `pairs`.

    With `settle`, the segments themselves are those, of the fit on everyone and of refits that went on to everyone,
    which the refits resemble most: of groupings that are nearly as good, the one that comes out again.
    """
    whole = fit(rows, generator(seed, "try", n))
    refits, others = [], []
    for number in range(REFITS):
        rng = generator(seed, "refit", n, number)
        half = np.sort(rng.choice(len(rows), max(n, len(rows) // 2), replace=False))
        others.append(fit(rows[half], rng).centers)
        refits.append(nearest(rows, others[-1])[0])
    if settle:
        whole = _most_like(refits, [whole, *(improve(rows, one, max_iter=50, tol=TOL) for one in others)], n)
    couples = itertools.combinations(refits, 2)
    shares = np.bincount(whole.labels, minlength=n) / len(rows)
    told = (
        dict.fromkeys(LIFTS) if evidence.lift is None else dict(zip(LIFTS, evidence.lift(whole.centers), strict=True))
    )
    return Trial(
        n=n,
        stability=float(np.mean([adjusted_rand(a, b, n) for a, b in couples])),
        agreement=float(np.mean([agreement(whole.labels, other, n) for other in refits])),
        apart=float(1 - (shares**2).sum()),
        separation=_separation(rows, whole.centers),
        smallest=float(shares.min()),
        jaccard=float(np.mean([jaccard(whole.labels, other, n) for other in refits])),
        halves=_between_halves(n, seed, fit, pairs) if pairs else None,
        centers=whole.centers,
        **told,
    )


def _most_like(refits: list[np.ndarray], candidates: list[Clusters], n: int) -> Clusters:
    """Return the clustering that has most in common with some labellings; of equal ones the first."""
    alike = [float(np.mean([adjusted_rand(one.labels, other, n) for other in refits])) for one in candidates]
    return candidates[int(np.argmax(alike))]


def _between_halves(n: int, seed: int, fit: Fit, pairs: Pairs) -> float:
    def labels(number: int, side: int, rows: np.ndarray) -> np.ndarray:
        return nearest(rows, fit(rows, generator(seed, "half", n, number, side)).centers)[0]

    found = [(labels(i, 0, a), labels(i, 1, b)) for i, (a, b) in enumerate(pairs)]
    return float(np.mean([adjusted_rand(a, b, n) for a, b in found]))


def _separation(rows: np.ndarray, centers: np.ndarray) -> float:
    if len(centers) < 2:
        return 0.0
    margin = 0.0
    step = max(1, BLOCK // len(centers))
    for start in range(0, len(rows), step):
        two = np.partition(rows[start : start + step] @ centers.T, len(centers) - 2, axis=1)[:, -2:]
        margin += float((two[:, 1] - two[:, 0]).sum(dtype=np.float64))
    return margin / len(rows)


def sampled(rows: np.ndarray, evidence: Evidence, seed: int, *, at_least: int = 0) -> tuple[np.ndarray, Evidence]:
    """Return at most `SAMPLE` users' rows, drawn at random, in their order, and the evidence of the same users."""
    size = max(SAMPLE, at_least)
    if len(rows) <= size:
        return rows, evidence
    users = np.sort(generator(seed, "choose").choice(len(rows), size, replace=False))
    return rows[users], evidence.take(users)


def _table(trials: list[Trial], best: Trial, users: int, least: int, evidence: Evidence) -> pl.DataFrame:
    def verdict(trial: Trial) -> str:
        if trial is best:
            return "chosen"
        if trial.smallest * users < least:
            return f"smallest segment has about {round(trial.smallest * users):,} users, fewer than {least:,}"
        if not trial.tells:
            return "foretells no more than random segments"
        if not trial.comes_out_again(evidence) and best.comes_out_again(evidence):
            return "comes out otherwise from other events" if trial.stability >= evidence.stable else "less stable"
        return "tells less" if _again(trial) >= _again(best) else "less stable"

    return _rows(trials, [verdict(t) for t in trials])


def _rows(trials: list[Trial], verdicts: list[str]) -> pl.DataFrame:
    columns = [name for name in CHOICE if name != "verdict"]
    rows = [(*(getattr(t, name) for name in columns), v) for t, v in zip(trials, verdicts, strict=True)]
    return pl.DataFrame(rows, schema=CHOICE, orient="row")


def _reason(best: Trial, trials: list[Trial], evidence: Evidence) -> str:
    figures = f"stability {best.stability:.2f} of 1, {100 * best.apart:.0f} % of pairs of users told apart"
    if best.halves is not None:
        figures = f"stability {best.stability:.2f} of 1, {best.halves:.2f} between halves of each user's events"
    if best.lift is not None:
        figures += f"; popularity in them finds {100 * best.lift:+.0f} % against random segments"
    tried = f"{trials[0].n} to {trials[-1].n}" if len(trials) > 1 else f"only {best.n}"
    if len(methods := dict.fromkeys(trial.method for trial in trials)) > 1:
        tried += f" by {', '.join(methods)}"
    if best.comes_out_again(evidence):
        word = "much" if best.stability >= GOOD else "roughly" if best.stability >= MODERATE else "loosely"
        tell = "tell most users apart" if best.lift is None else "foretell most"
        from_ = "from half of the users" if best.halves is None else "from other users and other events"
        how = f" by {best.method}" if len(methods) > 1 else ""
        why = f"they {tell} while coming out {word} the same {from_}"
        return f"{best.n} segments{how}: of {tried} tried, {why} ({figures})."
    other = "other users" if best.halves is None else "other users, or other events of the same users,"
    return (
        f"{best.n} segments, with low stability: {other} would have led to other segments, and of {tried} tried "
        f"none does better ({figures}). Read them as a rough map, if at all."
    )
