"""The command `shoal evaluate`: how good this is on your data, beside honest baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from shoal.cli.options import AsJson, Circumstances, N, Reading, Settings, expand
from shoal.cli.tables import out, out_json

Protocol = Literal["temporal", "last-out", "random", "strong", "cold-item", "cold-user"]


@expand
def evaluate(
    ratings: Annotated[Path, Argument(metavar="RATINGS", help="What users did; demo is the data that comes along.")],
    *,
    protocol: Annotated[Protocol, Option(help="What is held out.")],
    n: N = 10,
    share: Annotated[float | None, Option(help="Share held out, of events, users or items by the protocol.")] = None,
    shown: Annotated[int | None, Option(help="cold-user: how many events of a held-out user are shown.")] = None,
    order: Annotated[Literal["time", "random"] | None, Option(help="cold-user: which ones are shown.")] = None,
    reading: Reading,
    settings: Settings,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Judge our blend, each of its parts, popularity and item-item on data they have not seen.

    All tuning happens on the training part. Intervals are bootstrap intervals over users; the last lines say who won.

    \b
    Examples:
      shoal evaluate demo --protocol random
      shoal evaluate ratings.csv --items movies.csv --protocol temporal --n 20
      shoal evaluate ratings.csv --protocol cold-user --shown 3 --json
    """
    from shoal.judge import evaluate as judge

    config = settings.make()
    data = reading.read(ratings)
    judgement = judge(
        data,
        protocol,
        config=config,
        n=n,
        share=share,
        shown=shown,
        order=order,
        seed=config.seed,
        **around.arguments(),
    )
    if as_json:
        out_json(judgement.as_dict())
        return
    for line in judgement.lines():
        out(line)
