"""Leaves as texts: scikit-learn's own decision path is the truth, and rounding, joining and choosing are laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.segment.leaves import (
    DEEPEST,
    FOLDS,
    LEAST_LEAF,
    Bound,
    Fact,
    best_rule,
    filled,
    grow,
    holds,
    paths,
    readable,
    rounded,
    tightest,
    written,
)
from shoal.segment.rules import parse

FACTS = [Fact("event_count", "whole"), Fact('share("Horror")', "share"), Fact('has("x")', "truth", 'not has("x")')]


def world(users: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = np.stack([rng.integers(1, 300, users), rng.random(users), rng.integers(0, 2, users)], axis=1).astype(float)
    inside = (values[:, 0] > 100) & (values[:, 1] > 0.3) | (rng.random(users) < 0.1)
    return values, inside


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_before_rounding_a_path_holds_for_those_whom_the_tree_sends_that_way(balanced: bool, seed: int) -> None:
    values, inside = world(seed=seed)
    tree = grow(values, inside, balanced=balanced)
    on_path = tree.decision_path(values).toarray().astype(bool)  # (users, nodes)
    found = paths(tree)
    assert set(found) == set(range(1, tree.tree_.node_count))
    for node, path in found.items():
        assert 1 <= len(path) <= DEEPEST
        np.testing.assert_array_equal(holds(path, values), on_path[:, node])


def test_a_fact_that_is_split_twice_has_its_tightest_bounds_alone() -> None:
    path = [Bound(0, True, 3.0), Bound(1, True, 0.5), Bound(0, True, 5.0), Bound(0, False, 9.0)]
    assert tightest(path) == (Bound(0, True, 5.0), Bound(1, True, 0.5), Bound(0, False, 9.0))
    values, inside = world()
    values[:, 1:] = 0  # one fact is left to split
    for path in paths(grow(values, inside, balanced=True)).values():
        assert len(path) <= 2


@pytest.mark.parametrize(
    ("limit", "unit", "said"),
    [
        (52.5, "whole", 52.0), (152.5, "whole", 150.0), (0.5, "whole", 0.0), (99.5, "whole", 99.0),
        (0.2049, "share", 0.2), (0.004, "share", 0.0), (3.7512, "number", 3.8), (7312.4, "number", 7300.0),
        (-0.0123, "number", -0.012), (0.0, "number", 0.0), (0.31, "truth", 0.5),
        (7312.4, "days", 7300.0), (23.6, "days", 24.0), (13.75, "days", 14.0),
        (3.75, "days", 3.8), (1.234, "days", 1.2), (0.0, "days", 0.0),
    ],
)  # fmt: skip
def test_limits_are_rounded_to_what_one_can_read(limit: float, unit, said: float) -> None:
    assert readable(limit, unit) == said


@given(st.floats(-1e12, 1e12), st.sampled_from(["whole", "share", "days", "number"]))
def test_a_rounded_limit_stays_what_it_is_when_it_is_rounded_again_or_read_back(limit: float, unit) -> None:
    once = readable(limit, unit)
    assert readable(once, unit) == once
    text = written(((Bound(0, True, once),),), [Fact("event_count", unit)])
    sign = -1 if "> -" in text else 1
    right = parse(text).tree.parts[1]
    assert sign * (right.parts[0] if sign < 0 else right).value == once


def test_whole_numbers_below_a_hundred_are_told_apart_as_by_the_tree() -> None:
    values = np.arange(1, 100, dtype=float)[:, None]
    for limit in np.arange(1.5, 99):
        path = (Bound(0, True, limit),)
        np.testing.assert_array_equal(
            holds(rounded(path, FACTS, values, values[:, 0] > 50), values), holds(path, values)
        )


@pytest.mark.parametrize(
    ("unit", "column", "limit", "said"),
    [
        ("whole", np.arange(1940, 2010.0), 1985.5, 1985.0),  # years: two digits would be 2000, and nobody
        ("whole", np.arange(1.70e9, 1.76e9, 86400), 1.7300481e9, 1730000000.0),
        ("whole", np.arange(101.0, 150), 125.5, 125.0),
        ("number", 1000 + np.arange(0, 1, 0.002), 1000.5031, 1000.5),
        ("number", 1000 + np.arange(0, 0.001, 0.000002), 1000.0005031, 1000.0005),
        ("days", np.arange(7300.0, 7400), 7350.4, 7350.0),
        ("number", -np.arange(1940, 2010.0), -1985.5, -1986.0),
        ("whole", np.append(np.arange(10000.0), np.nan), 7312.5, 7300.0),
    ],
)
def test_limits_have_as_many_digits_as_send_users_the_way_that_the_tree_does(unit, column, limit, said) -> None:
    (told,) = rounded((Bound(0, True, limit),), [Fact("x", unit)], column[:, None], np.zeros(len(column), bool))
    assert told.limit == said
    known = column[~np.isnan(column)]
    assert np.mean((known > said) == (known > limit)) >= 0.99


def test_a_limit_that_few_lie_beyond_is_rounded_by_these() -> None:
    column = np.arange(10_000.0)
    rare = column > 9966.5
    path = (Bound(0, True, 9966.5),)
    for inside, said in ((rare, 9966.0), (column < 100, 10000.0)):
        (told,) = rounded(path, FACTS, column[:, None], inside)
        assert told.limit == said


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=40), st.data())
def test_rounding_a_limit_of_whole_numbers_moves_at_most_one_user_in_a_hundred(numbers: list[int], data) -> None:
    column = np.array(numbers, float)
    limit = data.draw(st.sampled_from(sorted(numbers))) + 0.5
    (told,) = rounded((Bound(0, False, limit),), FACTS, column[:, None], column > limit)
    np.testing.assert_array_equal(column <= told.limit, column <= limit)  # fewer than a hundred: nobody


def test_what_float32_cannot_hold_keeps_its_side_and_what_is_infinite_is_taken_for_the_median() -> None:
    values = np.array([[1e39], [-1e300], [1.0], [2.0], [np.inf], [-np.inf], [np.nan]])
    made = filled(values)
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert made[0] > made[3] > made[2] > made[1]
    assert (made[4:] == np.float32(1.5)).all()
    assert len(paths(grow(np.repeat(made, 10, axis=0), np.repeat(values[:, 0] > 1.5, 10), balanced=False)))


@pytest.mark.parametrize(("users", "share"), [(20_000, 0.002), (20_000, 0.2), (400, 0.1)])
def test_a_leaf_can_be_as_pure_as_a_small_segment_lets_it(users: int, share: float) -> None:
    values = np.random.default_rng(0).random((users, 1))
    inside = values[:, 0] > 1 - share
    found = best_rule(values, inside, [Fact("x", "number")], folds(users))
    assert len(found) == 1
    np.testing.assert_array_equal(holds(found[0], values), inside)
    tree = grow(values, inside, balanced=True).tree_
    assert tree.n_node_samples.min() >= LEAST_LEAF


def test_what_is_missing_lies_on_no_side_of_a_bound() -> None:
    values = np.array([[np.nan], [1.0]])
    assert holds((Bound(0, True, 0.5),), values).tolist() == [False, True]
    assert holds((Bound(0, False, 0.5),), values).tolist() == [False, False]


def test_texts_join_by_and_and_by_or_with_parentheses_where_they_help() -> None:
    first, second = (Bound(0, True, 50.0), Bound(1, False, 0.2)), (Bound(2, False, 0.5),)
    assert written((first,), FACTS) == 'event_count > 50 and share("Horror") <= 0.2'
    assert written((second, first), FACTS) == 'not has("x") or (event_count > 50 and share("Horror") <= 0.2)'


def test_what_both_alternatives_ask_is_said_once_and_means_the_same() -> None:
    first, second, third = Bound(0, True, 50.0), Bound(1, False, 0.2), Bound(2, False, 0.5)
    told = written(((first, second), (first, third)), FACTS)
    assert told == 'event_count > 50 and (share("Horror") <= 0.2 or not has("x"))'
    other = Bound(1, True, 0.5)
    told = written(((second, first, third), (first, other)), FACTS)
    assert told == 'event_count > 50 and ((share("Horror") <= 0.2 and not has("x")) or share("Horror") > 0.5)'
    assert written(((first,), (first, second)), FACTS) == "event_count > 50"
    for text in (told, "event_count > 50"):
        assert parse(text).text == text


def folds(users: int) -> np.ndarray:
    return np.arange(users) % FOLDS


def test_the_rule_that_was_planted_is_found_and_not_a_longer_one() -> None:
    values, _ = world(2000)
    inside = (values[:, 0] > 100) & (values[:, 1] > 0.3)
    assert written(best_rule(values, inside, FACTS, folds(2000)), FACTS) == (
        'event_count > 100 and share("Horror") > 0.3'
    )
    alone = values[:, 1] > 0.7
    assert written(best_rule(values, alone, FACTS, folds(2000)), FACTS) == 'share("Horror") > 0.7'


def test_a_bound_that_does_nothing_is_left_out() -> None:
    values, _ = world(2000)
    values[:, 2] = values[:, 1] > 0.7  # whoever is fond has it, and whoever has it is fond
    inside = (values[:, 0] > 200) | (values[:, 1] > 0.7)
    rule = best_rule(values, inside, FACTS, folds(2000))
    assert sum(len(path) for path in rule) == 2
    whole = np.any([holds(path, values) for path in rule], axis=0)
    for path in rule:
        assert not np.array_equal(np.any([holds(one, values) for one in rule if one != path], axis=0), whole)


def test_two_ways_into_a_segment_are_joined_by_or() -> None:
    values, _ = world(2000)
    inside = (values[:, 0] > 200) | (values[:, 1] > 0.7)
    text = written(best_rule(values, inside, FACTS, folds(2000)), FACTS)
    assert text in (
        'event_count > 200 or share("Horror") > 0.7',
        'share("Horror") > 0.7 or event_count > 200',
    )


def test_no_rule_where_there_is_nobody_inside_or_nothing_to_split_by() -> None:
    values, inside = world()
    assert best_rule(values, np.zeros(400, bool), FACTS, folds(400)) == ()
    assert best_rule(np.ones((400, 3)), inside, FACTS, folds(400)) == ()
    assert best_rule(np.full((400, 3), np.nan), inside, FACTS, folds(400)) == ()
