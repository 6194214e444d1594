"""The scaling bench: its table says which stages grow faster than n log n."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from scale import exponents, lines


def world(events: int, **stages: float) -> dict:
    told = {"events": events, "users": events // 50, "items": 500, "stages": stages, "fit": sum(stages.values())}
    told |= {"fit, processor": 1.0, "asked": 1000, "recommend": 2.0, "recommend, processor": 1.0, "peak GB": 1.25}
    return told


def test_an_exponent_is_the_power_with_which_seconds_grow():
    worlds = [world(100), world(1000), world(100_000)]
    assert [round(e, 6) for e in exponents(worlds, [3.0, 30.0, 300_000.0])] == [1, 2]


def test_stages_that_grow_faster_than_n_log_n_are_marked_where_they_take_seconds():
    worlds = [world(100_000, even=2.0, square=2.0, short=0.001), world(1_000_000, even=20.0, square=200.0, short=0.1)]
    told = {line[:22].strip(): line for line in lines(worlds)}
    assert [name for name, line in told.items() if line.endswith("*")] == ["square", "fit, all of it"]
    assert told["even"].split()[1:] == ["2.0", "20.0", "1.00"]
    assert told["n log n"].split()[-1] == "1.08"
    assert told["users a second"].split()[3:] == ["500", "500"]


def test_lists_are_reckoned_for_all_users():
    worlds = [world(100_000), world(1_000_000)]
    told = {line[:22].strip(): line for line in lines(worlds)}
    assert told["lists for everybody"].split()[3:] == ["4.0", "40.0", "1.00"]
