"""Exit codes and last words: what goes wrong comes out as one line, never as a traceback."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from shoal import __version__
from shoal.cli import main as cli
from shoal.errors import ShoalError, StoreError


@pytest.fixture
def with_command(monkeypatch):
    """Run a command `shoal fit` that does what is asked; return exit code, stdout and stderr."""

    def run_with(action, capsys, arguments=("fit",)):
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

        @app.callback()
        def root(debug: bool = False) -> None:
            """Stand in for the real one."""

        @app.command()
        def fit() -> None:
            action()

        monkeypatch.setattr(cli, "app", app)
        code = cli.run(list(arguments))
        return code, *capsys.readouterr()

    return run_with


def raises(error: BaseException):
    def action() -> None:
        raise error

    return action


def test_an_error_of_the_tree_is_one_line_and_exit_code_2(with_command, capsys) -> None:
    code, out, err = with_command(raises(StoreError("runs/x is cut short. Fit again.")), capsys)
    assert (code, out, err) == (2, "", "shoal: runs/x is cut short. Fit again.\n")


def test_a_fault_of_ours_is_one_line_and_its_traceback_is_kept(with_command, capsys) -> None:
    code, out, err = with_command(raises(KeyError("segment")), capsys)
    assert code == 1
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("shoal: a fault of ours: KeyError: 'segment'.")
    kept = Path(err.split("The traceback is in ")[1].split(";")[0])
    text = kept.read_text(encoding="utf-8")
    kept.unlink()
    assert text.startswith(f"shoal {__version__}: shoal fit\n")
    assert "KeyError: 'segment'" in text
    assert "Traceback" in text


def test_debug_shows_the_traceback_of_a_fault(with_command, capsys) -> None:
    code, _, err = with_command(raises(KeyError("segment")), capsys, ("--debug", "fit"))
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].endswith("The traceback is above.")


def test_ctrl_c_says_that_the_same_command_goes_on(with_command, capsys) -> None:
    code, _, err = with_command(raises(KeyboardInterrupt()), capsys)
    assert code == 130
    assert err == "shoal: stopped. The same command again goes on from where it was.\n"


def test_a_full_disk_is_no_fault_of_ours(with_command, capsys) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "runs/first/items.parquet")
    code, _, err = with_command(raises(full), capsys)
    assert code == 2
    assert err.startswith("shoal: No space left on device: runs/first/items.parquet. Free some space")


def test_another_error_of_the_machine_is_a_fault(with_command, capsys) -> None:
    code, _, err = with_command(raises(OSError(errno.EIO, "Input/output error")), capsys)
    assert code == 1
    Path(err.split("The traceback is in ")[1].split(";")[0]).unlink()


def test_a_command_that_leaves_with_a_code_keeps_it(with_command, capsys) -> None:
    assert with_command(raises(typer.Exit(2)), capsys)[0] == 2
    assert with_command(raises(SystemExit(3)), capsys)[0] == 3
    assert with_command(lambda: None, capsys)[0] == 0


def test_an_error_that_the_caller_can_mend_is_never_a_fault() -> None:
    """Every error of ours is in the tree, so that the line above holds for all of them."""
    import shoal.errors

    kinds = [k for k in vars(shoal.errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) > 5
    assert all(issubclass(kind, ShoalError) for kind in kinds)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fitt"], "No such command 'fitt'. Did you mean 'fit'?"),
        (["segments"], "Missing argument 'RUN'. Try: shoal segments --help"),
        (["segments", "x", "--jsn"], "No such option: --jsn"),
        (["evaluate", "demo", "--protocol", "time"], "'time' is not one of 'temporal', 'last-out'"),
        (["evaluate", "demo"], "Missing option '--protocol'"),
        (["recommend", "x", "--user", "1", "--n", "ten"], "'--n'"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_way_out(arguments, words, capsys) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("shoal: ")
    assert len(err.splitlines()) == 1


def test_without_a_command_the_help_is_shown(capsys) -> None:
    assert cli.run([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: shoal")
    assert all(name in out for name in ("demo", "fit", "segments", "recommend", "rate", "assign", "explain", "doctor"))


def test_the_version_is_printed(capsys) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"shoal {__version__}\n"


def test_output_that_nobody_reads_any_more_ends_quietly() -> None:
    """`shoal --help | true`: the reader is gone before the first word."""
    code = "import time, sys; time.sleep(0.5); from shoal.cli.main import main; main(['--help'])"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.close()
    _, err = child.communicate(timeout=60)
    assert err == b""
    assert child.returncode == 0
