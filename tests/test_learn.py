"""What counts as a hit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shoal.config import Config
from shoal.data.synthetic import planted_world
from shoal.learn import relevance
from shoal.tables import RATING

DATA, _ = planted_world(users=6, items=8, segments=2, events_per_user=3, seed=0)


def test_a_hit_is_rated_seven_tenths_up_the_scale_or_better():
    assert relevance(DATA, Config()) == pytest.approx(1 + 0.7 * 4)


@pytest.mark.parametrize("wanted", [0.0, -3.0, 5.0])
def test_a_hit_is_what_the_settings_say_zero_included(wanted):
    assert relevance(DATA, Config(recommend={"relevant_from": wanted})) == wanted


def test_where_nobody_rated_every_event_is_a_hit():
    counts = replace(DATA.with_interactions(DATA.interactions.drop(RATING)), scale=None)
    assert relevance(counts, Config(recommend={"relevant_from": 4.0})) is None
