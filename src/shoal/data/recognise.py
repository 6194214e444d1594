"""Which preset a path belongs to, and which of a folder's files are its ratings, items and users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shoal.data.files import Source, columns_of, open_source
from shoal.data.presets import PRESETS, Layout, Preset
from shoal.errors import ReadError, did_you_mean

Table = str | Path | pl.DataFrame


@dataclass(frozen=True)
class Found:
    """What will be read: the tables, and how they are laid out where that is known."""

    ratings: Table
    items: Table | None
    users: Table | None
    preset: Preset | None
    layout: Layout | None


def recognise(ratings: Table, items: Table | None, users: Table | None, preset: str) -> Found:
    """Return the tables to read and the preset they follow.

    Raises
    ------
    ReadError
        The preset is not known, or `ratings` is a folder of no known layout.
    """
    if preset not in ("auto", "none", *PRESETS):
        raise ReadError(
            f"preset {preset!r} is not known; there are auto, none, {', '.join(PRESETS)}."
            f"{did_you_mean(preset, PRESETS)}"
        )
    choice = [] if preset == "none" else list(PRESETS.values()) if preset == "auto" else [PRESETS[preset]]
    for what, table in (("ratings", ratings), ("items", items), ("users", users)):
        _check_kind(what, table)
    if isinstance(ratings, str | Path) and Path(ratings).is_dir():
        return _folder(Path(ratings), items, users, choice, preset)
    if preset in PRESETS:
        return Found(ratings, items, users, PRESETS[preset], _named_layout(ratings, PRESETS[preset]))
    for one in choice:
        for layout in one.ratings:
            if _is_file_of(ratings, layout, one):
                return Found(ratings, items, users, one, layout)
    return Found(ratings, items, users, None, None)


def side_layout(table: Table, preset: Preset | None, kind: str) -> Layout | None:
    """Return the layout of an items or users table, from the preset, else from any preset that knows the file."""
    for one in [preset] if preset else PRESETS.values():
        layout: Layout | None = getattr(one, kind)
        if layout is None:
            continue
        named = not isinstance(table, pl.DataFrame) and _base(Path(table)) == layout.file
        if (named or layout.sure) and (named if layout.names else _has(table, layout)):
            return layout
    return None


def open_with(table: Table, layout: Layout | None, *, what: str, separator: str | None, encoding: str | None) -> Source:
    """Open a table as its layout says; a separator or encoding that is given goes first."""
    if layout is None:
        return open_source(table, what=what, separator=separator, encoding=encoding)
    return open_source(
        table,
        what=what,
        separator=separator or layout.separator,
        encoding=encoding or layout.encoding,
        names=layout.names,
    )


def _folder(folder: Path, items: Table | None, users: Table | None, choice: list[Preset], preset: str) -> Found:
    for one in choice:
        for layout in one.ratings:
            path = _in_folder(folder, layout.file)
            if path is None or not _all_in(folder, one.beside) or not (layout.names or _has(path, layout)):
                continue
            items = items if items is not None or one.items is None else _in_folder(folder, one.items.file)
            users = users if users is not None or one.users is None else _in_folder(folder, one.users.file)
            return Found(path, items, users, one, layout)
    inside = sorted(p.name for p in folder.iterdir() if p.is_file())
    first = next((n for n in inside if "rating" in n or "review" in n), inside[0] if inside else "ratings.csv")
    known = f"the preset {preset}" if preset in PRESETS else "any public data set that is known"
    raise ReadError(
        f"The folder {folder} does not hold the files of {known}; it holds {', '.join(inside[:12]) or 'no files'}. "
        f"Give the path of the file with the interactions, such as {folder.name}/{first}."
    )


def _named_layout(ratings: Table, preset: Preset) -> Layout:
    """Return which of the preset's layouts a file has that is said to follow it."""
    for layout in preset.ratings:
        headed = not isinstance(ratings, pl.DataFrame) and layout.names
        if (headed and len(preset.ratings) == 1) or (not layout.names and _has(ratings, layout)):
            return layout
        if headed and _base(Path(str(ratings))).endswith(".dat"):
            return layout
    columns = ", ".join(columns_of(ratings))
    wanted = " or ".join(", ".join(layout.header or layout.names) for layout in preset.ratings)
    raise ReadError(
        f"preset {preset.name}: {_label(ratings)} has the columns {columns}, and the preset needs {wanted}. "
        "Leave preset out, and name the columns with user_id=, item_id= (--user-id, --item-id)."
    )


def _is_file_of(ratings: Table, layout: Layout, preset: Preset) -> bool:
    if isinstance(ratings, pl.DataFrame):
        return layout.sure and _has(ratings, layout)
    path = Path(ratings)
    if not layout.sure and (_base(path) != layout.file or not _all_in(path.parent, preset.beside)):
        return False
    return bool(layout.names) or _has(path, layout)


def _check_kind(what: str, table: object) -> None:
    if table is not None and not isinstance(table, str | Path | pl.DataFrame):
        raise ReadError(
            f"{what} is a {type(table).__module__}.{type(table).__name__}; give a path or a polars DataFrame "
            "(polars.from_pandas(df) makes one)."
        )


def _has(table: Table, layout: Layout) -> bool:
    """Whether the table has the columns by which the layout is known."""
    return set(layout.header) <= set(columns_of(table))


def _base(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _in_folder(folder: Path, file: str) -> Path | None:
    return next((p for p in (folder / file, folder / f"{file}.gz") if p.is_file()), None)


def _all_in(folder: Path, files: Iterable[str]) -> bool:
    return all(_in_folder(folder, f) for f in files)


def _label(table: Table) -> str:
    return "the table" if isinstance(table, pl.DataFrame) else Path(table).name
