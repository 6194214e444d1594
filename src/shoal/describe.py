"""What a run says of itself: its members and segments as tables, and its manifest."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

import shoal
from shoal.config import Name
from shoal.data.dataset import Dataset
from shoal.data.ids import Ids
from shoal.encode.cache import default_folder
from shoal.errors import MismatchError
from shoal.learn import Around
from shoal.learnt import Learnt, sorted_ids
from shoal.progress import Progress
from shoal.recommend.by_segment import Verdict
from shoal.segment.drift import sizes
from shoal.segment.identity import history, keep_names, migration
from shoal.segment.name import ContrastNamer
from shoal.segment.namer import contrast, name_segments
from shoal.segment.profile import PROFILES, profiles
from shoal.tables import MEMBERS, NAME, PARENT, SEGMENT, STRENGTH, SUBSEGMENT, USER, check


def everyone(learnt: Learnt) -> pl.DataFrame:
    """Return `shoal.tables.MEMBERS`: where each user of the data belongs, those without events included."""
    users = sorted_ids(learnt.data.users, USER)
    return members_of(users, *learnt.placed(learnt.pasts(learnt.data.interactions, users)))


def members_of(users: Ids, segments: np.ndarray, strengths: np.ndarray, inside: np.ndarray) -> pl.DataFrame:
    """Return `shoal.tables.MEMBERS` and subsegment, from segments, strengths and subsegments, (users,) each."""
    table = pl.DataFrame({USER: users.values, SEGMENT: segments, STRENGTH: strengths, SUBSEGMENT: inside})
    typed = table.with_columns(pl.col(SEGMENT, SUBSEGMENT).cast(pl.Int32), pl.col(STRENGTH).cast(pl.Float32))
    return check(typed, MEMBERS, what="members")


def describe(learnt: Learnt, members: pl.DataFrame) -> pl.DataFrame:
    """Return a row a segment: its profile, its name, and whether a model of its own serves it (`SERVED`)."""
    data = learnt.data
    table = profiles(members, data.interactions, data.items, users=data.users)
    table = table.with_columns(pl.Series(NAME, contrast(table).names, pl.String))
    found = {v.segment: v for v in learnt.by_segment.verdicts_}
    told = [served_words(found.get(s), s) for s in table[SEGMENT]]
    return pl.concat([table, pl.DataFrame(told, schema=SERVED)], how="horizontal")


def describe_inside(
    learnt: Learnt, members: pl.DataFrame, segments: pl.DataFrame, keep: Mapping[int, str]
) -> pl.DataFrame:
    """Return a row a subsegment: what sets it apart from the rest of its segment, and a name that nobody else has.

    Parameters
    ----------
    learnt : Learnt
    members : polars.DataFrame
        Of the run, with subsegment.
    segments : polars.DataFrame
        The named segments.
    keep : mapping of int to str
        Names, by subsegment, that stay as they are.
    """
    data, taken, tables = learnt.data, [*segments[NAME], *keep.values()], []
    for parent in segments[SEGMENT].to_list():
        own = members.filter((pl.col(SEGMENT) == parent) & (pl.col(SUBSEGMENT) >= 0))
        if not own.height:
            continue
        inside = own.select(USER, pl.col(SUBSEGMENT).alias(SEGMENT))
        table = profiles(inside, data.interactions, data.items, users=data.users)
        kept = {one: name for one, name in keep.items() if one in table[SEGMENT]}
        names = ContrastNamer(taken=taken).name(table, keep=kept)
        taken += names
        tables.append(table.with_columns(pl.Series(NAME, names, pl.String), pl.lit(parent, pl.Int32).alias(PARENT)))
    return pl.concat(tables) if tables else pl.DataFrame(schema={**PROFILES, NAME: pl.String(), PARENT: pl.Int32()})


def renamed(
    segments: pl.DataFrame,
    members: pl.DataFrame,
    data: Dataset,
    settings: Name,
    *,
    keep: Mapping[int, str] | None = None,
    seed: int = 0,
    cache: Path | Literal["default"] | None = "default",
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Name segments anew, as the settings say.

    Parameters
    ----------
    segments : polars.DataFrame
        `describe` of `members` in `data`; what was found of the old names (`blind_score` and the like) is emptied.
    members : polars.DataFrame
    data : Dataset
    settings : Name
    keep : mapping of int to str, optional
        Names, by segment, that stay as they are; the others differ from them.
    seed : int
    cache : path, "default" or None
        Where a model's replies are kept by content.
    progress : Progress, optional
        Warned where a language model's name was not taken.

    Returns
    -------
    segments : polars.DataFrame
    naming : dict
        How the names came about, for JSON; see `shoal.segment.namer.Named.document`.

    Raises
    ------
    ConfigError, MissingExtraError
        See `shoal.segment.namer.check`.
    """
    told = segments.select(PROFILES.keys())
    named = name_segments(
        told,
        members,
        data.interactions,
        data.items,
        settings,
        keep=keep,
        seed=seed,
        cache=default_folder() if cache == "default" else cache,
        progress=progress,
    )
    judged = [pl.lit(None, segments.schema[c]).alias(c) for c in segments.columns if c.startswith("blind_")]
    table = segments.with_columns(pl.Series(NAME, named.names, pl.String), *judged)
    return table, named.document(told, settings)


def survived(
    segments: pl.DataFrame,
    members: pl.DataFrame,
    old_segments: pl.DataFrame,
    old_members: pl.DataFrame,
    old_history: pl.DataFrame,
    fitted: datetime,
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Return the segments under the names that they had in the last run, and the tables of what became of those.

    These are history, migration and drift; see `shoal.segment.identity` and `shoal.segment.drift`.
    """
    names = dict(old_segments.select(SEGMENT, NAME).iter_rows())
    segments = keep_names(segments, names, used=old_history[NAME])
    return segments, {
        "history": history(segments, fitted, old_history),
        "migration": migration(old_members, members),
        "drift": sizes(old_members, members),
    }


def check_same_users(members: pl.DataFrame, data: Dataset) -> None:
    """Refuse a last run that knows none of the users.

    Raises
    ------
    MismatchError
        With an id of either side.
    """
    users = data.users.select(pl.col(USER).cast(pl.String))
    if not members.join(users, on=USER, how="semi").height:
        raise MismatchError(
            f"The last run knows none of the {users.height:,} users, such as {users[USER][0]}; it has "
            f"{members.height:,}, such as {members[USER][0]}. Give the last run on the same users, or none."
        )


SERVED = {"gain": pl.String(), "served": pl.String()}
"""What validation events say of a segment's own models: the gain of what is popular in it, and who serves it."""
NO_BASE = "popularity finds none"
"""Instead of a gain over everyone's popular items, where these find next to nothing."""


def served_words(found: Verdict | None, segment: int) -> dict[str, str]:
    """Return the columns of `SERVED` for a segment; None: it was not compared."""
    if found is None:
        served = "everyone's models serve it"
        return {"gain": "", "served": served if segment < 0 else f"{served}: too few users to compare"}
    gain, low, high = found.popular_gain, found.popular_low, found.popular_high
    own = f"{found.local - found.everyone:+.4f} ndcg@10 ({found.low:+.4f} to {found.high:+.4f})"
    served = f"its own model serves it: {own}" if found.helps else f"everyone's model serves it; an own one: {own}"
    words = NO_BASE
    if gain is not None and low is not None and high is not None:
        words = f"{100 * gain:+.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return {"gain": words, "served": served}


def manifest_of(learnt: Learnt, around: Around, began: datetime) -> dict[str, Any]:
    """Return what one needs to know, and to make the run again: versions, data, seed, times, what was chosen."""
    data, packages = learnt.data, ("torch", "transformers", "polars", "scikit-learn", "implicit", "numpy")
    return {
        "name": data.name,
        "made": began.isoformat(timespec="seconds"),
        "seed": learnt.config.seed,
        "data": {
            "fingerprint": data.fingerprint(),
            "users": data.users.height,
            "items": data.items.height,
            "events": data.interactions.height,
            "read": data.report.as_dict(),
        },
        "versions": {"shoal": shoal.__version__, "python": platform.python_version()}
        | {p: version(p) for p in packages},
        "seconds": {k: round(v, 2) for k, v in around.seconds.items()},
        "reason": learnt.segmentation.reason,
        "learnt": learnt.story,
    }
