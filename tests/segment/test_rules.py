"""Rules: known answers on a small world, laws of their logic, and every way in which a rule can be wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.dataset import Dataset, make
from shoal.errors import ConfigError
from shoal.segment.facts import FIGURES, FUNCTIONS
from shoal.segment.rules import parse
from shoal.segment.syntax import DEEPEST, LONGEST, parse_tree

DAYS = [datetime(2024, 1, day) for day in range(1, 32)]
EVENTS = pl.DataFrame(
    [
        ("ann", "1", 5.0, DAYS[0]),
        ("ann", "2", 4.0, DAYS[10]),
        ("ann", "3", 3.0, DAYS[10]),
        ("ann", "4", 4.0, DAYS[20]),
        ("bob", "1", 2.0, DAYS[30]),
        ("bob", "3", 1.0, None),
        ("cid", "4", 5.0, None),
    ],
    schema=["user_id", "item_id", "rating", "at"],
    orient="row",
)
ITEMS = pl.DataFrame(
    {
        "item_id": ["1", "2", "3", "4", "5"],
        "title": ["Alien", "Scream", "Heat", "Kids", "Alien"],
        "genres": [["Horror", "Sci-Fi"], ["Horror"], ["Crime"], None, ["Sci-Fi"]],
        "moods": [["dark"], ["dark", "Crime"], ["dark"], [], []],
    }
)
USERS = pl.DataFrame(
    {
        "user_id": ["ann", "bob", "cid", "dee"],
        "gender": ["F", "M", None, "F"],
        "age": [31, None, 25, 40],
        "subscribed": [True, False, None, True],
        "joined": [datetime(2020, 5, 1), datetime(2021, 5, 1), None, datetime(2023, 1, 1)],
        "home town": ["Ulm", "Bonn", "Köln", "Ulm"],
        "segment": ["of theirs"] * 4,
        "likes": [["x"], [], None, ["y"]],
    }
)
DATA = make(EVENTS, ITEMS, USERS)
MEMBERS = pl.DataFrame(
    {"user_id": ["ann", "bob", "cid"], "segment": [0, 1, -1], "strength": [0.9, 0.6, 0.0]},
    schema={"user_id": pl.String, "segment": pl.Int32, "strength": pl.Float32},
)
SEGMENTS = pl.DataFrame({"segment": [0, 1, -1], "name": ["Horror", "Crime 犯罪", "(unassigned)"]})
RUN = (DATA, MEMBERS, SEGMENTS)


def who(text: str, *of, **more) -> set[str]:
    return set(parse(text).members(*(of or RUN), **more))


def refused(text: str, *of, **more) -> str:
    with pytest.raises(ConfigError) as error:
        parse(text).members(*(of or RUN), **more)
    return str(error.value)


KNOWN = {
    "rating_count > 1": {"ann", "bob"},
    "event_count == 0": {"dee"},
    "distinct_items >= 4": {"ann"},
    "mean_rating == 4": {"ann"},
    "mean_rating < 4": {"bob"},
    "days_since_last == 10": {"ann"},
    "days_since_last == 0": {"bob"},
    "days_active == 20": {"ann"},
    "missing(days_since_last)": {"cid", "dee"},
    'share("Horror") == 0.5': {"ann", "bob"},
    'share("Crime") == 0.5': {"ann", "bob"},  # a genre of one item and a mood of another, which is one share
    'share_of("genres", "Crime") == 0.25': {"ann"},
    'share("dark") == 1': {"bob"},
    'share("dark") == 0': {"cid"},  # no event: no share, neither 0 nor anything else
    'has("Alien")': {"ann", "bob"},
    'has("4")': {"ann", "cid"},
    'not has("4")': {"bob", "dee"},
    'gender == "F"': {"ann", "dee"},
    "age >= 31": {"ann", "dee"},
    "subscribed": {"ann", "dee"},
    "subscribed == false": {"bob"},
    'joined < "2021-05-01"': {"ann"},
    'joined >= "2021-05-01T00:00" and joined < "2022-01-01"': {"bob"},
    'column("home town") in ("Bonn", "Köln")': {"bob", "cid"},
    'column("home town") not in ("Bonn", "Köln")': {"ann", "dee"},
    "segment == 1": {"bob"},
    "segment == -1": {"cid"},
    "segment in (0, 1)": {"ann", "bob"},
    "strength > 0.5": {"ann", "bob"},
    'in_segment("Horror")': {"ann"},
    "in_segment('Crime 犯罪')": {"bob"},
    'not in_segment("Horror")': {"bob", "cid", "dee"},
    'in_segment("Horror") and in_segment("Crime 犯罪")': set(),
    'rating_count > 1 AND NOT gender == "M"': {"ann"},
    "event_count + 1 == 2 * 1": {"cid"},
    "event_count - 2 - 1 == 1": {"ann"},
    "8 / event_count / 2 == 1": {"ann"},
    "1 / event_count > 0": {"ann", "bob", "cid"},  # by zero is missing
    "-age < -(30 + 5)": {"dee"},
    'event_count > 3 or age == 25 and gender == "X"': {"ann"},  # and binds closer
    '(event_count > 3 or age == 25) and gender == "X"': set(),
    "not event_count > 3 and age > 0": {"cid", "dee"},  # not binds closer still
    "true": {"ann", "bob", "cid", "dee"},
    "(((age > 30)))": {"ann", "dee"},
    "“F” == gender": {"ann", "dee"},
    r'"\"F\"" == gender': set(),
}


@pytest.mark.parametrize("text", KNOWN)
def test_a_rule_matches_whom_it_says(text: str) -> None:
    assert who(text) == KNOWN[text]


def test_members_are_sorted_and_every_user_of_the_data_is_asked() -> None:
    table = parse("age > 0").matches(*RUN)
    assert table.schema == {"user_id": pl.String, "matched": pl.Boolean}
    assert table["user_id"].to_list() == ["ann", "bob", "cid", "dee"]
    assert table["matched"].to_list() == [True, False, True, True]
    assert parse("age > 0").size(*RUN) == 3


def test_a_user_for_whom_it_cannot_be_told_is_neither_in_a_rule_nor_in_its_negation() -> None:
    assert "bob" not in who("age > 30") | who("not age > 30")
    assert who("missing(age)") == {"bob"}
    assert "bob" in who('age > 30 or gender == "M"')  # the other side decides alone
    assert "bob" in who('not (age > 30 and gender == "F")')


def test_a_rule_may_ask_for_rules_and_missing_users_are_not_in_them() -> None:
    rules = {"old": parse("age > 30"), "old horror": parse('in_segment("old") and share("Horror") > 0.3')}
    assert who('in_segment("old horror")', *RUN, rules) == {"ann"}
    assert who('not in_segment("old")', *RUN, rules) == {"bob", "cid"}
    assert parse('in_segment("old") or in_segment("x") or has("x")').uses() == {"old", "x"}


def test_rules_in_a_circle_are_refused() -> None:
    rules = {"a": parse('in_segment("b")'), "b": parse('not in_segment("a")')}
    assert 'the rule "a" asks for itself' in refused('in_segment("a") or age > 1', *RUN, rules)


def test_a_kept_data_set_whose_ids_are_strings_answers_alike() -> None:
    plain = replace(
        DATA,
        **{
            name: getattr(DATA, name).with_columns(pl.col(pl.Categorical).cast(pl.String))
            for name in ("interactions", "items", "users")
        },
    )
    for text in KNOWN:
        assert who(text, plain, MEMBERS, SEGMENTS) == KNOWN[text], text


def test_the_order_of_rows_does_not_matter() -> None:
    mixed = make(EVENTS.reverse(), ITEMS.reverse(), USERS.reverse())
    for text in KNOWN:
        assert who(text, mixed, MEMBERS.reverse(), SEGMENTS.reverse()) == KNOWN[text], text


UNREADABLE = {
    "": (1, "it is empty"),
    "   ": (4, "it is empty"),
    "rating_count >": (15, "expected a name, a number, a text in quotes"),
    "rating_count > 50 and": (22, "the rule ends"),
    "rating_count 50": (14, "expected and, or, or the end of the rule; found 50"),
    '(share("Horror") > 0.2': (23, 'expected ")"'),
    'share("Horror" > 0.2': (16, 'expected "," or ")"; found >'),
    "a = 3": (3, "write == to compare"),
    "a && b": (3, "write and"),
    "a || b": (3, "write or"),
    "!a": (1, "write not"),
    "age > 20%": (9, "write shares from 0 to 1"),
    'gender == "F': (11, "this quote is never closed"),
    "gender == 'F\"": (11, "this quote is never closed"),
    "1 < age < 5": (9, "two comparisons in one"),
    "age > 1,000": (8, "large numbers are written without"),
    "age > 3rd": (7, "this is no number"),
    "age > 1.2.3": (7, "this is no number"),
    "age > #": (7, "'#' has no meaning"),
    "age not 3": (9, "expected in"),
    "age in 3": (8, 'expected "("'),
    "age in ()": (9, "expected a name"),
    "and age": (1, "expected a name"),
    ")": (1, "expected a name"),
    "share(age > 3)": (11, 'expected "," or ")"'),
    "(" * 500 + "a": (DEEPEST + 2, "inside each other"),
    "not " * 500 + "a": (4 * DEEPEST + 5, "inside each other"),
    "+".join(["a"] * 500) + " > 1": (200, "inside each other"),
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_is_pointed_at(text: str) -> None:
    place, words = UNREADABLE[text]
    with pytest.raises(ConfigError) as error:
        parse(text)
    first, shown, caret = str(error.value).split("\n")
    assert words in first
    if place != 200:
        assert f"at character {place}:" in first
    assert shown.startswith("    ")
    assert caret.strip() == "^"
    if len(text) < 100:
        assert caret.index("^") == 4 + place - 1


UNASKABLE = {
    "ratng_count > 3": (0, "Did you mean rating_count?"),
    "gendr == 1": (0, "Did you mean gender?"),
    "user_id == 1": (0, "is no figure and no column"),
    'share("horor") > 1': (6, 'no item has the label "horor". Did you mean "Horror"?'),
    'share_of("genres", "dark") > 1': (19, 'no item has the label "dark" in genres.'),
    'share_of("genre", "dark") > 1': (9, "Did you mean genres?"),
    'has("alien")': (4, 'Did you mean "Alien"?'),
    'has("Scr")': (4, 'Did you mean "Scream"?'),
    'in_segment("Horor")': (11, 'no segment and no rule is called "Horor". Did you mean "Horror"?'),
    'shar("Horror") > 0': (0, "there is no function shar; known are"),
    'column("home") == 1': (7, "Did you mean home town?"),
    "share > 1": (0, 'share needs something in parentheses: share("label")'),
    "share(3) > 1": (6, "share wants texts in quotes"),
    'share("a", "b") > 1': (0, 'share is written share("label")'),
    "missing() ": (0, "missing is written missing(age)"),
    'age > "30"': (6, 'age is a number and "30" is a text: they cannot be compared'),
    "gender == 3": (10, 'a text stands in quotes, such as "25"'),
    'gender < "F"': (0, "a text is compared by == or !=, not by <"),
    "subscribed > true": (0, "a condition is compared by == or !="),
    "subscribed == 1": (14, "a condition and 1 is a number"),
    'joined > "yesterday"': (9, '"yesterday" is no time; write 2020-01-31'),
    "joined > 2020": (9, "joined is a time and 2020 is a number"),
    "age": (0, "age is a number; a rule needs a condition, such as age > 0"),
    "gender": (0, 'such as gender == "..."'),
    "not age": (4, "age is a number"),
    "age > 3 and 7": (12, "7 is a number; a rule needs a condition"),
    "age + gender > 3": (6, "only numbers can be added"),
    "likes == 1": (0, "which a rule cannot compare"),
    "age in (1, gender)": (11, "they cannot be compared"),
}


@pytest.mark.parametrize("text", UNASKABLE)
def test_what_cannot_be_asked_is_pointed_at(text: str) -> None:
    place, words = UNASKABLE[text]
    first, shown, caret = refused(text).split("\n")
    assert words in first
    assert f"at character {place + 1}:" in first
    assert shown == f"    {text.rstrip()}" or shown == f"    {text}"
    assert caret == " " * (4 + place) + "^"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rating_count > 1", "rating_count needs ratings; this data holds events. Use event_count."),
        ("mean_rating > 1", "mean_rating needs ratings"),
        ("total_weight > 1", "total_weight needs counts"),
        ("days_active > 1", "days_active needs times; no event of this data has one"),
        ("days_since_last > 1", "needs times"),
        ('share("Horror") > 1', 'no item has the label "Horror"'),
        ('share_of("genres", "Horror") > 1', "known are none"),
        ("segment == 1", "segment is known in a run only"),
        ('in_segment("x")', "segments are known in a run only"),
    ],
)
def test_data_that_cannot_tell_says_so(text: str, words: str) -> None:
    assert words in refused(text, make(EVENTS.select("user_id", "item_id")))


def test_counts_are_summed() -> None:
    plays = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"], "weight": [3, 4, 1]})
    assert who("total_weight == 7 and event_count == 2", make(plays)) == {"a"}


def test_an_error_in_a_nested_rule_shows_that_rule() -> None:
    message = refused('in_segment("a")', *RUN, {"a": parse("gendr == 1")})
    assert message.split("\n")[1].strip() == "gendr == 1"


def test_the_caret_counts_wide_letters_twice_and_a_long_rule_is_cut_around_the_place() -> None:
    assert (
        refused('in_segment("犯罪") or gendr == 1', DATA, MEMBERS, SEGMENTS.with_columns(name=pl.lit("犯罪")))
        .split("\n")[2]
        .index("^")
        == 4 + len('in_segment("犯罪") or ') + 2
    )
    long = " or ".join(["age > 1"] * 60) + " or gendr == 1 or " + " or ".join(["age > 1"] * 60)
    _, shown, caret = refused(long).split("\n")
    assert len(shown) <= 106
    assert shown[caret.index("^") :].startswith("gendr")


def test_a_rule_over_several_lines_is_shown_as_one() -> None:
    assert refused("age > 1\n  and gendr == 1").split("\n")[1] == "    age > 1   and gendr == 1"


def test_a_very_long_rule_is_refused_and_a_long_one_is_asked() -> None:
    with pytest.raises(ConfigError, match="at most 20,000"):
        parse("a" * (LONGEST + 1))
    assert who(" or ".join(["age == 25"] * 1000)) == {"cid"}


EMPTY = {
    "mean_rating > 5": "The rule matches nobody: mean_rating > 5 holds for none of 4 users.",
    'age > 1 and (mean_rating > 5 or has("5"))': (
        'The rule matches nobody: (mean_rating > 5 or has("5")) alone holds for none of 4 users.'
    ),
    'age == 25 and gender == "M"': (
        'The rule matches nobody: each part holds for some users (age == 25: 1; gender == "M": 1), '
        "and no user has them all."
    ),
}


@pytest.mark.parametrize("text", EMPTY)
def test_why_a_rule_matches_nobody_is_told(text: str) -> None:
    assert who(text) == set()
    assert parse(text).why_empty(*RUN) == EMPTY[text]


ATOMS = st.sampled_from(
    ["age > 30", 'gender == "F"', "subscribed", 'has("Alien")', 'share("Horror") > 0.2', "mean_rating < 4", "true"]
)
RULES = st.recursive(
    ATOMS,
    lambda part: st.one_of(
        part.map("not ({})".format),
        st.tuples(part, part).map(lambda two: "({}) and ({})".format(*two)),
        st.tuples(part, part).map(lambda two: "({}) or ({})".format(*two)),
    ),
    max_leaves=6,
)


@given(RULES)
def test_a_rule_and_its_negation_share_nobody_and_two_negations_change_nothing(text: str) -> None:
    inside, outside = who(text), who(f"not ({text})")
    assert not inside & outside
    assert who(f"not not ({text})") == inside


@given(RULES, RULES)
def test_and_is_the_common_part_or_is_both_and_de_morgan_holds(a: str, b: str) -> None:
    assert who(f"({a}) and ({b})") == who(a) & who(b)
    assert who(f"({a}) or ({b})") == who(a) | who(b)
    assert who(f"not (({a}) and ({b}))") == who(f"not ({a}) or not ({b})")


@given(st.text(max_size=30) | st.text('ab1.("and or not" )<>=!+-*/,\n', max_size=30))
def test_any_text_is_a_rule_or_an_error_that_points_into_it(text: str) -> None:
    try:
        tree = parse_tree(text)
    except ConfigError as error:
        told = str(error)
    else:
        assert 0 <= tree.start < tree.end <= len(text)
        told = ""
    assert told == "" or [line.strip() for line in told.split("\n")][2] == "^"


def test_data_without_anything_but_events_answers_what_it_can() -> None:
    bare: Dataset = make(EVENTS.select("user_id", "item_id"))
    assert who('event_count > 1 and has("1")', bare) == {"ann", "bob"}


def test_the_guides_python_runs_and_shows_what_it_says(root, capsys) -> None:
    import re

    guide = (root / "docs" / "guides" / "rules-and-edits.md").read_text(encoding="utf-8")
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL):
        exec(compile(block, "rules-and-edits.md", "exec"), scope)
    shown = re.search(r"```text\n(.*?)```", guide, flags=re.DOTALL)
    assert shown is not None
    assert capsys.readouterr().out == "['ann', 'bob'] 2\n" + shown[1]


def test_the_guide_names_every_figure_and_function(root) -> None:
    guide = (root / "docs" / "guides" / "rules-and-edits.md").read_text(encoding="utf-8")
    assert [name for name in [*FIGURES, *FUNCTIONS] if f"`{name}" not in guide] == []


def test_a_number_that_is_none_is_missing() -> None:
    odd = make(EVENTS, ITEMS, USERS.with_columns(score=pl.Series([1.0, float("nan"), None, 0.0])))
    assert who("score > 0.5", odd, MEMBERS, SEGMENTS) == {"ann"}
    assert who("missing(score)", odd, MEMBERS, SEGMENTS) == {"bob", "cid"}


def test_figures_are_those_of_the_values_as_they_were_given_and_not_of_their_last_bits() -> None:
    rows = (
        [("a", f"i{k}", 0.1) for k in range(10)] + [("b", f"i{k}", 0.7) for k in range(3)] + [("c", "i0", 12345678.0)]
    )
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "weight"], orient="row")
    data = make(frame)
    assert parse("total_weight == 1").members(data).to_list() == ["a"]
    assert parse("total_weight == 2.1").members(data).to_list() == ["b"]
    assert parse("total_weight == 12345678").members(data).to_list() == ["c"]
    rated = make(
        pl.DataFrame(
            [("a", f"i{k}", 4.7) for k in range(3)] + [("b", "i0", 1.0)],
            schema=["user_id", "item_id", "rating"],
            orient="row",
        )
    )
    assert parse("mean_rating >= 4.7 and mean_rating <= 4.7").members(rated).to_list() == ["a"]
