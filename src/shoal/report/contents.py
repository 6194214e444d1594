"""A run becomes the contents of its report."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoal.report.map import layout
from shoal.report.page import write
from shoal.report.shown import Contents
from shoal.seeding import integer
from shoal.tables import ITEM, SEGMENT, STRENGTH, USER
from shoal.titles import titles

if TYPE_CHECKING:
    from shoal.data.histories import Histories
    from shoal.learnt import Learnt
    from shoal.run import Run

RECOMMENDED = 6
EXAMPLES = 3
MOST_MAPPED = 100_000
MOST_COMPARED, AT_ONCE, LEAST_COMPARED = 8, 5, 10
"""Segments of which all pairs are compared, how many of them in one go, and users that it takes."""
PACKAGES = ("shoal", "python", "torch", "transformers", "polars")


def report_run(run: Run, path: str | Path) -> Path:
    """Write the report of a run to `path`, whole or not at all."""
    return write(contents(run), path)


def contents(run: Run) -> Contents:
    """Return what the report of `run` shows."""
    data, manifest = run.data, run.manifest
    return Contents(
        title=data.name,
        when=datetime.fromisoformat(manifest["made"]).astimezone(UTC),
        users=data.users.height,
        items=data.items.height,
        events=data.interactions.height,
        map=mapped(run),
        segments=run.segments,
        recommended=_recommended(run),
        metrics=_metrics(run),
        choice=run.learnt.segmentation.choice,
        reason=run.learnt.segmentation.reason,
        verdicts=verdicts(run),
        read=data.report.lines(),
        examples=[_example(run, user) for user in typical_users(run)],
        manifest={
            "versions": {p: manifest["versions"][p] for p in PACKAGES},
            "seed": manifest["seed"],
            "data": manifest["data"]["fingerprint"],
            "protocol": f"{run.judgement.protocol}: {'; '.join(run.judgement.notes) or 'nothing left out'}",
            "seconds": manifest["seconds"],
        },
        subsegments=run.subsegments,
        certificate=run.certificate,
        differences=_differences(run),
        paired=run.judgement.differences,
        migration=run.migration,
        history=run.history,
        drift=run.drift,
    )


def _metrics(run: Run) -> pl.DataFrame:
    """Return the metrics, with a note where the paired comparison finds no sure difference from the blend."""
    open_ = run.judgement.differences.filter(pl.col("verdict") == "undecided").select("model", "metric")
    open_ = open_.with_columns(note=pl.lit("no sure difference"))
    return run.judgement.table.join(open_, on=["model", "metric"], how="left", maintain_order="left")


def _differences(run: Run) -> pl.DataFrame | None:
    """Return what differs between all pairs of segments; None where there are too many, or only one.

    Segments are compared a few at a time, so that the data is read a few times and not once a pair.
    """
    known = run.segments.filter(pl.col(SEGMENT) >= 0, pl.col("size") >= LEAST_COMPARED)[SEGMENT].to_list()
    if not 2 <= len(known) <= MOST_COMPARED:
        return None
    twos = [known[k : k + 2] for k in range(0, len(known), 2)]
    blocks = [known] if len(known) <= AT_ONCE else [a + b for a, b in combinations(twos, 2)]
    found = pl.concat([run.compare(block) for block in blocks])
    return found.unique(["first", "second", "part", "kind", "label", ITEM], keep="first", maintain_order=True)


def mapped(run: Run) -> pl.DataFrame:
    """Return where the users lie, the table map of `Contents`; of very many users a sample, drawn by the run's seed."""
    learnt = run.learnt
    members = run.members
    if members.height > MOST_MAPPED:
        members = members.sample(MOST_MAPPED, seed=integer(run.manifest["seed"], "map")).sort(USER)
    pasts = _pasts(run, members[USER].to_list())
    places = layout(_vectors(learnt, pasts), seed=integer(run.manifest["seed"], "map"))
    return members.with_columns(
        x=pl.Series(places[:, 0]), y=pl.Series(places[:, 1]), events=pl.Series(pasts.counts, dtype=pl.Int32)
    )


def _vectors(learnt: Learnt, pasts: Histories) -> np.ndarray:
    """Return what segments were found in; where there are subsegments, what they were found in beside it."""
    if learnt.space is None or not learnt.inside:
        return learnt.users(pasts)
    return np.hstack(learnt.space.both(pasts))


def _pasts(run: Run, users: list[str]) -> Histories:
    from shoal.data.ids import Ids

    return run.learnt.pasts(run.data.interactions, Ids(users))


def _recommended(run: Run) -> pl.DataFrame:
    """Return what a segment's most typical members are offered most: a vote of at most 100 of them, by rank."""
    called, parts = titles(run.data.items), []
    for segment in run.segments.filter(pl.col(SEGMENT) >= 0)[SEGMENT]:
        typical = run.members.filter(pl.col(SEGMENT) == segment).top_k(100, by=STRENGTH)[USER].to_list()
        if not typical:
            continue
        lists = run.recommend(typical, n=20)
        votes = lists.group_by(ITEM).agg(score=(1 / (pl.col("rank").cast(pl.Float64) + 1).log(2)).sum())
        best = votes.sort(["score", ITEM], descending=[True, False]).head(RECOMMENDED)
        parts.append(
            best.select(
                pl.lit(segment, pl.Int32).alias(SEGMENT),
                rank=pl.int_range(1, best.height + 1),
                item_id=ITEM,
                score="score",
            )
        )
    empty = {SEGMENT: pl.Int32(), "rank": pl.Int64(), ITEM: pl.String(), "score": pl.Float64()}
    table = pl.concat(parts) if parts else pl.DataFrame(schema=empty)
    return table.join(called, on=ITEM, how="left", maintain_order="left")


def typical_users(run: Run) -> list[str]:
    """Return the user whom each of the largest segments fits best."""
    largest = run.segments.filter(pl.col(SEGMENT) >= 0).sort("size", descending=True)[SEGMENT].head(EXAMPLES)
    members = run.members.sort(STRENGTH, USER, descending=[True, False])
    return [members.filter(pl.col(SEGMENT) == s)[USER][0] for s in largest if (members[SEGMENT] == s).any()]


def _example(run: Run, user: str) -> dict[str, Any]:
    called = dict(titles(run.data.items).iter_rows())
    name = run.segments.filter(pl.col(SEGMENT) == run.members.filter(pl.col(USER) == user)[SEGMENT][0])["name"][0]
    past = _pasts(run, [user])
    newest = run.learnt.items.take(past.items[::-1][:5])
    offered = []
    for row in run.recommend([user], n=3).iter_rows(named=True):
        why = run.explain(user, row[ITEM]).filter(pl.col("effect") > 0)[ITEM].head(2)
        reason = f"because of {' and '.join(called[i] for i in why)}" if len(why) else f"from {row['source']}"
        offered.append({"title": called[row[ITEM]], "score": row["score"], "reason": reason})
    return {"user_id": user, "segment": name, "recent": [called[i] for i in newest], "recommended": offered}


def verdicts(run: Run) -> list[str]:
    """Say plainly where segments help, tie or hurt, from held-out events."""
    told = []
    for found in run.learnt.by_segment.verdicts_:
        name = run.segments.filter(pl.col(SEGMENT) == found.segment)["name"]
        who = name[0] if len(name) else f"Segment {found.segment}"
        popular = "everyone's popular items find next to nothing here"
        if found.popular_gain is not None:
            gain = f"{found.popular_gain:+.0%} ({found.popular_low:+.0%} to {found.popular_high:+.0%})"
            popular = f"its popular items beat everyone's by {gain} NDCG@10"
        own = f"{found.local - found.everyone:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
        does = "helps and serves it" if found.low > 0 else "hurts" if found.high < 0 else "makes no sure difference"
        told.append(
            f"{who}: {popular}; a model of its own {does}, {own} against everyone's model, on {found.users:,} users."
        )
    return told or ["No segment had enough held-out users to be compared."]
