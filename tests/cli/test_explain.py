"""`shoal explain`, against a double that answers with known tables."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from shoal.cli import main as cli
from shoal.explain.faithful import FAITHFUL, Faithfulness
from shoal.reasons import MEMBERSHIPS, SHARED, Why
from shoal.shares import BY_MODEL, SHARES, Shares

ITEMS = pl.DataFrame({"item_id": pl.Series(["10", "20", "30"], dtype=pl.Categorical), "title": ["Laura", "Heat", None]})
EVENTS = pl.DataFrame({"item_id": ["10"], "value": [4.0], "effect": [0.1], "attention": [0.2]})


class Double:
    """A run that remembers what it was asked."""

    data = SimpleNamespace(users=pl.DataFrame({"user_id": pl.Series(["1", "2"], dtype=pl.Categorical)}), items=ITEMS)

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}

    def explain(self, user: str, item: str | None = None) -> pl.DataFrame:
        self.asked = {"user": user, "item": item}
        return EVENTS.head(0 if item == "30" else 1)

    def why(self, user: str) -> Why:
        placed = user == "1"
        memberships = pl.DataFrame([(1, "Noir", 0.75, placed), (0, "War", 0.25, False)], MEMBERSHIPS, orient="row")
        shared = pl.DataFrame([("20", 0.61, 0.08)], SHARED, orient="row")
        events = EVENTS if placed else EVENTS.head(0)
        return Why(1 if placed else -1, memberships, shared.head(int(placed)), events)

    def shares(self, user: str, item: str) -> Shares:
        rows = [
            ("everybody", 1.0, None),
            ("segment", 0.61, 0.61),
            ("you", 0.39, 0.39),
            ("text", -0.2, 0.0),
            ("order", 1e-9, None),
        ]
        models = pl.DataFrame([("item_item", 1.0, 0.61, 0.19)], BY_MODEL, orient="row")
        return Shares(1.8, pl.DataFrame(rows, SHARES, orient="row"), models)

    def way_to(self, user: str, segment: int) -> pl.DataFrame:
        rows = [(1, "remove", "10", 4.0, 0.4, 1), (2, "add", "20", 5.0, 0.6, 0)]
        columns = ["step", "action", "item_id", "value", "strength", "segment"]
        return pl.DataFrame(rows, columns, orient="row").head({0: 2, 1: 0, 2: 1}[segment])

    def shapley(self, user: str, item: str | None = None, *, pairs: int = 16) -> pl.DataFrame:
        self.asked = {"user": user, "item": item, "pairs": pairs}
        return pl.DataFrame({"item_id": ["10"], "value": [4.0], "shapley": [0.3], "error": [0.01]})

    def faithfulness(self, *, n: int) -> Faithfulness:
        self.asked = {"n": n}
        table = pl.DataFrame([("1", 0.3, 0.1, 0.2, 9)], FAITHFUL, orient="row")
        return Faithfulness(table, 0.3, 0.1, 0.2, 0.15, 0.25, 0.0, 0.2, 1.0, 3)


@pytest.fixture
def run(monkeypatch) -> Double:
    double = Double()
    monkeypatch.setitem(sys.modules, "shoal.pipeline", SimpleNamespace(load=lambda folder: double))
    return double


def said(capsys, *arguments: str) -> tuple[list[str], str]:
    code = cli.run(["explain", "r", *arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.splitlines(), err


def refused(capsys, *arguments: str) -> str:
    assert cli.run(["explain", "r", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_a_user_is_explained_by_memberships_shared_items_and_events(run, capsys) -> None:
    lines, _ = said(capsys, "1")
    assert [line.split() for line in lines[:3]] == [
        ["#", "segment", "membership"],
        ["1", "Noir", "0.750"],
        ["0", "War", "0.250"],
    ]
    assert "20     Heat" in lines[6]
    assert lines[6].split()[-2:] == ["61.0%", "8.0%"]
    assert lines[-1].split() == ["10", "Laura", "4.000", "0.100", "0.200"]


def test_a_user_may_be_given_as_an_option_too(run, capsys) -> None:
    assert said(capsys, "--user", "1") == said(capsys, "1")
    assert said(capsys, "--user", "1", "--item", "20") == said(capsys, "1", "20")
    assert run.asked == {"user": "1", "item": "20"}
    assert "Two users are given, 1 and 2" in refused(capsys, "1", "--user", "2")


def test_a_user_who_cannot_be_placed_is_told_so(run, capsys) -> None:
    lines, err = said(capsys, "2")
    assert "in no segment" in err
    assert len(lines) == 3


def test_an_item_is_explained_by_shares_parts_and_events(run, capsys) -> None:
    lines, _ = said(capsys, "1", "20")
    assert lines[0] == "  61 % segment, 39 % you; text against it: score 1.800"
    assert [line.split() for line in lines[2:6]] == [
        ["everybody", "+1.000", "-"],
        ["segment", "+0.610", "61%"],
        ["you", "+0.390", "39%"],
        ["text", "-0.200", "0%"],
    ]
    assert not any("order" in line for line in lines)  # rounding alone is not told
    assert lines[-1].split()[:2] == ["10", "Laura"]


def test_where_nothing_of_the_user_carries_an_item_that_is_said(run, capsys) -> None:
    _, err = said(capsys, "1", "30")
    assert "rests on what everyone does" in err


def test_json_holds_all_of_it(run, capsys) -> None:
    found = json.loads("\n".join(said(capsys, "1", "20", "--json")[0]))
    assert found["sentence"] == "61 % segment, 39 % you; text against it"
    assert found["models"][0]["model"] == "item_item"
    assert found["events"][0]["title"] == "Laura"
    found = json.loads("\n".join(said(capsys, "1", "--json")[0]))
    assert found["segment"] == 1
    assert found["shared"][0]["title"] == "Heat"


def test_a_way_into_a_segment_says_whether_it_arrives(run, capsys) -> None:
    lines, err = said(capsys, "1", "--to", "0")
    assert "2 events less or more, and user 1 is in segment 0" in err
    assert lines[2].split() == ["2", "add", "20", "Heat", "5.000", "0.600", "0"]
    assert "is in segment 1 already" in said(capsys, "1", "--to", "1")[1]
    assert "No way into segment 2 was found" in said(capsys, "1", "--to", "2")[1]


def test_shapley_values_stand_beside_their_error(run, capsys) -> None:
    lines, _ = said(capsys, "1", "20", "--shapley", "--pairs", "4")
    assert run.asked == {"user": "1", "item": "20", "pairs": 4}
    assert lines[1].split() == ["10", "Laura", "4.000", "0.300", "0.010"]


def test_a_check_needs_no_user(run, capsys) -> None:
    lines, _ = said(capsys, "--check", "--n", "7")
    assert run.asked == {"n": 7}
    assert "more than by chance" in lines[0]
    assert json.loads("\n".join(said(capsys, "--check", "--json")[0]))["faithful"] is True


@pytest.mark.parametrize("options", [[], ["1", "--check"], ["--item", "10"]])
def test_explain_wants_to_know_whom(run, capsys, options) -> None:
    assert "Say whom to explain" in refused(capsys, *options)


@pytest.mark.parametrize("options", [["1", "20", "--to", "0"], ["1", "--to", "0", "--shapley"]])
def test_a_way_is_asked_for_alone(run, capsys, options) -> None:
    assert "--to asks how to get into a segment" in refused(capsys, *options)


def test_an_unknown_user_or_item_is_refused(run, capsys) -> None:
    assert "This run has no user 77" in refused(capsys, "77")
    assert "This run has no item 77" in refused(capsys, "1", "77")
