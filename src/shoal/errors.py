"""Everything that Shoal raises on purpose, as one tree.

    ShoalError
    +-- ReadError            a file could not be read as it is
    |   +-- TableError       a table lacks a column, or holds what it may not hold
    +-- LeakageError         something after the cut-off would have been seen before it
    +-- ConfigError          a setting is unknown or out of range
    +-- MissingExtraError    an optional package is not installed
    +-- EncoderError         a language model could not be found, loaded or trusted
    +-- MismatchError        two things that were made apart do not fit together
    +-- NotEnoughDataError   there is too little to do what was asked
    +-- UnknownIdError       a user, an item or a segment that was never seen
    +-- StoreError           a run folder is missing, cut short, changed, newer, or cannot be written

A message says what is wrong, the value, and the next step. The command line prints it as one line and exits with 2; a
traceback is a fault of ours and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ShoalError(Exception):
    """Anything that the caller can mend: the message says how."""


class ReadError(ShoalError):
    """A file is missing, empty, or holds something that cannot be read."""


class TableError(ReadError):
    """A table lacks a column, has it with another type, or holds what it may not hold."""


class LeakageError(ShoalError):
    """Training data, a text or a history would contain an event at or after its cut-off."""


class ConfigError(ShoalError):
    """A setting is not known, has the wrong type, or is out of its range."""


class MissingExtraError(ShoalError):
    """An optional package is not installed; the message names the pip command."""


class EncoderError(ShoalError):
    """A language model is not there, could not be loaded, or is not the one that was expected."""


class MismatchError(ShoalError):
    """Two things do not fit together: another encoder, another width, other items."""


class NotEnoughDataError(ShoalError):
    """There are too few users, items or events for what was asked."""


class UnknownIdError(ShoalError):
    """An id that the data, or the run, has never seen."""


class StoreError(ShoalError):
    """A run folder is missing, damaged, made by a newer version, or cannot be written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean x?" for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    return f" Did you mean {close[0]}?" if close else ""
