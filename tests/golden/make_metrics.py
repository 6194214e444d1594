"""Makes metrics.json: small tables, and what other people's implementations say of them.

ranx 0.3.21 gives NDCG, MRR and hit rate; trec_eval (by ir-measures 0.4.3) gives NDCG once more; LensKit 2025.8.1 gives
recall (its definition is ours; its NDCG, which does not discount rank 2, is not), RMSE and MAE; RecTools 0.19.0 gives
coverage and mean inverse user frequency (our novelty); scikit-learn 1.9.1 gives accuracy and cosine distances. Run it
in an environment of its own that has these five, not Shoal:

    python tests/golden/make_metrics.py
"""

import json
from pathlib import Path

import ir_measures
import numpy as np
import pandas as pd
from lenskit.data import ItemList
from lenskit.metrics import MAE, RMSE, Recall, call_metric
from ranx import Qrels, Run, evaluate
from rectools.metrics import CatalogCoverage, MeanInvUserFreq
from sklearn.metrics import accuracy_score
from sklearn.metrics.pairwise import cosine_distances

CUTOFFS = (1, 5, 10)
USERS, ITEMS, WIDTH = 30, 40, 6


def lists(rng):
    """Lists of 0 to 15 items: users 0 to 2 get nothing, user 3 a single item."""
    lengths = rng.integers(2, 16, USERS)
    lengths[:4] = (0, 0, 0, 1)
    return {
        f"u{u}": [f"i{i}" for i in rng.choice(ITEMS, lengths[u], replace=False)] for u in range(USERS) if lengths[u]
    }


def relevant(rng):
    """Truth of 1 to 14 items; the last two users have none."""
    sizes = rng.integers(1, 15, USERS)
    return {f"u{u}": sorted(f"i{i}" for i in rng.choice(ITEMS, sizes[u], replace=False)) for u in range(USERS - 2)}


def ranking(shown, truth):
    qrels = Qrels({u: dict.fromkeys(items, 1) for u, items in truth.items()})
    # ranx wants every query in the run: a user without a list gets one item that nobody has.
    run = Run({u: {i: 100.0 - r for r, i in enumerate(shown.get(u, ["none"]))} for u in truth})
    names = [f"{m}@{n}" for m in ("ndcg", "mrr", "hit_rate") for n in CUTOFFS]
    evaluate(qrels, run, names)
    values = {name: {u: float(v) for u, v in run.scores[name].items()} for name in names}
    marks = {u: dict.fromkeys(items, 1) for u, items in truth.items()}
    scores = {u: {i: 100.0 - r for r, i in enumerate(items)} for u, items in shown.items()}
    for n in CUTOFFS:
        trec = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ n], marks, scores)}
        values[f"trec_ndcg@{n}"] = {u: float(trec.get(u, 0.0)) for u in truth}
        values[f"recall@{n}"] = {
            u: float(call_metric(Recall(n), ItemList(shown.get(u, []), ordered=True), ItemList(items)))
            for u, items in truth.items()
        }
    return values


def rating(predicted, actual, levels):
    def items(values):
        return ItemList([i for _, i in values], scores=np.array(list(values.values())))

    def given(values):
        return ItemList([i for _, i in values], rating=np.array(list(values.values())))

    def of(user, values):
        return {pair: value for pair, value in values.items() if pair[0] == user}

    users = sorted({u for u, _ in actual})
    nearest = [min(levels, key=lambda level: abs(level - predicted[pair])) for pair in actual]
    result = {
        "accuracy": {"pooled": float(accuracy_score([str(v) for v in actual.values()], [str(v) for v in nearest]))}
    }
    for name, metric in (("rmse", RMSE), ("mae", MAE)):
        by_user = {u: float(call_metric(metric, items(of(u, predicted)), given(of(u, actual)))) for u in users}
        # Pairs get names of their own, so that LensKit can pool over users.
        flat = (
            {("", f"{u} {i}"): v for (u, i), v in predicted.items()},
            {("", f"{u} {i}"): v for (u, i), v in actual.items()},
        )
        result[name] = {"users": by_user, "pooled": float(call_metric(metric, items(flat[0]), given(flat[1])))}
    return result


def beyond(shown, history, vectors):
    rows = [(u, i, r) for u, items in shown.items() for r, i in enumerate(items, 1)]
    recommendations = pd.DataFrame(rows, columns=["user_id", "item_id", "rank"])
    known = pd.DataFrame(history, columns=["user_id", "item_id"])
    catalogue = [f"i{i}" for i in range(ITEMS)]
    result = {}
    for n in CUTOFFS:
        miuf = MeanInvUserFreq(k=n).calc_per_user(recommendations, known)
        result[f"novelty@{n}"] = {str(u): float(v) for u, v in miuf.items()}
        result[f"coverage@{n}"] = float(CatalogCoverage(k=n, normalize=True).calc(recommendations, catalogue))
        distances = {}
        for u, items in shown.items():
            if len(items[:n]) > 1:
                table = cosine_distances([vectors[i] for i in items[:n]])
                distances[u] = float(table[np.triu_indices(len(table), 1)].mean())
        result[f"diversity@{n}"] = distances
    return result


def main():
    rng = np.random.default_rng(20250302)
    shown, truth = lists(rng), relevant(rng)
    levels = [0.5 * step for step in range(1, 11)]
    actual = {(u, i): float(rng.choice(levels)) for u, items in truth.items() for i in items}
    predicted = {pair: float(np.float32(np.clip(v + rng.normal(0, 1), 0.5, 5))) for pair, v in actual.items()}
    history = [(f"h{u}", f"i{i}") for u in range(25) for i in rng.choice(ITEMS - 3, 8, replace=False)]
    history += [("h0", f"i{i}") for i in range(ITEMS) if ("h0", f"i{i}") not in history]  # no item without a user
    vectors = {f"i{i}": rng.normal(size=WIDTH).astype(np.float32).astype(float).tolist() for i in range(ITEMS)}
    golden = {
        "made_with": "ranx, ir-measures, LensKit, RecTools and scikit-learn; versions in make_metrics.py",
        "shown": shown,
        "truth": truth,
        "ratings": [[u, i, predicted[u, i], actual[u, i]] for u, i in actual],
        "history": history,
        "vectors": vectors,
        "ranking": ranking(shown, truth),
        "rating": rating(predicted, actual, levels),
        "beyond": beyond(shown, history, vectors),
    }
    path = Path(__file__).with_name("metrics.json")
    path.write_text(
        json.dumps(golden, indent=None, separators=(",", ":")).replace('],"', '],\n"') + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
