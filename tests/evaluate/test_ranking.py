import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ConfigError, NotEnoughDataError, TableError
from shoal.evaluate.ranking import hit_rate, mrr, ndcg, recall
from shoal.tables import RECOMMENDATIONS

METRICS = [ndcg, recall, hit_rate, mrr]


def lists(**shown: str) -> pl.DataFrame:
    """One letter an item, best first: lists(ann="abc")."""
    rows = [(u, i, r) for u, items in shown.items() for r, i in enumerate(items, 1)]
    return pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32}, orient="row")


def truth(**liked: str) -> pl.DataFrame:
    return lists(**liked).drop("rank")


def value(per_user, user: str = "ann") -> float:
    return per_user.table.filter(pl.col("user_id") == user)["value"].item()


def test_ndcg_of_a_hit_at_rank_two_is_discounted_by_log2_of_three():
    assert value(ndcg(lists(ann="abc"), truth(ann="b"))) == pytest.approx(1 / math.log2(3))


def test_the_ideal_list_holds_no_more_hits_than_places():
    assert value(ndcg(lists(ann="abcd"), truth(ann="abxyz"), n=2)) == pytest.approx(1)


def test_recall_divides_by_what_was_within_reach():
    assert value(recall(lists(ann="abcd"), truth(ann="abxyz"), n=2)) == 1
    assert value(recall(lists(ann="abcd"), truth(ann="axyz"), n=4)) == 0.25


def test_mrr_takes_the_first_hit_and_hit_rate_any():
    shown, liked = lists(ann="abcd", bob="abcd"), truth(ann="cd", bob="z")
    assert (value(mrr(shown, liked)), value(mrr(shown, liked), "bob")) == (pytest.approx(1 / 3), 0)
    assert (value(hit_rate(shown, liked)), value(hit_rate(shown, liked), "bob")) == (1, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_hits_below_the_last_place_do_not_count(metric):
    assert value(metric(lists(ann="abc"), truth(ann="c"), n=2)) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_silent_model_scores_zero_for_a_user_with_truth(metric):
    judged = metric(lists(ann="ab"), truth(ann="a", bob="b"))
    assert value(judged, "bob") == 0
    assert judged.mean == 0.5
    assert metric(lists(), truth(ann="a")).mean == 0


@pytest.mark.parametrize("metric", METRICS)
def test_users_without_truth_are_left_out_and_counted(metric):
    judged = metric(lists(ann="ab", bob="ab", cid="ab"), truth(ann="a"))
    assert judged.table["user_id"].to_list() == ["ann"]
    assert judged.skipped == 2


@pytest.mark.parametrize("metric", METRICS)
def test_n_of_a_user_counts_their_truth(metric):
    assert metric(lists(ann="ab"), truth(ann="xyz")).table["n"].to_list() == [3]


@pytest.mark.parametrize("metric", METRICS)
def test_a_pair_twice_in_the_truth_counts_once(metric):
    once = metric(lists(ann="abc"), truth(ann="bz"))
    twice = metric(lists(ann="abc"), truth(ann="bzbb"))
    assert twice.table.equals(once.table)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Int64])
def test_ids_may_be_strings_categoricals_or_whole_numbers(dtype):
    shown = pl.DataFrame({"user_id": ["1", "1"], "item_id": ["7", "8"], "rank": [1, 2]})
    liked = pl.DataFrame({"user_id": ["1"], "item_id": ["8"]}).cast(dtype)
    assert mrr(shown, liked).table.rows() == [("1", 0.5, 1)]


def test_a_recommendations_table_as_shoal_makes_it_is_taken():
    shown = pl.DataFrame(
        {"user_id": ["1"], "item_id": ["7"], "rank": [1], "score": [0.5], "source": ["blend"]}, RECOMMENDATIONS
    )
    assert recall(shown, truth(**{"1": "7"})).mean == 1


def test_the_order_of_rows_does_not_matter():
    shown, liked = lists(ann="abcd", bob="dcba"), truth(ann="bd", bob="c")
    for metric in METRICS:
        mixed = metric(shown.sample(fraction=1, shuffle=True, seed=1), liked.reverse())
        assert mixed.table.equals(metric(shown, liked).table)


@given(st.permutations(range(8)), st.sets(st.integers(0, 11), min_size=1), st.integers(1, 10))
def test_every_metric_lies_between_zero_and_one_and_reaches_one_when_truth_comes_first(order, liked, n):
    liked_ids = [str(i) for i in sorted(liked)]
    first = liked_ids + [str(i) for i in order if i not in liked]
    table = pl.DataFrame({"user_id": "u", "item_id": liked_ids})
    for metric in METRICS:
        shown = pl.DataFrame({"user_id": "u", "item_id": [str(i) for i in order], "rank": np.arange(1, 9)})
        best = pl.DataFrame({"user_id": "u", "item_id": first, "rank": np.arange(1, len(first) + 1)})
        assert 0 <= metric(shown, table, n=n).mean <= 1 + 1e-12
        assert metric(best, table, n=n).mean == pytest.approx(1)


@given(st.permutations("abcdefgh"), st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=7), st.data())
def test_moving_a_hit_up_never_lowers_a_metric(order, liked, data):
    row = data.draw(st.integers(1, 7))
    if order[row] not in liked or order[row - 1] in liked:
        return
    better = [*order[: row - 1], order[row], order[row - 1], *order[row + 1 :]]
    for metric in METRICS:
        before = metric(lists(u=order), truth(u=liked), n=5).mean
        assert metric(lists(u=better), truth(u=liked), n=5).mean >= before - 1e-12


def test_an_item_twice_in_a_list_is_refused():
    with pytest.raises(TableError, match="item a stands more than once for user ann"):
        ndcg(lists(ann="aba"), truth(ann="a"))


@pytest.mark.parametrize(("ranks", "begin"), [([0, 1, 2], "0, 1, 2"), ([1, 2, 2], "1, 2, 2"), ([1, 3, 4], "1, 3, 4")])
def test_ranks_that_do_not_run_from_one_are_refused(ranks, begin):
    shown = lists(ann="abc").with_columns(pl.Series("rank", ranks))
    with pytest.raises(TableError, match=f"the ranks of user ann begin with {begin}; they must run 1, 2, 3"):
        ndcg(shown, truth(ann="a"))


def test_a_missing_column_is_named_with_the_closest_one():
    with pytest.raises(TableError, match=r"no column item_id; it has user_id, item\. Did you mean item\?"):
        ndcg(lists(ann="a"), pl.DataFrame({"user_id": ["ann"], "item": ["a"]}))


def test_ids_that_are_fractions_are_refused_because_they_would_never_match():
    liked = pl.DataFrame({"user_id": [1.0], "item_id": ["a"]})
    with pytest.raises(TableError, match="truth: column user_id is Float64"):
        ndcg(lists(ann="a"), liked)


def test_empty_ids_and_fractional_ranks_are_refused():
    with pytest.raises(TableError, match="recommendations: column user_id is empty in 1 of 1 rows"):
        ndcg(lists(ann="a").with_columns(user_id=pl.lit(None, pl.String)), truth(ann="a"))
    with pytest.raises(TableError, match="column rank is Float64"):
        ndcg(lists(ann="a").cast({"rank": pl.Float64}), truth(ann="a"))


def test_no_truth_at_all_and_no_place_at_all_are_refused():
    with pytest.raises(NotEnoughDataError, match=r"ndcg@10 has no user to judge: the truth is empty"):
        ndcg(lists(ann="a"), truth())
    with pytest.raises(ConfigError, match="n = 0: a list must have at least 1 place"):
        ndcg(lists(ann="a"), truth(ann="a"), n=0)
