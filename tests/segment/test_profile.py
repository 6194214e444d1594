"""Profiles: counted by hand on a small world, planted topics on a larger one."""

from __future__ import annotations

import polars as pl
import pytest

from shoal.data.dataset import make
from shoal.data.synthetic import TOPICS, noise_world, planted_world
from shoal.errors import TableError
from shoal.segment.profile import PROFILES, profiles
from shoal.tables import SEGMENT


@pytest.fixture(scope="module")
def world():
    return planted_world(users=120, items=80, events_per_user=15, seed=1)


@pytest.fixture(scope="module")
def planted(world) -> pl.DataFrame:
    dataset, truth = world
    return profiles(truth, dataset.interactions, dataset.items)


def small() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Two segments of two users and one user alone; ratings 4 in segment 0 and 2 elsewhere."""
    rows = [(u, i, 4.0) for u in "ab" for i in ("x", "y")] + [(u, "z", 2.0) for u in "cd"] + [("e", "x", 2.0)]
    items = pl.DataFrame({"item_id": ["x", "y", "z"], "title": ["Ex", None, "Zed"], "kind": [["p"], ["p", "q"], ["r"]]})
    users = pl.DataFrame({"user_id": list("abcde"), "job": ["cook", "cook", "smith", "smith", None]})
    data = make(pl.DataFrame(rows, schema=["user_id", "item_id", "rating"], orient="row"), items, users)
    members = pl.DataFrame(
        {"user_id": list("abcde"), "segment": [0, 0, 1, 1, -1]}, schema_overrides={"segment": pl.Int32}
    )
    return members, data.interactions, data.items, data.users


def test_sizes_shares_and_habits_are_counted_by_hand():
    table = profiles(*small()[:3])
    assert table["segment"].to_list() == [-1, 0, 1]
    assert table["size"].to_list() == [1, 2, 2]
    assert table["share"].to_list() == [0.2, 0.4, 0.4]
    assert table["events_per_user"].to_list() == [1, 2, 1]
    assert table["rating_mean"].to_list() == [2, 4, 2]
    assert table["rating_gap"].to_list() == pytest.approx([2 - 22 / 7, 4 - 22 / 7, 2 - 22 / 7], abs=1e-6)


def test_the_columns_are_as_promised(planted):
    assert dict(planted.schema) == PROFILES
    assert dict(profiles(*small()[:3]).schema) == PROFILES


def test_shares_are_against_everyone_else_and_not_against_everyone(world, planted):
    dataset, truth = world
    events = dataset.interactions.with_columns(pl.col("user_id").cast(pl.String)).join(truth, on="user_id")
    events = events.join(dataset.items, on="item_id").with_columns(hit=pl.col("genres").list.contains("Space"))
    inside = events.filter(pl.col(SEGMENT) == 0)["hit"].mean()
    outside = events.filter(pl.col(SEGMENT) != 0)["hit"].mean()
    space = next(c for c in planted["categories"][0] if c["label"] == "Space")
    assert (space["share_in"], space["share_out"]) == pytest.approx((inside, outside))


def test_the_planted_topic_comes_first_and_leads_the_sentence(planted):
    for row, topic in zip(planted.to_dicts(), TOPICS, strict=False):
        assert row["categories"][0]["label"] == topic
        assert row["sets_apart"].startswith(f"{topic} ")
        assert "elsewhere" in row["sets_apart"]
        assert {w["label"].split()[0] for w in row["words"]} <= set(TOPICS[topic])


def test_labels_run_from_the_most_over_used_to_the_most_under_used(planted):
    for labels in planted["categories"]:
        values = [label["contrast"] for label in labels]
        assert values == sorted(values, reverse=True)
        assert values[0] > 0 > values[-1]


def test_exemplars_are_items_of_the_planted_topic(world, planted):
    genres = dict(world[0].items.select(pl.col("item_id").cast(pl.String), pl.col("genres").list.first()).rows())
    for row, topic in zip(planted.to_dicts(), TOPICS, strict=False):
        assert {genres[e["item_id"]] for e in row["exemplars"]} == {topic}
        assert all(e["share_in"] > e["share_out"] for e in row["exemplars"])


def test_traits_come_from_the_users_table():
    members, interactions, items, users = small()
    many = pl.concat([users.with_columns(user_id=pl.col("user_id").cast(pl.String) + str(k)) for k in range(20)])
    events = pl.concat(
        [interactions.with_columns(user_id=pl.col("user_id").cast(pl.String) + str(k)) for k in range(20)]
    )
    people = pl.concat([members.with_columns(user_id=pl.col("user_id") + str(k)) for k in range(20)])
    data = make(events, items, many)
    table = profiles(people, data.interactions, data.items, users=data.users)
    cooks = table.filter(segment=0)["user_traits"][0][0]
    assert (cooks["label"], cooks["kind"], cooks["share_in"], cooks["share_out"]) == ("cook", "job", 1.0, 0.0)
    assert profiles(people, data.interactions, data.items)["user_traits"].list.len().sum() == 0


def test_order_of_rows_does_not_matter(world, planted):
    dataset, truth = world
    shuffled = profiles(
        truth.sample(fraction=1, shuffle=True, seed=1),
        dataset.interactions.sample(fraction=1, shuffle=True, seed=2),
        dataset.items.sample(fraction=1, shuffle=True, seed=3),
    )
    assert shuffled.equals(planted)


def test_random_segments_of_a_noise_world_have_hardly_a_contrast(planted):
    dataset, truth = noise_world(users=120, items=80, events_per_user=15, seed=1)
    table = profiles(truth, dataset.interactions, dataset.items)

    def largest(profiled: pl.DataFrame) -> float:
        return max((abs(c["contrast"]) for labels in profiled["categories"] for c in labels), default=0.0)

    assert largest(table) < 3.5 < 20 < largest(planted)


def test_without_ratings_texts_and_users_the_lists_are_empty_and_rating_is_null():
    members, interactions, items, _ = small()
    table = profiles(members, interactions.drop("rating"), items.select("item_id"))
    assert table["rating_mean"].null_count() == table["rating_gap"].null_count() == 3
    for column in ("categories", "words", "user_traits"):
        assert table[column].list.len().to_list() == [0, 0, 0]


def test_one_segment_of_everyone_has_nothing_elsewhere():
    members, interactions, items, _ = small()
    table = profiles(members.with_columns(segment=pl.lit(0, pl.Int32)), interactions, items)
    assert table["categories"].to_list() == [[]]
    assert table["sets_apart"].to_list() == ["much like everyone"]


def test_a_segment_whose_members_did_nothing_is_there():
    members, interactions, items, _ = small()
    idle = pl.DataFrame({"user_id": ["nobody"], "segment": [2]}, schema_overrides={"segment": pl.Int32})
    table = profiles(pl.concat([members, idle]), interactions, items)
    row = table.filter(segment=2).to_dicts()[0]
    assert (row["size"], row["events_per_user"], row["rating_mean"]) == (1, 0, None)


def test_users_who_are_no_members_are_left_out():
    members, interactions, items, _ = small()
    assert profiles(members.filter(segment=0), interactions, items)["rating_gap"].to_list() == [0.0]


def test_members_without_a_segment_column_are_refused():
    members, interactions, items, _ = small()
    with pytest.raises(TableError, match="members has no column segment"):
        profiles(members.rename({"segment": "segments"}), interactions, items)


def test_unassigned_users_are_told_plainly():
    assert profiles(*small()[:3])["sets_apart"][0] == "too few events to be placed (median 1)"
