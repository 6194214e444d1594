from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoal.data import split
from shoal.data.dataset import Dataset, make
from shoal.errors import ConfigError, NotEnoughDataError

START = datetime(2015, 3, 1)


def world(users: int = 30, items: int = 20, share: float = 0.5, seed: int = 0) -> Dataset:
    """Random events with ratings 1 to 5 and times on a coarse clock, so that many are equal."""
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(rng.random((users, items)) < share)
    hours = rng.integers(0, 48, len(user))
    return make(
        pl.DataFrame(
            {
                "user_id": [f"u{u}" for u in user],
                "item_id": [f"i{i}" for i in item],
                "rating": rng.integers(1, 6, len(user)).astype(np.float32),
                "at": pl.Series([START + timedelta(hours=int(h)) for h in hours], dtype=pl.Datetime("us")),
            }
        ),
        name="world",
    )


def events(*rows: tuple[str, str, int | None]) -> Dataset:
    """User, item and day; at least two users and items."""
    days = [None if day is None else START + timedelta(days=day) for _, _, day in rows]
    table = {"user_id": [r[0] for r in rows], "item_id": [r[1] for r in rows]}
    return make(pl.DataFrame({**table, "at": pl.Series(days, dtype=pl.Datetime("us"))}), name="small")


def pairs(table: pl.DataFrame) -> set[tuple[str, str]]:
    return set(table.select(pl.col("user_id", "item_id").cast(pl.String)).rows())


def users(table: pl.DataFrame) -> set[str]:
    return set(table["user_id"].cast(pl.String))


def items(table: pl.DataFrame) -> set[str]:
    return set(table["item_id"].cast(pl.String))


WORLD = world()
CALLS = {
    "random": {},
    "temporal": {},
    "last-out": {"n": 2},
    "strong": {"relevant_from": 2},
    "cold-item": {"share": 0.2},
    "cold-user": {"shown": 2, "order": "time"},
}


@pytest.mark.parametrize(("protocol", "options"), CALLS.items())
def test_the_tables_keep_the_columns_and_types_of_the_data(protocol, options):
    made = split.split(WORLD, protocol, **options)
    for table in (made.train.interactions, made.given, made.test):
        assert table.schema == WORLD.interactions.schema
    assert made.protocol == protocol
    assert made.train.items.equals(WORLD.items)
    assert made.train.users.equals(WORLD.users)
    assert made.train.scale == WORLD.scale


@pytest.mark.parametrize(("protocol", "options"), CALLS.items())
def test_a_split_does_not_depend_on_the_order_of_rows(protocol, options):
    shuffled = make(WORLD.interactions.sample(fraction=1, shuffle=True, seed=3), name="world")
    one, other = split.split(WORLD, protocol, **options), split.split(shuffled, protocol, **options)
    assert pairs(one.test) == pairs(other.test)
    assert pairs(one.given) == pairs(other.given)
    assert pairs(one.train.interactions) == pairs(other.train.interactions)
    assert (one.notes, one.candidates, one.cutoff) == (other.notes, other.candidates, other.cutoff)


@pytest.mark.parametrize("protocol", [p for p in CALLS if p != "temporal"])
def test_the_same_seed_gives_the_same_split_and_another_seed_another(protocol):
    options = CALLS[protocol]
    one, again = (split.split(WORLD, protocol, **options, seed=1) for _ in range(2))
    assert one.test.equals(again.test)
    assert one.train.interactions.equals(again.train.interactions)
    assert pairs(one.test) != pairs(split.split(WORLD, protocol, **options, seed=2).test)


def test_random_holds_out_the_share_and_shows_test_users_their_training_events():
    made = split.random(WORLD, share=0.25)
    assert made.test.height == round(0.25 * WORLD.interactions.height)
    assert pairs(made.given) == {p for p in pairs(made.train.interactions) if p[0] in users(made.test)}


def test_random_prefers_no_id():
    big = world(users=200, items=50, share=0.5)
    held_out = split.random(big, share=0.5).test.select("user_id", "item_id", asked=1)
    asked = big.interactions.join(held_out, on=["user_id", "item_id"], how="left").with_columns(
        pl.col("asked").fill_null(0)
    )
    for column, per_id in (("user_id", 25), ("item_id", 100)):
        shares = asked.group_by(column).agg(pl.col("asked").mean())["asked"]
        assert shares.std() == pytest.approx(0.5 / per_id**0.5, rel=0.35)  # what independent coins would give


def test_temporal_puts_every_event_at_or_after_one_moment_into_the_test():
    made = split.temporal(WORLD, share=0.3)
    assert made.train.interactions["at"].max() < made.cutoff
    assert made.given["at"].max() < made.cutoff
    assert made.test["at"].min() == made.cutoff
    assert made.test.height / WORLD.interactions.height == pytest.approx(0.3, abs=0.03)
    assert made.left_out == 0


def test_temporal_keeps_events_of_one_moment_together_and_takes_the_closest_share():
    data = events(("a", "x", 1), ("b", "y", 1), ("b", "x", 2), ("a", "y", 2), ("b", "z", 2), ("a", "z", 3))
    assert split.temporal(data, share=0.5).cutoff == START + timedelta(days=2)
    assert split.temporal(data, share=0.2).cutoff == START + timedelta(days=3)


def test_temporal_takes_a_moment_and_understands_zones():
    at = START + timedelta(hours=20)
    one = split.temporal(WORLD, at=at)
    assert one.cutoff == at
    assert split.temporal(WORLD, at=at.replace(tzinfo=UTC)).test.equals(one.test)


def test_temporal_leaves_events_without_a_time_out_of_both_sides_and_counts_them():
    data = events(("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("b", "y", None), ("c", "x", None), ("b", "z", 9))
    made = split.temporal(data, share=0.3)
    assert pairs(made.train.interactions) | pairs(made.test) == {("a", "x"), ("a", "y"), ("b", "x"), ("b", "z")}
    assert made.left_out == 2
    assert "2 events without a time are on neither side" in made.notes


def test_temporal_says_which_test_users_and_items_are_cold():
    data = events(("a", "x", 1), ("a", "y", 1), ("b", "x", 1), ("c", "x", 9), ("a", "z", 9))
    made = split.temporal(data, share=0.4)
    assert users(made.given) == {"a"}
    assert made.notes == ("1 test users are shown nothing", "1 test events have items unknown to training")


def test_temporal_refuses_a_moment_outside_the_data():
    with pytest.raises(
        NotEnoughDataError, match=r"leaves 0 events to learn from and \d+ to ask; the events lie between"
    ):
        split.temporal(WORLD, at=datetime(1999, 1, 1))


def test_temporal_refuses_data_of_one_moment():
    data = events(("a", "x", 1), ("a", "y", 1), ("b", "x", 1))
    with pytest.raises(NotEnoughDataError, match=r"All 3 events happened at 2015-03-02"):
        split.temporal(data)


def test_last_out_holds_out_the_newest_events():
    data = events(*(("a", f"i{d}", d) for d in range(5)), *(("b", f"i{d}", 9 - d) for d in range(5)))
    assert pairs(split.last_out(data).test) == {("a", "i4"), ("b", "i0")}
    assert pairs(split.last_out(data, n=2).test) == {("a", "i4"), ("a", "i3"), ("b", "i0"), ("b", "i1")}


def test_last_out_never_trains_on_an_event_after_the_test_event():
    made = split.last_out(WORLD)
    newest = made.train.interactions.group_by("user_id").agg(pl.col("at").max().alias("newest"))
    assert made.test.join(newest, on="user_id").filter(pl.col("newest") > pl.col("at")).height == 0
    assert made.test.height == made.test["user_id"].n_unique()


def test_events_at_one_moment_are_held_out_at_random_and_not_by_id():
    data = events(*((f"u{u:03}", f"i{i}", 1) for u in range(300) for i in range(6)))
    held_out = split.last_out(data, n=1).test["item_id"].cast(pl.String).value_counts()
    assert held_out.height == 6
    assert held_out["count"].max() < 90  # 50 in expectation; ties broken by id would put 300 on one item
    assert pairs(split.last_out(data, seed=1).test) != pairs(split.last_out(data, seed=2).test)


def test_last_out_trains_on_users_with_few_events_or_unknown_times_and_does_not_ask_them():
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("b", "y", 2), ("b", "z", None)]
    data = events(*rows, *(("c", i, d) for d, i in enumerate("xyz")))
    made = split.last_out(data)
    assert pairs(made.test) == {("c", "z")}
    assert users(made.train.interactions) == {"a", "b", "c"}
    assert made.notes == (
        "1 users with fewer than 3 events are trained on and not asked",
        "1 users with an event without a time are trained on and not asked",
    )


def test_strong_holds_out_whole_users_and_shows_most_of_their_events():
    made = split.strong(WORLD, users_share=0.2)
    assert users(made.test) == users(made.given)
    assert not users(made.test) & users(made.train.interactions)
    assert len(users(made.test)) == 6
    counts = (
        made.given["user_id"]
        .value_counts(name="shown")
        .join(made.test["user_id"].value_counts(name="asked"), on="user_id")
    )
    expected = counts.select(((pl.col("shown") + pl.col("asked")) * 0.2 + 1e-9).floor().clip(1))
    assert counts["asked"].to_list() == expected.to_series().to_list()


def test_strong_asks_exactly_a_fifth_where_floats_fall_short():
    data = make(
        pl.DataFrame([(f"u{u}", f"i{i}") for u in range(9) for i in range(10)], ["user_id", "item_id"], orient="row")
    )
    made = split.strong(data, shown=0.8)
    assert set(made.test["user_id"].value_counts()["count"]) == {2}


def test_strong_keeps_likes_alone_and_users_with_enough_of_them():
    made = split.strong(WORLD, relevant_from=4)
    together = pl.concat([made.train.interactions, made.given, made.test])
    assert together["rating"].min() >= 4
    assert together["user_id"].value_counts()["count"].min() >= 5
    liked = WORLD.interactions.filter(pl.col("rating") >= 4)
    assert f"{WORLD.interactions.height - liked.height} events below 4 are left out" in made.notes
    assert made.left_out == WORLD.interactions.height - together.height


def test_strong_leaves_out_items_that_no_training_user_has_and_counts_them():
    rows = [(f"u{u}", f"i{i}") for u in range(10) for i in range(6)] + [(f"u{u}", f"own{u}") for u in range(10)]
    made = split.strong(make(pl.DataFrame(rows, ["user_id", "item_id"], orient="row")), users_share=0.3)
    assert items(made.test) | items(made.given) <= items(made.train.interactions)
    assert made.notes == ("3 events of held-out users with items unknown to training are left out",)
    assert made.left_out == 3


def test_strong_can_take_likes_of_counts_and_refuses_to_where_there_are_no_values():
    counts = make(WORLD.interactions.rename({"rating": "weight"}))
    assert split.strong(counts, relevant_from=3).test["weight"].min() >= 3
    bare = make(WORLD.interactions.drop("rating"), name="clicks")
    with pytest.raises(ConfigError, match="relevant_from = 3: clicks has neither ratings nor counts"):
        split.strong(bare, relevant_from=3)


def test_cold_item_holds_out_whole_items_and_they_are_the_candidates():
    made = split.cold_item(WORLD, share=0.2)
    assert len(made.candidates) == 4
    assert list(made.candidates) == sorted(made.candidates)
    assert items(made.test) == set(made.candidates)
    assert not items(made.train.interactions) & set(made.candidates)
    assert users(made.given) == users(made.test)


def test_cold_item_leaves_out_users_who_have_cold_items_alone():
    rows = [(f"u{u}", f"i{i}") for u in range(5) for i in range(10)] + [(f"lone{i}", f"i{i}") for i in range(10)]
    made = split.cold_item(make(pl.DataFrame(rows, ["user_id", "item_id"], orient="row")), share=0.3)
    assert users(made.test) == {f"u{u}" for u in range(5)}
    assert made.left_out == 3
    assert made.notes == ("3 events of users who have held-out items alone are left out",)


@pytest.mark.parametrize("shown", [0, 1, 3])
def test_cold_user_shows_so_many_events_of_each_and_asks_for_the_rest(shown):
    made = split.cold_user(WORLD, shown=shown)
    assert made.given.height == shown * len(users(made.test))
    assert not users(made.test) & users(made.train.interactions)
    assert made.left_out == 0


def test_cold_user_by_time_shows_the_oldest_events():
    made = split.cold_user(WORLD, shown=2, order="time")
    first = made.test.group_by("user_id").agg(pl.col("at").min().alias("first"))
    assert made.given.join(first, on="user_id").filter(pl.col("at") > pl.col("first")).height == 0


def test_cold_user_by_time_keeps_users_with_unknown_times_in_training():
    rows = [(f"u{u}", i, d if u else None) for u in range(6) for d, i in enumerate("wxyz")]
    made = split.cold_user(events(*rows), users_share=0.9, order="time")
    assert "u0" in users(made.train.interactions)
    assert "1 users with an event without a time are not held out" in made.notes


def test_cold_user_keeps_users_with_few_events_in_training():
    rows = [(f"u{u}", f"i{i}") for u in range(6) for i in range(4)] + [("short", "i0")]
    data = make(pl.DataFrame(rows, ["user_id", "item_id"], orient="row"))
    assert all("short" in users(split.cold_user(data, users_share=0.9, seed=s).train.interactions) for s in range(5))


def test_every_protocol_can_be_called_by_name_with_its_options():
    assert set(split.PROTOCOLS) == set(CALLS)
    by_name, by_hand = split.split(WORLD, "random", share=0.4, seed=2), split.random(WORLD, share=0.4, seed=2)
    assert by_name.test.equals(by_hand.test)


def test_an_unknown_protocol_or_option_is_named_with_the_closest_one():
    with pytest.raises(ConfigError, match=r"last_out is not a protocol\. Did you mean last-out\? Known: random, temp"):
        split.split(WORLD, "last_out")
    with pytest.raises(ConfigError, match=r"strong has no option user_share\. Did you mean users_share\?"):
        split.split(WORLD, "strong", user_share=0.1)


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        ("random", {"share": 0}, r"share = 0: must lie between 0 and 1"),
        ("random", {"share": 1.0}, r"share = 1\.0: must lie between 0 and 1"),
        ("temporal", {"share": float("nan")}, r"share = nan: must lie"),
        ("last-out", {"n": 0}, r"n = 0: must be a whole number, 1 or more"),
        ("last-out", {"n": 1.5}, r"n = 1\.5: must be a whole number"),
        ("strong", {"shown": 1}, r"shown = 1: must lie between"),
        ("strong", {"min_events": 1}, r"min_events = 1: must be a whole number, 2 or more"),
        ("cold-user", {"shown": -1}, r"shown = -1: must be a whole number, 0 or more"),
        ("cold-user", {"order": "tim"}, r"order = 'tim': must be random or time\. Did you mean time\?"),
    ],
)
def test_an_option_out_of_range_is_refused(protocol, options, message):
    with pytest.raises(ConfigError, match=message):
        split.split(WORLD, protocol, **options)


@pytest.mark.parametrize(
    ("protocol", "options"), [("temporal", {}), ("last-out", {}), ("cold-user", {"order": "time"})]
)
def test_protocols_that_need_times_say_so(protocol, options):
    timeless = make(WORLD.interactions.drop("at"), name="goodbooks")
    with pytest.raises(NotEnoughDataError, match=rf"{protocol} needs times, and goodbooks has none.*split\.random"):
        split.split(timeless, protocol, **options)


def test_a_split_that_would_leave_nothing_to_ask_or_to_learn_is_refused():
    short = events(("a", "x", 1), ("a", "y", 2), ("b", "x", 3))
    with pytest.raises(NotEnoughDataError, match="last-out finds no event to ask"):
        split.last_out(short)
    with pytest.raises(NotEnoughDataError, match="strong holds out whole users, and 0 users have enough events"):
        split.strong(short)
    with pytest.raises(NotEnoughDataError, match=r"random leaves 1 events of 1 users and 1 items to learn from"):
        split.random(short, share=0.9)
