"""Certificates: verdicts in words, and what a planted world is certified with."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.certify import CERTIFICATE, SUMMARY, summary, verdict
from shoal.tables import SEGMENT


@pytest.mark.parametrize(
    ("stability", "lift", "bits", "words"),
    [
        (0.9, (0.2, 0.1), (0.01, 0.005), "holds"),
        (0.9, (0.2, -0.1), (0.01, 0.005), "holds"),
        (0.9, (-0.2, -0.3), (0.01, 0.005), "holds"),
        (0.75, (0.2, 0.1), (None, None), "holds"),
        (0.74, (0.2, 0.1), (None, None), "holds in part: its border moves with other users"),
        (0.49, (0.2, 0.1), (None, None), "fails: comes out otherwise with other users"),
        (0.9, (0.2, -0.1), (0.01, -0.005), "holds in part: held-out events do not decide whether it foretells more"),
        (0.9, (0, -0.1), (-0.1, -0.2), "fails: foretells no more than a random segment"),
        (0.9, (None, None), (None, None), "holds in part: too few held-out events to tell whether it foretells any"),
        (None, (0.2, 0.1), (0.1, 0.1), "holds"),
    ],
)
def test_a_verdict_says_what_speaks_against_a_segment(stability, lift, bits, words):
    assert verdict(stability, lift, bits).startswith(words)


def test_a_summary_takes_each_figure_from_its_row():
    rows = [
        ("segments", 4, "jaccard", "other users", 0.8, 0.7, 0.9, 30),
        ("segments", 4, "jaccard", "other events", 0.1, 0.1, 0.1, 30),
        ("segments", 4, "staying", "newer events", 0.6, 0.5, 0.7, 30),
        ("segments", 4, "lift ndcg@10", "random segments", 0.3, 0.2, 0.4, 20),
        ("segments", 4, "lift ndcg@10", "everyone", 9.0, 9.0, 9.0, 20),
        ("segments", None, "jaccard", "other users", 0.5, 0.5, 0.5, 60),
        ("subsegments", 9, "jaccard", "other users", 0.4, 0.3, 0.5, 10),
    ]
    made = summary(pl.DataFrame(rows, schema=CERTIFICATE, orient="row"), {9: 4}, {4: 0.55})
    assert made.columns == [SEGMENT, *SUMMARY]
    first, second = made.to_dicts()
    assert first == {
        SEGMENT: 4, "parent": None, "stability": 0.8, "persistence": 0.6, "lift": 0.3, "lift_low": 0.2,
        "lift_high": 0.4, "blind_score": 0.55, "verdict": "holds",
    }  # fmt: skip
    assert (second["parent"], second["lift"], second["blind_score"]) == (4, None, None)
    assert second["verdict"].startswith("fails: comes out otherwise")
