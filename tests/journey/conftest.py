"""One small world, fitted once: who must be found in it is known."""

from __future__ import annotations

import os

import pytest

from shoal.config import Config
from shoal.data.synthetic import planted_world
from shoal.pipeline import fit

SMALL = {
    "train": {"epochs": 12, "batch_users": 128},
    "tower": {"width": 32, "history": 40},
    "recommend": {"factors": 16},
}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache that no other worker writes: in bfloat16 its vectors of the same texts would differ a little."""
    os.environ["SHOAL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def config(own_cache):
    return Config(**SMALL)


@pytest.fixture(scope="session")
def world():
    return planted_world(users=240, items=160, segments=4, events_per_user=30, noise=0.1, seed=1)


@pytest.fixture(scope="session")
def run(world, config):
    return fit(world[0], config=config)
