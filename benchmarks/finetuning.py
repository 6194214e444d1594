"""Ratings and labels told from texts: fine-tuned language models beside TF-IDF with linear models, on the same splits.

    python benchmarks/finetuning.py amazon ../shared/data --results runs/finetuning
    python benchmarks/finetuning.py zomato ../shared/data --results runs/finetuning --seeds 0 1 2 --strategies lora full
    python benchmarks/finetuning.py amazon zomato twitter ../shared/data --results runs/finetuning --table

For each seed a fifth of the texts, in the classes' own shares, is asked and never trained on; everything that is tuned
is tuned on the other four fifths: the linear models by five-fold cross-validation, ours by its own validation part.
Peak memory is the process's: name one strategy a call to compare it.

Predictions are kept in --results, one file for each data set, seed and model, so that a run which was stopped goes on;
--table prints what is there. Differences are paired: bootstrap over the texts, each with its answers for all seeds.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

import shoal
from shoal.adapt.tell import held_out
from shoal.data.labelled import Labelled, read_labelled
from shoal.evaluate import labels
from shoal.progress import progress
from shoal.seeding import generator

SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "amazon": ("amazon-musical-instruments/reviews.csv", {"text": ("summary", "review"), "rating": "rating"}),
    "zomato": ("zomato-hyderabad/reviews.csv", {"text": "review", "rating": "rating", "on_bad": "drop"}),
    "twitter": ("twitter-airline/tweets.csv", {"text": "text", "label": "sentiment"}),
    "hotels": ("chinese-sentiment/ChnSentiCorp_htl_all.csv", {"text": "review", "label": "label"}),
    "meals": ("chinese-sentiment/waimai_10k.csv", {"text": "review", "label": "label"}),
}
CHINESE = ("hotels", "meals")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET", help=", ".join(SETS) + "; last of all the folder of the data")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strategies", nargs="*", default=["frozen", "lora"])
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--config", type=Path, help="settings of the fine-tuning as TOML")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--texts", type=int, help="so many texts of each set, drawn once")
    parser.add_argument("--table", action="store_true", help="run nothing; print what is there")
    options = parser.parse_args()
    *names, folder = options.sets
    for name in names:
        data = read(Path(folder), name, options.texts)
        if not options.table:
            for seed in options.seeds:
                run(name, data, seed, options)
        print(table(name, data, options.results))


def read(folder: Path, name: str, texts: int | None) -> Labelled:
    file, how = SETS[name]
    data = read_labelled(folder / file, **how)
    if texts is not None and texts < len(data.texts):
        data = data.take(np.sort(generator(0, "benchmark", name).permutation(len(data.texts))[:texts]))
    return data


def run(name: str, data: Labelled, seed: int, options: argparse.Namespace) -> None:
    train, test = held_out(data.classes, 0.2, generator(seed, "benchmark", "test"))
    place = options.results / f"{name}-{len(data.texts)}"
    jobs: list[tuple[str, Any]] = [("tf-idf", lambda: linear(data, train, test, chinese=name in CHINESE))]
    jobs += [
        (f"{options.base} {strategy}", lambda s=strategy: tuned(data, train, test, seed, s, options))
        for strategy in options.strategies
    ]
    for model, job in jobs:
        file = place / f"{seed}-{model.replace('/', '_').replace(' ', '-')}.npz"
        if file.exists():
            continue
        began = time.monotonic()
        chances, rating, about = job()
        about |= {"seconds": time.monotonic() - began, "model": model, "seed": seed}
        about["peak GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        place.mkdir(parents=True, exist_ok=True)
        np.savez(file, chances=chances, rating=rating, test=test, about=json.dumps(about))


def linear(
    data: Labelled, train: np.ndarray, test: np.ndarray, *, chinese: bool
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Logistic regression on TF-IDF, and for ratings the better of its mean and ridge regression, by 5-fold."""
    words = {"analyzer": "char", "ngram_range": (1, 3)} if chinese else {"ngram_range": (1, 2)}
    texts = np.array(data.texts, dtype=object)
    tfidf = TfidfVectorizer(min_df=2, sublinear_tf=True, **words)
    pipe = make_pipeline(tfidf, LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipe, {"logisticregression__C": [0.3, 1, 3, 10, 30]}, cv=5)
    search.fit(texts[train], data.classes[train])
    chances = np.zeros((len(test), len(data.names)))
    chances[:, search.classes_] = search.predict_proba(texts[test])  # a class may be missing from few texts
    about = {"C": search.best_params_["logisticregression__C"]}
    rating = chances @ data.levels
    if data.ordered:
        ridge = make_pipeline(tfidf, GridSearchCV(Ridge(solver="sparse_cg"), {"alpha": [0.1, 0.3, 1, 3, 10]}, cv=5))
        inner = cross_val_predict(
            search.best_estimator_, texts[train], data.classes[train], cv=5, method="predict_proba"
        )
        inner_ridge = cross_val_predict(ridge, texts[train], data.values[train], cv=5)
        told = inner @ data.levels[search.classes_]
        errors = [labels.rmse(p, data.values[train]) for p in (told, inner_ridge)]
        if errors[1] < errors[0]:
            fitted = ridge.fit(texts[train], data.values[train])
            rating = np.clip(fitted.predict(texts[test]), data.levels[0], data.levels[-1])
        about["rating by"] = "ridge" if errors[1] < errors[0] else "logistic"
    return chances, rating, about


def tuned(
    data: Labelled, train: np.ndarray, test: np.ndarray, seed: int, strategy: str, options: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray, dict]:
    settings = shoal.Finetune() if options.config is None else shoal.Finetune.from_toml(options.config)
    values = settings.model_dump(exclude_unset=True)
    values |= {"base": options.base, "seed": seed, "test_share": 0.0, "max_tokens": options.max_tokens}
    values["strategy"] = strategy
    if options.epochs is not None and strategy not in ("frozen", "head"):
        values["learning"] = {**values.get("learning", {}), "epochs": options.epochs}
    rater = shoal.finetune(data.take(train), config=shoal.Finetune(**values), progress=progress("lines"))
    told = rater.predict([data.texts[row] for row in test])
    chances = told.select(data.names).to_numpy().astype(np.float64)
    rating = told["rating"].to_numpy() if data.ordered else chances @ data.levels
    return chances, rating, {k: rater.about[k] for k in ("parameters", "story", "validation", "truncated")}


def table(name: str, data: Labelled, results: Path) -> str:
    """Say what each model scores over all seeds, and how far it is ahead of TF-IDF on the same texts."""
    found: dict[str, dict[int, Any]] = {}
    for file in sorted((results / f"{name}-{len(data.texts)}").glob("*.npz")):
        kept = np.load(file)
        about = json.loads(str(kept["about"]))
        found.setdefault(about["model"], {})[about["seed"]] = (kept["chances"], kept["rating"], kept["test"], about)
    lines = [f"\n{name}: {len(data.texts):,} texts, {len(data.names)} classes; a fifth asked"]
    for model, runs in found.items():
        seeds = sorted(set(runs) & set(found.get("tf-idf", runs)))
        about = [runs[seed][3] for seed in seeds]
        moved = about[0].get("parameters", {}).get("moved")
        spent = (
            f"{np.mean([one['seconds'] for one in about]):.0f} s  peak {max(one['peak GB'] for one in about):.1f} GB"
        )
        lines.append(f"  {model}  seeds {seeds}  {spent}  moved {'-' if moved is None else f'{moved:,}'}")
        lines += _figures(_together(runs, seeds, data), _together(found.get("tf-idf", runs), seeds, data), data.ordered)
    return "\n".join(lines)


def _figures(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...], ordered: bool) -> list[str]:
    chances, rating, classes, values, texts = ours
    base, base_rating = theirs[:2]
    lines = []
    for kind, metric in {
        "accuracy": labels.accuracy,
        "macro-F1": labels.macro_f1,
        "calibration": labels.calibration_error,
    }.items():
        ahead = _interval(lambda r, m=metric: m(chances[r], classes[r]) - m(base[r], classes[r]), texts)
        lines.append(f"    {kind:<12} {metric(chances, classes):.4f}   against tf-idf {ahead}")
    if ordered:
        ahead = _interval(lambda r: labels.rmse(rating[r], values[r]) - labels.rmse(base_rating[r], values[r]), texts)
        lines.append(f"    {'RMSE':<12} {labels.rmse(rating, values):.4f}   against tf-idf {ahead}")
    return lines


def _together(runs: dict[int, Any], seeds: list[int], data: Labelled) -> tuple[np.ndarray, ...]:
    chances, rating, rows = (np.concatenate([runs[s][i] for s in seeds]) for i in range(3))
    return chances, rating, data.classes[rows], data.values[rows], rows


def _interval(figure: Any, texts: np.ndarray) -> str:
    """Say a difference with its interval; a text that was asked for several seeds is drawn with all its answers."""
    order = np.argsort(texts, kind="stable")
    _, starts, counts = np.unique(texts[order], return_index=True, return_counts=True)

    def of(drawn: np.ndarray) -> float:
        ends = np.cumsum(counts[drawn])
        within = np.arange(ends[-1]) - np.repeat(ends - counts[drawn], counts[drawn])
        return figure(order[np.repeat(starts[drawn], counts[drawn]) + within])

    low, high = labels.interval(of, len(starts))
    return f"{figure(np.arange(len(texts))):+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
