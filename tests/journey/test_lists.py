"""Lists in blocks and by several threads: those of the plain formula, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoal.learnt import Learnt, sorted_ids
from shoal.recommend.asked import Asked
from shoal.recommend.standard import compressed, hide
from shoal.recommend.weights import warmth
from shoal.tables import USER

pytestmark = pytest.mark.xdist_group("journey")


@pytest.fixture
def learnt(run, monkeypatch) -> Learnt:
    monkeypatch.setattr("shoal.learnt.BLOCK_USERS", 50)
    return run.learnt


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def some_pasts(learnt):
    """Pasts of all lengths: of three users the whole, of the next three five events and fewer."""
    events = learnt.data.interactions
    pasts = learnt.pasts(events, sorted_ids(events, USER))
    place = np.arange(len(pasts.items)) - np.repeat(pasts.starts[:-1], pasts.counts)
    return pasts.where((pasts.users % 6 < 3) | (place < pasts.users % 6 * 5 - 15))


def test_lists_and_sources_are_those_of_the_plain_weighted_sum(learnt, threads, monkeypatch):
    blend, pasts = learnt.blend, some_pasts(learnt)
    monkeypatch.setattr(blend, "boosted_", None)
    monkeypatch.setattr(
        blend, "weights_", np.random.default_rng(0).normal(size=blend.weights_.shape).astype(np.float32)
    )
    items, scores, sources = learnt.best(pasts, 10)

    said = np.stack([compressed(model.score(pasts)) for model in blend.models], 2)  # (users, items, models)
    parts = said.astype(np.float64) * blend.weights_[warmth(pasts.counts)][:, None]
    total = hide(parts.sum(2), pasts)
    expected = np.argsort(-total, axis=1, kind="stable")[:, :10]
    same = (items == expected).all(1)
    assert same.mean() > 0.99  # others are ties but for float32
    np.testing.assert_allclose(scores, np.take_along_axis(total, expected, 1), atol=1e-5)
    carried = np.take_along_axis(parts, items[:, :, None], 1).argmax(2)
    np.testing.assert_array_equal(sources[same], carried[same])


def test_models_asked_together_in_blocks_give_what_each_gives_of_all_at_once(learnt, threads):
    pasts = some_pasts(learnt)
    together = learnt.best_by(pasts, 5, ["blend", "item_item", "text"])
    for name, found in together.items():
        alone = learnt._best(Asked(pasts), 5, name, False, None)
        for part, whole in zip(found, alone, strict=True):
            np.testing.assert_allclose(part, whole, atol=1e-5)


def test_threads_are_given_back_also_when_a_model_fails(learnt, threads, monkeypatch):
    def failing(asked):
        assert torch.get_num_threads() == 1
        raise ValueError("no scores today")

    monkeypatch.setattr(learnt.blend, "weigh", failing)
    with pytest.raises(ValueError, match="no scores today"):
        learnt.best(some_pasts(learnt), 5)
    assert torch.get_num_threads() == threads
