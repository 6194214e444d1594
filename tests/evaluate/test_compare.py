import numpy as np
import polars as pl
import pytest

from shoal.errors import MismatchError, NotEnoughDataError, UnknownIdError
from shoal.evaluate.compare import Difference, all_paired, paired, summary
from shoal.evaluate.per_user import PER_USER, PerUser


def judged(values, metric="ndcg@10", n=1, pooling="users", first=0) -> PerUser:
    ids = [f"u{i:04}" for i in range(first, first + len(values))]
    table = pl.DataFrame({"user_id": ids, "value": values, "n": np.broadcast_to(n, len(values))}, dict(PER_USER))
    return PerUser(table, metric, pooling=pooling)


def noise(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, n)


def test_a_model_against_itself_shows_no_difference():
    assert paired(judged(noise()), judged(noise())) == Difference(0, 0, 0, 1, 200)


def test_pairing_finds_a_small_steady_gain_under_large_differences_between_users():
    gain = paired(judged(noise() + 0.01 + 0.001 * noise(seed=1)), judged(noise()))
    assert gain.mean == pytest.approx(0.01, abs=0.001)
    assert 0 < gain.low < gain.mean < gain.high
    assert gain.p == pytest.approx(2 / 10_001)
    assert gain.verdict == "better"


def test_exchanging_the_models_turns_the_difference_around():
    a, b = judged(noise(seed=1)), judged(noise(seed=2) + 0.1)
    there, back = paired(a, b), paired(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.p == back.p


def test_pairs_compared_together_differ_as_each_does_by_itself():
    pairs = [
        (judged(noise(seed=1)), judged(noise(seed=2))),
        (judged(noise(seed=3) ** 2, "rmse", 3, "squares"), judged(noise(seed=4) ** 2, "rmse", 3, "squares")),
        (judged(noise(150, seed=5)), judged(noise(seed=6))),  # fewer users in common than the others
    ]
    for together, (a, b) in zip(all_paired(pairs, seed=3), pairs, strict=True):
        alone = paired(a, b, seed=3)
        assert (together.p, together.n, together.verdict) == (alone.p, alone.n, alone.verdict)
        assert (together.mean, together.low, together.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_under_no_difference_small_p_values_are_rare():
    p = [paired(judged(noise(60, 2 * s)), judged(noise(60, 2 * s + 1)), draws=500).p for s in range(200)]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.1
    assert 0.35 <= np.mean(np.array(p) < 0.5) <= 0.65


def test_a_lower_rmse_is_better_and_rmse_is_pooled_in_each_draw():
    worse = judged(1 + 0.01 * np.abs(noise()), "rmse", np.arange(1, 201), "squares")
    better = judged(worse.table["value"].to_numpy() * 0.9, "rmse", np.arange(1, 201), "squares")
    difference = paired(better, worse)
    assert difference.verdict == "better"
    assert difference.mean == pytest.approx(better.mean - worse.mean)
    assert (difference.low, difference.high) == pytest.approx((-0.1, -0.1), abs=0.002)


def test_one_heavy_user_makes_a_pooled_difference_uncertain():
    n = [1000, *[1] * 50]
    a, b = judged([0.9] + [1.0] * 50, "rmse", n, "squares"), judged([1.0] + [0.99] * 50, "rmse", n, "squares")
    assert paired(a, b).verdict == "undecided"


def test_only_users_common_to_both_are_compared():
    difference = paired(judged([1.0, 2.0, 3.0]), judged([0.0, 0.0, 9.0], first=1))
    assert (difference.mean, difference.n) == (2.5, 2)


def test_the_order_of_users_does_not_matter():
    a, b = judged(noise(seed=1)), judged(noise(seed=2))
    mixed = PerUser(b.table.sample(fraction=1, shuffle=True, seed=3), b.metric)
    assert paired(a, mixed) == paired(a, b)


def test_metrics_that_differ_and_users_that_differ_are_refused():
    with pytest.raises(MismatchError, match=r"ndcg@10 cannot be compared with recall@10"):
        paired(judged([1.0]), judged([1.0], "recall@10"))
    with pytest.raises(NotEnoughDataError, match=r"has users such as u0000, the second such as u0007"):
        paired(judged([1.0]), judged([1.0], first=7))


def test_the_summary_puts_the_best_first_and_the_others_behind_it():
    base = noise()
    models = {"popularity": judged(base - 1), "blend": judged(base), "item-item": judged(base + 0.001 * noise(seed=1))}
    table = summary(models)
    assert table["model"].to_list()[-1] == "popularity"
    assert table["value"].is_sorted(descending=True)
    assert table["difference"].to_list() == [
        None,
        pytest.approx(table["value"][1] - table["value"][0]),
        pytest.approx(-1, abs=0.01),
    ]
    assert table["p"][0] is None
    assert table["p"][2] < 0.01
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()


def test_the_best_of_errors_is_the_lowest_and_the_reference_can_be_chosen():
    models = {"bias": judged([1.0, 1.1], "rmse", 1, "squares"), "ours": judged([0.8, 0.9], "rmse", 1, "squares")}
    assert summary(models)["model"].to_list() == ["ours", "bias"]
    table = summary(models, best="bias")
    assert table.filter(model="bias")["difference"].item() is None
    assert table.filter(model="ours")["difference"].item() < 0


def test_a_summary_of_nothing_of_an_unknown_best_or_of_two_metrics_is_refused():
    with pytest.raises(NotEnoughDataError, match="no model to sum up"):
        summary({})
    with pytest.raises(UnknownIdError, match=r"blnd is not one of the models blend. Did you mean blend\?"):
        summary({"blend": judged([1.0])}, best="blnd")
    with pytest.raises(MismatchError, match="cannot be compared"):
        summary({"a": judged([1.0]), "b": judged([1.0], "recall@10")})
