"""What all tests share: one thread each, one cache of encodings for the whole session, real data where it is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports numpy, torch or polars: several workers on a few cores, one thread each, same sums everywhere.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for a hub

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

settings.register_profile(
    "house", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a cache of its own; workers inherit it, so that a text is encoded once for all of them."""
    if not hasattr(config, "workerinput"):
        os.environ["SHOAL_CACHE"] = tempfile.mkdtemp(prefix="shoal-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["SHOAL_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; a test that asks for it is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not here")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.user_properties.append(("needs", "shared data"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests with real data ran: where they were all skipped, a green run says less."""

    def count(*outcomes: str) -> int:
        reports = [r for outcome in outcomes for r in terminalreporter.stats.get(outcome, [])]
        return len(
            {r.nodeid for r in reports if ("needs", "shared data") in map(tuple, getattr(r, "user_properties", ()))}
        )

    ran, skipped = count("passed", "failed", "xfailed", "error"), count("skipped")
    terminalreporter.write_line(f"tests with the real data of ../shared/data: {ran} ran, {skipped} skipped")
