"""The pages of a fine-tuning and of a search show what manifest, curves and study hold, and nothing in them runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapt.curves import Curves
from shoal.adapt.settings import Finetune
from shoal.adapt.space import Space, toml
from shoal.adapt.study import FIXED, Study
from shoal.errors import StoreError
from shoal.report.charts import MOST_POINTS, Dot, Line, dots, lines, smoothed
from shoal.report.study import render_study, write_study
from shoal.report.training import render_training, write_training
from shoal.store import artifacts

EVIL = "<script>alert('x')</script> & \"reviews\".csv"


def interval(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def about(**more):
    figures = {"accuracy": interval(0.55), "log_loss": 1.09, "rmse": interval(1.05)}
    rows = [{"epoch": e, "loss": 1.0 - e / 10, "valid": 1.1 - e / 20, "accuracy": 0.5, "rmse": 1.1} for e in range(3)]
    return {
        "task": "review",
        "data": EVIL,
        "settings": Finetune().model_dump(mode="json"),
        "parameters": {"moved": 332_165, "all": 23_045_381},
        "story": rows,
        "best_epoch": 2,
        "examples": {"train": 566, "validation": 63, "test": 70},
        "validation": figures,
        "test": figures | {"baseline": {"accuracy": 0.4, "rmse": 1.5}},
        **more,
    }


def curves(steps=30):
    told = [{"step": s, "loss": 1 / (s + 1), "lr": 1e-4, "per_second": 9.0, "time": 0.0} for s in range(steps)]
    return Curves({}, told, [row | {"step": 10 * (row["epoch"] + 1) - 1} for row in about()["story"]])


class Page(HTMLParser):
    """Collects what a page is made of, and sees that every element is closed."""

    VOID = ("meta", "link", "br", "input", "hr", "img")

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open, self.ids, self.links = [], [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def test_the_page_of_a_model_says_its_figures_beside_the_baseline_and_what_moved():
    page = Page(render_training(about(), curves()))
    assert "RMSE on 70 held-out examples: 1.050 (0.950 to 1.150); 1.500 for knowing nothing of the text." in page.words
    assert "332,165 of 23,045,381 parameters moved." in page.words
    assert "1.4 %" in page.words
    assert page.tags.count("svg") == 1 + 4  # the mark; loss, accuracy, rmse, learning rate


@pytest.mark.parametrize("made", [lambda: render_training(about(), curves()), lambda: render_study(study())])
def test_nothing_in_a_page_runs_or_is_fetched_and_names_are_escaped(made):
    html = made()
    page = Page(html)
    assert "script" not in page.tags
    assert "default-src 'none'" in html
    assert not re.findall(r"(?:src|href)=\"(?!#|data:,)", html)
    assert EVIL in page.words


@pytest.mark.parametrize("made", [lambda: render_training(about(), curves()), lambda: render_study(study())])
def test_links_in_a_page_lead_to_parts_that_are_there_once(made):
    page = Page(made())
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_without_curves_the_page_shows_the_epochs_of_the_manifest():
    page = Page(render_training(about(), Curves()))
    assert page.tags.count("svg") == 1 + 3
    assert "epoch" in page.words


def test_a_model_that_was_not_trained_or_not_tested_says_so():
    page = Page(render_training(about(story=[], best_epoch=-1), Curves()))
    assert "Nothing was trained" in page.words
    told = about()
    del told["test"]
    assert "held-out" not in Page(render_training(told, curves())).words


def test_an_encoder_shows_its_figures_before_and_after():
    told = {k: v for k, v in about().items() if k not in ("test", "validation")}
    told |= {"task": "couse", "before": {"valid": 2.0, "mean_rank": 40.0}, "after": {"valid": 1.0, "mean_rank": 9.0}}
    assert "Mean rank: 40.0 before, 9.000 after." in Page(render_training(told, Curves())).words


def test_a_manifest_without_a_story_is_refused():
    with pytest.raises(StoreError, match="no story of its training"):
        render_training({"task": "review"}, Curves())


def test_a_page_is_written_into_the_models_folder(tmp_path):
    artifacts.save(tmp_path / "model", documents={"model": {}}, manifest=about(), kind=artifacts.MODEL)
    assert write_training(tmp_path / "model") == tmp_path / "model" / "report.html"
    assert artifacts.load(tmp_path / "model", artifacts.MODEL).manifest["task"] == "review"
    with pytest.raises(StoreError, match="no model folder"):
        write_training(tmp_path / "nothing")


# A study, made by hand.


def study(trials=10, folder=Path("studies/first"), **importance):
    rows = [
        {
            "trial": i, "state": "pruned" if i == 3 else "complete", "value": 1 + ((i - 6) / 5) ** 2, "low": None,
            "high": None, "seconds": 60.0, "epochs": 3, "moved": 10, "note": None,
            "strategy": "lora" if i % 2 else "head", "learning.lr": 1e-4 * (i + 1) if i % 2 else None,
        }
        for i in range(trials)
    ]  # fmt: skip
    told = {
        "task": "review", "data": "abc", "data_name": EVIL, "objective": "rmse", "figure": "rmse",
        "space": Space().model_dump(mode="json"), "settings": Finetune().model_dump(mode="json"), "curves": {},
    }  # fmt: skip
    schema = FIXED | {"strategy": pl.String, "learning.lr": pl.Float64}
    return Study(folder, told, pl.DataFrame(rows, schema=schema), importance, min(6, trials - 2) if trials else None)


def test_the_page_of_a_study_names_the_best_trial_its_settings_and_what_mattered():
    page = Page(render_study(study(**{"strategy": 0.8, "learning.lr": 0.2})))
    assert "RMSE 1.000 on the validation examples, with trial 6." in page.words
    assert "The settings that the search began from have 2.440." in page.words
    assert "strategy (80 %) and learning rate (20 %)" in page.words
    assert "shoal finetune TABLE MODEL --config studies/first/best.toml" in page.words
    assert "No trial read the test examples" in page.words


def test_with_few_trials_nothing_is_said_to_have_mattered():
    assert "from 8 on it can be said what mattered" in Page(render_study(study(4))).words


def test_a_study_without_trials_has_a_page():
    assert "No trial has ended well yet." in Page(render_study(study(0))).words


def test_every_setting_has_a_chart_with_a_dot_for_each_trial_that_was_asked_for_it():
    html = render_study(study())
    chart = html.split('aria-label="learning rate against RMSE"')[1].split("</svg>")[0]
    assert chart.count("<circle") == 5
    assert chart.count('class="hollow"') == 1


def test_curves_of_trials_are_drawn_in_the_colours_of_their_strategies(tmp_path):
    from shoal.adapt.curves import JsonLines

    made = study(2, tmp_path)
    for trial in (0, 1):
        told = JsonLines(tmp_path / f"{trial}.jsonl", about={"settings": Finetune().model_dump(mode="json")})
        told("epoch", {"epoch": 0, "loss": 1.0, "valid": 1.0, "rmse": 1.2})
        told("epoch", {"epoch": 1, "loss": 1.0, "valid": 1.0, "rmse": 1.1})
        told.close()
    made.about["curves"] = {0: "0.jsonl", 1: "1.jsonl"}
    (tmp_path / "best.toml").write_text(toml(Finetune()))
    html = write_study(made).read_text()
    assert "--colour: var(--segment-0)" in html
    assert "--colour: var(--segment-1)" in html
    assert "trial 1, lora, complete" in html


# Charts.


def places(chart, what="M"):
    path = re.search(r'<g class="line">(?:<title>.*?</title>)?<path d="M([^"]*)"', chart)[1]
    return [tuple(map(float, point.split())) for point in path.split("L")]


def test_a_line_rises_to_the_upper_right_when_figures_rise():
    points = places(lines([Line([(0, 0.0), (1, 1.0), (2, 4.0)])], x="step", y="", title="t"))
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert 3 * (y0 - y1) == pytest.approx(y1 - y2, abs=0.5)


number = st.floats(-1e6, 1e6) | st.sampled_from([float("nan"), float("inf"), 0.0, 1e-9])


@given(st.lists(st.tuples(st.integers(0, 10_000), number), max_size=30))
def test_any_curve_is_drawn_inside_its_frame_or_not_at_all(points):
    chart = lines([Line(sorted(points), "line", dots=True)], x="step", y="loss", title="t")
    finite = [p for p in points if abs(p[1]) < float("inf")]
    assert bool(chart) == bool(finite)
    assert "nan" not in chart
    assert "inf" not in chart
    for x, y in re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)"', chart):
        assert 0 <= float(x) <= 560
        assert 0 <= float(y) <= 250


@given(st.lists(st.tuples(st.one_of(st.sampled_from(["a", "b"])), st.floats(-10, 10)), max_size=20))
def test_words_stand_in_columns_and_every_dot_is_drawn(points):
    chart = dots([Dot(x, y) for x, y in points], x="", y="", title="t", words=["a", "b", "c"])
    assert chart.count("<circle") == len(points)
    assert (">c</text>" in chart) == bool(points)


def test_a_long_line_is_thinned_to_what_can_be_seen_and_keeps_its_mean_level():
    chart = lines([Line([(i, 5.0) for i in range(100_000)])], x="step", y="", title="t")
    points = places(chart)
    assert len(points) <= MOST_POINTS
    assert len({y for _, y in points}) == 1


def test_epochs_have_ticks_at_whole_numbers():
    chart = lines([Line([(1, 0.5), (2, 0.4), (3, 0.45)])], x="epoch", y="", title="t")
    assert re.findall(r'class="middle">([^<]*)<', chart) == ["1", "2", "3"]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200))
def test_a_running_mean_stays_within_what_it_averages(values):
    made = smoothed(list(enumerate(values)))
    assert len(made) == len(values)
    assert min(values) - 1e-9 <= min(y for _, y in made)
    assert max(y for _, y in made) <= max(values) + 1e-9
