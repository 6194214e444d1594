"""Names for segments from what sets them apart, all siblings in one go, no two alike.

    "Horror and Sci-Fi, older titles"    "1990s Comedy and Romance"    "Light users of Drama"

The subject comes from categories, else from words or items; the era from decades; habits tell apart what is left.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
SPARE_SHARE = 0.004  # what an author may hold who only tells two names apart
RARE_CONTRAST = 5.0  # a rare label must be clearly the segment's own
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

    def name(self, profiles: pl.DataFrame, *, keep: Mapping[int, str] | None = None) -> list[str]:
        """Return one name for each row of `shoal.segment.profile.PROFILES`, in order.

        No two names are alike, not even up to case or the order of their words; none is longer than 40 characters. The
        most distinctive segment is named first, so that it gets the plainest name. Same profiles, same names.

        Parameters
        ----------
        profiles : polars.DataFrame
        keep : mapping of int to str, optional
            Names, by segment, that stay as they are; the others differ from them.
        """
        rows = profiles.to_dicts()
        named = [row for row in rows if row[SEGMENT] != UNASSIGNED]
        keep = keep or {}
        say = partial(_in_chinese, items=self.items) if _mostly_chinese(named) else str
        if len(named) == 1 and not keep:
            return [UNASSIGNED_NAME if row[SEGMENT] == UNASSIGNED else say("Everyone") for row in rows]
        median = median_activity(named)
        traits = {row[SEGMENT]: _traits(row, named, median, self.items) for row in named}
        names = {UNASSIGNED: UNASSIGNED_NAME, **keep}
        taken = {key(name) for name in (*names.values(), *self.taken)}
        spoken = {_subjects(name, self.items) for name in names.values()}
        for segment in sorted(traits.keys() - names.keys(), key=lambda s: (-traits[s].strength, s)):
            plain = map(say, _with_subject(traits[segment]) if traits[segment].subjects else [])
            fresh = (c for c in plain if _subjects(c, self.items) not in spoken and key(c) not in taken)
            every = (c for c in map(say, _candidates(traits[segment], self.items)) if key(c) not in taken)
            names[segment] = next(itertools.chain(fresh, every))
            taken.add(key(names[segment]))
            spoken.add(_subjects(names[segment], self.items))
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
    both = traits.activity and traits.rating
    often = f"{'Frequent' if traits.activity == HEAVY else 'Occasional'}, {traits.rating.lower()}" if both else ""
    for habits in (often, traits.rating, traits.activity):
        name = ", ".join(part for part in (era, habits.lower() if era else habits) if part)
        if habits and len(name) <= LONGEST:
            return name
    return _cut(era or "Much like everyone")


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
    decade, era, era_contrast = _era(row, siblings, items)
    strength = max([c["contrast"] for c in row["categories"]] + [e["contrast"] for e in row["exemplars"]], default=0.0)
    leading = max((c["contrast"] for c in categories), default=0.0)
    if era_contrast < 0.5 * leading:
        decade = era = ""
    if not subjects:
        subjects = _names(row, siblings, era or decade)
        if not subjects and not decade and not era and not _has_categories(siblings):
            subjects = _titles(row)
    if subjects and not any(c["label"] == subjects[0] and c["share_in"] >= BROAD_SHARE for c in categories):
        decade, era = "", era or (decade and f"{decade} {items}")  # "1990s Thriller", but "Stephen King, 1990s titles"
    ratio = row["events_per_user"] / median if median else 1.0
    gap = row["rating_gap"] or 0.0
    return _Traits(
        subjects=subjects,
        spare=[
            *(c["label"] for c in row["categories"] if _rare(c, SPARE_SHARE) and c["label"] not in subjects),
            *_titles(row),
            *(_title(w["label"]) for w in telling_words(row)),
        ],
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


def _rare(label: Row, share: float = RARE_SHARE) -> bool:
    """Return whether a category is rare, as one of many authors is, and yet the segment's own."""
    own = label["share_in"] >= 2 * (label["share_out"] or 0) and label["contrast"] >= RARE_CONTRAST
    return bool(own and _is_category(label) and label["share_in"] >= share)


def _is_category(label: Row) -> bool:
    return label["kind"] != DECADE and not is_code(label)


def _has_categories(siblings: list[dict[str, Any]]) -> bool:
    return any(_is_category(label) for sibling in siblings for label in sibling["categories"])


def _has_genres(siblings: list[dict[str, Any]]) -> bool:
    """Return whether some category holds so much that the lack of one says something, as it does not of authors."""
    labels = (label for sibling in siblings for label in sibling["categories"] if _is_category(label))
    return any(max(label["share_in"], label["share_out"] or 0.0) >= BROAD_SHARE for label in labels)


def _ordered(labels: list[Row], column: str, row: Row, siblings: list[dict[str, Any]]) -> list[str]:
    """Order labels by contrast, those that a sibling uses more after the segment's own; leave out the weak."""
    most = _most(labels, column, siblings)
    kept: list[str] = []
    lead = max((_weight(label, most) for label in labels), default=0.0)
    for label in sorted(labels, key=lambda c: (-_weight(c, most), c["label"])):
        if _weight(label, most) >= SECOND * lead and not any(_overlap(label["label"], other) for other in kept):
            kept.append(label["label"])
    return kept[:4]


def _most(labels: list[Row], column: str, siblings: list[dict[str, Any]]) -> dict[str, float]:
    """Return the largest share that each label has in any segment."""
    return {
        label["label"]: max(
            other["share_in"] for sibling in siblings for other in sibling[column] if other["label"] == label["label"]
        )
        for label in labels
    }


def _weight(label: Row, most: Mapping[str, float]) -> float:
    return float(label["contrast"]) * (1.0 if label["share_in"] >= most[label["label"]] else SHARED)


def _overlap(a: str, b: str) -> bool:
    """Return whether two labels share a word, as `indie` and `indie rock` do."""
    first, second = (set(re.findall(r"\w+", x.casefold())) for x in (a, b))
    return bool(first & second)


def _names(row: Row, siblings: list[dict[str, Any]], era: str) -> list[str]:
    """Return rare categories, else titles that are short names, else phrases: the names of authors and series.

    Chinese words stand for themselves: two characters say what takes two words elsewhere.
    """
    rare = _ordered([c for c in row["categories"] if _rare(c)], "categories", row, siblings)
    if rare or (era and _has_categories(siblings)) or _has_genres(siblings):  # an era says more than what follows
        return rare
    if titles_are_names(row):
        return _titles(row)
    phrases = [w for w in telling_words(row) if " " in w["label"] or is_chinese(w["label"])]
    return [_title(label) for label in _ordered(phrases, "words", row, siblings)]


def _titles(row: Row) -> list[str]:
    return [e["label"] for e in telling_items(row) if len(e["label"]) <= LONGEST][:4]


def _era(row: Row, siblings: list[dict[str, Any]], items: str) -> tuple[str, str, float]:
    """Return a decade or, where several stand together, "older titles" or "newer titles"; and its contrast."""
    decades = [c for c in row["categories"] if c["kind"] == DECADE]
    over = [c for c in decades if c["contrast"] > 0 and worth_a_word(c) and c["share_in"] >= NAMED_POINTS]
    under = [c["label"] for c in decades if c["contrast"] < 0]
    if not over:
        return "", "", 0.0
    most = _most(over, "categories", siblings)
    top = max(over, key=lambda c: (_weight(c, most), c["label"]))
    labels = [c["label"] for c in over]
    if len(over) > 1 and top["share_in"] < ERA_SHARE and under:
        if max(labels) < min(under):
            return "", f"older {items}", _weight(top, most)
        if min(labels) > max(under):
            return "", f"newer {items}", _weight(top, most)
    return top["label"], "", _weight(top, most)


def median_activity(rows: list[dict[str, Any]]) -> float:
    """Return the median of segments' medians, weighted by their sizes: near everyone's median, and in the table."""
    order = sorted(rows, key=lambda row: row["events_per_user"])
    half = np.searchsorted(np.cumsum([row[SIZE] for row in order]), sum(row[SIZE] for row in order) / 2)
    return float(order[min(int(half), len(order) - 1)]["events_per_user"]) if order else 0.0


def key(name: str) -> tuple[str, ...]:
    """Return what two names share that are alike: their words, up to case, order, "and" and "of"."""
    return tuple(sorted(set(re.findall(r"\w+", name.casefold())) - {"and", "of"}))


def _mostly_chinese(rows: list[dict[str, Any]]) -> bool:
    labels = [w["label"] for row in rows for w in (*row["words"], *row["categories"]) if w["kind"] != DECADE]
    labels += [e["title"] for row in rows for e in row["exemplars"] if e["title"]]
    return sum(map(is_chinese, labels)) > len(labels) / 2


CHINESE = {
    "heavy users": "活跃用户",
    "light users": "轻度用户",
    "frequent": "活跃",
    "occasional": "轻度",
    "generous raters": "评分宽容",
    "strict raters": "评分严格",
    "such as ": "如",
    "much like everyone": "与大家相近",
    "everyone": "全体用户",
}


def _in_chinese(name: str, items: str) -> str:
    """Write a name made of Chinese labels in Chinese: "风格, 1980s titles" becomes "风格，1980年代"."""
    name = re.sub(r"^(heavy|light) users of (.+)$", r"\2, \1 users", name, flags=re.IGNORECASE)
    name = re.sub(rf"(\d{{4}})s(?: {re.escape(items)})?", r"\1年代", name)
    name = re.sub(rf"older {re.escape(items)}", "较早作品", name, flags=re.IGNORECASE)
    name = re.sub(rf"newer {re.escape(items)}", "较新作品", name, flags=re.IGNORECASE)
    for words, chinese in CHINESE.items():
        name = re.sub(words, chinese, name, flags=re.IGNORECASE)
    return re.sub(r"年代 ", "年代", name.replace(", ", "，"))


def _subjects(name: str, items: str) -> tuple[str, ...]:
    """Return the words of a name that are left without its era."""
    era = {"older", "newer", "较早作品", "较新作品", *re.findall(r"\w+", items.casefold())}
    return tuple(word for word in key(name) if word not in era and not re.fullmatch(r"\d{4}(s|年代)", word))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(text: str) -> str:
    """Capitalise each word, and each letter of initials: `j.k. rowling` becomes `J.K. Rowling`."""
    return re.sub(r"(^|[\s.\-])(\w)", lambda found: found[1] + found[2].upper(), together(text))


def _cut(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else name[: longest - 1].rstrip(" ,") + "…"
