"""Readable rules: what was planted is found, noise is refused, and figures are those of the rule itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoal.data.dataset import Dataset, make
from shoal.data.synthetic import planted_world
from shoal.segment import readable
from shoal.segment.readable import (
    ALONE,
    CHANCE,
    FEWEST,
    LEAST,
    LITTLE,
    NONE,
    READABLE,
    TOO_FEW,
    Readable,
    readable_rules,
    rules_again,
    wilson,
    with_rules,
)
from shoal.segment.rules import Sheet, parse
from shoal.segment.syntax import as_name, parse_tree, quoted
from shoal.tables import SEGMENT, SUBSEGMENT, USER

GENRES = ("Horror", "Comedy", "Drama", "Crime")


def world(users: int = 800, *, genres: tuple[str, ...] = GENRES, seed: int = 0, columns: dict | None = None) -> Dataset:
    """Users with 10 to 60 events at random times, each fond of one genre or another by a share of its own."""
    rng = np.random.default_rng(seed)
    items = 40 * len(genres)
    catalogue = pl.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(items)],
            "title": [f"Film {k}" for k in range(items)],
            "genres": [[genres[k % len(genres)]] for k in range(items)],
        }
    )
    rows = []
    for user in range(users):
        fond = rng.random()
        first = int(rng.integers(10, 60) * fond) if user % 2 else 0
        mine = [*rng.choice(np.arange(0, items, len(genres)), min(first, 40), replace=False)]
        rest = rng.choice(np.arange(items), 20, replace=False)
        start = datetime(2024, 1, 1) + timedelta(days=float(rng.uniform(0, 200)))
        for k, item in enumerate(dict.fromkeys([*mine, *rest])):
            at = start + timedelta(days=float(k))
            rows.append((f"u{user}", f"i{item}", float(rng.integers(1, 6)), at))
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "at"], orient="row")
    people = pl.DataFrame({"user_id": [f"u{k}" for k in range(users)], **(columns or {})})
    return make(events, catalogue, people)


def members_by(data: Dataset, *rules: str, inside: dict[int, str] | None = None) -> pl.DataFrame:
    """Users by the first rule that they match: segment 0, 1, ...; subsegments 10, 11, ... by rules in a segment."""
    sheet = Sheet(data, [])
    segment = np.full(len(sheet.users), len(rules))
    for number, text in reversed(list(enumerate(rules))):
        segment[parse(text).matches(data)["matched"].to_numpy()] = number
    below = np.full(len(segment), -1)
    for number, text in (inside or {}).items():
        true = parse(text).matches(data)["matched"].to_numpy()
        below[(segment == number) & true], below[(segment == number) & ~true] = 10 + 2 * number, 11 + 2 * number
    table = pl.DataFrame({USER: sheet.users, SEGMENT: segment, SUBSEGMENT: below})
    return table.with_columns(pl.col(SEGMENT, SUBSEGMENT).cast(pl.Int32), strength=pl.lit(1.0, pl.Float32))


DATA = world()


def recounted(found: Readable, number: int, members: pl.DataFrame, data: Dataset) -> tuple[int, int, int, int]:
    """Count anew what a rule is said to have found, by the rule itself and the hash that halves the users."""
    assert found.text is not None
    true = dict(parse(found.text).matches(data).iter_rows())
    column = SEGMENT if number < 10 else SUBSEGMENT
    parent = members.filter(pl.col(SUBSEGMENT) == number)[SEGMENT].to_list()[:1]
    asked = members if number < 10 else members.filter(pl.col(SEGMENT) == parent[0])
    other = asked.filter(pl.col(USER).map_elements(readable._hash, pl.UInt64) % 2 == 1)
    rows = [(true[user], one == number) for user, one in other.select(USER, column).iter_rows()]
    matched, hits = sum(m for m, _ in rows), sum(m and i for m, i in rows)
    return matched, hits, sum(i for _, i in rows), len(rows)


def test_a_planted_rule_is_found_back() -> None:
    members = members_by(DATA, 'event_count > 30 and share("Horror") > 0.5', inside={1: 'share("Comedy") > 0.25'})
    found = readable_rules(members, DATA)
    assert sorted(found) == [0, 1, 12, 13]
    for number, one in found.items():
        row = one.row()
        assert row["rule_precision"] >= 0.95, one
        assert row["rule_recall"] >= 0.95, one
        assert row["rule_precision_low"] < row["rule_precision"] <= row["rule_precision_high"]
        assert (one.matched, one.hits, one.members, one.users) == recounted(one, number, members, DATA)
    assert 'share("Comedy") > 0.2' in str(found[12].text)
    assert set(found[0].row()) == set(READABLE)


def test_segments_of_a_planted_world_are_told_by_their_topics() -> None:
    data, truth = planted_world(users=400, items=200, segments=4, noise=0.1)
    found = readable_rules(truth.with_columns(strength=pl.lit(1.0, pl.Float32)), data)
    for number, topic in enumerate(("Space", "Horror", "Romance", "Western")):
        assert str(found[number].text).startswith(f'share("{topic}") >')
        assert found[number].hits == found[number].matched == found[number].members


def test_noise_has_no_rule_and_says_why() -> None:
    refused = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        segment = pl.Series(rng.integers(0, 4, DATA.users.height), dtype=pl.Int32)
        members = pl.DataFrame({USER: DATA.users[USER].cast(pl.String).sort(), SEGMENT: segment})
        found = readable_rules(members, DATA).values()
        for one in found:
            row = one.row()
            if one.text is None:
                assert str(one.reason).startswith((CHANCE, LITTLE)) or one.reason == NONE
                assert row["rule_precision"] is row["rule_recall"] is None
            else:
                assert row["rule_precision_low"] > row["rule_share"]
        refused += sum(one.text is None for one in found)
    assert refused >= 36  # of 40: an interval of 95 % errs on this side one time in forty


def test_small_segments_of_noise_have_hardly_a_rule_and_none_that_rests_on_a_few() -> None:
    rng, users, found = np.random.default_rng(7), DATA.users[USER].cast(pl.String).sort(), []
    for _ in range(6):
        segment = np.full(len(users), 9)
        segment[rng.permutation(len(users))[: 8 * 28]] = np.repeat(np.arange(8), 28)
        members = pl.DataFrame({USER: users, SEGMENT: pl.Series(segment, dtype=pl.Int32)})
        found += list(readable_rules(members, DATA, range(8)).values())
    rules = [one for one in found if one.text is not None]
    assert len(found) == 48
    assert all(one.matched >= one.hits >= FEWEST for one in rules)
    assert len(rules) <= 1


def test_what_finds_too_few_or_too_little_is_refused_with_figures() -> None:
    def why(*counts: int) -> str | None:
        return readable._refused(Readable("x > 1", None, *counts))

    assert why(0, 0, 30, 800) == f"{CHANCE}: the best one finds nobody that it was not learnt from"
    assert why(100, 16, 120, 800) == (
        f"{CHANCE}: of the users that the best one finds 16 % (10 to 24) belong, of those asked 15 %"
    )
    assert (
        why(9, 9, 30, 800)
        == f"{LITTLE}: the best one finds 9 of 30 users whom it was not learnt from, and 10 are needed"
    )
    assert why(10, 10, 30, 800) is None
    assert why(24, 24, 97, 800) == f"{LITTLE}: the best one finds 24 % of its users, and 25 % are needed"
    assert why(15, 15, 97, 800) == f"{LITTLE}: the best one finds 15 % of its users, and 25 % are needed"
    assert why(25, 25, 97, 800) is None


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-1, 3), min_size=1, max_size=4, unique=True))
def test_every_rule_parses_and_finds_what_is_said(seed: int, numbers: list[int]) -> None:
    rng = np.random.default_rng(seed)
    users = DATA.users[USER].cast(pl.String).sort()
    leaning = np.argsort(rng.random(len(users)) + 0.5 * parse("event_count > 25").matches(DATA)["matched"].to_numpy())
    segment = np.array(numbers)[(np.argsort(leaning) * len(numbers) // len(users))]
    below = np.where((segment == numbers[0]) & (segment >= 0), 10 + rng.integers(0, 2, len(users)), -1)
    members = pl.DataFrame({USER: users, SEGMENT: segment, SUBSEGMENT: below}).cast({SEGMENT: pl.Int32})
    found = readable_rules(members.cast({SUBSEGMENT: pl.Int32}), DATA)
    assert set(found) == (set(numbers) - {-1}) | (set(below.tolist()) - {-1})
    for number, one in found.items():
        assert (one.text is None) != (one.reason is None)
        if one.text is not None:
            assert one.hits >= max(FEWEST, LEAST * one.members)
            assert not {"segment", "strength", "in_segment"} & names(parse_tree(one.text))
            assert (one.matched, one.hits, one.members, one.users) == recounted(one, number, members, DATA)


def names(node) -> set[str]:
    here = {str(node.value)} if node.kind in ("name", "call") else set()
    return here.union(*(names(part) for part in node.parts))


def test_the_order_of_rows_does_not_matter() -> None:
    members = members_by(DATA, 'share("Horror") > 0.5', inside={1: "event_count > 24"})
    turned = replace(
        DATA,
        interactions=DATA.interactions.sample(fraction=1.0, shuffle=True, seed=1),
        items=DATA.items.reverse(),
        users=DATA.users.sample(fraction=1.0, shuffle=True, seed=2),
    )
    again = readable_rules(members.sample(fraction=1.0, shuffle=True, seed=3), turned)
    assert readable_rules(members, DATA) == again


def test_more_users_than_are_asked_change_nothing_of_what_days_are_counted_from(monkeypatch) -> None:
    members = members_by(DATA, "days_since_last > 100")
    whole = readable_rules(members, DATA)
    monkeypatch.setattr(readable, "MOST_USERS", 150)
    some = readable_rules(members, DATA)
    assert some[0].users == 150
    assert whole[0].text is not None
    assert some[0].text is not None
    for one in (whole[0], some[0]):
        assert one.text.startswith("days_since_last > ")
        assert one.hits >= 0.9 * one.members
    true = parse(some[0].text).matches(DATA).filter("matched")[USER]
    assert len(true) == pytest.approx((members[SEGMENT] == 0).sum(), rel=0.15)


@pytest.mark.parametrize(
    "label", ['The "best"', "C:\\films\\", "Ужасы", "恐怖片", "rock'n'roll", "ends with \\", "a or b"]
)
def test_labels_with_quotes_and_of_other_scripts_come_back(label: str) -> None:
    data = world(300, genres=(label, "Comedy"))
    members = members_by(data, f"share({quoted(label)}) > 0.7")
    found = readable_rules(members, data)[0]
    assert found.text is not None
    assert quoted(label) in found.text or '"Comedy"' in found.text
    assert recounted(found, 0, members.with_columns(pl.lit(-1).alias(SUBSEGMENT)), data)[0] == found.matched


@given(st.text())
def test_a_quoted_text_is_read_back(text: str) -> None:
    node = parse_tree(quoted(text) + " == x").parts[0]
    assert (node.kind, node.value) == ("text", text)


@given(st.text(max_size=5))
def test_what_can_be_written_as_a_name_is_read_as_one(word: str) -> None:
    if as_name(word):
        node = parse_tree(f"{word} > 1").parts[0]
        assert (node.kind, node.value) == ("name", word)


def test_words_of_the_grammar_are_no_names() -> None:
    assert [as_name(word) for word in ("age", "年龄", "home town", "and", "Not", "1st", "", " age", "true")] == [
        True, True, False, False, False, False, False, False, False,
    ]  # fmt: skip


def test_columns_of_users_are_asked_for_whatever_they_are_called() -> None:
    n = 800
    rng = np.random.default_rng(5)
    town = rng.choice(['Köln "am Rhein"', "Ulm", "Bonn"], n)
    age = rng.integers(18, 80, n)
    columns = {
        "home town": pl.Series(town),
        "age": pl.Series([None if k % 10 == 0 else int(a) for k, a in enumerate(age)]),
        "event_count": pl.Series(rng.integers(0, 100, n)),  # a figure is called so, too
        "subscribed": pl.Series(rng.random(n) < 0.5),
        "gender": pl.Series(rng.choice(["F", "M"], n)),
        "segment": pl.Series(["theirs"] * n),
        "likes": pl.Series([["x"]] * n),
        "empty": pl.Series([None] * n, dtype=pl.Float64),
    }
    data = world(n, columns=columns)
    cases = {
        'column("home town") == "Köln \\"am Rhein\\""': 'column("home town") == "Köln \\"am Rhein\\""',
        "age > 59": "age > 59",
        "subscribed": "subscribed",
        'gender == "M"': 'gender == "M"',
        'column("event_count") > 80': 'column("event_count") > 80',
    }
    for rule, told in cases.items():
        found = readable_rules(members_by(data, rule), data)[0]
        assert found.text == told
        assert found.hits == found.matched == found.members


def test_columns_far_from_zero_are_told_by_as_many_digits_as_they_need() -> None:
    rng, n = np.random.default_rng(3), 800
    columns = {
        "birth_year": pl.Series(rng.integers(1940, 2010, n)),
        "since": pl.Series(1_700_000_000 + 86_400 * rng.integers(0, 300, n)),
        "score": pl.Series(1000 + rng.random(n).round(3)),
    }
    data = world(n, columns=columns)
    told = {rule: readable_rules(members_by(data, rule), data)[0] for rule in (
        "birth_year > 1985", "birth_year > 1960 and birth_year <= 1995", "since > 1713000000", "score > 1000.5",
    )}  # fmt: skip
    for rule, found in told.items():
        assert found.text is not None, rule
        assert found.hits >= 0.97 * max(found.matched, found.members), found
    assert told["birth_year > 1985"].text == "birth_year > 1985"
    assert all(len(str(found.text)) <= 45 for found in told.values())


def test_numbers_beyond_float32_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    huge = rng.random(800)
    huge[:3] = 1e39, -1e300, float("inf")
    data = world(columns={"x": pl.Series(huge), "big": pl.Series(rng.integers(2**60, 2**62, 800))})
    members = members_by(data, "event_count > 30")
    assert readable_rules(members, data)[0].text in ("event_count > 30", "days_active > 30")  # an event a day


def test_codes_are_not_asked_for_and_amounts_are() -> None:
    rng, n = np.random.default_rng(2), 800
    code, age = 10_000 + rng.permutation(n), rng.integers(18, 90, n)
    columns = {
        "customer": pl.Series(code), "age": pl.Series(age), "income": pl.Series(rng.random(n)),
        "ticket": pl.Series([f"t{k}" for k in code]),
    }  # fmt: skip
    data = world(n, columns=columns)
    assert readable_rules(members_by(data, "age > 60"), data)[0].text == "age > 60"
    assert str(readable_rules(members_by(data, "income > 0.7"), data)[0].text).startswith("income > 0.")
    found = readable_rules(members_by(data, "customer > 10500"), data)
    assert not any("customer" in str(one.text) or "ticket" in str(one.text) for one in found.values())


def test_no_column_of_users_is_asked_for_where_traits_are_not_used() -> None:
    data = world(columns={"age": pl.Series(np.random.default_rng(2).integers(18, 90, 800))})
    members = members_by(data, "age > 60")
    assert readable_rules(members, data)[0].text == "age > 60"
    without = readable_rules(members, data, traits=False)
    assert without == readable_rules(members, DATA)
    segments = with_rules(pl.DataFrame({SEGMENT: pl.Series([0, 1], dtype=pl.Int32)}), {})
    before = members.with_columns(pl.lit(0, pl.Int32).alias(SEGMENT))
    for traits, found in ((True, readable_rules(members, data)), (False, without)):
        again, _ = rules_again(segments, None, before, members, data, traits=traits)
        assert_frame_equal(again, with_rules(segments, found))


def test_an_export_beside_the_users_is_never_asked_for_even_where_it_is_an_old_one() -> None:
    theirs = np.random.default_rng(4).integers(0, 3, 800)
    told = {"segment": pl.Series(theirs), "strength": pl.Series(theirs / 2), "name": pl.Series(theirs).cast(pl.String)}
    data = world(columns=told)
    users = data.users[USER].cast(pl.String)
    for now in (theirs, theirs > 1, np.where(np.arange(800) == 5, 0, theirs)):
        members = pl.DataFrame({USER: users, SEGMENT: pl.Series(now).cast(pl.Int32)})
        assert not any(name in str(one.text) for one in readable_rules(members, data).values() for name in told)


def test_a_name_is_asked_for_where_there_is_no_segment_beside_it() -> None:
    names = np.random.default_rng(4).choice(["Ann", "Bo", "Cy"], 800)
    data = world(columns={"name": pl.Series(names)})
    members = pl.DataFrame({USER: data.users[USER].cast(pl.String), SEGMENT: pl.Series(names == "Bo").cast(pl.Int32)})
    assert readable_rules(members, data)[1].text == 'name == "Bo"'


def test_a_segment_whose_rule_was_emptied_gets_one_though_its_users_are_the_same() -> None:
    data = world(columns={"age": pl.Series(np.random.default_rng(2).integers(18, 90, 800))})
    members = members_by(data, "age > 60")
    bare = with_rules(pl.DataFrame({SEGMENT: pl.Series([0, 1], dtype=pl.Int32)}), {})
    whole = with_rules(bare, readable_rules(members, data))
    emptied = pl.concat([whole.head(1), bare.tail(1)])
    assert_frame_equal(rules_again(emptied, None, members, members, data)[0], whole)
    for told in (whole, bare):  # in a run of before there was nothing to lose
        assert_frame_equal(rules_again(told, None, members, members, data)[0], told)


def test_sums_of_weights_do_not_depend_on_the_order_of_rows() -> None:
    rng, rows = np.random.default_rng(6), []
    for user in range(300):
        items = rng.choice(60, int(rng.integers(5, 40)), replace=False)
        rows += [(f"u{user}", f"i{item}", float(rng.integers(1, 9)) / 10) for item in items]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "weight"], orient="row")
    data = make(frame)
    heavy = frame.group_by(USER).agg(pl.col("weight").sum()).sort(USER)
    members = heavy.select(USER, (pl.col("weight").round(6) > 9).cast(pl.Int32).alias(SEGMENT))
    found = readable_rules(members, data)
    assert any("total_weight" in str(one.text) for one in found.values())
    values = Sheet(data, ["total_weight"]).values["total_weight"]
    assert values.to_list() == heavy["weight"].round(1).to_list()
    for seed in range(5):
        turned = replace(data, interactions=data.interactions.sample(fraction=1.0, shuffle=True, seed=seed))
        assert Sheet(turned, ["total_weight"]).values["total_weight"].equals(values)
        assert readable_rules(members, turned) == found
        text = "total_weight > 9"
        assert parse(text).matches(turned).equals(parse(text).matches(data))


def test_items_whose_titles_cannot_be_read_are_asked_for_by_their_ids_where_none_can() -> None:
    rng, rows = np.random.default_rng(1), []
    for user in range(300):
        first = 0 if user % 3 else 1
        rows += [(f"u{user}", f"i{k}") for k in sorted({first, *rng.choice(np.arange(2, 40), 8, replace=False)})]
    events = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    segment = pl.Series([k % 3 == 0 for k in range(300)]).cast(pl.Int32)
    members = pl.DataFrame({USER: [f"u{k}" for k in range(300)], SEGMENT: segment})
    items = [f"i{k}" for k in range(40)]
    long = make(events, pl.DataFrame({"item_id": items, "title": ["long " * 20 + one for one in items]}))
    assert readable_rules(members, long)[1].text in ('has("i1")', 'not has("i0")')
    mixed = [one if k % 2 else "long " * 20 + one for k, one in enumerate(f"Band {k}" for k in range(40))]
    some = make(events, pl.DataFrame({"item_id": items, "title": mixed}))
    assert readable_rules(members, some)[1].text == 'has("Band 1")'


def test_items_are_asked_for_where_labels_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    titles = [f'Band "{k}"' if k else "i7" for k in range(60)]  # the first is called as the id of another
    catalogue = pl.DataFrame({"item_id": [f"i{k}" for k in range(60)], "name": titles})
    rows = []
    for user in range(600):
        fond = [0, 1, 2] if user % 3 == 0 else [3, 4, 5]
        mine = {*rng.choice(fond, 2, replace=False), *rng.choice(np.arange(6, 60), 10, replace=False)}
        rows += [(f"u{user}", f"i{k}", float(rng.integers(1, 50))) for k in sorted(mine)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "weight"], orient="row")
    data = make(events, catalogue)
    truth = pl.DataFrame({USER: [f"u{k}" for k in range(600)], SEGMENT: pl.Series([k % 3 > 0 for k in range(600)])})
    members = truth.cast({SEGMENT: pl.Int32})
    found = readable_rules(members, data)
    for number in (0, 1):
        one = found[number]
        assert one.text is not None
        assert "has(" in one.text
        assert "i7" not in one.text
        assert one.hits >= 0.6 * one.members
        assert one.hits >= 0.95 * one.matched or number == 1
        assert parse(one.text).size(data) > 0
    assert any('"Band \\"' in str(one.text) for one in found.values())


def test_data_without_labels_times_and_ratings_have_figures_still() -> None:
    rng = np.random.default_rng(1)
    rows = [(f"u{u}", f"i{i}") for u in range(200) for i in rng.choice(100, 5 if u % 2 else 30, replace=False)]
    data = make(pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row"))
    members = pl.DataFrame({USER: [f"u{k}" for k in range(200)], SEGMENT: [k % 2 for k in range(200)]})
    found = readable_rules(members.cast({SEGMENT: pl.Int32}), data)
    assert {one.text for one in found.values()} == {"event_count <= 17", "event_count > 17"}
    assert all(one.hits == one.members for one in found.values())


def test_users_without_events_and_the_unassigned_are_among_the_others() -> None:
    members = members_by(DATA, 'share("Horror") > 0.5')
    quiet = [f"q{k}" for k in range(400)]
    users = pl.concat([DATA.users, pl.DataFrame({USER: pl.Series(quiet, dtype=pl.Categorical)})])
    more = pl.DataFrame({USER: quiet, SEGMENT: -1, SUBSEGMENT: -1, "strength": 0.0})
    found = readable_rules(pl.concat([members, more.cast(members.schema)]), replace(DATA, users=users))
    assert sorted(found) == [0, 1]
    assert found[0].users > readable_rules(members, DATA)[0].users + 150
    assert found[0].hits >= 0.95 * max(found[0].members, found[0].matched)


def test_one_segment_alone_and_tiny_ones_have_no_rule() -> None:
    members = members_by(DATA, 'share("Horror") > 0.5')
    alone = members.with_columns(pl.lit(3, pl.Int32).alias(SEGMENT), pl.lit(-1, pl.Int32).alias(SUBSEGMENT))
    assert readable_rules(alone, DATA) == {3: Readable(None, ALONE)}
    user = members[USER][0]
    tiny = members.with_columns(pl.when(pl.col(USER) == user).then(7).otherwise(SEGMENT).cast(pl.Int32).alias(SEGMENT))
    assert readable_rules(tiny, DATA)[7] == Readable(None, TOO_FEW)
    nobody = members.with_columns(pl.lit(-1, pl.Int32).alias(SEGMENT))
    assert readable_rules(nobody, DATA) == {}


def test_a_segment_of_which_few_were_asked_says_so(monkeypatch) -> None:
    members = members_by(DATA, "event_count > 50")
    assert (members[SEGMENT] == 0).sum() > 20
    monkeypatch.setattr(readable, "MOST_USERS", 60)
    reason = readable_rules(members, DATA)[0].reason
    assert reason == "too few of the 120 users that were asked: each half of them needs 10 of it and 10 others"


def test_only_those_asked_for_are_made() -> None:
    members = members_by(DATA, 'share("Horror") > 0.5', "event_count > 30")
    assert set(readable_rules(members, DATA, [1])) == {1}
    assert readable_rules(members, DATA, []) == {}


@given(st.integers(1, 10_000), st.data())
def test_wilson_intervals_hold_the_share_and_lie_between_0_and_1(of: int, data) -> None:
    hits = data.draw(st.integers(0, of))
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of <= high <= 1
    assert low < high


def test_wilson_intervals_are_those_of_the_literature() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(29, 29) == pytest.approx((0.8830, 1.0), abs=1e-4)


SEGMENTS = pl.DataFrame({SEGMENT: pl.Series([0, 1, -1], dtype=pl.Int32), "name": ["a", "b", "-"]})


def test_a_table_of_before_gets_empty_columns_and_others_keep_what_they_have() -> None:
    old = with_rules(SEGMENTS, {})
    assert old.columns == [*SEGMENTS.columns, *READABLE]
    assert {c: old.schema[c] for c in READABLE} == READABLE
    assert old.select(READABLE.keys()).null_count().sum_horizontal().item() == 3 * len(READABLE)
    one = with_rules(old, {0: Readable("age > 3", None, 10, 8, 16, 40)})
    assert one.row(0, named=True)["rule_precision"] == 0.8
    assert one.row(0, named=True)["rule_recall"] == 0.5
    assert one.row(0, named=True)["rule_share"] == 0.4
    two = with_rules(one, {1: Readable(None, ALONE), 99: Readable(None, NONE)})
    assert two["rule"].to_list() == ["age > 3", None, None]
    assert two["rule_reason"].to_list() == [None, ALONE, None]
    gone = with_rules(two, {0: Readable(None, TOO_FEW)})
    assert gone.row(0)[2:-1] == (None,) * (len(READABLE) - 1)
    assert_frame_equal(with_rules(gone, {}), gone)


def test_rules_are_made_again_for_segments_that_changed_and_those_inside_them() -> None:
    before = members_by(
        DATA, 'share("Horror") > 0.5', "event_count > 23", inside={1: "mean_rating > 3", 2: "event_count > 21"}
    )
    marked = {n: Readable("event_count > 1", None, 1, 1, 1, 1) for n in (0, 1, 2, 12, 13, 14, 15)}
    segments = with_rules(pl.DataFrame({SEGMENT: pl.Series([0, 1, 2], dtype=pl.Int32)}), marked)
    inside = pl.DataFrame(
        {SEGMENT: [12, 13, 14, 15], "parent": [1, 1, 2, 2]},
        schema_overrides=dict.fromkeys([SEGMENT, "parent"], pl.Int32),
    )
    inside = with_rules(inside, marked)
    same = rules_again(segments, inside, before, before, DATA)
    assert same == (segments, inside) or same[0] is segments
    user = before.filter(pl.col(SEGMENT) == 0)[USER][0]
    here = pl.col(USER) == user
    after = before.with_columns(pl.when(here).then(pl.lit(1, pl.Int32)).otherwise(SEGMENT).alias(SEGMENT))
    top, below = rules_again(segments, inside, before, after, DATA)
    assert below is not None
    assert top.filter(rule="event_count > 1")[SEGMENT].to_list() == [2]
    assert below.filter(rule="event_count > 1")[SEGMENT].to_list() == [14, 15]
    fresh = readable_rules(after, DATA)
    assert_frame_equal(top.filter(pl.col(SEGMENT) < 2), with_rules(segments, fresh).filter(pl.col(SEGMENT) < 2))
    assert_frame_equal(below.head(2), with_rules(inside, fresh).head(2))


def test_users_who_came_or_went_count_as_moved() -> None:
    members = members_by(DATA, 'share("Horror") > 0.5', "event_count > 23")
    marked = {n: Readable("event_count > 1", None, 1, 1, 1, 1) for n in (0, 1, 2)}
    segments = with_rules(pl.DataFrame({SEGMENT: pl.Series([0, 1, 2], dtype=pl.Int32)}), marked)
    inside = segments.head(0).with_columns(parent=pl.lit(0, pl.Int32))
    user = members.filter(pl.col(SEGMENT) == 1)[USER][0]
    fewer = members.filter(pl.col(USER) != user)
    for before, after in ((fewer, members), (members, fewer)):
        top, _ = rules_again(segments, inside, before, after, DATA)
        assert top.filter(rule="event_count > 1")[SEGMENT].to_list() == [0, 2]


def test_a_sheet_says_what_the_rules_say() -> None:
    facts = ["event_count", 'share("Horror")', 'has("Film 3")', "days_since_last"]
    sheet = Sheet(DATA, facts)
    for text in ('event_count > 25 or share("Horror") <= 0.1', 'not has("Film 3") and days_since_last < 90'):
        expected = parse(text).matches(DATA)
        assert sheet.users.to_list() == expected[USER].to_list()
        assert sheet.matches(parse(text)).to_list() == expected["matched"].to_list()
    assert sheet.values["event_count"].sum() == DATA.interactions.height


def test_ids_may_be_strings_as_in_a_loaded_run(monkeypatch) -> None:
    members = members_by(DATA, 'share("Horror") > 0.5')
    tables = [
        table.with_columns(pl.col(pl.Categorical).cast(pl.String))
        for table in (DATA.interactions, DATA.items, DATA.users)
    ]
    loaded = Dataset(*tables, DATA.scale, DATA.report)
    assert readable_rules(members, loaded) == readable_rules(members, DATA)
    monkeypatch.setattr(readable, "MOST_USERS", 150)
    assert readable_rules(members, loaded) == readable_rules(members, DATA)


def test_the_guides_python_runs_and_shows_a_rule_for_each_segment(root, capsys) -> None:
    guide = (root / "docs" / "guides" / "segments.md").read_text(encoding="utf-8")
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL):
        exec(compile(block, "segments.md", "exec"), scope)
    rules = [line for line in capsys.readouterr().out.splitlines() if 'share("' in line and "|" not in line]
    assert len(rules) == 4
    assert all(line.endswith("None") for line in rules)
