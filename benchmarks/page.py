"""docs/benchmarks.md, made from what `benchmarks/compare.py` reported.

python benchmarks/page.py runs/bench > docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

HEAD = """# Beside peers

<!-- Written by benchmarks/page.py from the reports of benchmarks/compare.py -->

Each table is one run of `benchmarks/compare.py`: the same split for all, whole catalogues ranked, one evaluator,
settings chosen on a part of the training data with the same number of trials for each peer. Shoal runs with its
defaults and chooses inside its own training data. Every contestant is a process that is shown a folder without what is
to be predicted (`benchmarks/peers/task.py`; `tests/test_compare.py` holds that the folder is the same whatever the
answers are). Intervals are 95 %, bootstrap over users; differences to the best peer are paired. Seconds are those of a
shared machine with two cores: compare them within a table.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    reports = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(options.results.glob("*/report.json"))]
    print(HEAD + f"Written {date.today().isoformat()}. Versions: {versions(reports)}.")
    for report in reports:
        print("\n" + "\n".join(section(report)))


def versions(reports: list[dict[str, Any]]) -> str:
    found = {k: v for r in reports for one in r["told"].values() for k, v in one.get("versions", {}).items()}
    return ", ".join(f"{name} {found[name]}" for name in sorted(found))


def section(report: dict[str, Any]) -> list[str]:
    task, told = report["task"], report["told"]
    metric = "RMSE" if task["kind"] == "rating" else f"NDCG@{task['n']}"
    lines = [
        f"## {task['data']}: {task['kind']}, {task['protocol']}, seed {task['seed']}",
        "",
        f"`{report['command']}`",
        "",
    ]
    lines += [f"- {note}" for note in report["notes"]]
    lines += ["", f"| | {metric} | 95 % interval | less the best peer | trials s | fit s | ask s | GB |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in report["table"]:
        one, mark = told[row["model"]], "**" if row["model"] == "Shoal" else ""
        seconds = " | ".join(f"{one['seconds'][k]:.0f}" for k in ("tune", "fit", "predict"))
        lead = (
            f"{row['lead']:+.4f} ({row['lead low']:+.4f} to {row['lead high']:+.4f})" if "lead" in row else "best peer"
        )
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        cells = f"{mark}{row['value']:.4f}{mark} | {interval} | {lead} | {seconds} | {one['peak GB']:.1f}"
        lines.append(f"| {mark}{row['model']}{mark} | {cells} |")
    lines += [f"\nMissing: {name} ({' '.join(one['missing'])})." for name, one in told.items() if "missing" in one]
    return lines


if __name__ == "__main__":
    main()
