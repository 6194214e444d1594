"""Engines, precisions, pruned models and static vectors: texts a second against torch in float32, and what is lost.

    python benchmarks/engines.py --threads 2
    python benchmarks/engines.py --reviews ../shared/data/amazon-musical-instruments/reviews.csv --json

Speed: every encoder has its turn in each round, on film titles with genres (ml-latest-small, which comes with Shoal);
the ratio to torch float32 is taken round by round: median, and least to most. Loss: cosine to torch float32, and the
share of each text's ten nearest neighbours that is kept. With --reviews, a logistic regression (5 folds) reads ratings
from the vectors of reviews: accuracy, and how well 4 and more are told from fewer (AUC).

Targets of the project, on 2 cores: openvino bfloat16 at least 3 times torch float32 with cosine .999, openvino int8 at
least 4.5 times with cosine .995. The last lines say which is met on this machine, and what the machine can do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from shoal.data.demo import demo_data
from shoal.encode.cache import default_folder
from shoal.encode.compare import compare, cosines, spread
from shoal.encode.distil import distil
from shoal.encode.engines import Exported
from shoal.encode.exports import has_bfloat16
from shoal.encode.lm import LanguageModel
from shoal.encode.prune import choose_heads, choose_layers, head_effects, prune
from shoal.progress import LineProgress, Progress
from shoal.protocols import Encoder
from shoal.text.defaults import default_item_template
from shoal.text.render import item_texts

FIRST = "torch float32"
ENGINES = [
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("onnx", "float32"),
    ("onnx", "int8"),
]
TARGETS = {"openvino bfloat16": (3.0, 0.999), "openvino int8": (4.5, 0.995)}
PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Strengths that the regression chooses from, inside each fold."""
MEASURED = 200
"""Texts that layers and heads are chosen on; none of them is timed or judged."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=1000, help="titles in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", default="engines,layers,heads,static", help="which of them, with commas between")
    parser.add_argument("--reviews", type=Path, help="CSV with a text and a rating")
    parser.add_argument("--text", default="review")
    parser.add_argument("--rating", default="rating")
    parser.add_argument("--most-reviews", type=int, default=2000)
    parser.add_argument("--cache", type=Path, default=default_folder(), help="where exports are kept")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    told = LineProgress(every=60)

    every = titles()
    texts = spread(every, args.texts)
    others = sorted(set(every) - set(texts))
    lm = LanguageModel(args.encoder, precision="float32", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        encoders: dict[str, Encoder] = {FIRST: lm}
        for part in args.parts.split(","):
            encoders |= PARTS[part](lm, others, Path(folder), args.cache, told)
        table = compare(encoders, texts, repeats=args.rounds)
        if args.reviews:
            table = table.join(judged(encoders, args), on="encoder", maintain_order="left")
    machine = hardware(args.threads)
    met = {name: reached(table, name, *target) for name, target in TARGETS.items()}
    if args.json:
        print(json.dumps({"machine": machine, "texts": len(texts), "rows": table.to_dicts(), "targets": met}, indent=1))
        return
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, float_precision=4, tbl_hide_dataframe_shape=True):
        print(table)
    print("; ".join(f"{key} {value}" for key, value in machine.items()))
    for name, said in met.items():
        print(f"target  {name}: {said}")


def titles() -> list[str]:
    items = demo_data().items
    return item_texts(items, default_item_template(items), cutoff=None).texts


def engines(lm: LanguageModel, others: list[str], folder: Path, cache: Path, told: Progress) -> dict[str, Encoder]:
    made: dict[str, Encoder] = {}
    if torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"):
        made["torch bfloat16"] = LanguageModel(lm.name, precision="bfloat16", device="cpu")  # else it is emulated
    for engine, precision in ENGINES:
        own = LanguageModel(lm.name, precision="float32", device="cpu")
        made[f"{engine} {precision}"] = Exported(
            own, engine, precision, force=True, cache=cache, sample=others, progress=told
        )
    return made


def layers(lm: LanguageModel, others: list[str], folder: Path, cache: Path, told: Progress) -> dict[str, Encoder]:
    n, some = lm.source.config["num_hidden_layers"], spread(others, MEASURED)
    made: dict[str, Encoder] = {}
    for keep in range(n - 1, n // 2 - 1, -1):
        for how, kept in (("by effect", choose_layers(lm, keep, some)), ("spaced", choose_layers(lm, keep))):
            told.log(f"layers  {keep} of {n} {how}: {kept}")
            made[f"{keep} layers {how}"] = prune(lm, folder / f"{keep} {how}", layers=kept)
    return made


def heads(lm: LanguageModel, others: list[str], folder: Path, cache: Path, told: Progress) -> dict[str, Encoder]:
    effects = head_effects(lm, spread(others, MEASURED // 2))
    made: dict[str, Encoder] = {}
    for share in (0.25, 0.5, 0.75):
        cut = int(effects.size * share)
        made[f"{cut} of {effects.size} heads cut"] = prune(
            lm, folder / f"heads {cut}", heads=choose_heads(effects, cut)
        )
    return made


def static(lm: LanguageModel, others: list[str], folder: Path, cache: Path, told: Progress) -> dict[str, Encoder]:
    return {
        "static from tokens": distil(lm, folder / "tokens", progress=told),
        "static learnt from titles": distil(lm, folder / "learnt", others, progress=told),
    }


PARTS = {"engines": engines, "layers": layers, "heads": heads, "static": static}


def judged(encoders: dict[str, Encoder], args: argparse.Namespace) -> pl.DataFrame:
    """Return what a linear model reads of ratings from the vectors of reviews."""
    rows = pl.read_csv(args.reviews).select(text=args.text, rating=args.rating).drop_nulls()
    rows = rows.filter(pl.col("text").str.len_chars() > 0).unique("text", maintain_order=True)
    rows = rows.sample(min(args.most_reviews, len(rows)), seed=0)
    ratings = rows["rating"].cast(pl.Int64).to_numpy()
    found, first = [], None
    for name, encoder in encoders.items():
        vectors = encoder.encode(rows["text"].to_list())
        first = vectors if first is None else first
        near = float(cosines(first, vectors).mean()) if first.shape == vectors.shape else None
        found.append({"encoder": name, "review_cosine": near} | read_ratings(vectors, ratings))
    counts = np.unique(ratings, return_counts=True)[1]
    print(f"{len(rows):,} reviews; always the commonest rating: accuracy {counts.max() / len(rows):.3f}")
    return pl.DataFrame(found, schema_overrides={"review_cosine": pl.Float64})


def read_ratings(vectors: np.ndarray, ratings: np.ndarray) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LogisticRegressionCV(
        Cs=PENALTIES, l1_ratios=(0,), scoring="neg_log_loss", max_iter=500, use_legacy_attributes=False
    )
    p = cross_val_predict(model, vectors, ratings, cv=folds, method="predict_proba")
    classes = np.unique(ratings)
    return {
        "accuracy": float((classes[p.argmax(1)] == ratings).mean()),
        "auc": float(roc_auc_score(ratings >= 4, p[:, classes >= 4].sum(1))),
    }


def hardware(threads: int) -> dict[str, Any]:
    can = torch.cpu.get_capabilities()
    units = [name for name in ("avx2", "avx512_f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
             if can.get(name)]  # fmt: skip
    libraries = {name: version(name) for name in ("torch", "openvino", "onnxruntime", "nncf")}
    return {
        "processor": can.get("cpu_name", "?"),
        "has": " ".join(units) or "?",
        "bfloat16 in OpenVINO": "in hardware" if has_bfloat16("openvino") else "none: float32 runs in its place",
        "int8 products": "in hardware" if any("vnni" in u or u == "amx_int8" for u in units) else "emulated (no VNNI)",
        "threads": threads,
    } | libraries


def reached(table: pl.DataFrame, name: str, ratio: float, cosine: float) -> str:
    """Say whether a target is met, in words."""
    row = table.filter(encoder=name)
    if row.is_empty():
        return "not measured"
    fast, near = row["ratio"][0], row["cosine"][0]
    return (
        f"{fast:.2f} times torch float32 ({'met' if fast >= ratio else 'not met'}: {ratio}), "
        f"cosine {near:.4f} ({'met' if near >= cosine else 'not met'}: {cosine})"
    )


if __name__ == "__main__":
    main()
