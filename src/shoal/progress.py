"""How far a long job is, told on stderr: a bar, plain lines, or nothing at all. Stdout belongs to the data.

    with progress.task("encode items", total=9_742, unit="texts") as task:
        task.advance(512)

A library stays quiet unless it is asked: `progress("auto")` shows a bar at a terminal and is silent elsewhere.
Warnings are never swallowed: the silent one hands them to Python's logging, which prints them to stderr by default.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Task:
    """A job under way; this one tells nobody."""

    def advance(self, n: int = 1) -> None:
        """Say that `n` more units are done."""


class Progress:
    """Says nothing of progress. The other two kinds are made from it."""

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Task]:
        """Open a job of `total` units (None: nobody knows); it is closed when the block ends, however it ends."""
        yield Task()

    def log(self, line: str) -> None:
        """Print a line above the bar."""

    def warn(self, line: str) -> None:
        """Say something that must not be lost, even where progress is silent."""
        logging.getLogger("shoal").warning(line)


class LineProgress(Progress):
    """Prints a plain line now and then: for log files and pipes.

    Parameters
    ----------
    stream : text stream, optional
        Where to; None is stderr.
    every : float
        Seconds between two lines of a job.
    clock : callable
        Seconds that only rise.
    """

    def __init__(
        self, stream: TextIO | None = None, *, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream, self.every, self.clock = stream, every, clock

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Task]:
        """Open a job; its last line is printed when it ended well."""
        task = _LineTask(self, name, total, unit)
        yield task
        self.log(task.last_line())

    def log(self, line: str) -> None:
        """Print a line, in one piece: whoever stops the program, or writes beside it, finds no half of one."""
        stream = self.stream or sys.stderr
        stream.write(f"{line}\n")
        stream.flush()

    def warn(self, line: str) -> None:
        """Print a line that begins with ``warning:``."""
        self.log(f"warning: {line}")


class _LineTask(Task):
    def __init__(self, parent: LineProgress, name: str, total: int | None, unit: str) -> None:
        self.parent, self.name, self.total, self.unit = parent, name, total, unit
        self.done, self.began = 0, parent.clock()
        self.told = self.began

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = self.parent.clock()
        if now - self.told >= self.parent.every and self.done != self.total:  # the last line says that it is done
            self.told = now
            self.parent.log(self._line(now - self.began))

    def _line(self, seconds: float) -> str:
        speed = self.done / max(seconds, 1e-9)
        of = "" if self.total is None else f"/{self.total:,}"
        left = "" if self.total is None or not speed else f"  eta {duration((self.total - self.done) / speed)}"
        return f"{self.name}  {self.done:,}{of} {self.unit}".rstrip() + f"  {rate(speed)}{left}"

    def last_line(self) -> str:
        seconds = self.parent.clock() - self.began
        return f"{self.name}  {self.done:,} {self.unit}".rstrip() + f"  in {duration(seconds)}"


class BarProgress(Progress):
    """Draws a bar with rate and time left on stderr; tasks may be nested."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console

        self.console = Console(file=stream, stderr=stream is None, markup=False, highlight=False)
        self._bars: Bars | None = None

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Task]:
        """Open a job with a bar of its own; the bar goes when the job ends."""
        outermost = self._bars is None
        if self._bars is None:
            self._bars = _bars(self)
            self._bars.start()
        bars = self._bars
        row = bars.add_task(name, total=total, unit=unit)
        try:
            yield _BarTask(bars, row)
        finally:
            bars.remove_task(row)
            if outermost:
                bars.stop()
                self._bars = None

    def log(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a line above the bars that begins with ``warning:``."""
        self.console.print(f"warning: {line}", style="yellow", soft_wrap=True)


class _BarTask(Task):
    def __init__(self, bars: Bars, row: int) -> None:
        self.bars, self.row = bars, row

    def advance(self, n: int = 1) -> None:
        from rich.progress import TaskID

        self.bars.advance(TaskID(self.row), n)


def _bars(parent: BarProgress) -> Bars:
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.progress import Task as Row
    from rich.text import Text

    class Figures(ProgressColumn):
        def render(self, task: Row) -> Text:
            of = "" if task.total is None else f"/{task.total:,.0f}"
            parts = [f"{task.completed:,.0f}{of} {task.fields['unit']}".rstrip()]
            if task.speed:
                parts.append(rate(task.speed))
            if task.time_remaining is not None and task.speed:
                parts.append(f"eta {duration(task.time_remaining)}")
            return Text("  ".join(parts))

    columns = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), Figures()]
    return Bars(*columns, console=parent.console, transient=True, redirect_stdout=False, redirect_stderr=False)


def progress(kind: Literal["auto", "bar", "lines", "silent"] = "auto") -> Progress:
    """Return a way to tell progress.

    Parameters
    ----------
    kind : str
        ``bar``, ``lines`` (one every 10 s), ``silent``, or ``auto``: a bar when stderr is a terminal, else silent.
    """
    if kind == "auto":
        kind = "bar" if sys.stderr is not None and sys.stderr.isatty() else "silent"
    kinds: dict[str, Callable[[], Progress]] = {"bar": BarProgress, "lines": LineProgress, "silent": Progress}
    return kinds[kind]()


def duration(seconds: float) -> str:
    """Return a time span in words one reads at a glance: ``8s``, ``2m10s``, ``3h05m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def rate(per_second: float) -> str:
    """Return a rate in three digits or so: ``0.3/s``, ``412/s``, ``1.9k/s``."""
    if per_second >= 1000:
        return f"{per_second / 1000:.1f}k/s"
    return f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"
