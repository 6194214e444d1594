"""How much memory and time reading takes: a ratings file of so many rows is made, read once, and thrown away.

    python benchmarks/read_scale.py --rows 25000000

Prints one JSON object. `peak_gb` is the peak of the process that reads, which does nothing else; 25 million rows have
to stay within 6 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHUNK = 1_000_000
USERS, ITEMS = 162_541, 59_047  # as many as in MovieLens 25M


def write_ratings(path: Path, rows: int, seed: int = 0) -> None:
    """Write user, item, rating and time in the form of MovieLens; some pairs stand twice."""
    import polars as pl

    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, rows, CHUNK):
            n = min(CHUNK, rows - start)
            table = pl.DataFrame(
                {
                    "userId": np.sort(rng.integers(1, USERS + 1, n)),
                    "movieId": (ITEMS * rng.random(n) ** 2).astype(np.int64) + 1,
                    "rating": rng.integers(1, 11, n) / 2,
                    "timestamp": rng.integers(789_652_004, 1_574_327_703, n),
                }
            )
            table.write_csv(file, include_header=start == 0)


def measure(path: Path) -> dict[str, float | int]:
    """Read the file in this process and return what it took."""
    from shoal.data.read import read

    start = time.perf_counter()
    data = read(path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "rows": data.report.rows_in,
        "kept": data.report.rows_kept,
        "dropped": sum(data.report.dropped.values()),
        "users": data.users.height,
        "items": data.items.height,
        "seconds": round(seconds, 1),
        "peak_gb": round(peak / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=25_000_000)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)  # the reading half, in a process of its own
    options = parser.parse_args()
    if options.file:
        print(json.dumps(measure(options.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        write_ratings(path, options.rows)
        size = path.stat().st_size
        command = [sys.executable, __file__, "--file", str(path)]
        taken = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps({"file_gb": round(size / 1e9, 2), **taken}))


if __name__ == "__main__":
    main()
