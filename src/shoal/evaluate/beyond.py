"""Beyond accuracy: how much of the catalogue is shown, how little known it is, how unlike each other the items are."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import sparse

from shoal.errors import MismatchError, NotEnoughDataError, TableError
from shoal.evaluate.pairs import with_string_ids
from shoal.evaluate.per_user import PER_USER, VALUE, N, PerUser
from shoal.evaluate.ranking import check_recommendations
from shoal.tables import ITEM, USER


def coverage(recommendations: pl.DataFrame, catalogue: pl.DataFrame, *, n: int = 10) -> float:
    """Share (0 to 1) of the catalogue that stands among the first `n` recommendations of at least one user.

    It grows with the number of users: compare models on the same users only.

    Parameters
    ----------
    recommendations : polars.DataFrame
        user_id, item_id, rank.
    catalogue : polars.DataFrame
        item_id of everything that could be recommended, such as an Items table.
    n : int
        Places that count.

    Raises
    ------
    MismatchError
        Something is recommended that is not in the catalogue.
    NotEnoughDataError
        The catalogue is empty.
    """
    shown = check_recommendations(recommendations, n).select(ITEM).unique()
    items = with_string_ids(catalogue, "catalogue", ids=(ITEM,)).unique()
    if not items.height:
        raise NotEnoughDataError("The catalogue is empty: there is nothing to cover.")
    _check_known(shown, items, "the catalogue")
    return shown.height / items.height


def novelty(recommendations: pl.DataFrame, interactions: pl.DataFrame, *, n: int = 10) -> PerUser:
    """Mean self-information of the first `n` recommendations, per user, in bits [1]_.

    An item that a share p of the users of `interactions` has carries -log2(p): 0 if everyone has it, 1 if half of them
    do. An item that nobody has counts as if one user had it. Users without recommendations have no value.

    Parameters
    ----------
    recommendations : polars.DataFrame
        user_id, item_id, rank.
    interactions : polars.DataFrame
        What was known: the training interactions.
    n : int
        Places that count.

    References
    ----------
    .. [1] Zhou et al.: Solving the apparent diversity-accuracy dilemma of recommender systems. PNAS 2010.
    """
    top = check_recommendations(recommendations, n)
    known = with_string_ids(interactions, "interactions").unique()
    users = known[USER].n_unique()
    having = known.group_by(ITEM).agg(pl.len().alias("having"))
    top = top.join(having, on=ITEM, how="left").with_columns(pl.col("having").fill_null(1))
    bits = (users / pl.col("having")).log(2)
    table = top.group_by(USER).agg(bits.mean().alias(VALUE), pl.len().cast(pl.Int32).alias(N)).sort(USER)
    return PerUser(table.select(*PER_USER), f"novelty@{n}")


def diversity(recommendations: pl.DataFrame, vectors: pl.DataFrame, *, n: int = 10) -> PerUser:
    """Mean of 1 - cosine over all pairs among the first `n` recommendations, per user, 0 to 2 [1]_.

    A list of less than two items has no pair: its user is left out and counted in `skipped`. A vector of length 0 (an
    item without text) is unlike everything: its cosine is 0.

    Parameters
    ----------
    recommendations : polars.DataFrame
        user_id, item_id, rank.
    vectors : polars.DataFrame
        item_id and vector (Array of floats), each item once.
    n : int
        Places that count.

    Raises
    ------
    MismatchError
        A recommended item has no vector.

    References
    ----------
    .. [1] Ziegler, McNee, Konstan, Lausen: Improving recommendation lists through topic diversification. WWW 2005.
    """
    top = check_recommendations(recommendations, n)
    items, unit = _unit_vectors(vectors)
    _check_known(top.select(ITEM).unique(), items, "the table of vectors")
    users = top.group_by(USER).agg(pl.len().cast(pl.Int32).alias(N)).sort(USER).with_row_index("user_row")
    rows = top.join(items, on=ITEM).join(users, on=USER).select("user_row", "item_row")
    lists = sparse.csr_matrix(
        (np.ones(rows.height, unit.dtype), (rows["user_row"].to_numpy(), rows["item_row"].to_numpy())),
        shape=(users.height, items.height),
    )
    # The cosines of all ordered pairs sum to |sum of the unit vectors|^2; an item's pair with itself is taken off.
    whole = ((lists @ unit) ** 2).sum(axis=1)  # (users,)
    own = lists @ (unit**2).sum(axis=1)
    count = users[N].to_numpy().astype(np.float64)
    value = 1 - (whole - own) / np.maximum(count * (count - 1), 1)
    table = users.with_columns(pl.Series(VALUE, value.astype(np.float64)))
    judged = table.filter(pl.col(N) > 1)
    return PerUser(judged.select(*PER_USER), f"diversity@{n}", skipped=table.height - judged.height)


def _unit_vectors(vectors: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the items with their row numbers, and their vectors at length 1, (items, width) float64."""
    table = with_string_ids(vectors, "vectors", "vector", ids=(ITEM,))
    if not isinstance(table.schema["vector"], pl.Array):
        raise TableError(f"vectors: column vector is {table.schema['vector']}, and must be an Array of floats.")
    if table[ITEM].n_unique() < table.height:
        raise TableError("vectors: an item stands twice; each may stand once.")
    raw = table["vector"].to_numpy().astype(np.float64).reshape(table.height, -1)
    length = np.linalg.norm(raw, axis=1, keepdims=True)
    return table.select(ITEM).with_row_index("item_row"), raw / np.where(length > 0, length, 1)


def _check_known(shown: pl.DataFrame, items: pl.DataFrame, where: str) -> None:
    unknown = shown.join(items, on=ITEM, how="anti")
    if unknown.height:
        raise MismatchError(
            f"Item {unknown[ITEM].sort()[0]} is recommended and is not in {where} ({unknown.height:,} such items). "
            "Give the items that the recommendations were made from."
        )
