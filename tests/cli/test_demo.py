"""What the demo says of three users, against a double."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl

from shoal.cli.demo import because
from shoal.report.contents import typical_users


def a_run(effects: list[float]) -> SimpleNamespace:
    items = pl.DataFrame(
        {"item_id": pl.Series(["1", "2", "3"], dtype=pl.Categorical), "title": ["Heat", "Laura", "Alien"]}
    )
    why = pl.DataFrame({"item_id": ["1", "2", "3"], "effect": effects})
    return SimpleNamespace(data=SimpleNamespace(items=items), explain=lambda user, item: why)


def test_the_strongest_events_that_carry_a_recommendation_are_named() -> None:
    assert because(a_run([0.1, 0.3, 0.2]), "u", "9") == ", because of Laura; Alien"


def test_events_that_speak_against_an_item_are_no_reason_for_it() -> None:
    assert because(a_run([-0.1, -0.3, 0.2]), "u", "9") == ", because of Alien"
    assert because(a_run([-0.1, -0.3, 0.0]), "u", "9") == ""


def test_typical_users_are_the_most_typical_ones_of_the_largest_segments() -> None:
    run = SimpleNamespace(
        segments=pl.DataFrame({"segment": [0, 1, 2, 3, -1], "size": [2, 9, 5, 7, 99]}),
        members=pl.DataFrame(
            {
                "user_id": ["a", "b", "c", "d", "e", "f"],
                "segment": [1, 1, 3, 2, 0, -1],
                "strength": [0.2, 0.9, 0.5, 0.4, 0.8, None],
            }
        ),
    )
    assert typical_users(run) == ["b", "c", "d"]
