"""`shoal compare`, `alike` and `export`, on tables without a fit behind them."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from shoal.alike import ALIKE, Lookalikes
from shoal.cli import main as cli
from shoal.likeness import Check
from shoal.segment.anonymous import counts
from shoal.segment.compare import compare
from shoal.segment.export import export


class Double:
    """A run of two segments, one of dramas, one of comedies, with a small third one."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        n = 85
        ids = [str(i) for i in range(n)]
        segment = [0] * 40 + [1] * 40 + [2] * 5
        self.members = pl.DataFrame(
            {"user_id": ids, "segment": pl.Series(segment, dtype=pl.Int32), "strength": [0.5] * n}
        )
        self.segments = pl.DataFrame(
            {"segment": pl.Series([0, 1, 2], dtype=pl.Int32), "name": ["Drama", "Comedy", "War"]}
        )
        items = pl.DataFrame(
            {"item_id": [f"i{i}" for i in range(60)], "genres": [[("drama", "comedy")[i % 2]] for i in range(60)]}
        )
        rows = [
            (u, f"i{i}")
            for u, s in zip(ids, segment, strict=True)
            for i in rng.choice(np.arange(60), 12, replace=False, p=np.where(np.arange(60) % 2 == s % 2, 3, 1) / 120)
        ]
        log = pl.DataFrame(rows, ["user_id", "item_id"], orient="row")
        categorical = pl.col("^(user|item)_id$").cast(pl.Categorical)
        users = pl.DataFrame({"user_id": ids, "kind": ["a", "b"] * 42 + ["a"]}).with_columns(categorical)
        self.data = SimpleNamespace(
            interactions=log.with_columns(categorical), items=items.with_columns(categorical), users=users
        )
        self.asked: tuple[object, ...] = ()

    def compare(self, segments, *, draws=1000):
        return compare(self.members, self.data.interactions, self.data.items, segments, draws=draws)

    def lookalikes(self, seeds, n=None):
        self.asked = (list(seeds), n)
        table = pl.DataFrame([("7", 0.9, 0.8), ("8", 0.7, None)], ALIKE, orient="row")
        check = Check(0.5, 80, 2, 0.6, 0.3, 0.1, 0.5, 0.2, 0.1, 0.3, 0.9, 0.8, 0.95)
        return Lookalikes(table if n else table.head(0), check if n is None else None)

    def export(self, to, *, since=None, holdout=0.0, seed=None, k=20):
        return export(self.members, self.segments, to, since=since, holdout=holdout, seed=seed or 0, k=k)

    def counts(self, traits=(), *, holdout=0.0, seed=None, k=20):
        options = {"users": self.data.users, "traits": traits, "holdout": holdout, "seed": seed or 0, "k": k}
        return counts(self.members, self.segments, **options)


@pytest.fixture
def run(monkeypatch, tmp_path) -> Double:
    monkeypatch.chdir(tmp_path)
    double = Double()
    monkeypatch.setitem(sys.modules, "shoal.pipeline", SimpleNamespace(load=lambda folder: double))
    return double


def said(capsys, *arguments: str) -> tuple[list[str], str]:
    code = cli.run(list(arguments))
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.splitlines(), err


def refused(capsys, *arguments: str) -> str:
    assert cli.run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]


def test_compare_shows_what_matters_with_its_interval(run, capsys) -> None:
    lines, err = said(capsys, "compare", "r", "0", "1", "--draws", "200")
    assert "things compared matter" in err
    drama = next(line for line in lines if "drama" in line).split()
    assert drama[:2] == ["category", "drama"]
    assert drama[-1] == "yes"
    assert "log-odds" in drama
    assert not any(line.split()[-1] == "no" for line in lines)
    everything, _ = said(capsys, "compare", "r", "0", "1", "--draws", "200", "--all", "--n", "50")
    assert any(line.split()[-1] == "no" for line in everything)


def test_compare_as_json_is_the_table_of_the_python_face(run, capsys) -> None:
    lines, _ = said(capsys, "compare", "r", "0", "1", "--draws", "200", "--json")
    assert len(json.loads("\n".join(lines))) == run.compare([0, 1], draws=200).height


def test_compare_refuses_what_cannot_be_compared(run, capsys) -> None:
    assert "takes 2 to 5 different segments" in refused(capsys, "compare", "r", "0")
    assert "There is no segment 9" in refused(capsys, "compare", "r", "0", "9")
    assert "Segment 2 has 5 users" in refused(capsys, "compare", "r", "0", "2")


@pytest.mark.parametrize(
    "text", ["1\n2\n", "user_id\n1\n2\n", 'user_id,name\n"1",x\n2,y\n', "\ufeffuser_id;n\n1;x\n2;y\n"]
)
def test_a_list_of_users_is_read_from_a_file(run, capsys, tmp_path, text) -> None:
    (tmp_path / "seeds.csv").write_text(text, encoding="utf-8")
    lines, _ = said(capsys, "alike", "r", "seeds.csv", "--n", "2")
    assert run.asked == (["1", "2"], 2)
    assert lines[1].split() == ["7", "0.900", "80%", "Drama"]
    assert lines[2].split() == ["8", "0.700", "-", "Drama"]


def test_alike_says_how_good_it_is_and_where_nobody_is_added(run, capsys) -> None:
    _, err = said(capsys, "alike", "r", "--user", "1", "--user", "2")
    assert "Of the added, 60 % behave like the list on held-out events" in err
    assert "So nobody is added" in err


def test_unknown_users_of_a_list_are_named_or_left_out(run, capsys) -> None:
    err = refused(capsys, "alike", "r", "--user", "1", "--user", "x", "--user", "y")
    assert "does not know 2 of the 3 users of the list: x, y. Leave them out with --skip-unknown." in err
    _, err = said(capsys, "alike", "r", "--user", "1", "--user", "x", "--skip-unknown", "--n", "1")
    assert "Left out 1 users" in err
    assert run.asked == (["1"], 1)
    assert "knows none" in refused(capsys, "alike", "r", "--user", "x", "--skip-unknown")


def test_bad_lists_are_refused(run, capsys, tmp_path) -> None:
    assert "in one way" in refused(capsys, "alike", "r")
    assert "there is no such file" in refused(capsys, "alike", "r", "no.csv")
    (tmp_path / "empty.csv").write_text("\n")
    assert "is empty" in refused(capsys, "alike", "r", "empty.csv")
    (tmp_path / "wide.csv").write_text("a,b\n1,2\n")
    assert "none called user_id" in refused(capsys, "alike", "r", "wide.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe1\n")
    assert "not UTF-8" in refused(capsys, "alike", "r", "bytes.csv")


def test_export_writes_members_and_prints_counts(run, capsys, tmp_path) -> None:
    lines, err = said(
        capsys, "export", "r", "--to", "m.csv", "--holdout", "0.2", "--counts", "c.csv", "--trait", "kind"
    )
    assert "Left out segment 2: its 5 users are fewer than k = 20" in err
    assert "Wrote 80 members to m.csv" in err
    assert pl.read_csv(tmp_path / "m.csv").columns == ["user_id", "segment", "name", "strength", "holdout"]
    assert lines[1].split() == ["all", "85", "-"]
    assert any("hidden" in line for line in lines)
    assert pl.read_csv(tmp_path / "c.csv").filter(pl.col("hidden"))["users"].null_count() > 1


def test_a_delta_counts_the_changes(run, capsys) -> None:
    said(capsys, "export", "r", "--to", "m.csv")
    run.members = run.members.with_columns(
        pl.when(pl.col("user_id") == "3").then(1).otherwise("segment").cast(pl.Int32).alias("segment")
    )
    lines, err = said(capsys, "export", "r", "--to", "d.jsonl", "--since", "m.csv", "--json")
    assert "Wrote 1 changes: 0 entered, 0 left, 1 moved to d.jsonl" in err
    found = json.loads("\n".join(lines))
    assert found["changes"] == {"entered": 0, "left": 0, "moved": 1}
    assert found["withheld"] == {"2": 5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "m.xlsx"], "must end in .csv, .parquet or .jsonl"),
        (["--to", "m.csv", "--counts", "c.txt"], "must end in"),
        (["--to", "m.csv", "--k", "0"], "k = 0"),
        (["--to", "m.csv", "--holdout", "2"], "holdout = 2.0"),
        (["--to", "m.csv", "--since", "old.csv"], "There is no old.csv.state.parquet"),
        (["--to", "m.csv", "--trait", "colour"], "no trait colour; there are: kind"),
        (["--to", "no/such/m.csv"], "cannot be written"),
    ],
)
def test_bad_exports_are_refused_and_write_nothing(run, capsys, tmp_path, options, words) -> None:
    assert words in refused(capsys, "export", "r", *options)
    assert list(tmp_path.iterdir()) == []
