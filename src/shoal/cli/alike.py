"""The command `shoal alike`: users like those of a list, and how many of them really behave alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out_json, out_table, talk
from shoal.errors import ConfigError, ReadError, UnknownIdError

if TYPE_CHECKING:
    from shoal.run import Run


def alike(
    run: Folder,
    seeds: Annotated[
        Path | None, Argument(metavar="SEEDS", help="A file with a user a line, or with a column user_id.")
    ] = None,
    user: Annotated[list[str] | None, Option("--user", metavar="ID", help="A user of the list; repeatable.")] = None,
    n: Annotated[int | None, Option("--n", help="How many to add; else those above a threshold.")] = None,
    skip_unknown: Annotated[bool, Option("--skip-unknown", help="Leave out users whom the run does not know.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the users most like those of a list, and say how many of them behave alike on held-out events.

    Without --n those are added whom held-out events put nearer to the list than to others; nobody, where similarity
    tells nothing of how users behave.

    \b
    Examples:
      shoal alike runs/demo --user 1 --user 2 --n 5
      shoal alike runs/demo seeds.csv --n 5 --json
    """
    from shoal.pipeline import load

    if (seeds is None) == (not user):
        raise ConfigError("Say whom to look for, in one way: a file of users, or --user 42 --user 7.")
    fitted = load(run)
    listed = _known(fitted, user or _read(seeds), skip_unknown)
    found = fitted.lookalikes(listed, n)
    talk(found.check.sentence() if found.check else "The list is too short to be checked on held-out events.")
    if found.check and n is None and not found.table.height:
        talk("So nobody is added. With --n the most similar are listed all the same.")
    members = fitted.members.join(fitted.segments.select("segment", "name"), on="segment", how="left")
    table = found.table.join(members.select("user_id", "segment", "name"), on="user_id", how="left")
    if as_json:
        out_json(found.as_dict() | {"users": table.to_dicts()})
        return
    headers = {"user_id": "user", "similarity": "similarity", "probability": "behaves alike", "name": "segment"}
    out_table(table, headers, formats={"similarity": ".3f", "probability": ".0%"})


def _read(path: Path | None) -> list[str]:
    """Read a list of users: the column user_id, the only column, or a user a line."""
    assert path is not None
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise ReadError(f"{path}: there is no such file. Give a file with a user a line.") from None
    except UnicodeDecodeError:
        raise ReadError(f"{path} is not UTF-8 text. Give a file with a user a line.") from None
    lines = [line for line in lines if line]
    if not lines:
        raise ReadError(f"{path} is empty. Give a file with a user a line.")
    separator = next((s for s in ("\t", ";", ",") if s in lines[0]), None)
    if separator is None:
        return [_plain(line) for line in (lines[1:] if _plain(lines[0]) == "user_id" else lines)]
    header = [_plain(one) for one in lines[0].split(separator)]
    if "user_id" not in header:
        raise ReadError(f"{path} has several columns and none called user_id; it has {', '.join(header)}.")
    place = header.index("user_id")
    return [_plain(cells[place]) for line in lines[1:] if len(cells := line.split(separator)) > place]


def _plain(cell: str) -> str:
    return cell.strip().strip('"').strip()


def _known(run: Run, listed: list[str], skip: bool) -> list[str]:
    import polars as pl

    there = set(run.data.users["user_id"].cast(pl.String))
    listed = list(dict.fromkeys(listed))
    unknown = [one for one in listed if one not in there]
    if unknown and not skip:
        named = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        raise UnknownIdError(
            f"The run does not know {len(unknown)} of the {len(listed)} users of the list: {named}. Leave them out "
            "with --skip-unknown."
        )
    if unknown:
        talk(f"Left out {len(unknown)} users whom the run does not know.")
    if len(unknown) == len(listed):
        raise UnknownIdError(f"The run knows none of the {len(listed)} users of the list, such as {listed[0]}.")
    return [one for one in listed if one in there]
