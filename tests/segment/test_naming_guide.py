"""The guide to naming runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "naming.md"
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_check_of_a_name_says_what_the_guide_says(capsys):
    scope: dict = {}
    exec(compile(BLOCKS[0], str(GUIDE), "exec"), scope)
    said = [line.split("# ")[1] for line in BLOCKS[0].splitlines() if "# " in line]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.slow
def test_the_blind_score_of_the_guide_is_above_chance(capsys):
    scope: dict = {}
    exec(compile(BLOCKS[1], str(GUIDE), "exec"), scope)
    assert scope["blind"].low > 0.25
    assert "above chance" in capsys.readouterr().out
