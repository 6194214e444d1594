"""Names for segments from what sets them apart, all siblings in one go, no two alike.

    "Horror and Sci-Fi, older titles"    "1990s Comedy and Romance"    "Light users of Drama"

The subject comes from categories, else from words or items; the era from decades; habits tell apart what is left.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.segment.chinese import is_chinese, together
from shoal.segment.sentence import is_code, telling_items, telling_words, titles_are_names, worth_a_word
from shoal.segment.words import DECADE
from shoal.tables import SEGMENT, SIZE, UNASSIGNED

Row = Mapping[str, Any]

LONGEST = 40  # characters
NAMED_POINTS = 0.02  # a category in a name must be over-used by two hundredths of the segment's events
RARE_SHARE, BROAD_SHARE = 0.01, 0.1  # of events: what one of many authors may hold, and what a genre holds
SECOND = 0.25  # a label with less of the leading label's contrast is no second subject
SHARED = 0.5  # what a label's contrast is worth where a sibling uses it more
ERA_SHARE = 0.25  # a decade that holds so much of the events stands for itself
BUSY, QUIET = 1.6, 0.6  # against the median user
KIND, STRICT = 0.25, -0.25  # stars above and below everyone

HEAVY, LIGHT = "Heavy users", "Light users"
UNASSIGNED_NAME = "(unassigned)"


@dataclass(frozen=True)
class _Traits:
    """What a name can be made of, each most telling first; an empty string where there is nothing to say."""

    subjects: list[str]
    spare: list[str]
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
    taken : iterable of str
        Names that are not given, such as those of the last run.
    """

    def __init__(self, *, items: str = "titles", taken: Iterable[str] = ()) -> None:
        self.items = items
        self.taken = tuple(taken)

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
        taken = {_key(name) for name in (UNASSIGNED_NAME, *self.taken)}
        for segment in sorted(traits, key=lambda s: (-traits[s].strength, s)):
            names[segment] = next(c for c in _candidates(traits[segment], self.items) if _key(c) not in taken)
            taken.add(_key(names[segment]))
        return [names[row[SEGMENT]] for row in rows]


def _candidates(traits: _Traits, items: str) -> Iterator[str]:
    """Yield names of at most `LONGEST` characters, the plainest first, without end."""
    plain = _with_subject(traits) if traits.subjects else [_without_subject(traits, items)]
    yield from plain
    if traits.subjects and traits.activity:
        yield from _short(f"{traits.activity} of {traits.subjects[0]}")
    for habit in (traits.activity, traits.rating):
        yield from _short(f"{plain[0]}, {habit.lower()}" if habit and habit not in plain[0] else "")
    for spare in traits.spare:
        yield from _short(f"{plain[0]}, such as {spare}")
    for number in itertools.count(2):
        yield f"{_cut(plain[0], LONGEST - len(str(number)) - 3)} ({number})"


def _with_subject(traits: _Traits) -> list[str]:
    after = f", {traits.era}" if traits.era else ""
    names = []
    for subject in _pairs(traits.subjects):
        whole = _capital(f"{traits.decade} {subject}".strip())
        names += _short(whole + after)
        names += _short(whole) if after else []
    return names or [_cut(_capital(traits.subjects[0]))]


def _without_subject(traits: _Traits, items: str) -> str:
    era = f"{traits.decade} {items}" if traits.decade else _capital(traits.era)
    habits = traits.activity or traits.rating
    if traits.activity and traits.rating:
        habits = f"{'Frequent' if traits.activity == HEAVY else 'Occasional'}, {traits.rating.lower()}"
    parts = [era, habits.lower() if era else habits]
    return _cut(", ".join(part for part in parts if part) or "Much like everyone")


def _short(name: str) -> list[str]:
    return [name] if 0 < len(name) <= LONGEST else []


def _pairs(subjects: list[str]) -> list[str]:
    first, *others = subjects
    return [*(f"{first}{_and(first, other)}{other}" for other in others), first]


def _and(first: str, other: str) -> str:
    return "、" if is_chinese(first) and is_chinese(other) else " and "


def _traits(row: Row, siblings: list[dict[str, Any]], median: float, items: str) -> _Traits:
    categories = [c for c in row["categories"] if _common(c)]
    subjects = _ordered(categories, "categories", row, siblings)
    decade, era, era_contrast = _era(row, items)
    strength = max([c["contrast"] for c in row["categories"]] + [e["contrast"] for e in row["exemplars"]], default=0.0)
    leading = max((c["contrast"] for c in categories), default=0.0)
    if era_contrast < 0.5 * leading:
        decade = era = ""
    if not subjects:
        subjects = _names(row, siblings)
        if not subjects and not decade and not era and not _has_categories(siblings):
            subjects = _titles(row)
    if subjects and not any(c["label"] == subjects[0] and c["share_in"] >= BROAD_SHARE for c in categories):
        decade, era = "", era or (decade and f"{decade} {items}")  # "1990s Thriller", but "Stephen King, 1990s titles"
    ratio = row["events_per_user"] / median if median else 1.0
    gap = row["rating_gap"] or 0.0
    return _Traits(
        subjects=subjects,
        spare=[*_titles(row), *(_title(w["label"]) for w in telling_words(row))],
        decade=decade,
        era=era,
        activity=HEAVY if ratio >= BUSY else LIGHT if ratio <= QUIET else "",
        rating="Generous raters" if gap >= KIND else "Strict raters" if gap <= STRICT else "",
        strength=strength,
    )


def _common(label: Row) -> bool:
    """Return whether a category holds enough of the segment's events to stand for it."""
    points = label["share_in"] - (label["share_out"] or 0.0)
    return _is_category(label) and worth_a_word(label) and points >= NAMED_POINTS


def _rare(label: Row) -> bool:
    """Return whether a category is rare, as one of many authors is, and yet the segment's own."""
    return (
        _is_category(label) and label["share_in"] >= RARE_SHARE and label["share_in"] >= 2 * (label["share_out"] or 0)
    )


def _is_category(label: Row) -> bool:
    return label["kind"] != DECADE and not is_code(label)


def _has_categories(siblings: list[dict[str, Any]]) -> bool:
    return any(_is_category(label) for sibling in siblings for label in sibling["categories"])


def _ordered(labels: list[Row], column: str, row: Row, siblings: list[dict[str, Any]]) -> list[str]:
    """Order labels by contrast, those that a sibling uses more after the segment's own; leave out the weak."""
    most = {
        label["label"]: max(
            other["share_in"] for sibling in siblings for other in sibling[column] if other["label"] == label["label"]
        )
        for label in labels
    }

    def weight(label: Row) -> float:
        return float(label["contrast"]) * (1.0 if label["share_in"] >= most[label["label"]] else SHARED)

    kept: list[str] = []
    lead = max(map(weight, labels), default=0.0)
    for label in sorted(labels, key=lambda c: (-weight(c), c["label"])):
        if weight(label) >= SECOND * lead and not any(_overlap(label["label"], other) for other in kept):
            kept.append(label["label"])
    return kept[:4]


def _overlap(a: str, b: str) -> bool:
    """Return whether two labels share a word, as `indie` and `indie rock` do."""
    first, second = (set(re.findall(r"\w+", x.casefold())) for x in (a, b))
    return bool(first & second)


def _names(row: Row, siblings: list[dict[str, Any]]) -> list[str]:
    """Return rare categories, else titles that are short names, else phrases: the names of authors and series.

    Chinese words stand for themselves: two characters say what takes two words elsewhere.
    """
    if _has_categories(siblings):
        return _ordered([c for c in row["categories"] if _rare(c)], "categories", row, siblings)
    if titles_are_names(row):
        return _titles(row)
    phrases = [w for w in telling_words(row) if " " in w["label"] or is_chinese(w["label"])]
    return [_title(label) for label in _ordered(phrases, "words", row, siblings)]


def _titles(row: Row) -> list[str]:
    return [e["label"] for e in telling_items(row) if len(e["label"]) <= LONGEST][:4]


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
    return re.sub(r"(^|[\s.\-])(\w)", lambda found: found[1] + found[2].upper(), together(text))


def _cut(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else name[: longest - 1].rstrip(" ,") + "…"
