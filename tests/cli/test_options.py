"""Options that several commands share."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from shoal.cli.options import Circumstances, Columns, Reading, Settings, expand, known_item, known_user, scale_of
from shoal.config import Config
from shoal.errors import ConfigError, ReadError, UnknownIdError
from shoal.progress import BarProgress, LineProgress


def test_a_group_of_options_stands_where_its_parameter_stood() -> None:
    @expand
    def command(first: int, *, columns: Columns, last: bool = False) -> None: ...

    names = list(inspect.signature(command).parameters)
    assert names[:3] == ["first", "preset", "user_id"]
    assert names[-2:] == ["on_bad", "last"]


def test_a_command_gets_its_group_made_from_the_options() -> None:
    got = {}

    @expand
    def command(*, settings: Settings, columns: Columns) -> None:
        got.update(settings=settings, columns=columns)

    signature = inspect.signature(command)
    given = {p.name: p.default for p in signature.parameters.values()} | {"seed": 7, "user_id": "who"}
    command(**given)
    assert got == {"settings": Settings(seed=7), "columns": Columns(user_id="who")}


def test_options_win_over_the_file_and_the_file_over_the_defaults(tmp_path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("seed = 3\n[segment]\nn = 4\nmin_events = 2\n", encoding="utf-8")
    config = Settings(config=path, segments=6, item_template="{title}", encoder="some/model").make()
    assert (config.seed, config.segment.n, config.segment.min_events) == (3, 6, 2)
    assert (config.text.item_template, config.encode.encoder) == ("{title}", "some/model")


def test_without_options_the_settings_are_the_default_ones() -> None:
    assert Settings().make() == Config()


def test_a_seed_of_zero_wins_over_the_file(tmp_path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("seed = 3\n", encoding="utf-8")
    assert Settings(config=path, seed=0).make().seed == 0


@pytest.mark.parametrize("settings", [Settings(segments=0), Settings(seed=-1)])
def test_a_setting_out_of_range_is_refused(settings) -> None:
    with pytest.raises(ConfigError):
        settings.make()


def test_the_word_demo_reads_the_data_that_comes_along(capsys) -> None:
    data = Reading().read(Path("demo"))
    assert data.interactions.height == 100_836
    out, err = capsys.readouterr()
    assert out == ""
    assert "100,836" in err


def test_a_file_called_demo_goes_before_the_data_that_comes_along(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("user_id,item_id,rating\n1,1,3\n2,1,4\n1,2,5\n", encoding="utf-8")
    assert Reading().read(Path("demo")).interactions.height == 3


def test_columns_and_times_are_passed_on(tmp_path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("who;what;when\na;x;03-02-2020 10:00\na;y;04-02-2020 10:00\n", encoding="utf-8")
    columns = Columns(user_id="who", item_id="what", at="when", at_format=["%d-%m-%Y %H:%M"], separator=";")
    events = columns.events(path)
    assert events.height == 2
    assert events["at"].dt.month().to_list() == [2, 2]


def test_a_history_is_held_to_the_scale_of_its_run(tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("user_id,item_id,rating\n1,1,9\n", encoding="utf-8")
    with pytest.raises(ReadError, match=r"outside the scale 0\.5 to 5"):
        Columns().events(path, (0.5, 5.0))


def test_the_past_of_one_person_with_one_item_is_read(tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("user_id,item_id,rating\n1,7,4\n", encoding="utf-8")
    assert Columns().events(path, (0.5, 5.0)).select(pl.col("user_id", "item_id").cast(pl.String)).rows() == [
        ("1", "7")
    ]


def test_pairs_are_read_by_the_columns_named(tmp_path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("who,what,rating\na,x,3\n", encoding="utf-8")
    assert Columns(user_id="who", item_id="what", rating="rating").pairs(path).rows() == [("a", "x")]


def test_progress_is_lines_where_stderr_is_no_terminal_and_nothing_when_quiet() -> None:
    assert isinstance(Circumstances().progress(), LineProgress)
    assert not isinstance(Circumstances(quiet=True).progress(), LineProgress | BarProgress)


RUN = SimpleNamespace(
    data=SimpleNamespace(
        users=pl.DataFrame({"user_id": pl.Series(["1", "2"], dtype=pl.Categorical)}),
        items=pl.DataFrame({"item_id": pl.Series(["a", "b"], dtype=pl.Categorical)}),
        scale=None,
    )
)


def test_a_user_of_the_run_is_known_and_another_is_told_the_way_out() -> None:
    assert known_user(RUN, "2") == "2"
    with pytest.raises(UnknownIdError, match=r"no user 99; it has 2, such as 1, 2\. Serve somebody new with --history"):
        known_user(RUN, "99")


def test_an_item_of_the_catalogue_is_known_and_another_is_refused() -> None:
    assert known_item(RUN, "b") == "b"
    with pytest.raises(UnknownIdError, match="no item z; it has 2"):
        known_item(RUN, "z")


def test_a_run_without_ratings_has_no_scale() -> None:
    assert scale_of(RUN) is None


def test_an_effort_fills_in_around_the_file_and_the_options(tmp_path) -> None:
    (tmp_path / "c.toml").write_text("[train]\nepochs = 9\n")
    made = Settings(config=tmp_path / "c.toml", effort="quick", segments=3).make()
    assert (made.train.epochs, made.segment.n, made.effort) == (9, 3, "quick")
    assert made.rate.starts == 1
    plain = Settings(config=tmp_path / "c.toml", segments=3).make()
    assert (plain.train.epochs, plain.rate.starts, plain.effort) == (9, 2, "usual")


def test_an_effort_that_is_given_wins_over_that_of_the_file(tmp_path) -> None:
    (tmp_path / "c.toml").write_text('effort = "quick"\n[train]\npatience = 3\n')
    made = Settings(config=tmp_path / "c.toml", effort="full").make()
    assert made == Config(effort="full", train={"patience": 3})
    assert made.rate.starts > 2
