import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoal.encode.compare import compare, cosines, neighbours_kept, spread
from shoal.errors import ConfigError, MismatchError, NotEnoughDataError


class Counted:
    """An encoder of known vectors that keeps count of its calls."""

    def __init__(self, vectors):
        self.vectors, self.calls = vectors, 0
        self.fingerprint, self.width = "x", vectors.shape[1]

    def encode(self, texts):
        self.calls += 1
        return self.vectors


def test_cosines_are_of_rows_whatever_their_length():
    a, b = np.array([[1.0, 0], [0, 2], [1, 1]]), np.array([[5.0, 0], [0, -1], [1, 0]])
    np.testing.assert_allclose(cosines(a, b), [1, -1, 0.5**0.5])
    assert np.isnan(cosines(np.zeros((1, 2)), np.ones((1, 2)))[0])
    with pytest.raises(MismatchError, match=r"\(3, 2\) and \(2, 2\)"):
        cosines(a, b[:2])


def test_neighbours_are_all_kept_by_a_turn_of_all_vectors_and_few_by_chance():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert neighbours_kept(a, a @ turn * 3) == 1
    assert neighbours_kept(a, rng.normal(size=(300, 5))) == pytest.approx(10 / 299, abs=0.015)
    with pytest.raises(NotEnoughDataError, match="10 neighbours need more than 10 texts"):
        neighbours_kept(a[:10], a[:10])


def test_neighbours_do_not_depend_on_how_many_rows_are_looked_at_at_once():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1500, 4)), rng.normal(size=(1500, 4))
    near = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (a / np.linalg.norm(a, axis=1, keepdims=True)).T
    np.fill_diagonal(near, -2)
    other = (b / np.linalg.norm(b, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    np.fill_diagonal(other, -2)
    mine = [len(set(np.argsort(-x)[:3]) & set(np.argsort(-y)[:3])) / 3 for x, y in zip(near, other, strict=True)]
    assert neighbours_kept(a, b, n=3) == pytest.approx(np.mean(mine))


@given(arrays(float, (14, 3), elements=st.floats(-1, 1)))
def test_every_encoder_keeps_its_own_neighbours(vectors):
    assert neighbours_kept(vectors, vectors.copy(), n=5) == 1


def test_encoders_have_their_turn_in_every_round_and_the_first_is_the_measure():
    vectors = np.random.default_rng(0).normal(size=(20, 6))
    first, near, narrow = (Counted(v) for v in (vectors, vectors + 0.01, vectors[:, :2]))
    table = compare({"first": first, "near": near, "narrow": narrow}, ["t"] * 20, repeats=3, n=5)
    assert [e.calls for e in (first, near, narrow)] == [4, 4, 4]
    assert table["encoder"].to_list() == ["first", "near", "narrow"]
    assert table["ratio"][0] == table["ratio_low"][0] == table["ratio_high"][0] == 1
    assert table["cosine"][0] == pytest.approx(1)
    assert 0.9 < table["cosine_least"][1] <= table["cosine"][1] < 1
    assert table["cosine"][2] is None
    assert table["neighbours"][0] == 1
    assert (table["ratio_low"] <= table["ratio"]).all()
    assert (table["ratio"] <= table["ratio_high"]).all()
    with pytest.raises(ConfigError, match="repeats = 0 with 1 encoders"):
        compare({"first": first}, ["t"] * 20, repeats=0)


@given(st.lists(st.text(max_size=9)), st.integers(1, 50))
def test_spread_texts_are_different_ones_from_shortest_to_longest(texts, n):
    chosen = spread(texts, n)
    distinct = set(texts) - {""}
    assert len(chosen) == len(set(chosen)) == (min(n, len(distinct)) or 1)
    if len(distinct) and n > 1:
        lengths = [len(text) for text in distinct]
        assert (len(chosen[0]), len(chosen[-1])) == (min(lengths), max(lengths))
