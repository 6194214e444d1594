"""Chinese and Japanese texts as words, and names that are made of them."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.segment.chinese import STOP_WORDS, is_chinese, letters, spaced, together
from shoal.segment.name import ContrastNamer
from shoal.segment.profile import profiles
from shoal.segment.words import words


def cut(text: str) -> list[str]:
    return spaced(pl.Series([text]))[0].split()


def items(*texts: str | None) -> pl.DataFrame:
    ids = pl.Series([f"i{k}" for k in range(len(texts))], dtype=pl.Categorical())
    return pl.DataFrame({"item_id": ids, "comment": pl.Series(texts, dtype=pl.String)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("房间很大，服务态度不错", ["房间", "很大", "，", "服务态度", "不错"]),
        ("WiFi很快！", ["WiFi", "很快", "！"]),
        ("北野武的电影", ["北野武", "的", "电影"]),
        ("東京タワーに行く", ["東京", "タワー", "、", "行", "、"]),
        ("plain English, don't touch", ["plain", "English,", "don't", "touch"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("ราคาถูกมาก", ["ราคาถูกมาก"]),
    ],
)
def test_runs_without_spaces_become_words(text, expected):
    assert cut(text) == expected


@given(st.text(st.characters(codec="utf-8")))
def test_cutting_loses_no_letter_of_a_text_without_hiragana(text):
    if not any("\u3041" <= c <= "\u309f" for c in text):
        assert "".join(cut(text)) == "".join(text.split())


@given(st.text(alphabet="房间很大服务不错电影 ab，", max_size=30))
def test_phrases_are_put_together_as_they_stood(text):
    once = spaced(pl.Series([text]))[0]
    assert together(" ".join(once.split())).replace(" ", "") == text.replace(" ", "")


def test_a_missing_text_stays_missing():
    assert spaced(pl.Series([None, "房间"])).to_list() == [None, " 房间 "]


def test_english_texts_are_not_even_looked_at_twice():
    texts = pl.Series(["Heat (1995)", None])
    assert spaced(texts) is texts


def test_the_dictionary_is_loaded_for_chinese_alone_and_nothing_is_printed():
    program = """
import sys, polars as pl
from shoal.segment.chinese import spaced
spaced(pl.Series(["Heat"])); assert "rjieba" not in sys.modules
spaced(pl.Series(["房间很大"])); assert "rjieba" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_stop_words_have_two_characters_or_more_as_single_ones_never_count():
    assert min(map(len, STOP_WORDS)) == 2


def test_words_of_chinese_items_are_words_and_pairs_that_two_items_share():
    found = words(items("房间很大，但是我们觉得早餐一般", "这个酒店的房间很干净", "早餐很好吃，早餐券"))
    assert set(found["label"]) == {"房间", "早餐"}


def test_a_phrase_of_two_chinese_words_keeps_their_border():
    found = words(items("海边 房间", "海边房间很小"))
    assert set(found["label"]) == {"海边", "房间", "海边 房间"}
    assert together("海边 房间 fan") == "海边房间 fan"


def test_vowel_signs_stay_on_their_letters():
    found = words(items("हिन्दी फ़िल्म", "हिन्दी गीत"))
    assert found["label"].unique().to_list() == ["हिन्दी"]


def test_a_chinese_character_is_as_long_as_three_letters():
    assert letters("霸王别姬 (1993)") == 12 + len(" (1993)")
    assert is_chinese("电影 fan")
    assert not is_chinese("fan 电影")


def planted() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Members, interactions and items of two segments: one likes hotels by the sea, one films of the future."""
    sea = [f"海滩度假酒店，房间{k}号，我们觉得早餐不错" for k in range(6)]
    future = [f"科幻电影第{k}部，宇宙飞船，但是这个结局不错" for k in range(6)]
    catalogue = items(*sea, *future)
    rows = [(f"u{u}", f"i{i + 6 * (u % 2)}") for u in range(60) for i in range(6)]
    users, events = zip(*rows, strict=True)
    log = pl.DataFrame(
        {"user_id": pl.Series(users, dtype=pl.Categorical), "item_id": pl.Series(events, dtype=pl.Categorical)}
    )
    members = pl.DataFrame({"user_id": [f"u{u}" for u in range(60)], "segment": [u % 2 for u in range(60)]})
    return members.cast({"segment": pl.Int32}), log, catalogue


def test_chinese_segments_are_named_and_told_by_chinese_words():
    table = profiles(*planted())
    names = ContrastNamer().name(table)
    told = [{w["label"] for w in row["words"]} for row in table.to_dicts()]
    assert "度假 酒店" in told[0]
    assert "科幻电影" in told[1]
    assert not any(labels & STOP_WORDS for labels in told)
    assert all(is_chinese(name) and " " not in name and "、" in name for name in names)
    assert any(word in names[1] for word in ("科幻电影", "宇宙飞船"))


def test_films_of_douban_are_told_by_words_and_their_segments_named_by_them(shared_data):
    table = pl.read_csv(shared_data / "douban-comments/comments.csv", infer_schema_length=0)
    table = table.drop_nulls(["user_id", "film_id", "comment"])
    films = table.group_by("film_id", maintain_order=True).agg(pl.col("comment").str.join("。"))
    catalogue = films.select(pl.col("film_id").cast(pl.Categorical).alias("item_id"), "comment")
    found = words(catalogue)["label"].value_counts(sort=True).head(300)["label"]
    assert {"电影", "故事", "剧情"} <= set(found)
    assert found.str.contains(r"\p{Han}").mean() > 0.9
    assert found.str.len_chars().max() <= 6
    warm = (
        table.filter(pl.col("comment").str.contains("爱情|青春"))["film_id"].value_counts(sort=True).head(12)["film_id"]
    )
    members = table.group_by("user_id").agg(
        pl.col("film_id").first().is_in(warm.to_list()).cast(pl.Int32).alias("segment")
    )
    log = table.select(pl.col("user_id").cast(pl.Categorical), pl.col("film_id").cast(pl.Categorical).alias("item_id"))
    names = ContrastNamer().name(profiles(members, log, catalogue))
    assert all(is_chinese(name) for name in names), names


def test_habits_and_eras_in_chinese_names_are_chinese_too():
    from shoal.segment.profile import PROFILES

    def row(segment: int, word: str, events: float, gap: float, decade: str | None) -> dict:
        told = {"share_in": 0.3, "share_out": 0.05, "contrast": 20.0}
        era = [{"label": decade, "kind": "decade", **told}] if decade else []
        spoken = [{"label": word, "kind": "comment", **told}] if word else []
        habits = {"events_per_user": events, "rating_mean": 3.0, "rating_gap": gap}
        lists = {"categories": era, "words": spoken, "exemplars": [], "user_traits": []}
        return {"segment": segment, "size": 50, "share": 0.2, **habits, **lists, "sets_apart": ""}

    rows = [
        row(0, "青春 爱情", 20.0, 0.0, None),
        row(1, "科幻 电影", 20.0, 0.0, "1980s"),
        row(2, "青春 爱情", 60.0, 0.0, None),
        row(3, "", 20.0, 0.5, None),
        row(4, "", 20.0, 0.0, None),
    ]
    names = ContrastNamer().name(pl.DataFrame(rows, schema=PROFILES))
    assert sorted(names[:3:2]) == ["青春爱情", "青春爱情，活跃用户"]
    assert names[1] == "科幻电影，1980年代"
    assert names[3:] == ["评分宽容", "与大家相近"]
