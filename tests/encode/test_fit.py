"""`shoal fit` with a faster engine, and with static vectors, on 60 users of the data that come along."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from shoal import pipeline
from shoal.cli import main as cli
from shoal.data.demo import demo_data
from shoal.encode.source import find
from shoal.tables import ITEM, USER

FEW = "[train]\nepochs = 2\n[tower]\nwidth = 16\n[recommend]\nfactors = 8\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A log of 60 users and the 300 items that they rated most."""
    folder, data = tmp_path_factory.mktemp("demo"), demo_data()
    log = data.interactions.with_columns(pl.col(USER, ITEM).cast(pl.String))
    log = log.filter(pl.col(USER).is_in(log[USER].unique().sort()[:60].implode()))
    top = log.group_by(ITEM).len().sort("len", ITEM, descending=True)[ITEM][:300]
    log = log.filter(pl.col(ITEM).is_in(top.implode())).select(USER, ITEM, "rating", "at")
    log.write_csv(folder / "ratings.csv")
    items = data.items.with_columns(pl.col(ITEM).cast(pl.String)).filter(pl.col(ITEM).is_in(top.implode()))
    items.select(ITEM, "title").write_csv(folder / "items.csv")
    return folder


def fitted(files, tmp_path, capsys, settings, *options):
    (tmp_path / "config.toml").write_text(settings + FEW)
    run = tmp_path / "run"
    words = ["fit", str(files / "ratings.csv"), str(run), "--items", str(files / "items.csv")]
    code = cli.run([*words, "--config", str(tmp_path / "config.toml"), "--cache", str(tmp_path / "cache"), *options])
    said = capsys.readouterr()
    assert code == 0, said.err
    return pipeline.load(run)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_shoal_fit_takes_an_engine_from_its_settings(files, tmp_path, capsys, precision):
    pytest.importorskip("openvino")
    settings = f'[encode]\nencoder = "minilm"\nengine = "openvino"\nprecision = "{precision}"\n'
    run = fitted(files, tmp_path, capsys, settings)
    assert run.recommend(n=3).height > 0
    kinds = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "cache" / "engines").iterdir()}
    assert kinds == ({"openvino-float32"} if precision == "auto" else {"openvino-float32", "openvino-int8"})
    checks = [json.loads(path.read_text()) for path in tmp_path.rglob("checks/*.json")]
    assert [check["texts"] for check in checks] == [64]
    assert checks[0]["mean"] > 0.99


@pytest.mark.slow
def test_shoal_fit_takes_a_folder_of_static_vectors(files, tmp_path, capsys):
    source, static = find("minilm"), tmp_path / "static"
    static.mkdir()
    words = load_file(source.folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    save_file({"embeddings": words.astype(np.float16)}, static / "model.safetensors")
    (static / "tokenizer.json").write_bytes((source.folder / "tokenizer.json").read_bytes())
    (static / "config.json").write_text(json.dumps({"model_type": "model2vec"}))
    run = fitted(files, tmp_path, capsys, "", "--encoder", str(static))
    assert run.recommend(n=3).height > 0
