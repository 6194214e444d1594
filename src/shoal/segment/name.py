"""Names for segments from what sets them apart, all siblings in one go, no two alike.

    "Horror and Sci-Fi, older titles"    "1990s Comedy and Romance"    "Light users of Drama"

The subject comes from categories, else from words or items; the era from decades; habits tell apart what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.segment.sentence import is_code, worth_a_word
from shoal.segment.words import DECADE
from shoal.tables import SEGMENT, SIZE, UNASSIGNED

Row = Mapping[str, Any]

LONGEST = 40  # characters
NAMED_POINTS = 0.02  # a category in a name must be over-used by two hundredths of the segment's events
SHARED = 0.5  # what a label's contrast is worth where a sibling uses it more
ERA_SHARE = 0.25  # a decade that holds so much of the events stands for itself
BUSY, QUIET = 1.6, 0.6  # against the median user
KIND, STRICT = 0.25, -0.25  # stars above and below everyone
SHORT_TITLE = 20  # titles of this length are names (of artists, say), longer ones are phrases

UNASSIGNED_NAME = "(unassigned)"


@dataclass(frozen=True)
class _Traits:
    """What a name can be made of, each most telling first; an empty string where there is nothing to say."""

    subjects: list[str]
    decade: str
    era: str
    activity: str
    rating: str
    strength: float


class ContrastNamer:
    """Names segments by their contrasts, without a language model. See `shoal.protocols.Namer`.

    Parameters
    ----------
    items : str
        What the items are called in a name, in the plural.
    """

    def __init__(self, *, items: str = "titles") -> None:
        self.items = items

    def name(self, profiles: pl.DataFrame) -> list[str]:
        """Return one name for each row of `shoal.segment.profile.PROFILES`, in order.

        No two names are alike, not even up to case or the order of their words; none is longer than 40 characters. The
        most distinctive segment is named first, so that it gets the plainest name. Same profiles, same names.
        """
        rows = profiles.to_dicts()
        named = [row for row in rows if row[SEGMENT] != UNASSIGNED]
        if len(named) == 1:
            return [UNASSIGNED_NAME if row[SEGMENT] == UNASSIGNED else "Everyone" for row in rows]
        median = _median_activity(named)
        traits = {row[SEGMENT]: _traits(row, named, median, self.items) for row in named}
        names = {UNASSIGNED: UNASSIGNED_NAME}
        taken = {_key(UNASSIGNED_NAME)}
        for segment in sorted(traits, key=lambda s: (-traits[s].strength, s)):
            names[segment] = next(c for c in _candidates(traits[segment], self.items) if _key(c) not in taken)
            taken.add(_key(names[segment]))
        return [names[row[SEGMENT]] for row in rows]


def _candidates(traits: _Traits, items: str) -> Iterator[str]:
    """Yield names, the plainest first, without end."""
    plain = [*_plain(traits, items)]
    yield from plain
    for habit in (traits.activity, traits.rating):
        if habit and traits.subjects:
            yield _fit(f"{habit} of {traits.subjects[0]}" if habit == traits.activity else "", [plain[0]], habit.lower())
    for subject in traits.subjects[2:]:
        yield _fit(f"{plain[0]}, {subject}", [plain[0]], "")
    number = 2
    while True:
        yield f"{_cut(plain[0], LONGEST - 5)} ({number})"
        number += 1


def _plain(traits: _Traits, items: str) -> list[str]:
    habits = _habits(traits)
    if not traits.subjects:
        era = f"{traits.decade} {items}" if traits.decade else _capital(traits.era)
        whole = ", ".join(part for part in (era, habits.lower() if era else habits) if part)
        return [_cut(part) for part in (era, whole) if part] or ["Much like everyone"]
    after = f", {traits.era}" if traits.era else ""
    names = []
    for subject in _pairs(traits.subjects):
        whole = _capital(f"{traits.decade} {subject}".strip())
        names += [name for name in (whole + after, whole) if len(name) <= LONGEST]
    return names or [_cut(_capital(traits.subjects[0]))]


def _pairs(subjects: list[str]) -> list[str]:
    first, *others = subjects
    return [*(f"{first} and {other}" for other in others), first]


def _fit(wanted: str, bases: Sequence[str], habit: str) -> str:
    for name in (wanted, *(f"{base}, {habit}" for base in bases if habit)):
        if name and len(name) <= LONGEST:
            return name
    return _cut(wanted or bases[0])


def _habits(traits: _Traits) -> str:
    if traits.activity and traits.rating:
        return f"{'Frequent' if traits.activity == 'Heavy users' else 'Occasional'}, {traits.rating.lower()}"
    return traits.activity or traits.rating


def _traits(row: Row, siblings: list[dict[str, Any]], median: float, items: str) -> _Traits:
    categories = [c for c in row["categories"] if _nameable(c) and c["kind"] != DECADE]
    subjects = _ordered(categories, "categories", row, siblings)
    decade, era, era_contrast = _era(row, items)
    strength = max([c["contrast"] for c in row["categories"]] + [e["contrast"] for e in row["exemplars"]], default=0.0)
    leading = max((c["contrast"] for c in categories), default=0.0)
    if not subjects:
        subjects = _items_and_words(row, siblings)
    if era_contrast < 0.5 * leading:
        decade = era = ""
    ratio = row["events_per_user"] / median if median else 1.0
    gap = row["rating_gap"] or 0.0
    return _Traits(
        subjects=subjects,
        decade=decade,
        era=era,
        activity="Heavy users" if ratio >= BUSY else "Light users" if ratio <= QUIET else "",
        rating="Generous raters" if gap >= KIND else "Strict raters" if gap <= STRICT else "",
        strength=strength,
    )


def _nameable(label: Row) -> bool:
    return worth_a_word(label) and label["share_in"] - (label["share_out"] or 0.0) >= NAMED_POINTS and not is_code(label)


def _ordered(labels: list[Row], column: str, row: Row, siblings: list[dict[str, Any]]) -> list[str]:
    """Order labels by contrast, those that a sibling uses more after those that are this segment's own."""
    most = {
        label["label"]: max(
            other["share_in"] for sibling in siblings for other in sibling[column] if other["label"] == label["label"]
        )
        for label in labels
    }
    ranked = sorted(
        labels,
        key=lambda c: (-c["contrast"] * (1.0 if c["share_in"] >= most[c["label"]] else SHARED), c["label"]),
    )
    kept: list[str] = []
    for label in ranked:
        if not any(_overlap(label["label"], other) for other in kept):
            kept.append(label["label"])
    return kept[:4]


def _overlap(a: str, b: str) -> bool:
    """Return whether one label says part of the other, as `indie` and `indie rock` do."""
    first, second = (set(re.findall(r"\w+", x.casefold())) for x in (a, b))
    return bool(first and second and (first <= second or second <= first))


def _items_and_words(row: Row, siblings: list[dict[str, Any]]) -> list[str]:
    """Return titles where they are short names, phrases where there are any, else titles or ids."""
    titles = [e["title"] or e["item_id"] for e in row["exemplars"] if worth_a_word(e)]
    short = bool(titles) and float(np.median([len(t) for t in titles])) <= SHORT_TITLE
    words = [w for w in row["words"] if w["share_in"] >= 1.5 * (w["share_out"] or 0.0) and w["share_in"] >= 0.005]
    if words and not short:
        phrases = _ordered([w for w in words if " " in w["label"]], "words", row, siblings)
        return [_title(w) for w in phrases or _ordered(words, "words", row, siblings)]
    return [t for t in titles if len(t) <= LONGEST][:4]


def _era(row: Row, items: str) -> tuple[str, str, float]:
    """Return a decade or, where several stand together, "older titles" or "newer titles"; and its contrast."""
    decades = [c for c in row["categories"] if c["kind"] == DECADE]
    over = [c for c in decades if c["contrast"] > 0 and worth_a_word(c) and c["share_in"] >= NAMED_POINTS]
    under = [c["label"] for c in decades if c["contrast"] < 0]
    if not over:
        return "", "", 0.0
    top = over[0]
    labels = [c["label"] for c in over]
    if len(over) > 1 and top["share_in"] < ERA_SHARE and under:
        if max(labels) < min(under):
            return "", f"older {items}", top["contrast"]
        if min(labels) > max(under):
            return "", f"newer {items}", top["contrast"]
    return top["label"], "", top["contrast"]


def _median_activity(rows: list[dict[str, Any]]) -> float:
    """Return the median of segments' medians, weighted by their sizes: near everyone's median, and in the table."""
    order = sorted(rows, key=lambda row: row["events_per_user"])
    half = np.searchsorted(np.cumsum([row[SIZE] for row in order]), sum(row[SIZE] for row in order) / 2)
    return float(order[min(int(half), len(order) - 1)]["events_per_user"]) if order else 0.0


def _key(name: str) -> tuple[str, ...]:
    return tuple(sorted(set(re.findall(r"\w+", name.casefold())) - {"and", "of"}))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(text: str) -> str:
    """Capitalise each word, and each letter of initials: `j.k. rowling` becomes `J.K. Rowling`."""
    return re.sub(r"(^|[\s.\-])(\w)", lambda found: found[1] + found[2].upper(), text)


def _cut(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else name[: longest - 1].rstrip(" ,") + "…"
