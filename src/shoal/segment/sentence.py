"""One plain sentence with figures about what sets a segment apart."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from shoal.segment.chinese import letters, together
from shoal.segment.words import DECADE
from shoal.tables import SEGMENT, UNASSIGNED

Row = Mapping[str, Any]

RATIO, POINTS = 1.15, 0.01  # a share that is worth a word: by so much larger, and by so many hundredths
RATING_GAP = 0.1  # stars
SHORT_TITLE = 20  # titles of this length are names (of artists, say), longer ones are phrases
BUSY, QUIET = 1.5, 0.67  # against everyone's median of events


def sets_apart(profile: Row, everyone: float) -> str:
    """Say what sets a segment apart, such as "Horror 31 % of events (9 % elsewhere), Thriller 40 % (25 %)".

    Parameters
    ----------
    profile : mapping
        A row of `shoal.segment.profile.PROFILES`.
    everyone : float
        Median of events of all users.
    """
    if profile[SEGMENT] == UNASSIGNED:
        return f"too few events to be placed (median {profile['events_per_user']:.0f})"
    told = _shares(_labels(profile), "of events") or _shares(_items(profile), "of users")
    parts = [told, _little(profile), *habits(profile, everyone)]
    return "; ".join(part for part in parts if part) or "much like everyone"


def worth_a_word(label: Row) -> bool:
    """Return whether a label is over-used enough to be spoken of."""
    outside = label["share_out"] or 0.0
    return bool(label["share_in"] >= RATIO * outside and label["share_in"] - outside >= POINTS)


def habits(profile: Row, everyone: float) -> list[str]:
    """Return what is odd about how much, and how kindly, a segment's users rate."""
    parts = []
    gap = profile["rating_gap"]
    if gap is not None and abs(gap) >= RATING_GAP:
        parts.append(f"rates {abs(gap):.1f} {'above' if gap > 0 else 'below'} everyone")
    events = profile["events_per_user"]
    if everyone and not QUIET < events / everyone < BUSY:
        parts.append(f"{events:.0f} events a user ({everyone:.0f} for everyone)")
    return parts


def telling_words(profile: Row) -> list[Row]:
    """Return the words of a profile that are worth a name, phrases first: they tend to be names themselves."""
    words = [w for w in profile["words"] if w["share_in"] >= 1.5 * (w["share_out"] or 0.0) and w["share_in"] >= 0.005]
    return sorted(words, key=lambda w: " " not in w["label"])


def telling_items(profile: Row) -> list[Row]:
    """Return the exemplars that clearly more of the segment's users have, with the title, or else the id, as label."""
    return [{**e, "label": e["title"] or f"item {e['item_id']}"} for e in profile["exemplars"] if worth_a_word(e)]


def titles_are_names(profile: Row) -> bool:
    """Return whether titles are short, like names of artists; their words alone would say less. Not without titles."""
    lengths = [letters(e["title"]) for e in telling_items(profile) if e["title"]]
    return bool(lengths) and statistics.median(lengths) <= SHORT_TITLE


def _labels(profile: Row) -> list[Row]:
    """Choose the three most over-used categories, at most two of them decades, and words where there is no more."""
    over = [c for c in profile["categories"] if worth_a_word(c)]
    decades = [c for c in over if c["kind"] == DECADE][:2]
    chosen = [c for c in over if (c["kind"] != DECADE and not is_code(c)) or c in decades][:3]
    if len(chosen) == len(decades) and not titles_are_names(profile):
        chosen += [{**w, "label": f'"{together(w["label"])}"'} for w in telling_words(profile)][: 3 - len(chosen)]
    return chosen or [c for c in over if is_code(c)][:3]


def _items(profile: Row) -> list[Row]:
    return telling_items(profile)[:3]


def _little(profile: Row) -> str:
    under = [c for c in profile["categories"] if c["contrast"] < 0 and c["kind"] != DECADE and not is_code(c)]
    clear = [c for c in under if c["share_out"] >= RATIO * c["share_in"] and c["share_out"] - c["share_in"] >= 0.03]
    return f"little {_figures(clear[0], '')}" if clear else ""


def _shares(labels: Iterable[Row], of: str) -> str:
    return ", ".join(_figures(label, of if i == 0 else "") for i, label in enumerate(labels))


def _figures(label: Row, of: str) -> str:
    inside, outside = percent(label["share_in"]), percent(label["share_out"])
    name = f"{label['kind']} {label['label']}" if is_code(label) else label["label"]
    return f"{name} {inside} {of} ({outside} elsewhere)" if of else f"{name} {inside} ({outside})"


def is_code(label: Row) -> bool:
    """Return whether a label needs its column beside it to be understood, such as language `eng`."""
    return bool(re.search("lang|code|country|currency", label.get("kind") or ""))


def percent(share: float | None) -> str:
    """Write a share as "31 %", one below 10 % with a decimal: "0.4 %", and next to nothing as "<0.1 %"."""
    share = share or 0.0
    if share < 0.0005:
        return "<0.1 %" if share > 0 else "0 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
