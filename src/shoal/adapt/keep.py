"""A fine-tuned model on disk: safetensors and JSON. What moved is kept, and the fingerprint of the base it belongs to.

model/
  manifest.json             kind "shoal model", hashes, and what the model says of itself
  model.json                base, its fingerprint, strategy, pooling, head, classes
  moved.safetensors         parameters of the language model that moved
  head.safetensors          the head, where the task has one
  projection.safetensors    a map after pooling, where the task learnt one
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shoal.adapt.head import TextHead
from shoal.adapt.rater import TextRater
from shoal.adapt.reader import Reader
from shoal.encode.adapt import Adapted, moved
from shoal.encode.lm import LanguageModel
from shoal.encode.source import find
from shoal.encode.strategy import Frozen
from shoal.errors import ConfigError, MismatchError
from shoal.store import artifacts


def save_model(
    folder: str | Path,
    reader: Reader,
    about: Mapping[str, Any],
    *,
    tensors: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    head: Mapping[str, Any] | None = None,
) -> Path:
    """Write what moved of a language model, and what else was learnt with it.

    Parameters
    ----------
    folder : path
    reader : Reader
        As it was trained.
    about : mapping
        For the manifest; must be JSON.
    tensors : mapping, optional
        More groups of arrays: ``head``, ``projection``.
    head : mapping, optional
        How to make the head again.

    Raises
    ------
    ConfigError
        The model's own base stands there.
    StoreError
        Something else stands there, or it cannot be written.
    """
    lm = reader.lm
    check_base(lm.name, folder)
    base = Path(lm.name).expanduser()
    document = {
        "base": str(base.resolve()) if base.is_dir() else lm.name,
        "base_sha256": lm.source.sha256,
        "strategy": reader.adapted.strategy.model_dump(mode="json"),
        "pooling": lm.pooling,
        "max_tokens": lm.max_tokens,
        "head": dict(head) if head is not None else None,
    }
    groups = {"moved": moved(reader.model), **(tensors or {})}
    return artifacts.save(
        folder,
        tensors={name: group for name, group in groups.items() if group},
        documents={"model": document},
        manifest=dict(about),
        kind=artifacts.MODEL,
    )


def check_base(base: str, folder: str | Path) -> None:
    """Refuse a place whose model would lose its own base: what stands there is the base, or a base's base.

    Raises
    ------
    ConfigError
        The model is to be kept where its base is.
    """
    if not Path(base).expanduser().is_dir():
        return
    source, place = find(base), Path(folder).resolve()
    if place in {source.folder.resolve(), *(one.folder.resolve() for one in source.adaptations)}:
        raise ConfigError(
            f"{folder} is what base = {base!r} is made of, and keeps no more than what moved: written there, the model "
            "would lose its base. Give another folder for the model."
        )


def save_rater(rater: TextRater, folder: str | Path) -> Path:
    """Write a model that tells ratings or labels."""
    head = rater.head
    document = {
        "kind": head.kind,
        "width": head.width,
        "hidden": head.hidden is not None,
        "names": list(rater.names),
        "ordered": rater.ordered,
        "prior": rater.prior.tolist(),
    }
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in head.state_dict().items()}
    return save_model(folder, rater.reader, rater.about, tensors={"head": tensors}, head=document)


def load_rater(folder: str | Path, *, device: str = "auto", precision: str = "float32") -> TextRater:
    """Read a model that `shoal finetune` wrote for the task review, pair or twin.

    Raises
    ------
    StoreError
        The folder is missing, damaged, of another kind or made by a newer shoal.
    EncoderError
        The base is not there.
    MismatchError
        The base is another one than the model was trained on, or the model tells nothing.
    """
    artifacts.load(folder, artifacts.MODEL)  # says what is wrong before the base is looked for
    source = find(str(folder))
    kept = source.adaptations[-1].kept
    document = kept.documents["model"]
    told = document["head"]
    if told is None:
        raise MismatchError(
            f"{folder} was trained for the task {kept.manifest.get('task')}, which tells no ratings: it is an encoder. "
            f"Use it with shoal fit --encoder {folder}."
        )
    lm = LanguageModel(str(folder), max_tokens=document["max_tokens"], precision=precision, device=device)
    reader = Reader(lm, Adapted(lm.model, None, Frozen()))
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in kept.tensors["head"].items()}
    head = TextHead(told["width"], told["kind"], tensors["levels"], hidden=told["hidden"], dropout=0.0)
    head.load_state_dict(tensors)
    about = dict(kept.manifest)
    return TextRater(
        reader, head.to(lm.device).eval(), tuple(told["names"]), told["ordered"], np.array(told["prior"]), about
    )
