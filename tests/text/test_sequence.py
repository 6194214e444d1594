from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.data.dataset import Scale
from shoal.data.ids import Ids
from shoal.errors import ConfigError, LeakageError
from shoal.text.render import Template, Texts
from shoal.text.sequence import user_sequences, words_as_tokens

EVENT = Template("{date}: {item}, {rating}")
FILMS = Texts(pl.DataFrame({"id": ["a", "b", "c"], "text": ["Heat (1995). Crime.", "Ran", ""]}), "v1")
DAY = datetime(2015, 3, 1)


def log(*rows, value="rating"):
    """Events as (user, item, value, days after 1 March 2015, text)."""
    names = ["user_id", "item_id", value, "at", "text"]
    table = pl.DataFrame({n: [r[i] for r in rows] for i, n in enumerate(names) if i < len(rows[0])}, strict=False)
    at = [None if d is None else DAY + timedelta(days=d) for d in table["at"]]
    return table.with_columns(
        pl.col("user_id", "item_id").cast(pl.String).cast(pl.Categorical),
        pl.col(value).cast(pl.Float32),
        pl.Series("at", at, dtype=pl.Datetime("us")),
    )


def told(interactions, template=EVENT, budget=1000, cutoff=None, **more):
    return user_sequences(interactions, FILMS, template=template, budget_tokens=budget, cutoff=cutoff, **more)


def test_a_past_reads_oldest_first_with_date_item_and_rating():
    made = told(log(("u", "b", 3, 1), ("u", "a", 4.5, 0)), scale=Scale(0.5, 5))
    assert made.texts == ["2015-03-01: Heat (1995). Crime, rated 4.5 of 5\n2015-03-02: Ran, rated 3 of 5"]


def test_what_is_unknown_is_left_out():
    events = log(("u", "b", None, None), ("u", "c", 4, 1), ("u", "not in the catalogue", None, 2))
    assert told(events).texts == ["Ran\n2015-03-02, rated 4\n2015-03-03"]


@pytest.mark.parametrize(
    ("scale", "value", "text"),
    [
        (Scale(1, 5), 4, "rated 4 of 5"),
        (Scale(0, 10), 7.25, "rated 7.25 of 10"),
        (Scale(-10, 10), -3.5, "rated -3.5 on a scale from -10 to 10"),
        (None, 4, "rated 4"),
    ],
)
def test_ratings_are_told_on_their_own_scale(scale, value, text):
    assert told(log(("u", "b", value, 0)), Template("{rating}"), scale=scale).texts == [text]


@pytest.mark.parametrize(
    ("count", "verb", "text"),
    [
        (13_883, "played", "played 13,883 times"),
        (1_234_567, "", "1,234,567 times"),
        (1, "bought", "bought once"),
        (2.5, "", "2.5 times"),
    ],
)
def test_counts_are_told_as_counts(count, verb, text):
    assert told(log(("u", "b", count, 0), value="weight"), Template("{rating}"), verb=verb).texts == [text]


def test_bare_events_are_their_items():
    events = log(("u", "a", 1, 0), ("u", "b", 1, 1)).drop("rating")
    assert told(events, Template("{item}, {rating}")).texts == ["Heat (1995). Crime\nRan"]


def test_what_a_user_wrote_can_be_told():
    events = log(("u", "a", 4, 0, "Slow."), ("v", "a", 2, 0, None), ("u", "b", 5, 1, " Great\nfun "))
    made = told(events, Template("{item}: {text}"))
    assert made.table.rows() == [("u", "Heat (1995). Crime: Slow.\nRan: Great fun"), ("v", "Heat (1995). Crime")]


def test_the_text_field_is_left_out_where_nobody_wrote():
    assert told(log(("u", "b", 4, 0)), Template("{item}: {text}")).texts == ["Ran"]


def test_users_stand_as_asked_and_those_without_events_are_empty_and_counted():
    events = log(("u", "a", 4, 0), ("v", "b", 2, 0), ("w", "b", 2, 0))
    made = told(events, Template("{item}"), users=Ids(["v", "nobody", "u"]))
    assert made.table.rows() == [("v", "Ran"), ("nobody", ""), ("u", "Heat (1995). Crime")]
    assert made.notes == ("1 of 3 users have no events",)


def test_events_of_one_moment_are_ordered_by_the_seed_and_not_by_id():
    events = log(*[("u", str(i), 4, 0) for i in range(30)])
    films = Texts(pl.DataFrame({"id": [str(i) for i in range(30)], "text": [str(i) for i in range(30)]}), "v1")

    def order(events, seed):
        made = user_sequences(events, films, template=Template("{item}"), budget_tokens=1000, cutoff=None, seed=seed)
        return made.texts[0].split("\n")

    assert order(events, 0) == order(events.reverse(), 0)
    assert order(events, 0) != order(events, 1)
    assert order(events, 0) != sorted(order(events, 0), key=int)


def test_an_event_at_the_cutoff_is_refused_and_never_filtered():
    events = log(("u", "a", 4, 0), ("v", "b", 4, 5))
    assert told(events, cutoff=DAY + timedelta(days=6)).cutoff == DAY + timedelta(days=6)
    with pytest.raises(LeakageError, match="User v has an event on 2015-03-06, not before the cut-off 2015-03-06"):
        told(events, cutoff=DAY + timedelta(days=5))


def test_a_late_event_of_a_user_not_asked_for_is_refused_too():
    events = log(("u", "a", 4, 0), ("v", "b", 4, 5))
    with pytest.raises(LeakageError):
        told(events, cutoff=DAY + timedelta(days=2), users=Ids(["u"]))


def test_events_without_a_time_are_counted_where_there_is_a_cutoff():
    events = log(("u", "a", 4, 0), ("u", "b", 4, None))
    note = "1 of 2 events have no time to check against the cut-off"
    assert told(events, cutoff=DAY + timedelta(days=2)).notes == (note,)
    assert told(events).notes == ()


def test_the_version_follows_both_templates():
    events = log(("u", "a", 4, 0))
    other = Texts(FILMS.table, "v2")
    versions = {
        told(events).template_version,
        told(events, Template("{item}")).template_version,
        user_sequences(events, other, template=EVENT, budget_tokens=99, cutoff=None).template_version,
    }
    assert len(versions) == 3


def test_an_unknown_event_field_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"\{items\}. Did you mean item\? An event has date, item, rating, text."):
        told(log(("u", "a", 4, 0)), Template("{items}"))


def test_a_budget_that_holds_nothing_is_refused():
    with pytest.raises(ConfigError, match="A budget of 0 tokens"):
        told(log(("u", "a", 4, 0)), budget=0)
    with pytest.raises(ConfigError, match="an empty one takes 2"):
        told(log(("u", "a", 4, 0)), budget=1, count_tokens=lambda texts: [2 + len(t) for t in texts])


def test_as_many_of_the_newest_events_as_fit_are_kept():
    events = log(*[("u", "b", i, i) for i in range(50)])
    made = told(events, Template("{rating}"), budget=16)  # "rated 49" is two words: 2.6 tokens
    assert made.texts[0].split("\n") == [f"rated {i}" for i in range(44, 50)]


def test_a_newest_event_that_is_too_long_is_cut_and_kept():
    events = log(("u", "b", 4, 0, "old"), ("u", "b", 4, 1, "one two three four five"))
    assert told(events, Template("{text}"), budget=4).texts == ["one two three"]


def test_a_single_word_that_is_too_long_is_cut_inside():
    events = log(("u", "b", 4, 0, "abcdefghij klm"))
    made = told(events, Template("{text}"), budget=4, count_tokens=lambda texts: [len(t) for t in texts])
    assert made.texts == ["abcd"]


def test_words_as_tokens_rounds_up():
    assert words_as_tokens(["", "one", "a b c", " ".join("x" * 10)]).tolist() == [0, 2, 4, 13]


COUNTERS = {
    "words": words_as_tokens,
    "characters": lambda texts: [len(t) for t in texts],
    "with specials": lambda texts: [2 + len(t.split()) for t in texts],
    "not monotone": lambda texts: [len(t) % 7 for t in texts],
}


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.lists(st.integers(0, 12), max_size=12), min_size=1, max_size=4),
    budget=st.integers(3, 40),
    counter=st.sampled_from(sorted(COUNTERS)),
)
def test_a_sequence_never_exceeds_its_budget_and_is_the_end_of_the_past(lengths, budget, counter):
    rows = [
        (f"u{u}", f"i{i}", 1, i, " ".join([f"w{i}"] * n)) for u, past in enumerate(lengths) for i, n in enumerate(past)
    ]
    users = Ids([f"u{u}" for u in range(len(lengths))])
    if not rows:
        rows = [("other", "i0", 1, 0, "x")]
    count = COUNTERS[counter]
    made = told(log(*rows), Template("{text}"), budget=budget, users=users, count_tokens=count)
    assert (np.asarray(count(made.texts)) <= budget).all()
    for past, text in zip(lengths, made.texts, strict=True):
        events = [" ".join([f"w{i}"] * n) for i, n in enumerate(past)]
        suffixes = ["\n".join(events[k:]) for k in range(len(events) + 1)]
        if events and count([events[-1]])[0] <= budget:
            assert text in suffixes[:-1]
            longest = next(s for s in suffixes if count([s])[0] <= budget)
            assert counter == "not monotone" or text == longest
        else:
            assert (events or [""])[-1].startswith(text)
