"""Factor and sequence models of implicit and RecTools behind the bench's face."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from peers.simple import SIGHT, Ranker
from peers.task import Task


class ALS(Ranker):
    """Implicit-feedback matrix factorisation (Hu et al. 2008; implicit). Users asked about are solved for.

    Events weigh alike, or by BM25 as in implicit's own example.
    """

    space = SIGHT | {
        "factors": (64, 32, 128, 256),
        "regularization": (10.0, 0.1, 1.0, 30.0, 100.0),
        "alpha": (5.0, 1.0, 3.0, 10.0, 20.0),
        "weight": ("none", "bm25"),
    }

    def fit(self, task: Task) -> None:
        from implicit.als import AlternatingLeastSquares

        made = {name: self.settings[name] for name in ("factors", "regularization", "alpha")}
        self.model = AlternatingLeastSquares(**made, iterations=15, random_state=0, num_threads=0)
        if self.settings["weight"] == "none":
            uses, self.pasts = task.matrix(liked=self.liked), task.pasts(liked=self.liked)
        else:
            uses, pasts = task.amounts(liked=self.liked)
            uses, self.pasts = bm25(uses, uses), bm25(pasts, uses)
        self.model.fit(uses, show_progress=False)

        self.items = self.model.item_factors

    def users(self, task: Task, places: np.ndarray) -> np.ndarray:
        """Return the vectors of users at these places in `task.asked`, solved from what they were shown."""
        found: np.ndarray = np.atleast_2d(self.model.recalculate_user(np.arange(len(places)), self.pasts[places]))
        return found

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self.users(task, places) @ self.items.T
        return scores


def bm25(counts: sparse.csr_matrix, known: sparse.csr_matrix, k1: float = 100.0, b: float = 0.8) -> sparse.csr_matrix:
    """Weigh counts as implicit's `bm25_weight` does, with the frequencies and the mean length of the rows `known`.

    All is divided by the mean weight of the known counts, so that alpha means what it does without weights.
    """
    lengths = np.asarray(known.sum(1)).ravel()
    used, rarity = lengths[lengths > 0], np.log(known.shape[0]) - np.log1p(known.getnnz(0))

    def weighed(matrix: sparse.csr_matrix) -> sparse.coo_matrix:
        made = matrix.tocoo()
        length = 1 - b + b * np.asarray(matrix.sum(1)).ravel()[made.row] / used.mean()
        made.data = made.data * (k1 + 1) / (k1 * length + made.data) * rarity[made.col]
        return made

    made: sparse.csr_matrix = (weighed(counts) / weighed(known).data.mean()).tocsr().astype(np.float32)
    return made


class BPR(Ranker):
    """Bayesian personalised ranking (Rendle et al. 2009; implicit). It cannot take in users: it trains on pasts too."""

    space = SIGHT | {
        "factors": (64, 32, 128),
        "learning_rate": (0.01, 0.003, 0.03, 0.1),
        "regularization": (0.01, 0.001, 0.1),
        "iterations": (200, 100, 400),
    }

    def fit(self, task: Task) -> None:
        from implicit.bpr import BayesianPersonalizedRanking

        made = {name: value for name, value in self.settings.items() if name != "liked"}
        self.model = BayesianPersonalizedRanking(**made, random_state=0, num_threads=1)  # one thread: repeatable
        self.model.fit(task.matrix(liked=self.liked, given=True), show_progress=False)

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self.model.user_factors[task.asked[places]] @ self.model.item_factors.T
        scores[task.strangers(liked=self.liked)[places]] = 0
        return scores


class LightFM(Ranker):
    """Factorisation with WARP loss (Kula 2015). It cannot take in users: it trains on pasts too."""

    space = SIGHT | {
        "no_components": (64, 32, 128),
        "learning_rate": (0.05, 0.01, 0.1),
        "item_alpha": (0.0, 1e-6, 1e-5),
        "epochs": (30, 15, 60),
    }

    def fit(self, task: Task) -> None:
        import lightfm

        made = {name: self.settings[name] for name in ("no_components", "learning_rate", "item_alpha")}
        self.model = lightfm.LightFM(**made, loss="warp", random_state=0)
        uses = task.matrix(liked=self.liked, given=True).tocoo()
        self.model.fit(uses, epochs=self.settings["epochs"], num_threads=1)

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        item_bias, items = self.model.get_item_representations()
        _, users = self.model.get_user_representations()
        scores: np.ndarray = users[task.asked[places]] @ items.T + item_bias
        scores[task.strangers(liked=self.liked)[places]] = 0
        return scores


class SASRec(Ranker):
    """Self-attention over the past, softmax over all items (Kang and McAuley 2018; RecTools). Pasts are trained on too.

    Without times the order of a past is that of the file's rows.
    """

    space = SIGHT | {
        "n_factors": (64, 128),
        "n_blocks": (2, 1),
        "dropout_rate": (0.2, 0.4),
        "session_max_len": (100, 50),
        "epochs": (30, 60),
    }

    def fit(self, task: Task) -> None:
        import pandas as pd
        import torch
        from pytorch_lightning import Trainer, seed_everything
        from rectools.dataset import Dataset
        from rectools.models import SASRecModel

        relevant = task.about["relevant_from"] if self.liked else None
        parts = [task.train.liked(relevant)]
        if set(task.asked) - set(task.train.users):
            parts.append(task.given.liked(relevant))
        users, items, times = (np.concatenate([getattr(p, n) for p in parts]) for n in ("users", "items", "times"))
        order = np.arange(len(users)) if np.isnan(times).all() else np.nan_to_num(times)
        frame = pd.DataFrame({"user_id": users, "item_id": items, "weight": 1.0})
        frame["datetime"] = pd.to_datetime(order, unit="s")
        self.data = Dataset.construct(frame)
        seed_everything(0, verbose=False)
        torch.set_num_threads(2)
        epochs = self.settings["epochs"]

        def trainer() -> Any:
            quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
            return Trainer(max_epochs=epochs, accelerator="cpu", enable_checkpointing=False, **quiet)

        made = {k: v for k, v in self.settings.items() if k not in ("liked", "epochs")}
        self.model = SASRecModel(**made, n_heads=1, loss="softmax", get_trainer_func=trainer)
        self.model.fit(self.data)

    def score(self, task: Task, places: np.ndarray) -> np.ndarray:
        known = set(self.data.user_id_map.external_ids)
        asked = [(place, user) for place, user in enumerate(task.asked[places]) if user in known]
        scores = np.full((len(places), len(task.items)), np.nan, np.float32)
        scores[[place for place, user in enumerate(task.asked[places]) if user not in known]] = 0
        if not asked:
            return scores
        at = {user: place for place, user in asked}
        n = min(len(task.items), task.n + int(task.pasts(liked=False)[places].sum(1).max()))
        found = self.model.recommend([u for _, u in asked], self.data, k=n, filter_viewed=False)
        rows = found["user_id"].map(at).to_numpy()
        scores[rows, found["item_id"].to_numpy(np.int64)] = found["score"].to_numpy()
        return scores


RANKERS = {"ALS": ALS, "BPR": BPR, "LightFM": LightFM, "SASRec": SASRec}
