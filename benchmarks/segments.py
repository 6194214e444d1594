"""How far segments hold on a public data set: the certificate under strong generalisation, without recommenders.

    python benchmarks/segments.py ../shared/data/ml-1m
    python benchmarks/segments.py ../shared/data/lastfm --sources events text --subsegments 3
    python benchmarks/segments.py ../shared/data/goodbooks-10k --method auto

A tenth of the users are held out whole; 80 % of the events of each are shown, to place the user, and the rest are to be
found. Encoder, tower and segments are fitted as in `shoal.fit`, on the other users; what a fit does besides is left
out. The table is `shoal.certify.CERTIFICATE`; beneath it stand the readable rules.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

import shoal
from shoal import learn as steps
from shoal.certify import certify, summary
from shoal.config import Config
from shoal.data.dataset import Dataset
from shoal.data.ids import Ids
from shoal.data.split import strong
from shoal.describe import describe_inside, members_of
from shoal.learn import Around
from shoal.learnt import Learnt, sorted_ids
from shoal.model.features import Features
from shoal.names import blind, names_of, with_names
from shoal.progress import progress
from shoal.recommend.blend import Blend
from shoal.segment.namer import contrast
from shoal.segment.profile import profiles
from shoal.segment.readable import readable_rules, with_rules
from shoal.tables import ITEM, NAME, SEGMENT, USER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a folder of a known public layout, or demo")
    parser.add_argument("--sources", nargs="+", help="of events, text, graph, tower")
    parser.add_argument("--method", default="kmeans")
    parser.add_argument("--subsegments", type=int)
    parser.add_argument("--effort", default="usual", choices=["quick", "usual", "full"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = shoal.demo_data() if options.data == "demo" else shoal.read(options.data)
    settings: dict[str, Any] = {"method": options.method}
    settings |= {k: v for k in ("sources", "subsegments") if (v := getattr(options, k)) is not None}
    config = Config(seed=options.seed, effort=options.effort, segment=settings, validation={"protocol": "strong"})
    held = strong(data, users_share=0.1, seed=options.seed, relevant_from=steps.relevance(data, config))
    around = Around(progress("lines"))
    began = time.monotonic()
    learnt = grouped(held.train, config, around)
    print(f"{data.name}: {time.monotonic() - began:.0f} s\n{learnt.segmentation.reason}")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, fmt_str_lengths=160, float_precision=3):
        print(learnt.segmentation.choice)
        show(learnt, held, around)


def grouped(data: Dataset, config: Config, around: Around) -> Learnt:
    """Return what `shoal.learn.learn` learns, up to the segments."""
    data = replace(data, items=data.items.sort(pl.col(ITEM).cast(pl.String)))
    items, texts = Ids(data.items[ITEM]), steps.texts_of(data, config, None)
    config = config.model_copy(update={"encode": steps.settled(config.encode, texts.texts, around.progress)})
    vectors = steps.encode_items(texts, config, around)
    inner, relevant = steps._inner(data, items, config), steps.relevance(data, config)
    features = Features.fit(vectors, data.items, np.bincount(inner.train.items, minlength=len(items)) > 0)
    matrix, story = features.of(vectors, data.items), dict[str, Any]()
    sequence = steps._train_tower(matrix, inner, data, relevant, config, around, story)
    held = inner.held_out(relevant, 10, config, set_like=True)
    space, segmentation, inside = steps._group(sequence, matrix, inner, held, relevant, config, None)
    blend = Blend([sequence])
    parts = (config, data, items, vectors, features, relevant, sequence, segmentation, {}, blend, None, story)
    return Learnt(*parts, space, inside)


def show(learnt: Learnt, held: Any, around: Around) -> None:
    """Print segments, names, and what speaks for them."""
    data, certificate = learnt.data, certify(learnt, held, seed=0)
    users = sorted_ids(data.interactions, USER)
    pasts = learnt.pasts(data.interactions, users)
    members = members_of(users, *learnt.placed(pasts))
    table = profiles(members, data.interactions, data.items, users=data.users)
    table = table.with_columns(pl.Series(NAME, contrast(table).names, pl.String)).filter(pl.col(SEGMENT) >= 0)
    inside = describe_inside(learnt, members, table, {})
    judged = blind(learnt, held, names_of(table, inside), inside, around)
    certificate = with_names(certificate, judged)
    parents = dict(inside.select(SEGMENT, "parent").iter_rows())
    scores = {s: score for one in judged for s, score in one.table.select(SEGMENT, "score").iter_rows()}
    told = summary(certificate, parents, scores)
    both = pl.concat([table.select(SEGMENT, NAME, "size"), inside.select(SEGMENT, NAME, "size")])
    print(both.join(told, on=SEGMENT, how="left", maintain_order="left"))
    rules = with_rules(both, readable_rules(members, learnt.data))
    print(rules.select(NAME, "rule", "rule_precision", "rule_recall", "rule_share"))
    for level, part in (("segments", rules.head(table.height)), ("subsegments", rules.tail(-table.height))):
        print(
            level, part.select(pl.col("rule").count(), pl.col("rule_precision", "rule_recall", "rule_share").median())
        )
    print(certificate.filter(pl.col(SEGMENT).is_null()))
    for level in certificate["level"].unique().sort():
        for measure in ("lift ndcg@10", "lift bits"):
            lifts = certificate.filter(pl.col("level") == level, pl.col("measure") == measure)
            own = lifts.filter(pl.col(SEGMENT).is_not_null(), pl.col("against") == "random segments")
            if own.height:
                print(f"{level}: {own.filter(pl.col('low') > 0).height} of {own.height} above random ones by {measure}")


if __name__ == "__main__":
    main()
