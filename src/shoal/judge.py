"""The judge: what was learnt from the training part is asked about the rest, beside honest baselines.

split --learn from its train--> Learnt --recommend, rate from its given--> tables --metrics--> Judgement
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from shoal.config import Config
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.data.leakage import Split
from shoal.data.split import split as split_by
from shoal.errors import ConfigError
from shoal.evaluate import beyond, ranking, rating, warmth
from shoal.evaluate.compare import all_paired
from shoal.evaluate.per_user import PerUser, intervals
from shoal.judgement import Judgement
from shoal.learn import Around, learn, relevance
from shoal.learnt import Learnt, sorted_ids
from shoal.progress import Progress
from shoal.seeding import generator
from shoal.tables import ITEM, RANK, RATING, SCORE, SPREAD, USER

MOST_USERS = 10_000
"""Test users who are ranked for; more are sampled by the seed, and the judgement says so."""

RANKERS = (
    "blend",
    "popularity",
    "trending",
    "by_traits",
    "item_item",
    "walks",
    "factors",
    "sequence",
    "text",
    "by_segment",
)
METRICS = {"ndcg": ranking.ndcg, "recall": ranking.recall, "hit_rate": ranking.hit_rate, "mrr": ranking.mrr}


def evaluate(
    data: Dataset,
    protocol: str,
    *,
    config: Config | None = None,
    n: int = 10,
    share: float | None = None,
    shown: float | None = None,
    order: str | None = None,
    seed: int = 0,
    device: str = "auto",
    cache: Path | Literal["default"] | None = "default",
    progress: Progress | None = None,
) -> Judgement:
    """Split `data`, learn from its training part alone, and judge on the rest.

    Parameters
    ----------
    data : Dataset
    protocol : str
        ``temporal``, ``last-out``, ``random``, ``strong``, ``cold-item`` or ``cold-user``; see `shoal.data.split`.
    config : Config, optional
        `validation.protocol` is set to the protocol's own kind where it is ``auto``.
    n : int
        Length of the lists, 1 or more.
    share, shown, order
        Options of the protocol; None takes its default.
    seed : int
        Of the split.
    device, cache, progress
        See `shoal.pipeline.fit`.

    Raises
    ------
    ConfigError, NotEnoughDataError
        See `shoal.data.split.split` and `shoal.learn.learn`.
    """
    config = config or Config()
    check_n(n)
    options: dict[str, Any] = {"seed": seed}
    if share is not None:
        options["users_share" if protocol in ("strong", "cold-user") else "share"] = share
    options |= {name: value for name, value in (("shown", shown), ("order", order)) if value is not None}
    if protocol == "strong":
        options["relevant_from"] = relevance(data, config)
    held = split_by(data, protocol, **options)
    around = Around(progress or Progress(), device, cache)
    learnt = learn(held.train, as_asked(config, protocol, order), around, n=n, cutoff=held.cutoff)
    return judge(learnt, held, n=n, seed=seed)


def check_n(n: int) -> None:
    """Refuse a list without places."""
    if n < 1:
        raise ConfigError(f"n = {n}: a list needs at least 1 place. Give n=10, say.")


def as_asked(config: Config, protocol: str, order: str | None = None) -> Config:
    """Tune on the kind of question that will be asked, unless the settings say otherwise.

    Cold users are asked for all that they went on to do, and so are the users that are held out whole (strong). With
    `order` "time" they show their oldest events.
    """
    if config.validation.protocol != "auto" or protocol == "cold-item":
        return config
    values = config.model_dump()
    values["validation"]["protocol"] = "strong" if protocol == "cold-user" else protocol
    if order == "time":
        values["validation"]["newcomers"] = "oldest"
    return Config(**values)


def judge(learnt: Learnt, held: Split, *, n: int, seed: int) -> Judgement:
    """Ask what was learnt about the events of a split that it has not seen."""
    truth = held.test if learnt.relevant_from is None else held.test.filter(pl.col(RATING) >= learnt.relevant_from)
    users, notes = _sample(truth, seed, held.notes)
    pasts = learnt.pasts(held.given, users)
    counts = pl.DataFrame({USER: users.values, "events": pasts.counts.astype(np.int64)})
    truth = truth.filter(pl.col(USER).cast(pl.String).is_in(users.values.implode()))
    scores: dict[str, dict[str, PerUser]] = {}
    rows: list[dict[str, Any]] = []
    by_warmth = pl.DataFrame(schema=WARMTH)
    if truth.height:
        lists = _lists(learnt, pasts, users, n, held)
        for metric, measure in METRICS.items():
            scores[f"{metric}@{n}"] = {m: measure(t, truth, n=n) for m, t in lists.items()}
        rows += _beyond(lists, learnt, held, n)
        by_warmth = _by_warmth(lists, scores[f"ndcg@{n}"], truth, counts, held, n, seed)
    if learnt.rater is not None:
        scores |= _ratings(learnt, held)
    table = pl.DataFrame(_rows(scores, seed) + rows)
    return Judgement(held.protocol, n, table, _differences(scores, seed), by_warmth, notes)


def _sample(truth: pl.DataFrame, seed: int, notes: tuple[str, ...]) -> tuple[Ids, tuple[str, ...]]:
    users = sorted_ids(truth, USER)
    if len(users) <= MOST_USERS:
        return users, notes
    chosen = np.sort(generator(seed, "judged").permutation(len(users))[:MOST_USERS])
    note = f"ranked for {MOST_USERS:,} of {len(users):,} test users, drawn by the seed"
    return Ids(users.take(chosen)), (*notes, note)


def _lists(learnt: Learnt, pasts: Histories, users: Ids, n: int, held: Split) -> dict[str, pl.DataFrame]:
    """Return the list of each model that there is, as a table."""
    allowed = None
    if held.candidates is not None:
        allowed = np.zeros(len(learnt.items), bool)
        allowed[learnt.items.rows(held.candidates)] = True
    n = min(n, len(learnt.items) if allowed is None else int(allowed.sum()))
    found = learnt.best_by(pasts, n, [m for m in RANKERS if m == "blend" or m in learnt.models], allowed=allowed)
    return {model: as_lists(users, learnt.items, items, scores) for model, (items, scores, _) in found.items()}


def as_lists(users: Ids, items: Ids, rows: np.ndarray, scores: np.ndarray) -> pl.DataFrame:
    """Turn the rows of the best items (users, n) into a table of user_id, item_id, rank, score; -1 is left out."""
    n = rows.shape[1]
    who = np.repeat(np.arange(len(users)), n)
    rank = np.tile(np.arange(1, n + 1, dtype=np.int32), len(users))
    there = rows.ravel() >= 0
    return pl.DataFrame(
        {
            USER: users.take(who[there]),
            ITEM: items.take(rows.ravel()[there]),
            RANK: rank[there],
            SCORE: scores.ravel()[there].astype(np.float32),
        }
    )


def _ratings(learnt: Learnt, held: Split) -> dict[str, dict[str, PerUser]]:
    """Return RMSE, MAE and accuracy of the stack and of the user and item bias, over rated test events."""
    assert learnt.rater is not None
    rated = held.test.filter(pl.col(RATING).is_not_null())
    users = sorted_ids(rated, USER)
    pasts = learnt.pasts(held.given, users)
    user_rows, item_rows = users.rows(rated[USER]), learnt.items.rows(rated[ITEM])
    value, spread = learnt.rater.rate(pasts, user_rows, item_rows)
    bias = learnt.rater.bias(pasts, user_rows, item_rows)
    found = {"blend": (value, spread), "bias": (bias, spread)}
    tables = {m: _rated(rated, *what) for m, what in found.items()}
    measures = {"rmse": rating.rmse, "mae": rating.mae, "accuracy": rating.accuracy}
    return {name: {m: measure(t, rated) for m, t in tables.items()} for name, measure in measures.items()}


def _rated(pairs: pl.DataFrame, value: np.ndarray, spread: np.ndarray) -> pl.DataFrame:
    return pairs.select(pl.col(USER).cast(pl.String), pl.col(ITEM).cast(pl.String)).with_columns(
        pl.Series(RATING, value, pl.Float32), pl.Series(SPREAD, spread, pl.Float32)
    )


def _rows(scores: dict[str, dict[str, PerUser]], seed: int) -> list[dict[str, Any]]:
    judged = [(model, metric, per_user) for metric, by in scores.items() for model, per_user in by.items()]
    bounds = intervals([per_user for _, _, per_user in judged], seed)
    return [
        {"model": model, "metric": metric, "value": p.mean, "low": low, "high": high, "users": p.table.height}
        for (model, metric, p), (low, high) in zip(judged, bounds, strict=True)
    ]


def _beyond(lists: dict[str, pl.DataFrame], learnt: Learnt, held: Split, n: int) -> list[dict[str, Any]]:
    vectors = pl.DataFrame({ITEM: learnt.items.values, "vector": learnt.vectors})
    rows = []
    for model, table in lists.items():
        if not table.height:
            continue
        values = {
            f"coverage@{n}": beyond.coverage(table, learnt.data.items, n=n),
            f"novelty@{n}": beyond.novelty(table, held.train.interactions, n=n).mean,
            f"diversity@{n}": beyond.diversity(table, vectors, n=n).mean,
        }
        rows += [_plain(model, metric, value, table[USER].n_unique()) for metric, value in values.items()]
    return sorted(rows, key=lambda r: ("coverage", "novelty", "diversity").index(r["metric"].split("@")[0]))


def _plain(model: str, metric: str, value: float, users: int) -> dict[str, Any]:
    return {"model": model, "metric": metric, "value": value, "low": None, "high": None, "users": users}


def _differences(scores: dict[str, dict[str, PerUser]], seed: int) -> pl.DataFrame:
    names = [(model, metric) for metric, by in scores.items() for model in by if model != "blend"]
    found = all_paired([(scores[metric]["blend"], scores[metric][model]) for model, metric in names], seed=seed)
    rows = [(*name, d.mean, d.low, d.high, d.p, d.verdict) for name, d in zip(names, found, strict=True)]
    return pl.DataFrame(rows, schema=["model", "metric", "mean", "low", "high", "p", "verdict"], orient="row")


WARMTH = {
    "model": pl.String(),
    "metric": pl.String(),
    "side": pl.String(),
    "warmth": pl.String(),
    "users": pl.Int64(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
}


def _by_warmth(
    lists: dict[str, pl.DataFrame],
    judged: dict[str, PerUser],
    truth: pl.DataFrame,
    shown: pl.DataFrame,
    held: Split,
    n: int,
    seed: int,
) -> pl.DataFrame:
    """Return NDCG of each model by how many events were known of the user, and of the item."""
    items = warmth.event_counts(held.train.interactions, ITEM)

    def measure(model: str) -> Callable[[pl.DataFrame], PerUser]:
        return lambda part: ranking.ndcg(lists[model], part, n=n)

    parts: list[tuple[str, str, str, PerUser]] = []
    for model in lists:
        parts += [(model, "user", name, one) for name, one in warmth.users_by_warmth(judged[model], shown)]
        parts += [(model, "item", name, one) for name, _, one in warmth.items_by_warmth(measure(model), truth, items)]
    bounds = intervals([one for *_, one in parts], seed)
    rows = [
        (model, f"ndcg@{n}", side, name, one.table.height, one.mean, *each)
        for (model, side, name, one), each in zip(parts, bounds, strict=True)
    ]
    return pl.DataFrame(rows, WARMTH, orient="row")
