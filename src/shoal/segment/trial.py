"""One number of segments, tried: whether they come out the same again, tell users apart, and foretell what users do.

Refit on random halves of the users, place everyone, and compare the refits; refit on either half of each user's events,
and compare the two; count what is popular in each segment, and see how much better that finds held-out events than what
is popular in random segments of the same sizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shoal.seeding import generator
from shoal.segment.agree import adjusted_rand, agreement, jaccard
from shoal.segment.methods import grouped
from shoal.segment.spherical import BLOCK, TOL, Clusters, improve, nearest

REFITS = 5
ROUNDS = 50  # of k-means
SAMPLE = 10_000  # users measured on, at most
GOOD, MODERATE = 0.80, 0.65  # adjusted Rand index; the words are Steinley's, Psychological Methods 9(3), 2004
HALVES = 0.6  # adjusted Rand index of segments from two halves of each user's events

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


Pairs = Sequence[tuple[np.ndarray, np.ndarray]]
Fit = Callable[[np.ndarray, np.random.Generator], Clusters]


def try_out(
    rows: np.ndarray, n: int, seed: int, evidence: Evidence = NOTHING, pairs: Pairs = (), method: str = "kmeans"
) -> Trial:
    """Measure `n` segments of rows of length one."""

    def fit(part: np.ndarray, rng: np.random.Generator) -> Clusters:
        return grouped(part, n, rng, method, rounds=ROUNDS)

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
        whole = _most_like(refits, [whole, *(improve(rows, one, max_iter=ROUNDS, tol=TOL) for one in others)], n)
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
