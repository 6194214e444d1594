"""Reviews whose rating a planted word tells are learnt by every strategy; noise gives no more than the majority."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from shoal.adapt.finetune import finetune
from shoal.adapt.review import baseline, figures
from shoal.data.dataset import Dataset
from shoal.data.labelled import as_labelled
from shoal.encode.strategy import STRATEGIES
from shoal.errors import MismatchError, NotEnoughDataError


def told_right(rater, table):
    rating = rater.predict(table["text"].to_list())["rating"].to_numpy()
    return float(((rating > 3) == (table["rating"].to_numpy() > 3)).mean())


ADALORA = {"name": "adalora", "rank": 3, "start_rank": 5}
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("base", "strategy", "lr"),
    [
        ("bert", "full", 0.01),
        ("gpt2", "last-n", 0.01),
        ("bert", "lora", 0.01),
        ("gpt2", "lora", 0.01),
        ("gpt2", "adapter", 0.02),
        pytest.param("gpt2", "full", 0.01, marks=SLOW),
        pytest.param("bert", "last-n", 0.01, marks=SLOW),
        pytest.param("bert", "adapter", 0.02, marks=SLOW),
        pytest.param("bert", ADALORA, 0.05, marks=SLOW),
        pytest.param("gpt2", ADALORA, 0.05, marks=SLOW),
    ],
)
def test_a_planted_word_is_learnt(settings, reviews, base, strategy, lr):
    epochs = 24 if (base, strategy) == ("bert", "adapter") else 8  # its bottlenecks start from nothing
    how = {"epochs": epochs, "batch_size": 8, "dropout": 0.0, "patience": epochs, "head_lr": 0.01}
    rater = finetune(reviews(160), config=settings(base, strategy, optimizer={"name": "adamw", "lr": lr}, **how))
    assert told_right(rater, reviews(100, seed=1)) > 0.9
    story = rater.about["story"]
    whole = story[6:] if strategy == ADALORA else story  # before, its ranks have not come down
    assert story[rater.about["best_epoch"]]["valid"] == min(row["valid"] for row in whole) < 0.9 * story[0]["valid"]


MOODS = {
    1.0: ["I hated this film", "What a waste of time", "Terrible acting and a dull plot", "The worst movie in years"],
    5.0: [
        "I loved this film",
        "A wonderful evening",
        "Brilliant acting and a gripping plot",
        "The best movie in years",
    ],
}
ENDS = ["", ", really.", " if you ask me.", " from start to end.", ", my friends agree."]


@pytest.mark.parametrize("strategy", ["frozen", "head"])
def test_moods_are_learnt_from_minilm_s_vectors(settings, strategy):
    rows = [(a + b, rating) for rating, firsts in MOODS.items() for a, b in itertools.product(firsts, ENDS)]
    table = pl.DataFrame(rows, schema=["text", "rating"], orient="row")
    rater = finetune(table, config=settings("minilm", strategy, epochs=25))
    assert rater.about["parameters"]["moved"] < 0.01 * rater.about["parameters"]["all"]
    fresh = [("I really hated it, so dull", 1.0), ("Such a terrible waste", 1.0), ("The worst acting ever", 1.0)]
    fresh += [("I really loved it, so gripping", 5.0), ("Such a wonderful film", 5.0), ("The best acting ever", 5.0)]
    assert told_right(rater, pl.DataFrame(fresh, schema=["text", "rating"], orient="row")) > 0.9


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_noise_gives_no_more_than_the_majority(settings, reviews, strategy):
    rng = np.random.default_rng(0)
    noise = reviews(200).with_columns(rating=pl.Series(rng.permutation([5.0] * 140 + [1.0] * 60)))
    rater = finetune(noise, config=settings("bert", strategy, epochs=3, batch_size=16, whole={"test_share": 0.3}))
    test = rater.about["test"]
    assert test["baseline"]["accuracy"] == pytest.approx(0.7)
    assert test["accuracy"]["value"] <= 0.75
    assert test["log_loss"] < 0.9
    assert test["calibration_error"] < 0.2


@pytest.mark.parametrize(("base", "strategy", "head"), [
    (base, strategy, head)
    for (base, strategy), head in zip(
        itertools.product(["bert", "gpt2", "llama"], STRATEGIES),
        itertools.cycle(["ordinal", "regression", "classification", "auto"]),
    )
])  # fmt: skip
def test_every_strategy_on_every_kind_of_model_tells_ratings(settings, reviews, tmp_path, base, strategy, head):
    from shoal.adapt.keep import load_rater

    rater = finetune(reviews(), config=settings(base, strategy, head=head))
    assert rater.head.kind == ("ordinal" if head == "auto" else head)
    texts = ["good w1", "awful w2 w3", "w4"]
    told = rater.predict(texts)
    assert told["1"].to_numpy() + told["5"].to_numpy() == pytest.approx(np.ones(3), abs=1e-5)
    kept = load_rater(rater.save(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(kept.predict(texts)["rating"], told["rating"], atol=1e-4)


def test_labels_are_told_by_name(settings, reviews):
    table = reviews(40).with_columns(label=pl.when(pl.col("rating") > 3).then(pl.lit("up")).otherwise(pl.lit("down")))
    rater = finetune(table.drop("rating"), config=settings("bert", "full", epochs=2), label="label")
    assert (rater.names, rater.ordered, rater.head.kind) == (("down", "up"), False, "classification")
    assert rater.predict(["good"]).columns == ["row", "label", "down", "up"]


def test_a_dataset_gives_its_texts_with_ratings(settings, log: Dataset):
    rater = finetune(log, config=settings("bert", "frozen", epochs=1))
    assert sum(rater.about["examples"].values()) == log.interactions.height
    with pytest.raises(MismatchError, match="holds no texts with ratings"):
        finetune(log.with_interactions(log.interactions.drop("text")), config=settings())


def test_held_out_examples_are_counted_and_never_learnt_from(settings, reviews):
    made = settings("bert", "frozen", whole={"test_share": 0.25})
    about = finetune(reviews(80), config=made).about
    assert about["examples"] == {"train": 48, "validation": 12, "test": 20}
    assert {"accuracy", "macro_f1", "log_loss", "calibration_error", "rmse", "mae", "baseline"} == set(about["test"])


def test_long_texts_are_cut_and_counted_and_no_error(settings, reviews):
    long = reviews(20).with_columns(pl.col("text") + pl.Series([" w1" * 60 if i < 3 else "" for i in range(20)]))
    assert finetune(long, config=settings("bert", "frozen")).about["truncated"] == 3


def test_too_few_examples_are_refused(settings):
    table = pl.DataFrame({"text": ["good", "bad"], "rating": [5.0, 1.0]})
    with pytest.raises(NotEnoughDataError, match=r"2 examples are too few to hold some out.*validation_share"):
        finetune(table, config=settings())


def test_figures_are_those_of_the_metrics_with_an_interval_around_each():
    chances = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]])
    found = figures(
        chances, np.array([1.8, 3.8, 2.6, 4.6]), np.array([0, 1, 1, 1]), np.array([1.0, 5, 5, 5]), ordered=True
    )
    assert found["accuracy"]["value"] == 0.75
    assert found["rmse"]["value"] == pytest.approx(np.sqrt((0.8**2 + 1.2**2 + 2.4**2 + 0.4**2) / 4))
    for one in ("accuracy", "macro_f1", "rmse", "mae"):
        assert found[one]["low"] <= found[one]["value"] <= found[one]["high"]
    assert "rmse" not in figures(chances, np.zeros(4), np.array([0, 1, 1, 1]), np.zeros(4), ordered=False)


def test_knowing_nothing_is_the_commonest_class_and_the_mean_of_training():
    data = as_labelled("t", ["x"] * 6, pl.Series([1.0, 1.0, 1.0, 5.0, 1.0, 5.0]))
    found = baseline(data, np.arange(4), np.array([4, 5]))
    assert found == {"accuracy": 0.5, "rmse": pytest.approx(np.sqrt((1**2 + 3**2) / 2))}
