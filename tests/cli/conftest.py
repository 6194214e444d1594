"""A small run that was really fitted, for commands that change what is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with segments 0 to 3; not to be changed."""
    from shoal.config import Config
    from shoal.data.synthetic import planted_world
    from shoal.pipeline import fit

    world, _ = planted_world(users=150, items=80, segments=3, events_per_user=20, noise=0.1, seed=1)
    # several events at one moment, as in real logs: their order is drawn, and must not change who is where
    at = world.interactions["at"].dt.truncate("3mo")
    world = world.with_interactions(world.interactions.with_columns(at))
    small = {"train": {"epochs": 3, "batch_users": 64}, "tower": {"width": 16, "history": 20}}
    config = Config(**small, recommend={"factors": 8}, segment={"n": 4}, effort="quick")
    return fit(world, config=config).save(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def small_run(fitted_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(fitted_once, tmp_path / "run"))
