"""Every real data set reads with the call that the guide shows, and its counts are the known ones."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from shoal.data.dataset import EARLIER
from shoal.data.demo import demo_data
from shoal.data.read import read
from shoal.errors import ReadError

# name in the guide: rows in, rows kept, users, items with interactions, what is dropped
KNOWN: dict[str, tuple[int, int, int, int, dict[str, int]]] = {
    "ml_latest": (100_836, 100_836, 610, 9_724, {}),
    "ml_1m": (1_000_209, 1_000_209, 6_040, 3_706, {}),
    "goodbooks": (981_756, 979_478, 53_424, 10_000, {EARLIER: 2_278}),
    "lastfm": (92_834, 92_834, 1_892, 17_632, {}),
    "jester": (363_209, 363_209, 5_000, 100, {}),
    "zomato": (10_000, 9_842, 7_446, 100, {"rating is not a number": 1, "rating is empty": 38, EARLIER: 119}),
    "amazon": (5_050, 5_050, 1_381, 392, {}),
    "douban": (5_000, 4_642, 4_169, 110, {"rating is empty": 358}),
    "tweets": (14_640, 7_919, 7_701, 6, {EARLIER: 6_721}),
}
TEXTS = {"hotels": 7_766, "meals": 11_987, "shopping": 62_774}


def _calls(root: Path) -> dict[str, str]:
    """Return the guide's lines of the form ``name = call``, by name."""
    guide = (root / "docs" / "guides" / "reading.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL))
    return dict(re.findall(r"^(\w+) = (.+)$", blocks, re.MULTILINE))


@pytest.fixture(scope="module")
def call(root: Path, shared_data: Path):
    """Run one line of the guide in the folder of the real data; each is run once."""
    from shoal.data.texts import read_texts

    calls, done = _calls(root), {}

    def run(name: str) -> Any:
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(shared_data)
                done[name] = eval(calls[name], {"shoal": SimpleNamespace(read=read), "read_texts": read_texts})
        return done[name]

    return run


@pytest.mark.parametrize("name", KNOWN)
def test_a_data_set_reads_with_the_call_of_the_guide(call, name):
    rows_in, rows_kept, users, items, dropped = KNOWN[name]
    data = call(name)
    assert (data.report.rows_in, data.report.rows_kept, data.report.dropped) == (rows_in, rows_kept, dropped)
    assert data.interactions.height == rows_kept
    assert data.interactions["user_id"].n_unique() == users == data.users.height
    assert data.interactions["item_id"].n_unique() == items <= data.items.height
    assert data.report.notes[0].startswith("preset ")


@pytest.mark.parametrize("name", TEXTS)
def test_texts_without_users_read_with_the_call_of_the_guide(call, name):
    table = call(name)
    assert table.columns == ["text", "label"]
    assert table.height == TEXTS[name]
    assert set(table["label"]) == {"0", "1"}
    assert not table["text"].drop_nulls().str.contains("\ufeff", literal=True).any()


def test_the_guide_and_these_tests_know_the_same_data_sets(root):
    assert _calls(root).keys() - {"data"} == KNOWN.keys() | TEXTS.keys()


def test_movielens_1m_keeps_its_blank_times_and_says_its_codes_in_words(call):
    data = call("ml_1m")
    assert data.interactions["at"].null_count() == 512_559
    assert "512,559 of 1,000,209 events have no time" in data.report.notes
    assert data.items.height == 3_883
    films = dict(zip(data.items["item_id"], data.items["title"], strict=True))
    assert films["73"] == "Misérables, Les (1995)"  # latin-1 in the file
    assert data.items.row(0)[1:] == ("Toy Story (1995)", ["Animation", "Children's", "Comedy"])
    assert data.users.row(0) == ("1", "female", "under 18", "K-12 student")
    assert data.scale.levels == (1, 2, 3, 4, 5)


def test_goodbooks_joins_its_books_by_the_column_id(call):
    data = call("goodbooks")
    first = data.items.filter(pl.col("item_id") == "1").row(0, named=True)
    assert first["title"].startswith("The Hunger Games")
    assert first["authors"] == ["Suzanne Collins"]
    assert (first["year"], first["language_code"]) == (2008, "eng")
    assert data.items.height == 10_000


def test_lastfm_has_counts_and_the_names_of_artists(call):
    data = call("lastfm")
    assert data.feedback == "counts"
    assert data.interactions["weight"].max() == 352_698
    assert data.items["title"].null_count() == 0


def test_zomato_reads_both_of_its_time_formats_and_splits_its_cuisines(call):
    data = call("zomato")
    assert data.interactions["at"].null_count() == 0
    assert data.interactions["at"].dt.year().is_between(2016, 2019).all()
    assert data.items.height == 105
    first = data.items.row(0, named=True)
    assert first["cuisines"][:2] == ["Chinese", "Continental"]
    assert first["cost"] == 800


def test_zomato_as_it_is_names_the_rating_that_is_a_word(shared_data):
    with pytest.raises(ReadError, match=r"reviews\.csv, line 20473: rating 'Like' is not a number.*\(39 of 10,000\)"):
        read(shared_data / "zomato-hyderabad")


def test_reviews_and_tweets_keep_their_texts(call):
    assert call("amazon").interactions["text"][0].startswith("good. Not much to write about here")
    assert call("douban").interactions["text"].null_count() == 0
    tweets = call("tweets")
    assert (tweets.feedback, tweets.scale) == ("events", None)
    assert tweets.interactions["at"].dt.month().unique().to_list() == [2]


def test_jester_has_its_own_scale_and_whole_jokes(call):
    data = call("jester")
    assert (data.scale.low, data.scale.high, data.scale.levels) == (-10, 10, ())
    assert data.items["text"].null_count() == 0


def test_texts_without_users_are_refused_as_interactions(shared_data):
    with pytest.raises(ReadError, match=r"no column for user_id.*label, review.*--user-id.*read_texts"):
        read(shared_data / "chinese-sentiment" / "waimai_10k.csv")


def test_the_embedded_data_are_the_public_ones(call):
    assert demo_data().fingerprint() == call("ml_latest").fingerprint()


def test_the_embedded_data_read_alone_and_keep_undated_tags_away():
    data = demo_data()
    assert (data.name, data.report.rows_in, data.report.dropped) == ("ml-latest-small", 100_836, {})
    assert data.items.columns == ["item_id", "title", "genres"]
    assert data.items.height == 9_742
    assert data.items["genres"].null_count() == 34  # "(no genres listed)"
    assert data.scale.levels == tuple(i / 2 for i in range(1, 11))
    assert data.has_times
