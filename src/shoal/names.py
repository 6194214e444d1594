"""Names of segments and subsegments: made from training events, tested on held-out ones, kept from run to run.

training events --profiles--> evidence --namer--> names --judge, by held-out events--> blind scores
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from shoal.certify import CERTIFICATE, summary
from shoal.config import Config
from shoal.data.leakage import Split
from shoal.describe import describe, describe_inside, renamed
from shoal.encode.cache import default_folder
from shoal.encode.open import open_encoder
from shoal.learn import Around
from shoal.learnt import Learnt, sorted_ids
from shoal.segment.blind import blind_scores, years_of
from shoal.segment.blind_scores import Blind
from shoal.tables import NAME, PARENT, SEGMENT, USER


def names_of(*tables: pl.DataFrame) -> dict[int, str]:
    """Return the names of the segments of some tables, by number."""
    return {segment: name for table in tables for segment, name in table.select(SEGMENT, NAME).iter_rows()}


def named(
    learnt: Learnt, members: pl.DataFrame, held: Split, old: Mapping[int, str], config: Config, around: Around
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """Describe and name segments and subsegments.

    What describes them is counted on all events; what they are called comes from training events alone, so that
    held-out ones can test it.

    Parameters
    ----------
    learnt : Learnt
        Fitted on everything.
    members : polars.DataFrame
    held : Split
    old : mapping of int to str
        Names of the last run, which stay with what has the same number.
    config : Config
    around : Around

    Returns
    -------
    segments, inside : polars.DataFrame
    naming : dict
        How the names came about; see `shoal.describe.renamed`.
    """
    segments = describe(learnt, members)
    seen = replace(learnt.data, interactions=held.train.interactions)
    before = replace(learnt, data=seen)
    of_train = describe(before, members)
    numbers = segments[SEGMENT].to_list()
    told, naming = renamed(
        of_train,
        members,
        seen,
        config.name,
        keep={segment: name for segment, name in old.items() if segment in numbers},
        seed=config.seed,
        cache=around.cache,
        progress=around.progress,
    )
    segments = segments.with_columns(pl.Series(NAME, told[NAME]))
    kept = {segment: name for segment, name in old.items() if segment not in numbers}
    inside = describe_inside(learnt, members, segments, kept)
    names = describe_inside(before, members, segments, kept).select(SEGMENT, NAME)
    inside = inside.drop(NAME).join(names, on=SEGMENT, how="left", maintain_order="left").select(inside.columns)
    return segments, inside, naming


def blind(learnt: Learnt, held: Split, names: Mapping[int, str], inside: pl.DataFrame, around: Around) -> list[Blind]:
    """Return how well names say who is meant, of segments first and then inside each segment that has subsegments.

    The judge sees what held-out events each user liked, and nothing else; see `shoal.segment.blind.blind_scores`.
    """
    users = sorted_ids(held.test, USER)
    pasts = learnt.pasts(held.given, users)
    found = learnt.pasts(held.test, users).liked(learnt.relevant_from)
    segment, _, within = learnt.placed(pasts)
    folder = default_folder() if around.cache == "default" else around.cache
    encoder = open_encoder(learnt.config.encode, device=around.device, cache=folder, progress=around.progress)
    years, made = years_of(learnt.data.items), []
    groups = [([int(one) for one in learnt.segmentation.ids], segment)]
    groups += [(part[SEGMENT].to_list(), within) for _, part in sorted(inside.group_by(PARENT))]
    for numbers, labels in groups:
        own = {number: names[number] for number in numbers if number in names}
        judged = blind_scores(own, labels, learnt.vectors, found, encoder, years=years, seed=learnt.config.seed)
        made.append(judged)
    return made


def with_certificate(
    table: pl.DataFrame, certificate: pl.DataFrame, judged: list[Blind], parents: Mapping[int, int]
) -> pl.DataFrame:
    """Return segments or subsegments with the columns of `shoal.certify.SUMMARY`; null where nothing was measured."""
    scores = {s: score for one in judged for s, score in one.table.select(SEGMENT, "score").iter_rows()}
    found = summary(certificate, dict(parents), scores)
    return table.drop(PARENT, strict=False).join(found, on=SEGMENT, how="left", maintain_order="left")


def with_names(certificate: pl.DataFrame, judged: list[Blind]) -> pl.DataFrame:
    """Return the certificate with rows about names."""
    rows = []
    for place, one in enumerate(judged):
        level = "segments" if place == 0 else "subsegments"
        same = {"level": level, "measure": "blind score", "against": f"chance {one.chance:.2f}"}
        if place == 0 and np.isfinite(one.score):
            rows.append(same | {SEGMENT: None, "value": one.score, "low": one.low, "high": one.high, "users": None})
        told = one.table.filter(pl.col("score").is_not_null()).rename({"score": "value"})
        rows += [same | row for row in told.select(SEGMENT, "value", "low", "high", "users").to_dicts()]
    return pl.concat([certificate, pl.DataFrame(rows, schema=CERTIFICATE)])
