"""What a language model is told of segments: figures of many people together, never of one, and no ids.

profiles, members, events --count users--> labels that at least k users carry --> a JSON object a segment

A figure about fewer than k users is left out, and so is a segment with fewer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from shoal.segment.chinese import together
from shoal.segment.name import median_activity
from shoal.segment.sentence import Row, is_code, telling_words
from shoal.segment.words import categories, words
from shoal.tables import ITEM, SEGMENT, SIZE, UNASSIGNED, USER

FEWEST_USERS = 20
"""A figure stands for at least so many users."""
DETAIL = (6, 4, 2, 1)
"""Labels of each kind that are told, from most to least, until the prompt fits the budget."""

SUPPORT = {
    SEGMENT: pl.Int32(),
    "kind": pl.String(),
    "label": pl.String(),
    "users_in": pl.Int64(),
    "users_out": pl.Int64(),
}
"""The columns of `support`."""


@dataclass(frozen=True)
class Told:
    """What is told of one segment.

    Attributes
    ----------
    segment : int
    facts : dict
        As JSON, for the prompt.
    labels : list of str
        Over-used categories, words and titles: what a name may be made of.
    categories : list of str
        The categories among them.
    under : list of str
        Under-used categories: what a name must not claim.
    activity : float
        Median events of its users over that of the median segment.
    rating_gap : float or None
        Stars above everyone.
    """

    segment: int
    facts: dict[str, Any]
    labels: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    under: list[str] = field(default_factory=list)
    activity: float = 1.0
    rating_gap: float | None = None


def support(
    profiles: pl.DataFrame, members: pl.DataFrame, interactions: pl.DataFrame, items: pl.DataFrame
) -> pl.DataFrame:
    """Count the users behind each category and word of the profiles, inside a segment and outside.

    Parameters
    ----------
    profiles : polars.DataFrame
        `shoal.segment.profile.PROFILES`.
    members, interactions, items : polars.DataFrame
        What the profiles were made from.

    Returns
    -------
    polars.DataFrame
        `SUPPORT`, a row for each category and word that a segment's profile holds.
    """
    asked = pl.concat(
        profiles.select(SEGMENT, pl.col(column))
        .explode(column)
        .drop_nulls()
        .unnest(column)
        .select(SEGMENT, "kind", "label")
        for column in ("categories", "words")
    ).unique()
    labels = pl.concat([categories(items), words(items)]).with_columns(pl.col(ITEM).cast(pl.String))
    labels = labels.join(asked.select("kind", "label").unique(), on=["kind", "label"])
    placed = members.select(pl.col(USER).cast(pl.String), pl.col(SEGMENT).cast(pl.Int32))
    events = interactions.select(pl.col(USER, ITEM).cast(pl.String)).unique().join(placed, on=USER)
    carried = events.join(labels, on=ITEM).select(USER, SEGMENT, "kind", "label").unique()
    inside = carried.group_by(SEGMENT, "kind", "label").agg(users_in=pl.len().cast(pl.Int64))
    everyone = carried.group_by("kind", "label").agg(everyone=pl.len().cast(pl.Int64))
    table = asked.join(inside, on=[SEGMENT, "kind", "label"], how="left").join(
        everyone, on=["kind", "label"], how="left"
    )
    table = table.with_columns(pl.col("users_in", "everyone").fill_null(0))
    table = table.with_columns(users_out=pl.col("everyone") - pl.col("users_in"))
    return table.select(pl.col(c).cast(t) for c, t in SUPPORT.items()).sort(SEGMENT, "kind", "label")


def told(
    profiles: pl.DataFrame, counts: pl.DataFrame, *, detail: int = DETAIL[0], fewest: int = FEWEST_USERS
) -> list[Told]:
    """Return what may be told of each segment, the unassigned and those with fewer than `fewest` users left out.

    Parameters
    ----------
    profiles : polars.DataFrame
        `shoal.segment.profile.PROFILES`.
    counts : polars.DataFrame
        `support` of them. A label without a row in it is not told.
    detail : int
        Labels of each kind at most.
    """
    known = {(s, kind, label): (inside, outside) for s, kind, label, inside, outside in counts.iter_rows()}
    rows = [row for row in profiles.to_dicts() if row[SEGMENT] != UNASSIGNED]
    everyone = sum(row[SIZE] for row in profiles.to_dicts())
    usual = median_activity(rows)
    return [_told(row, known, everyone, usual, detail, fewest) for row in rows if row[SIZE] >= fewest]


def _told(
    row: dict[str, Any],
    known: dict[tuple[int, str, str], tuple[int, int]],
    everyone: int,
    usual: float,
    detail: int,
    fewest: int,
) -> Told:
    def carried(label: Row) -> bool:
        return known.get((row[SEGMENT], label["kind"], label["label"]), (0, 0))[0] >= fewest

    def shared(label: Row) -> bool:
        return bool(label["share_in"] * row[SIZE] >= fewest - 0.5)

    def figures(label: Row, name: str, users_out: float) -> dict[str, Any]:
        outside = label["share_out"] if users_out >= fewest else None  # few people elsewhere are a small cell too
        return {"label": name, "in": _percent(label["share_in"])} | (
            {} if outside is None else {"elsewhere": _percent(outside)}
        )

    def by_events(label: Row) -> dict[str, Any]:
        outside = known[row[SEGMENT], label["kind"], label["label"]][1]
        return figures(label, _named(label), outside)

    over = [c for c in row["categories"] if c["contrast"] > 0 and carried(c)][:detail]
    under = [c for c in row["categories"] if c["contrast"] < 0 and carried(c)][:3]
    spoken = [w for w in telling_words(row) if carried(w)][:detail]
    others = everyone - row[SIZE]

    def by_users(label: Row, name: str) -> dict[str, Any]:
        return figures(label, name, (label["share_out"] or 0.0) * others + 0.5)

    shown = [e for e in row["exemplars"] if e["title"] and shared(e)][:detail]
    traits = [t for t in row["user_traits"] if t["contrast"] > 0 and shared(t)][: min(detail, 3)]
    activity = row["events_per_user"] / usual if usual else 1.0
    facts: dict[str, Any] = {
        "segment": row[SEGMENT],
        "users": row[SIZE],
        "categories": [by_events(c) for c in over],
        "words": [by_events(w) for w in spoken],
        "typical_items": [by_users(e, e["title"]) for e in shown],
        "uses_little": [by_events(c) for c in under],
        "user_traits": [by_users(t, f"{t['kind']}: {t['label']}") for t in traits],
        "events_per_user": f"{row['events_per_user']:.0f} ({activity:.1f} times the usual)",
    }
    if row["rating_gap"] is not None:
        facts["ratings"] = f"{row['rating_gap']:+.1f} stars against everyone"
    labels = [*(_named(x) for x in (*over, *spoken)), *(e["title"] for e in shown)]
    return Told(
        row[SEGMENT],
        {key: value for key, value in facts.items() if value != []},
        labels,
        [_named(c) for c in over],
        [_named(c) for c in under],
        activity,
        row["rating_gap"],
    )


def _named(label: Row) -> str:
    name = together(label["label"])
    return f"{label['kind']} {name}" if is_code(label) else name


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
