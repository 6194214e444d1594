"""The words for shares."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.shares import BY_MODEL, SHARES, Shares


def words(**parts) -> str:
    above = {p: max(v, 0.0) for p, v in parts.items()}
    total = sum(above.values())
    rows = [("everybody", -3.0, None)]
    rows += [(p, v, above[p] / total if total else None) for p, v in parts.items()]
    return Shares(0.0, pl.DataFrame(rows, SHARES, orient="row"), pl.DataFrame(schema=BY_MODEL)).sentence()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"segment": 0.61, "you": 0.39, "text": 0.0}, "61 % segment, 39 % you"),
        ({"segment": 0.2, "you": 0.3, "text": -0.4}, "60 % you, 40 % segment; text against it"),
        ({"segment": 0.2, "you": 0.3, "text": -0.01}, "60 % you, 40 % segment"),
        (
            {"segment": -0.2, "you": -0.3, "text": 0.0},
            "nothing beyond what everybody likes; segment and you against it",
        ),
        ({"segment": 0.0, "you": 0.0, "text": 0.0}, "nothing beyond what everybody likes"),
    ],
)
def test_shares_are_told_largest_first_and_what_speaks_against_is_named(parts, told):
    assert words(**parts) == told
