"""Stay near the last run: its segments' members say where centres start, and hold them half-way.

    vectors, old segment of each user --mean direction--> anchors --Lloyd, half held--> centres near the old ones

A new fit has a space of its own, so old centres mean nothing in it; old members do. Free centres would drift far from
where they started (docs/guides/keeping-segments.md has the figures), so each goes half-way between the mean of the rows
it has now and the mean of its old members: the history cost of evolutionary k-means [1]_, both sides weighed alike.

References
----------
.. [1] Chakrabarti, Kumar and Tomkins, "Evolutionary clustering", KDD 2006. There the old centres hold the new ones, in
   one space; here their members do.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.seeding import generator
from shoal.segment.choose import Choice, choose, least_users
from shoal.segment.spherical import TOL, Clusters, improve, seed_centers, unit
from shoal.segment.trial import GOOD, MODERATE, NOTHING, Evidence, Trial, measure, sampled
from shoal.tables import UNASSIGNED

CLEARLY = 0.1
"""By how much stability times `apart` must be larger for more segments than before."""
STARTS = 10  # where centres are added to the old ones


def anchors_of(rows: np.ndarray, old: np.ndarray) -> np.ndarray | None:
    """Return the mean direction of each old segment's members, (old segments, width), by rising old number.

    None where fewer than two old segments have members left that point anywhere: then there is nothing to stay near.

    Parameters
    ----------
    rows : numpy.ndarray
        (users, width), of length one.
    old : numpy.ndarray
        (users,) the segment in the last run; -1 for those who had none.
    """
    means = [rows[old == one].mean(axis=0, dtype=np.float64) for one in np.unique(old[old != UNASSIGNED])]
    anchors = unit(np.stack(means)).astype(rows.dtype) if means else np.empty((0, rows.shape[1]), rows.dtype)
    anchors = anchors[anchors.any(axis=1)]
    return anchors if len(anchors) > 1 else None


def near(rows: np.ndarray, n: int, anchors: np.ndarray, rng: np.random.Generator, *, max_iter: int = 100) -> Clusters:
    """Cluster `rows` into `n` with the first centres held by `anchors`; the others, if any, are drawn and free."""
    held = np.concatenate([anchors, np.zeros((n - len(anchors), rows.shape[1]), rows.dtype)])
    tries = (
        improve(rows, seed_centers(rows, n, rng, first=anchors), max_iter=max_iter, tol=TOL, anchors=held)
        for _ in range(STARTS if n > len(anchors) else 1)
    )
    return min(tries, key=lambda found: found.inertia)


def stay(
    rows: np.ndarray, anchors: np.ndarray, *, at_most: int, seed: int, evidence: Evidence = NOTHING
) -> tuple[Choice, np.ndarray | None]:
    """Choose the number of segments where there is a last run: as many as before, unless the evidence is clear.

    - An old segment that now has fewer than `least_users` members is given up.
    - More than are left: where the number that `shoal.segment.choose.choose` would take without a last run is larger,
      comes out much the same from half of the users (stability of `GOOD` or more), and its stability times `apart` is
      larger by `CLEARLY` than that of the old number, both started afresh.
    - Chosen afresh: where the old segments, refitted from where they are on halves of the users, do not come out even
      roughly the same (stability below `MODERATE`), or fewer than two are left.

    Returns
    -------
    choice : Choice
    anchors : numpy.ndarray or None
        Those of the segments that stay; None where all start afresh.
    """
    fresh = choose(rows, at_most=at_most, seed=seed, evidence=evidence)
    left = _large_enough(rows, anchors, seed)
    if len(left) < 2:
        return fresh, None
    found = _try_near(rows, left, seed, evidence)
    if found.stability < MODERATE:
        return fresh, None
    if _clearly_more(fresh, len(left)):
        return fresh, left
    given_up = len(anchors) - len(left)
    words = "as many as before" if not given_up else f"{given_up} fewer than before, which became too small"
    reason = (
        f"{len(left)} segments, {words}: refitted near the last run on half of the users, they come out "
        f"{'much' if found.stability >= GOOD else 'roughly'} the same (stability {found.stability:.2f} of 1), and no "
        "larger number does clearly better."
    )
    return Choice(len(left), _told(fresh.table, found), reason, found.agreement), left


def _large_enough(rows: np.ndarray, anchors: np.ndarray, seed: int) -> np.ndarray:
    """Leave out old segments that are too small now, the smallest first: its members may fill up another."""
    while len(anchors) > 1:
        found = near(rows, len(anchors), anchors, generator(seed, "near"))
        sizes = np.bincount(found.labels, minlength=len(anchors))
        if sizes[-1] >= least_users(len(rows)):
            break
        own = (anchors @ found.centers.T).argmax(axis=1)  # the centre that an anchor holds is the nearest to it
        smallest = np.flatnonzero(own == len(anchors) - 1)
        anchors = np.delete(anchors, smallest[0] if len(smallest) else len(anchors) - 1, axis=0)
    return anchors


def _try_near(rows: np.ndarray, anchors: np.ndarray, seed: int, evidence: Evidence) -> Trial:
    rows, evidence = sampled(rows, evidence, seed)
    n, pairs = len(anchors), evidence.halves(len(rows))
    return measure(rows, n, seed, lambda part, rng: near(part, n, anchors, rng, max_iter=50), evidence, pairs)


def _clearly_more(fresh: Choice, n: int) -> bool:
    trials = {row["n"]: row for row in fresh.table.to_dicts()}
    if fresh.n <= n or n not in trials or trials[fresh.n]["stability"] < GOOD:
        return False
    new, old = (trials[k]["stability"] * trials[k]["apart"] for k in (fresh.n, n))
    return bool(new > old + CLEARLY)


def _told(table: pl.DataFrame, found: Trial) -> pl.DataFrame:
    """Put the segments that stay into the table of trials in place of those of the same number, as the chosen ones."""
    verdict = pl.col("verdict").replace("chosen", "not clearly better than as many as before")
    row = {name: getattr(found, name) for name in table.columns if name != "verdict"} | {"verdict": "chosen"}
    kept = pl.DataFrame([row], schema=table.schema)
    return pl.concat([table.with_columns(verdict).filter(pl.col("n") != found.n), kept]).sort("n")
