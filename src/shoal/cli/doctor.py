"""The command `shoal doctor`: is everything here that a run needs?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from shoal.cli.options import AsJson
from shoal.cli.tables import out, out_json, talk


def doctor(
    encoder: Annotated[str, Option(help="The language model to look for: minilm, a hub name, or a folder.")] = "minilm",
    cache: Annotated[Path | None, Option(metavar="FOLDER", help="The cache of encoded texts to look at.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at the machine: versions, device, threads, the language model and its hash, free disk.

    Exits with 2 when something that a run needs is missing; the lines marked with ! say what to do.

    \b
    Examples:
      shoal doctor
      shoal doctor --json
    """
    from shoal.doctor import examine

    facts = examine(encoder=encoder, cache=cache)
    if as_json:
        out_json({fact.name: {"value": fact.value, "fine": fact.fine, "advice": fact.advice} for fact in facts})
    else:
        width = max(len(fact.name) for fact in facts)
        for fact in facts:
            out(f"{' ' if fact.fine else '!'} {fact.name:<{width}}  {fact.value}")
    missing = [fact for fact in facts if not fact.fine]
    for fact in missing:
        talk(f"shoal: {fact.name}: {fact.advice}")
    if missing:
        raise Exit(2)
