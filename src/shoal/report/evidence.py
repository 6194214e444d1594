"""The evidence: what speaks for a segment, in plain words with figures, and its verdict as a badge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from shoal.report.figures import NARROW, Scale, percent, whisker
from shoal.tables import SEGMENT

BADGES = {"holds in part": ("part", "Holds in part"), "holds": ("holds", "Holds"), "fails": ("fails", "Fails")}
STABLE = 0.75
"""From here on a segment counts as stable; Hennig 2007, as in `shoal.certify`."""
SHARES, LIFTS = Scale(0.0, 1.0, ()), Scale(-1.0, 1.5, ())
Rows = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class _Line:
    """A figure of the certificate: what it is called, what it says (HTML), and where it lies on a scale."""

    name: str
    words: str
    value: float
    low: float | None
    high: float | None
    on: Scale
    beside: float | None


def badge(verdict: str | None) -> str:
    """Return the verdict as a badge with the reason beside it; nothing without one."""
    told = small_badge(verdict)
    return f'<p class="verdict">{told}{_why(verdict)}</p>' if told else ""


def small_badge(verdict: str | None) -> str:
    """Return the verdict as a badge alone; nothing without one."""
    style, word = BADGES.get((verdict or "").partition(": ")[0], ("", ""))
    return f'<b class="badge {style}">{word}</b>' if word else ""


def reason(verdict: str | None) -> str:
    """Return the reason of a verdict alone; nothing without one."""
    why = _why(verdict)
    return f'<p class="verdict">{why}</p>' if why else ""


def _why(verdict: str | None) -> str:
    why = (verdict or "").partition(": ")[2]
    return f'<span class="why">{escape(why[:1].upper() + why[1:])}.</span>' if why else ""


def rule_line(row: Mapping[str, Any], inside: str = "") -> str:
    """Return the segment's rule with its recall and precision, or why there is none; nothing where none was looked for.

    Parameters
    ----------
    row : mapping
        With the columns of `shoal.segment.readable.READABLE`, or without.
    inside : str
        Where the users are whom alone the rule is asked of; empty: anywhere.
    """
    rule, why = row.get("rule"), row.get("rule_reason")
    if rule is None:
        return f'<p class="rule">{escape(why[:1].upper() + why[1:])}.</p>' if why else ""
    found, right = (_with_ends(row, f"rule_{one}") for one in ("recall", "precision"))
    those = f"those {inside}" if inside else "those"
    chance = "" if row["rule_share"] is None else f" (of {those} it was asked of: {percent(row['rule_share'])})"
    words = f"finds {found} of them; {right} of whom it finds belong{chance}"
    return f'<p class="rule">Roughly: <code>{escape(rule)}</code> \u2013 {words}.</p>'


def _with_ends(row: Mapping[str, Any], name: str) -> str:
    return percent(row[name]) + _between(row.get(f"{name}_low"), row.get(f"{name}_high"))


def evidence(row: Mapping[str, Any], certificate: pl.DataFrame) -> str:
    """Return what was measured of a segment or subsegment as a list; nothing where nothing was.

    Parameters
    ----------
    row : mapping
        The segment's row. Its figures without an interval stand in where the certificate has no row.
    certificate : DataFrame
        level, segment, measure, against, value, low, high; it may be empty.
    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in certificate.filter(pl.col(SEGMENT) == row[SEGMENT]).iter_rows(named=True):
        found[one["measure"], one["against"]] = one
    lines = [line for line in (_stable(row, found), _stays(row, found), _foretells(row, found), _named(row, found))]
    told = "".join(_line(line) for line in lines if line is not None)
    return f'<ul class="evidence">{told}</ul>' if told else ""


def _line(line: _Line) -> str:
    drawn = whisker(line.value, line.low, line.high, line.on, beside=line.beside)
    return f'<li><span class="plot">{drawn}</span><span class="words"><b>{line.name}</b> {line.words}</span></li>'


def _stable(row: Mapping[str, Any], found: Rows) -> _Line | None:
    value, low, high = _figure(found.get(("jaccard", "other users")), row.get("stability"))
    if value is None:
        return None
    words = f"<b>{percent(value)}</b> of its members come back when users are drawn anew{_between(low, high)}."
    return _Line("Stable:", words, value, low, high, SHARES, STABLE)


def _stays(row: Mapping[str, Any], found: Rows) -> _Line | None:
    value, low, high = _figure(found.get(("staying", "newer events")), row.get("persistence"))
    if value is None:
        return None
    return _Line(
        "Lasting:",
        f"<b>{percent(value)}</b> stay from older to newer events{_between(low, high)}.",
        value,
        low,
        high,
        SHARES,
        None,
    )


def _foretells(row: Mapping[str, Any], found: Rows) -> _Line | None:
    known = found.get(("lift ndcg@10", "random segments"))
    value, low, high = _figure(known, row.get("lift"))
    low, high = (row.get("lift_low"), row.get("lift_high")) if known is None else (low, high)
    if value is None:
        return None
    open_ = low is not None and high is not None and low <= 0 <= high
    between = f" ({_side(low)} to {_side(high)})" if open_ else _lengths(low, high)
    words = f"its popular items find <b>{_side(value)}</b>{between} than a random group's"
    words += "; that may be chance." if open_ else "."
    return _Line("Foretelling:", words, value, low, high, LIFTS, 0.0)


def _lengths(low: float | None, high: float | None) -> str:
    """Return the interval of a sure lift without its sign, the smaller end first."""
    return "" if low is None or high is None else _between(*sorted((abs(low), abs(high))))


def _side(lift: float | None) -> str:
    """Return ``25 % more`` for .25, ``18 % less`` for -.18."""
    return f"{percent(abs(lift or 0.0))} {'less' if (lift or 0.0) < 0 else 'more'}"


def _named(row: Mapping[str, Any], found: Rows) -> _Line | None:
    known = next((one for (measure, _), one in found.items() if measure == "blind score"), None)
    value, low, high = _figure(known, row.get("blind_score"))
    if value is None:
        return None
    chance = _chance(known["against"]) if known is not None else None
    words = f"<b>{percent(value)}</b> of held-out users are matched to its name{_between(low, high)}"
    words += f"; chance would match {percent(chance)}." if chance is not None else "."
    return _Line("Well named:", words, value, low, high, SHARES, chance)


def _chance(against: str) -> float | None:
    """Return .33 for ``chance 0.33``."""
    try:
        return float(against.rpartition(" ")[2])
    except ValueError:
        return None


def _figure(known: Mapping[str, Any] | None, else_: float | None) -> tuple[float | None, float | None, float | None]:
    if known is None or known["value"] is None:
        return else_, None, None
    return known["value"], known["low"], known["high"]


def _between(low: float | None, high: float | None) -> str:
    """Return `` (86 to 98 %)``; nothing without an interval."""
    if low is None or high is None:
        return ""
    ends = [f"{100 * end:.0f}".replace("-0", "0").replace("-", "\u2212") for end in (low, high)]
    return f" ({ends[0]} to {ends[1]}{NARROW}%)"
