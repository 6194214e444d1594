"""Shoal as a contestant: it is shown the same folder, chooses its settings inside its training data, and answers.

What is fitted depends on the training tables and the settings alone. Protocols that differ in what is shown of a user
share them, so a fit is kept under a fingerprint of all that it was made from, and the next task with the same one reads
it. The answer always comes from what was kept and read again, so that it is the same either way.
"""

from __future__ import annotations

import hashlib
import json
import resource
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import shoal
from shoal import keep
from shoal.config import Config
from shoal.data.dataset import Dataset, ReadReport, Scale
from shoal.judge import as_asked, as_lists
from shoal.judgement import Judgement
from shoal.learn import Around, learn
from shoal.learnt import Learnt, sorted_ids
from shoal.progress import progress
from shoal.tables import ITEM, SEGMENT, USER

LEARNT_FROM = ("train", "items", "users")


def compete(folder: Path, fits: Path | None = None, effort: str = "usual") -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the answer of `shoal.learn` with the settings of an effort, and what is told of it.

    Parameters
    ----------
    folder : Path
        The task.
    fits : Path, optional
        Where fits are kept; None keeps none. A fit that is read from there is told of with the seconds and the memory
        that it took when it was made, and as reused.
    """
    about = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    config = Config(seed=about["seed"], effort=effort)  # type: ignore[arg-type]
    config = as_asked(config, about["protocol"], about["order"])
    if fits is None:
        learnt, seconds, reused, peak = *fit(folder, about, config), False, 0.0
    else:
        place = fits / f"{about['data']}-{fingerprint(folder, about, config)}"
        reused = place.exists()
        if not reused:
            remember(*fit(folder, about, config), place)
        learnt, _, _, _, manifest, *_ = keep.load(place)
        seconds, peak = manifest["fit seconds"], manifest["peak GB"]
    began = time.monotonic()
    table = answer(learnt, folder, about)
    told = {"tune": 0.0, "fit": seconds, "predict": time.monotonic() - began}
    return table, {"settings": {}, "seconds": told, "peak GB": peak, "reused": reused, "story": learnt.story}


def fit(folder: Path, about: dict[str, Any], config: Config) -> tuple[Learnt, float]:
    """Return what was learnt from the training tables, and the seconds that it took."""
    tables = {name: pl.read_parquet(folder / f"{name}.parquet") for name in LEARNT_FROM}
    rows, told = tables["train"].height, about["scale"]
    scale = None if told is None else Scale(told["low"], told["high"], tuple(told["levels"]))
    data = Dataset(tables["train"], tables["items"], tables["users"], scale, ReadReport(rows, rows), about["data"])
    cutoff = None if about["cutoff"] is None else datetime.fromisoformat(about["cutoff"])
    began = time.monotonic()
    learnt = learn(data, config, Around(progress("lines")), n=about["n"], cutoff=cutoff)
    return learnt, time.monotonic() - began


def fingerprint(folder: Path, about: dict[str, Any], config: Config) -> str:
    """Return a short hash of all that a fit is made from: tables, settings, and Shoal's own source."""
    mark: dict[str, Any] = {name: about[name] for name in ("data", "scale", "n", "cutoff")}
    mark |= {"config": config.model_dump(mode="json"), "shoal": shoal.__version__}
    digest = hashlib.sha256(json.dumps(mark, sort_keys=True).encode())
    source = Path(shoal.__file__).parent
    for path in (*(folder / f"{name}.parquet" for name in LEARNT_FROM), *sorted(source.rglob("*.py"))):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def remember(learnt: Learnt, seconds: float, place: Path) -> None:
    """Keep a fit as a run that nobody has described or judged."""
    none = pl.DataFrame(schema={SEGMENT: pl.Int32()})
    judgement = Judgement("", 0, none, none, none)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    about = {"learnt": learnt.story, "fit seconds": seconds, "peak GB": peak}
    keep.save(learnt, none, none, judgement, about, place)


def answer(learnt: Learnt, folder: Path, about: dict[str, Any]) -> pl.DataFrame:
    """Return the lists, or the ratings of the pairs, from the pasts that are shown."""
    given, asked = (pl.read_parquet(folder / f"{name}.parquet") for name in ("given", "asked"))
    users = sorted_ids(asked, USER)
    pasts = learnt.pasts(given, users)
    if about["kind"] == "rating":
        assert learnt.rater is not None
        told = learnt.rater.rate(pasts, users.rows(asked[USER]), learnt.items.rows(asked[ITEM]))
        return asked.select(pl.col(USER).cast(pl.String), pl.col(ITEM).cast(pl.String), pl.Series("rating", told[0]))
    allowed = None
    if about["candidates"] is not None:
        allowed = np.zeros(len(learnt.items), bool)
        allowed[learnt.items.rows(about["candidates"])] = True
    n = min(about["n"], len(learnt.items) if allowed is None else int(allowed.sum()))
    items, scores, _ = learnt.best(pasts, n, allowed=allowed)
    return as_lists(users, learnt.items, items, scores)
