"""The command `shoal edit`: segments renamed, merged, split, locked; users pinned into them or put out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.rule import Who, Why
from shoal.cli.tables import out_json, out_table, talk
from shoal.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from shoal.run import Run
    from shoal.segment.edits import Edit

Action = Annotated[
    Literal["rename", "merge", "split", "pin", "out", "unpin", "lock", "unlock", "log"],
    Argument(metavar="ACTION", help="rename, merge, split, pin, out, unpin, lock, unlock, or log."),
]
About = Annotated[
    list[str] | None, Argument(metavar="WHAT", help="Segments by number or name; for pins the user first.")
]

WRITTEN = {
    "rename": 'rename SEGMENT "New name"',
    "merge": "merge SEGMENT SEGMENT ...",
    "split": "split SEGMENT --into 2",
    "pin": "pin USER SEGMENT",
    "out": "out USER SEGMENT",
    "unpin": "unpin USER",
    "lock": "lock SEGMENT",
    "unlock": "unlock SEGMENT",
    "log": "log",
}


def edit(
    run: Folder,
    action: Action,
    about: About = None,
    *,
    into: Annotated[int | None, Option(metavar="N", help="split: how many segments.")] = None,
    who: Who = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Change segments by hand, with a log of who did it, when and why.

    \b
    rename 3 "New name"   the number stays
    merge 1 4             under the lowest number
    split 2 --into 2      the largest part keeps the number
    pin 42 3, out 42 3    a user into a segment, or out of it and into the next best; unpin 42 takes that back
    lock 2, unlock 2      a locked segment is neither merged nor split nor renamed
    log                   what was done

    Users who come later are placed accordingly. A report that was made before is not changed: make it again.

    \b
    Examples:
      shoal edit runs/demo rename 0 "Film lovers" --why "as the team calls them"
      shoal edit runs/demo pin 42 0
      shoal edit runs/demo split 0 --into 2
      shoal edit runs/demo lock 0 --who anna --why "the spring campaign runs on it"
      shoal edit runs/demo log
    """
    from shoal.cli.words import segment_table
    from shoal.pipeline import load

    words = about or []
    _check_words(action, words, into)
    fitted = load(run)
    if action != "log":
        fitted = fitted.edited(_edit(fitted, action, words, into, who, why))
        fitted.update(run)
        talk(f"Done: {_told(fitted.edits[-1])}.")
        table = fitted.segments
        return out_json(table) if as_json else out_table(*segment_table(table))
    if as_json:
        return out_json([one.as_dict() for one in fitted.edits])
    return out_table(_log(fitted), {"when": "when", "who": "by", "what": "what", "why": "why"})


def _check_words(action: str, words: list[str], into: int | None) -> None:
    least = {"rename": 2, "merge": 2, "pin": 2, "out": 2, "log": 0}.get(action, 1)
    most = len(words) if action == "merge" else least
    if not least <= len(words) <= most or (into is not None) != (action == "split"):
        raise ConfigError(f"Write it so: shoal edit RUN {WRITTEN[action]}")


def _edit(run: Run, action: str, words: list[str], into: int | None, who: str | None, why: str) -> Edit:
    from shoal.segment.admit import segment_of
    from shoal.segment.edits import Edit, login

    of_user = action in ("pin", "out", "unpin")
    users = tuple(words[:1]) if of_user else ()
    name = words[1] if action == "rename" else ""
    about = words[1:] if of_user else words[:1] if action == "rename" else words
    segments = tuple(segment_of(run.segments, one) for one in about)
    who = login() if who is None else who
    return Edit(action, segments, users, name=name, into=into or 0, who=who, why=why)  # type: ignore[arg-type]


def _told(edit: Edit) -> str:
    segments = [str(s) for s in edit.segments]
    words = {
        "rename": f'segment {segments[0] if segments else ""} is called "{edit.name}"',
        "merge": f"{' and '.join(segments)} are one segment, {segments[0] if segments else ''}",
        "split": f"segment {segments[0] if segments else ''} was split into {', '.join(segments)}",
    }
    if edit.kind in words:
        return words[edit.kind]
    if edit.users:
        where = f" {'into' if edit.kind == 'pin' else 'of'} segment {segments[0]}" if segments else ""
        verb = {"pin": "is pinned", "out": "is out", "unpin": "is where the model places them"}[edit.kind]
        return f"user {', '.join(edit.users)} {verb}{where}"
    return f"segment {segments[0]} is {edit.kind}ed"


def _log(run: Run) -> pl.DataFrame:
    import polars as pl

    rows = [(e.when.strftime("%Y-%m-%d %H:%M UTC"), e.who, _told(e), e.why) for e in run.edits]
    return pl.DataFrame(rows, schema={c: pl.String for c in ("when", "who", "what", "why")}, orient="row")
