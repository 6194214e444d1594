"""A run on disk: tensors, tables and documents, written whole or not at all, and back. No pickle anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shoal import state
from shoal.config import Config, Name
from shoal.data.dataset import Dataset
from shoal.errors import StoreError
from shoal.judgement import Judgement
from shoal.learnt import Learnt
from shoal.segment.readable import with_rules
from shoal.store import artifacts

NAMING = "naming"
"""The document that says how names came about; runs of before have none."""
MORE = ("history", "migration", "drift", "subsegments", "certificate")
"""Tables that runs of before have not, and a first run has in part."""

OWN = ("config", "data", "judgement", "learnt")
"""The documents of every run; others were added later, by hand."""


def save(
    learnt: Learnt,
    segments: pl.DataFrame,
    members: pl.DataFrame,
    judgement: Judgement,
    manifest: dict[str, Any],
    folder: str | Path,
    *,
    extra: dict[str, Any] | None = None,
    more: Mapping[str, pl.DataFrame] | None = None,
) -> Path:
    """Write everything, whole or not at all.

    `extra` are documents, such as rules, edits and how names came about, and `more` are tables (`MORE`), that not every
    run has. See `shoal.store.artifacts.save`.
    """
    data = learnt.data
    tables = {
        "interactions": data.interactions,
        "items": data.items,
        "users": data.users,
        "segments": segments,
        "members": members,
        "metrics": judgement.table,
        "differences": judgement.differences,
        "warmth": judgement.warmth,
        **(more or {}),
    }
    documents = (extra or {}) | {
        "config": learnt.config.model_dump(mode="json"),
        "data": state.about(data),
        "judgement": {"protocol": judgement.protocol, "n": judgement.n, "notes": list(judgement.notes)},
        "learnt": state.document(learnt),
    }
    return artifacts.save(folder, tables=tables, tensors=state.tensors(learnt), documents=documents, manifest=manifest)


def update(
    folder: str | Path,
    learnt: Learnt,
    segments: pl.DataFrame,
    members: pl.DataFrame,
    manifest: dict[str, Any],
    extra: dict[str, Any],
    inside: pl.DataFrame | None = None,
) -> Path:
    """Bring a kept run up to date with what was added by hand, whole or not at all; `inside` are its subsegments.

    Raises
    ------
    StoreError
        The folder holds another run, or edits that this run does not know; see also `shoal.store.artifacts.amend`.
    """
    kept = artifacts.load(folder, only=("edits",))
    if kept.manifest != json.loads(json.dumps(manifest)):
        raise StoreError(f"{folder} holds another run. Give the folder that this one was loaded from, or save it anew.")
    known = kept.documents.get("edits", [])
    if extra.get("edits", [])[: len(known)] != known:
        raise StoreError(f"{folder} has edits that this run does not know: it was edited meanwhile. Load it again.")
    if len(extra.get("edits", [])) == len(known):
        return artifacts.amend(folder, documents=extra)
    return artifacts.amend(
        folder,
        tables={"segments": segments, "members": members} | ({} if inside is None else {"subsegments": inside}),
        tensors={"segmentation": learnt.segmentation.tensors()},
        documents=extra | {"learnt": state.document(learnt)},
    )


Loaded = tuple[Learnt, pl.DataFrame, pl.DataFrame, Judgement, dict[str, Any], dict[str, Any], dict[str, pl.DataFrame]]


def load(folder: str | Path) -> Loaded:
    """Return what `save` was given: learnt, segments, members, judgement, manifest, `extra` and `more`.

    Raises
    ------
    StoreError
        See `shoal.store.artifacts.load`; also where a part is missing that a run must have.
    """
    kept = artifacts.load(folder)
    try:
        tables, told = kept.tables, kept.documents["judgement"]
        judgement = Judgement(
            told["protocol"],
            told["n"],
            tables["metrics"],
            tables["differences"],
            tables["warmth"],
            tuple(told["notes"]),
        )
        for name in {"segments", "subsegments"} & set(tables):
            tables[name] = with_rules(tables[name], {})  # runs of before have none
        more = {name: tables[name] for name in MORE if name in tables}
        extra = {name: document for name, document in kept.documents.items() if name not in OWN}
        return state.restore(kept), tables["segments"], tables["members"], judgement, kept.manifest, extra, more
    except KeyError as error:
        raise StoreError(f"{folder} lacks {error}, which every run has. Fit it again.") from None


Renamed = tuple[pl.DataFrame, dict[str, Any]]
"""Segments, and how their names came about."""


def rename(
    folder: str | Path, settings: Name, name: Callable[[pl.DataFrame, pl.DataFrame, Dataset, int], Renamed]
) -> Renamed:
    """Give the segments of a kept run other names, and keep it, whole or not at all; nothing else of it changes.

    Parameters
    ----------
    folder : path
    settings : Name
        They become those of the run.
    name : callable
        From segments, members, data and seed to segments and naming.

    Raises
    ------
    StoreError
        The folder is no run, is damaged, or cannot be written.
    """
    kept = artifacts.load(folder)
    try:
        config, tables = Config(**kept.documents["config"]), kept.tables
        segments, naming = name(tables["segments"], tables["members"], state.dataset(kept), config.seed)
    except KeyError as error:
        raise StoreError(f"{folder} lacks {error}, which every run has. Fit it again.") from None
    config = config.model_copy(update={"name": settings})
    documents = kept.documents | {"config": config.model_dump(mode="json"), NAMING: naming}
    tables = tables | {"segments": segments}
    artifacts.save(folder, tables=tables, tensors=kept.tensors, documents=documents, manifest=kept.manifest)
    return segments, naming
