"""Every example that a command's help shows is run, as it stands there."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.main import get_command

from shoal.cli import main as cli
from shoal.data.dataset import Dataset
from shoal.data.demo import demo_data
from shoal.segment.cluster import fit_segments
from shoal.segment.segmentation import Segmentation
from shoal.tables import AT, ITEM, RATING, USER

COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]


def examples(name: str) -> list[str]:
    """Return the lines under "Examples:" in a command's help."""
    _, _, below = (COMMANDS[name].help or "").partition("Examples:\n")
    return [line.strip() for line in below.splitlines() if line.strip().startswith("shoal ")]


EXAMPLES = [line for name in COMMANDS for line in examples(name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_in_examples_of_its_own_command(name: str) -> None:
    assert examples(name)
    assert all(line.split()[1] == name for line in examples(name))
    assert "\\b" not in (COMMANDS[name].help or "")  # the mark that keeps lines apart, written out by mistake
    assert (COMMANDS[name].help or "").rstrip().endswith(examples(name)[-1])


def a_few_users() -> Dataset:
    """Return the demo data of users 1 to 60: enough for every stage, quick enough for a test."""
    whole = demo_data()
    users = [str(u) for u in range(1, 61)]
    return whole.with_interactions(whole.interactions.filter(pl.col(USER).cast(pl.String).is_in(users)))


def write_files(folder: Path, data: Dataset) -> None:
    """Write the files that the examples name."""
    log = data.interactions.select(pl.col(USER, ITEM).cast(pl.String), RATING, AT)
    log.write_csv(folder / "ratings.csv")
    log.select(who=USER, what=ITEM, when=AT).write_csv(folder / "log.tsv", separator="\t")
    new = log.filter(pl.col(USER).is_in(["42", "7"])).with_columns(pl.lit("new-") + pl.col(USER))
    new.with_columns(review=pl.lit("The food was lovely")).write_csv(folder / "new.csv")
    log.head(5).write_csv(folder / "pairs.csv")
    log.select(USER).unique().sort(USER).head(3).write_csv(folder / "seeds.csv")
    films = data.items.with_columns(pl.col(ITEM).cast(pl.String), pl.col("genres").list.join("|"))
    films.write_csv(folder / "movies.csv")
    write_texts(folder)


def write_texts(folder: Path) -> None:
    """Write the texts that the examples name: 60 reviews, 60 tweets, and a space to search."""
    kind = ["The food was lovely and fresh", "A friendly place, we were happy", "Great value, will come again"]
    harsh = ["The food was cold and stale", "Rude staff, we were angry", "Too expensive, never again"]
    texts = [f"{(kind if i % 2 else harsh)[i % 3]}, {i}" for i in range(60)]
    ratings = [(5 - i % 4 // 2) if i % 2 else (1 + i % 4 // 2) for i in range(60)]
    pl.DataFrame({"review": texts, "rating": ratings}).write_csv(folder / "reviews.csv")
    labels = ["positive" if i % 2 else "negative" for i in range(60)]
    pl.DataFrame({"text": texts, "sentiment": labels}).write_csv(folder / "tweets.csv")
    (folder / "space.toml").write_text('strategy = "frozen"\n[learning]\nepochs = [2, 4]\n', encoding="utf-8")


def into_six(vectors: np.ndarray, counts: np.ndarray, *, n: int | None, **options: Any) -> Segmentation:
    """Find six segments where the number is open: sixty users bear out one, and the examples speak of several."""
    return fit_segments(vectors, counts, n=n or 6, **options)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that the examples name, and a run in runs/demo."""
    folder = tmp_path_factory.mktemp("workplace")
    before = Path.cwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shoal.data.demo.demo_data", a_few_users)
        patch.setattr("shoal.grouping.fit_segments", into_six)
        write_files(folder, a_few_users())
        assert cli.run(["demo", "--quiet"]) == 0
        yield folder
    os.chdir(before)


@pytest.mark.slow
@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_from_the_help_works_as_it_stands(workplace: Path, line: str, capsys) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "score" and not Path(words[1]).exists():  # where this example runs alone
        made = next(one for one in examples("finetune") if words[1] in one)
        assert cli.run(shlex.split(made)[1:]) == 0
        capsys.readouterr()
    assert cli.run(words) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert out.strip()
    if "--json" in words:
        assert json.loads(out)
