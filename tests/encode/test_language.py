"""Which language texts are mainly in, and which embedded encoder they get."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.config import Config, Encode
from shoal.data.synthetic import planted_world
from shoal.encode.language import look, pick, settled
from shoal.encode.open import open_encoder
from shoal.progress import LineProgress

SENTENCES = {
    "English": ["The room was large and clean.", "We will not stay there again.", "It is what you pay for."],
    "German": ["Das Zimmer war groß und sauber.", "Wir kommen nicht noch einmal.", "Für den Preis ist es sehr gut."],
    "French": ["La chambre est grande et propre.", "Nous ne reviendrons pas dans cet hôtel.", "Très bon pour le prix."],
    "Spanish": [
        "La habitación es grande y está muy limpia.",
        "No volveremos a este hotel.",
        "Muy bien por lo que cuesta.",
    ],
    "Portuguese": ["O quarto é grande e não tem ruído.", "Não voltaremos ao hotel.", "Muito bom para o preço do dia."],
    "Italian": [
        "La camera è grande e molto pulita.",
        "Non torneremo nel vostro hotel.",
        "Il prezzo della cena è alto.",
    ],
    "Dutch": [
        "De kamer is groot en heel schoon.",
        "Wij komen niet meer naar dit hotel.",
        "Het is goed voor een nacht.",
    ],
    "Swedish": [
        "Rummet är stort och rent.",
        "Vi kommer inte till det hotellet igen.",
        "Det var mycket bra för priset.",
    ],
    "Polish": ["Pokój jest duży i bardzo czysty.", "Nie wrócimy do tego hotelu.", "To jest dobre za tę cenę."],
    "Turkish": ["Oda çok büyük ve temiz.", "Bu otele bir daha gelmeyiz.", "Fiyat için daha iyi bir yer var ama uzak."],
    "Indonesian": [
        "Kamar ini besar dan sangat bersih.",
        "Kami tidak akan kembali ke hotel itu.",
        "Bagus untuk harga yang ada.",
    ],
    "Vietnamese": ["Phòng này rộng và rất sạch.", "Chúng tôi không trở lại với những người đó.", "Được cho một đêm."],
    "Chinese": ["房间很大，很干净。", "我们不会再来。", "对这个价格来说很好。"],
    "Japanese": ["部屋は広くて清潔です。", "もう来ません。", "値段の割に良い。"],
    "Korean": ["방이 넓고 깨끗해요.", "다시는 안 올 거예요.", "가격에 비해 좋아요."],
    "Cyrillic": ["Номер большой и чистый.", "Мы больше не приедем.", "За эту цену хорошо."],
    "Thai": ["ห้องกว้างและสะอาด", "เราจะไม่กลับมาอีก", "ดีสำหรับราคานี้"],
    "Arabic": ["الغرفة كبيرة ونظيفة", "لن نعود مرة أخرى"],
}
ENGLISH_DATA = {
    "ml-latest-small/movies.csv": "title",
    "ml-latest-small/tags.csv": "tag",
    "goodbooks-10k/books.csv": "title",
    "jester/jester_jokes.csv": "text",
    "zomato-hyderabad/reviews.csv": "review",
    "amazon-musical-instruments/reviews.csv": "review",
    "twitter-airline/tweets.csv": "text",
}
CHINESE_DATA = {
    "douban-comments/comments.csv": "comment",
    "chinese-sentiment/ChnSentiCorp_htl_all.csv": "review",
    "chinese-sentiment/waimai_10k.csv": "review",
    "chinese-sentiment/online_shopping_10_cats.csv": "review",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_few_sentences_tell_their_language(language):
    found = look(SENTENCES[language])
    assert found.main == language
    assert pick(SENTENCES[language]) == ("minilm" if language == "English" else "multilingual")


@pytest.mark.parametrize(
    "texts", [[], [""], ["1984", "!!", "2001"], ["Heat", "Casino"], ["Radiohead", "Björk", "Sigur Rós"]]
)
def test_texts_that_do_not_tell_get_minilm(texts):
    assert pick(texts) == "minilm"


def test_english_titles_with_foreign_names_are_english():
    titles = ["Amélie (Fabuleux destin d'Amélie Poulain, Le) (2001)", "The Lives of Others (Das Leben der Anderen)"]
    titles += ["Spirited Away (Sen to Chihiro no kamikakushi)", "Heat", "Lord of the Rings, The", "Life Is Beautiful"]
    assert look(titles).main == "English"


def test_a_catalogue_of_german_films_is_german():
    films = [
        "Das Boot",
        "Der Untergang",
        "Die Blechtrommel",
        "Das Leben der Anderen",
        "Der Himmel über Berlin",
        "Lola rennt",
    ]
    films += ["M – Eine Stadt sucht einen Mörder", "Nosferatu – Eine Symphonie des Grauens"]
    assert look(films).main == "German"


def test_marked_letters_without_english_words_are_no_english():
    words = ["Žluťoučký kůň", "příliš úpěl", "ďábelské ódy", "český film", "večeře s přáteli", "krásná neděle"]
    assert pick(words) == "multilingual"


def test_brands_in_latin_letters_leave_a_chinese_shop_chinese():
    assert look(["iPhone 12 手机", "华为 Mate 30 Pro 手机", "小米"]).main == "Chinese"


def test_a_chinese_name_in_brackets_leaves_an_english_title_english():
    assert look(["Crouching Tiger, Hidden Dragon (卧虎藏龙)", "In the Mood for Love (花样年华)"]).main == "English"


def test_half_is_not_mainly_and_more_than_half_is():
    assert pick(["the room", "房间"]) == "minilm"
    assert pick(["the room", "房间", "很好"]) == "multilingual"


def test_the_log_says_what_was_picked_and_why():
    said = io.StringIO()
    assert settled(Encode(), ["房间很大", "很好"], LineProgress(said)) == Encode(encoder="multilingual")
    assert said.getvalue() == "encode  100% of 2 texts are Chinese: multilingual (encode.encoder decides otherwise)\n"


def test_a_named_encoder_is_kept_and_nothing_is_said():
    said = io.StringIO()
    assert settled(Encode(encoder="minilm"), ["房间很大"], LineProgress(said)) == Encode(encoder="minilm")
    assert said.getvalue() == ""


@given(st.lists(st.text()))
def test_any_texts_get_an_answer_and_shares_are_shares(texts):
    found = look(texts)
    assert 0 <= found.share <= 1
    assert 0 <= found.other <= 1
    assert found.texts <= len(texts)


@given(
    st.lists(st.sampled_from([one for some in SENTENCES.values() for one in some]), min_size=1, max_size=40),
    st.randoms(),
)
def test_the_order_of_texts_does_not_matter(texts, random):
    shuffled = random.sample(texts, len(texts))
    assert look(texts) == look(shuffled)


@pytest.mark.parametrize(("file", "column"), ENGLISH_DATA.items())
def test_real_english_data_get_minilm(shared_data, file, column):
    found = look(pl.read_csv(shared_data / file, infer_schema_length=0)[column].drop_nulls().to_list())
    assert found.main == "English"
    assert found.mainly_english


def test_titles_in_the_old_encoding_and_artists_of_all_countries_get_minilm(shared_data):
    films = (shared_data / "ml-1m/movies.dat").read_text(encoding="latin-1").splitlines()
    artists = pl.read_csv(shared_data / "lastfm/artists.dat", separator="\t", quote_char=None, infer_schema_length=0)
    assert pick([line.split("::")[1] for line in films]) == "minilm"
    assert pick(artists["name"].to_list()) == "minilm"


@pytest.mark.parametrize(("file", "column"), CHINESE_DATA.items())
def test_real_chinese_data_get_the_multilingual_encoder(shared_data, file, column):
    texts = pl.read_csv(shared_data / file, infer_schema_length=0)[column].drop_nulls().to_list()
    assert look(texts).main == "Chinese"
    assert pick(texts) == "multilingual"


def test_without_texts_auto_opens_minilm():
    assert open_encoder(Encode()).name == "minilm"


@pytest.mark.slow
def test_a_run_keeps_the_encoder_that_was_picked_and_says_so(tmp_path):
    data, _ = planted_world(users=80, items=24, segments=2, events_per_user=10, seed=0)
    titles = [
        f"{adjective}的{noun}"
        for adjective in ("遥远", "温暖", "黑暗", "美丽")
        for noun in ["房间", "城市", "电影", "夏天", "雪山", "海滩"]
    ]
    chinese = replace(data, items=data.items.select("item_id", title=pl.Series(titles)))
    said = io.StringIO()
    config = Config(train={"epochs": 1}, segment={"n": 2, "min_events": 2})
    run = shoal.fit(chinese, config=config, progress=LineProgress(said))
    assert "encode  100% of 24 texts are Chinese: multilingual" in said.getvalue()
    assert run.manifest["learnt"]["encoder"] == {"asked": "auto", "taken": "multilingual"}
    run.save(tmp_path / "run")
    again = shoal.load(tmp_path / "run")
    assert again.learnt.config.encode.encoder == "multilingual"
    newcomer = pl.DataFrame(
        {"user_id": ["new"] * 3, "item_id": data.items["item_id"].cast(pl.String)[:3], "rating": [5.0] * 3}
    )
    assert again.recommend(history=newcomer, n=3).height == 3
    assert again.learnt.config == run.learnt.config


def test_the_guide_prints_what_it_says(root):
    page = (root / "docs" / "guides" / "languages.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for code, printed in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, {})
        assert said.getvalue() == printed
