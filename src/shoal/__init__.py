"""Shoal: named user segments, rating predictions and recommendations, with a language model at the core.

    data = shoal.read("ratings.csv", items="movies.csv")
    run = shoal.fit(data)
    run.segments, run.recommend(users=["42"])

Names are looked up when they are first used, so that ``import shoal`` is quick and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal import judge
    from shoal.adapt.finetune import finetune
    from shoal.adapt.keep import load_rater
    from shoal.adapt.settings import Finetune
    from shoal.config import Config
    from shoal.data.dataset import Dataset
    from shoal.data.demo import demo_data
    from shoal.data.read import read
    from shoal.data.texts import read_texts
    from shoal.errors import ShoalError
    from shoal.judgement import Judgement
    from shoal.pipeline import fit, load
    from shoal.run import Run

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Dataset",
    "Finetune",
    "Judgement",
    "Run",
    "ShoalError",
    "__version__",
    "demo_data",
    "finetune",
    "fit",
    "judge",
    "load",
    "load_rater",
    "read",
    "read_texts",
]

_HOME = {
    "Config": "shoal.config",
    "Dataset": "shoal.data.dataset",
    "Finetune": "shoal.adapt.settings",
    "Judgement": "shoal.judgement",
    "Run": "shoal.run",
    "ShoalError": "shoal.errors",
    "demo_data": "shoal.data.demo",
    "finetune": "shoal.adapt.finetune",
    "fit": "shoal.pipeline",
    "load": "shoal.pipeline",
    "load_rater": "shoal.adapt.keep",
    "read": "shoal.data.read",
    "read_texts": "shoal.data.texts",
}


def __getattr__(name: str) -> Any:
    if name == "judge":  # a module, not a function: shoal.judge.evaluate(data, "temporal")
        return import_module("shoal.judge")
    if name not in _HOME:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
