"""How many segments: enough to foretell what users do, few enough to come out the same again.

More segments tell more users apart, as long as other users, or other events of the same users, would have led to the
same ones; `shoal.segment.trial` measures how far both is so, for each number that is tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from shoal.segment.trial import GOOD, MODERATE, NOTHING, Evidence, Trial, sampled, try_out

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
    times the agreement between halves of events, less where refits differ much (`Trial.worth`). Without evidence: the
    product of stability and `Trial.apart`, the share of pairs of users that the segments tell apart. (The largest
    stable number would split a planted segment at random; the most stable number is often 2, and says little.) Where
    none comes out again, the one that does so most, and the reason says so; where held-out events bear none out, or the
    users are too few for two segments, one.

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
