"""The judge: what was learnt from the training part is asked about the rest, beside honest baselines.

split --learn from its train--> Learnt --recommend, rate from its given--> tables --metrics--> Judgement
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from shoal.evaluate.compare import paired
from shoal.evaluate.per_user import PerUser
from shoal.learn import Around, learn
from shoal.learnt import Learnt, sorted_ids
from shoal.progress import Progress
from shoal.seeding import generator
from shoal.tables import ITEM, RANK, RATING, SCORE, SPREAD, USER

MOST_USERS = 10_000
"""Test users who are ranked for; more are sampled by the seed, and the judgement says so."""

RANKERS = ("blend", "popularity", "trending", "item_item", "factors", "sequence", "text", "by_segment")
METRICS = {"ndcg": ranking.ndcg, "recall": ranking.recall, "hit_rate": ranking.hit_rate, "mrr": ranking.mrr}


@dataclass(frozen=True)
class Judgement:
    """How good it was, and against what.

    Attributes
    ----------
    protocol : str
    n : int
        Length of the lists.
    table : polars.DataFrame
        model, metric, value, low, high (95 % bootstrap over users), users.
    differences : polars.DataFrame
        model, metric, mean, low, high, p, verdict: the blend minus each other model, paired over users.
    warmth : polars.DataFrame
        model, metric, side (user or item), group, users, value, low, high.
    notes : tuple of str
        What was held out and left out.
    """

    protocol: str
    n: int
    table: pl.DataFrame
    differences: pl.DataFrame
    warmth: pl.DataFrame
    notes: tuple[str, ...] = field(default=())

    def lines(self) -> list[str]:
        """Return the judgement as lines of text."""
        lines = [f"protocol {self.protocol}", *(f"  {note}" for note in self.notes)]
        for metric in self.table["metric"].unique(maintain_order=True):
            rows = self.table.filter(pl.col("metric") == metric)
            lines += ["", f"{'model':<12}{metric:>14}   95 % interval        blend's lead"]
            lines += [self._line(row) for row in rows.iter_rows(named=True)]
        return lines

    def _line(self, row: dict[str, Any]) -> str:
        interval = "" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"
        lead = ""
        found = self.differences.filter((pl.col("model") == row["model"]) & (pl.col("metric") == row["metric"]))
        for one in found.iter_rows(named=True):
            lead = f"{one['mean']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f}) {one['verdict']}"
        return f"{row['model']:<12}{row['value']:>14.4f}   {interval:<20} {lead}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement for JSON."""
        return {
            "protocol": self.protocol,
            "n": self.n,
            "metrics": self.table.to_dicts(),
            "differences": self.differences.to_dicts(),
            "warmth": self.warmth.to_dicts(),
            "notes": list(self.notes),
        }


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
    for name, value in (("shown", shown), ("order", order)):
        if value is not None:
            options[name] = value
    if protocol == "strong" and data.scale is not None:
        options["relevant_from"] = config.recommend.relevant_from or data.scale.at(0.7)
    held = split_by(data, protocol, **options)
    around = Around(progress or Progress(), device, cache)
    learnt = learn(held.train, _as_asked(config, protocol), around, n=n, cutoff=held.cutoff)
    return judge(learnt, held, n=n, seed=seed)


def check_n(n: int) -> None:
    """Refuse a list without places."""
    if n < 1:
        raise ConfigError(f"n = {n}: a list needs at least 1 place. Give n=10, say.")


def _as_asked(config: Config, protocol: str) -> Config:
    """Tune on the kind of question that will be asked, unless the settings say otherwise."""
    if config.validation.protocol != "auto" or protocol in ("cold-item", "cold-user"):
        return config
    values = config.model_dump()
    values["validation"]["protocol"] = protocol
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
    if truth.height:
        lists = {m: _lists(learnt, m, pasts, users, n, held) for m in RANKERS if m == "blend" or m in learnt.models}
        for metric, measure in METRICS.items():
            scores[f"{metric}@{n}"] = {m: measure(t, truth, n=n) for m, t in lists.items()}
        rows += _beyond(lists, learnt, held, n)
    if learnt.rater is not None:
        scores |= _ratings(learnt, held)
    table = pl.DataFrame([_row(m, metric, p, seed) for metric, by in scores.items() for m, p in by.items()] + rows)
    return Judgement(held.protocol, n, table, _differences(scores, seed), _by_warmth(scores, counts, seed), notes)


def _sample(truth: pl.DataFrame, seed: int, notes: tuple[str, ...]) -> tuple[Ids, tuple[str, ...]]:
    users = sorted_ids(truth, USER)
    if len(users) <= MOST_USERS:
        return users, notes
    chosen = np.sort(generator(seed, "judged").permutation(len(users))[:MOST_USERS])
    note = f"ranked for {MOST_USERS:,} of {len(users):,} test users, drawn by the seed"
    return Ids(users.take(chosen)), (*notes, note)


def _lists(learnt: Learnt, model: str, pasts: Histories, users: Ids, n: int, held: Split) -> pl.DataFrame:
    allowed = None
    if held.candidates is not None:
        allowed = np.zeros(len(learnt.items), bool)
        allowed[learnt.items.rows(held.candidates)] = True
    n = min(n, len(learnt.items) if allowed is None else int(allowed.sum()))
    items, scores, _ = learnt.best(pasts, n, model=model, allowed=allowed)
    return as_lists(users, learnt.items, items, scores)


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


def _row(model: str, metric: str, per_user: PerUser, seed: int) -> dict[str, Any]:
    low, high = per_user.interval(seed)
    return {
        "model": model,
        "metric": metric,
        "value": per_user.mean,
        "low": low,
        "high": high,
        "users": per_user.table.height,
    }


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
    rows = []
    for metric, by in scores.items():
        for model in by:
            if model != "blend":
                d = paired(by["blend"], by[model], seed=seed)
                rows.append((model, metric, d.mean, d.low, d.high, d.p, d.verdict))
    return pl.DataFrame(rows, schema=["model", "metric", "mean", "low", "high", "p", "verdict"], orient="row")


def _by_warmth(scores: dict[str, dict[str, PerUser]], counts: pl.DataFrame, seed: int) -> pl.DataFrame:
    parts = []
    for metric, by in scores.items():
        if metric.startswith("ndcg"):
            for model, per_user in by.items():
                one = warmth.by_warmth(per_user, counts, seed=seed)
                parts.append(one.select(pl.lit(model).alias("model"), pl.lit(metric).alias("metric"), pl.all()))
    return pl.concat(parts) if parts else pl.DataFrame()
