"""How long segments take for many users: ours beside scikit-learn's k-means, on vectors planted on the sphere.

    python benchmarks/segment_scale.py
    python benchmarks/segment_scale.py --users 100000 --width 64 --groups 10 --threads 2

Each contender runs in a process of its own that makes the same vectors: directions of `--groups` groups of unequal
sizes, with noise. `seconds` is the clock of the fit alone and `processor` what it used of the processors, `users/s` the
rate of placing everyone afterwards, `peak GB` the most that the process held, the vectors included (one copy of them:
`vectors alone`). `cosine` is the mean cosine of a vector to the mean direction of the group it was put into, after the
mean of all is taken out; `ari` compares the groups found with those planted. The others get rows of length one without
the mean, made outside of their clock; ours makes them on its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

CONTENDERS = ("vectors alone", "ours", "ours, number chosen", "KMeans", "MiniBatchKMeans")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
COMMON, NOISE = 0.5, 0.15
"""Length of what all users share, and of the noise in each direction, beside a group's direction of length one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--groups", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)  # a process of its own
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options)))
        return
    rows = [in_own_process(name, options) for name in options.only]
    print("\n".join(lines(rows)))


def in_own_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    env = os.environ | dict.fromkeys(THREADS, str(options.threads))
    given = [f"--{key}={getattr(options, key)}" for key in ("users", "width", "groups", "threads", "seed")]
    command = [sys.executable, __file__, "--one", name, *given]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
    measured: dict[str, Any] = json.loads(told.splitlines()[-1])
    return measured


def planted(users: int, width: int, groups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (users, width) float32 and the group of each, (users,); sizes fall by a fifth."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(groups, width))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shares = 1.2 ** -np.arange(groups)
    group = rng.choice(groups, users, p=shares / shares.sum()).astype(np.int32)
    vectors = rng.standard_normal((users, width), dtype=np.float32)
    vectors *= np.float32(NOISE)
    vectors += directions.astype(np.float32)[group]
    vectors += np.float32(COMMON / np.sqrt(width))
    return vectors, group


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    from threadpoolctl import threadpool_limits

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    vectors, group = planted(options.users, options.width, options.groups, options.seed)
    peak = peak_gb()
    told: dict[str, Any] = {"k": None}
    if name != "vectors alone":
        with threadpool_limits(options.threads):
            if not name.startswith("ours"):
                centre(vectors)
            labels, told = (ours if name.startswith("ours") else theirs)(vectors, options, name)
        peak = peak_gb()
        told |= judged(vectors, labels, group)
    return {"name": name, "peak GB": peak} | told


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def judged(vectors: np.ndarray, labels: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """Return the mean cosine to the own group's mean direction, and the adjusted Rand index with what was planted."""
    from sklearn.metrics import adjusted_rand_score

    centre(vectors)
    sums = [np.linalg.norm(vectors[labels == one].sum(axis=0, dtype=np.float64)) for one in np.unique(labels)]
    return {"cosine": float(sum(sums) / len(vectors)), "ari": float(adjusted_rand_score(group, labels))}


Told = tuple[np.ndarray, dict[str, Any]]
"""The label of each row, and what it took."""


def ours(vectors: np.ndarray, options: argparse.Namespace, name: str) -> Told:
    from shoal.segment.cluster import fit_segments

    counts = np.full(len(vectors), 9)
    n = None if "chosen" in name else options.groups
    fitted, *took = timed(lambda: fit_segments(vectors, counts, n=n, at_most=12, min_events=5, seed=options.seed))
    (labels, _), placing, _ = timed(lambda: fitted.assign(vectors, counts))
    return labels, {"k": fitted.n, "seconds": took[0], "processor": took[1], "users/s": len(vectors) / placing}


def theirs(rows: np.ndarray, options: argparse.Namespace, name: str) -> Told:
    """Fit with the defaults of scikit-learn: one start for KMeans, the best of three for MiniBatchKMeans."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    kind = {"KMeans": KMeans, "MiniBatchKMeans": MiniBatchKMeans}[name]
    model = kind(options.groups, random_state=options.seed)
    _, *took = timed(lambda: model.fit(rows))
    labels, placing, _ = timed(lambda: model.predict(rows))
    told = {"k": options.groups, "seconds": took[0], "processor": took[1], "users/s": len(rows) / placing}
    return labels, told


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what `call` returns, its seconds by the clock, and by the processors."""
    began, cpu = time.perf_counter(), time.process_time()
    value = call()
    return value, time.perf_counter() - began, time.process_time() - cpu


def centre(vectors: np.ndarray) -> None:
    """Bring vectors to length one, take the mean out, and bring them to length one again, in place."""
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors -= vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table: a row a contender."""
    formats = {"k": "d", "seconds": ".1f", "processor": ".1f", "users/s": ",.0f", "peak GB": ".2f", "cosine": ".4f"}
    formats |= {"ari": ".3f"}
    table = [f"{'':<20}" + "".join(f"{name:>12}" for name in formats)]
    for row in rows:
        cells = ("-" if row.get(name) is None else format(row[name], spec) for name, spec in formats.items())
        table.append(f"{row['name']:<20}" + "".join(f"{cell:>12}" for cell in cells))
    return table


if __name__ == "__main__":
    main()
