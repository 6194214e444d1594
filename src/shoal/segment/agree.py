"""How alike two groupings of the same users are: of all of them, of the users, and of each segment."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def adjusted_rand(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Return the adjusted Rand index [1]_ of two labellings (users,) with labels below `n`; 0 is chance.

    References
    ----------
    .. [1] Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 1985.
    """
    table = contingency(a, b, n).astype(np.float64)
    both, in_a, in_b = (float((t * (t - 1) / 2).sum()) for t in (table, table.sum(1), table.sum(0)))
    chance = in_a * in_b / max(1.0, len(a) * (len(a) - 1) / 2)
    most = (in_a + in_b) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)


def agreement(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Return the share of users in matching segments, under the matching of labels that makes it largest."""
    table = contingency(a, b, n)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(a))


def jaccard(labels: np.ndarray, other: np.ndarray, n: int) -> np.ndarray:
    """Return the Jaccard index (n,) of each segment with its match in another labelling: members of both in either.

    Segments are matched one to one such that the sum of the indices is largest; 0 for a segment that is left over.
    """
    both = contingency(labels, other, n).astype(np.float64)
    either = both.sum(1, keepdims=True) + both.sum(0) - both
    index = both / np.maximum(either, 1)
    own, match = linear_sum_assignment(index, maximize=True)
    found = np.zeros(n)
    found[own] = index[own, match]
    return found


def contingency(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Return how many users have label i in one and j in the other: (n, n)."""
    return np.bincount(a.astype(np.int64) * n + b, minlength=n * n).reshape(n, n)
