"""Names: what they are made of, that no two are alike, and how they look on real data."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.read import read
from shoal.data.synthetic import TOPICS, planted_world
from shoal.segment.name import LONGEST, ContrastNamer
from shoal.segment.profile import PROFILES, profiles


def label(name: str, inside: float, outside: float, contrast: float = 10.0, kind: str = "genres") -> dict:
    return {"label": name, "kind": kind, "share_in": inside, "share_out": outside, "contrast": contrast}


def decade(name: str, inside: float, outside: float, contrast: float = 10.0) -> dict:
    return label(name, inside, outside, contrast, "decade")


def item(title: str | None, item_id: str = "7") -> dict:
    return {"item_id": item_id, "title": title, "share_in": 0.5, "share_out": 0.1, "contrast": 10.0}


def table(*rows: dict) -> pl.DataFrame:
    bare = {
        "size": 10,
        "share": 0.1,
        "events_per_user": 20.0,
        "rating_mean": 3.0,
        "rating_gap": 0.0,
        "categories": [],
        "words": [],
        "exemplars": [],
        "user_traits": [],
        "sets_apart": "",
    }
    return pl.DataFrame([{"segment": i, **bare, **row} for i, row in enumerate(rows)], schema=PROFILES)


PLAIN = [{}] * 3
DRAMA, CRIME = label("Drama", 0.5, 0.3, 30.0), label("Crime", 0.3, 0.1, 20.0)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"categories": [DRAMA, CRIME]}, "Drama and Crime"),
        ({"categories": [DRAMA]}, "Drama"),
        ({"categories": [label("hard rock", 0.5, 0.1), label("rock", 0.5, 0.2)]}, "Hard rock"),
        ({"categories": [decade("1990s", 0.6, 0.3, 40.0), DRAMA, CRIME]}, "1990s Drama and Crime"),
        ({"categories": [DRAMA, decade("1990s", 0.6, 0.3, 3.0)]}, "Drama"),
        (
            {
                "categories": [
                    DRAMA,
                    decade("1950s", 0.1, 0.03, 25.0),
                    decade("1940s", 0.1, 0.03, 20.0),
                    decade("1990s", 0.3, 0.6, -40.0),
                ]
            },
            "Drama, older titles",
        ),
        (
            {
                "categories": [
                    decade("2010s", 0.2, 0.05, 25.0),
                    decade("2000s", 0.2, 0.1),
                    decade("1990s", 0.3, 0.6, -9.0),
                ]
            },
            "Newer titles",
        ),
        ({"categories": [decade("2000s", 0.13, 0.03)]}, "2000s titles"),
        ({"categories": [label("Stephen King", 0.02, 0.004)]}, "Stephen King"),
        ({"categories": [label("eng", 0.9, 0.5, kind="language_code")]}, "Much like everyone"),
        ({"words": [label("j.k. rowling", 0.1, 0.01, kind="authors")]}, "J.K. Rowling"),
        ({"exemplars": [item("Björk"), item("Tricky", "8")]}, "Björk and Tricky"),
        ({"exemplars": [item(None)]}, "Item 7"),
        ({"events_per_user": 90.0, "rating_gap": 0.5}, "Frequent, generous raters"),
        ({"events_per_user": 5.0, "rating_gap": -0.5}, "Occasional, strict raters"),
        ({"events_per_user": 5.0}, "Light users"),
    ],
)
def test_a_segment_is_named_by_what_is_most_telling(row, name):
    assert ContrastNamer().name(table(*PLAIN, row))[-1] == name


def test_a_label_that_a_sibling_uses_more_comes_second():
    mine = {"categories": [DRAMA, CRIME]}
    names = ContrastNamer().name(table({"categories": [label("Drama", 0.7, 0.2, 50.0)]}, mine))
    assert names == ["Drama", "Crime and Drama"]


def test_segments_with_nothing_to_say_are_numbered():
    names = ContrastNamer().name(table({"categories": [DRAMA]}, {}, {}))
    assert names == ["Drama", "Much like everyone", "Much like everyone (2)"]


def test_siblings_with_one_subject_are_told_apart_by_habit():
    light = {"categories": [DRAMA], "events_per_user": 5.0}
    assert ContrastNamer().name(table({"categories": [DRAMA]}, light, *PLAIN))[:2] == ["Drama", "Light users of Drama"]


def test_a_name_that_is_taken_is_not_given():
    rows = table({"categories": [DRAMA, CRIME]}, {"categories": [label("War", 0.5, 0.3)]})
    assert ContrastNamer().name(rows) == ["Drama and Crime", "War"]
    assert ContrastNamer(taken=["crime and drama"]).name(rows) == ["Drama", "War"]


def test_items_may_be_called_otherwise():
    row = {"categories": [decade("2000s", 0.13, 0.03)]}
    assert ContrastNamer(items="films").name(table(row, {}))[0] == "2000s films"


def test_the_unassigned_and_a_lone_segment_have_fixed_names():
    assert ContrastNamer().name(table({"segment": -1}, {"categories": [DRAMA]})) == ["(unassigned)", "Everyone"]
    assert ContrastNamer().name(table({"segment": -1})) == ["(unassigned)"]
    assert ContrastNamer().name(table()) == []


names_of_labels = st.sampled_from(
    ["Drama", "DRAMA", "drama", "Crime", "(unassigned)", "!!!", "x" * 60, "霸王别姬", "a and b"]
)
some_labels = st.lists(
    st.builds(label, names_of_labels, st.floats(0.1, 1), st.floats(0, 0.1), st.floats(0.1, 50)), max_size=3
)
some_items = st.lists(st.builds(item, st.none() | names_of_labels), max_size=2)
some_rows = st.fixed_dictionaries(
    {
        "categories": some_labels,
        "words": some_labels,
        "exemplars": some_items,
        "events_per_user": st.sampled_from([0.0, 1.0, 50.0]),
        "rating_gap": st.sampled_from([None, -1.0, 1.0]),
    }
)


@given(st.lists(some_rows, max_size=8))
def test_two_segments_never_share_a_name(rows):
    names = ContrastNamer().name(table(*rows))
    assert len({name.casefold() for name in names}) == len(rows)
    assert all(0 < len(name) <= LONGEST for name in names)


@given(st.lists(some_rows, min_size=2, max_size=5), st.randoms())
def test_names_do_not_depend_on_the_order_of_rows(rows, random):
    profiled = table(*rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    names = ContrastNamer().name(profiled)
    assert ContrastNamer().name(profiled[order]) == [names[i] for i in order]


def test_planted_segments_are_named_after_their_topic_whatever_their_number():
    dataset, truth = planted_world(users=120, items=80, events_per_user=15)
    turned = truth.with_columns(segment=3 - pl.col("segment"))
    for members, topics in ((truth, list(TOPICS)[:4]), (turned, list(TOPICS)[3::-1])):
        names = ContrastNamer().name(profiles(members, dataset.interactions, dataset.items))
        assert [name.split()[0] for name in names] == topics


@pytest.mark.slow
def test_movielens_names_speak_of_genres_and_decades(shared_data):
    from scipy.sparse.linalg import svds

    from shoal.data.histories import histories
    from shoal.data.ids import Ids
    from shoal.segment.cluster import fit_segments

    data = read(shared_data / "ml-latest-small")
    users, items = Ids(data.users["user_id"]), Ids(data.items["item_id"])
    past = histories(data.interactions, users, items)
    matrix = past.matrix().astype(np.float64)
    vectors = svds(matrix, k=16, v0=np.ones(min(matrix.shape)))[0].astype(np.float32)
    segments = fit_segments(vectors, past.counts, n=6, at_most=12, min_events=5, seed=0)
    members = pl.DataFrame({"user_id": users.values, "segment": segments.assign(vectors, past.counts)[0]})
    profiled = profiles(members, data.interactions, data.items)
    names = ContrastNamer().name(profiled)
    known = {*data.items["genres"].explode().drop_nulls().str.to_lowercase(), "titles", "users"}
    telling = [name for name in names if any(word in name.lower() for word in known) or "0s" in name]
    assert len(set(names)) == len(names) == 6
    assert len(telling) >= 5
    assert sum("elsewhere" in told for told in profiled["sets_apart"]) >= 5


def test_siblings_with_one_subject_are_told_apart_by_another_before_the_era():
    imax, action, war = (
        label(n, s, 0.05, c) for n, s, c in (("IMAX", 0.2, 30.0), ("Action", 0.3, 25.0), ("War", 0.3, 20.0))
    )
    new, old = decade("2010s", 0.4, 0.1, 40.0), decade("1990s", 0.4, 0.1, 39.0)
    names = ContrastNamer().name(
        table({"categories": [imax, action, war, new]}, {"categories": [imax, action, war, old]})
    )
    assert names == ["2010s IMAX and Action", "1990s IMAX and War"]


def test_a_decade_that_a_sibling_uses_more_comes_second():
    first = [decade("1990s", 0.8, 0.4, 50.0), decade("1980s", 0.1, 0.05, 20.0)]
    second = [decade("1990s", 0.5, 0.4, 30.0), decade("1980s", 0.2, 0.05, 20.0)]
    assert ContrastNamer().name(table({"categories": first}, {"categories": second})) == [
        "1990s titles",
        "1980s titles",
    ]


def test_where_categories_are_rare_and_none_is_the_segments_own_phrases_name_it():
    author = label("Terry Pratchett", 0.03, 0.001, kind="authors")
    poirot = label("hercule poirot", 0.01, 0.001, kind="title")
    names = ContrastNamer().name(table({"categories": [author]}, {"words": [poirot]}))
    assert names == ["Terry Pratchett", "Hercule Poirot"]


def test_two_habits_that_do_not_fit_are_not_cut_but_one_is_told():
    row = {"categories": [decade("1990s", 0.5, 0.3, 30.0)], "events_per_user": 10.0, "rating_gap": 0.6}
    assert ContrastNamer().name(table(row, {"events_per_user": 50.0}))[0] == "1990s titles, generous raters"
