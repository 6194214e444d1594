"""Rating models of Surprise, Cornac, LensKit and myFM behind the bench's face.

Sources: SVD and SVD++, Koren 2008, as in Surprise; BiasMF as in Cornac; Bayesian factorisation machines, Freudenthaler
et al. 2011 and Rendle et al. 2019 (SVD++ features, ordered probit), as in myFM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from peers.task import Events, Task


class Rater:
    """A contestant for ratings.

    Attributes
    ----------
    space : dict of str to tuple
        Settings to be tried; the first of each is the default.
    """

    space: dict[str, tuple[Any, ...]] = {}

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def fit(self, task: Task) -> None:
        """Learn from `task.train`; from `task.given` too where it is not a part of it."""
        raise NotImplementedError

    def rate(self, task: Task) -> np.ndarray:
        """Return a rating of each pair of `task`, (pairs,)."""
        raise NotImplementedError


class Bias(Rater):
    """The mean, and damped offsets of items and users."""

    space = {"damping": (10.0, 2.0, 5.0, 25.0)}

    def fit(self, task: Task) -> None:
        e, damping = task.train, self.settings["damping"]
        self.mean = e.ratings.mean()
        self.of_items = _offsets(e.items, e.ratings - self.mean, len(task.items), damping)
        self.of_users = _offsets(e.users, e.ratings - self.mean - self.of_items[e.items], len(task.users), damping)

    def rate(self, task: Task) -> np.ndarray:
        found: np.ndarray = self.mean + self.of_items[task.asked_items] + self.of_users[task.asked]
        return found


def _offsets(rows: np.ndarray, values: np.ndarray, n: int, damping: float) -> np.ndarray:
    sums, counts = np.bincount(rows, values, minlength=n), np.bincount(rows, minlength=n)
    return sums / (counts + damping)


class SurpriseSVD(Rater):
    """Biased matrix factorisation by gradient descent."""

    space = {
        "n_factors": (50, 20, 100, 200),
        "n_epochs": (30, 20, 60),
        "lr_all": (0.005, 0.002, 0.01),
        "reg_all": (0.08, 0.02, 0.05, 0.12),
    }
    kind = "SVD"

    def fit(self, task: Task) -> None:
        import pandas as pd
        import surprise

        e = task.train
        frame = pd.DataFrame({"u": e.users, "i": e.items, "r": e.ratings})
        reader = surprise.Reader(rating_scale=(e.ratings.min(), e.ratings.max()))
        data = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
        self.model = getattr(surprise, self.kind)(**self.settings, random_state=0).fit(data)

    def rate(self, task: Task) -> np.ndarray:
        pairs = zip(task.asked.tolist(), task.asked_items.tolist(), strict=True)
        return np.array([self.model.predict(u, i).est for u, i in pairs])


class SurpriseSVDpp(SurpriseSVD):
    """The same with the items that a user rated at all."""

    space = {"n_factors": (20, 10, 50), "n_epochs": (20, 30), "lr_all": (0.007, 0.004), "reg_all": (0.05, 0.02, 0.1)}
    kind = "SVDpp"


class BiasMF(Rater):
    """Biased matrix factorisation by gradient descent (Cornac)."""

    space = {
        "k": (50, 20, 100),
        "max_iter": (100, 50, 200),
        "learning_rate": (0.01, 0.005),
        "lambda_reg": (0.05, 0.02, 0.1),
    }

    def fit(self, task: Task) -> None:
        from cornac.data import Dataset
        from cornac.models import MF

        e = task.train
        data = Dataset.build(list(zip(e.users.tolist(), e.items.tolist(), e.ratings.tolist(), strict=True)), seed=0)
        self.model = MF(**self.settings, use_bias=True, seed=0, verbose=False, num_threads=2)
        self.model.fit(data)
        self.data, self.mean = data, float(e.ratings.mean())

    def rate(self, task: Task) -> np.ndarray:
        users, items = self.data.uid_map, self.data.iid_map
        m = self.model
        u = np.array([users.get(int(x), -1) for x in task.asked])
        i = np.array([items.get(int(x), -1) for x in task.asked_items])
        known_u, known_i = u >= 0, i >= 0
        found = self.mean + np.where(known_u, m.u_biases[u], 0) + np.where(known_i, m.i_biases[i], 0)
        both = known_u & known_i
        found[both] += (m.u_factors[u[both]] * m.i_factors[i[both]]).sum(1)
        return found


class MyFM(Rater):
    """A Bayesian factorisation machine over user and item ids (Gibbs sampling)."""

    space = {"rank": (10, 6, 16, 32), "n_iter": (150, 300)}
    kind, implicit = "MyFMRegressor", False

    def fit(self, task: Task) -> None:
        import myfm

        e = task.train
        self.low, self.high = e.ratings.min(), e.ratings.max()
        self.levels = np.unique(e.ratings)
        made = {"rank": self.settings["rank"], "random_seed": 0}
        self.model = getattr(myfm, self.kind)(**made)
        target = np.searchsorted(self.levels, e.ratings) if self.kind == "MyFMOrderedProbit" else e.ratings
        blocks, sizes = self._blocks(task, e.users, e.items)
        shapes = [np.full(s, g) for g, s in enumerate(sizes)]
        more = {"X_rel": blocks} if blocks else {}
        x = None if blocks else self._ids(task, e.users, e.items)
        self.model.fit(
            x, target, n_iter=self.settings["n_iter"], n_kept_samples=self.settings["n_iter"],
            grouping=np.concatenate(shapes).tolist(), **more,
        )  # fmt: skip

    def _ids(self, task: Task, users: np.ndarray, items: np.ndarray) -> sparse.csr_matrix:
        return sparse.hstack([_one_hot(users, len(task.users)), _one_hot(items, len(task.items))], format="csr")

    def _blocks(self, task: Task, users: np.ndarray, items: np.ndarray) -> tuple[list[Any], list[int]]:
        """Return relation blocks and the sizes of their groups of features."""
        if not self.implicit:
            return [], [len(task.users), len(task.items)]
        from myfm import RelationBlock

        u, i = len(task.users), len(task.items)
        rated = _rated(task)
        side = _side(task)
        of_users = sparse.hstack([sparse.identity(u), _by_root(rated)], format="csr")
        of_items = sparse.hstack([sparse.identity(i), _by_root(rated.T.tocsr()), side], format="csr")
        return [RelationBlock(users, of_users), RelationBlock(items, of_items)], [u, i, i, u, side.shape[1]]

    def rate(self, task: Task) -> np.ndarray:
        blocks, _ = self._blocks(task, task.asked, task.asked_items)
        x = None if blocks else self._ids(task, task.asked, task.asked_items)
        more = {"X_rel": blocks} if blocks else {}
        if self.kind == "MyFMOrderedProbit":
            found = self.model.predict_proba(x, **more) @ self.levels
        else:
            found = self.model.predict(x, **more)
        return np.clip(found, self.low, self.high)


class MyFMSide(MyFM):
    """The same with the items that a user rated, the users who rated an item, and what is told of items."""

    implicit = True


class MyFMOrdered(MyFMSide):
    """The same with ordered classes (ordered probit) instead of a Gaussian."""

    kind = "MyFMOrderedProbit"


def _one_hot(rows: np.ndarray, n: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), rows)), shape=(len(rows), n))


def _rated(task: Task) -> sparse.csr_matrix:
    def ones(events: Events) -> sparse.csr_matrix:
        shape = len(task.users), len(task.items)
        return sparse.csr_matrix((np.ones(len(events.users)), (events.users, events.items)), shape=shape)

    return ones(task.train)


def _by_root(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    counts = np.maximum(np.asarray(matrix.sum(1)).ravel(), 1)
    return sparse.diags(1 / np.sqrt(counts)) @ matrix


def _side(task: Task) -> sparse.csr_matrix:
    """Return labels of the items' list columns, a row each adding up to 1, and the words of the rest are left out."""
    import polars as pl

    items = pl.read_parquet(task.folder / "items.parquet")
    parts = []
    for column, kind in items.schema.items():
        if isinstance(kind, pl.List):
            rows = items[column].to_list()
            labels = sorted({label for row in rows for label in row or []})
            place = {label: at for at, label in enumerate(labels)}
            pairs = [(r, place[x], 1 / len(row)) for r, row in enumerate(rows) if row for x in row]
            if pairs:
                r, c, v = zip(*pairs, strict=True)
                parts.append(sparse.csr_matrix((v, (r, c)), shape=(len(rows), len(labels))))
    return sparse.hstack(parts, format="csr") if parts else sparse.csr_matrix((items.height, 0))


RATERS = {
    "bias": Bias,
    "Surprise SVD": SurpriseSVD,
    "Surprise SVD++": SurpriseSVDpp,
    "Cornac BiasMF": BiasMF,
    "myFM": MyFM,
    "myFM SVD++ side": MyFMSide,
    "myFM ordered probit": MyFMOrdered,
}
