"""What a rule can ask of users: figures of their events, their columns, their segments, as one column a fact.

Each fact that a rule names becomes an expression over the events of a user, or over the table of users; `Facts.table`
computes all of them in one pass. Nothing is computed that no rule asks for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Literal

import polars as pl

from shoal.data.dataset import Dataset
from shoal.errors import ConfigError, did_you_mean
from shoal.segment.words import categories
from shoal.tables import AT, ITEM, RATING, SEGMENT, STRENGTH, USER, WEIGHT
from shoal.titles import titles

Kind = Literal["number", "text", "truth", "time"]
DAY = 86_400_000_000  # microseconds
KEPT, EXACT = 7, 12  # significant digits of a value, and of sums and means: their last bits depend on the order of rows
MOST_COMPARED = 20_000  # titles that a misspelt one is held against

FIGURES: Mapping[str, str] = {
    "event_count": "events of the user",
    "rating_count": "ratings that the user gave",
    "distinct_items": "different items",
    "mean_rating": "mean of the user's ratings",
    "total_weight": "sum of the user's counts, such as plays",
    "days_since_last": "days from the user's last event to the newest event of the data",
    "days_active": "days from the user's first event to the last",
    "segment": "the user's segment, -1 for the unassigned",
    "strength": "how sure the segment is, 0 to 1",
}
"""Names that every rule knows. The columns of the users table come after them."""

FUNCTIONS: Mapping[str, str] = {
    "share": 'share("label")',
    "share_of": 'share_of("column", "label")',
    "has": 'has("item id or title")',
    "in_segment": 'in_segment("name")',
    "column": 'column("name")',
    "missing": "missing(age)",
}
"""Functions that every rule knows, as they are written."""


class Facts:
    """The facts of a data set that rules have asked for so far.

    Parameters
    ----------
    data : Dataset
    members : polars.DataFrame, optional
        `shoal.tables.MEMBERS`. Without it a rule cannot ask for segments.
    segments : polars.DataFrame, optional
        Columns segment and name.
    """

    def __init__(
        self, data: Dataset, members: pl.DataFrame | None = None, segments: pl.DataFrame | None = None
    ) -> None:
        self.data, self.members, self.segments = data, members, segments
        self._events: dict[str, pl.Expr] = {}  # a fact, from the events of a user
        self._marks: dict[str, pl.Expr] = {}  # a column of events that such a fact reads
        self._zero: set[str] = set()  # what is 0, not missing, without events
        self._labels: pl.DataFrame | None = None
        self._titles: pl.DataFrame | None = None

    def named(self, name: str) -> tuple[Kind, pl.Expr]:
        """Return a figure or a column of the users table by its name.

        Raises
        ------
        ConfigError
            There is no such name, or the data cannot tell it.
        """
        if name in FIGURES:
            return "number", self._figure(name)
        if name in FUNCTIONS:
            raise ConfigError(f"{name} needs something in parentheses: {FUNCTIONS[name]}.")
        return self.column(name)

    def column(self, name: str) -> tuple[Kind, pl.Expr]:
        """Return a column of the users table."""
        users = self.data.users
        if name not in users.columns or name == USER:
            known = [*FIGURES, *(c for c in users.columns if c != USER)]
            raise ConfigError(
                f"{name} is no figure and no column of the users table; "
                f"known are {', '.join(known)}.{did_you_mean(name, [*known, *FUNCTIONS])}"
            )
        dtype, column = users.schema[name], pl.col(f"user {name}")
        if dtype == pl.Boolean:
            return "truth", column
        if dtype.is_numeric():
            return "number", column.cast(pl.Float64).fill_nan(None)
        if dtype in (pl.Date, pl.Datetime):
            return "time", column.cast(pl.Datetime("us"))
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            return "text", column.cast(pl.String)
        raise ConfigError(f"the column {name} of the users table holds {dtype}, which a rule cannot compare.")

    def label_column(self, kind: str) -> str:
        """Return `kind` if this column of the items, or ``decade``, holds labels."""
        kinds = self._categories()["kind"].unique().sort().to_list()
        if kind not in kinds:
            known = f"known are {', '.join(kinds) or 'none'}.{did_you_mean(kind, kinds)}"
            raise ConfigError(f"no column {kind} of the items holds labels; {known}")
        return kind

    def share(self, label: str, kind: str | None = None) -> pl.Expr:
        """Return the share of a user's events whose item has a label, of one column or of any."""
        labels = self._categories()
        part = labels if kind is None else labels.filter(pl.col("kind") == kind)
        items = part.filter(pl.col("label") == label)[ITEM].unique()
        if not len(items):
            where = "" if kind is None else f" in {kind}"
            raise ConfigError(f'no item has the label "{label}"{where}.{close_to(label, part["label"].unique())}')
        return self._over_items(f"share {kind} {label}", items, lambda mark: mark.mean())

    def has(self, item: str) -> pl.Expr:
        """Return whether a user has an event with an item, given by its id or else by its exact title."""
        if self._titles is None:
            self._titles = titles(self.data.items)
        known = self._titles
        ids = known.filter(pl.col(ITEM) == item) if (known[ITEM] == item).any() else known.filter(title=item)
        if not ids.height:
            raise ConfigError(f'no item has the id or the title "{item}".{close_to(item, known["title"])}')
        rows = self.data.items.filter(pl.col(ITEM).cast(pl.String).is_in(ids[ITEM].implode()))[ITEM]
        return self._over_items(f"has {item}", rows, lambda mark: mark.any()).fill_null(False)

    def in_segment(self, name: str) -> pl.Expr:
        """Return whether a user is in the found segment of this name."""
        if self.segments is None or "name" not in self.segments.columns:
            raise ConfigError("segments are known in a run only; this rule is asked of a data set alone.")
        found = self.segments.filter(pl.col("name") == name)[SEGMENT]
        if not len(found):
            raise ConfigError(f'no segment and no rule is called "{name}".{close_to(name, self.segments["name"])}')
        return (self._figure(SEGMENT) == int(found[0])).fill_null(False)

    def segment_names(self) -> list[str]:
        """Return the names of the found segments."""
        known = self.segments is not None and "name" in self.segments.columns
        return self.segments["name"].to_list() if known and self.segments is not None else []

    def table(self) -> pl.DataFrame:
        """Return user_id, sorted, and every fact that was asked for, under the names that the expressions read."""
        users = self.data.users
        table = users.select(
            pl.col(USER).cast(pl.String), *(pl.col(c).alias(f"user {c}") for c in users.columns if c != USER)
        )
        if self._events:
            events = self.data.interactions.lazy().with_columns(**self._marks)
            made = events.group_by(USER).agg(**self._events).with_columns(pl.col(USER).cast(pl.String)).collect()
            table = table.join(made, on=USER, how="left")
        if self.members is not None:
            kept = [c for c in (SEGMENT, STRENGTH) if c in self.members.columns]
            table = table.join(self.members.select(pl.col(USER).cast(pl.String), *kept), on=USER, how="left")
        return table.with_columns(pl.col(c).fill_null(0) for c in sorted(self._zero)).sort(USER)

    def _figure(self, name: str) -> pl.Expr:
        if name in (SEGMENT, STRENGTH):
            if self.members is None:
                raise ConfigError(f"{name} is known in a run only; this rule is asked of a data set alone.")
            return pl.col(name).cast(pl.Float64)
        self._events[name] = self._made(name)
        if name in ("event_count", "rating_count", "distinct_items", "total_weight"):
            self._zero.add(name)
        return pl.col(name).cast(pl.Float64)

    def _made(self, name: str) -> pl.Expr:
        """Return the expression of a figure over the events of one user."""
        columns = self.data.interactions.columns
        if name in ("rating_count", "mean_rating") and RATING not in columns:
            raise ConfigError(f"{name} needs ratings; this data holds {self.data.feedback}. Use event_count.")
        if name == "total_weight" and WEIGHT not in columns:
            raise ConfigError(f"total_weight needs counts; this data holds {self.data.feedback}. Use event_count.")
        if name.startswith("days_") and not self.data.has_times:
            raise ConfigError(f"{name} needs times; no event of this data has one.")
        if name == "event_count":
            return pl.len()
        if name == "distinct_items":
            return pl.col(ITEM).n_unique()
        if name == "rating_count":
            return pl.col(RATING).count()
        if name == "mean_rating":
            return _as_given(RATING).mean().round_sig_figs(EXACT)
        if name == "total_weight":
            return _as_given(WEIGHT).sum().round_sig_figs(EXACT)
        at = pl.col(AT).cast(pl.Datetime("us"))
        if name == "days_active":
            return (at.max() - at.min()).dt.total_microseconds() / DAY
        newest = self.data.interactions[AT].cast(pl.Datetime("us")).max()
        return (pl.lit(newest, pl.Datetime("us")) - at.max()).dt.total_microseconds() / DAY

    def _over_items(self, name: str, items: pl.Series, over: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        self._marks[f"mark {name}"] = pl.col(ITEM).is_in(items.implode())
        self._events[name] = over(pl.col(f"mark {name}"))
        return pl.col(name)

    def _categories(self) -> pl.DataFrame:
        if self._labels is None:
            self._labels = categories(self.data.items)
        return self._labels


def _as_given(column: str) -> pl.Expr:
    """Return values as they were given: .1 is kept as a float32, which is a little more, so that ten are above 1."""
    value = pl.col(column).cast(pl.Float64)
    return pl.when(value == value.floor()).then(value).otherwise(value.round_sig_figs(KEPT))


def close_to(word: str, known: pl.Series) -> str:
    """Return " Did you mean x?" for what begins alike or is closest, capitals or not; or nothing."""
    known = known.drop_nulls().unique().sort()
    wanted = word.strip().casefold()
    begins = known.filter(known.str.to_lowercase().str.starts_with(wanted)) if wanted else known.head(0)
    folded = {str(k).casefold(): str(k) for k in known.head(MOST_COMPARED)}
    close = [str(begins[0])] if len(begins) else [folded[k] for k in difflib.get_close_matches(wanted, folded, n=1)]
    return f' Did you mean "{close[0]}"?' if close else ""
