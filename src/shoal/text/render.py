"""Items and users become text: a template with a version, and texts that carry the cut-off they were made with.

    "{title}. {genres}. tags: {tags}"
     title                     -> Toy Story (1995)
           ". "  genres        -> . Adventure, Comedy
                 ". tags: "  tags -> . tags: pixar, fun

Between two fields stands up to three things: an end mark that belongs to the field before (``.``), a gap (a comma, a
colon, a space) that stands only between two fields that are both there, and a label (``tags: ``) that belongs to the
field after. A field that is empty takes its end mark, gap and label with it.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import polars as pl

from shoal.errors import ConfigError, LeakageError, did_you_mean
from shoal.tables import ITEM, USER

RENDER_VERSION = 1
"""Goes up whenever the same template and the same row would give another text; cached vectors then go unused."""

_BETWEEN = re.compile(r"(?P<end>[.!?)\]}\"']*)(?P<gap>[\s,;:|/–—-]*)(?P<label>.*)", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One field of a template with what belongs to it."""

    field: str
    gap: str = ""
    label: str = ""
    end: str = ""


@dataclass(frozen=True)
class Template:
    """A text with ``{column}`` fields, such as ``"{title}. {genres}. tags: {tags}"``.

    The empty template makes empty texts. ``{{`` and ``}}`` stand for braces.

    Raises
    ------
    ConfigError
        The braces do not pair, a field has no name or has a format, or there is text but no field.
    """

    text: str

    def __post_init__(self) -> None:
        self.parts  # noqa: B018  parsing is the check

    @property
    def version(self) -> str:
        """A short hash of the text and of `RENDER_VERSION`."""
        return hashlib.sha256(f"{RENDER_VERSION}\n{self.text}".encode()).hexdigest()[:12]

    @property
    def fields(self) -> list[str]:
        """The columns that the template reads, in order."""
        return [p.field for p in self.parts]

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The fields with their labels and separators."""
        literals, fields = _parse(self.text)
        parts = []
        for i, field in enumerate(fields):
            _, gap, label = _between(literals[i]) if i else ("", "", literals[0])
            # What follows the last field belongs to it whole.
            end = literals[i + 1] if i + 1 == len(fields) else _between(literals[i + 1])[0]
            parts.append(Part(field, gap, label, end))
        return tuple(parts)

    def render(self, table: pl.DataFrame, *, what: str = "items") -> pl.Series:
        """Return the text of each row, "" where every field is empty.

        Lists are joined with commas, whole numbers lose their ".0", times become dates, white space is collapsed.

        Raises
        ------
        ConfigError
            A field is no column of `table`, or a column that cannot be read out (a vector, say).
        """
        self._check(table, what)
        if not self.parts:
            return pl.Series("text", [""] * table.height, dtype=pl.String)
        values = table.select(words(pl.col(f), table.schema[f]).alias(f) for f in dict.fromkeys(self.fields))
        text = pl.lit("")
        for part in self.parts:
            value = pl.col(part.field)
            gap = pl.when(text == "").then(pl.lit("")).otherwise(pl.lit(part.gap))
            # A value with a mark of its own keeps it alone: "Airplane!", not "Airplane!.".
            end = (
                pl.when(value.str.contains(r"[.!?]$")).then(pl.lit(part.end.lstrip(".!?"))).otherwise(pl.lit(part.end))
            )
            text = pl.when(value.is_null()).then(text).otherwise(text + gap + pl.lit(part.label) + value + end)
        return values.select(text.alias("text")).to_series()

    def _check(self, table: pl.DataFrame, what: str) -> None:
        known = [c for c in table.columns if readable(table.schema[c])]
        for field in self.fields:
            if field not in table.columns:
                raise ConfigError(
                    f"The template {self.text!r} asks for {{{field}}}, and {what} has no such column."
                    f"{did_you_mean(field, known)} Columns: {', '.join(known)}."
                )
            if field not in known:
                raise ConfigError(
                    f"The template {self.text!r} asks for {{{field}}}, which holds {table.schema[field]} and cannot be "
                    f"read out. Columns: {', '.join(known)}."
                )


@dataclass(frozen=True)
class Texts:
    """Texts by id, with what one must know to trust and to cache them.

    Attributes
    ----------
    table : polars.DataFrame
        id (String), text (String, never null), in the order of the table or of the users they were made from.
    template_version : str
        See `Template.version`.
    cutoff : datetime or None
        Everything in the texts happened before it; None if no cut-off was set.
    notes : tuple of str
        What a reader should know: how many texts are empty, how many events have no time.
    """

    table: pl.DataFrame
    template_version: str
    cutoff: datetime | None = None
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The texts alone."""
        return self.table["text"].to_list()


def item_texts(items: pl.DataFrame, template: Template, *, cutoff: datetime | None = None) -> Texts:
    """Make one text of each row of an Items table.

    An item all of whose fields are empty gets "", and is counted in a note. `cutoff` says when the table was as it is;
    columns made from events (tags, say) must have been made from events before it.

    Raises
    ------
    ConfigError
        See `Template.render`.
    """
    return _row_texts(items, template, ITEM, "items", cutoff)


def user_texts(users: pl.DataFrame, template: Template, *, cutoff: datetime | None = None) -> Texts:
    """Make one text of each row of a Users table; see `item_texts`."""
    return _row_texts(users, template, USER, "users", cutoff)


def _row_texts(table: pl.DataFrame, template: Template, column: str, what: str, cutoff: datetime | None) -> Texts:
    text = template.render(table, what=what)
    empty = int((text == "").sum())
    notes = (f"{empty:,} of {table.height:,} {what} have no text",) if empty else ()
    made = pl.DataFrame({"id": table[column].cast(pl.String), "text": text})
    return Texts(made, template.version, cutoff, notes)


def check_before(events_at: pl.Series, cutoff: datetime | None, *, users: pl.Series | None = None) -> None:
    """Refuse events at or after the cut-off; events without a time pass, and nothing is checked without a cut-off.

    Parameters
    ----------
    events_at : polars.Series
        Times of events.
    cutoff : datetime or None
        In UTC; one with a zone is turned to UTC.
    users : polars.Series, optional
        The user of each event, for the message.

    Raises
    ------
    LeakageError
        Names the user and the day of the first such event, and how many there are.
    """
    if cutoff is None:
        return
    late = (events_at >= pl.Series([naive(cutoff)], dtype=events_at.dtype)[0]).fill_null(False).arg_true()
    if not len(late):
        return
    first = int(late[0])
    who = "There" if users is None else f"User {users[first]}"
    has = "is" if users is None else "has"
    more = f" ({len(late):,} such events)" if len(late) > 1 else ""
    day, end = _day(events_at[first], cutoff), _day(cutoff, cutoff)
    raise LeakageError(
        f"{who} {has} an event on {day}, not before the cut-off {end}{more}. "
        "Split by time with split.at(...), or by last event with split.last_out(...)."
    )


def naive(moment: datetime) -> datetime:
    """Return a moment in UTC without a zone, as the tables keep it; one without a zone is taken to be UTC."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _day(moment: datetime, cutoff: datetime) -> str:
    """Show the time of day only where the cut-off is not at midnight."""
    cutoff, moment = naive(cutoff), naive(moment)
    midnight = (cutoff.hour, cutoff.minute, cutoff.second, cutoff.microsecond) == (0, 0, 0, 0)
    return moment.strftime("%Y-%m-%d" if midnight else "%Y-%m-%d %H:%M:%S")


def readable(dtype: pl.DataType) -> bool:
    """Whether a column of this type can be read out as words."""
    if isinstance(dtype, pl.List):
        return readable(dtype.inner) and not isinstance(dtype.inner, pl.List)  # type: ignore[arg-type]
    return dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean)


def words(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a readable column as words; null where there is nothing to say (missing, empty, blank, NaN)."""
    if isinstance(dtype, pl.List):
        each = words(pl.element(), dtype.inner)  # type: ignore[arg-type]
        text = value.list.eval(each.drop_nulls()).list.join(", ")
    elif dtype.is_float():
        whole = pl.when(value == value.round()).then(value.cast(pl.Int64, strict=False).cast(pl.String))
        text = pl.when(value.is_finite()).then(whole.otherwise(value.cast(pl.String)))
    elif dtype == pl.Date or isinstance(dtype, pl.Datetime):
        text = value.dt.strftime("%Y-%m-%d")
    else:
        text = value.cast(pl.String)
    text = text.str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(text != "").then(text)


def _parse(text: str) -> tuple[list[str], list[str]]:
    """Split a template into its literals and the fields between them: one literal more than fields."""
    literals, fields = [""], []
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ConfigError(f"The template {text!r} cannot be read: {error}. Write fields as {{column}}.") from None
    for literal, field, spec, conversion in pieces:
        literals[-1] += literal
        if field is None:
            continue
        if not field or spec or conversion:
            raise ConfigError(f"The template {text!r} may hold {{column}} fields only: no formats, no empty braces.")
        fields.append(field)
        literals.append("")
    if text.strip() and not fields:
        raise ConfigError(f"The template {text!r} has no {{column}} field, so that all texts would be the same.")
    return literals, fields


def _between(literal: str) -> tuple[str, str, str]:
    match = _BETWEEN.fullmatch(literal)
    assert match is not None  # the pattern ends in .*
    return match["end"], match["gap"], match["label"]
