"""The tower and its heads: what must not change a vector, and numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from shoal.config import Tower
from shoal.data.dataset import Scale
from shoal.data.histories import Histories
from shoal.model.heads import RankingHead, RatingHead, cut_points
from shoal.model.network import Network, levels_of
from shoal.model.pasts import Values, pasts
from shoal.model.sequence import Sequence
from shoal.model.tower import Events, ItemSide, UserTower

STARS = Scale(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0))


def network(items: int = 12, *, known: int | None = None, kind="ordinal", **settings) -> Network:
    torch.manual_seed(0)
    features = F.normalize(torch.randn(items, 6), dim=1)
    popularity = torch.arange(items).float() + 1
    popularity[items if known is None else known :] = 0
    made = Network(features, popularity, Tower(width=16, heads=4, **settings), kind=kind, scale=STARS)
    with torch.no_grad():
        made.items.delta.normal_(std=0.5)
    return made.eval()


def history(*users: list[int]) -> Histories:
    starts = np.concatenate([[0], np.cumsum([len(u) for u in users])]).astype(np.int64)
    items = np.array([i for u in users for i in u], np.int32)
    values = (items % 5 + 1).astype(np.float32)
    return Histories(starts, items, values, np.arange(len(items), dtype=float), 12)


def sequence(made: Network, at_most: int = 8) -> Sequence:
    return Sequence(made, Values(3.0, 1.0, log=False), at_most).fit()


def test_padding_does_not_change_a_user_vector():
    reads = sequence(network())
    alone = reads.users(history([3, 1, 4]))[0]
    beside = reads.users(history([3, 1, 4], [1, 5, 9, 2, 6, 5, 3]))[0]
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_attention_sums_to_one_and_padded_places_get_none():
    weights = sequence(network()).attention(history([3, 1], [1, 5, 9, 2]))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert (weights[0, 1:3] == 0).all()  # two padded places between the newcomer's event and the two real ones
    assert (weights[1] > 0).all()


def test_all_users_without_a_past_get_the_newcomers_vector():
    users = sequence(network()).users(history([], [2], []))
    np.testing.assert_array_equal(users[0], users[2])
    assert np.abs(users[0] - users[1]).max() > 1e-3


def test_only_the_newest_events_are_read():
    reads = sequence(network(), at_most=3)
    np.testing.assert_allclose(reads.users(history([7, 8, 1, 2, 3])), reads.users(history([9, 1, 2, 3])), atol=1e-5)


def test_a_rating_changes_what_is_read():
    liked = history([3, 1, 4])
    hated = Histories(liked.starts, liked.items, 6 - liked.values, liked.times, 12)
    reads = sequence(network())
    assert np.abs(reads.users(liked) - reads.users(hated)).max() > 1e-3


def test_an_unseen_item_works_from_its_text_alone():
    made = network(known=10)
    parts = made.item_parts()
    text = F.normalize(made.items.project(made.features), dim=1)
    torch.testing.assert_close(parts.vectors[10:], text[10:])
    assert (parts.vectors[:10] - text[:10]).norm(dim=1).min() > 0.1


@given(st.floats(0, 5), st.floats(0.01, 100))
def test_a_delta_is_never_longer_than_its_bound(bound, size):
    torch.manual_seed(1)
    side = ItemSide(4, 7, 8, bound=bound, dropout=0.0)
    with torch.no_grad():
        side.delta.normal_(std=size)
    features = torch.randn(7, 4)
    delta = side(features, torch.ones(7)) - side(features, torch.zeros(7))
    assert delta.norm(dim=1).max() <= bound + 1e-4


def test_newest_stands_last_and_ages_count_from_it():
    past = Histories(
        np.array([0, 3]), np.array([5, 6, 7], np.int32), np.full(3, 4, np.float32), np.array([0.0, 9, 10]), 12
    )
    events, habits = pasts(past, Values(3.0, 1.0, log=False), 2)
    assert events.items.tolist() == [[6, 7]]
    torch.testing.assert_close(events.ages, torch.log1p(torch.tensor([[1.0, 0.0]])))
    assert habits.tolist() == pytest.approx([3 / 8])  # three ratings one above the mean, beside five average ones


def test_values_are_standardised_counts_by_their_logarithm():
    rated = Values.measure(np.array([1.0, 3, 5, np.nan]), counts=False)
    assert rated.of(np.array([3.0, np.nan])).tolist() == [0, 0]
    counted = Values.measure(np.array([0.0, 9, 99]), counts=True)
    assert counted.mean == pytest.approx(np.log1p([0, 9, 99]).mean())


def rating_head(kind="ordinal") -> RatingHead:
    torch.manual_seed(0)
    return RatingHead(kind, levels_of(STARS), 6, 12, 16)


def test_ordinal_chances_are_those_of_a_cumulative_link():
    head = rating_head()
    cuts = cut_points(head.first_cut, head.log_steps).detach().numpy().astype(float)
    assert (np.diff(cuts) > 0).all()
    score = 0.7
    below = 1 / (1 + np.exp(-(cuts - score)))
    expected = np.diff(np.r_[0, below, 1])
    np.testing.assert_allclose(head.log_chances(torch.tensor([score]))[0].exp().detach(), expected, atol=1e-6)
    mean, spread = (x.item() for x in head.expected(torch.tensor([score])))
    levels = np.arange(1, 6)
    assert mean == pytest.approx(expected @ levels, abs=1e-5)
    assert spread == pytest.approx(np.sqrt(expected @ levels**2 - (expected @ levels) ** 2), abs=1e-4)
    loss = head.loss(torch.tensor([[score]]), torch.tensor([[4.0]]), torch.ones(1, 1)).item()
    assert loss == pytest.approx(-np.log(expected[3]), abs=1e-5)


@pytest.mark.parametrize("kind", ["ordinal", "regression", "classification"])
def test_ratings_stay_within_the_scale_however_far_the_score(kind):
    mean, _ = rating_head(kind).expected(torch.tensor([-100.0, 0.0, 100.0]))
    assert ((mean >= 1) & (mean <= 5)).all()


@pytest.mark.parametrize("kind", ["ordinal", "regression", "classification"])
def test_unrated_targets_do_not_count(kind):
    head, score = rating_head(kind), torch.tensor([[0.2, -3.0]])
    one = head.loss(score[:, :1], torch.tensor([[4.0]]), torch.ones(1, 1))
    both = head.loss(score, torch.tensor([[4.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(one, both)


def test_the_ranking_loss_is_cross_entropy():
    logits, targets = torch.randn(5, 9), torch.randint(9, (5, 1))
    ours = RankingHead.loss(logits, targets, torch.ones(5, 1))
    torch.testing.assert_close(ours, F.cross_entropy(logits, targets[:, 0]))


def test_a_continuous_scale_is_cut_into_21_levels():
    assert levels_of(Scale(-10.0, 10.0)).tolist() == list(range(-10, 11))


def test_pooling_before_the_values_are_made_is_attention_as_in_the_books():
    torch.manual_seed(3)
    tower = UserTower(16, 4, dropout=0.0).eval()
    vectors = torch.randn(12, 16)
    events = Events(torch.randint(12, (5, 7)), torch.randn(5, 7), 3 * torch.rand(5, 7), torch.rand(5, 7) < 0.7)
    users, weights = tower(vectors, events)

    position = torch.log1p(torch.arange(6.0, -1, -1)).expand(5, 7)
    clock = torch.stack([events.ages, position], dim=2)
    given = torch.stack([events.values, events.values**2], dim=2)
    tokens = vectors[events.items] + tower.rating(given) + tower.age(clock / 5)
    tokens = torch.cat([tower.newcomer.expand(5, 1, 16), tokens], dim=1)
    slopes = F.pad(clock, (0, 0, 1, 0)) @ tower.slope.T  # (users, places, heads)
    keys, values = (layer(tokens).view(5, 8, 4, 4).transpose(1, 2) for layer in (tower.key, tower.value))
    query = tower.query[None, :, None].expand(5, 4, 1, 4)
    bias = slopes.transpose(1, 2).masked_fill(~F.pad(events.mask, (1, 0), value=True)[:, None], -torch.inf)[:, :, None]
    expected = F.scaled_dot_product_attention(query, keys, values, bias, scale=1.0)[:, :, 0].flatten(1)

    torch.testing.assert_close(users, tower.norm(expected + tower.out(expected)))
    torch.testing.assert_close(weights, (keys @ query.transpose(2, 3) + bias.transpose(2, 3))[..., 0].softmax(2))
