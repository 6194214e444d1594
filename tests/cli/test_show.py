"""Commands that ask a run, against a double that answers with known tables."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from shoal.cli import main as cli
from shoal.cli.words import segment_table, with_titles
from shoal.data.dataset import Scale

SEGMENTS = pl.DataFrame(
    {
        "segment": pl.Series([0, -1], dtype=pl.Int32),
        "size": [1204, 141],
        "name": ["Late-night thrillers", "(unassigned)"],
        "sets_apart": ["noir, heist; rates 0.4 below mean", "fewer than 5 events"],
    }
)
ITEMS = pl.DataFrame({"item_id": pl.Series(["10", "20", "30"], dtype=pl.Categorical), "title": ["Laura", "Heat", None]})
INSIDE = pl.DataFrame(
    {
        "segment": [7], "parent": [0], "size": [600], "name": ["Heists"], "sets_apart": ["heist"],
        "stability": [0.875], "lift": [0.25], "lift_low": [0.031], "lift_high": [0.48], "verdict": ["holds"],
    },
    schema_overrides={"segment": pl.Int32, "parent": pl.Int32},
)  # fmt: skip


class Double:
    """A run that remembers what it was asked."""

    segments, subsegments = SEGMENTS, INSIDE
    data = SimpleNamespace(
        users=pl.DataFrame({"user_id": pl.Series(["1", "2"], dtype=pl.Categorical)}), items=ITEMS, scale=Scale(0.5, 5.0)
    )

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}

    def recommend(self, users=None, *, history=None, n=10, seen=False) -> pl.DataFrame:
        self.asked = {"users": users, "history": history, "n": n, "seen": seen}
        return pl.DataFrame(
            {
                "user_id": ["1", "1"],
                "item_id": ["20", "30"],
                "rank": [1, 2],
                "score": [0.5, 0.25],
                "source": ["text", "-"],
            }
        )

    def rate(self, pairs: pl.DataFrame) -> pl.DataFrame:
        self.asked = {"pairs": pairs.rows()}
        return pairs.with_columns(rating=pl.lit(4.126), spread=pl.lit(0.5))

    def assign(self, interactions: pl.DataFrame) -> pl.DataFrame:
        self.asked = {"users": interactions["user_id"].cast(pl.String).unique().sort().to_list()}
        members = {"user_id": ["9", "8"], "segment": pl.Series([0, -1], dtype=pl.Int32), "strength": [0.75, None]}
        return pl.DataFrame(members)


@pytest.fixture
def run(monkeypatch) -> Double:
    double = Double()
    monkeypatch.setitem(sys.modules, "shoal.pipeline", SimpleNamespace(load=lambda folder: double))
    return double


def said(capsys, *arguments: str) -> list[str]:
    code = cli.run(list(arguments))
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.splitlines()


def refused(capsys, *arguments: str) -> str:
    assert cli.run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_segments_are_a_table_with_subsegments_below_them_and_the_unassigned_under_a_dash(run, capsys) -> None:
    lines = said(capsys, "segments", "r")
    assert lines[0].split() == ["#", "users", "name", "sets", "it", "apart", "stable", "lift", "verdict"]
    assert [line.split()[:2] for line in lines[1:]] == [["-", "141"], ["0", "1,204"], ["›", "7"]]
    assert "+25 % (3 to 48)" in lines[3]
    assert lines[3].endswith("holds")


def test_segments_as_json_are_the_table_of_the_python_face(run, capsys) -> None:
    both = pl.concat([SEGMENTS, INSIDE], how="diagonal")
    assert json.loads("\n".join(said(capsys, "segments", "r", "--json"))) == both.to_dicts()


TOLD = {
    "rule": 'share("Noir") > 0.2', "rule_recall": 0.714, "rule_recall_low": 0.6, "rule_recall_high": 0.8,
    "rule_precision": 0.64, "rule_precision_low": 0.55, "rule_precision_high": 0.72, "rule_share": 0.18,
}  # fmt: skip


def test_one_segment_is_told_with_its_rule_and_how_much_that_finds(run, capsys, monkeypatch) -> None:
    reason = pl.when(pl.col("segment") == 0).then(None).otherwise(pl.lit("too few users")).alias("rule_reason")
    told = [pl.when(pl.col("segment") >= 0).then(pl.lit(v)).alias(k) for k, v in TOLD.items()]
    monkeypatch.setattr(run, "segments", SEGMENTS.with_columns(*told, reason), raising=False)
    monkeypatch.setattr(run, "subsegments", INSIDE.with_columns(*told), raising=False)
    lines = said(capsys, "segments", "r", "--segment", "0")
    assert lines[0] == "  0  Late-night thrillers"
    assert [line.strip() for line in lines[1:]] == [
        "users          1,204",
        "sets it apart  noir, heist; rates 0.4 below mean",
        'rule           share("Noir") > 0.2',
        "finds          71 % (60 to 80) of them; 64 % (55 to 72) of whom it finds belong "
        "(of those it was asked of: 18 %)",
    ]
    inner = said(capsys, "segments", "r", "--segment", "7")
    assert inner[1].endswith("600 of segment 0")
    assert inner[4].endswith("of whom it finds belong (of those in segment 0 it was asked of: 18 %)")
    assert "too few users" in said(capsys, "segments", "r", "--segment", "-1")[3]
    record = json.loads("\n".join(said(capsys, "segments", "r", "--segment", "0", "--json")))
    assert {k: record[0][k] for k in TOLD} == TOLD
    assert len(record) == 1


def test_a_segment_of_a_run_of_before_is_told_without_a_rule(run, capsys) -> None:
    assert not [
        line for line in said(capsys, "segments", "r", "--segment", "0") if line.split()[0] in ("rule", "finds")
    ]


def test_a_segment_that_the_run_does_not_have_is_refused(run, capsys) -> None:
    assert "no segment 5; it has -1, 0, 7" in refused(capsys, "segments", "r", "--segment", "5")


def test_recommendations_stand_beside_the_titles_of_the_catalogue(run, capsys) -> None:
    lines = said(capsys, "recommend", "r", "--user", "1", "--user", "2", "--n", "2", "--seen")
    assert lines[1].split() == ["1", "1", "20", "Heat", "0.500", "text"]
    assert lines[2].split() == ["1", "2", "30", "30", "0.250", "-"]  # an item without a title goes by its id
    assert run.asked == {"users": ["1", "2"], "history": None, "n": 2, "seen": True}


def test_everyone_is_asked_for_by_name(run, capsys) -> None:
    said(capsys, "recommend", "r", "--all")
    assert run.asked["users"] is None


def test_recommendations_for_newcomers_are_made_from_their_history(run, capsys, tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("user_id,item_id,rating\n9,10,4\n", encoding="utf-8")
    records = json.loads("\n".join(said(capsys, "recommend", "r", "--history", str(path), "--json")))
    assert records[0] == {"user_id": "1", "rank": 1, "item_id": "20", "title": "Heat", "score": 0.5, "source": "text"}
    assert run.asked["history"].height == 1


@pytest.mark.parametrize("options", [[], ["--user", "1", "--all"], ["--all", "--history", "x.csv"]])
def test_recommend_wants_to_know_whom_for_in_one_way(run, capsys, options) -> None:
    assert "Say whom for, in one way" in refused(capsys, "recommend", "r", *options)


def test_an_unknown_user_or_item_is_refused(run, capsys) -> None:
    assert "This run has no user 77" in refused(capsys, "recommend", "r", "--user", "77")
    assert "This run has no item 77" in refused(capsys, "rate", "r", "--user", "1", "--item", "77")


def test_one_pair_is_rated(run, capsys) -> None:
    assert said(capsys, "rate", "r", "--user", "1", "--item", "20")[1].split() == ["1", "20", "Heat", "4.13", "0.50"]


def test_a_file_of_pairs_is_rated_in_its_order_with_strangers_in_it(run, capsys, tmp_path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("user_id,item_id\n2,10\nstranger,99\n", encoding="utf-8")
    lines = said(capsys, "rate", "r", str(path))
    assert run.asked["pairs"] == [("2", "10"), ("stranger", "99")]
    assert lines[2].split() == ["stranger", "99", "99", "4.13", "0.50"]


@pytest.mark.parametrize("options", [[], ["--user", "1"], ["--item", "10"], ["p.csv", "--user", "1"]])
def test_rate_wants_to_know_what_to_rate_in_one_way(run, capsys, options) -> None:
    assert "Say what to rate, in one way" in refused(capsys, "rate", "r", *options)


def test_assigned_users_stand_beside_the_name_of_their_segment(run, capsys, tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("user_id,item_id,rating\n9,10,4\n8,20,3\n", encoding="utf-8")
    lines = said(capsys, "assign", "r", str(path))
    assert run.asked["users"] == ["8", "9"]
    assert [line.split("   ")[0].strip() for line in lines[1:]] == ["9", "8"]
    assert "Late-night thrillers" in lines[1]
    assert "(unassigned)" in lines[2]


def test_titles_fall_back_to_ids_where_the_catalogue_has_no_words() -> None:
    bare = SimpleNamespace(data=SimpleNamespace(items=ITEMS.select("item_id")))
    table = with_titles(pl.DataFrame({"rank": [1], "item_id": ["10"], "score": [0.5]}), bare)
    assert table.rows() == [(1, "10", "10", 0.5)]
    assert table.columns == ["rank", "item_id", "title", "score"]


def test_a_segment_table_shows_only_what_it_has() -> None:
    table, headers = segment_table(SEGMENTS)
    assert list(headers) == ["#", "size", "name", "sets_apart"]
    assert table["#"].to_list() == ["0", "-"]
