"""How much more, or less, one group does something than everyone else: shrunken log-odds.

A label that is frequent everywhere says nothing about a segment; a label that is rare everywhere says it by chance. The
log-odds ratio with an informative Dirichlet prior [1]_ sees to both: the prior is what everyone does.

References
----------
.. [1] Monroe, Colaresi and Quinn, "Fightin' words", Political Analysis 16, 2008. There labels share one multinomial;
   ours may overlap (a film has several genres), so each label is a yes or no of its own.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.tables import SEGMENT

PRIOR = 100.0
"""The prior weighs as much as so many events of everyone's."""


def log_odds(
    count_in: np.ndarray, total_in: np.ndarray, count_out: np.ndarray, total_out: np.ndarray, prior: float = PRIOR
) -> np.ndarray:
    """Return the z-score of the log-odds ratio of a label inside against outside, (labels,); 0 where nobody is outside.

    Events of one user depend on each other, so the score is for ordering, and no test.

    Parameters
    ----------
    count_in, count_out : numpy.ndarray
        Events with the label.
    total_in, total_out : numpy.ndarray
        All events.
    prior : float
        Weight of everyone's share, in events.
    """
    everyone = (count_in + count_out) / np.maximum(1, total_in + total_out)
    yes, no = prior * np.clip(everyone, 1e-9, 1), prior * np.clip(1 - everyone, 1e-9, 1)
    inside = np.log(count_in + yes) - np.log(total_in - count_in + no)
    outside = np.log(count_out + yes) - np.log(total_out - count_out + no)
    spread = np.sqrt(1 / (count_in + yes) + 1 / (count_out + yes))
    return np.where(total_out > 0, (inside - outside) / spread, 0.0)


def contrasts(counts: pl.DataFrame, by: list[str], totals: pl.DataFrame) -> pl.DataFrame:
    """Hold each label in each segment against everyone else.

    Parameters
    ----------
    counts : polars.DataFrame
        segment, the `by` columns, count; a combination stands once, and may be missing where the count is 0.
    by : list of str
        Columns that make a label.
    totals : polars.DataFrame
        segment, total: what shares are of.

    Returns
    -------
    polars.DataFrame
        segment, `by`, count, share_in, share_out (Float64, 0 to 1; share_out null where nobody is outside), contrast
        (Float64; above 0: more than elsewhere). Every label stands in every segment.
    """
    labels = counts.group_by(by, maintain_order=True).agg(everyone=pl.col("count").sum())
    full = totals.join(labels, how="cross").join(counts, on=[SEGMENT, *by], how="left")
    full = full.with_columns(pl.col("count").fill_null(0))
    full = full.with_columns(outside=totals["total"].sum() - pl.col("total"))
    count_in, total_in, total_out, everyone = (
        full[c].cast(pl.Float64).to_numpy() for c in ("count", "total", "outside", "everyone")
    )
    contrast = log_odds(count_in, total_in, everyone - count_in, total_out)
    return full.select(
        SEGMENT,
        *by,
        "count",
        share_in=pl.when(pl.col("total") > 0).then(pl.col("count") / pl.col("total")).otherwise(0.0),
        share_out=pl.when(pl.col("outside") > 0).then((pl.col("everyone") - pl.col("count")) / pl.col("outside")),
        contrast=pl.Series(contrast),
    )
