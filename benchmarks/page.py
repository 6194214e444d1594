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

Cold users are held out whole, and what is shown of them varies: one table sums such runs up. Peers that know nothing of
a user offer what is popular.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    reports = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(options.results.glob("*/report.json"))]
    print(HEAD + f"Written {date.today().isoformat()}. Versions: {versions(reports)}.")
    asked = [r for r in reports if r["task"]["protocol"] == "cold-user" and r["task"]["kind"] == "ranking"]
    strangers = [r for r in asked if "asked" in r]  # reports of before do not say what was shown
    for report in reports:
        if report not in strangers:
            print("\n" + "\n".join(section(report)))
    for alike in together(strangers):
        print("\n" + "\n".join(cold_users(alike)))


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
        one, mark = told[row["model"]], "**" if row["model"].startswith("Shoal") else ""
        seconds = " | ".join(f"{one['seconds'][k]:.0f}" for k in ("tune", "fit", "predict"))
        lead = difference(row) if "lead" in row else "best peer"
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        cells = f"{mark}{row['value']:.4f}{mark} | {interval} | {lead} | {seconds} | {one['peak GB']:.1f}"
        lines.append(f"| {mark}{row['model']}{mark} | {cells} |")
    lines += [f"\nMissing: {name} ({' '.join(one['missing'])})." for name, one in told.items() if "missing" in one]
    return lines


def difference(row: dict[str, Any]) -> str:
    return f"{row['lead']:+.4f} ({row['lead low']:+.4f} to {row['lead high']:+.4f})"


def together(reports: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the reports in groups that differ in nothing but what is shown of a user."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for report in reports:
        task = report["task"]
        key = (task["data"], task["n"], task["seed"], report["asked"].get("users_share"))
        groups.setdefault(key, []).append(report)
    return list(groups.values())


def cold_users(reports: list[dict[str, Any]]) -> list[str]:
    """Return a table with a row for each number of events shown, and order of them."""
    task = reports[0]["task"]
    lines = [f"## {task['data']}: cold users, seed {task['seed']}", ""]
    lines += [f"| events shown | NDCG@{task['n']} of Shoal | 95 % interval | best peer | its NDCG | Shoal less it |"]
    lines += ["|---|---|---|---|---|---|"]
    for report in sorted(reports, key=lambda r: (r["asked"]["order"], r["asked"]["shown"])):
        ours = next((row for row in report["table"] if row["model"] == "Shoal"), None)
        peers = [row for row in report["table"] if not row["model"].startswith("Shoal")]
        if ours is None or not peers:
            continue
        best = ", ".join(row["model"] for row in peers if row["value"] == peers[0]["value"])
        interval = f"{ours['low']:.4f} to {ours['high']:.4f}"
        cells = f"**{ours['value']:.4f}** | {interval} | {best} | {peers[0]['value']:.4f} | {difference(ours)}"
        lines.append(f"| {shown(**report['asked'])} | {cells} |")
    return [*lines, "", *(f"- `{report['command']}`{fit_of(report)}" for report in reports)]


def shown(shown: int, order: str, **_: Any) -> str:
    return "none" if not shown else f"{'oldest' if order == 'time' else 'random'} {shown}"


def fit_of(report: dict[str, Any]) -> str:
    """Say what Shoal's fit took, and whether it was made for another of the runs."""
    told = report["told"].get("Shoal", {})
    if "seconds" not in told:
        return ""
    return f": Shoal's fit took {told['seconds']['fit']:.0f} s" + (", reused" if told.get("reused") else "")


if __name__ == "__main__":
    main()
