"""The network: where it starts, what it knows of unseen items, and what of it is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoal.config import Tower
from shoal.data.dataset import Scale
from shoal.model.network import Network, levels_of
from shoal.model.tower import Events

STARS = Scale(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0))
POPULARITY = torch.tensor([0.0, 1.0, 4.0, 20.0])


def network(scale: Scale | None = STARS, **settings) -> Network:
    torch.manual_seed(0)
    settings = {"width": 8, "heads": 2, **settings}
    return Network(torch.randn(4, 3), POPULARITY, Tower(**settings), kind="ordinal", scale=scale).eval()


def events(items: list[list[int]]) -> Events:
    rows = torch.tensor(items)
    return Events(rows, torch.zeros(rows.shape), torch.zeros(rows.shape), torch.ones(rows.shape, dtype=torch.bool))


def test_ranking_starts_from_popularity_and_unseen_items_from_nothing():
    bias = network().item_parts().ranking.detach()
    share = np.log1p(POPULARITY.numpy())
    np.testing.assert_allclose(bias[1:], (share - share.mean())[1:], atol=1e-6)
    assert bias[0] == 0


def test_an_unseen_item_has_no_offset_of_its_own():
    made = network()
    before = made.item_parts()
    with torch.no_grad():
        made.items.delta.normal_()
        made.rating.bias.own.normal_()
        made.ranking.bias.own.normal_()
    after = made.item_parts()
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(old[0], new[0])
        assert (old[1:] - new[1:]).abs().max() > 0.01


def test_a_bound_of_zero_leaves_text_alone():
    made = network(delta_bound=0.0)
    before = made.item_parts().vectors
    with torch.no_grad():
        made.items.delta.normal_()
    torch.testing.assert_close(made.item_parts().vectors, before)


def test_the_network_rates_what_its_parts_say():
    made = network()
    parts = made.item_parts()
    users, _ = made.users(parts, events([[1, 2], [3, 0]]))
    assert users.shape == (2, 8)
    score = made.rate(parts, users, torch.tensor([[3, 0, 1], [2, 2, 2]]), torch.zeros(2))
    assert score.shape == (2, 3)
    torch.testing.assert_close(score[1, 0], score[1, 2])
    alone = made.rate(parts, users[:1], torch.tensor([[0]]), torch.zeros(1))
    torch.testing.assert_close(alone[0, 0], score[0, 1])


def test_every_weight_can_be_learnt():
    made = network().train()
    parts = made.item_parts()
    users, _ = made.users(parts, events([[1, 2], [3, 1]]))
    targets = torch.tensor([[1], [3]])
    ranking = made.ranking.loss(made.ranking(users, parts.vectors, parts.ranking), targets, torch.ones(2, 1))
    score = made.rate(parts, users, targets, torch.ones(2))
    (ranking + made.rating.loss(score, torch.tensor([[2.0], [5.0]]), torch.ones(2, 1))).backward()
    idle = {name for name, p in made.named_parameters() if p.grad is None}
    assert idle <= {"rating.outputs.weight", "rating.outputs.bias"}  # of the classification head


def test_features_are_kept_beside_the_weights_and_not_among_them():
    names = set(network().state_dict())
    assert not names & {"features", "known"}
    assert "rating.levels" in names


@pytest.mark.parametrize(
    ("scale", "levels"),
    [
        (STARS, [1, 2, 3, 4, 5]),
        (Scale(0.0, 2.0), list(np.linspace(0, 2, 21))),
        (Scale(1.0, 5.0, (3.0,)), list(np.linspace(1, 5, 21))),  # one rating occurs: its scale is still whole
        (None, [0, 1]),
    ],
)
def test_the_levels_are_those_of_the_data(scale, levels):
    np.testing.assert_allclose(levels_of(scale), levels, rtol=1e-6)


def test_a_network_without_ratings_still_ranks():
    made = network(scale=None)
    parts = made.item_parts()
    users, _ = made.users(parts, events([[1, 2]]))
    assert torch.isfinite(made.ranking(users, parts.vectors, parts.ranking)).all()
