"""Export: whole files, stable holdouts, changes that add up, and small segments that are not told of."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoal.errors import ConfigError, MismatchError, StoreError
from shoal.segment.export import changes, export, held_out, members_table, read_state
from shoal.tables import UNASSIGNED

SEGMENTS = pl.DataFrame(
    {"segment": pl.Series([-1, 0, 1, 2], dtype=pl.Int32), "name": ["(unassigned)", "Drama", "Comedy", "War"]}
)


def members(*sizes, unassigned=3):
    segment = [UNASSIGNED] * unassigned + [s for s, n in enumerate(sizes) for _ in range(n)]
    n = len(segment)
    return pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(n)],
            "segment": pl.Series(segment, dtype=pl.Int32),
            "strength": pl.Series([0.5] * n, dtype=pl.Float32),
            "subsegment": [f"{s}.0" for s in segment],
        }
    )


def read(path):
    return {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[path.suffix](path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_all_formats_hold_the_same_members_with_names_and_further_columns(tmp_path, suffix):
    done = export(members(30, 25), SEGMENTS, tmp_path / f"m{suffix}", holdout=0.2)
    table = read(done.path)
    assert table.columns == ["user_id", "segment", "name", "strength", "subsegment", "holdout"]
    assert table.height == done.rows == 58
    assert table.filter(pl.col("segment") == 1)["name"].unique().to_list() == ["Comedy"]
    assert table["user_id"].is_sorted()


def test_the_order_of_members_does_not_change_a_byte(tmp_path):
    table = members(30, 25)
    one = export(table, SEGMENTS, tmp_path / "a.csv").path.read_bytes()
    other = export(table.reverse(), SEGMENTS, tmp_path / "b.csv").path.read_bytes()
    assert one == other


def test_members_of_a_small_segment_are_withheld_and_counted_and_the_unassigned_are_not(tmp_path):
    done = export(members(30, 19), SEGMENTS, tmp_path / "m.csv", k=20)
    table = read(done.path)
    assert done.withheld == {1: 19}
    assert set(table["segment"]) == {-1, 0}
    assert export(members(30, 19), SEGMENTS, tmp_path / "m.csv", k=19).withheld == {}


def test_a_holdout_is_close_to_its_share_in_every_segment():
    table, _ = members_table(members(4000, 2000), SEGMENTS, holdout=0.1)
    for _, part in table.filter(pl.col("segment") >= 0).group_by("segment"):
        assert part["holdout"].mean() == pytest.approx(0.1, abs=0.02)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40, unique=True), st.integers(0, 3))
def test_who_is_held_out_depends_on_no_one_else(users, seed):
    alone = [held_out(pl.Series([one]), 0.3, seed=seed)[0] for one in users]
    together = held_out(pl.Series(users), 0.3, seed=seed).to_list()
    assert alone == together
    more = held_out(pl.Series(users), 0.6, seed=seed).to_list()
    assert all(wide or not narrow for narrow, wide in zip(together, more, strict=True))


def test_the_holdout_is_this_one_for_ever():
    """Another version of Shoal must draw the same users: a campaign outlives it."""
    lots = held_out(pl.Series([f"u{i}" for i in range(20)]), 0.25, seed=7)
    assert [i for i, out in enumerate(lots) if out] == [1, 3, 4, 6, 8, 18]


def test_another_seed_holds_out_others():
    users = pl.Series([f"u{i}" for i in range(500)])
    one, other = held_out(users, 0.5, seed=0), held_out(users, 0.5, seed=1)
    assert 0.4 < (one == other).mean() < 0.6


def placed(pairs):
    return pl.DataFrame(pairs, {"user_id": pl.String, "segment": pl.Int32}, orient="row")


def test_changes_say_who_entered_left_and_moved():
    before = placed([("a", 0), ("b", 0), ("c", 1), ("d", -1), ("e", 1), ("f", -1)])
    now = placed([("a", 0), ("b", 1), ("c", -1), ("d", 1), ("g", 0), ("f", -1), ("h", -1)])
    assert changes(now, before).rows() == [
        ("b", "moved", 1, 0),
        ("c", "left", -1, 1),
        ("d", "entered", 1, -1),
        ("e", "left", -1, 1),
        ("g", "entered", 0, -1),
    ]


SEGMENT_OF = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 2))


@given(SEGMENT_OF, SEGMENT_OF)
def test_the_changes_laid_over_the_last_export_give_the_next_one(before, now):
    table = changes(placed(list(now.items())), placed(list(before.items())))
    made = {u: s for u, s in before.items() if s >= 0}
    for user, change, segment, old in table.rows():
        assert (change == "entered") == (old == -1)
        assert (change == "left") == (segment == -1)
        if segment >= 0:
            made[user] = segment
        else:
            made.pop(user)
    assert made == {u: s for u, s in now.items() if s >= 0}


def test_a_delta_holds_the_changes_alone_and_the_next_one_starts_from_it(tmp_path):
    first = members(30, 25)
    export(first, SEGMENTS, tmp_path / "m.csv", holdout=0.1)
    second = first.with_columns(
        segment=pl.when(pl.col("user_id") == "u10").then(1).otherwise("segment").cast(pl.Int32)
    ).filter(pl.col("user_id") != "u40")
    done = export(second, SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv", holdout=0.1)
    assert done.changes == {"entered": 0, "left": 1, "moved": 1}
    table = read(done.path)
    assert table.select("user_id", "change", "segment", "segment_before").rows() == [
        ("u10", "moved", 1, 0),
        ("u40", "left", -1, 1),
    ]
    again = export(second, SEGMENTS, tmp_path / "d.csv", since=tmp_path / "d.csv", holdout=0.1)
    assert again.rows == 0
    assert read(again.path).columns == table.columns
    assert_frame_equal(read_state(done.state)[0], read_state(again.state)[0])


def test_a_delta_of_another_fit_is_said(tmp_path):
    export(members(30), SEGMENTS, tmp_path / "m.csv", source="one")
    same = export(members(30), SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv", source="one")
    other = export(members(30), SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv", source="two")
    assert same.notes == ()
    assert "may now be another segment" in other.notes[0]


@pytest.mark.parametrize("options", [{"holdout": 0.2}, {"holdout": 0.1, "seed": 1}])
def test_a_delta_with_another_holdout_is_refused(tmp_path, options):
    export(members(30), SEGMENTS, tmp_path / "m.csv", holdout=0.1)
    with pytest.raises(MismatchError, match="users would change sides"):
        export(members(30), SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv", **options)
    assert not (tmp_path / "d.csv").exists()


def test_a_last_export_that_is_none_is_refused(tmp_path):
    with pytest.raises(StoreError, match="There is no"):
        export(members(30), SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv")
    (tmp_path / "m.csv.state.parquet").write_bytes(b"no parquet")
    with pytest.raises(StoreError, match="is not the state of an export"):
        export(members(30), SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv")
    pl.DataFrame({"user_id": ["a"]}).write_parquet(tmp_path / "m.csv.state.parquet")
    with pytest.raises(StoreError, match="is not the state of an export"):
        export(members(30), SEGMENTS, tmp_path / "d.csv", since=tmp_path / "m.csv")


def test_a_last_export_that_was_changed_by_hand_is_refused(tmp_path):
    path = export(members(30), SEGMENTS, tmp_path / "m.csv").path
    path.write_text(path.read_text() + "x,1,Drama,1,1.0,false\n")
    with pytest.raises(StoreError, match="one of them was changed"):
        export(members(30), SEGMENTS, tmp_path / "d.csv", since=path)


def test_a_state_of_a_newer_shoal_is_refused(tmp_path):
    state = export(members(30), SEGMENTS, tmp_path / "m.csv").state
    head = json.loads(pl.read_parquet_metadata(state)["shoal"]) | {"format": 99}
    pl.read_parquet(state).write_parquet(state, metadata={"shoal": json.dumps(head)})
    with pytest.raises(StoreError, match="newer shoal"):
        read_state(state)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("m.xlsx", {}, r"must end in .csv, .parquet or .jsonl"),
        ("m", {}, "must end in"),
        ("m.csv", {"k": 0}, "k = 0: must be 1 or more"),
        ("m.csv", {"holdout": 1.0}, "holdout = 1.0: must be a share"),
        ("m.csv", {"holdout": -0.1}, "must be a share"),
    ],
)
def test_bad_settings_are_refused_and_nothing_is_written(tmp_path, name, options, words):
    with pytest.raises(ConfigError, match=words):
        export(members(30), SEGMENTS, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []
