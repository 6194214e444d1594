"""Ranking metrics: is what users went on to choose near the top of their lists?

All take recommendations (user_id, item_id, rank from 1, best first) and truth (user_id, item_id), and look at the first
`n` ranks. Ids may be strings, categoricals or whole numbers, and are compared as strings. A pair that stands twice in
`truth` counts once. A user with truth and no recommendations scores 0, so a model cannot gain by staying silent; a user
with recommendations and no truth is left out and counted in `PerUser.skipped`. Rank the full catalogue: values on
sampled candidates can order models wrongly [1]_.

References
----------
.. [1] Krichene, Rendle: On Sampled Metrics for Item Recommendation. KDD 2020.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from shoal.errors import ConfigError, TableError
from shoal.evaluate.pairs import check_once, with_string_ids
from shoal.evaluate.per_user import PER_USER, VALUE, N, PerUser
from shoal.tables import ITEM, RANK, USER


def ndcg(recommendations: pl.DataFrame, truth: pl.DataFrame, *, n: int = 10) -> PerUser:
    """Normalised discounted cumulative gain of the first `n` recommendations, per user, 0 to 1.

    The gain is 1 for an item in `truth` and 0 otherwise; rank r is discounted by log2(r + 1); the ideal list holds
    min(n, relevant) hits [1]_.

    Raises
    ------
    TableError
        A column is missing, an item stands twice in a user's list, or ranks do not run 1, 2, 3, ...
    NotEnoughDataError
        `truth` is empty.
    ConfigError
        `n` is less than 1.

    References
    ----------
    .. [1] Jarvelin, Kekalainen: Cumulated gain-based evaluation of IR techniques. ACM TOIS 2002.
    """
    gain = (1 / (pl.col(RANK).cast(pl.Float64) + 1).log(2)).sum()
    return _judge(recommendations, truth, n, "ndcg", gain, _ideal)


def recall(recommendations: pl.DataFrame, truth: pl.DataFrame, *, n: int = 10) -> PerUser:
    """Share of what could be found that the first `n` recommendations found: hits / min(n, relevant), per user, 0 to 1.

    As in Liang et al. [1]_; the textbook divides by all relevant items, which a short list cannot reach. The two agree
    where nobody has more than n relevant items. Raises as `ndcg`.

    References
    ----------
    .. [1] Liang, Krishnan, Hoffman, Jebara: Variational Autoencoders for Collaborative Filtering. WWW 2018.
    """
    return _judge(recommendations, truth, n, "recall", pl.len().cast(pl.Float64), lambda reachable: reachable)


def hit_rate(recommendations: pl.DataFrame, truth: pl.DataFrame, *, n: int = 10) -> PerUser:
    """Whether at least one of the first `n` recommendations is in `truth`, per user, 0 or 1. Raises as `ndcg`."""
    return _judge(recommendations, truth, n, "hit_rate", pl.lit(1.0), np.ones_like)


def mrr(recommendations: pl.DataFrame, truth: pl.DataFrame, *, n: int = 10) -> PerUser:
    """Reciprocal rank of the first hit, 0 where none is among the first `n`, per user, 0 to 1. Raises as `ndcg`."""
    return _judge(recommendations, truth, n, "mrr", 1 / pl.col(RANK).min().cast(pl.Float64), np.ones_like)


def _judge(
    recommendations: pl.DataFrame,
    truth: pl.DataFrame,
    n: int,
    name: str,
    gain: pl.Expr,
    ideal: Callable[[np.ndarray], np.ndarray],
) -> PerUser:
    """Aggregate each user's hits by `gain`, and divide by `ideal` of the number of hits within reach (users,)."""
    top = check_recommendations(recommendations, n)
    truth = with_string_ids(truth, "truth").unique()
    # In the order of the lists, so that a sum is the same to the last bit in each run.
    hits = top.join(truth, on=[USER, ITEM], how="semi", maintain_order="left").group_by(USER).agg(gain.alias("gain"))
    users = truth.group_by(USER).agg(pl.len().cast(pl.Int32).alias(N)).sort(USER)
    users = users.join(hits, on=USER, how="left", maintain_order="left").with_columns(pl.col("gain").fill_null(0.0))
    reachable = np.minimum(users[N].to_numpy(), n).astype(np.float64)
    table = users.with_columns(pl.Series(VALUE, users["gain"].to_numpy() / ideal(reachable))).select(*PER_USER)
    skipped = top.select(USER).unique().join(users, on=USER, how="anti").height
    return PerUser(table, f"{name}@{n}", skipped)


def _ideal(reachable: np.ndarray) -> np.ndarray:
    """Return the gain of a list that begins with so many hits."""
    most = int(reachable.max(initial=1))
    gains = np.cumsum(1 / np.log2(np.arange(1, most + 1) + 1))
    return gains[reachable.astype(np.int64) - 1]


def check_recommendations(recommendations: pl.DataFrame, n: int) -> pl.DataFrame:
    """Return the first `n` recommendations of each user: user_id, item_id (String) and rank, checked.

    Raises
    ------
    TableError
        A column is missing, an item stands twice in a user's list, or ranks do not run 1, 2, 3, ...
    ConfigError
        `n` is less than 1.
    """
    if n < 1:
        raise ConfigError(f"n = {n}: a list must have at least 1 place.")
    pairs = with_string_ids(recommendations, "recommendations", RANK)
    if not pairs.schema[RANK].is_integer():
        raise TableError(f"recommendations: column {RANK} is {pairs.schema[RANK]}, and must be a whole number.")
    check_once(pairs, "recommendations")
    lists = pairs.group_by(USER).agg(
        (pl.col(RANK).n_unique() == pl.len()).alias("distinct"),
        (pl.col(RANK).min() == 1).alias("from_one"),
        (pl.col(RANK).max() == pl.len()).alias("dense"),
    )
    wrong = lists.filter(~(pl.col("distinct") & pl.col("from_one") & pl.col("dense")))
    if wrong.height:
        user = wrong[USER].sort()[0]
        ranks = pairs.filter(pl.col(USER) == user)[RANK].sort().head(5).to_list()
        raise TableError(
            f"recommendations: the ranks of user {user} begin with {', '.join(map(str, ranks))}; they must run "
            f"1, 2, 3, ... ({wrong.height:,} users with such ranks). Number each user's list anew."
        )
    return pairs.filter(pl.col(RANK) <= n)
