"""The guide to acting on segments runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "acting-on-segments.md"


def test_the_examples_give_what_the_guide_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), scope)
    assert scope["table"]["matters"].any()
    assert scope["done"].rows == 300
    assert scope["delta"].changes == {"entered": 0, "left": 1, "moved": 0}
    assert (tmp_path / "members.csv.state.parquet").exists()
    assert capsys.readouterr().out
