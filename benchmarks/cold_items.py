"""Items nobody has used yet: does contrastive tuning on co-use give better vectors than the frozen model?

    python benchmarks/cold_items.py ../shared/data/ml-1m --results runs/cold --seeds 0
    python benchmarks/cold_items.py ../shared/data/ml-1m --results runs/cold --seeds 0 1 2 --strategies lora head

A tenth of the items is held out with all their events. Everything else is learnt from: the tuning too, which sees the
texts of held-out items never in a pair. Each kind of vectors serves the held-out items in two ways, NDCG@10 among them:

    nearest  cosine to the mean vector of what a user liked
    map      scores of item-item and factors carried over by kernel ridge regression (shoal.recommend.text)

beside the same two with TF-IDF. Differences to the frozen vectors are paired: bootstrap over the users of all seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

import shoal
from shoal.adapt.couse import item_sentences
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.data.split import cold_item
from shoal.encode.lm import LanguageModel
from shoal.evaluate import labels
from shoal.model.features import Features
from shoal.progress import progress
from shoal.recommend.factors import Factors
from shoal.recommend.item_item import ItemItem
from shoal.recommend.text import Text
from shoal.tables import ITEM, USER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a folder of a known public layout, or demo")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--strategies", nargs="*", default=["lora"])
    parser.add_argument("--config", type=Path, help="settings of the fine-tuning as TOML")
    options = parser.parse_args()
    data = shoal.demo_data() if options.data == "demo" else shoal.read(options.data)
    scores: dict[str, list[np.ndarray]] = {}
    for seed in options.seeds:
        for name, each in one_seed(data, seed, options).items():
            scores.setdefault(name, []).append(each)
    for way in ("nearest", "map"):
        frozen = np.concatenate(scores[f"{way} frozen"])
        print(f"\n{way}: NDCG@10 of {len(frozen):,} users, seeds {options.seeds}")
        for name in (n for n in scores if n.startswith(way)):
            found = np.concatenate(scores[name])
            low, high = labels.interval(lambda rows, d=found - frozen: float(d[rows].mean()), len(found))
            lead = found.mean() - frozen.mean()
            print(f"  {name:<20} {found.mean():.4f}   against frozen {lead:+.4f} ({low:+.4f} to {high:+.4f})")


def one_seed(data: Dataset, seed: int, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return NDCG@10 of each user, by way and vectors."""
    split = cold_item(data, seed=seed)
    items, texts = item_sentences(split.train)
    table = split.train.items.sort(pl.col(ITEM).cast(pl.String))
    users = Ids(split.test[USER].unique().cast(pl.String).sort())
    past, asked = (histories(x, users, items) for x in (split.train.interactions, split.test))
    everyone = histories(split.train.interactions, Ids(split.train.users[USER]), items)
    candidates = items.rows(split.candidates)
    teachers = [ItemItem(500.0), Factors(64, 10.0, 5.0, seed=0)]
    for teacher in teachers:
        teacher.fit(everyone)
    vectors = {"tf-idf": tfidf(texts), "frozen": LanguageModel("minilm", precision="float32").encode(texts)}
    for strategy in options.strategies:
        vectors[strategy] = tuned(split.train, texts, seed, strategy, options)
    seen = np.bincount(everyone.items, minlength=len(items)) > 0
    liked = past.liked(None if data.scale is None else data.scale.at(0.7))
    found = {}
    for name, matrix in vectors.items():
        found[f"nearest {name}"] = ndcg(nearest(matrix, liked)[:, candidates], asked, candidates)
        features = Features.fit(matrix, table, seen).of(matrix, table)
        found[f"map {name}"] = ndcg(
            Text(features, teachers).fit(everyone).score(past)[:, candidates], asked, candidates
        )
    return found


def tuned(train: Dataset, texts: list[str], seed: int, strategy: str, options: argparse.Namespace) -> np.ndarray:
    folder = options.results / f"{train.name}-{seed}-{strategy}"
    if not folder.exists():
        work = folder.with_name(folder.name + ".part")
        base = shoal.Finetune(max_tokens=64) if options.config is None else shoal.Finetune.from_toml(options.config)
        config = shoal.Finetune(**(base.model_dump(exclude_unset=True) | {"seed": seed, "strategy": strategy}))
        model = shoal.finetune(train, task="couse", config=config, work=work, progress=progress("lines"))
        print(f"seed {seed} {strategy}: before {model.about['before']}, after {model.about['after']}", flush=True)
        model.save(folder)
    return LanguageModel(str(folder), precision="float32").encode(texts)


def tfidf(texts: list[str]) -> np.ndarray:
    sparse = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2).fit_transform(texts)
    dense = TruncatedSVD(256, random_state=0).fit_transform(sparse)
    return (dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def nearest(vectors: np.ndarray, liked: Histories) -> np.ndarray:
    """Return (users, items): cosine of each item to the mean of what the user liked, both about the items' mean."""
    centred = vectors - vectors.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return (liked.matrix() @ centred) @ centred.T


def ndcg(scores: np.ndarray, asked: Histories, candidates: np.ndarray, n: int = 10) -> np.ndarray:
    """Return NDCG@n of each user among the candidates; any event on one of them is a hit."""
    hits = asked.matrix()[:, candidates].toarray() > 0
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=1, kind="stable")[:, :n]
    discount = 1 / np.log2(np.arange(2, n + 2))
    gain = (np.take_along_axis(hits, order, 1) * discount).sum(1)
    ideal = np.cumsum(discount)[np.minimum(hits.sum(1), n) - 1]
    return gain / ideal


if __name__ == "__main__":
    main()
