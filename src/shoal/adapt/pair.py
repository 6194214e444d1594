"""The tasks pair and twin: a rating is told from a user's past and an item's text.

pair  both are read as one text by a cross-encoder; slow to ask, for it reads each pair anew
twin  each is read by itself, and a head reads both vectors

For each rated event: the past are the user's events before it (where no times are known: the user's other events), the
item is told by its text alone. What the user wrote in the event that is to be rated is in neither.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from shoal.adapt.couse import item_sentences
from shoal.adapt.rater import TextRater
from shoal.adapt.review import learn_to_tell
from shoal.adapt.settings import Finetune
from shoal.adapt.start import Around, open_base, with_base
from shoal.data.dataset import Dataset
from shoal.data.histories import DAY, Histories, histories
from shoal.data.ids import Ids
from shoal.data.labelled import Labelled, as_labelled
from shoal.errors import MismatchError
from shoal.seeding import generator
from shoal.tables import AT, ITEM, RATING, TEXT, USER
from shoal.text.render import Template, Texts
from shoal.text.sequence import user_sequences

MOST_EXAMPLES = 20_000
"""Rated events that are learnt from, drawn at random: a language model reads a few dozen a second on a CPU."""
PAST = 20
"""Newest events of a past."""


def learn_pair(task: Literal["pair", "twin"] | str, data: Dataset, settings: Finetune, around: Around) -> TextRater:
    """Fine-tune a language model to tell ratings of pairs.

    Parameters
    ----------
    task : str
        ``pair`` or ``twin``.
    data : Dataset
        Training data with ratings.
    settings : Finetune
        `max_tokens` is shared by the past and the item: two thirds are the past's.
    around : Around

    Raises
    ------
    MismatchError
        The data hold no ratings.
    """
    examples, pasts, of_item, texts = pair_examples(data, settings, around)
    places = [np.arange(len(pasts)), of_item]
    return learn_to_tell(task, examples, [pasts, texts], places, settings, around)


def pair_examples(
    data: Dataset, settings: Finetune, around: Around
) -> tuple[Labelled, list[str], np.ndarray, list[str]]:
    """Return the examples, the text of each one's past, the item row of each, and the items' texts."""
    if data.scale is None or RATING not in data.interactions.columns:
        raise MismatchError(f"{data.name} holds no ratings, which this task learns. Give rated events, or couse.")
    rated = data.interactions.filter(pl.col(RATING).is_not_null())
    items, texts = item_sentences(data)
    settings = with_base(settings, texts, around.progress)
    users = Ids(data.users[USER])
    past = histories(rated, users, items, seed=settings.seed)
    rng = generator(settings.seed, "pair", "examples")
    events = np.sort(rng.permutation(len(past.items))[:MOST_EXAMPLES])
    before = pasts_before(past, events, rng)
    written = _written(rated, users, items) if TEXT in rated.columns else None
    table = _as_interactions(before, items, written, past, events)
    lm = open_base(settings, around.device)
    told = user_sequences(
        table,
        Texts(pl.DataFrame({"id": items.values, "text": texts}), "pair"),
        template=Template("{item}, {rating}: {text}" if written is not None else "{item}, {rating}"),
        budget_tokens=max(lm.limit * 2 // 3, 8),
        cutoff=None,
        count_tokens=lm.count_tokens,
        users=Ids(_numbers(len(events))),
        scale=data.scale,
        seed=settings.seed,
    )
    ratings = pl.Series(past.values[events])
    return as_labelled(data.name, told.texts, ratings), told.texts, past.items[events].astype(np.int64), texts


def pasts_before(past: Histories, events: np.ndarray, rng: np.random.Generator) -> Histories:
    """Return, for each of some events, the user's newest `PAST` events before it; without times, others at random.

    Events of the same moment as the one to be rated count as after it.
    """
    starts, rows = [0], []
    for event, user in zip(events.tolist(), past.users[events].tolist(), strict=True):
        first, last = int(past.starts[user]), int(past.starts[user + 1])
        if np.isnan(past.times[event]):
            others = np.delete(np.arange(first, last), event - first)
            chosen = np.sort(rng.permutation(others)[:PAST])
        else:
            earlier = np.arange(first, event)
            chosen = earlier[~(past.times[earlier] >= past.times[event])][-PAST:]
        rows.append(chosen)
        starts.append(starts[-1] + len(chosen))
    index = np.concatenate(rows).astype(np.int64)
    return Histories(np.array(starts), past.items[index], past.values[index], past.times[index], past.n_items)


def _as_interactions(
    before: Histories, items: Ids, written: dict[tuple[int, int], str] | None, past: Histories, events: np.ndarray
) -> pl.DataFrame:
    """Return the pasts as a table in which every example is a user of its own."""
    table = pl.DataFrame(
        {
            USER: _numbers(before.n_users).gather(pl.Series(before.users)).cast(pl.Categorical),
            ITEM: items.take(before.items).cast(pl.Categorical),
            RATING: before.values,
            AT: pl.Series(before.times * DAY, nan_to_null=True).cast(pl.Int64).cast(pl.Datetime("us")),
        }
    )
    if written is not None:
        whose = past.users[events][before.users]
        texts = [written.get((u, i)) for u, i in zip(whose.tolist(), before.items.tolist(), strict=True)]
        table = table.with_columns(pl.Series(TEXT, texts, dtype=pl.String))
    return table


def _written(rated: pl.DataFrame, users: Ids, items: Ids) -> dict[tuple[int, int], str]:
    """Return what each user wrote of each item, in row numbers."""
    some = rated.filter(pl.col(TEXT).is_not_null())
    rows = zip(users.rows(some[USER]).tolist(), items.rows(some[ITEM]).tolist(), some[TEXT].to_list(), strict=True)
    return {(u, i): text for u, i, text in rows}


def _numbers(n: int) -> pl.Series:
    return pl.Series([f"{i:08}" for i in range(n)], dtype=pl.String)
