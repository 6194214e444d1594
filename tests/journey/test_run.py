"""The whole journey on a planted world: every verb, for the known, the new and those without a past."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import adjusted_rand_score

from shoal.data.dataset import make
from shoal.data.synthetic import planted_world
from shoal.errors import ConfigError, LeakageError, NotEnoughDataError, StoreError, TableError, UnknownIdError
from shoal.pipeline import fit, load
from shoal.progress import Progress
from shoal.store import artifacts
from shoal.tables import AT, ITEM, RATING, SEGMENT, STRENGTH, USER, WEIGHT

pytestmark = pytest.mark.xdist_group("journey")


@pytest.fixture(scope="module")
def kept(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    run.save(folder)
    return folder


def past_of(run, user):
    return run.data.interactions.filter(pl.col(USER) == user)


def test_planted_segments_are_found_up_to_their_labels(run, world):
    both = run.members.join(world[1].select(pl.col(USER).cast(pl.String), truth=SEGMENT), on=USER)
    assert both.height == world[0].users.height
    assert adjusted_rand_score(both["truth"], both[SEGMENT]) >= 0.9


def test_two_segments_never_share_a_name(run):
    assert run.segments["name"].n_unique() == run.segments.height


def test_no_recommender_offers_a_seen_item(run):
    offered = run.recommend(n=20).select(USER, ITEM)
    seen = run.data.interactions.select(pl.col(USER).cast(pl.String), pl.col(ITEM).cast(pl.String))
    assert offered.join(seen, on=[USER, ITEM]).height == 0


def test_seen_items_are_offered_when_asked_for(run):
    everything = run.recommend(["u1"], n=10_000, seen=True)
    assert everything.height == run.data.items.height
    assert everything["rank"].to_list() == list(range(1, everything.height + 1))
    assert everything["score"].is_sorted(descending=True)


def test_more_than_there_is_gives_all_there_is(run):
    seen = past_of(run, "u1")[ITEM].n_unique()
    assert run.recommend(["u1"], n=10_000).height == run.data.items.height - seen


def test_a_person_of_a_segment_is_offered_its_topic(run, world):
    truth = dict(world[1].select(pl.col(USER).cast(pl.String), SEGMENT).iter_rows())
    data = run.data.interactions.join(world[1].select(pl.col(USER).cast(pl.Categorical), SEGMENT), on=USER)
    favourite = data.group_by(ITEM, SEGMENT).len().sort("len", descending=True).group_by(ITEM).first()
    home = {str(i): s for i, s in favourite.select(ITEM, SEGMENT).iter_rows()}
    offered = run.recommend(n=5)
    hits = [home.get(i) == truth[u] for u, i in offered.select(USER, ITEM).iter_rows()]
    assert np.mean(hits) > 0.8  # 1 in 4 by chance


def test_an_unseen_user_with_the_same_past_gets_the_same(run):
    past = past_of(run, "u7")
    stranger = past.with_columns(pl.lit("stranger").alias(USER))
    known, new = run.recommend(["u7"], n=8), run.recommend(history=stranger, n=8)
    assert known[ITEM].to_list() == new[ITEM].to_list()
    placed = run.assign(stranger)
    at_home = run.members.filter(pl.col(USER) == "u7")
    assert placed[SEGMENT].to_list() == at_home[SEGMENT].to_list()
    assert placed[STRENGTH][0] == pytest.approx(at_home[STRENGTH][0], abs=1e-5)


def test_assign_places_the_members_where_they_are(run):
    assert_frame_equal(run.assign(run.data.interactions), run.members, abs_tol=1e-5)


def test_a_user_without_a_past_is_served_and_stays_unassigned(run):
    nothing = run.data.interactions.head(0)
    offered = run.recommend(["newcomer"], history=nothing, n=5)
    assert offered.height == 5
    assert offered["score"].is_finite().all()
    few = past_of(run, "u3").head(2).with_columns(pl.lit("newcomer").alias(USER))
    assert run.assign(few).row(0) == ("newcomer", -1, 0.0, -1)


def test_events_of_items_that_nobody_knows_are_left_out(run):
    strange = pl.DataFrame({USER: ["x"] * 6, ITEM: [f"unheard of {i}" for i in range(6)], RATING: [5.0] * 6})
    assert run.assign(strange).row(0) == ("x", -1, 0.0, -1)
    assert run.recommend(history=strange, n=3).height == 3


def test_ratings_stay_on_the_scale_and_follow_the_planted_taste(run, world):
    data = world[0]
    pairs = data.interactions.select(USER, ITEM)
    rated = run.rate(pairs)
    assert rated.height == pairs.height
    assert rated[RATING].is_between(data.scale.low, data.scale.high).all()
    assert (rated["spread"] > 0).all()
    truth = data.interactions[RATING].to_numpy()
    assert np.corrcoef(truth, rated[RATING].to_numpy())[0, 1] > 0.6


def test_unknown_users_and_items_are_rated_by_the_prior_with_a_wider_spread(run):
    pairs = pl.DataFrame({USER: ["u1", "nobody", "nobody"], ITEM: ["i1", "i1", "no such item"]})
    rated = run.rate(pairs)
    assert rated[USER].to_list() == ["u1", "nobody", "nobody"]
    assert rated[RATING].is_finite().all()
    assert rated["spread"][2] >= rated["spread"][0]


def test_reasons_are_events_of_the_user_and_their_effect_is_what_deletion_changes(run):
    item = run.recommend(["u5"], n=1)[ITEM][0]
    why = run.explain("u5", item)
    past = past_of(run, "u5")
    assert set(why[ITEM]) <= set(past[ITEM].cast(pl.String))
    assert why["effect"].is_sorted(descending=True)
    first = why.row(0, named=True)
    whole = run.recommend(history=past, n=500, seen=True)
    left = run.recommend(history=past.filter(pl.col(ITEM) != first[ITEM]), n=500, seen=True)
    score = [t.filter(pl.col(ITEM) == item)["score"][0] for t in (whole, left)]
    assert first["effect"] == pytest.approx(score[0] - score[1], abs=1e-4)


def test_the_place_in_a_segment_is_explained_by_deletion(run):
    why = run.explain("u5")
    assert why.height == min(60, past_of(run, "u5").height)
    assert why["effect"].abs().max() <= 1


def test_a_past_is_written_with_dates_and_ratings_and_refuses_the_future(run):
    told = run.sequences(["u5"])
    newest = past_of(run, "u5").sort(AT).tail(1)
    assert str(newest[AT][0].date()) in told.texts[0]
    assert f"rated {newest[RATING][0]:g} of 5" in told.texts[0]
    assert told.cutoff > run.data.interactions[AT].max()
    with pytest.raises(LeakageError, match="u5"):
        run.sequences(["u5"], cutoff=newest[AT][0])


def test_unknown_ids_and_empty_lists_are_refused_with_a_way_out(run):
    with pytest.raises(UnknownIdError, match=r"does not know user nobody.*history="):
        run.recommend(["nobody"])
    with pytest.raises(UnknownIdError, match="no item nothing"):
        run.explain("u1", "nothing")
    with pytest.raises(ConfigError, match="n = 0"):
        run.recommend(["u1"], n=0)
    with pytest.raises(TableError, match="no column item_id"):
        run.rate(pl.DataFrame({USER: ["u1"]}))


def test_a_run_that_was_kept_says_the_same(run, kept):
    again = load(kept)
    blends = run.learnt.blend, again.learnt.blend
    assert not (blends[0].slopes_ == 1).all()  # else losing them would not be seen
    assert np.array_equal(blends[0].slopes_, blends[1].slopes_)
    assert np.array_equal(blends[0].weights_, blends[1].weights_)
    assert_frame_equal(again.segments, run.segments)
    assert_frame_equal(again.members, run.members)
    assert_frame_equal(again.recommend(n=5), run.recommend(n=5), abs_tol=1e-4)
    pairs = run.data.interactions.select(USER, ITEM).head(200)
    assert_frame_equal(again.rate(pairs), run.rate(pairs), abs_tol=1e-4)
    assert_frame_equal(again.assign(run.data.interactions), run.members, abs_tol=1e-5)
    assert again.judgement.lines() == run.judgement.lines()
    assert again.manifest["data"] == run.manifest["data"]


def test_terms_of_items_and_how_much_they_are_trusted_are_kept_where_they_are(run, tmp_path):
    own = run.learnt.models["text"].map
    before = (own.trust, own.l2)
    assert own.words.nnz > 0
    try:
        own.trusting(0.25, 0.3)
        other = load(run.save(tmp_path / "trusted")).learnt.models["text"].map
        assert (other.trust, other.l2, other.max_items) == (0.25, 0.3, own.max_items)
        assert (own.words != other.words).nnz == 0
        own.trusting(0.0, 1.0)
        assert load(run.save(tmp_path / "not trusted")).learnt.models["text"].map.words is None
    finally:
        own.trusting(*before)


def test_a_run_of_before_tells_cold_items_as_it_did(run, kept, tmp_path):
    found = artifacts.load(kept)
    documents = found.documents | {"learnt": {k: v for k, v in found.documents["learnt"].items() if k != "text"}}
    tensors = {name: group for name, group in found.tensors.items() if name != "words"}
    folder = tmp_path / "before"
    artifacts.save(folder, tables=found.tables, tensors=tensors, documents=documents, manifest=found.manifest)
    old = load(folder).learnt.models["text"].map
    assert (old.words, old.trust, old.l2, old.max_items) == (None, 0.0, 1.0, 4_000)


def test_a_run_of_before_which_has_no_walks_is_kept_again(kept, tmp_path):
    old = load(kept)
    heard = [place for place, model in enumerate(old.learnt.blend.models) if model.name != "walks"]
    del old.learnt.models["walks"]
    old.learnt.blend.models = [old.learnt.blend.models[place] for place in heard]
    old.learnt.blend.weights_ = old.learnt.blend.weights_[:, heard]
    old.learnt.blend.boosted_ = None
    again = load(old.save(tmp_path / "again"))
    assert "walks" not in again.learnt.models
    assert_frame_equal(again.recommend(n=3), old.recommend(n=3), abs_tol=1e-5)


def test_a_run_cut_short_is_refused(kept, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(kept, copy)
    largest = max(copy.iterdir(), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-100])
    with pytest.raises(StoreError, match=largest.name):
        load(copy)


def test_the_account_of_rows_is_kept_in_the_manifest(run):
    read = run.manifest["data"]["read"]
    assert read["rows_in"] == read["rows_kept"] + sum(read["dropped"].values())


def test_the_judgement_names_the_blend_its_parts_and_the_baselines(run):
    models = set(run.judgement.table["model"])
    assert {"blend", "popularity", "item_item", "factors", "sequence", "text", "by_segment", "bias"} <= models
    table = run.judgement.table.filter(pl.col("low").is_not_null())
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_the_blend_beats_popularity_where_segments_are_planted(run):
    lead = run.judgement.differences.filter((pl.col("model") == "popularity") & (pl.col("metric") == "ndcg@10"))
    assert lead["low"][0] > 0


@pytest.mark.slow
def test_same_seed_same_run(world, config, run):
    again = fit(
        world[0].with_interactions(world[0].interactions.sample(fraction=1.0, shuffle=True, seed=3)), config=config
    )
    assert_frame_equal(again.segments, run.segments)
    assert_frame_equal(again.members, run.members)
    assert_frame_equal(again.recommend(n=5), run.recommend(n=5))


class Killed(Progress):
    """Interrupts the fit after some epochs, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def log(self, line: str) -> None:
        if line.startswith("fit  epoch"):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.slow
def test_a_fit_that_was_killed_goes_on_and_ends_at_the_same_numbers(world, config, run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(world[0], config=config, work=tmp_path / "work", progress=Killed(3))
    again = fit(world[0], config=config, work=tmp_path / "work")
    assert_frame_equal(again.members, run.members)
    assert_frame_equal(again.recommend(n=5), run.recommend(n=5))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["counts", "events", "no times", "no texts"])
def test_other_kinds_of_data_are_fitted_too(kind, config):
    data, _ = planted_world(users=120, items=80, segments=2, events_per_user=20, seed=2)
    events, items = data.interactions, data.items
    if kind == "counts":
        events = events.rename({RATING: WEIGHT})
    if kind == "events":
        events = events.drop(RATING)
    if kind == "no times":
        events = events.drop(AT)
    if kind == "no texts":
        items = items.select(ITEM)
    run = fit(make(events, items), config=config)
    assert run.recommend(["u1"], n=5).height == 5
    if kind in ("counts", "events"):
        with pytest.raises(ConfigError, match="no ratings to predict"):
            run.rate(events.select(USER, ITEM).head(1))


@pytest.mark.slow
def test_items_without_events_are_recommended_from_their_text(config):
    data, _ = planted_world(users=120, items=80, segments=2, events_per_user=20, seed=2)
    cold = data.items[ITEM].cast(pl.String).to_list()[:8]
    data = data.with_interactions(data.interactions.filter(~pl.col(ITEM).cast(pl.String).is_in(cold)))
    run = fit(data, config=config)
    everything = run.recommend(["u1"], n=1000, seen=True)
    offered = everything.filter(pl.col(ITEM).is_in(cold))
    assert offered.height == len(cold)
    assert set(offered["source"]) == {"text"}


@pytest.mark.parametrize("rows", [1, 3])
def test_too_little_data_is_refused_in_words(rows, config):
    table = pl.DataFrame({USER: ["a", "b", "a"], ITEM: ["x", "y", "z"], RATING: [1.0, 2.0, 3.0]}).head(rows)
    with pytest.raises(NotEnoughDataError):
        fit(make(table), config=config)
