"""`shoal evaluate`, against a double of the judge."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from shoal.cli import main as cli
from shoal.errors import ConfigError


@pytest.fixture
def asked(monkeypatch, tmp_path) -> dict[str, object]:
    """What the judge was asked; there is a file ratings.csv in the current folder."""
    got: dict[str, object] = {}

    def evaluate(data, protocol, **options):
        got.update(options, protocol=protocol, users=data.users.height)
        if options["n"] < 1:
            raise ConfigError(f"n = {options['n']} must be 1 or more.")
        table = pl.DataFrame({"model": ["blend"], "metric": ["ndcg@10"], "value": [0.3]})
        return SimpleNamespace(lines=lambda: ["model  ndcg@10", "blend  .300"], as_dict=lambda: {"metrics": table})

    monkeypatch.setitem(sys.modules, "shoal.judge", SimpleNamespace(evaluate=evaluate))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text("user_id,item_id,rating\n1,1,3\n2,1,4\n1,2,5\n", encoding="utf-8")
    return got


def test_the_judge_is_asked_as_the_options_say(asked, capsys) -> None:
    line = "evaluate ratings.csv --protocol cold-user --shown 3 --order random --n 20 --seed 4 --segments 6 --quiet"
    assert cli.run(line.split()) == 0
    assert capsys.readouterr().out == "model  ndcg@10\nblend  .300\n"
    assert (asked["protocol"], asked["shown"], asked["order"], asked["n"]) == ("cold-user", 3, "random", 20)
    assert (asked["seed"], asked["config"].seed, asked["config"].segment.n) == (4, 4, 6)
    assert (asked["device"], asked["cache"], asked["share"], asked["users"]) == ("auto", "default", None, 2)


def test_the_judgement_is_printed_as_one_json_object(asked, capsys) -> None:
    assert cli.run(["evaluate", "ratings.csv", "--protocol", "random", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"metrics": [{"model": "blend", "metric": "ndcg@10", "value": 0.3}]}
    assert "read 3 rows, kept 3" in err  # talk stays off stdout


def test_lists_of_no_items_are_refused(asked, capsys) -> None:
    assert cli.run(["evaluate", "ratings.csv", "--protocol", "random", "--n", "0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "shoal: n = 0 must be 1 or more."
