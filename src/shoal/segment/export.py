"""Export: members for other systems, who is held out, and what changed since the last time.

members, segments --> members.csv     user_id, segment, name, strength, holdout, ...
                  --> members.csv.state.parquet, what `--since` reads next time
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from shoal.errors import ConfigError, MismatchError, StoreError
from shoal.store.whole import check_suffix, write_table, write_whole
from shoal.tables import NAME, SEGMENT, UNASSIGNED, USER

FORMAT = 1
STATE = ".state.parquet"
K = 20
"""A group of fewer people than this is not told of."""
HOLDOUT, CHANGE, BEFORE = "holdout", "change", "segment_before"
ENTERED, LEFT, MOVED = "entered", "left", "moved"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path, state : Path
    rows : int
        Rows of the file: members, or changes.
    withheld : dict of int to int
        Users who were left out, by segment: those of segments with fewer than k.
    changes : dict of str to int
        How many entered, left and moved; empty without `since`.
    notes : tuple of str
        What a reader should know.
    """

    path: Path
    state: Path
    rows: int
    withheld: dict[int, int]
    changes: dict[str, int]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "path": str(self.path),
            "state": str(self.state),
            "rows": self.rows,
            "withheld": self.withheld,
            "changes": self.changes,
            "notes": list(self.notes),
        }


def held_out(users: pl.Series, share: float, *, seed: int = 0) -> pl.Series:
    """Return which users are held out, bool: a stable draw by the hash of seed and user.

    A user's lot depends on nothing but the user's id, the seed and the share: not on who else is there, nor on the
    segment. Who is held out at one share is held out at every larger one. The share of each segment is therefore close
    to `share`, as close as that many tosses of a coin.

    Raises
    ------
    ConfigError
        `share` is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"holdout = {share}: must be a share from 0 to below 1, such as 0.1.")
    line = int(share * 2**64)
    lots = (hashlib.sha256(f"{seed}:{user}".encode()).digest()[:8] for user in users)
    return pl.Series(HOLDOUT, [int.from_bytes(lot, "big") < line for lot in lots], pl.Boolean)


def members_table(
    members: pl.DataFrame, segments: pl.DataFrame, *, holdout: float = 0.0, seed: int = 0, k: int = K
) -> tuple[pl.DataFrame, dict[int, int]]:
    """Return what is exported: members with the name of their segment and whether they are held out, sorted by user.

    Parameters
    ----------
    members : polars.DataFrame
        user_id, segment, and any columns, which go along.
    segments : polars.DataFrame
        segment, name.
    k : int
        Members of a segment with fewer users are withheld: its name would say much of few people. The unassigned (-1)
        never are: nothing is said of them.

    Returns
    -------
    table : polars.DataFrame
        user_id, segment, name, the other columns of `members`, holdout.
    withheld : dict of int to int
        Users left out, by segment.

    Raises
    ------
    ConfigError
        `k` is below 1, or `holdout` is no share.
    """
    check_k(k)
    sizes = members.filter(pl.col(SEGMENT) != UNASSIGNED).group_by(SEGMENT).len().sort(SEGMENT)
    withheld = {int(s): int(n) for s, n in sizes.iter_rows() if n < k}
    table = members.filter(~pl.col(SEGMENT).is_in(list(withheld))).with_columns(pl.col(USER).cast(pl.String))
    table = table.join(segments.select(SEGMENT, NAME), on=SEGMENT, how="left").sort(USER)
    others = [c for c in members.columns if c not in (USER, SEGMENT)]
    table = table.select(USER, SEGMENT, NAME, *others)
    return table.with_columns(held_out(table[USER], holdout, seed=seed)), withheld


def check_k(k: int) -> None:
    """Refuse a k that hides nothing and means nothing."""
    if k < 1:
        raise ConfigError(f"k = {k}: must be 1 or more; 1 hides nothing, 20 is usual.")


def changes(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return who entered, left or moved between two exports.

    Parameters
    ----------
    now, before : polars.DataFrame
        user_id and segment, and, in `now`, any columns. The unassigned (-1) are in no segment.

    Returns
    -------
    polars.DataFrame
        user_id, change (entered, left, moved), segment (-1: unassigned, or no more there), segment_before (-1: none),
        and the other columns of `now`, null for those who are not there any more; sorted by user.
    """
    old = before.select(USER, pl.col(SEGMENT).alias(BEFORE))
    both = now.join(old, on=USER, how="full", coalesce=True)
    both = both.with_columns(pl.col(SEGMENT, BEFORE).fill_null(UNASSIGNED))
    change = (
        pl.when(pl.col(SEGMENT) == UNASSIGNED)
        .then(pl.lit(LEFT))
        .when(pl.col(BEFORE) == UNASSIGNED)
        .then(pl.lit(ENTERED))
        .otherwise(pl.lit(MOVED))
    )
    both = both.filter(pl.col(SEGMENT) != pl.col(BEFORE)).with_columns(change.alias(CHANGE))
    others = [c for c in now.columns if c not in (USER, SEGMENT)]
    return both.sort(USER).select(USER, CHANGE, SEGMENT, BEFORE, *others)


def export(
    members: pl.DataFrame,
    segments: pl.DataFrame,
    to: str | Path,
    *,
    since: str | Path | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    k: int = K,
    source: str = "",
) -> Exported:
    """Write members, or what changed since an export, and the state that the next `since` reads.

    Parameters
    ----------
    members, segments, holdout, k
        See `members_table`.
    to : path
        A file that ends in .csv, .parquet or .jsonl; it is replaced. The state is written beside it, under its name
        and ``.state.parquet``.
    since : path, optional
        The file, or the state, of the last export. Then only those who entered, left or moved are written; see
        `changes`. `to` may be the same file.
    seed : int
        Of the holdout.
    source : str
        What the segments come from, such as a fingerprint of the fit: where it differs from that of `since`, numbers
        of segments may mean others now, and the notes say so.

    Raises
    ------
    ConfigError
        The file name ends in something else, or a setting is out of range.
    StoreError
        `since` is no export, or was changed or cut short; or the file cannot be written. Nothing is left half-written.
    MismatchError
        `since` was exported with another seed or share of the holdout: users would have changed sides.
    """
    to = Path(to)
    check_suffix(to)
    table, withheld = members_table(members, segments, holdout=holdout, seed=seed, k=k)
    settings = {"holdout": holdout, "seed": seed, "k": k, "source": source}
    notes: tuple[str, ...] = ()
    counted: dict[str, int] = {}
    written = table
    if since is not None:
        before, told = read_state(since)
        _check_same(told, settings, Path(since))
        if told["source"] != source:
            notes = ("The last export was of another fit: the same number may now be another segment.",)
        written = changes(table, before)
        found = dict(written.group_by(CHANGE).len().iter_rows())
        counted = {name: found.get(name, 0) for name in (ENTERED, LEFT, MOVED)}
    data = write_table(written, to)
    state = to.with_name(to.name + STATE)
    settings |= {"kind": "shoal export", "format": FORMAT, "file": to.name, "sha256": data}
    _write_state(table.select(USER, SEGMENT), settings, state)
    return Exported(to, state, written.height, withheld, counted, notes)


def _write_state(table: pl.DataFrame, settings: dict[str, Any], to: Path) -> None:
    head = {"shoal": json.dumps(settings, sort_keys=True)}
    write_whole(to, lambda path: table.write_parquet(path, metadata=head))


def read_state(path: str | Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return user_id and segment of an export, and its settings.

    Parameters
    ----------
    path : path
        The exported file, or its state.

    Raises
    ------
    StoreError
        There is no state, it is no export's or a newer shoal's, or the file beside it was changed since.
    """
    path = Path(path)
    state = path if path.name.endswith(STATE) else path.with_name(path.name + STATE)
    if not state.is_file():
        raise StoreError(
            f"There is no {state}, which shoal export writes beside its file. Give --since the last export."
        )
    try:
        settings = json.loads(pl.read_parquet_metadata(state)["shoal"])
        table = pl.read_parquet(state)
        known = settings["kind"] == "shoal export" and {USER, SEGMENT} <= set(table.columns)
    except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError):
        known = False
    if not known:
        raise StoreError(f"{state} is not the state of an export, or is damaged. Export anew without --since.")
    if settings["format"] > FORMAT:
        raise StoreError(f"{state} was written by a newer shoal (format {settings['format']}). Install a newer shoal.")
    beside = state.with_name(settings["file"])
    if beside.is_file() and hashlib.sha256(beside.read_bytes()).hexdigest() != settings["sha256"]:
        raise StoreError(
            f"{beside} is not the file that {state.name} was written with: one of them was changed, or an export was "
            "stopped between the two. Export anew without --since."
        )
    return table, settings


def _check_same(told: dict[str, Any], settings: dict[str, Any], since: Path) -> None:
    for name in ("holdout", "seed"):
        if told[name] != settings[name]:
            raise MismatchError(
                f"{since} was exported with {name} = {told[name]}, and this export has {settings[name]}: users would "
                f"change sides. Give --{name} {told[name]}, or export anew without --since."
            )
