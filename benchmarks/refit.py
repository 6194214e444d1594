"""Do segments survive a refit? A fit on the oldest events, then one on all of them with --after.

    python benchmarks/refit.py
    python benchmarks/refit.py --data ratings.csv --newer 0.1 --effort usual --seeds 0 1 2

Prints a row a seed: users who were in a segment and are still there, the share of them who kept it, with `after` and,
for comparison, with a fit that knows nothing of the last (the best matching of its segments counts); surviving segments
and how many of these kept their names; births, deaths, and drift alarms.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import polars as pl

import shoal
from shoal.data.dataset import Dataset
from shoal.progress import progress
from shoal.run import Run
from shoal.segment.identity import kept_share, match


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a log with times; else MovieLens latest-small")
    parser.add_argument("--newer", type=float, default=0.1, help="share of the events that comes later")
    parser.add_argument("--effort", default="quick", choices=["quick", "usual", "full"])
    parser.add_argument("--segments", type=int, help="their number; else chosen")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    data = shoal.read(options.data) if options.data else shoal.demo_data()
    head = ("seed", "users", "kept", "anew", "before", "now", "survive", "names", "births", "deaths", "alarms")
    print("".join(f"{word:>9}" for word in head))
    for seed in options.seeds:
        config = shoal.Config(effort=options.effort, seed=seed, segment={"n": options.segments})
        print("".join(f"{cell:>9}" for cell in row(data, options.newer, config)), flush=True)


def row(data: Dataset, newer: float, config: shoal.Config) -> list[str]:
    last = fit(oldest(data, 1 - newer), config)
    run, anew = fit(data, config, last), fit(data, config)
    then, now = (dict(r.segments.filter(pl.col("segment") >= 0)["segment", "name"].iter_rows()) for r in (last, run))
    survive = then.keys() & now.keys()
    stayed = run.migration.filter(pl.col("from") >= 0, pl.col("to").is_not_null())
    told = [config.seed, stayed["users"].sum(), f"{kept_share(run.migration):.3f}"]
    told += [f"{kept_share(match(last.members, anew.members).migration):.3f}", len(then), len(now), len(survive)]
    told += [sum(then[one] == now[one] for one in survive), len(now.keys() - then.keys())]
    return [str(one) for one in [*told, len(then.keys() - now.keys()), run.drift["alarm"].sum()]]


def fit(data: Dataset, config: shoal.Config, after: Run | None = None) -> Run:
    return shoal.fit(data, config=config, after=after, progress=progress("silent"))


def oldest(data: Dataset, share: float) -> Dataset:
    """Return the data set as it was when it had that share of its events; users without an event were not there yet."""
    events = data.interactions.sort("at", "user_id", "item_id").head(round(share * data.interactions.height))
    there = pl.col("user_id").cast(pl.String).is_in(events["user_id"].cast(pl.String).unique().implode())
    return replace(data, interactions=events, users=data.users.filter(there))


if __name__ == "__main__":
    main()
