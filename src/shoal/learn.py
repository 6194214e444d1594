"""The method, from top to bottom: one data set becomes what was learnt from it.

    1  texts of the items, and their language vectors           text, encode
    2  an inner hold-out, made from the training data alone     data.split
    3  the tower learns ratings and ranking                     train
    4  users are grouped by their vectors                       segment
    5  models of the catalogue are tuned, then blended          recommend
    6  experts for ratings are stacked                          model.rater
    7  all closed-form models are fitted again on everything

Validation decides everything that is decided; no test event is ever seen here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from scipy import sparse

from shoal.config import Config, Rate
from shoal.data import split as splitting
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.leakage import Split
from shoal.data.traits import Traits
from shoal.encode.cache import default_folder, encode_cached
from shoal.encode.language import settled
from shoal.encode.open import open_encoder
from shoal.errors import NotEnoughDataError
from shoal.grouping import Asked, group
from shoal.learnt import Learnt, sorted_ids
from shoal.model.features import Features
from shoal.model.network import Network
from shoal.model.pasts import Values
from shoal.model.rater import Stack, rating_experts
from shoal.model.sequence import Sequence
from shoal.model.space import Space
from shoal.model.terms import terms_of
from shoal.progress import Progress
from shoal.protocols import Recommender
from shoal.recommend.bench import Bench
from shoal.recommend.blend import Blend
from shoal.recommend.tune import HeldOut
from shoal.seeding import generator, integer
from shoal.segment.identity import Before
from shoal.segment.segmentation import Segmentation
from shoal.tables import ITEM, USER
from shoal.text.defaults import default_item_template
from shoal.text.render import Template, Texts, item_texts
from shoal.train import loop

MOST_VALIDATION_USERS, MOST_CUTS = 2000, 4
"""Users asked about while tuning, and how often each, where one cut of a past is as good a question as another."""
SET_LIKE = ("random", "strong")
"""Protocols that ask for a part of a past, not for what came next: there the tower learns without order."""


@dataclass
class Around:
    """The circumstances of a fit; nothing here changes what comes out.

    Attributes
    ----------
    progress : Progress
    device : str
        For the language model.
    cache : Path, "default" or None
        Where encoded texts are kept.
    work : Path or None
        Where the tower's checkpoint is kept.
    seconds : dict of str to float
        Filled: seconds by stage.
    """

    progress: Progress = field(default_factory=Progress)
    device: str = "auto"
    cache: Path | Literal["default"] | None = "default"
    work: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        began = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


@dataclass(frozen=True)
class Inner:
    """The inner hold-out in row numbers.

    Attributes
    ----------
    train : Histories
        All training users.
    past, future : Histories
        The validation users: what they did before, and after.
    users : Ids
        The training users.
    """

    train: Histories
    past: Histories
    future: Histories
    users: Ids

    def held_out(self, relevant_from: float | None, n: int, config: Config, *, set_like: bool) -> HeldOut:
        """Return the ranking question, of at most `MOST_VALIDATION_USERS` users; where it is set-like and they are few,
        each is asked about several times.
        """
        liked = self.future.liked(relevant_from)
        users = np.flatnonzero(liked.counts)
        users = np.sort(generator(config.seed, "validation").permutation(users)[:MOST_VALIDATION_USERS])
        past = self.past.take(users)
        held = HeldOut(past, past, liked.take(users), n, set_like=set_like, relevant_from=relevant_from)
        asked = config.validation
        held = replace(held, strangers=asked.protocol == "strong", newcomers=asked.newcomers)
        times = min(MOST_CUTS, MOST_VALIDATION_USERS // len(users)) if set_like and len(users) else 1
        return held.repeated(times, generator(config.seed, "cuts")) if times > 1 else held


def learn(
    data: Dataset,
    config: Config,
    around: Around,
    *,
    n: int = 10,
    cutoff: datetime | None = None,
    before: Before | None = None,
) -> Learnt:
    """Learn everything from `data`.

    Parameters
    ----------
    data : Dataset
        Training data; the whole of it is seen.
    config : Config
    around : Around
    n : int
        Length of the lists that tuning looks at.
    cutoff : datetime, optional
        Everything in `data` is older; texts carry it.
    before : Before, optional
        The last run's segments: these are kept where they still are.

    Raises
    ------
    NotEnoughDataError
        There is too little to hold anything out.
    EncoderError
        The language model cannot be had.
    """
    around.seconds.clear()
    data = replace(data, items=data.items.sort(pl.col(ITEM).cast(pl.String)))
    items = Ids(data.items[ITEM])
    asked, texts = config.encode.encoder, texts_of(data, config, cutoff)
    config = config.model_copy(update={"encode": settled(config.encode, texts.texts, around.progress)})
    vectors = encode_items(texts, config, around)
    with around.stage("tables"):
        inner = _inner(data, items, config)
        relevant_from = relevance(data, config)
        seen = np.bincount(inner.train.items, minlength=len(items)) > 0
        features = Features.fit(vectors, data.items, seen)
        matrix, words = features.of(vectors, data.items), terms_of(data.items)
    story: dict[str, Any] = {"encoder": {"asked": asked, "taken": config.encode.encoder}}
    story |= {"relevant_from": relevant_from, "validation_users": int(inner.past.n_users)}

    sequence = _train_tower(matrix, inner, data, relevant_from, config, around, story)
    held = inner.held_out(relevant_from, n, config, set_like=is_set_like(data, config))
    with around.stage("segment"):
        space, segmentation, inside = _group(sequence, matrix, inner, held, relevant_from, config, before)

    def place(pasts: Histories) -> np.ndarray:
        return segmentation.assign(space.of(pasts), pasts.counts)[0]

    models, blend = _blend(matrix, words, inner.train, held, sequence, place, relevant_from, config, around, story)
    rater = _stack(matrix, inner, sequence, data, config.rate, around, story)

    learnt = Learnt(
        config,
        data,
        items,
        vectors,
        features,
        relevant_from,
        sequence,
        segmentation,
        models,
        blend,
        rater,
        story,
        space,
        inside,
    )
    with around.stage("closed form"):
        learnt.refit(data)
    return learnt


def texts_of(data: Dataset, config: Config, cutoff: datetime | None) -> Texts:
    """Return the items as texts, by the template of the settings or one made from the columns found."""
    given = config.text.item_template
    template = Template(given) if given is not None else default_item_template(data.items)
    return item_texts(data.items, template, cutoff=cutoff)


def encode_items(texts: Texts, config: Config, around: Around) -> np.ndarray:
    """Return the language vectors of the catalogue, (items, width) float32."""
    with around.stage("encode"):
        for note in texts.notes:
            around.progress.log(f"texts  {note}")
        folder = default_folder() if around.cache == "default" else around.cache
        encoder = open_encoder(
            config.encode, device=around.device, cache=folder, texts=texts.texts, progress=around.progress
        )
        return encode_cached(
            encoder, texts.texts, template_version=texts.template_version, folder=folder, progress=around.progress
        )


def _inner(data: Dataset, items: Ids, config: Config) -> Inner:
    held = hold_out(data, config, share=config.validation.share, seed=integer(config.seed, "inner"))
    train = held.train.interactions
    users, traits = sorted_ids(held.test, USER), Traits(data.users) if config.recommend.traits else None
    of_train = sorted_ids(train, USER)
    return Inner(
        _rows(train, of_train, items, config, traits),
        _rows(held.given, users, items, config, traits),
        _rows(held.test, users, items, config, traits),
        of_train,
    )


def hold_out(data: Dataset, config: Config, *, share: float, seed: int) -> Split:
    """Hold out a share of `data` in the way that the settings say, or that its times allow."""
    protocol = config.validation.protocol
    if protocol == "auto":
        protocol = "last-out" if data.has_times else "random"
    if protocol == "last-out":
        per_user = data.interactions.group_by(USER).len()["len"].median()
        n = int(np.clip(round(share * float(per_user or 1)), 1, 10))  # type: ignore[arg-type]
        return splitting.last_out(data, n=n, seed=seed)
    if protocol == "strong":
        return splitting.strong(data, users_share=share, seed=seed)
    if protocol == "temporal":
        return splitting.temporal(data, share=share, seed=seed)
    return splitting.random(data, share=share, seed=seed)


def is_set_like(data: Dataset, config: Config) -> bool:
    """Return whether a part of a past is asked for, and not what came next."""
    return not data.has_times or config.validation.protocol in SET_LIKE


def _rows(interactions: pl.DataFrame, users: Ids, items: Ids, config: Config, traits: Traits | None) -> Histories:
    made = histories(interactions, users, items, seed=config.seed)
    return made if traits is None else replace(made, traits=traits.of(users))


def relevance(data: Dataset, config: Config) -> float | None:
    """Return the rating from which an event is a hit; None where nobody rated, and every event is."""
    if data.scale is None:
        return None
    given = config.recommend.relevant_from
    return data.scale.at(0.7) if given is None else given


def _train_tower(
    matrix: np.ndarray,
    inner: Inner,
    data: Dataset,
    relevant_from: float | None,
    config: Config,
    around: Around,
    story: dict[str, Any],
) -> Sequence:
    popularity = np.bincount(inner.train.items, minlength=len(matrix)).astype(np.float32)
    values = Values.measure(inner.train.values, counts=data.scale is None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(config.seed, "tower"))
        network = Network(
            torch.from_numpy(matrix),
            torch.from_numpy(popularity),
            config.tower,
            kind=config.train.rating_head,
            scale=data.scale,
        )
    order: Literal["time", "none"] = "none" if is_set_like(data, config) else "time"
    task = loop.Task(inner.train, inner.past, inner.future, values, order, relevant_from)
    with around.stage("train"):
        told = loop.fit(network, task, config, around.progress, work=around.work)
    story["tower"] = {"epochs": len(told.rows), "best": told.best + 1, "rows": told.rows}
    return Sequence(network, values, config.tower.history).fit(inner.train)


def _group(
    sequence: Sequence,
    matrix: np.ndarray,
    inner: Inner,
    held: HeldOut,
    relevant_from: float | None,
    config: Config,
    before: Before | None,
) -> tuple[Space, Segmentation, dict[int, Segmentation]]:
    seed = integer(config.seed, "segment")
    space = Space(config.segment.sources, matrix, sequence.users).fit(inner.train, seed=seed)
    asked = Asked(space, inner.train, inner.users.values.to_list(), held, relevant_from)
    return space, *group(asked, config.segment, seed=seed, before=before)


def _blend(
    matrix: np.ndarray,
    words: sparse.csr_matrix,
    train: Histories,
    held: HeldOut,
    sequence: Sequence,
    place: Callable[[Histories], np.ndarray],
    relevant_from: float | None,
    config: Config,
    around: Around,
    story: dict[str, Any],
) -> tuple[dict[str, Recommender], Blend]:
    if not held.past.n_users:
        raise NotEnoughDataError(
            f"No user has a held-out event rated {relevant_from} or better, so nothing can be tuned. "
            "Lower recommend.relevant_from."
        )

    with around.stage("closed form"):
        bench = Bench(train, held, config.recommend, relevant_from, config.seed, around.progress)
        models = bench.models(matrix, words, sequence, place)
        blend = bench.blend(models)
    story |= bench.story
    return models, blend


def _stack(
    matrix: np.ndarray,
    inner: Inner,
    sequence: Sequence,
    data: Dataset,
    settings: Rate,
    around: Around,
    story: dict[str, Any],
) -> Stack | None:
    if data.scale is None or not np.isfinite(inner.train.values).any():
        return None
    with around.stage("rate"):
        stack = Stack(rating_experts(matrix, sequence, settings), data.scale)
        stack.fit(inner.train, inner.past, inner.future)
    story["rater"] = stack.document()["weights"]
    around.progress.log("rate  weights: " + ", ".join(f"{k} {v:g}" for k, v in story["rater"].items()))
    return stack
