"""Ctrl-C in the middle of a fit: one line, exit code 130, no run folder; the same command then ends as if untouched."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SHOAL = [sys.executable, "-c", "from shoal.cli.main import main; main()"]


def test_ctrl_c_in_the_middle_of_a_fit_leaves_no_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = subprocess.Popen(
        [*SHOAL, "fit", "demo", str(run)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    assert child.stderr.readline().startswith("read 100,836 rows")  # what follows takes many seconds
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "shoal: stopped. The same command again goes on from where it was."
    assert "Traceback" not in err
    assert not run.exists()
