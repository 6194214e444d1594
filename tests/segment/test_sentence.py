"""The sentence about a segment: which figures, in which words."""

from __future__ import annotations

import pytest

from shoal.segment.sentence import percent, sets_apart

BARE = {
    "segment": 0,
    "events_per_user": 20.0,
    "rating_gap": None,
    "categories": [],
    "words": [],
    "exemplars": [],
}


def label(name: str, inside: float, outside: float | None, kind: str = "genres") -> dict:
    contrast = 10.0 if inside > (outside or 0) else -10.0
    return {"label": name, "kind": kind, "share_in": inside, "share_out": outside, "contrast": contrast}


def item(title: str | None, inside: float, outside: float) -> dict:
    return {"item_id": "7", "title": title, "share_in": inside, "share_out": outside, "contrast": 10.0}


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        (
            {"categories": [label("Horror", 0.31, 0.09), label("Thriller", 0.4, 0.25)], "rating_gap": -0.42},
            "Horror 31 % of events (9.0 % elsewhere), Thriller 40 % (25 %); rates 0.4 below everyone",
        ),
        ({"categories": [label("Drama", 0.31, 0.30)]}, "much like everyone"),
        (
            {"categories": [label("Drama", 0.5, 0.3), label("War", 0.02, 0.12)]},
            "Drama 50 % of events (30 % elsewhere); little War 2.0 % (12 %)",
        ),
        (
            {"categories": [label(d, 0.3, 0.1, "decade") for d in ("1990s", "1980s", "1970s")]},
            "1990s 30 % of events (10 % elsewhere), 1980s 30 % (10 %)",
        ),
        (
            {"words": [label("king", 0.02, 0.01, "title"), label("stephen king", 0.02, 0.0, "title")]},
            '"stephen king" 2.0 % of events (0 % elsewhere), "king" 2.0 % (1.0 %)',
        ),
        ({"exemplars": [item("Björk", 0.5, 0.0001)]}, "Björk 50 % of users (<0.1 % elsewhere)"),
        ({"exemplars": [item(None, 0.5, 0.1)]}, "item 7 50 % of users (10 % elsewhere)"),
        (
            {"categories": [label("eng", 0.9, 0.6, "language_code")]},
            "language_code eng 90 % of events (60 % elsewhere)",
        ),
        ({"events_per_user": 60.0}, "60 events a user (20 for everyone)"),
        ({"rating_gap": 0.3}, "rates 0.3 above everyone"),
        ({"segment": -1, "events_per_user": 2.0}, "too few events to be placed (median 2)"),
        ({}, "much like everyone"),
    ],
)
def test_a_profile_is_told_in_these_words(profile, sentence):
    assert sets_apart(BARE | profile, 20.0) == sentence


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.312, "31 %"), (0.0999, "10 %"), (0.094, "9.4 %"), (0.0001, "<0.1 %"), (0, "0 %"), (None, "0 %")],
)
def test_shares_are_written_with_as_many_digits_as_help(share, text):
    assert percent(share) == text
