"""Shoal as a contestant: it is shown the same folder, chooses its settings inside its training data, and answers."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoal.config import Config
from shoal.data.dataset import Dataset, ReadReport, Scale
from shoal.judge import as_asked, as_lists
from shoal.learn import Around, learn
from shoal.learnt import sorted_ids
from shoal.progress import progress
from shoal.tables import ITEM, USER


def compete(folder: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the answer of `shoal.learn` with its defaults, and the seconds that it took."""
    about = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    tables = {
        name: pl.read_parquet(folder / f"{name}.parquet") for name in ("train", "given", "asked", "items", "users")
    }
    scale = (
        None
        if about["scale"] is None
        else Scale(**{k: tuple(v) if k == "levels" else v for k, v in about["scale"].items()})
    )
    rows = tables["train"].height
    data = Dataset(tables["train"], tables["items"], tables["users"], scale, ReadReport(rows, rows), about["data"])
    cutoff = None if about["cutoff"] is None else datetime.fromisoformat(about["cutoff"])
    began = time.monotonic()
    config = as_asked(Config(seed=about["seed"]), about["protocol"])
    learnt = learn(data, config, Around(progress("lines")), n=about["n"], cutoff=cutoff)
    fitted = time.monotonic()
    users = sorted_ids(tables["asked"], USER)
    pasts = learnt.pasts(tables["given"], users)
    if about["kind"] == "rating":
        assert learnt.rater is not None
        asked = tables["asked"]
        told = learnt.rater.rate(pasts, users.rows(asked[USER]), learnt.items.rows(asked[ITEM]))
        table = asked.select(pl.col(USER).cast(pl.String), pl.col(ITEM).cast(pl.String), pl.Series("rating", told[0]))
    else:
        allowed = None
        if about["candidates"] is not None:
            allowed = np.zeros(len(learnt.items), bool)
            allowed[learnt.items.rows(about["candidates"])] = True
        n = min(about["n"], len(learnt.items) if allowed is None else int(allowed.sum()))
        items, scores, _ = learnt.best(pasts, n, allowed=allowed)
        table = as_lists(users, learnt.items, items, scores)
    seconds = {"tune": 0.0, "fit": fitted - began, "predict": time.monotonic() - fitted}
    return table, {"settings": {}, "tried": [], "seconds": seconds, "story": learnt.story}
