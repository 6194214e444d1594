"""Laws that hold for every split of every data set."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shoal.data.dataset import Dataset, make
from shoal.data.split import Split, split
from shoal.errors import NotEnoughDataError

OPTIONS = {
    "random": {"share": st.floats(0.05, 0.9)},
    "temporal": {"share": st.floats(0.05, 0.9)},
    "last-out": {"n": st.integers(1, 3)},
    "strong": {"users_share": st.floats(0.1, 0.9), "shown": st.floats(0.1, 0.9), "min_events": st.integers(2, 5)},
    "cold-item": {"share": st.floats(0.05, 0.9)},
    "cold-user": {"users_share": st.floats(0.1, 0.9), "shown": st.integers(0, 3)},
}
KEYS = ["user_id", "item_id"]


@st.composite
def datasets(draw) -> Dataset:
    """3 to 12 users, 3 to 9 items, some of the pairs; days from a short range, some of them unknown."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    users, items = draw(st.integers(3, 12)), draw(st.integers(3, 9))
    user, item = np.nonzero(rng.random((users, items)) < draw(st.floats(0.3, 1)))
    assume(len(set(user)) > 1 and len(set(item)) > 1)
    days = np.where(rng.random(len(user)) < draw(st.sampled_from([0, 0.03])), -1, rng.integers(0, 6, len(user)))
    at = [None if day < 0 else datetime(2020, 1, 1) + timedelta(days=int(day)) for day in days]
    table = {"user_id": [f"u{u}" for u in user], "item_id": [f"i{i}" for i in item]}
    return make(pl.DataFrame({**table, "at": pl.Series(at, dtype=pl.Datetime("us"))}))


@pytest.mark.parametrize("protocol", OPTIONS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_split_loses_nothing_and_leaks_nothing(protocol, data):
    world = data.draw(datasets())
    options = {name: data.draw(value, label=name) for name, value in OPTIONS[protocol].items()}
    try:
        made = split(world, protocol, **options, seed=data.draw(st.integers(0, 9), label="seed"))
    except NotEnoughDataError:
        assume(False)
    _is_a_partition(world, made)
    _leaks_nothing(made)
    assert made.given.join(made.test, on="user_id", how="anti").height == 0
    if protocol == "last-out":
        _asks_for_the_newest(world, made)


def _is_a_partition(world: Dataset, made: Split) -> None:
    """Every event is learnt from, or asked, or shown, or counted as left out."""
    sides = [made.train.interactions, made.test]
    if made.protocol in ("strong", "cold-user"):
        sides.append(made.given)
    else:
        assert made.given.equals(
            made.train.interactions.join(made.test, on="user_id", how="semi", maintain_order="left")
        )
    together = pl.concat(sides)
    assert together.select(KEYS).n_unique() == together.height
    assert together.join(world.interactions, on=KEYS, how="anti").height == 0
    assert together.height + made.left_out == world.interactions.height
    assert made.left_out == 0 or made.notes


def _leaks_nothing(made: Split) -> None:
    for side in (made.train.interactions, made.given):
        assert made.test.join(side, on=KEYS, how="semi").height == 0
        if made.cutoff is not None:
            assert side.filter(pl.col("at") >= made.cutoff).height == 0
        if made.candidates is not None:
            assert not set(side["item_id"].cast(pl.String)) & set(made.candidates)
    if made.protocol in ("strong", "cold-user"):
        assert made.train.interactions.join(made.test, on="user_id", how="semi").height == 0


def _asks_for_the_newest(world: Dataset, made: Split) -> None:
    for (user,), asked in made.test.group_by("user_id"):
        times = world.interactions.filter(pl.col("user_id") == user)["at"].sort(descending=True)
        assert asked["at"].sort(descending=True).to_list() == times.head(asked.height).to_list()
