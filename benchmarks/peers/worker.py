"""One contestant: `python benchmarks/peers/worker.py NAME TASK ANSWER --trials 8`.

Settings are drawn from the contestant's space (the defaults first), tried on the inner task, and the best is fitted on
the whole task. ANSWER becomes a folder with answer.parquet and told.json: settings tried, seconds, peak memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def contestant(name: str) -> Any:
    """Return the class of that name; libraries are imported by the class that needs them."""
    from peers import cold, factors, rating, simple

    return (simple.RANKERS | factors.RANKERS | cold.RANKERS | rating.RATERS)[name]


def draws(space: dict[str, tuple[Any, ...]], trials: int, seed: int) -> list[dict[str, Any]]:
    """Return settings to try: the defaults, then others drawn without repetition."""
    every = list(itertools.product(*space.values()))
    order = np.random.default_rng(seed).permutation(len(every) - 1) + 1 if len(every) > 1 else []
    chosen = [every[0], *(every[place] for place in order[: trials - 1])]
    return [dict(zip(space, one, strict=True)) for one in chosen]


def quality(made: Any, task: Any) -> float:
    """Return NDCG@n on an inner task, or minus RMSE."""
    if task.about["kind"] == "rating":
        return -float(np.sqrt(np.square(made.rate(task) - task.answers).mean()))
    return task.ndcg(task.lists(lambda places: made.score(task, places))[0])


def answer(made: Any, task: Any) -> pl.DataFrame:
    """Return the lists, or the ratings of the pairs."""
    users = pl.Series("user_id", task.users[task.asked])
    if task.about["kind"] == "rating":
        ids, ratings = task.items[task.asked_items], pl.Series("rating", made.rate(task), pl.Float32)
        return pl.DataFrame([users, pl.Series("item_id", ids), ratings])
    lists, scores = task.lists(lambda places: made.score(task, places))
    there = lists.ravel() >= 0
    rank = np.tile(np.arange(1, lists.shape[1] + 1), len(lists))[there]
    return pl.DataFrame(
        {
            "user_id": np.repeat(users.to_numpy(), lists.shape[1])[there],
            "item_id": task.items[lists.ravel()[there]],
            "rank": pl.Series(rank, dtype=pl.Int32),
            "score": pl.Series(scores.ravel()[there], dtype=pl.Float32),
        }
    )


def compete(kind: Any, task: Any, trials: int, seed: int) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return a contestant's answer, and what is told of it."""
    began, tried = time.monotonic(), []
    space = {k: v for k, v in kind.space.items() if k != "liked" or task.likes_some}
    choices = draws(space, trials, seed)
    for settings in choices if len(choices) > 1 else []:
        made = kind(**settings)
        made.fit(task.inner)
        tried.append({"settings": settings, "quality": quality(made, task.inner)})
        print(f"{tried[-1]['quality']:.4f}  {settings}", file=sys.stderr, flush=True)
    best = max(tried, key=lambda t: t["quality"])["settings"] if tried else choices[0]
    tuned = time.monotonic()
    made = kind(**best)
    made.fit(task)
    fitted = time.monotonic()
    table = answer(made, task)
    seconds = {"tune": tuned - began, "fit": fitted - tuned, "predict": time.monotonic() - fitted}
    return table, {"settings": best, "tried": tried, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("task", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fits", type=Path, help="where Shoal keeps its fits")
    options = parser.parse_args()
    if options.name.startswith("Shoal"):
        from peers import arena, ours

        table, told = ours.compete(options.task, options.fits, arena.OURS[options.name])
    else:
        from peers.task import Task

        table, told = compete(contestant(options.name), Task(options.task), options.trials, options.seed)
    told["peak GB"] = max(told.get("peak GB", 0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
    told["versions"] = versions()
    options.answer.mkdir(parents=True, exist_ok=True)
    table.write_parquet(options.answer / "answer.parquet")
    (options.answer / "told.json").write_text(json.dumps(told, indent=1, default=str), encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that were imported."""
    from importlib import metadata

    names = {
        "implicit": "implicit", "lenskit": "lenskit", "rectools": "RecTools", "surprise": "scikit-surprise",
        "cornac": "cornac", "myfm": "myfm", "lightfm": "lightfm-next", "numpy": "numpy", "torch": "torch",
        "shoal": "shoal", "sklearn": "scikit-learn",
    }  # fmt: skip
    return {
        name: metadata.version(dist) for module, dist in names.items() for name in [module] if module in sys.modules
    }


if __name__ == "__main__":
    main()
