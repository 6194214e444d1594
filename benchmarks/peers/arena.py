"""The other side of a task: the split, the folder that contestants are shown, and the judge.

Only this side knows what is to be predicted; `Arena.write` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoal.config import Config
from shoal.data.dataset import Dataset
from shoal.data.leakage import Split
from shoal.data.split import split
from shoal.encode.language import settled
from shoal.evaluate import ranking, rating
from shoal.evaluate.compare import all_paired
from shoal.evaluate.per_user import PerUser, intervals
from shoal.learn import Around, encode_items, texts_of
from shoal.tables import AT, ITEM, RATING, USER

OURS = {"Shoal": "usual", "Shoal quick": "quick", "Shoal full": "full"}
"""Shoal as contestants, by effort; the first one stands in every list, the others where they are asked for by name."""
INNER_SHARE = 0.1


@dataclass(frozen=True)
class Arena:
    """A split and what is asked about it.

    Attributes
    ----------
    name : str
        Of the folder.
    kind : {"ranking", "rating"}
    split, inner : Split
        The second is made from the first one's training part, by the same protocol.
    n : int
    relevant_from : float or None
        Ratings from here up are hits; None: every event is.
    seed : int
    asked : dict of str to object
        Options of the split, defaults of cold-user included.
    """

    name: str
    kind: str
    split: Split
    inner: Split
    n: int
    relevant_from: float | None
    seed: int
    asked: dict[str, Any]

    @classmethod
    def of(cls, data: Dataset, options: argparse.Namespace) -> Arena:
        """Make the split that the command line asks for, and the inner one."""
        relevant = None if data.scale is None or options.kind == "rating" else data.scale.at(0.7)
        asked: dict[str, Any] = {"seed": options.seed}
        whole_users = options.protocol in ("strong", "cold-user")
        if options.share is not None:
            asked["users_share" if whole_users else "share"] = options.share
        asked |= {"shown": 1, "order": "random"} if options.protocol == "cold-user" else {}
        asked |= {k: v for k in ("shown", "order") if (v := getattr(options, k)) is not None}
        if options.protocol == "strong":
            asked["relevant_from"] = relevant
        outer = split(data, options.protocol, **asked)
        within = {k: v for k, v in asked.items() if k not in ("share", "users_share", "relevant_from")}
        if options.protocol != "last-out":
            within["users_share" if whole_users else "share"] = INNER_SHARE
        told = [str(v) for k, v in asked.items() if k != "relevant_from"]
        name = "-".join([data.name, options.kind, options.protocol, *told, str(options.n)])
        inner = split(outer.train, options.protocol, **within)
        return cls(name, options.kind, outer, inner, options.n, relevant, options.seed, asked)

    @property
    def metric(self) -> str:
        """What is measured."""
        return "RMSE" if self.kind == "rating" else f"NDCG@{self.n}"

    @property
    def about(self) -> dict[str, Any]:
        """Return what a contestant is told of the task."""
        made, scale = self.split, self.split.train.scale
        return {
            "data": made.train.name,
            "kind": self.kind,
            "protocol": made.protocol,
            "n": self.n,
            "seed": self.seed,
            "order": self.asked.get("order"),
            "relevant_from": self.relevant_from,
            "scale": None if scale is None else asdict(scale),
            "cutoff": None if made.cutoff is None else made.cutoff.isoformat(),
            "candidates": None if made.candidates is None else list(made.candidates),
        }

    def truth(self, made: Split) -> pl.DataFrame:
        """Return what is to be predicted: rated events, or liked ones."""
        if self.kind == "rating":
            return made.test.filter(pl.col(RATING).is_not_null())
        return made.test if self.relevant_from is None else made.test.filter(pl.col(RATING) >= self.relevant_from)

    def write(self, folder: Path) -> None:
        """Write the folder that contestants are shown, whole or not at all; what is to be predicted is not in it."""
        if folder.exists():
            return
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        self._write(part, self.split)
        self._write(part / "inner", self.inner)
        self.inner.test.select(self._columns(self.inner.test)).write_parquet(part / "inner" / "test.parquet")
        if self.split.protocol == "cold-item":
            vectors = self.vectors()
            for place in (part, part / "inner"):  # one catalogue
                np.save(place / "vectors.npy", vectors)
        part.rename(folder)

    def vectors(self) -> np.ndarray:
        """Return what Shoal's default encoder makes of the catalogue, (items, width), in the order of items.parquet."""
        data = self.split.train
        data = replace(data, items=data.items.sort(pl.col(ITEM).cast(pl.String)))
        config = Config()
        texts = texts_of(data, config, self.split.cutoff)
        config = config.model_copy(update={"encode": settled(config.encode, texts.texts)})
        return encode_items(texts, config, Around())

    def _write(self, folder: Path, made: Split) -> None:
        folder.mkdir(parents=True)
        data, truth = made.train, self.truth(made)
        for name, table in {"train": data.interactions, "given": made.given}.items():
            table.select(self._columns(table)).write_parquet(folder / f"{name}.parquet")
        asked = truth.select(USER, ITEM) if self.kind == "rating" else truth.select(USER).unique()
        asked = asked.with_columns(pl.col(c).cast(pl.String) for c in asked.columns).sort(asked.columns)
        asked.write_parquet(folder / "asked.parquet")
        for name, table, key in (("items", data.items, ITEM), ("users", data.users, USER)):
            table.with_columns(pl.col(key).cast(pl.String)).sort(key).write_parquet(folder / f"{name}.parquet")
        about = self.about | {"candidates": None if made.candidates is None else list(made.candidates)}
        (folder / "task.json").write_text(json.dumps(about, indent=1), encoding="utf-8")

    @staticmethod
    def _columns(table: pl.DataFrame) -> list[str]:
        return [c for c in (USER, ITEM, RATING, "weight", AT) if c in table.columns]


def judge(arena: Arena, answers: dict[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Return a row a contestant, best first: value and interval, and the difference to the best peer, paired."""
    truth, lower = arena.truth(arena.split), arena.kind == "rating"
    found: dict[str, PerUser] = {
        name: rating.rmse(table, truth) if lower else ranking.ndcg(table, truth, n=arena.n)
        for name, table in answers.items()
    }
    order = sorted(found, key=lambda name: found[name].mean * (1 if lower else -1))
    peers = [name for name in order if name not in OURS]
    best = peers[0] if peers else None
    bounds = dict(zip(order, intervals([found[name] for name in order], arena.seed), strict=True))
    others = [name for name in order if best is not None and name != best]
    leads = dict(zip(others, all_paired([(found[n], found[best]) for n in others], seed=arena.seed), strict=True))
    rows = []
    for name in order:
        row: dict[str, Any] = {
            "model": name,
            "value": found[name].mean,
            "low": bounds[name][0],
            "high": bounds[name][1],
        }
        if name in leads:
            d = leads[name]
            row |= {"lead": d.mean, "lead low": d.low, "lead high": d.high, "verdict": d.verdict}
        rows.append(row)
    return rows
