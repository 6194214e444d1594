"""The tower's ranking head as a recommender."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoal.config import Tower
from shoal.data.histories import Histories
from shoal.model import sequence
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.model.sequence import Sequence, blocks

ITEMS = 9


def made(at_most: int = 5) -> Sequence:
    torch.manual_seed(0)
    popularity = torch.tensor([0.0, *range(1, ITEMS)])  # training never saw item 0
    network = Network(torch.randn(ITEMS, 4), popularity, Tower(width=8, heads=2), kind="ordinal", scale=None)
    return Sequence(network, Values(3.0, 1.0, log=False), at_most).fit()


def some(counts: list[int], seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    n = sum(counts)
    times = np.concatenate([np.sort(rng.random(c) * 100) for c in counts]) if n else np.zeros(0)
    items, values = rng.integers(0, ITEMS, n), rng.integers(1, 6, n)
    starts = np.r_[0, np.cumsum(counts, dtype=np.int64)]
    return Histories(starts, items.astype(np.int32), values.astype(np.float32), times, ITEMS)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 9])
def test_blocks_hold_each_user_once_in_order(n):
    parts = blocks(n, 4)
    assert np.concatenate(parts).tolist() == list(range(n))
    assert all(len(part) <= 4 for part in parts)
    assert len(parts) >= 1  # no users are one empty block, so that what is made of them has its shape


def test_the_size_of_a_block_changes_nothing(monkeypatch):
    reads, users = made(), some([3, 0, 7, 1, 5])
    whole = reads.users(users), reads.score(users)
    monkeypatch.setattr(sequence, "blocks", lambda n: blocks(n, 2))
    np.testing.assert_allclose(reads.users(users), whole[0], atol=1e-5)
    np.testing.assert_allclose(reads.score(users), whole[1], atol=1e-5)


def test_scores_are_the_ranking_heads_and_no_item_is_unknown():
    reads, users = made(), some([3, 0, 7])
    network, parts = reads.network, reads.parts_
    expected = network.ranking(torch.from_numpy(reads.users(users)), parts.vectors, parts.ranking).detach()
    scores = reads.score(users)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()  # item 0, which training never saw, has its text


def test_nobody_gets_empty_arrays_of_the_right_shape():
    reads = made()
    assert reads.users(some([])).shape == (0, 8)
    assert reads.score(some([])).shape == (0, ITEMS)


def test_the_order_of_users_changes_nothing():
    reads, users = made(), some([3, 0, 7, 1])
    turned = reads.score(users.take(np.array([3, 1, 0, 2])))
    np.testing.assert_allclose(turned, reads.score(users)[[3, 1, 0, 2]], atol=1e-5)


def test_attention_is_on_the_newcomers_event_and_the_newest_ones():
    weights = made(at_most=4).attention(some([7, 2, 0]))
    assert weights.shape == (3, 1 + 4)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert (weights[1, 1:3] == 0).all()
    np.testing.assert_allclose(weights[2], [1, 0, 0, 0, 0], atol=1e-6)


def test_serving_drops_nothing_out():
    reads, users = made(), some([6, 6])
    reads.network.train()
    reads.fit()
    np.testing.assert_array_equal(reads.users(users), reads.users(users))
    assert not reads.network.training


def test_vectors_carry_no_gradient():
    assert not made().parts_.vectors.requires_grad
