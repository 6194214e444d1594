"""A task as contestants see it: a folder of tables, read into row numbers.

    train.parquet   user_id, item_id, rating, at     what may be learnt from
    given.parquet   the same columns                 the past of those who are asked about
    asked.parquet   user_id                          whose list is wanted; or user_id, item_id: which ratings
    items.parquet   item_id and what is told of them
    vectors.npy     language vectors of items, in the order of items.parquet (where texts are asked for)
    task.json       kind, n, relevant_from, protocol, and the items that may be ranked
    inner/          the same, made from train alone, with its answers in test.parquet

What is to be predicted is not in the folder, except the inner task's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

BLOCK = 512


@dataclass(frozen=True)
class Events:
    """Events in row numbers: (events,) each; rating and time (seconds) are NaN where there is none, a count is 1."""

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    counts: np.ndarray

    def liked(self, relevant_from: float | None) -> Events:
        """Return the events rated so or better; all where nobody rated."""
        if relevant_from is None or np.isnan(self.ratings).all():
            return self
        keep = self.ratings >= relevant_from
        return Events(*(part[keep] for part in (self.users, self.items, self.ratings, self.times, self.counts)))


class Task:
    """A folder of tables, read.

    Attributes
    ----------
    users, items : numpy.ndarray of str
        Ids, sorted; everything else is row numbers in them.
    train, given : Events
    asked : (asked,) int64
        Rows of the users asked about, for ranking; for rating the users of the pairs.
    asked_items : (pairs,) int64
        The items of the pairs, for rating.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.about = folder, json.loads((folder / "task.json").read_text(encoding="utf-8"))
        tables = {name: _read(folder / f"{name}.parquet") for name in ("train", "given", "asked")}
        self.items = _ids(pl.read_parquet(folder / "items.parquet")["item_id"])
        self.users = np.unique(np.concatenate([_ids(t["user_id"]) for t in tables.values()]))
        self.train, self.given = self._events(tables["train"]), self._events(tables["given"])
        self.asked = np.searchsorted(self.users, _ids(tables["asked"]["user_id"]))
        if "item_id" in tables["asked"].columns:
            self.asked_items = self.item_rows(tables["asked"]["item_id"])

    def item_rows(self, ids: pl.Series) -> np.ndarray:
        """Return rows of item ids, every one of which is in the catalogue."""
        rows: np.ndarray = np.searchsorted(self.items, _ids(ids))
        return rows

    def _events(self, table: pl.DataFrame) -> Events:
        def number(column: str) -> np.ndarray:
            if column not in table.columns:
                return np.full(table.height, np.nan)
            if column == "at":
                return table[column].dt.epoch("s").cast(pl.Float64).fill_null(float("nan")).to_numpy()
            return table[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()

        rows = np.searchsorted(self.users, _ids(table["user_id"]))
        return Events(
            rows,
            self.item_rows(table["item_id"]),
            number("rating"),
            number("at"),
            np.nan_to_num(number("weight"), nan=1.0),
        )

    @property
    def n(self) -> int:
        """Length of the lists."""
        return int(self.about["n"])

    @property
    def likes_some(self) -> bool:
        """Whether some training events are liked and some are not."""
        relevant = self.about["relevant_from"]
        return 0 < len(self.train.liked(relevant).users) < len(self.train.users)

    @cached_property
    def allowed(self) -> np.ndarray | None:
        """The only items to rank, (items,) bool; None: all."""
        candidates = self.about["candidates"]
        return None if candidates is None else np.isin(self.items, candidates)

    @cached_property
    def inner(self) -> Task:
        """The task on which settings are chosen."""
        return Task(self.folder / "inner")

    @cached_property
    def answers(self) -> Any:
        """What an inner task asks for: liked pairs as a matrix (asked, items), or the ratings of the pairs."""
        test = _read(self.folder / "test.parquet")
        if self.about["kind"] == "rating":
            return test["rating"].to_numpy()
        events = self._events(test).liked(self.about["relevant_from"])
        place = np.full(len(self.users), -1)
        place[self.asked] = np.arange(len(self.asked))
        known = place[events.users] >= 0
        return _matrix(place[events.users[known]], events.items[known], (len(self.asked), len(self.items)))

    def matrix(self, *, liked: bool, given: bool = False) -> sparse.csr_matrix:
        """Return ones where a user trained on an item, (users, items); with `given`, shown events too."""
        relevant = self.about["relevant_from"] if liked else None
        parts = [self.train.liked(relevant)] + ([self.given.liked(relevant)] if given else [])
        users, items = (np.concatenate([getattr(p, name) for p in parts]) for name in ("users", "items"))
        return _matrix(users, items, (len(self.users), len(self.items)))

    def pasts(self, *, liked: bool) -> sparse.csr_matrix:
        """Return ones where a user asked about was shown an item, (asked, items)."""
        given = self.given.liked(self.about["relevant_from"] if liked else None)
        return _matrix(given.users, given.items, (len(self.users), len(self.items)))[self.asked]

    def amounts(self, *, liked: bool) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Return how often a user trained on an item, (users, items), and was shown it, (asked, items)."""
        shape, relevant = (len(self.users), len(self.items)), self.about["relevant_from"] if liked else None
        train, given = (part.liked(relevant) for part in (self.train, self.given))
        made = [sparse.csr_matrix((part.counts, (part.users, part.items)), shape) for part in (train, given)]
        return made[0], made[1][self.asked]

    def counts(self, *, liked: bool) -> np.ndarray:
        """Return how many users trained on each item, (items,)."""
        return np.asarray(self.matrix(liked=liked).sum(0)).ravel()

    def strangers(self, *, liked: bool) -> np.ndarray:
        """Return which of the users asked about have shown nothing, (asked,) bool."""
        none: np.ndarray = self.pasts(liked=liked).getnnz(1) == 0
        return none

    def vectors(self) -> np.ndarray:
        """Return the language vectors of the items, (items, width)."""
        found: np.ndarray = np.load(self.folder / "vectors.npy")
        return found

    def texts(self) -> list[str]:
        """Return all text columns of the items, joined in the order of the table."""
        table = pl.read_parquet(self.folder / "items.parquet").drop("item_id")
        lists = [c for c, kind in table.schema.items() if kind == pl.List(pl.String)]
        table = table.with_columns(pl.col(c).list.join(", ", ignore_nulls=True) for c in lists)
        words = [c for c, kind in table.schema.items() if kind == pl.String]
        if not words:
            raise LookupError("items have no texts")
        return table.select(pl.concat_str(words, separator=". ", ignore_nulls=True)).to_series().to_list()

    def lists(self, score: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return items (asked, n), best first, and their scores; -1 where nothing is left.

        `score` gives scores (block, items) for places in `asked`; what a user was shown is not offered again. Of equal
        scores the item that more users liked comes first: where a model knows nothing of a user, that is popularity.
        """
        seen, rows, values = self.pasts(liked=False), [], []
        popular = np.argsort(-self.counts(liked=True), kind="stable")
        for first in range(0, len(self.asked), BLOCK):
            places = np.arange(first, min(first + BLOCK, len(self.asked)))
            scores = np.array(score(places), np.float32)
            scores[np.isnan(scores)] = -np.inf
            scores[seen[places].nonzero()] = -np.inf
            if self.allowed is not None:
                scores[:, ~self.allowed] = -np.inf
            best = popular[np.argsort(-scores[:, popular], axis=1, kind="stable")[:, : self.n]]
            found = np.take_along_axis(scores, best, 1)
            rows.append(np.where(found > -np.inf, best, -1))
            values.append(found)
        return np.concatenate(rows), np.concatenate(values)

    def ndcg(self, lists: np.ndarray) -> float:
        """Return mean NDCG@n of lists for an inner task, over users with something to find."""
        hits = np.take_along_axis(self.answers.toarray() > 0, np.maximum(lists, 0), 1) & (lists >= 0)
        discount = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
        counts = np.asarray(self.answers.sum(1)).ravel().astype(int)
        ideal = np.concatenate([[np.nan], np.cumsum(discount)])[np.minimum(counts, lists.shape[1])]
        return float(np.nanmean((hits * discount).sum(1) / ideal))


def _ids(column: pl.Series) -> np.ndarray:
    found: np.ndarray = column.to_numpy().astype(str)
    return found


def _matrix(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    made = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
    made.data[:] = 1
    return made


def _read(path: Path) -> pl.DataFrame:
    table = pl.read_parquet(path)
    return table.with_columns(pl.col(c).cast(pl.String) for c in ("user_id", "item_id") if c in table.columns)
