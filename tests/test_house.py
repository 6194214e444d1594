"""The house itself: public names, quick start, docs that are not stale, commands that exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import shoal

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh Python has loaded after `code`."""
    told = code + "; import sys; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_public_names_are_these() -> None:
    assert shoal.__all__ == [
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
    assert dir(shoal) == shoal.__all__


@pytest.mark.parametrize("name", shoal.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(shoal, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        shoal.fitt  # noqa: B018


HEAVY = {"torch", "transformers", "sklearn", "scipy", "implicit", "plotly", "polars", "pyarrow"}


def test_importing_shoal_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("import shoal")


def test_help_loads_nothing_heavy() -> None:
    assert not HEAVY - {"polars"} & loaded_by("from shoal.cli.main import run; run(['fit', '--help'])")


def test_generated_docs_and_the_tree_in_the_readme_are_up_to_date(docs: ModuleType) -> None:
    assert docs.stale() == [], "write them with: make docs"


def test_what_the_readme_and_the_tutorial_tell_to_type_exists(docs: ModuleType) -> None:
    assert docs.wrong_commands() == []
    assert len(docs.commands(ROOT / "README.md")) >= 8


def test_a_command_that_does_not_exist_would_be_found(docs: ModuleType) -> None:
    assert docs.wrong("make dmeo") == "the Makefile has no target dmeo"
    assert docs.wrong("shoal fitt a b") == "there is no command shoal fitt"
    assert "--sedge" in docs.wrong("shoal fit a b --sedge 1")
    assert docs.wrong("make demo RUN=runs/x") is None
    assert docs.wrong("shoal fit a b --seed 1") is None


def test_every_module_has_its_place_in_the_tree(docs: ModuleType) -> None:
    top = {
        p.name.removesuffix(".py") for p in docs.SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert top - {"__init__"} <= set(docs.order())


def test_every_setting_says_what_it_is(docs: ModuleType) -> None:
    rows = [line for line in docs.config_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert [row for row in rows if row.endswith("|  |") and ".name`" not in row] == []


def test_links_in_the_docs_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))]
    local = [(page, link) for page, link in links if "://" not in link]
    assert len(local) > 5
    assert [f"{page.name}: {link}" for page, link in local if not (page.parent / link).exists()] == []


def test_the_pins_hold_every_dependency_at_a_version_that_the_project_allows() -> None:
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert Requirement(extras["dev"][-1]).extras >= {"fast", "finetune", "track"}  # a test needs them all
    wanted = project["project"]["dependencies"] + [one for extra in extras.values() for one in extra]
    wanted = [one for one in wanted if not one.startswith("shoal[")]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): number for name, number in pins.items()}
    for requirement in map(Requirement, wanted + project["build-system"]["requires"]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
