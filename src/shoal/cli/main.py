"""The command `shoal`: what went wrong becomes one line and an exit code.

0    done
1    a fault of ours; the traceback is kept in a file, or shown with --debug
2    wrong use or bad input: one line that says what, where and what next
130  stopped by Ctrl-C
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from shoal import __version__
from shoal.cli.alike import alike
from shoal.cli.certify import certify
from shoal.cli.compare import compare
from shoal.cli.demo import demo
from shoal.cli.doctor import doctor
from shoal.cli.edit import edit
from shoal.cli.evaluate import evaluate
from shoal.cli.explain import explain
from shoal.cli.export import export
from shoal.cli.finetune import finetune, score
from shoal.cli.fit import fit
from shoal.cli.name import name
from shoal.cli.plot import plot
from shoal.cli.report import report
from shoal.cli.rule import rule
from shoal.cli.show import assign, rate, recommend, segments
from shoal.cli.tables import out, talk
from shoal.cli.tune import tune
from shoal.errors import ShoalError

DONE, OURS, YOURS, STOPPED = 0, 1, 2, 130
RESUMABLE = {"demo", "fit", "evaluate", "finetune", "tune"}

app = typer.Typer(
    name="shoal",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def shoal(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")] = False,
) -> None:
    """Named user segments, rating predictions and recommendations from an interaction log.

    Data goes to stdout, talk and progress to stderr. Every command has --json. A command that is done exits with 0,
    wrong use or bad input with 2, a fault of ours with 1.

    \b
    Examples:
      shoal demo runs/demo
      shoal segments runs/demo
      shoal fit --help
    """
    if version:
        out(f"shoal {__version__}")
    elif context.invoked_subcommand is None:
        out(context.get_help())


_COMMANDS: dict[Callable[..., None], str] = {
    demo: "The whole journey on data that comes along.",
    fit: "A log becomes a run folder.",
    segments: "Who the users are.",
    name: "Other names for the segments of a run.",
    recommend: "Items for users, old and new.",
    rate: "Predicted ratings and their spread.",
    assign: "Users placed in segments from a file.",
    certify: "How far the segments can be trusted.",
    rule: "Segments written by hand.",
    edit: "Segments changed by hand, with a log.",
    explain: "Why this item, why this segment.",
    compare: "What differs between segments.",
    alike: "Users like those of a list.",
    export: "Members and counts for other systems.",
    evaluate: "How good it is, beside honest baselines.",
    report: "The run as one page for a browser.",
    plot: "The map of a run for slides.",
    finetune: "A language model learns a task.",
    score: "Ratings or labels of texts.",
    tune: "A search for settings of a fine-tuning.",
    doctor: "Is everything here that a run needs?",
}
for _command, _short in _COMMANDS.items():
    app.command(short_help=_short)(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; nothing that goes wrong comes out as a traceback."""
    try:
        code = app(arguments, prog_name="shoal", standalone_mode=False) or DONE
        sys.stdout.flush()
    except BaseException as error:
        code = _told(error, arguments)
    if code == STOPPED:
        again = " The same command again goes on from where it was." if RESUMABLE.intersection(arguments[:2]) else ""
        _say(f"stopped.{again}")
    return int(code)


def _told(error: BaseException, arguments: list[str]) -> int:
    """Say in one line what happened, and return the exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return STOPPED
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        return _hung_up()
    if isinstance(error, SystemExit):
        return _left(error)
    if "--debug" in arguments[:2]:
        traceback.print_exception(error)
    if isinstance(error, ShoalError):
        _say(str(error))
        return YOURS
    if isinstance(error, TyperException):
        _say(_usage(error))
        return YOURS
    if isinstance(error, OSError) and error.errno in _ROOM_AND_RIGHTS:
        _say(f"{error.strerror}: {error.filename or 'while writing'}. {_ROOM_AND_RIGHTS[error.errno]}")
        return YOURS
    _say(f"a fault of ours: {type(error).__name__}: {_one_line(error)}. {_keep_traceback(error, arguments)}")
    return OURS


_ROOM_AND_RIGHTS = {
    errno.ENOSPC: "Free some space, or name another folder; the same command again goes on from where it was.",
    errno.EDQUOT: "Free some of your quota, or name another folder.",
    errno.EACCES: "Name a folder you may write to.",
    errno.EROFS: "Name a folder you may write to.",
}
"""What the machine refuses is no fault of ours, and the next step is known."""


def _left(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else DONE if error.code is None else OURS


def _hung_up() -> int:
    """Whoever read our output has gone, `shoal segments RUN | head` say: leave quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
    return DONE


def _usage(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" Try: {context.command_path} --help" if context is not None else ""
    words = " ".join(error.format_message().split()).replace("Value error, ", "")  # pydantic's prefix says nothing
    return f"{words}{hint}"


def _one_line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 200 else words[:199] + "…"


def _keep_traceback(error: BaseException, arguments: list[str]) -> str:
    if "--debug" in arguments[:2]:
        return "The traceback is above."
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="shoal-fault-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(f"shoal {__version__}: shoal {' '.join(arguments)}\n\n")
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return "Run it again as shoal --debug ... to see the traceback."
    return f"The traceback is in {file.name}; send it to us with what you did."


def _say(message: str) -> None:
    talk(f"shoal: {message}")
