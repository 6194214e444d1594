"""Metrics of classes agree with scikit-learn, the calibration error with a sum by hand, and intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from shoal.evaluate import labels


def drawn(seed, texts=50, classes=4, sharp=1.0):
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(classes, sharp), texts)
    return chances, rng.integers(classes, size=texts)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 6))
def test_figures_agree_with_scikit_learn(seed, texts, classes):
    chances, right = drawn(seed, texts, classes)
    told = chances.argmax(1)
    assert labels.accuracy(chances, right) == pytest.approx(metrics.accuracy_score(right, told))
    theirs = metrics.f1_score(right, told, average="macro", zero_division=0)
    assert labels.macro_f1(chances, right) == pytest.approx(theirs)
    theirs = metrics.log_loss(right, chances, labels=range(classes))
    assert labels.log_loss(chances, right) == pytest.approx(theirs, rel=1e-6)


def test_errors_of_ratings_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    told, truth = rng.normal(size=40), rng.normal(size=40)
    assert labels.rmse(told, truth) == pytest.approx(metrics.root_mean_squared_error(truth, told))
    assert labels.mae(told, truth) == pytest.approx(metrics.mean_absolute_error(truth, told))


def test_calibration_error_is_the_weighted_gap_of_each_bin():
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.4, 0.6], [1.0, 0.0]])
    right = np.array([0, 1, 1, 1, 0])
    # two bins: none below .5, all five above: mean chance .77, hits 4 of 5
    assert labels.calibration_error(chances, right, bins=2) == pytest.approx(0.03)
    # ten bins: (.55) hit; (.6) hit; (.8) no hit; (.9, 1.0) hits; 1.0 belongs to the last bin
    gaps = [0.45, 0.4, 0.8, 0.1]
    assert labels.calibration_error(chances, right, bins=10) == pytest.approx(sum(gaps) / 5)


def test_who_is_as_sure_as_right_has_no_calibration_error_and_the_over_confident_has():
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), 20_000)
    right = (rng.random(20_000)[:, None] > chances.cumsum(1)).sum(1).clip(max=2)
    assert labels.calibration_error(chances, right) < 0.02
    sharp = chances**4 / (chances**4).sum(1, keepdims=True)
    assert labels.calibration_error(sharp, right) > 0.15


def test_a_class_never_hit_scores_0_and_one_that_does_not_occur_is_left_out():
    chances = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]])
    assert labels.macro_f1(chances, np.array([0, 1])) == pytest.approx((2 / 3 + 0) / 2)


def test_a_chance_of_0_for_the_right_class_costs_much_and_not_everything():
    assert labels.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-12))


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        hits = rng.random(80) < 0.7
        low, high = labels.interval(lambda rows, hits=hits: float(hits[rows].mean()), 80, draws=300)
        covered += low <= 0.7 <= high
    assert 88 <= covered <= 100


def test_an_interval_follows_its_seed_and_a_difference_of_a_model_to_itself_is_0():
    chances, right = drawn(1)
    figure = lambda rows: labels.accuracy(chances[rows], right[rows])  # noqa: E731
    assert labels.interval(figure, 50, draws=50) == labels.interval(figure, 50, draws=50)
    assert labels.interval(figure, 50, draws=50) != labels.interval(figure, 50, draws=50, seed=1)
    assert labels.interval(lambda rows: figure(rows) - figure(rows), 50, draws=20) == (0.0, 0.0)
