"""Our metrics against ranx, trec_eval, LensKit, RecTools and scikit-learn (tests/golden/make_metrics.py)."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.evaluate import beyond, ranking, rating

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text(encoding="utf-8"))
LEVELS = [0.5 * step for step in range(1, 11)]


def frame(pairs: dict[str, list[str]]) -> pl.DataFrame:
    rows = [(u, i, r) for u, items in pairs.items() for r, i in enumerate(items, 1)]
    return pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32}, orient="row")


def ratings(column: int) -> pl.DataFrame:
    rows = [(row[0], row[1], row[column]) for row in GOLDEN["ratings"]]
    return pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float32}, orient="row")


def values(per_user) -> dict[str, float]:
    return dict(per_user.table.select("user_id", "value").iter_rows())


SHOWN, TRUTH = frame(GOLDEN["shown"]), frame(GOLDEN["truth"]).drop("rank")


def test_the_golden_tables_hold_users_without_a_list_and_users_without_truth():
    assert len(GOLDEN["truth"]) >= 20
    assert set(GOLDEN["truth"]) - set(GOLDEN["shown"])
    assert set(GOLDEN["shown"]) - set(GOLDEN["truth"])


@pytest.mark.parametrize("n", [1, 5, 10])
@pytest.mark.parametrize("name", ["ndcg", "recall", "mrr", "hit_rate"])
def test_ranking_metrics_agree_with_ranx_and_lenskit(name, n):
    ours = getattr(ranking, name)(SHOWN, TRUTH, n=n)
    assert values(ours) == pytest.approx(GOLDEN["ranking"][f"{name}@{n}"], abs=1e-9)
    assert ours.skipped == len(set(GOLDEN["shown"]) - set(GOLDEN["truth"]))


@pytest.mark.parametrize("n", [1, 5, 10])
def test_ndcg_agrees_with_trec_eval_too(n):
    theirs = GOLDEN["ranking"][f"trec_ndcg@{n}"]
    assert values(ranking.ndcg(SHOWN, TRUTH, n=n)) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_rating_errors_agree_with_lenskit(name):
    ours = getattr(rating, name)(ratings(2), ratings(3))
    assert values(ours) == pytest.approx(GOLDEN["rating"][name]["users"], abs=1e-9)
    assert ours.mean == pytest.approx(GOLDEN["rating"][name]["pooled"], abs=1e-9)


def test_accuracy_agrees_with_scikit_learn():
    ours = rating.accuracy(ratings(2), ratings(3), LEVELS)
    assert ours.mean == pytest.approx(GOLDEN["rating"]["accuracy"]["pooled"], abs=1e-9)


@pytest.mark.parametrize("n", [1, 5, 10])
def test_novelty_and_coverage_agree_with_rectools(n):
    history = pl.DataFrame(GOLDEN["history"], ["user_id", "item_id"], orient="row")
    catalogue = pl.DataFrame({"item_id": list(GOLDEN["vectors"])})
    assert values(beyond.novelty(SHOWN, history, n=n)) == pytest.approx(GOLDEN["beyond"][f"novelty@{n}"], abs=1e-9)
    assert beyond.coverage(SHOWN, catalogue, n=n) == pytest.approx(GOLDEN["beyond"][f"coverage@{n}"], abs=1e-9)


@pytest.mark.parametrize("n", [5, 10])
def test_diversity_agrees_with_the_cosine_distances_of_scikit_learn(n):
    vectors = np.array(list(GOLDEN["vectors"].values()), np.float32)
    table = pl.DataFrame({"item_id": list(GOLDEN["vectors"]), "vector": vectors})
    assert values(beyond.diversity(SHOWN, table, n=n)) == pytest.approx(GOLDEN["beyond"][f"diversity@{n}"], abs=1e-9)
