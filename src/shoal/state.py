"""The state of what was learnt: its data, tensors and a document, and back.

Models that are quick to fit (popularity, the segments' own) are fitted again on the way back, from the run's own
events.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from scipy import sparse

from shoal.config import Config, Rate
from shoal.data.dataset import Dataset, ReadReport, Scale
from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.learnt import Learnt, sorted_ids
from shoal.model.features import Features
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.model.rater import Stack, rating_experts
from shoal.model.sequence import Sequence
from shoal.model.space import Space
from shoal.protocols import Recommender
from shoal.recommend.blend import Blend
from shoal.recommend.by_segment import BySegment, Verdict
from shoal.recommend.by_traits import ByTraits
from shoal.recommend.item_item import ItemItem
from shoal.recommend.liked import Liked
from shoal.recommend.popularity import Popularity
from shoal.recommend.several import Several
from shoal.recommend.text import SMOOTHED, Text, TextMap
from shoal.recommend.walks import Walks
from shoal.segment.segmentation import Segmentation
from shoal.store import artifacts
from shoal.tables import ITEM, USER

Tensors = dict[str, dict[str, np.ndarray]]


def about(data: Dataset) -> dict[str, Any]:
    """Return what a run says of its data beside the tables."""
    return {"name": data.name, "scale": _scale(data.scale), "read": data.report.as_dict()}


def _scale(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else {"low": scale.low, "high": scale.high, "levels": list(scale.levels)}


def dataset(kept: artifacts.Artifacts) -> Dataset:
    """Return the data of a kept run."""
    told, tables = kept.documents["data"], kept.tables
    scale = told["scale"] and Scale(told["scale"]["low"], told["scale"]["high"], tuple(told["scale"]["levels"]))
    read = told["read"]
    report = ReadReport(read["rows_in"], read["rows_kept"], read["dropped"], tuple(read["notes"]), tuple(read["files"]))
    return Dataset(tables["interactions"], tables["items"], tables["users"], scale, report, told["name"])


def tensors(learnt: Learnt) -> Tensors:
    """Return what was learnt in numbers: by part and name."""
    everyone, factors = _item_item(learnt.models), _factors(learnt.models)
    found: Tensors = {
        "network": {k: v.numpy() for k, v in learnt.sequence.network.state_dict().items()},
        "items": {
            "vectors": learnt.vectors,
            "features": learnt.sequence.network.features.numpy(),
            "known": learnt.sequence.network.known.numpy(),
        },
        "features": learnt.features.tensors(),
        "segmentation": learnt.segmentation.tensors(),
        "item_item": everyone.tensors(),
        "factors": factors.tensors(),
        "blend": learnt.blend.tensors(),
    }
    if "walks" in learnt.models:  # not in a run of before
        found["walks"] = _walks(learnt.models).tensors()
    cold = _cold_map(learnt.models)
    if (words := cold.words) is not None and cold.trust:
        found["words"] = {"data": words.data, "indices": words.indices, "starts": words.indptr}
        found["words"]["shape"] = np.array(words.shape)
    if learnt.rater is not None:
        found["rater"] = learnt.rater.tensors()
    if learnt.space is not None:
        found["space"] = learnt.space.tensors()
    return found | {f"inside_{one}": made.tensors() for one, made in learnt.inside.items()}


def document(learnt: Learnt) -> dict[str, Any]:
    """Return what was learnt in words and single numbers, fit for JSON."""
    everyone, factors, local = _item_item(learnt.models), _factors(learnt.models), learnt.by_segment
    trending = learnt.models.get("trending")
    values = learnt.sequence.values
    made = {
        "relevant_from": learnt.relevant_from,
        "sight": local.sight,
        "values": {"mean": values.mean, "spread": values.spread, "log": values.log},
        "item_item": {name: getattr(everyone, name) for name in ("l2", "dropout", "power", "positive", "max_items")},
        "factors": factors.document(),
        "text": {name: getattr(_cold_map(learnt.models), name) for name in ("trust", "l2", "max_items")},
        "half_life_days": trending.model.half_life_days if isinstance(trending, Liked) else None,  # type: ignore[attr-defined]
        "blend": [m.name for m in learnt.blend.models],
        "verdicts": [asdict(v) for v in local.verdicts_],
        "features": learnt.features.document(),
        "segmentation": learnt.segmentation.document(),
        "inside": {str(one): made.document() for one, made in learnt.inside.items()},
        "sources": None if learnt.space is None else list(learnt.space.sources),
        "rater": None if learnt.rater is None else learnt.rater.document()["weights"],
    }
    if "walks" in learnt.models:
        made["walks"] = {name: getattr(_walks(learnt.models), name) for name in ("alpha", "beta", "max_items")}
    return made


def restore(kept: artifacts.Artifacts) -> Learnt:
    """Return what was learnt from a kept run.

    Raises
    ------
    KeyError
        A part is missing that a run must have.
    """
    config = Config(**kept.documents["config"])
    data, told = dataset(kept), kept.documents["learnt"]
    sequence = _sequence(kept, config, data.scale)
    segmentation = Segmentation.of(kept.tensors["segmentation"], told["segmentation"])
    items = Ids(data.items[ITEM])
    matrix = kept.tensors["items"]["features"]
    space = None
    if told.get("sources"):  # runs of before have none
        space = Space(tuple(told["sources"]), matrix, sequence.users).restore(kept.tensors["space"])
    learnt = Learnt(
        config,
        data,
        items,
        kept.tensors["items"]["vectors"],
        Features.restore(kept.tensors["features"], told["features"]),
        told["relevant_from"],
        sequence,
        segmentation,
        {},
        Blend([sequence]),
        None if told["rater"] is None else _rater(kept, matrix, sequence, data.scale, config.rate),
        kept.manifest.get("learnt", {}),
        space,
        {int(s): Segmentation.of(kept.tensors[f"inside_{s}"], made) for s, made in told.get("inside", {}).items()},
    )
    everything = learnt.pasts(data.interactions, sorted_ids(data.interactions, USER))
    learnt.models = _models(kept, config, matrix, learnt, everything)
    learnt.blend = Blend([learnt.models[name] for name in told["blend"]])
    learnt.blend.restore(kept.tensors["blend"])
    learnt.blend.fit(everything)
    return learnt


def _sequence(kept: artifacts.Artifacts, config: Config, scale: Scale | None) -> Sequence:
    items, told = kept.tensors["items"], kept.documents["learnt"]
    network = Network(
        torch.from_numpy(items["features"]),
        torch.from_numpy(items["known"]),
        config.tower,
        kind=config.train.rating_head,
        scale=scale,
    )
    network.load_state_dict({k: torch.from_numpy(v) for k, v in kept.tensors["network"].items()}, strict=False)
    return Sequence(network, Values(**told["values"]), config.tower.history).fit()


def _rater(
    kept: artifacts.Artifacts, matrix: np.ndarray, sequence: Sequence, scale: Scale | None, settings: Rate
) -> Stack:
    assert scale is not None
    experts = rating_experts(matrix, sequence, settings)
    return Stack.restore(kept.tensors["rater"], experts, scale)


def _models(
    kept: artifacts.Artifacts,
    config: Config,
    matrix: np.ndarray,
    learnt: Learnt,
    everything: Histories,
) -> dict[str, Recommender]:
    told, sight = kept.documents["learnt"], kept.documents["learnt"]["sight"]
    everyone = ItemItem(**told["item_item"]).restore(kept.tensors["item_item"])
    factors = Several.restore(told["factors"], kept.tensors["factors"])
    popularity = Popularity(seed=config.seed)
    models: dict[str, Recommender] = {"popularity": Liked(popularity, sight).fit(everything)}
    if told["half_life_days"] is not None:
        models["trending"] = Liked(Popularity(told["half_life_days"], seed=config.seed), sight).fit(everything)
    if "by_traits" in told["blend"]:
        models["by_traits"] = Liked(ByTraits(), sight).fit(everything)
    models |= {"item_item": Liked(everyone, sight), "factors": Liked(factors, sight), "sequence": learnt.sequence}
    if "walks" in told:  # runs of before have none
        models["walks"] = Walks(**told["walks"]).restore(kept.tensors["walks"])
    words = _words(kept.tensors["words"]) if "words" in kept.tensors else None
    teachers = [models["item_item"], models["factors"]]
    of_text = told.get("text", {"max_items": SMOOTHED})  # runs of before told cold items like warm ones
    models["text"] = Text(matrix, teachers, words, **of_text).fit(everything)

    segmentation, users = learnt.segmentation, learnt.users

    def place(pasts: Histories) -> np.ndarray:
        return segmentation.assign(users(pasts), pasts.counts)[0]

    local = BySegment(place, everyone, popularity, sight=sight, seed=config.seed)
    local.verdicts_, local.contested_ = [Verdict(**v) for v in told["verdicts"]], True
    if any(v.helps for v in local.verdicts_):
        local.fit(everything)
    else:
        local.local_, local.popular_ = {}, {}
    models["by_segment"] = local
    return models


def _item_item(models: dict[str, Recommender]) -> ItemItem:
    return models["item_item"].model  # type: ignore[attr-defined]


def _walks(models: dict[str, Recommender]) -> Walks:
    model = models["walks"]
    assert isinstance(model, Walks)
    return model


def _cold_map(models: dict[str, Recommender]) -> TextMap:
    model = models["text"]
    assert isinstance(model, Text)
    return model.map


def _words(kept: dict[str, np.ndarray]) -> sparse.csr_matrix:
    rows, terms = kept["shape"].tolist()
    return sparse.csr_matrix((kept["data"], kept["indices"], kept["starts"]), (rows, terms))


def _factors(models: dict[str, Recommender]) -> Several:
    return models["factors"].model  # type: ignore[attr-defined]
