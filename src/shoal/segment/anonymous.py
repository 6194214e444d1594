"""Counts that identify nobody: small cells are hidden, and as many others as it takes that no total gives them away.

counts (segments, values) + totals --cells below k hidden--> --bounds by linear programming--> more hidden, until every
small cell could be any of a range of at least k numbers
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import linprog

from shoal.errors import ConfigError, TableError, UnknownIdError, did_you_mean
from shoal.segment.export import HOLDOUT, K, check_k, held_out
from shoal.segment.profile import is_trait
from shoal.tables import NAME, SEGMENT, USER

NOT_TOLD = "(not told)"

COUNTS = {
    SEGMENT: pl.Int32(),
    NAME: pl.String(),
    "trait": pl.String(),
    "value": pl.String(),
    "users": pl.Int64(),
    HOLDOUT: pl.Int64(),
    "hidden": pl.Boolean(),
}
"""The columns of `counts`."""


def counts(
    members: pl.DataFrame,
    segments: pl.DataFrame,
    *,
    users: pl.DataFrame | None = None,
    traits: Sequence[str] = (),
    holdout: float = 0.0,
    seed: int = 0,
    k: int = K,
) -> pl.DataFrame:
    """Count users by segment, and by segment and trait, so that no group of fewer than k can be computed.

    Parameters
    ----------
    members, segments, holdout, seed, k
        See `members_table`.
    users : polars.DataFrame, optional
        Users, for the traits.
    traits : sequence of str
        Columns of `users`; whoever nothing is told of counts as ``(not told)``.

    Returns
    -------
    polars.DataFrame
        `COUNTS`: segment (null: all), name, trait and value (null: all), users, holdout, hidden. Where `hidden`, users
        and holdout are null: the number is below `k`, or it would give another one away that is. Holdouts are told
        only by segment, and only where both sides have `k` users. The sum of all users is always told.

    Raises
    ------
    ConfigError
        `k` is below 1, `holdout` is no share, or there are fewer than `k` users in all.
    UnknownIdError, TableError
        A trait is no column of `users`, or has too many values to count by.

    Notes
    -----
    Each trait has a table of its own, which shares the totals of segments with the others. Two traits are never
    crossed. See `shoal.segment.anonymous` for what is hidden, and what that protects from.
    """
    check_k(k)
    if members.height < k:
        raise ConfigError(f"There are {members.height} users in all, fewer than k = {k}: any count would tell of them.")
    table = members.select(pl.col(USER).cast(pl.String), SEGMENT).sort(USER)
    table = table.with_columns(held_out(table[USER], holdout, seed=seed))
    names = dict(segments.select(SEGMENT, NAME).iter_rows())
    numbers = sorted(table[SEGMENT].unique().to_list())
    totals = np.array([table.filter(pl.col(SEGMENT) == s).height for s in numbers])
    hidden = hidden_totals(totals, k)
    held = [int(table.filter(pl.col(SEGMENT) == s)[HOLDOUT].sum()) for s in numbers]
    rows: list[tuple[Any, ...]] = [(None, None, None, None, table.height, None, False)]
    for s, total, out, hide in zip(numbers, totals, held, hidden, strict=True):
        told = not hide and holdout > 0 and min(out, total - out) >= k
        rows.append((s, names.get(s), None, None, None if hide else int(total), out if told else None, bool(hide)))
    for trait in traits:
        rows += _by_trait(table, _values(users, trait), numbers, names, hidden, trait, k)
    return pl.DataFrame(rows, COUNTS, orient="row")


def _values(users: pl.DataFrame | None, trait: str) -> pl.DataFrame:
    known = [] if users is None else [c for c in users.columns if c != USER]
    if users is None or trait not in known:
        there = ", ".join(known) or "none"
        raise UnknownIdError(f"The users have no trait {trait}; there are: {there}.{did_you_mean(trait, known)}")
    if not is_trait(users[trait]):
        raise TableError(
            f"The trait {trait} has {users[trait].n_unique():,} values of type {users[trait].dtype}: too many to count "
            "by, or one alone. Give a column that groups users."
        )
    return users.select(pl.col(USER).cast(pl.String), pl.col(trait).cast(pl.String).alias("value"))


def _by_trait(
    table: pl.DataFrame,
    values: pl.DataFrame,
    numbers: list[int],
    names: dict[int, str],
    rows_hidden: np.ndarray,
    trait: str,
    k: int,
) -> list[tuple[Any, ...]]:
    both = table.join(values, on=USER, how="left").with_columns(pl.col("value").fill_null(NOT_TOLD))
    words = both["value"].unique().sort().to_list()
    found = {(s, v): n for s, v, n in both.group_by(SEGMENT, "value").len().iter_rows()}
    cells = np.array([[found.get((s, v), 0) for v in words] for s in numbers])
    hidden = hidden_cells(cells, rows_hidden, k)
    lines = [*zip(numbers, cells, hidden[:-1], strict=True), (None, cells.sum(0), hidden[-1])]
    return [
        (s, None if s is None else names.get(s), trait, v, None if hide else int(n), None, bool(hide))
        for s, line, hides in lines
        for v, n, hide in zip(words, line, hides, strict=True)
    ]


def hidden_totals(totals: np.ndarray, k: int) -> np.ndarray:
    """Return which of some counts (n,) are to be hidden when their sum is known.

    Those below `k`; and where these could be computed from the sum, or narrowed to fewer than `k` numbers, the smallest
    others too. If not even all of them are enough, because the sum is below `k`, all are hidden: the sum is for the
    caller to hide.
    """
    hidden = totals < k
    order = np.argsort(totals, kind="stable")
    while hidden.any() and not hidden.all() and (hidden.sum() < 2 or totals[hidden].sum() < k):
        hidden[order[np.flatnonzero(~hidden[order])[0]]] = True
    return hidden


def hidden_cells(counts: np.ndarray, rows_hidden: np.ndarray, k: int) -> np.ndarray:
    """Return which cells, and totals of columns, are to be hidden, (rows + 1, columns) bool.

    Parameters
    ----------
    counts : (rows, columns) int
    rows_hidden : (rows,) bool
        Totals of rows that are hidden already; the others, and the sum of all, are known to everybody.
    k : int
        1 or more.

    Returns
    -------
    numpy.ndarray
        The last row is for the totals of columns. Cells and totals below `k` are hidden, zeros among them. Whoever
        knows the rest, all that is shown and that counts are not below 0, can narrow none of these to fewer than `k`
        numbers in a row (a range of k), unless the sum of all is too small for that; then all is hidden.
    """
    table = np.vstack([counts, counts.sum(0)])
    hidden = table < k
    small = hidden.copy()
    while small.any() and not hidden.all():
        low, high = bounds(table, hidden, rows_hidden)
        narrow = small & (high - low < k)
        if not narrow.any():
            break
        for row, column in np.argwhere(narrow):
            _hide_beside(table, hidden, int(row), int(column))
    return hidden


def _hide_beside(table: np.ndarray, hidden: np.ndarray, row: int, column: int) -> None:
    """Hide the smallest visible cell of the row, and of the column; any other where both are hidden already."""
    found = False
    for cells in ([(row, c) for c in range(table.shape[1])], [(r, column) for r in range(table.shape[0])]):
        visible = [(table[at], at) for at in cells if not hidden[at]]
        if visible:
            hidden[min(visible)[1]] = found = True
    if not found and not hidden.all():
        hidden[min((table[tuple(at)], tuple(at)) for at in np.argwhere(~hidden))[1]] = True


def bounds(table: np.ndarray, hidden: np.ndarray, rows_hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest number that each cell could be, for whoever sees the rest: two like `table`.

    Parameters
    ----------
    table : (rows + 1, columns)
        Counts, and the totals of columns below them.
    hidden : (rows + 1, columns) bool
    rows_hidden : (rows,) bool
    """
    unknown = np.argwhere(hidden)
    place = {tuple(at): i for i, at in enumerate(unknown)}
    n = len(unknown)
    equations, right = [], []
    rows = len(table) - 1
    # The sum of a row is known; that of all hidden rows is, since the sum of all rows is.
    groups = [[r] for r in range(rows) if not rows_hidden[r]] + [list(np.flatnonzero(rows_hidden))] + [[rows]]
    for group in groups:
        line = np.zeros(n)
        for r in group:
            for c in range(table.shape[1]):
                if hidden[r, c]:
                    line[place[(r, c)]] = 1
        if line.any():
            equations.append(line)
            right.append(float(sum(table[r, c] for r in group for c in range(table.shape[1]) if hidden[r, c])))
    for c in range(table.shape[1]):  # cells of a column less its total
        line, known = np.zeros(n), 0.0
        for r in range(rows + 1):
            sign = -1.0 if r == rows else 1.0
            if hidden[r, c]:
                line[place[(r, c)]] = sign
            else:
                known -= sign * table[r, c]
        if line.any():
            equations.append(line)
            right.append(known)
    low, high = table.astype(np.float64), table.astype(np.float64)
    for i, at in enumerate(unknown):
        for sign, out in ((1.0, low), (-1.0, high)):
            goal = np.zeros(n)
            goal[i] = sign
            solved = linprog(goal, A_eq=np.array(equations), b_eq=np.array(right), bounds=(0, None), method="highs")
            out[tuple(at)] = sign * solved.fun if solved.success else (0.0 if sign > 0 else np.inf)
    return low, high
