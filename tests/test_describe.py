"""What held-out events say of a segment, in words."""

from __future__ import annotations

import pytest

from shoal.describe import NO_BASE, SERVED, served_words
from shoal.recommend.by_segment import Verdict

QUALITY = {"segment": 1, "users": 90, "local": 0.12, "everyone": 0.1}
GAIN = {"popular_gain": 0.25, "popular_low": 0.121, "popular_high": 0.4}


def test_a_gain_over_everyones_popular_items_is_told_in_per_cent_with_its_interval():
    told = served_words(Verdict(**QUALITY, low=0.01, high=0.03, **GAIN), 1)
    assert list(told) == list(SERVED)
    assert told["gain"] == "+25 % (12 to 40)"
    assert told["served"] == "its own model serves it: +0.0200 ndcg@10 (+0.0100 to +0.0300)"


def test_no_multiple_of_next_to_nothing_is_told():
    told = served_words(Verdict(**QUALITY, low=-0.01, high=0.03, **dict.fromkeys(GAIN)), 1)
    assert told["gain"] == NO_BASE
    assert told["served"].startswith("everyone's model serves it; an own one: +0.0200")


@pytest.mark.parametrize(("segment", "why"), [(-1, "everyone's models serve it"), (3, "too few users to compare")])
def test_a_segment_that_was_not_compared_says_why(segment, why):
    told = served_words(None, segment)
    assert told["gain"] == ""
    assert told["served"].endswith(why)
