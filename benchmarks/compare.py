"""Peers and Shoal on the same split: full lists, one evaluator, settings chosen on inner validation.

    python benchmarks/compare.py ranking demo --protocol strong --n 100 --results runs/bench
    python benchmarks/compare.py rating ../shared/data/ml-1m --share 0.1
    python benchmarks/compare.py ranking demo --protocol temporal --only EASE ALS Shoal "Shoal quick"

Each contestant runs in a process of its own, which is shown a folder without what is to be predicted (peers/task.py),
and has the same number of trials. What was answered already is not asked again. A contestant that cannot run is listed
with the reason. `make peers` makes the environments of the peers, .venv-peers and .venv-rectools; others are named with
--python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
from peers.arena import OURS, Arena, judge

import shoal

ROOT = Path(__file__).resolve().parents[1]
WORKER = ROOT / "benchmarks" / "peers" / "worker.py"
RANKERS = (
    "popularity", "decayed popularity", "ItemKNN", "RP3beta", "EASE", "SLIM", "ALS", "BPR", "LightFM", "SASRec",
    "Shoal",
)  # fmt: skip
COLD_ITEM = ("popularity", "nearest texts", "TF-IDF to ALS", "vectors to ALS", "Shoal")
COLD_USER = ("popularity", "decayed popularity", "ItemKNN", "RP3beta", "EASE", "ALS", "Shoal")
RATERS = (
    "bias", "Surprise SVD", "Surprise SVD++", "Cornac BiasMF", "myFM", "myFM SVD++ side", "myFM ordered probit",
    "Shoal",
)  # fmt: skip
BY_PROTOCOL = {"cold-item": COLD_ITEM, "cold-user": COLD_USER}
HOMES = dict.fromkeys(OURS, "shoal") | {"SASRec": "rectools"}
"""Whose environment a contestant runs in; the others are peers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("ranking", "rating"))
    parser.add_argument("data", help="a folder of a known public layout, or demo")
    parser.add_argument("--protocol", default="random")
    parser.add_argument("--share", type=float, help="share held out; users for strong and cold-user")
    parser.add_argument("--shown", type=int, help="events shown of a cold user")
    parser.add_argument("--order", choices=("random", "time"), help="which events a cold user is shown")
    parser.add_argument("--n", type=int, default=10, help="length of the lists")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=8, help="settings tried by each peer")
    parser.add_argument("--only", nargs="+", help="contestants; without it all who can answer")
    parser.add_argument("--python", nargs="*", default=[], help="home=interpreter for shoal, peers or rectools")
    parser.add_argument("--results", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    data = shoal.demo_data() if options.data == "demo" else shoal.read(options.data)
    arena = Arena.of(data, options)
    folder = options.results / arena.name
    arena.write(folder / "task")
    told: dict[str, dict[str, Any]] = {}
    for name in options.only or contestants(options.kind, options.protocol):
        told[name] = run(name, folder, options)
    table = judge(arena, {n: pl.read_parquet(folder / n / "answer.parquet") for n, t in told.items() if "seconds" in t})
    command = command_line(options)
    report = {"command": command, "task": arena.about, "asked": arena.asked, "notes": list(arena.split.notes)}
    report |= {"told": told, "table": table}
    (folder / "report.json").write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")
    show(arena, told, table)


def contestants(kind: str, protocol: str) -> tuple[str, ...]:
    """Return who can answer the question, Shoal last."""
    return RATERS if kind == "rating" else BY_PROTOCOL.get(protocol, RANKERS)


def run(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what is told of a contestant, who is asked unless the answer is there."""
    answer = folder / name
    if not (answer / "told.json").exists():
        homes = dict(one.split("=", 1) for one in options.python)
        interpreter = homes.get(HOMES.get(name, "peers")) or usual(HOMES.get(name, "peers"))
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [interpreter, str(WORKER), name, str(folder / "task"), str(answer), "--trials", str(options.trials)]
        answer.mkdir(parents=True, exist_ok=True)
        command += ["--seed", str(options.seed), "--fits", str(options.results / "fits")]
        with (answer / "log").open("w") as log:
            done = subprocess.run(command, stderr=log, stdout=log, env=os.environ)
        if done.returncode:
            return {"missing": (answer / "log").read_text().strip().splitlines()[-1:]}
    told: dict[str, Any] = json.loads((answer / "told.json").read_text(encoding="utf-8"))
    return told


def command_line(options: argparse.Namespace) -> str:
    """Return the command that made a report, without paths of a machine."""
    words = ["python benchmarks/compare.py", options.kind, Path(options.data).name]
    for name in ("protocol", "share", "shown", "order", "n", "seed", "trials"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    return " ".join(words)


def usual(home: str) -> str:
    """Return the interpreter that `make peers` makes for a home, else the one that runs this."""
    made = ROOT / f".venv-{home}" / "bin" / "python"
    return str(made) if made.exists() else sys.executable


def show(arena: Arena, told: dict[str, dict[str, Any]], table: list[dict[str, Any]]) -> None:
    """Print a row a contestant."""
    print(f"\n{arena.name}: {arena.metric}")
    print(
        f"{'':<20}{arena.metric:>9}  {'95 % interval':<17}  {'less the best peer':<34} "
        f"{'tune s':>7}{'fit s':>7}{'ask s':>7}   GB"
    )
    for row in table:
        one = told[row["model"]]
        seconds = "".join(f"{one['seconds'][k]:>7.0f}" for k in ("tune", "fit", "predict"))
        lead = (
            f"{row['lead']:+.4f} ({row['lead low']:+.4f} to {row['lead high']:+.4f})" if "lead" in row else "best peer"
        )
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        again = "  fit reused" if one.get("reused") else ""
        print(
            f"{row['model']:<20}{row['value']:>9.4f}  {interval:<17}  {lead:<34} {seconds}  {one['peak GB']:.1f}{again}"
        )
    for name, one in told.items():
        if "missing" in one:
            print(f"{name:<20}  missing: {' '.join(one['missing'])}")


if __name__ == "__main__":
    main()
