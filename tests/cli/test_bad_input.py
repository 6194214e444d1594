"""Bad input to the command line: exit code 2, one clear line, nothing half-written."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest

from shoal.cli.main import run

HEAD = "user_id,item_id,rating,timestamp\n"


def log(users: int, items: int, events: int) -> str:
    rng = random.Random(0)
    rows = {(rng.randrange(users), rng.randrange(items)): rng.randint(1, 5) for _ in range(events)}
    lines = (f"u{u},i{i},{r},{1_600_000_000 + 5_000 * n}\n" for n, ((u, i), r) in enumerate(rows.items()))
    return HEAD + "".join(lines)


BAD = {
    "a missing file": (None, [], "no such file"),
    "an empty file": ("", [], "is empty"),
    "a header alone": (HEAD, [], "header and no rows"),
    "a missing column": ("who,item_id\na,b\n", [], "no column for user_id.*--user-id"),
    "a rating that is a word": (HEAD + "a,b,3,1\nc,d,Like,2\n", [], "line 3: rating 'Like'.*--on-bad drop"),
    "a time that is no time": (HEAD + "a,b,3,yesterday\n", [], "line 2: time 'yesterday'.*--at-format"),
    "one user only": (log(1, 40, 60), [], "belong to one user, u0"),
    "one item only": (log(40, 1, 60), [], "belong to one item, i0"),
    "too few events": (log(3, 4, 8), [], "users have too few events"),
    "an encoder that does not exist": (log(30, 30, 400), ["--encoder", "no/such"], "no/such is not on this machine"),
    "more segments than users": (log(30, 30, 400), ["--segments", "500"], "segment.n = 500"),
    "a scale that does not hold": (log(30, 30, 400), ["--scale", "1", "3"], "outside the scale 1 to 3"),
    "a catalogue that is missing": (log(30, 30, 400), ["--items", "no.csv"], "no.csv: there is no such file"),
    "a template with an unknown field": (log(30, 30, 400), ["--item-template", "{titel}"], "titel"),
}


@pytest.mark.parametrize("what", BAD)
def test_fit_refuses(what, tmp_path: Path, monkeypatch, capsys):
    content, options, words = BAD[what]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("log.csv").write_text(content)
    before = set(tmp_path.iterdir())
    assert run(["fit", "log.csv", "run", "--quiet", *options]) == 2
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if line.startswith("shoal: ")]
    assert len(told) == 1
    assert out == ""
    assert "Traceback" not in err
    assert re.search(words, told[0])
    assert set(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "log.csv").write_text(log(30, 30, 400))
    (folder / "settings.toml").write_text("[train]\nepochs = 2\n")
    assert run(["fit", str(folder / "log.csv"), str(folder / "run"), "--config", str(folder / "settings.toml")]) == 0
    return folder / "run"


ASKED = {
    "an unknown user": (["recommend", "RUN", "--user", "nobody"], "no user nobody; it has 30"),
    "a list without places": (["recommend", "RUN", "--user", "u1", "--n", "0"], "n = 0"),
    "nobody in particular": (["recommend", "RUN"], "Say whom for"),
    "an unknown item to rate": (["rate", "RUN", "--user", "u1", "--item", "zzz"], "no item zzz"),
    "an unknown item to explain": (["explain", "RUN", "u1", "zzz"], "no item zzz"),
    "a run that is not there": (["segments", "nowhere"], "no run folder nowhere"),
}


@pytest.mark.parametrize("what", ASKED)
def test_a_run_refuses(what, kept: Path, capsys):
    arguments, words = ASKED[what]
    assert run([str(kept) if a == "RUN" else a for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_more_than_the_catalogue_holds_gives_all_there_is(kept: Path, capsys):
    assert run(["recommend", str(kept), "--user", "u1", "--n", "1000", "--seen", "--json"]) == 0
    assert capsys.readouterr().out.count('"rank"') == 30


def test_a_run_folder_cut_short_is_refused_by_the_name_of_the_file(kept: Path, tmp_path: Path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(kept, copy)
    with open(copy / "items.safetensors", "r+b") as file:
        file.truncate(100)
    assert run(["segments", str(copy)]) == 2
    assert "items.safetensors has 100 bytes instead of" in capsys.readouterr().err


def test_repeated_rows_are_counted_and_the_last_one_wins(tmp_path: Path, capsys):
    rows = log(30, 30, 400).splitlines(keepends=True)
    (tmp_path / "log.csv").write_text("".join(rows + rows[1:51]))
    (tmp_path / "settings.toml").write_text("[train]\nepochs = 1\n")
    arguments = ["fit", str(tmp_path / "log.csv"), str(tmp_path / "run"), "--config", str(tmp_path / "settings.toml")]
    assert run(arguments) == 0
    assert "dropped 50: an earlier event of the same user and item" in capsys.readouterr().err
