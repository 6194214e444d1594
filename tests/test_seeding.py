"""One seed a run, a stream of its own for every part."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.seeding import generator, integer, torch_generator

NAMES = st.lists(st.one_of(st.text(max_size=5), st.integers(0, 99)), max_size=3)


@given(st.integers(0, 2**31 - 1), NAMES)
def test_same_seed_and_names_same_numbers(seed, names):
    one, other = generator(seed, *names), generator(seed, *names)
    assert one.random(3).tolist() == other.random(3).tolist()
    assert integer(seed, *names) == integer(seed, *names)


@given(st.integers(0, 2**31 - 1), NAMES)
def test_an_integer_fits_libraries_that_take_31_bits(seed, names):
    assert 0 <= integer(seed, *names) < 2**31


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, "split"), (1, "split")),
        ((0, "split"), (0, "epoch")),
        ((0, "epoch", 1), (0, "epoch", 2)),
        ((0, "a", "b"), (0, "b", "a")),
        ((0, "a"), (0, "a", "b")),
        ((0, "ab"), (0, "a", "b")),
    ],
)
def test_other_names_or_seeds_other_numbers(one, other):
    assert generator(*one).random(3).tolist() != generator(*other).random(3).tolist()
    assert integer(*one) != integer(*other)


def test_parts_do_not_disturb_each_other():
    alone = generator(0, "a").random(4)
    generator(0, "b").random(100)
    np.testing.assert_array_equal(generator(0, "a").random(4), alone)


def test_no_global_state_is_read_or_moved():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    drawn = torch.rand(3, generator=torch_generator(5, "x"))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(torch.rand(3, generator=torch_generator(5, "x")), drawn)


def test_torch_draws_by_name_too():
    one, other = (torch.rand(3, generator=torch_generator(0, name)) for name in ("a", "b"))
    assert not torch.equal(one, other)


def test_another_process_draws_the_same():
    """Python's own hash of a string changes from process to process; ours must not."""
    code = "from shoal.seeding import integer; print(integer(3, 'split', 7))"
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(told.stdout) == integer(3, "split", 7)
