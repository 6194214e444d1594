"""The bench: what contestants are shown holds nothing of the test, and the judge rewards what is right."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from compare import contestants
from page import cold_users, together
from peers import ours
from peers.arena import OURS, Arena, judge
from peers.cold import RANKERS as COLD
from peers.factors import bm25
from peers.simple import RP3Beta
from peers.task import Task
from peers.worker import answer, compete, contestant, draws

from shoal.config import Config
from shoal.data.dataset import Dataset, make
from shoal.data.leakage import Split
from shoal.data.synthetic import planted_world
from shoal.tables import ITEM, RATING, USER

DATA, _ = planted_world(users=120, items=60, segments=3, events_per_user=16, seed=0)
PROTOCOLS = ("random", "temporal", "last-out", "strong", "cold-item", "cold-user")


def arena(protocol, kind="ranking", data=DATA, **more):
    given = {"share": None, "shown": None, "order": None, "n": 10, "seed": 0} | more
    return Arena.of(data, argparse.Namespace(kind=kind, protocol=protocol, **given))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def shuffled(made: Arena) -> Arena:
    """The same with other answers: test items and ratings change hands, users keep as many."""
    rng = np.random.default_rng(1)
    test = made.split.test
    order = rng.permutation(test.height)
    other = test.with_columns(test[c][order].alias(c) for c in (ITEM, RATING))
    return Arena(**{**made.__dict__, "split": argparse.Namespace(**{**made.split.__dict__, "test": other})})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_contestants_are_shown_does_not_change_with_what_is_to_be_predicted(protocol, tmp_path):
    made = arena(protocol)
    # every rating counts as a hit, so that who is asked about stays the same when answers change hands
    made = Arena(**{**made.__dict__, "relevant_from": None})
    made.write(tmp_path / "one")
    shuffled(made).write(tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_answer_stands_in_the_folder(protocol, tmp_path):
    made = arena(protocol)
    made.write(tmp_path / "task")
    keys = [USER, ITEM]
    answers = made.split.test.select(pl.col(c).cast(pl.String) for c in keys)
    for table in tmp_path.rglob("*.parquet"):
        shown = pl.read_parquet(table)
        if set(keys) <= set(shown.columns):
            assert shown.select(pl.col(c).cast(pl.String) for c in keys).join(answers, on=keys).height == 0, table


def test_the_pairs_to_be_rated_are_shown_without_their_ratings(tmp_path):
    made = arena("random", kind="rating")
    made.write(tmp_path / "task")
    asked = pl.read_parquet(tmp_path / "task" / "asked.parquet")
    assert asked.columns == [USER, ITEM]
    assert asked.height == made.split.test.height


@pytest.mark.parametrize("name", ["popularity", "RP3beta"])
def test_a_planted_answer_is_not_found_by_who_sees_the_folder_alone(name, tmp_path):
    """Each test user is asked for an item that nobody trained on: only who peeks can name it."""
    made = arena("random")
    planted = DATA.items[ITEM].cast(pl.String).sort()[:5].to_list()
    secret = pl.col(ITEM).cast(pl.String).is_in(planted)
    train = made.split.train.with_interactions(made.split.train.interactions.filter(~secret))
    test = made.split.test.unique(USER, maintain_order=True).with_columns(pl.lit(planted[0]).alias(ITEM))
    given = made.split.given.filter(~secret)
    changed = argparse.Namespace(**{**made.split.__dict__, "train": train, "given": given, "test": test})
    made = Arena(**{**made.__dict__, "split": changed, "relevant_from": None})
    made.write(tmp_path / "task")
    table, _ = compete(contestant(name), Task(tmp_path / "task"), trials=2, seed=0)
    peeking = test.select(USER, ITEM, pl.lit(1, pl.Int32).alias("rank"), pl.lit(1.0, pl.Float32).alias("score"))
    rows = {row["model"]: row["value"] for row in judge(made, {name: table, "who peeks": peeking})}
    assert rows["who peeks"] == 1
    assert rows[name] < 0.1


@pytest.mark.parametrize("name", COLD)
def test_a_planted_answer_among_cold_items_is_not_found_by_who_sees_the_folder_alone(name, tmp_path):
    """Each test user is asked for a cold item drawn by lot, in a list of one."""
    made = arena("cold-item", n=1, share=0.3)
    users = made.split.test.unique(USER, maintain_order=True)
    drawn = np.random.default_rng(7).choice(made.split.candidates, users.height)
    test = users.with_columns(pl.Series(ITEM, drawn, users.schema[ITEM]))
    changed = argparse.Namespace(**{**made.split.__dict__, "test": test})
    made = Arena(**{**made.__dict__, "split": changed, "relevant_from": None})
    made.write(tmp_path / "task")
    table, _ = compete(contestant(name), Task(tmp_path / "task"), trials=2, seed=0)
    peeking = test.select(USER, ITEM, pl.lit(1, pl.Int32).alias("rank"), pl.lit(1.0, pl.Float32).alias("score"))
    rows = {row["model"]: row["value"] for row in judge(made, {name: table, "who peeks": peeking})}
    assert rows["who peeks"] == 1
    assert rows[name] < 2.5 / len(made.split.candidates)


def two_tastes() -> Dataset:
    """Twelve users like rockets, twelve like weddings; one item of each kind has been used by nobody else."""
    words = {"r": "rocket planet galaxy", "w": "wedding bride kiss"}
    items = [f"{kind}{n}" for kind in words for n in range(6)]
    events = [
        (f"{kind}-user{u:02}", f"{kind}{n}", 5.0)
        for kind in words
        for u in range(12)
        for n in range(6)
        if n == 5 or (u + n) % 4
    ]
    table = pl.DataFrame(events, schema=[USER, ITEM, RATING], orient="row")
    catalogue = pl.DataFrame({ITEM: items, "title": [f"{words[i[0]]} {i[1]}" for i in items]})
    return make(table, catalogue, table.select(USER).unique(), scale=(1, 5), name="two tastes")


def cold_task(folder: Path) -> Task:
    """Hold out r5 and w5, which every user of their kind has; a stranger is asked about too."""
    data = two_tastes()
    cold = pl.col(ITEM).cast(pl.String).str.ends_with("5")
    train, test = data.interactions.filter(~cold), data.interactions.filter(cold)
    made = Split(data.with_interactions(train), train, test, "cold-item", None, ("r5", "w5"), (), 0)
    Arena("two", "ranking", made, made, 2, 3.8, 0, {}).write(folder)
    return Task(folder)


@pytest.mark.parametrize("name", COLD)
def test_a_cold_item_goes_to_those_whose_past_its_text_is_like(name, tmp_path):
    task = cold_task(tmp_path / "task")
    kind = contestant(name)
    model = kind(**{setting: values[0] for setting, values in kind.space.items()})
    model.fit(task)
    best = answer(model, task).filter(pl.col("rank") == 1)
    assert best.height == 24
    assert (best[USER].str.head(1) == best[ITEM].str.head(1)).all()


@pytest.mark.parametrize("name", ["TF-IDF to ALS", "vectors to ALS"])
def test_items_with_events_keep_their_factors_and_a_text_seen_before_gets_those_it_had(name, tmp_path):
    task = cold_task(tmp_path / "task")
    kind = contestant(name)
    model = kind(**{setting: values[0] for setting, values in kind.space.items()} | {"ridge": 1e-6})
    like = np.array([0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 10, 6])  # r5 reads as r0 does, w5 as w0
    model.texts = lambda task: np.eye(12)[like]
    model.fit(task)
    np.testing.assert_allclose(model.items, model.model.item_factors[like], atol=1e-4)


def test_the_text_of_an_item_is_all_its_text_columns_in_order(tmp_path):
    task = cold_task(tmp_path / "task")
    table = pl.DataFrame({"item_id": ["a", "b"], "t": ["one", None], "n": [1, 2], "g": [["x", "y"], ["z"]]})
    table.write_parquet(task.folder / "items.parquet")
    assert task.texts() == ["one. x, y", "z"]
    table.select("item_id", "n").write_parquet(task.folder / "items.parquet")
    with pytest.raises(LookupError, match="no texts"):
        task.texts()


def test_the_protocol_decides_who_is_asked():
    assert set(COLD) < set(contestants("ranking", "cold-item"))
    assert "EASE" in contestants("ranking", "cold-user")
    assert "myFM" in contestants("rating", "cold-user")
    for protocol in PROTOCOLS:
        for name in contestants("ranking", protocol):
            assert name in OURS or contestant(name)


@pytest.mark.parametrize("name", ["RP3beta", "ALS", "BPR"])
def test_who_was_shown_nothing_gets_what_is_popular(name, tmp_path):
    made = arena("cold-user", shown=0)
    made.write(tmp_path / "task")
    task = Task(tmp_path / "task")
    kind = contestant(name)
    lists = []
    for each in (kind, contestant("popularity")):
        model = each(**{setting: values[0] for setting, values in each.space.items()})
        model.fit(task)
        lists.append(answer(model, task).select(USER, ITEM, "rank"))
    assert lists[0].equals(lists[1])


def test_what_is_learnt_from_does_not_depend_on_what_is_shown_of_cold_users(tmp_path):
    """So that one fit serves all of them."""
    marks = set()
    for shown, order in ((0, "random"), (1, "time"), (5, "random")):
        arena("cold-user", shown=shown, order=order).write(tmp_path / f"{shown}")
        about = json.loads((tmp_path / f"{shown}" / "task.json").read_text(encoding="utf-8"))
        marks.add(ours.fingerprint(tmp_path / f"{shown}", about, Config()))
    assert len(marks) == 1


def test_a_fit_is_another_where_anything_that_it_is_made_from_differs(tmp_path):
    folder = tmp_path / "task"
    arena("cold-user").write(folder)
    about = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    marks = [ours.fingerprint(folder, about, Config())]
    marks += [ours.fingerprint(folder, about | {key: "other"}, Config()) for key in ("data", "scale", "n", "cutoff")]
    marks += [ours.fingerprint(folder, about, Config(seed=1))]
    for name in ours.LEARNT_FROM:
        table = pl.read_parquet(folder / f"{name}.parquet")
        table.head(-1).write_parquet(folder / f"{name}.parquet")
        marks.append(ours.fingerprint(folder, about, Config()))
    assert len(set(marks)) == 9


@pytest.mark.slow
def test_a_fit_that_was_kept_gives_the_answer_of_the_one_that_was_not(tmp_path):
    arena("cold-user", shown=3).write(tmp_path / "task")
    fresh, told = ours.compete(tmp_path / "task", effort="quick")
    first, made = ours.compete(tmp_path / "task", tmp_path / "fits", "quick")
    second, again = ours.compete(tmp_path / "task", tmp_path / "fits", "quick")
    assert (told["reused"], made["reused"], again["reused"]) == (False, False, True)
    assert again["seconds"]["fit"] == made["seconds"]["fit"] > 0
    assert fresh.equals(first)
    assert first.equals(second)


def test_runs_that_differ_in_what_is_shown_of_cold_users_are_one_table():
    def report(shown, order, seed=0):
        rows = [
            {"model": "Shoal", "value": 0.3, "low": 0.2, "high": 0.4, "lead": 0.05, "lead low": 0.01, "lead high": 0.1},
            {"model": "EASE", "value": 0.25, "low": 0.2, "high": 0.3},
            {"model": "ALS", "value": 0.25, "low": 0.2, "high": 0.3, "lead": 0.0, "lead low": 0.0, "lead high": 0.0},
            {"model": "popularity", "value": 0.2, "low": 0.1, "high": 0.3},
        ]
        task = {"data": "demo", "kind": "ranking", "protocol": "cold-user", "n": 10, "seed": seed}
        told = {"Shoal": {"seconds": {"fit": 12.3}, "reused": shown != 0}}
        asked = {"seed": seed, "shown": shown, "order": order}
        return {"command": f"shown {shown}", "task": task, "asked": asked, "told": told, "table": rows}

    reports = [report(5, "time"), report(0, "random"), report(1, "random"), report(1, "random", seed=1)]
    groups = together(reports)
    assert [len(group) for group in groups] == [3, 1]
    lines = cold_users(groups[0])
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert rows == ["| events shown", "| none", "| random 1", "| oldest 5"]
    assert "| EASE, ALS | 0.2500 | +0.0500 (+0.0100 to +0.1000) |" in lines[4]
    assert lines[-2:] == ["- `shown 0`: Shoal's fit took 12 s", "- `shown 1`: Shoal's fit took 12 s, reused"]


def test_the_judge_compares_with_the_best_peer_and_ratings_the_other_way_round(tmp_path):
    made = arena("random", kind="rating")
    truth = made.truth(made.split).select(USER, ITEM, RATING)
    off = {"near": 0.1, "far": 0.5, "Shoal": 0.05, "Shoal quick": 0.06}
    rows = judge(made, {n: truth.with_columns(pl.col(RATING) + by) for n, by in off.items()})
    assert [row["model"] for row in rows] == ["Shoal", "Shoal quick", "near", "far"]
    assert rows[0]["lead"] == pytest.approx(-0.05, abs=1e-6)
    assert rows[1]["lead"] == pytest.approx(-0.04, abs=1e-6)
    assert "lead" not in rows[2]
    assert rows[3]["verdict"] == "worse"


def test_settings_are_drawn_without_repetition_and_begin_with_the_defaults():
    found = draws({"a": (1, 2, 3), "b": ("x", "y")}, 6, 0)
    assert found[0] == {"a": 1, "b": "x"}
    assert len({tuple(one.items()) for one in found}) == 6
    assert len(draws({"a": (1, 2, 3), "b": ("x", "y")}, 99, 0)) == 6
    assert draws({}, 5, 0) == [{}]


def test_what_a_user_was_shown_is_not_offered_and_only_candidates_are(tmp_path):
    made = arena("cold-item")
    made.write(tmp_path / "task")
    task = Task(tmp_path / "task")
    model = contestant("popularity")()
    model.fit(task)
    lists = answer(model, task)
    assert set(lists[ITEM]) <= set(made.split.candidates)
    keys = [pl.col(USER).cast(pl.String), pl.col(ITEM).cast(pl.String)]
    assert lists.select(keys).join(made.split.given.select(keys), on=[USER, ITEM]).height == 0


def test_three_steps_of_a_walk_are_what_the_paper_says():
    uses = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]], float)

    class Small:
        def matrix(self, *, liked):
            from scipy import sparse

            return sparse.csr_matrix(uses)

    found = RP3Beta(alpha=1.0, beta=0.5, neighbours=9).weights(Small()).toarray()
    step = uses / uses.sum(1, keepdims=True)
    back = uses.T / uses.T.sum(1, keepdims=True)
    expected = back @ step / uses.sum(0) ** 0.5
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_weights_by_bm25_are_those_of_implicit_but_for_their_scale():
    from implicit.nearest_neighbours import bm25_weight

    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.integers(1, 500, (30, 12)) * (rng.random((30, 12)) < 0.4), dtype=np.float32)
    counts = counts[counts.getnnz(1) > 0]
    ours, theirs = bm25(counts, counts), bm25_weight(counts).tocsr()
    np.testing.assert_allclose(ours.data, theirs.data / theirs.data.mean(), rtol=1e-5)
    np.testing.assert_allclose(bm25(counts[:5], counts).toarray(), ours[:5].toarray(), rtol=1e-5)
