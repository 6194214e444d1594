"""The heads against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.model.heads import ItemBias, RankingHead, RatingHead, cut_points

LEVELS = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
KINDS = ["ordinal", "regression", "classification"]


def head(kind: str = "ordinal", levels: torch.Tensor = LEVELS) -> RatingHead:
    torch.manual_seed(0)
    return RatingHead(kind, levels, features=6, items=12, width=4)


def three_levels() -> RatingHead:
    """A head with cuts at -1 and 2: low, middle, high."""
    made = head(levels=torch.tensor([1.0, 2.0, 3.0]))
    with torch.no_grad():
        made.first_cut.fill_(-1.0)
        made.log_steps.fill_(float(np.log(3.0)))
    return made


@pytest.mark.parametrize("score", [0.5, -3.25])
def test_the_chances_of_three_levels_are_those_computed_by_hand(score):
    low, up_to_middle = 1 / (1 + np.exp(1 + score)), 1 / (1 + np.exp(-2 + score))
    expected = [low, up_to_middle - low, 1 - up_to_middle]
    made = three_levels()
    np.testing.assert_allclose(made.log_chances(torch.tensor(score)).exp().detach(), expected, atol=1e-6)
    mean, spread = made.expected(torch.tensor(score))
    assert mean.item() == pytest.approx(np.dot(expected, [1, 2, 3]), abs=1e-5)
    variance = np.dot(expected, [1, 4, 9]) - np.dot(expected, [1, 2, 3]) ** 2
    assert spread.item() == pytest.approx(np.sqrt(variance), abs=1e-4)


@given(st.lists(st.floats(-8, 3), min_size=4, max_size=4), st.floats(-50, 50), st.floats(-50, 50))
def test_chances_sum_to_one_and_cuts_rise_whatever_was_learnt(steps, first, score):
    made = head(levels=torch.arange(6.0))
    with torch.no_grad():
        made.first_cut.fill_(first)
        made.log_steps.copy_(torch.tensor(steps))
    chances = made.log_chances(torch.tensor([score]).double()).exp()
    assert chances.sum().item() == pytest.approx(1, abs=1e-3)
    assert (cut_points(made.first_cut, made.log_steps).double().diff() >= 0).all()


@given(st.floats(-20, 20), st.floats(0.01, 5))
def test_a_higher_score_never_expects_a_lower_rating(score, more):
    made = head()
    low, high = made.expected(torch.tensor([score, score + more]).double())[0]
    assert high >= low - 1e-6


@pytest.mark.parametrize("kind", ["ordinal", "classification"])
def test_the_loss_can_be_learnt_from_however_far_the_score_is(kind):
    made = head(kind)
    score = torch.tensor([[200.0, -200.0]], requires_grad=True)
    made.loss(score, torch.tensor([[1.0, 5.0]]), torch.ones(1, 2)).backward()
    assert torch.isfinite(score.grad).all()
    if kind == "ordinal":  # down where the rating was low, up where it was high
        assert score.grad[0, 0] > 0 > score.grad[0, 1]


def test_classification_is_softmax():
    made = head("classification")
    score = torch.tensor([0.3, -1.2])
    logits = score.numpy()[:, None] * made.outputs.weight.detach().numpy()[:, 0] + made.outputs.bias.detach().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(made.log_chances(score).exp().detach(), expected, atol=1e-6)
    loss = made.loss(score[None], torch.tensor([[2.0, 5.0]]), torch.ones(1, 2)).item()
    assert loss == pytest.approx(-(np.log(expected[0, 1]) + np.log(expected[1, 4])) / 2, abs=1e-5)


def test_regression_stands_in_the_middle_of_the_scale_and_errs_in_quarters_of_it():
    made = head("regression")
    rating, spread = made.expected(torch.tensor([0.0, 1.0, 7.0]))
    assert rating.tolist() == [3.0, 4.0, 5.0]
    assert torch.isnan(spread).all()
    assert made.loss(torch.tensor([[0.5]]), torch.tensor([[5.0]]), torch.ones(1, 1)).item() == pytest.approx(1.5**2)


def test_the_unit_of_the_scale_does_not_matter_to_the_loss():
    small, large = head("regression", LEVELS), head("regression", 10 * LEVELS)
    score, ratings, mask = torch.tensor([[0.4, -1.0]]), torch.tensor([[2.0, 5.0]]), torch.ones(1, 2)
    torch.testing.assert_close(small.loss(score, ratings, mask), large.loss(score, 10 * ratings, mask))


def test_a_rating_between_two_levels_counts_as_the_nearest():
    made, score, mask = head(), torch.tensor([[0.4]]), torch.ones(1, 1)
    torch.testing.assert_close(
        made.loss(score, torch.tensor([[3.9]]), mask), made.loss(score, torch.tensor([[4.0]]), mask)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_two_levels_are_enough_for_a_scale(kind):
    made = head(kind, torch.tensor([0.0, 1.0]))
    mean, _ = made.expected(torch.tensor([-30.0, 0.0, 30.0]))
    assert ((mean >= 0) & (mean <= 1)).all()
    assert torch.isfinite(made.loss(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_ratings_costs_nothing(kind):
    assert head(kind).loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def test_the_latent_score_is_its_four_terms():
    made = head()
    users, vectors, bias, habits = torch.randn(2, 4), torch.randn(2, 3, 4), torch.randn(2, 3), torch.randn(2)
    score = made(users, vectors, bias, habits).detach()
    match, c, d = made.match.weight.detach(), made.users.weight.detach()[0], made.habit.weight.detach()[0, 0]
    for u in range(2):
        for t in range(3):
            expected = users[u] @ match.T @ vectors[u, t] + c @ users[u] + made.users.bias[0] + bias[u, t]
            assert score[u, t].item() == pytest.approx((expected + d * habits[u]).item(), abs=1e-5)


def test_an_item_that_training_did_not_see_has_the_bias_of_its_features():
    bias = ItemBias(2, 3)
    with torch.no_grad():
        bias.text.weight.copy_(torch.tensor([[1.0, 10.0]]))
        bias.own.copy_(torch.tensor([0.5, 0.5, 0.5]))
    got = bias(torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([1.0, 1.0, 0.0]))
    assert got.tolist() == [1.5, 10.5, 11.0]


def test_logits_are_scaled_products_and_the_bias():
    made = RankingHead(2, 3)
    with torch.no_grad():
        made.log_scale.fill_(float(np.log(2)))
    logits = made(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([0.0, 5, -1]))
    np.testing.assert_allclose(logits.detach(), [[2, 11, 7]], rtol=1e-6)


def test_several_targets_share_the_loss_and_padding_has_none():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    logs = logits.log_softmax(1)
    loss = RankingHead.loss(logits, torch.tensor([[1, 2], [0, 0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    torch.testing.assert_close(loss, -(logs[0, 1] + logs[0, 2] + logs[1, 0]) / 3)


def test_a_sample_that_holds_every_item_for_certain_is_the_full_softmax():
    logits, targets, mask = torch.randn(4, 9), torch.randint(9, (4, 2)), torch.ones(4, 2)
    order = torch.randperm(9)
    place = torch.argsort(order)
    sampled = RankingHead.sampled_loss(logits[:, order], torch.zeros(9), place[targets], mask)
    torch.testing.assert_close(sampled, RankingHead.loss(logits, targets, mask))
