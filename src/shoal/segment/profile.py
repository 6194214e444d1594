"""What sets a segment apart: its categories, words, items, habits and traits, each against everyone else.

members, interactions  --count--> events by segment and item  --items' labels--> shares in, shares elsewhere
                       --shrunken log-odds--> the labels that differ most --> one sentence with figures
"""

from __future__ import annotations

from typing import Any

import polars as pl

from shoal.segment import sentence
from shoal.segment.contrast import contrasts
from shoal.segment.words import categories, words
from shoal.tables import ITEM, RATING, SEGMENT, SIZE, USER, check

MORE, LESS, WORDS, EXEMPLARS, TRAITS = 6, 3, 8, 8, 5  # how many of each a profile keeps
TELLING = 2.0  # a contrast below this could be chance even if all events were independent
MOST_TRAITS = 30  # a users' column with more distinct values is no trait

LABEL = pl.Struct(
    {"label": pl.String, "kind": pl.String, "share_in": pl.Float64, "share_out": pl.Float64, "contrast": pl.Float64}
)
"""A label, its column (or ``decade``), its share of events in the segment and elsewhere, and the contrast."""
EXEMPLAR = pl.Struct(
    {
        "item_id": pl.String,
        "title": pl.String,
        "share_in": pl.Float64,
        "share_out": pl.Float64,
        "contrast": pl.Float64,
    }
)
"""An item, its title (null without one), the share of users who have it in the segment and elsewhere, the contrast."""

PROFILES = {
    SEGMENT: pl.Int32(),
    SIZE: pl.Int64(),
    "share": pl.Float64(),
    "events_per_user": pl.Float64(),
    "rating_mean": pl.Float64(),
    "rating_gap": pl.Float64(),
    "categories": pl.List(LABEL),
    "words": pl.List(LABEL),
    "exemplars": pl.List(EXEMPLAR),
    "user_traits": pl.List(LABEL),
    "sets_apart": pl.String(),
}
"""The columns of `profiles`."""

Top = dict[int, list[dict[str, Any]]]  # a segment's labels or items, most over-used first


def profiles(
    members: pl.DataFrame, interactions: pl.DataFrame, items: pl.DataFrame, *, users: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Describe each segment by what it does more, and less, than everyone else.

    Parameters
    ----------
    members : polars.DataFrame
        user_id, segment (-1: unassigned); other columns are not read.
    interactions : polars.DataFrame
        Interactions; users who are not in `members` are left out.
    items : polars.DataFrame
        Items. Lists of strings and columns with few distinct values are categories, other strings are text.
    users : polars.DataFrame, optional
        Users; columns with few distinct values are traits.

    Returns
    -------
    polars.DataFrame
        `PROFILES`, one row a segment, rising; the unassigned, if there are any, come first as -1. Shares are of the
        segment's events (categories, words) or users (exemplars, traits). The most over-used label comes first;
        `categories` and `user_traits` end with the most under-used one. `rating_mean` and `rating_gap` (to the mean of
        all ratings) are null where nobody rated. Lists are empty where there is nothing to tell by.

    Raises
    ------
    TableError
        `members` lacks a column, or a column has another type.
    """
    members = check(members, {SEGMENT: pl.Int32()}, what="members").select(pl.col(USER).cast(pl.String), SEGMENT)
    events = _events(members, interactions)
    pairs = events.group_by(SEGMENT, ITEM).agg(count=pl.len().cast(pl.Int64)).sort(SEGMENT, ITEM)
    table = _habits(members, events)
    totals = table.select(SEGMENT, total=pl.col("events"))
    sizes = table.select(SEGMENT, total=pl.col(SIZE))
    labels = {
        "categories": _label_contrasts(pairs, categories(items), totals, more=MORE, less=LESS),
        "words": _distinct(_label_contrasts(pairs, words(items), totals, more=4 * WORDS, less=0)),
        "exemplars": _exemplars(pairs, items, totals, sizes),
        "user_traits": _traits(members, users, sizes),
    }
    for column, found in labels.items():
        lists = [found.get(segment, []) for segment in table[SEGMENT]]
        table = table.with_columns(pl.Series(column, lists, PROFILES[column]))
    everyone = float(events.group_by(USER).len()["len"].median() or 0)  # type: ignore[arg-type]
    told = [sentence.sets_apart(row, everyone) for row in table.to_dicts()]
    return table.with_columns(sets_apart=pl.Series(told, dtype=pl.String)).select(
        pl.col(c).cast(t) for c, t in PROFILES.items()
    )


def _events(members: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    columns = [USER, ITEM, *([RATING] if RATING in interactions.columns else [])]
    placed = members.with_columns(pl.col(USER).cast(pl.Categorical))
    return interactions.select(columns).with_columns(pl.col(USER).cast(pl.Categorical)).join(placed, on=USER)


def _habits(members: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return segment, size, share, events, events_per_user, rating_mean, rating_gap."""
    table = members.group_by(SEGMENT).agg(size=pl.len().cast(pl.Int64)).sort(SEGMENT)
    by_user = events.group_by(SEGMENT, USER).agg(events=pl.len().cast(pl.Int64))
    activity = by_user.group_by(SEGMENT).agg(events=pl.col("events").sum(), events_per_user=pl.col("events").median())
    rated = RATING in events.columns
    mean = pl.col(RATING).cast(pl.Float64).mean() if rated else pl.lit(None, pl.Float64)
    ratings = events.group_by(SEGMENT).agg(rating_mean=mean)
    everyone = events[RATING].cast(pl.Float64).mean() if rated else None
    table = table.join(activity, on=SEGMENT, how="left").join(ratings, on=SEGMENT, how="left").sort(SEGMENT)
    return table.with_columns(
        pl.col("events", "events_per_user").fill_null(0),
        share=pl.col(SIZE) / pl.col(SIZE).sum(),
        rating_gap=pl.col("rating_mean") - pl.lit(everyone, pl.Float64),
    ).with_columns(pl.col("rating_mean", "rating_gap").round(6))  # the last bits depend on the order of threads


def _label_contrasts(pairs: pl.DataFrame, labels: pl.DataFrame, totals: pl.DataFrame, *, more: int, less: int) -> Top:
    by = ["kind", "label"]
    labels = labels.with_columns(pl.col("kind", "label").cast(pl.Categorical))
    counts = pairs.join(labels, on=ITEM).group_by(SEGMENT, *by).agg(pl.col("count").sum())
    found = contrasts(counts, by, totals).with_columns(pl.col(by).cast(pl.String))
    return _top(found, ["label", "kind"], more=more, less=less)


def _distinct(top: Top) -> Top:
    """Leave out a word that hardly occurs outside a phrase that is there too: `harry`, beside `harry potter`."""
    kept: Top = {}
    for segment, found in top.items():
        phrases = [w for w in found if " " in w["label"]]
        kept[segment] = [w for w in found if not any(_within(w, phrase) for phrase in phrases)][:WORDS]
    return kept


def _within(word: dict[str, Any], phrase: dict[str, Any]) -> bool:
    inside = word["label"] in phrase["label"].split(" ")
    return inside and bool(phrase["share_in"] >= 0.7 * word["share_in"])


def _traits(members: pl.DataFrame, users: pl.DataFrame | None, sizes: pl.DataFrame) -> Top:
    columns = [] if users is None else [c for c in users.columns if c != USER and is_trait(users[c])]
    if users is None or not columns:
        return {}
    plain = users.select(pl.col(USER).cast(pl.String), *(pl.col(c).cast(pl.String) for c in columns))
    long = plain.unpivot(columns, index=USER, variable_name="kind", value_name="label").drop_nulls()
    counts = long.join(members, on=USER).group_by(SEGMENT, "kind", "label").agg(count=pl.len().cast(pl.Int64))
    found = contrasts(counts, ["kind", "label"], sizes)
    return _top(found, ["label", "kind"], more=TRAITS, less=LESS)


def is_trait(column: pl.Series) -> bool:
    """Return whether a column of the users' table groups users: words or whole numbers of few distinct values."""
    words_or_numbers = column.dtype in (pl.String, pl.Categorical, pl.Boolean) or column.dtype.is_integer()
    return words_or_numbers and 2 <= column.drop_nulls().n_unique() <= MOST_TRAITS


def _exemplars(pairs: pl.DataFrame, items: pl.DataFrame, totals: pl.DataFrame, sizes: pl.DataFrame) -> Top:
    """Order items by their share of events, which a busy segment does not inflate; tell their share of users."""
    found = contrasts(pairs, [ITEM], totals).drop("share_in", "share_out")
    shares = contrasts(pairs, [ITEM], sizes).drop("count", "contrast")
    found = found.filter(pl.col("contrast") >= TELLING).join(shares, on=[SEGMENT, ITEM])
    title = pl.col("title") if items.schema.get("title") == pl.String else pl.lit(None, pl.String).alias("title")
    found = found.join(items.select(ITEM, title), on=ITEM, how="left").with_columns(pl.col(ITEM).cast(pl.String))
    return _top(found, [ITEM, "title"], more=EXEMPLARS, less=0)


def _top(found: pl.DataFrame, names: list[str], *, more: int, less: int) -> Top:
    """Return each segment's most over-used labels, then its most under-used ones."""
    telling = found.filter(pl.col("contrast").abs() >= TELLING).sort(
        "contrast", *names, descending=[True, False, False]
    )
    place = pl.int_range(pl.len()).over(SEGMENT)
    above = telling.filter(pl.col("contrast") > 0).filter(place < more)
    below = telling.filter(pl.col("contrast") < 0).filter(place >= pl.len().over(SEGMENT) - less)
    top: Top = {}
    for label in pl.concat([above, below]).select(SEGMENT, *names, "share_in", "share_out", "contrast").to_dicts():
        top.setdefault(label.pop(SEGMENT), []).append(label)
    return top
