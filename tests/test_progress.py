import io
import logging
import sys

import pytest

from shoal.progress import BarProgress, LineProgress, Progress, duration, progress, rate


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines():
    stream, clock = io.StringIO(), Clock()
    return LineProgress(stream, every=10, clock=clock), stream, clock


def test_a_line_tells_done_rate_and_time_left(lines):
    told, stream, clock = lines
    with told.task("encode items", total=9_742, unit="texts") as task:
        clock.now += 10
        task.advance(4_000)
    assert stream.getvalue().splitlines()[0] == "encode items  4,000/9,742 texts  400/s  eta 14s"


def test_a_line_is_written_in_one_piece_so_that_nothing_comes_between_it_and_its_end():
    class Pieces(io.StringIO):
        def write(self, text):
            pieces.append(text)
            return super().write(text)

    pieces = []
    told = LineProgress(Pieces())
    told.warn("one of them")
    with told.task("fit", total=1) as task:
        task.advance()
    assert pieces == ["warning: one of them\n", "fit  1  in 0s\n"]


def test_lines_come_no_more_often_than_asked(lines):
    told, stream, clock = lines
    with told.task("fit", total=100) as task:
        for _ in range(100):
            clock.now += 0.25
            task.advance()
    assert stream.getvalue().splitlines() == [
        "fit  40/100  4.0/s  eta 15s",
        "fit  80/100  4.0/s  eta 5s",
        "fit  100  in 25s",
    ]


def test_the_end_is_told_once(lines):
    told, stream, clock = lines
    with told.task("encode", total=5, unit="texts") as task:
        clock.now += 20
        task.advance(5)
    assert stream.getvalue() == "encode  5 texts  in 20s\n"


def test_a_job_of_unknown_length_has_no_time_left(lines):
    told, stream, clock = lines
    with told.task("read", unit="rows") as task:
        clock.now += 20
        task.advance(60_000)
    assert stream.getvalue().splitlines() == ["read  60,000 rows  3.0k/s", "read  60,000 rows  in 20s"]


def test_a_job_that_failed_does_not_say_that_it_is_done(lines):
    told, stream, _ = lines
    with pytest.raises(ValueError, match="broken"), told.task("fit", total=2):
        raise ValueError("broken")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("kind", ["bar", "lines", "silent"])
def test_nothing_ever_goes_to_stdout(kind, capsys):
    told = progress(kind)
    with told.task("encode", total=3, unit="texts") as task:
        task.advance(2)
        told.log("a line")
        told.warn("another line")
        task.advance()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["bar", "lines"])
def test_log_and_warn_lines_go_to_stderr_whole(kind, capsys):
    told, line = progress(kind), "fit  [epoch 3/5]  " + "loss 0.8412 " * 30
    with told.task("fit", total=5):
        told.log(line)
        told.warn(line)
    out = capsys.readouterr().err.splitlines()
    assert line.rstrip() in [o.rstrip() for o in out]
    assert f"warning: {line}".rstrip() in [o.rstrip() for o in out]


def test_a_silent_warning_is_handed_to_logging(caplog, capsys):
    with caplog.at_level(logging.WARNING, logger="shoal"):
        Progress().warn("the disk is full")
        Progress().log("epoch 1")
    assert [r.message for r in caplog.records] == ["the disk is full"]
    assert capsys.readouterr().err == ""


def test_bars_may_be_nested_and_used_again():
    stream = io.StringIO()
    told = BarProgress(stream)
    for _ in range(2):
        with told.task("fit", total=2, unit="epochs") as outer, told.task("encode", total=4, unit="texts") as inner:
            inner.advance(4)
            outer.advance(1)
            told.log("both are open")
    assert stream.getvalue().count("both are open") == 2
    assert told._bars is None


def test_a_bar_is_taken_down_when_the_job_fails():
    told = BarProgress(io.StringIO())
    with pytest.raises(KeyboardInterrupt), told.task("fit"):
        raise KeyboardInterrupt
    assert told._bars is None


def test_a_bar_at_a_terminal_shows_figures():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    told = BarProgress(stream)
    with told.task("encode items", total=9_742, unit="texts") as task:
        task.advance(4_000)
        told._bars.refresh()
    assert "encode items" in stream.getvalue()
    assert "4,000/9,742 texts" in stream.getvalue()


def test_auto_is_silent_where_stderr_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(progress("auto")) is Progress


def test_auto_is_a_bar_at_a_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    assert isinstance(progress("auto"), BarProgress)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (8.4, "8s"), (59.6, "1m00s"), (130, "2m10s"), (3599.7, "1h00m"), (11_100, "3h05m")],
)
def test_a_duration_reads_at_a_glance(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.31, "0.3/s"), (9.96, "10.0/s"), (412.3, "412/s"), (1_900, "1.9k/s")])
def test_a_rate_has_about_three_digits(value, text):
    assert rate(value) == text
