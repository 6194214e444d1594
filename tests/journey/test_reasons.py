"""Reasons of a run: parts add up, ways arrive, and what is cited carries more than chance."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoal.errors import ConfigError, NotEnoughDataError, UnknownIdError
from shoal.shares import shares
from shoal.tables import ITEM, SEGMENT, USER

pytestmark = pytest.mark.xdist_group("journey")


def first_item(run, user):
    return run.recommend([user], n=1)[ITEM][0]


def segment_of(run, user):
    return run.members.filter(pl.col(USER) == user)[SEGMENT][0]


def test_memberships_are_those_of_the_segmentation_and_the_largest_is_where_the_user_is(run):
    found = run.why("u7")
    assert found.memberships["membership"].sum() == pytest.approx(1, abs=1e-5)
    assert found.memberships["membership"].is_sorted(descending=True)
    assert found.memberships.filter("here")[SEGMENT].to_list() == [segment_of(run, "u7")] == [found.segment]
    strength = run.members.filter(pl.col(USER) == "u7")["strength"][0]
    assert found.memberships["membership"][0] == pytest.approx(strength, abs=1e-5)
    assert found.events.equals(run.explain("u7"))


def test_shared_exemplars_are_exemplars_of_the_segment_and_items_of_the_user(run):
    shared = [set(run.why(u).shared[ITEM]) for u in ("u1", "u2", "u3", "u4", "u5")]
    assert any(shared)
    told = run.segments.filter(pl.col(SEGMENT) == segment_of(run, "u1"))["exemplars"][0].to_list()
    his = run.data.interactions.filter(pl.col(USER) == "u1")[ITEM].cast(pl.String).to_list()
    assert shared[0] == {e[ITEM] for e in told} & set(his)


def test_the_parts_of_a_score_add_up_to_it_for_every_model_and_in_sum(run):
    for user in ("u1", "u9", "u30"):
        for item in run.recommend([user], n=3)[ITEM]:
            found = run.shares(user, item)
            parts = dict(found.table.select("part", "amount").iter_rows())
            assert sum(parts.values()) == pytest.approx(found.score, abs=1e-9)
            assert parts["order"] == pytest.approx(0, abs=1e-4) or run.learnt.blend.boosted_ is not None
            by_model = found.by_model.sum()
            assert by_model["everybody"][0] == pytest.approx(parts["everybody"])
            assert by_model["segment"][0] == pytest.approx(parts["segment"])
            assert by_model["you"][0] == pytest.approx(parts["you"] + parts["text"])
            shares = found.table["share"].drop_nulls()
            assert not len(shares) or shares.sum() == pytest.approx(1)


def test_models_that_say_the_same_to_everybody_are_everybodys_alone(run):
    found = run.shares("u1", first_item(run, "u1")).by_model.filter(pl.col("model") == "popularity")
    assert found.select("segment", "you").to_numpy() == pytest.approx(0, abs=1e-5)


def test_in_a_world_of_segments_the_segment_carries_a_recommendation(run):
    parts = [
        dict(run.shares(u, first_item(run, u)).table.select("part", "amount").iter_rows()) for u in ("u1", "u9", "u30")
    ]
    assert all(p["segment"] > 0 for p in parts)


def test_the_sentence_names_the_shares(run):
    assert "%" in run.shares("u1", first_item(run, "u1")).sentence()


def test_the_score_of_a_user_without_a_past_adds_up_too_and_no_segment_has_a_share(run):
    past = run.learnt.pasts(run.data.interactions.head(0), run._known(["u1"]))
    found = shares(run.learnt, run.members, past, 3)
    parts = dict(found.table.select("part", "amount").iter_rows())
    assert sum(parts.values()) == pytest.approx(found.score, abs=1e-9)
    assert parts["segment"] == 0


def test_a_way_into_another_segment_is_confirmed_by_placing_the_user_anew(run):
    here = segment_of(run, "u3")
    other = next(s for s in range(4) if s != here)
    steps = run.way_to("u3", other)
    assert steps["segment"][-1] == other
    past = run.data.interactions.filter(pl.col(USER) == "u3")
    assert run.assign(past)[SEGMENT][0] == here
    removed = steps.filter(pl.col("action") == "remove")[ITEM]
    changed = past.filter(~pl.col(ITEM).cast(pl.String).is_in(removed.implode()))
    added = steps.filter(pl.col("action") == "add")
    at = pl.lit(past["at"].max()) + pl.duration(microseconds="step")  # one after the other, at the newest event's time
    new = added.select(pl.lit("u3").alias(USER), ITEM, rating=pl.col("value"), at=at)
    plain = changed.select(pl.col(USER, ITEM).cast(pl.String), "rating", "at")
    placed = run.assign(pl.concat([plain, new.cast(dict(plain.schema))]))
    assert placed[SEGMENT][0] == other
    assert placed["strength"][0] == pytest.approx(steps["strength"][-1], abs=0.02)


def test_the_way_to_where_one_is_is_empty_and_impossible_ends_are_refused(run):
    assert run.way_to("u3", segment_of(run, "u3")).height == 0
    with pytest.raises(UnknownIdError, match="There is no segment 99; there are 0, 1, 2, 3"):
        run.way_to("u3", 99)
    with pytest.raises(ConfigError, match="Nobody is moved to -1"):
        run.way_to("u3", -1)


def test_shapley_values_of_a_run_add_up(run):
    item = first_item(run, "u2")
    table = run.shapley("u2", item, pairs=2)
    row = run.learnt.items.rows([item])[0]
    past = run.learnt.pasts(run.data.interactions.filter(pl.col(USER) == "u2"), run._known(["u2"]))
    nothing = past.where(np.zeros(len(past.items), bool))
    full, empty = (float(run.learnt.blend.score(p)[0, row]) for p in (past, nothing))
    assert table["shapley"].sum() == pytest.approx(full - empty, abs=1e-4)
    assert table["error"].min() >= 0
    assert table.equals(run.shapley("u2", item, pairs=2))


def test_cited_events_carry_more_than_random_ones(run):
    found = run.faithfulness(n=12)
    assert found.table.height == 12
    assert found.cited > found.random
    assert found.faithful
    with pytest.raises(ConfigError, match="n = 1"):
        run.faithfulness(n=1)
    with pytest.raises(UnknownIdError, match="nobody"):
        run.faithfulness(["nobody"])
    with pytest.raises(NotEnoughDataError, match="1 of 1 users"):
        run.faithfulness(["u1"])


def test_segments_of_a_run_are_compared(run):
    table = run.compare([0, 1], draws=200)
    assert table["matters"].any()
    assert {"category", "item"} <= set(table["part"])


def test_members_of_a_run_are_exported_and_counted(run, tmp_path):
    done = run.export(tmp_path / "m.parquet", holdout=0.2)
    assert pl.read_parquet(done.path).height == done.rows == run.members.height
    assert run.counts()["users"][0] == run.members.height


# Lookalikes.


def test_members_of_a_planted_segment_are_found_by_a_few_of_them_and_behave_alike(run):
    for segment in (0, 1):
        inside = run.members.filter(pl.col(SEGMENT) == segment)[USER].to_list()
        found = run.lookalikes(inside[:15])
        assert found.check.holds
        assert found.check.alike > found.check.expected + 0.1
        assert found.check.auc > 0.8
        added = found.table[USER].to_list()
        assert not set(added) & set(inside[:15])
        assert np.mean([a in inside for a in added]) > 0.9


def test_users_drawn_at_random_have_nothing_in_common_and_nobody_is_added(run):
    rng = np.random.default_rng(0)
    for _ in range(3):
        seeds = rng.choice(run.members[USER].to_numpy(), 30, replace=False).tolist()
        found = run.lookalikes(seeds)
        assert not found.check.holds
        assert found.table.height == 0


def test_so_many_as_asked_for_are_added_the_most_similar_first(run):
    table = run.lookalikes(["u1", "u2"], 7).table
    assert table.height == 7
    assert table["similarity"].is_sorted(descending=True)
    assert table["probability"].null_count() == 7  # too short a list to be checked
    assert run.lookalikes(["u1", "u2"], 10_000).table.height == run.members.height - 2


def test_bad_lists_are_refused(run):
    with pytest.raises(UnknownIdError, match="nobody"):
        run.lookalikes(["u1", "nobody"], 3)
    with pytest.raises(NotEnoughDataError, match="1 of the 1 users of the list have a past"):
        run.lookalikes(["u1"], 3)
    with pytest.raises(NotEnoughDataError, match="Say how many to add"):
        run.lookalikes(["u1", "u2"])
    with pytest.raises(ConfigError, match="n = 0"):
        run.lookalikes(["u1", "u2"], 0)
    with pytest.raises(NotEnoughDataError, match="nobody to add"):
        run.lookalikes(run.members[USER].to_list())
