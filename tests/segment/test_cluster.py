"""Segments of users: planted ones are found, placement is frozen, and bad input is named."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from shoal.data.synthetic import planted_world
from shoal.errors import MismatchError, NotEnoughDataError
from shoal.segment.cluster import fit_segments
from shoal.segment.segmentation import Segmentation
from shoal.tables import SEGMENT, USER


def topic_vectors(**world) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean one-hot topic of each user's items, events of each user, planted segment."""
    dataset, truth = planted_world(**world)
    topics = dataset.items.with_columns(topic=pl.col("genres").list.first())
    events = dataset.interactions.join(topics, on="item_id").with_columns(pl.col(USER).cast(pl.String))
    table = events.pivot("topic", index=USER, values="topic", aggregate_function="len", sort_columns=True)
    table = truth.select(USER).join(table.fill_null(0), on=USER, how="left", maintain_order="left").drop(USER)
    counts = table.to_numpy().astype(np.float32)
    return counts / counts.sum(axis=1, keepdims=True), counts.sum(axis=1), truth[SEGMENT].to_numpy()


VECTORS, COUNTS, TRUTH = topic_vectors(users=160, items=80, events_per_user=15)
FITTED = fit_segments(VECTORS, COUNTS, n=None, at_most=6, min_events=5, seed=0)


def test_planted_segments_are_found_up_to_their_labels():
    segment, strength = FITTED.assign(VECTORS, COUNTS)
    assert FITTED.n == 4
    assert adjusted_rand_score(TRUTH, segment) == 1.0
    assert strength.min() > 0.5


def test_a_common_direction_does_not_hide_segments():
    shifted = 0.2 * VECTORS + 5.0
    segment, _ = fit_segments(shifted, COUNTS, n=4, at_most=6, min_events=5, seed=0).assign(shifted, COUNTS)
    assert adjusted_rand_score(TRUTH, segment) == 1.0


def test_random_vectors_are_called_unstable():
    rows = np.random.default_rng(0).normal(size=(150, 16)).astype(np.float32)
    fitted = fit_segments(rows, np.full(150, 9), n=None, at_most=4, min_events=5, seed=0)
    assert "low stability" in fitted.reason


@given(st.integers(0, 2**31), st.floats(1e-6, 1e6))
def test_placement_depends_neither_on_the_order_of_users_nor_on_length(seed, size):
    order = np.random.default_rng(seed).permutation(len(VECTORS))
    segment, strength = FITTED.assign(VECTORS, COUNTS)
    again, strength_again = FITTED.assign(VECTORS[order] * np.float32(size), COUNTS[order])
    assert again.tolist() == segment[order].tolist()
    np.testing.assert_allclose(strength_again, strength[order], atol=1e-4)


def test_the_same_past_is_placed_alike_whoever_else_is_there():
    segment, strength = FITTED.assign(VECTORS, COUNTS)
    for user in (0, 7, 159):
        alone, strength_alone = FITTED.assign(VECTORS[[user]], COUNTS[[user]])
        assert alone[0] == segment[user]
        assert strength_alone[0] == pytest.approx(strength[user], abs=1e-4)


def test_the_order_of_users_changes_at_most_the_numbers_of_planted_segments():
    order = np.random.default_rng(1).permutation(len(VECTORS))
    other = fit_segments(VECTORS[order], COUNTS[order], n=4, at_most=6, min_events=5, seed=0)
    first, second = FITTED.assign(VECTORS, COUNTS)[0], other.assign(VECTORS, COUNTS)[0]
    assert adjusted_rand_score(first, second) == 1.0


def test_segment_is_the_largest_membership_and_strength_its_size():
    memberships = FITTED.memberships(VECTORS)
    segment, strength = FITTED.assign(VECTORS, COUNTS)
    np.testing.assert_allclose(memberships.sum(axis=1), 1, rtol=1e-5)
    assert memberships.argmax(axis=1).tolist() == segment.tolist()
    assert memberships.max(axis=1).tolist() == strength.tolist()


def test_mean_strength_is_the_share_that_refits_agree_on():
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    fitted = fit_segments(rows, np.full(300, 9), n=4, at_most=6, min_events=5, seed=0)
    from shoal.segment.choose import given as measured
    from shoal.segment.segmentation import minus_mean

    strength = fitted.assign(rows, np.full(300, 9))[1]
    wanted = measured(minus_mean(rows, fitted.mean), 4, seed=0).agreement
    assert strength.mean() == pytest.approx(wanted, abs=0.01)


def test_users_with_few_events_or_no_direction_are_not_placed_and_do_not_count():
    counts = COUNTS.copy()
    counts[:30] = 4
    vectors = VECTORS.copy()
    vectors[30] = 0
    fitted = fit_segments(vectors, counts, n=4, at_most=6, min_events=5, seed=0)
    segment, strength = fitted.assign(vectors, counts)
    assert segment[:31].tolist() == [-1] * 31
    assert strength[:31].tolist() == [0] * 31
    assert segment[31:].min() == 0
    without = fit_segments(vectors[31:], counts[31:], n=4, at_most=6, min_events=5, seed=0)
    np.testing.assert_allclose(fitted.centers, without.centers)


def test_numbers_follow_size():
    sizes = np.bincount(FITTED.assign(VECTORS, COUNTS)[0])
    assert sizes.tolist() == sorted(sizes, reverse=True)


def test_same_seed_same_segments():
    again = fit_segments(VECTORS, COUNTS, n=None, at_most=6, min_events=5, seed=0)
    assert again.centers.tobytes() == FITTED.centers.tobytes()
    assert again.temperature == FITTED.temperature


def test_a_large_fit_starts_from_a_sample_and_ends_the_same(monkeypatch):
    monkeypatch.setattr("shoal.segment.cluster.START_SAMPLE", 60)
    sampled = fit_segments(VECTORS, COUNTS, n=4, at_most=6, min_events=5, seed=0)
    assert adjusted_rand_score(TRUTH, sampled.assign(VECTORS, COUNTS)[0]) == 1.0


def test_storage_gives_back_the_same_segmentation():
    again = Segmentation.of(FITTED.tensors(), json.loads(json.dumps(FITTED.document())))
    assert again.choice.equals(FITTED.choice)
    assert (again.reason, again.min_events, again.temperature) == (FITTED.reason, 5, FITTED.temperature)
    for ours, theirs in zip(again.assign(VECTORS, COUNTS), FITTED.assign(VECTORS, COUNTS), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_users_who_are_all_alike_are_one_segment():
    alike = np.tile(np.array([[0.1, 0.2, 0.3]], np.float32), (50, 1)) * np.arange(1, 51, dtype=np.float32)[:, None]
    fitted = fit_segments(alike, np.full(50, 9), n=None, at_most=6, min_events=5, seed=0)
    assert fitted.n == 1
    assert fitted.reason == "One segment: the 50 users that can be placed all have the same vector."
    segment, strength = fitted.assign(alike, np.full(50, 9))
    assert set(segment.tolist()) == {0}
    assert set(strength.tolist()) == {1.0}
    with pytest.raises(NotEnoughDataError, match="only 1 different vectors"):
        fit_segments(alike, np.full(50, 9), n=2, at_most=6, min_events=5, seed=0)


def test_few_users_are_one_segment():
    fitted = fit_segments(VECTORS[:10], COUNTS[:10], n=None, at_most=6, min_events=5, seed=0)
    assert fitted.n == 1
    assert "10 users can be placed" in fitted.reason


def test_nobody_with_enough_events_is_no_crash():
    fitted = fit_segments(VECTORS, np.ones(160), n=None, at_most=6, min_events=5, seed=0)
    assert "nobody in it: none of 160 users has the 5 events" in fitted.reason
    assert set(fitted.assign(VECTORS, np.ones(160))[0].tolist()) == {-1}


def test_one_segment_can_be_asked_for():
    fitted = fit_segments(VECTORS, COUNTS, n=1, at_most=6, min_events=5, seed=0)
    assert (fitted.n, fitted.reason) == (1, "One segment, as asked for.")


def test_more_segments_than_users_are_refused():
    with pytest.raises(NotEnoughDataError, match=r"segment.n = 161, and only 160 of 160 users .* at most 160"):
        fit_segments(VECTORS, COUNTS, n=161, at_most=6, min_events=5, seed=0)


def test_as_many_segments_as_users_are_possible():
    rows = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    fitted = fit_segments(rows, np.full(12, 9), n=12, at_most=12, min_events=5, seed=0)
    assert sorted(fitted.assign(rows, np.full(12, 9))[0].tolist()) == list(range(12))


def test_vectors_of_another_width_are_refused():
    with pytest.raises(MismatchError, match=r"width 4; these have shape \(3, 5\)"):
        FITTED.assign(np.ones((3, 5)), np.ones(3))


def test_counts_of_other_users_are_refused():
    with pytest.raises(MismatchError, match="160 user vectors and 3 counts"):
        FITTED.assign(VECTORS, COUNTS[:3])


def test_a_vector_with_nan_is_named():
    vectors = VECTORS.copy()
    vectors[17, 2] = np.nan
    with pytest.raises(ValueError, match="user row 17 holds NaN"):
        FITTED.assign(vectors, COUNTS)


def test_segments_go_by_the_numbers_that_they_were_given():
    numbered = FITTED.numbered((7, 2, 9, 4))
    segment, strength = numbered.assign(VECTORS, COUNTS)
    own, own_strength = FITTED.assign(VECTORS, COUNTS)
    assert segment.tolist() == [[7, 2, 9, 4][one] for one in own]
    assert segment.dtype == np.int32
    np.testing.assert_array_equal(strength, own_strength)
    again = Segmentation.of(numbered.tensors(), json.loads(json.dumps(numbered.document())))
    assert again.ids.tolist() == [2, 4, 7, 9]


def test_a_segmentation_of_before_numbers_its_centres_in_order():
    document = FITTED.document()
    tensors = {name: tensor for name, tensor in FITTED.tensors().items() if name != "ids"}
    assert Segmentation.of(tensors, document).ids.tolist() == [0, 1, 2, 3]
