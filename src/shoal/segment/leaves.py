"""Leaves of shallow decision trees, as texts: bounds on facts, joined by and; at most two such, joined by or.

    values (users, facts), inside (users,)  --tree of depth 3--> nodes --path from the root--> conjunctions of bounds
    conjunctions  --bounds rounded, some left out--> those, and pairs of them, that find the inside best

Missing values follow the rule language: a bound on something missing does not hold. A tree cannot be told so; there
the median stands in, and what is chosen is chosen by the bounds themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from sklearn.tree import DecisionTreeClassifier

DEEPEST = 3  # splits above a leaf, which are bounds in a conjunction
LEAST_LEAF = 5  # users
OF_IT = 0.25  # share of the users inside, more than which no leaf needs, unless that is fewer than `LEAST_LEAF`
DIGITS = 2  # significant ones of a bound, or more where these would send other users its way
ALIKE, ALIKE_INSIDE = 0.99, 0.95
"""Shares of the learners, and of those inside, who lie on the same side of a bound when it is rounded."""
WORTH = 0.03
"""F1 that a longer rule must bring more. On MovieLens 1M and Last.fm rules then have 2.1 bounds instead of 3.2, and on
users whom they were not learnt from an F1 that is lower by .01."""
FOLDS = 3

Unit = Literal["share", "whole", "days", "number", "truth"]
BIGGEST = 1e30  # of which a tree can take many: it adds them up as float32


@dataclass(frozen=True)
class Fact:
    """Something that rules can ask of a user.

    Attributes
    ----------
    text : str
        As a rule writes it: ``share("Horror")``, ``event_count``, ``gender == "F"``.
    unit : str
        ``share`` (0 to 1), ``whole`` (whole numbers), ``days``, ``number``, ``truth`` (1 or 0).
    otherwise : str
        How a rule writes that a truth does not hold; empty for numbers.
    """

    text: str
    unit: Unit
    otherwise: str = ""


@dataclass(frozen=True)
class Bound:
    """One condition: the fact of a column lies above a limit, or does not."""

    column: int
    above: bool
    limit: float


Conjunction = tuple[Bound, ...]
Alternatives = tuple[Conjunction, ...]


def grow(values: np.ndarray, inside: np.ndarray, *, balanced: bool) -> DecisionTreeClassifier:
    """Fit a tree of depth `DEEPEST`.

    Parameters
    ----------
    values : (users, facts)
        None of them missing; see `filled`.
    inside : (users,) bool
    balanced : bool
        Weigh users inside and outside alike, which makes larger leaves of a small segment.
    """
    least = min(len(inside) // 200, int(OF_IT * inside.sum()))
    tree = DecisionTreeClassifier(
        max_depth=DEEPEST,
        min_samples_leaf=max(LEAST_LEAF, least),
        class_weight="balanced" if balanced else None,
        random_state=0,
    )
    return tree.fit(values, inside)


def paths(tree: DecisionTreeClassifier) -> dict[int, Conjunction]:
    """Return the bounds that lead from the root to each other node, by its number; the tightest of each side alone."""
    found, shape = dict[int, Conjunction](), tree.tree_
    open_: list[tuple[int, Conjunction]] = [(0, ())]
    while open_:
        node, path = open_.pop()
        if path:
            found[node] = tightest(path)
        if shape.children_left[node] >= 0:
            column, limit = int(shape.feature[node]), float(shape.threshold[node])
            open_.append((int(shape.children_left[node]), (*path, Bound(column, above=False, limit=limit))))
            open_.append((int(shape.children_right[node]), (*path, Bound(column, above=True, limit=limit))))
    return dict(sorted(found.items()))


def tightest(path: Sequence[Bound]) -> Conjunction:
    """Return the same with one bound a fact and side, where the first of them stood."""
    kept: dict[tuple[int, bool], Bound] = {}
    for bound in path:
        side = (bound.column, bound.above)
        old = kept.get(side, bound)
        tighter = bound.limit > old.limit if bound.above else bound.limit < old.limit
        kept[side] = bound if tighter else old
    return tuple(kept.values())


def rounded(path: Conjunction, facts: Sequence[Fact], values: np.ndarray, inside: np.ndarray) -> Conjunction:
    """Return the same with limits that one can read: shares to .01, days to whole ones, others to the digits they need.

    Two digits do for most; a year of birth needs four, or everyone would be older.

    Parameters
    ----------
    path : Conjunction
    facts : sequence of Fact
    values : (users, facts) float64
        Of the users whom the path was learnt from: at least 99 of 100 stay on their side of each limit, but for shares
        and days.
    inside : (users,) bool
        So do at least 95 of 100 of these.
    """
    limits = [_short(b.limit, facts[b.column].unit, values[:, b.column], inside) for b in path]
    return tightest([replace(b, limit=limit) for b, limit in zip(path, limits, strict=True)])


def _short(limit: float, unit: Unit, column: np.ndarray, inside: np.ndarray) -> float:
    """Return a limit with the fewest digits that send users the way that the limit does; a missing value goes none."""
    known, told = ~np.isnan(column), readable(limit, unit)
    for digits in range(DIGITS + 1, 16) if unit not in ("truth", "share") else ():
        moved = (column > told) != (column > limit)
        few = moved.sum() <= (1 - ALIKE) * known.sum()
        if few and (moved & inside).sum() <= (1 - ALIKE_INSIDE) * (known & inside).sum():
            break
        told = readable(limit, unit, digits)
    return told


def readable(limit: float, unit: Unit, digits: int = DIGITS) -> float:
    """Return a limit with some significant digits, shares with two decimals; of whole numbers the next below.

    Days are whole ones, but for the first ten.
    """
    if unit == "truth":
        return 0.5
    if unit == "share":
        return round(limit, 2) + 0.0  # no -0.0
    if unit == "whole":
        limit = math.floor(limit)
    elif unit == "days" and abs(limit) > 10:
        limit = round(limit)
    if not limit:
        return 0.0
    return round(limit, digits - 1 - math.floor(math.log10(abs(limit)))) + 0.0


def holds(path: Conjunction, values: np.ndarray) -> np.ndarray:
    """Return for whom all bounds hold, (users,) bool; a bound on NaN does not."""
    true = np.ones(len(values), bool)
    for bound in path:
        column = values[:, bound.column]
        true &= column > bound.limit if bound.above else column <= bound.limit
    return true


def written(rule: Alternatives, facts: Sequence[Fact]) -> str:
    """Return the text of a rule, as `shoal.segment.rules.parse` reads it; what all alternatives ask is said once."""
    common = [bound for bound in rule[0] if all(bound in path for path in rule)]
    rests = [[bound for bound in path if bound not in common] for path in rule]
    if not all(rests):
        return _joined(common, facts)
    either = " or ".join(f"({_joined(rest, facts)})" if len(rest) > 1 else _joined(rest, facts) for rest in rests)
    return f"{_joined(common, facts)} and ({either})" if common else either


def best_rule(values: np.ndarray, inside: np.ndarray, facts: Sequence[Fact], folds: np.ndarray) -> Alternatives:
    """Return the rule that finds the users inside best, by F1; empty where no tree has a leaf.

    Rules come from the nodes of two trees, one of them balanced: the paths to them, these with some of their bounds
    left out, as C4.5 does to make rules [1]_, and pairs of such. How long the rule may be, in bounds, is what cross-fit
    favours: the shortest whose F1 comes within `WORTH` of the best.

    Parameters
    ----------
    values : (users, facts) float64
    inside : (users,) bool
    facts : sequence of Fact
    folds : (users,) int
        0 to `FOLDS` - 1.

    References
    ----------
    .. [1] Quinlan, "C4.5: Programs for Machine Learning", 1993, chapter 5.
    """
    whole = filled(values)
    counts: dict[int, np.ndarray] = {}
    for fold in range(FOLDS):
        learning, other = folds != fold, folds == fold
        for length, rule in _by_length(values[learning], whole[learning], inside[learning], facts).items():
            counts[length] = counts.get(length, np.zeros(3)) + _counts(rule, values[other], inside[other])
    rules = _by_length(values, whole, inside, facts)
    scores = {n: 2 * hits / (found + members) for n, (hits, found, members) in counts.items() if n in rules}
    if not scores:
        return ()
    enough = max(scores.values()) - WORTH
    return rules[min(n for n, score in scores.items() if score >= enough)]


def _by_length(
    values: np.ndarray, whole: np.ndarray, inside: np.ndarray, facts: Sequence[Fact]
) -> dict[int, Alternatives]:
    """Return the best rule of at most 1, 2, ... bounds, for the users that it was learnt from."""
    paths_ = _candidates(values, whole, inside, facts)
    if not paths_:
        return {}
    sizes = np.array([len(path) for path in paths_])
    truth = np.stack([holds(path, values) for path in paths_]).astype(np.float32)  # (paths, users)
    f1 = _pairs(truth, inside)
    lengths = np.where(np.eye(len(sizes), dtype=bool), sizes, sizes[:, None] + sizes)
    made: dict[int, Alternatives] = {}
    for most in range(1, 2 * DEEPEST + 1):
        allowed = np.where(lengths <= most, f1 - 1e-9 * lengths, -1.0)  # of equals the shorter
        first, second = np.unravel_index(np.argmax(allowed), f1.shape)
        if allowed[first, second] > 0:
            rule = (paths_[first],) if first == second else (paths_[first], paths_[second])
            made[most] = rule
    return made


def _candidates(values: np.ndarray, whole: np.ndarray, inside: np.ndarray, facts: Sequence[Fact]) -> list[Conjunction]:
    """Return the rounded paths of both trees and their parts, each once, shorter ones first."""
    found: dict[Conjunction, None] = {}
    if not 0 < inside.sum() < len(inside):
        return []
    for balanced in (False, True):
        for path in paths(grow(whole, inside, balanced=balanced)).values():
            for part in _parts(rounded(path, facts, values, inside)):
                found.setdefault(part)
    return sorted(found, key=len)


def _parts(path: Conjunction) -> Iterator[Conjunction]:
    for size in range(1, len(path) + 1):
        yield from combinations(path, size)


def _pairs(truth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the F1 of each path or another, (paths, paths); on the diagonal of a path alone."""
    each, own = truth.sum(1, dtype=np.float64), truth[:, inside].sum(1, dtype=np.float64)
    found = each[:, None] + each - truth @ truth.T
    hits = own[:, None] + own - truth[:, inside] @ truth[:, inside].T
    return np.asarray(2 * hits / (found + inside.sum()))


def _counts(rule: Alternatives, values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return hits, users found, and users inside."""
    true = np.any([holds(path, values) for path in rule], axis=0)
    return np.array([(true & inside).sum(), true.sum(), inside.sum()], float)


def _joined(path: Sequence[Bound], facts: Sequence[Fact]) -> str:
    return " and ".join(_bound(bound, facts[bound.column]) for bound in path)


def _bound(bound: Bound, fact: Fact) -> str:
    if fact.unit == "truth":
        return fact.text if bound.above else fact.otherwise
    return f"{fact.text} {'>' if bound.above else '<='} {_number(bound.limit)}"


def _number(limit: float) -> str:
    return f"{limit:.0f}" if limit == int(limit) else f"{limit!r}"


def filled(values: np.ndarray) -> np.ndarray:
    """Return values as float32, as trees want them, with a column's median where they are missing (NaN) or infinite.

    What is beyond `BIGGEST` becomes it.
    """
    known = np.isfinite(values)
    columns = zip(values.T, known.T, strict=True)
    medians = [np.median(column[there]) if there.any() else 0.0 for column, there in columns]
    return np.clip(np.where(known, values, medians), -BIGGEST, BIGGEST).astype(np.float32)
