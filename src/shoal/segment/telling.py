"""What a readable rule may ask for: figures of events, labels, columns of the users table, and items.

Which labels and items these are is chosen by the events of those users alone whom rules are learnt from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import polars as pl

from shoal.data.dataset import Dataset
from shoal.segment.contrast import contrasts
from shoal.segment.facts import FIGURES, FUNCTIONS
from shoal.segment.leaves import Fact
from shoal.segment.profile import MOST_TRAITS
from shoal.segment.syntax import as_name, quoted
from shoal.segment.words import categories
from shoal.tables import ITEM, NAME, SEGMENT, STRENGTH, SUBSEGMENT, USER
from shoal.titles import titles

COMMON, TELLING, ITEMS = 30, 8, 8
"""Labels that everyone has most; labels, and items, that a segment has more than others."""
LABELLED = 0.5
"""Where labels are known of a smaller share of the events, single items are asked for too."""
FEWEST = 10  # events of a label or item that may set a segment apart
MOST_CODES = 50  # different whole numbers; more, and more than half as many as users, are taken for codes
OF_SEGMENTS, BESIDE = (SEGMENT, SUBSEGMENT, STRENGTH), (NAME, "holdout")
"""Columns of the users table that are never asked for, and those that an export has beside a segment."""
LONGEST = 60  # characters of a label, longer ones are nothing to read

Levels = Mapping[int | None, list[int]]
"""What is to be told apart: segments, under None, and subsegments under their segment."""


def facts_of(data: Dataset, learners: pl.DataFrame, levels: Levels) -> list[Fact]:
    """Return what rules may ask for.

    Parameters
    ----------
    data : Dataset
    learners : polars.DataFrame
        user_id (String), segment and, where there are any, subsegment of the users whom rules are learnt from.
    levels : mapping of int or None to list of int
    """
    labels = categories(data.items).select(pl.col(ITEM, "label").cast(pl.String)).unique(maintain_order=True)
    events = data.interactions.select(pl.col(USER, ITEM).cast(pl.Categorical))  # strings, where a run was loaded
    events = events.join(learners.cast({USER: pl.Categorical}), on=USER).drop(USER)
    pairs = events.group_by(pl.all()).len("count").with_columns(pl.col(ITEM).cast(pl.String), pl.col("count").cast(int))
    found = [*_figures(data), *_labels(pairs, labels, levels), *_columns(data.users)]
    labelled = pl.col(ITEM).is_in(labels[ITEM].unique().implode())
    of_events = pairs.select(pl.col("count").filter(labelled).sum() / pl.col("count").sum()).item()
    return found if of_events >= LABELLED else [*found, *_items(pairs, data, levels)]


def _figures(data: Dataset) -> list[Fact]:
    """Return the figures that the data can tell; an item stands once for a user, so that events are different items."""
    of_values = {"ratings": ["mean_rating"], "counts": ["total_weight"], "events": []}[data.feedback]
    of_times = ["days_active", "days_since_last"] if data.has_times else []
    numbers = [Fact(name, "number") for name in of_values]
    return [Fact("event_count", "whole"), *numbers, *(Fact(name, "days") for name in of_times)]


def _labels(pairs: pl.DataFrame, labels: pl.DataFrame, levels: Levels) -> list[Fact]:
    """Return shares of the labels that are common, and of those that set a segment apart."""
    counted = pairs.join(labels.filter(_can_be_read("label")), on=ITEM)
    common = counted.group_by("label").agg(pl.col("count").sum()).sort("count", "label", descending=[True, False])
    chosen = {*common["label"].head(COMMON), *_set_apart(counted, pairs, "label", levels, TELLING)}
    return [Fact(f"share({quoted(label)})", "share") for label in sorted(chosen)]


def _items(pairs: pl.DataFrame, data: Dataset, levels: Levels) -> list[Fact]:
    """Return the items that set a segment apart, by title, or by id where no title of all can be read."""
    called = titles(data.items)
    known = set(called[ITEM])
    chosen = sorted(set(_set_apart(pairs, pairs, ITEM, levels, ITEMS)))
    names = called.filter(pl.col(ITEM).is_in(chosen), _can_be_read("title"))
    if not names.height:
        names = called.filter(pl.col(ITEM).is_in(chosen), _can_be_read(ITEM)).with_columns(title=pl.col(ITEM))
    # a title that is another item's id would ask for that one
    told = sorted({item if title in known else title for item, title in names.iter_rows()})
    return [Fact(f"has({quoted(name)})", "truth", f"not has({quoted(name)})") for name in told]


def _set_apart(counted: pl.DataFrame, pairs: pl.DataFrame, by: str, levels: Levels, most: int) -> Iterator[str]:
    """Return the labels or items that each has more than what it is told from, those with most contrast."""
    often = counted.filter(pl.col("count").sum().over(by) >= FEWEST)
    for parent, numbers in levels.items():
        group = pl.col(SEGMENT if parent is None else SUBSEGMENT).alias(SEGMENT)
        here = pl.lit(value=True) if parent is None else pl.col(SEGMENT) == parent
        counts = often.filter(here).group_by(group, by).agg(pl.col("count").sum())
        totals = pairs.filter(here).group_by(group).agg(total=pl.col("count").sum())
        found = contrasts(counts, [by], totals).filter(pl.col("contrast") > 0, pl.col(SEGMENT).is_in(numbers))
        found = found.sort(SEGMENT, "contrast", by, descending=[False, True, False])
        yield from found.group_by(SEGMENT, maintain_order=True).head(most)[by]


def _columns(users: pl.DataFrame) -> list[Fact]:
    """Return the columns that rules can compare: numbers that are no codes, truths, and words of few values."""
    found: list[Fact] = []
    for name in sorted(set(users.columns) - {USER} - _exported(users.columns)):
        plain = as_name(name) and name not in FIGURES and name not in FUNCTIONS
        text, kind = name if plain else f"column({quoted(name)})", users.schema[name]
        if kind == pl.Boolean:
            found.append(Fact(text, "truth", f"not {text}"))
        elif kind.is_numeric() and not _is_code(users[name]):
            found.append(Fact(text, "whole" if kind.is_integer() else "number"))
        elif kind in (pl.String, pl.Categorical, pl.Enum):
            found += _values(text, users[name].cast(pl.String))
    return found


def _exported(columns: Collection[str]) -> set[str]:
    """Return the columns that say what is to be told, where an export of members was put beside the users.

    They are known by their names: merges, withheld users and later fits make an export differ from what is told now.
    """
    return set(OF_SEGMENTS) | (set(BESIDE) if SEGMENT in columns else set())


def _is_code(column: pl.Series) -> bool:
    """Return whether whole numbers differ too much to be amounts: as customer numbers do, and large sums, too."""
    known = column.drop_nulls()
    different = known.n_unique()
    return column.dtype.is_integer() and different > MOST_CODES and different > len(known) / 2


def _values(text: str, column: pl.Series) -> list[Fact]:
    values = column.drop_nulls().unique().sort().to_list()
    if not 2 <= len(values) <= MOST_TRAITS:
        return []
    is_ = [f"{text} == {quoted(value)}" for value in values]
    if len(values) == 2:
        return [Fact(is_[0], "truth", is_[1])]
    return [Fact(one, "truth", f"{text} != {quoted(value)}") for one, value in zip(is_, values, strict=True)]


def _can_be_read(column: str) -> pl.Expr:
    return (pl.col(column).str.len_chars() <= LONGEST) & ~pl.col(column).str.contains(r"\p{C}")
