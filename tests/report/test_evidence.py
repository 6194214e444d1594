"""Certificates in plain words: figures with their intervals, and a badge for the verdict."""

from __future__ import annotations

import re

import polars as pl
import pytest
from more import certificate, full

from shoal.report.cards import segment_cards
from shoal.report.evidence import badge, evidence, reason, rule_line, small_badge

NONE = certificate([])


def words(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html).replace("\u202f", " ")


def test_each_figure_is_told_with_its_interval_and_what_it_has_to_beat() -> None:
    told = words(evidence({"segment": 3}, certificate([3])))
    assert "Stable: 92 % of its members come back when users are drawn anew (86 to 98 %)." in told
    assert "Lasting: 82 % stay from older to newer events (78 to 86 %)." in told
    assert "Foretelling: its popular items find 25 % more (3 to 48 %) than a random group's." in told
    assert "Well named: 70 % of held-out users are matched to its name (60 to 80 %); chance would match 33 %." in told


def test_less_than_a_random_group_is_said_without_a_sign_too_many() -> None:
    row = {"segment": 0, "lift": -0.18, "lift_low": -0.45, "lift_high": 0.09}
    assert "find 18 % less (45 % less to 9.0 % more) than a random group's; that may be chance." in words(
        evidence(row, NONE)
    )
    sure = row | {"lift_high": -0.02}
    assert "find 18 % less (2 to 45 %) than a random group's." in words(evidence(sure, NONE))


def test_figures_without_a_certificate_have_no_interval() -> None:
    told = words(evidence({"segment": 0, "stability": 0.5, "persistence": None, "blind_score": 0.4}, NONE))
    assert told == (
        "Stable: 50 % of its members come back when users are drawn anew."
        "Well named: 40 % of held-out users are matched to its name."
    )


def test_nothing_measured_gives_nothing() -> None:
    assert evidence({"segment": 0}, NONE) == ""
    assert badge(None) == badge("") == badge("helps") == reason("holds") == small_badge(None) == ""


@pytest.mark.parametrize(
    ("verdict", "style", "word", "why"),
    [
        ("holds", "holds", "Holds", ""),
        ("holds in part: its border moves", "part", "Holds in part", "Its border moves."),
        ("fails: foretells <no> more", "fails", "Fails", "Foretells &lt;no&gt; more."),
    ],
)
def test_a_verdict_is_a_badge_and_its_reason(verdict: str, style: str, word: str, why: str) -> None:
    assert f'class="badge {style}">{word}</b>' in badge(verdict)
    assert why in badge(verdict)


def cards(made) -> str:
    return segment_cards(
        made.segments,
        made.recommended,
        users=60,
        unassigned=0,
        subsegments=made.subsegments,
        certificate=made.certificate,
    )


def test_subsegments_are_inside_the_card_of_their_segment_and_nowhere_else() -> None:
    one, two = re.findall(r'<article class="card segment" id="segment-[12]".*?</article>', cards(full(300)), re.S)
    assert "Made of 3 subsegments" in one
    assert one.count('class="subsegment"') == 3
    assert "subsegment" not in two


def test_a_card_tells_the_rule_how_much_it_finds_and_how_often_it_is_right() -> None:
    row = {
        "rule": 'share("Sci-Fi & <b>") > 0.2', "rule_reason": None,
        "rule_recall": 0.71, "rule_recall_low": 0.66, "rule_recall_high": 0.75,
        "rule_precision": 0.64, "rule_precision_low": 0.59, "rule_precision_high": 0.68, "rule_share": 0.18,
    }  # fmt: skip
    html = rule_line(row)
    assert "<code>share(&quot;Sci-Fi &amp; &lt;b&gt;&quot;) &gt; 0.2</code>" in html
    told = words(html)
    assert told.startswith("Roughly: ")
    assert told.endswith(
        "finds 71 % (66 to 75 %) of them; 64 % (59 to 68 %) of whom it finds belong (of those it was asked of: 18 %)."
    )
    assert "(of those in this segment it was asked of: 18 %)" in words(rule_line(row, "in this segment"))
    plain = {name: value for name, value in row.items() if not name.endswith(("_low", "_high"))}
    assert "finds 71 % of them; 64 % of whom it finds belong" in words(rule_line(plain))


def test_cards_of_segments_and_of_subsegments_show_rules() -> None:
    one = re.findall(r'<article class="card segment" id="segment-1".*?</article>', cards(full(300)), re.S)[0]
    rules = [words(line) for line in re.findall(r'<p class="rule">.*?</p>', one)]
    assert rules[0].startswith("Roughly: (share(")
    assert rules[0].endswith("(of those it was asked of: 18 %).")
    assert rules[1] == "Too few users."
    assert rules[2].endswith("(of those in this segment it was asked of: 18 %).")
    assert len(rules) == 4


def test_a_card_says_why_there_is_no_rule_and_nothing_where_none_was_looked_for() -> None:
    assert words(rule_line({"rule": None, "rule_reason": "too few users: 3"})) == "Too few users: 3."
    assert rule_line({"rule": None, "rule_reason": None}) == ""
    assert rule_line({}) == ""


def test_a_run_of_before_has_cards_without_evidence() -> None:
    made = full(60)
    plain = segment_cards(
        made.segments.drop("stability", "persistence", "lift", "lift_low", "lift_high", "blind_score", "verdict"),
        made.recommended,
        users=60,
        unassigned=0,
    )
    assert "evidence" not in plain
    assert "badge" not in plain
    assert isinstance(made.segments, pl.DataFrame)
