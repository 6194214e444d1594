"""`shoal fit` on input that cannot be fitted: exit code 2, one line, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.cli import main as cli

HEADER = "user_id,item_id,rating,timestamp\n"
GOOD = "1,10,4,100\n1,20,5,200\n2,10,3,300\n"

BAD = {
    "empty": ("", "ratings.csv"),
    "header alone": (HEADER, "has a header and no rows"),
    "a missing column": ("user_id,rating\n1,4\n", "item_id"),
    "a rating that is a word": (HEADER + GOOD + "2,20,Like,400\n", "line 5: rating 'Like' is not a number"),
    "a rating that is empty": (HEADER + GOOD + "2,20,,400\n", "line 5: rating is empty"),
    "a time that is no time": (HEADER + GOOD + "2,20,4,soon\n", "'soon'"),
    "a row too short": (HEADER + GOOD + "2,20\n", "line 5 has 2 fields instead of 4"),
    "one user only": (HEADER + "1,10,4,1\n1,20,5,2\n", "belong to one user, 1"),
    "one item only": (HEADER + "1,10,4,1\n2,10,5,2\n", "belong to one item, 10"),
    "one column": ("hello\nworld\n", "one column alone"),
    "an image": ("\x89PNG\r\n\x1a\n\0\0\0", "ratings.csv"),
}


def refused(arguments: list[str], capsys) -> str:
    code = cli.run(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("shoal: ")
    return last


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD.keys())
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, capsys, text, words) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(text, encoding="latin-1")
    assert words in refused(["fit", str(path), str(tmp_path / "run")], capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["ratings.csv"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, capsys) -> None:
    assert "no.csv" in refused(["fit", str(tmp_path / "no.csv"), str(tmp_path / "run")], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--segments", "0"], "segment.n = 0"),
        (["--seed", "-1"], "seed = -1"),
        (["--config", "no.toml"], "no.toml"),
        (["--on-bad", "ignore"], "'ignore' is not one of 'error', 'drop'"),
        (["--scale", "5", "1"], "does not rise"),
        (["--preset", "movielense"], "preset 'movielense' is not known"),
    ],
)
def test_an_option_out_of_range_is_refused(tmp_path: Path, capsys, monkeypatch, options, words) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ratings.csv").write_text(HEADER + GOOD, encoding="utf-8")
    assert words in refused(["fit", "ratings.csv", "run", *options], capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["ratings.csv"]


def test_an_unknown_setting_in_a_file_is_named_with_its_line(tmp_path: Path, capsys) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("seed = 1\n[train]\nepoch = 3\n", encoding="utf-8")
    last = refused(["fit", "demo", str(tmp_path / "run"), "--config", str(path)], capsys)
    assert "train.epoch is not a setting" in last
    assert "Did you mean train.epochs?" in last
    assert "line 3" in last


def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path: Path, capsys) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow", encoding="utf-8")
    assert "holds something that is no run" in refused(["fit", "demo", str(tmp_path / "photos")], capsys)
    assert (tmp_path / "photos" / "cat.jpg").read_text(encoding="utf-8") == "meow"


def test_a_file_in_the_place_of_the_run_folder_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "run").write_text("", encoding="utf-8")
    assert "is a file. Name a folder." in refused(["fit", "demo", str(tmp_path / "run")], capsys)
