"""How a quick fit and lists grow with the data: planted worlds of more and more events, seconds by stage, memory.

    python benchmarks/scale.py --results runs/scale
    python benchmarks/scale.py --results runs/scale --millions 0.1 0.3 1 --threads 2
    python benchmarks/scale.py --results runs/scale --millions 1 --items 60000

A user has 50 events, and items grow with the square root: 500 for 100,000 events, 5,000 for ten million; or as many as
--items says. Each world is fitted in a process of its own (effort quick, nothing encoded before), then the ten best
items are asked for, for at most 20,000 users. What was measured is not measured again: a JSON file a world stands
under --results.

Processes keep to as many processors as they have threads. Seconds are those of a clock; where a machine does other
things too they are more than the processor's, which stand in rows of their own.

The table ends with local exponents, log(t2 / t1) / log(n2 / n1): 1 is linear in the events, and the row n log n is what
must not be exceeded; what does is marked. Stages under a second are not judged.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from math import log, sqrt
from pathlib import Path
from typing import Any

EVENTS_PER_USER = 50
ASKED = 20_000
MARGIN = 0.1
"""By how much an exponent may exceed that of n log n before it is marked: timings are not exact."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[0.1, 0.3, 1, 3, 10], help="events of each world")
    parser.add_argument("--items", type=int, help="of every world")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("runs/scale"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # the measuring half, in a process of its own
    options = parser.parse_args()
    if options.one:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
        print(json.dumps(measure(options.one, options.items)))
        return
    worlds = [world(round(m * 1e6), options) for m in sorted(options.millions)]
    print("\n".join(lines(worlds)))


def world(events: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a world took, measured unless that was done before."""
    items = () if options.items is None else ("--items", str(options.items))
    name = f"{events}-threads-{options.threads}" + ("" if options.items is None else f"-items-{options.items}")
    place = options.results / f"{name}.json"
    if not place.exists():
        print(f"{events:,} events ...", file=sys.stderr, flush=True)
        env = os.environ | dict.fromkeys(THREADS, str(options.threads))
        command = [sys.executable, __file__, "--one", str(events), "--threads", str(options.threads), *items]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_suffix(".half")
        half.write_text(json.dumps(json.loads(told) | {"threads": options.threads}, indent=1), encoding="utf-8")
        half.replace(place)
    measured: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return measured


def measure(events: int, items: int | None = None) -> dict[str, Any]:
    """Plant a world in this process, fit it, ask for lists, and return what that took."""
    import shoal
    from shoal.data.synthetic import planted_world
    from shoal.progress import progress

    users = events // EVENTS_PER_USER
    items = round(500 * sqrt(events / 1e5)) if items is None else items
    data, _ = planted_world(users=users, items=items, segments=8, events_per_user=EVENTS_PER_USER, seed=0)
    planted, began = time.monotonic(), time.process_time()
    run = shoal.fit(data, config=shoal.Config(effort="quick"), cache=None, progress=progress("lines"))
    fitted, fit_cpu = time.monotonic(), time.process_time() - began
    asked = data.users["user_id"].head(ASKED).cast(str).to_list()
    run.recommend(asked, n=10)
    listed, listed_cpu = time.monotonic() - fitted, time.process_time() - began - fit_cpu
    stages = run.manifest["seconds"]
    return {
        "events": events,
        "users": users,
        "items": items,
        "stages": stages | {"rest of fit": fitted - planted - sum(stages.values())},
        "fit": fitted - planted,
        "fit, processor": fit_cpu,
        "asked": len(asked),
        "recommend": listed,
        "recommend, processor": listed_cpu,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9,
        "versions": run.manifest["versions"],
    }


def lines(worlds: list[dict[str, Any]]) -> list[str]:
    """Return a table: a row a stage, its seconds in each world, and its exponents from each to the next."""
    head = f"{'seconds':<22}" + "".join(f"{w['events'] / 1e6:>8g}M" for w in worlds)
    steps = [f"{a['events'] / 1e6:g} to {b['events'] / 1e6:g}M" for a, b in pairwise(worlds)]
    rows = [head + "   exponents" + "".join(f"{step:>14}" for step in steps)]
    limits = exponents(worlds, [w["events"] * log(w["events"]) for w in worlds])
    rows += [f"{'n log n':<22}" + " " * 9 * len(worlds) + " " * 12 + "".join(f"{e:>13.2f} " for e in limits)]
    for name, seconds in by_stage(worlds).items():
        found = exponents(worlds, seconds)
        told = "".join(
            f"{e:>13.2f}{'*' if e > limit + MARGIN and t >= 1 else ' '}"
            for e, limit, t in zip(found, limits, seconds[1:], strict=True)
        )
        rows.append(f"{name:<22}" + "".join(f"{t:>9.1f}" for t in seconds) + " " * 12 + told.rstrip())
    for name, places in (("users", 0), ("items", 0), ("peak GB", 1)):
        rows.append(f"{name:<22}" + "".join(f"{w[name]:>9,.{places}f}" for w in worlds))
    return [*rows, f"{'users a second':<22}" + "".join(f"{w['asked'] / w['recommend']:>9,.0f}" for w in worlds)]


def by_stage(worlds: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return seconds of each stage in each world; lists are reckoned for all users."""
    names = dict.fromkeys(name for w in worlds for name in w["stages"])
    table = {name: [w["stages"].get(name, 0.0) for w in worlds] for name in names}
    table["fit, all of it"] = [w["fit"] for w in worlds]
    table["  processor, fit"] = [w["fit, processor"] for w in worlds]
    table["lists for everybody"] = [w["recommend"] * w["users"] / w["asked"] for w in worlds]
    table["  processor, lists"] = [w["recommend, processor"] * w["users"] / w["asked"] for w in worlds]
    return table


def exponents(worlds: list[dict[str, Any]], values: list[float]) -> list[float]:
    pairs = zip(pairwise(worlds), pairwise(values), strict=True)
    return [log(max(t, 1e-9) / max(s, 1e-9)) / log(b["events"] / a["events"]) for (a, b), (s, t) in pairs]


if __name__ == "__main__":
    main()
