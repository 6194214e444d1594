"""The guide to judging a model runs as it is written."""

import re
from pathlib import Path

import pytest

from shoal.data.split import PROTOCOLS

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "evaluating.md"


@pytest.fixture(scope="module")
def names() -> dict:
    """What the guide's examples leave behind, run one after the other."""
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), scope)
    return scope


def test_the_examples_give_what_the_guide_says(names):
    assert {(u, i) for u, i, _ in names["split"].test.rows()} == {("ann", "jaws"), ("bob", "alien"), ("cid", "heat")}
    assert round(names["ours"].mean, 2) == 0.54
    assert names["gain"].verdict == "undecided"


def test_the_guide_names_every_protocol():
    text = GUIDE.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in PROTOCOLS)
