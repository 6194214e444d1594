"""The tree of errors."""

from __future__ import annotations

import inspect

import pytest

from shoal import errors
from shoal.errors import ShoalError, did_you_mean

ALL = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_can_be_caught_as_one_of_ours(kind):
    assert issubclass(kind, ShoalError)
    assert str(kind("what is wrong")) == "what is wrong"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_tree_that_is_told(kind):
    assert kind.__name__ in errors.__doc__
    assert kind.__doc__


def test_a_wrong_table_is_a_file_that_cannot_be_read():
    assert issubclass(errors.TableError, errors.ReadError)


def test_ours_are_not_the_errors_that_python_raises_by_itself():
    assert ShoalError.__bases__ == (Exception,)  # so that a KeyError of our own making is never told as the caller's


@pytest.mark.parametrize(
    ("word", "known", "says"),
    [
        ("epoch", ["epochs", "patience"], " Did you mean epochs?"),
        ("zzz", ["epochs", "patience"], ""),
        ("epoch", [], ""),
        ("", ["epochs"], ""),
        ("12", [11, 12, 13], " Did you mean 12?"),
    ],
)
def test_the_closest_known_word_is_offered_if_one_is_close(word, known, says):
    assert did_you_mean(word, known) == says
