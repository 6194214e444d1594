import contextlib
import io
import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "texts-and-encoders.md"


def test_the_guide_prints_what_it_says():
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    scope = {}
    for code, printed in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, scope)
        assert said.getvalue() == printed
