"""What every hold-out does: hold out users, put the parts together, say what is cold, refuse what cannot serve."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from shoal.data.dataset import Dataset
from shoal.data.draws import draw_ids
from shoal.data.leakage import Split, check_leakage
from shoal.errors import ConfigError, NotEnoughDataError
from shoal.tables import ITEM, RATING, USER, WEIGHT


def as_split(
    data: Dataset,
    protocol: str,
    train: pl.DataFrame,
    given: pl.DataFrame,
    test: pl.DataFrame,
    *,
    cutoff: datetime | None = None,
    candidates: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> Split:
    """Put the parts together, say what is cold in the test, and check."""
    columns = data.interactions.columns
    train, given, test = train.select(columns), given.select(columns), test.select(columns)
    _check_enough(protocol, train, test)
    strangers = test.select(USER).unique().join(given, on=USER, how="anti").height
    unknown = test.join(train.select(ITEM).unique(), on=ITEM, how="anti").height
    notes = (
        *notes,
        *note_of(strangers, "test users are shown nothing"),
        *(note_of(unknown, "test events have items unknown to training") if candidates is None else ()),
    )
    apart = given.height if protocol in ("strong", "cold-user") else 0  # elsewhere `given` is a part of `train`
    left_out = data.interactions.height - train.height - apart - test.height
    made = Split(data.with_interactions(train), given, test, protocol, cutoff, candidates, notes, left_out)
    check_leakage(made)
    return made


def hold_out_users(events: pl.DataFrame, share: float, seed: int, protocol: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw a share of the users, and return the events of the others and theirs."""
    users = events.select(USER).unique()
    if users.height < 2:
        raise NotEnoughDataError(
            f"{protocol} holds out whole users, and {users.height:,} users have enough events. "
            "Ask for fewer events of a user, or split with split.random(...)."
        )
    held_out = draw_ids(users, share, seed, protocol)
    train = events.join(held_out, on=USER, how="anti", maintain_order="left")
    return train, of_users(events, held_out)


def of_users(events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Return the events of the users of another table."""
    return events.join(users.select(USER).unique(), on=USER, how="semi", maintain_order="left")


def liked_events(data: Dataset, relevant_from: float | None) -> pl.DataFrame:
    """Return the events with a rating, or a count, of at least `relevant_from`; all of them where that is None."""
    if relevant_from is None:
        return data.interactions
    value = next((c for c in (RATING, WEIGHT) if c in data.interactions.columns), None)
    if value is None:
        raise ConfigError(
            f"relevant_from = {relevant_from}: {data.name} has neither ratings nor counts. Leave relevant_from out."
        )
    return data.interactions.filter(pl.col(value) >= relevant_from)


def note_of(n: int, what: str) -> tuple[str, ...]:
    """Return the note that there are `n` of something; none where there are none."""
    return (f"{n:,} {what}",) if n else ()


def _check_enough(protocol: str, train: pl.DataFrame, test: pl.DataFrame) -> None:
    if not test.height:
        raise NotEnoughDataError(
            f"{protocol} finds no event to ask in this data: users have too few events. "
            "Hold out a larger share, or split with split.random(...)."
        )
    users, items = train[USER].n_unique(), train[ITEM].n_unique()
    if users < 2 or items < 2:
        raise NotEnoughDataError(
            f"{protocol} leaves {train.height:,} events of {users:,} users and {items:,} items to learn from; "
            "models need two of each. Hold out a smaller share."
        )


def check_times(data: Dataset, protocol: str) -> None:
    """Refuse data without times."""
    if not data.has_times:
        raise NotEnoughDataError(
            f"{protocol} needs times, and {data.name} has none. Name the column with the times when reading, "
            "or split with split.random(...)."
        )


def check_share(**shares: float) -> None:
    """Refuse shares that do not lie between 0 and 1, by name."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ConfigError(f"{name} = {share!r}: must lie between 0 and 1, such as 0.2.")


def check_whole(*, low: int, **numbers: int) -> None:
    """Refuse what is no whole number of at least `low`, by name."""
    for name, number in numbers.items():
        if not isinstance(number, int) or number < low:
            raise ConfigError(f"{name} = {number!r}: must be a whole number, {low} or more.")
