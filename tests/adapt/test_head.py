"""The head's three kinds: chances sum to 1, losses agree with torch's own, and calibration helps the over-confident."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from shoal.adapt.head import TextHead
from shoal.adapt.tell import held_out, joined, make_head
from shoal.data.labelled import as_labelled

KINDS = ("ordinal", "regression", "classification")
LEVELS = torch.tensor([0.5, 1.0, 2.0, 3.5, 5.0])


def head_of(kind, levels=LEVELS, **how):
    torch.manual_seed(0)
    return TextHead(8, kind, levels, dropout=0.0, **how)


def labelled(ratings, ordered=True):
    import polars as pl

    return as_labelled("t", [f"text {i}" for i in range(len(ratings))], pl.Series(ratings), ordered=ordered)


finite = st.floats(-30, 30, width=32)


@pytest.mark.parametrize("kind", KINDS)
@given(
    scores=st.lists(finite, min_size=1, max_size=6),
    levels=st.lists(st.integers(-20, 20), min_size=2, max_size=7, unique=True),
    temperature=st.floats(-1.3, 1.3),
)
def test_chances_sum_to_1_and_what_is_expected_lies_within_the_scale(kind, scores, levels, temperature):
    levels = torch.tensor(sorted(levels), dtype=torch.float32) / 2
    head = head_of(kind, levels)
    head.log_temperature.fill_(temperature)
    raw = torch.tensor(scores)
    if kind == "classification":
        raw = raw[:, None] * torch.linspace(-1, 1, len(levels))
    with torch.no_grad():
        chances = head.log_chances(raw).exp()
        rating, spread = head.expected(raw)
    assert chances.shape == (len(scores), len(levels))
    assert torch.allclose(chances.sum(1), torch.ones(len(scores)), atol=1e-5)
    assert (chances >= 0).all()
    assert (rating >= levels[0] - 1e-4).all()
    assert (rating <= levels[-1] + 1e-4).all()
    assert (spread >= 0).all()
    assert (spread <= (levels[-1] - levels[0]) + 1e-4).all() or kind == "regression"


@given(st.lists(finite, min_size=2, max_size=6))
def test_a_higher_score_never_lowers_an_ordinal_or_regressed_rating(scores):
    raw = torch.tensor(sorted(scores))
    for kind in ("ordinal", "regression"):
        with torch.no_grad():
            assert (head_of(kind).expected(raw)[0].diff() >= -1e-5).all()


def test_an_ordinal_head_is_mccullagh_s_cumulative_link():
    head = head_of("ordinal")
    with torch.no_grad():
        cuts = head.first_cut + F.pad(head.log_steps.exp().cumsum(0), (1, 0))
        at_most = torch.sigmoid(cuts - torch.tensor([[0.7]]))
        by_hand = F.pad(F.pad(at_most, (1, 0)), (0, 1), value=1.0).diff(dim=1)
        assert torch.allclose(head.log_chances(torch.tensor([0.7])).exp(), by_hand, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_loss_agrees_with_torch_s_cross_entropy(smoothing, weighted):
    weights = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0]) if weighted else None
    head = head_of("classification", smoothing=smoothing, weights=weights)
    raw, classes = torch.randn(7, 5), torch.tensor([0, 1, 2, 3, 4, 1, 1])
    each = F.cross_entropy(raw, classes, reduction="none", label_smoothing=smoothing)
    # torch weighs the smoothed part by each class's own weight; here an example has one weight, that of its class
    expected = (each * (weights[classes] if weighted else 1)).mean()
    assert torch.isclose(head.loss(raw, classes, classes.float()), expected, atol=1e-6)
    if weighted and not smoothing:
        theirs = F.cross_entropy(raw, classes, weight=weights)
        assert torch.isclose(expected * 7 / weights[classes].sum(), theirs, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_ordinal_loss_is_the_negative_log_likelihood_smoothed_in_the_same_way(smoothing):
    head = head_of("ordinal", smoothing=smoothing)
    raw, classes = torch.randn(6), torch.tensor([0, 1, 2, 3, 4, 4])
    logs = head.log_chances(raw)
    expected = F.cross_entropy(logs, classes, label_smoothing=smoothing)  # log chances are logits of themselves
    assert torch.isclose(head.loss(raw, classes, LEVELS[classes]), expected, atol=1e-6)


def test_regression_loss_is_the_squared_error_in_quarters_of_the_scale():
    head = head_of("regression")
    raw, values = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 5.0])
    expected = F.mse_loss(torch.tensor([2.75, 2.75 + 4.5 / 4]) / (4.5 / 4), values / (4.5 / 4))
    assert torch.isclose(head.loss(raw, torch.tensor([2, 4]), values), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_head_tells_the_shares_of_the_classes(kind):
    data = labelled([1.0] * 10 + [2.0] * 20 + [4.0] * 10)
    head = make_head(data, 8, kind, hidden=False, dropout=0.0, smoothing=0.0, balanced=False, seed=0)
    torch.nn.init.zeros_(head.out.weight)
    with torch.no_grad():
        raw = head(torch.randn(3, 8))
        assert torch.allclose(head.expected(raw)[0], torch.full((3,), 2.25), atol=0.02)
        if kind != "regression":
            assert torch.allclose(head.log_chances(raw).exp()[0], torch.tensor([0.25, 0.5, 0.25]), atol=0.01)


def test_balanced_weights_give_every_class_the_same_say():
    data = labelled(["a"] * 2 + ["b"] * 8, ordered=False)
    head = make_head(data, 8, "auto", hidden=False, dropout=0.0, smoothing=0.0, balanced=True, seed=0)
    assert head.kind == "classification"
    assert head.weights.tolist() == [2.5, 0.625]
    assert head.weights[torch.from_numpy(data.classes)].mean() == 1
    assert (head.out.bias[0] - head.out.bias[1]).abs() < 1e-5


def test_a_new_head_follows_the_seed_and_nothing_else():
    data = labelled([1.0, 2.0])
    made = []
    for seed, outside in ((3, 1), (3, 2), (4, 1)):
        torch.manual_seed(outside)
        made.append(make_head(data, 8, "auto", hidden=True, dropout=0.1, smoothing=0.0, balanced=False, seed=seed))
    assert torch.equal(made[0].hidden.weight, made[1].hidden.weight)
    assert torch.equal(made[0].out.weight, made[1].out.weight)
    assert not torch.equal(made[0].out.weight, made[2].out.weight)


@pytest.mark.parametrize("kind", KINDS)
def test_a_temperature_lowers_the_log_loss_of_the_over_confident(kind):
    head = head_of(kind, torch.tensor([1.0, 2.0, 3.0]))
    torch.manual_seed(1)
    classes = torch.randint(0, 3, (300,))
    right = torch.rand(300) < 0.7
    told = torch.where(right, classes, (classes + 1) % 3)
    raw = 12.0 * F.one_hot(told, 3).float() if kind == "classification" else 9.0 * (told.float() - 1)
    values = classes + 1.0
    before = F.nll_loss(head.log_chances(raw), classes)
    likeliest = head.log_chances(raw).argmax(1)
    head.calibrate(raw, classes, values)
    after = F.nll_loss(head.log_chances(raw), classes)
    assert after < before - 0.05
    assert kind == "regression" or head.log_temperature > 0
    if kind == "classification":
        assert torch.equal(head.log_chances(raw).argmax(1), likeliest)


@given(st.integers(0, 1000))
def test_calibration_never_makes_the_validation_loss_worse(seed):
    rng = torch.Generator().manual_seed(seed)
    raw, classes = 3 * torch.randn(40, 4, generator=rng), torch.randint(0, 4, (40,), generator=rng)
    head = head_of("classification", torch.arange(4.0))
    before = F.nll_loss(head.log_chances(raw), classes)
    head.calibrate(raw, classes, classes.float())
    assert F.nll_loss(head.log_chances(raw), classes) <= before + 1e-6


def test_too_few_examples_change_no_temperature():
    head = head_of("classification")
    head.calibrate(50 * torch.randn(19, 5), torch.zeros(19, dtype=torch.long), torch.zeros(19))
    assert head.log_temperature == 0


def test_a_hidden_layer_stands_there_only_where_it_was_asked_for():
    assert head_of("ordinal").hidden is None
    assert head_of("ordinal", hidden=True)(torch.randn(3, 8)).shape == (3,)
    assert head_of("classification")(torch.randn(3, 8)).shape == (3, 5)


def test_two_vectors_are_joined_with_how_they_meet():
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    assert joined([u, v]).tolist() == [[1, 2, 3, -1, 3, -2, 2, 3]]
    assert joined([u]) is u


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.floats(0, 0.9),
    st.integers(0, 5),
)
def test_held_out_rows_are_a_share_of_each_class(classes, share, seed):
    classes = np.array(classes)
    rest, held = held_out(classes, share, np.random.default_rng(seed))
    assert sorted([*rest, *held]) == list(range(len(classes)))
    for one in np.unique(classes):
        assert (classes[held] == one).sum() == round(share * (classes == one).sum())
