"""The whole journey on a data set: seconds by stage, peak memory, segments and metrics, as one JSON object.

    python benchmarks/journey.py ../shared/data/ml-1m
    python benchmarks/journey.py ../shared/data/zomato-hyderabad --on-bad drop --cache none

The word `demo` is the data that comes along. Texts that were encoded before are not encoded again, unless --cache none.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import shoal
from shoal.progress import progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a file, a folder of a known public layout, or demo")
    parser.add_argument("--on-bad", default="error", choices=("error", "drop"))
    parser.add_argument("--cache", default="default", help="a folder, default, or none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    began = time.monotonic()
    data = shoal.demo_data() if options.data == "demo" else shoal.read(options.data, on_bad=options.on_bad)
    read = time.monotonic()
    cache = None if options.cache == "none" else options.cache
    run = shoal.fit(data, config=shoal.Config(seed=options.seed), cache=cache, progress=progress("lines"))
    fitted = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kept = run.save(Path(folder) / "run")
        size = sum(file.stat().st_size for file in kept.iterdir())
        saved = time.monotonic()
        shoal.load(kept)
    loaded = time.monotonic()
    offered = run.recommend(n=10)
    done = time.monotonic()

    learning = sum(run.manifest["seconds"].get(stage, 0.0) for stage in ("encode", "train", "closed form", "rate"))
    json.dump(
        {
            "data": data.name,
            "rows": data.report.as_dict(),
            "users": data.users.height,
            "items": data.items.height,
            "seconds": {
                "read": read - began,
                "fit": fitted - read,
                "save": saved - fitted,
                "load": loaded - saved,
                "recommend all": done - loaded,
                **run.manifest["seconds"],
            },
            "share in encode, train, closed form and rate": learning / (fitted - began),
            "users recommended for": offered["user_id"].n_unique(),
            "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "run folder MB": size / 1e6,
            "segments": run.segments.select("segment", "size", "name", "sets_apart", "gain").to_dicts(),
            "metrics": run.judgement.table.to_dicts(),
        },
        sys.stdout,
        indent=1,
        ensure_ascii=False,
    )
    print()


if __name__ == "__main__":
    main()
