"""A user's past becomes a language sequence: dated, rating-aware, oldest event first, the newest kept.

    2015-03-01: Toy Story (1995). Adventure, Comedy, rated 4.5 of 5
    2015-03-02: Heat (1995). Crime, rated 3 of 5

A sequence never takes more tokens than its budget: as many of the newest events as fit are kept, none is left out in
between. The past is never cut at the cut-off in silence: an event at or after it is an error of the split.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from shoal.data.dataset import Scale
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.errors import ConfigError, did_you_mean
from shoal.tables import AT, ITEM, RATING, TEXT, USER
from shoal.text.render import Template, Texts, check_before

EVENT_FIELDS = ("date", "item", "rating", "text")
SEPARATOR = "\n"

CountTokens = Callable[[Sequence[str]], Sequence[int] | np.ndarray]
"""Texts -> the number of tokens of each."""


def words_as_tokens(texts: Sequence[str]) -> np.ndarray:
    """Return 1.3 tokens a word, rounded up: what subword vocabularies make of English, for want of a tokenizer.

    Languages written without spaces come out far too low: hand in a tokenizer's count for them.
    """
    counts = pl.Series(texts, dtype=pl.String).str.count_matches(r"\S+").to_numpy()
    return -(-counts.astype(np.int64) * 13 // 10)


def user_sequences(
    interactions: pl.DataFrame,
    item_texts: Texts,
    *,
    template: Template,
    budget_tokens: int,
    cutoff: datetime | None,
    count_tokens: CountTokens | None = None,
    users: Ids | None = None,
    scale: Scale | None = None,
    verb: str = "",
    seed: int = 0,
) -> Texts:
    """Write each user's past as text, oldest event first, the newest events within a token budget.

    Parameters
    ----------
    interactions : polars.DataFrame
        Interactions. Events without a time stand before those with one, events at the same time in an order drawn by
        `seed` (see `shoal.data.histories.histories`).
    item_texts : Texts
        An item that is not in it is told without its text.
    template : Template
        Of one event; fields ``date`` (left out where unknown), ``item``, ``rating`` ("rated 4.5 of 5", "12 times"; left
        out where nobody rated) and ``text`` (what the user wrote).
    budget_tokens : int
        Most tokens of one sequence, 1 or more.
    cutoff : datetime or None
        Every event must have happened before it. Events without a time cannot be checked; they are counted in a note.
    count_tokens : callable, optional
        Texts -> tokens of each, such as `LanguageModel.count_tokens`; None takes `words_as_tokens`.
    users : Ids, optional
        Whose sequences, in which order; a user without events gets "". None: everybody who occurs, sorted by id.
    scale : Scale, optional
        Says what a rating is out of; without it a rating is told as "rated 4.5".
    verb : str
        What a count counts, such as "played": "played 13,883 times".
    seed : int
        Orders events of the same moment.

    Returns
    -------
    Texts
        A row for each user. The newest event is always there; if it does not fit alone, its text is cut.

    Raises
    ------
    LeakageError
        There is an event at or after the cut-off.
    ConfigError
        The template asks for another field, or the budget does not even hold an empty text.
    """
    count = count_tokens or words_as_tokens
    _check(template, budget_tokens, count)
    if AT in interactions.columns:
        check_before(interactions[AT], cutoff, users=interactions[USER])
    users = users or Ids(interactions[USER].unique().cast(pl.String).sort())
    past, events = _events(interactions, item_texts, template, users, scale, verb, seed)
    texts = _newest_within(past.starts, events, budget_tokens, count)
    table = pl.DataFrame({"id": users.values, "text": pl.Series(texts, dtype=pl.String)})
    return Texts(table, _version(template, item_texts), cutoff, _notes(past, cutoff))


def _check(template: Template, budget: int, count: CountTokens) -> None:
    for field in template.fields:
        if field not in EVENT_FIELDS:
            raise ConfigError(
                f"The event template {template.text!r} asks for {{{field}}}.{did_you_mean(field, EVENT_FIELDS)} "
                f"An event has {', '.join(EVENT_FIELDS)}."
            )
    least = int(count([""])[0])
    if budget < max(1, least):
        raise ConfigError(f"A budget of {budget} tokens holds no text at all: an empty one takes {least}. Raise it.")


def _version(template: Template, item_texts: Texts) -> str:
    return f"{template.version}-{item_texts.template_version}"


def _notes(past: Histories, cutoff: datetime | None) -> tuple[str, ...]:
    silent, timeless = int((past.counts == 0).sum()), int(np.isnan(past.times).sum())
    notes = [f"{silent:,} of {past.n_users:,} users have no events"] if silent else []
    if timeless and cutoff is not None:
        notes.append(f"{timeless:,} of {len(past.times):,} events have no time to check against the cut-off")
    return tuple(notes)


def _events(
    interactions: pl.DataFrame,
    item_texts: Texts,
    template: Template,
    users: Ids,
    scale: Scale | None,
    verb: str,
    seed: int,
) -> tuple[Histories, np.ndarray]:
    """Return histories and the text of each of their events, (events,) of str."""
    items = Ids(interactions[ITEM].unique().cast(pl.String).sort())
    past = histories(interactions, users, items, seed=seed)
    item_ids = items.take(past.items).alias("id")
    told = item_ids.to_frame().join(item_texts.table, on="id", how="left", maintain_order="left")["text"]
    frame = pl.DataFrame(
        {
            "date": pl.Series(np.floor(past.times), nan_to_null=True).cast(pl.Int32).cast(pl.Date),
            "item": told.str.strip_chars_end("."),  # a sentence goes on after it
            "rating": _worded(past.values, interactions, scale, verb),
        }
    )
    if TEXT in template.fields:
        pairs = pl.DataFrame({USER: users.take(past.users), ITEM: item_ids})
        frame = frame.with_columns(_written(interactions, pairs))
    return past, template.render(frame, what="an event").to_numpy()


def _written(interactions: pl.DataFrame, pairs: pl.DataFrame) -> pl.Series:
    """Return what users wrote about items, one text a pair."""
    if TEXT not in interactions.columns:
        return pl.Series(TEXT, [None] * pairs.height, dtype=pl.String)
    wrote = interactions.select(pl.col(USER, ITEM).cast(pl.String), TEXT).unique([USER, ITEM], keep="last")
    return pairs.join(wrote, on=[USER, ITEM], how="left", maintain_order="left")[TEXT]


def _worded(values: np.ndarray, interactions: pl.DataFrame, scale: Scale | None, verb: str) -> pl.Series:
    """Say values as words: "rated 4.5 of 5" for ratings, "played 13,883 times" for counts, null for bare events."""
    column = pl.Series("rating", values.astype(np.float64), nan_to_null=True)
    different = column.unique().drop_nulls()
    if RATING in interactions.columns:
        told = [f"rated {_figure(v)}{_out_of(scale)}" for v in different]
    else:
        told = [f"{verb} {_times(v)}".strip() for v in different]
    return column.replace_strict(different, pl.Series(told, dtype=pl.String), default=None, return_dtype=pl.String)


def _figure(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _times(value: float) -> str:
    return "once" if value == 1 else f"{_figure(value)} times"


def _out_of(scale: Scale | None) -> str:
    """A scale that begins at or near zero needs its end alone; one that goes below needs both."""
    if scale is None:
        return ""
    low, high = _figure(scale.low), _figure(scale.high)
    return f" of {high}" if scale.low >= 0 else f" on a scale from {low} to {high}"


def _newest_within(starts: np.ndarray, events: np.ndarray, budget: int, count: CountTokens) -> list[str]:
    """Return each user's newest events, joined, that fit the budget; cut the newest one where it alone does not.

    How many fit is found by doubling and then halving the step, all users at once. Whole sequences are counted, not
    events added up, because a tokenizer's counts do not add up; what is returned has itself been counted.
    """
    counts = np.diff(starts)
    texts = np.full(len(counts), "", dtype=object)
    fit, tried = np.zeros(len(counts), np.int64), np.minimum(counts, 1)
    over = counts + 1  # fewest events that are known not to fit
    open_users = np.flatnonzero(counts)
    while len(open_users):
        joined = _joined(starts[open_users + 1], tried[open_users], events)
        good = np.asarray(count(joined)) <= budget
        kept, lost = open_users[good], open_users[~good]
        texts[kept] = np.array(joined, dtype=object)[good]
        fit[kept], over[lost] = tried[kept], tried[lost]
        doubled = np.minimum(fit * 2, counts)
        tried = np.where(over > counts, doubled, (fit + over) // 2)
        open_users = open_users[(over - fit)[open_users] > 1]
    for user in np.flatnonzero((fit == 0) & (counts > 0)):
        texts[user] = _cut(events[starts[user + 1] - 1], budget, count)
    return texts.tolist()


def _joined(ends: np.ndarray, n: np.ndarray, events: np.ndarray) -> list[str]:
    return [SEPARATOR.join(events[end - k : end]) for end, k in zip(ends.tolist(), n.tolist(), strict=True)]


def _cut(text: str, budget: int, count: CountTokens) -> str:
    """Return the longest beginning of `text` in whole words that fits; of its first word, if even that does not."""
    ends = [m.end() for m in re.finditer(r"\S+", text)]
    longest = _longest(text, ends, budget, count)
    return longest or _longest(text, list(range(1, ends[0] + 1)) if ends else [], budget, count)


def _longest(text: str, ends: list[int], budget: int, count: CountTokens) -> str:
    fit, over = 0, len(ends) + 1
    while over - fit > 1:
        middle = (fit + over) // 2
        if int(count([text[: ends[middle - 1]]])[0]) <= budget:
            fit = middle
        else:
            over = middle
    return text[: ends[fit - 1]] if fit else ""
