import polars as pl
import pytest

from shoal.text.defaults import default_item_template
from shoal.text.render import item_texts


def items(**columns):
    n = len(next(iter(columns.values())))
    return pl.DataFrame({"item_id": pl.Series([str(i) for i in range(n)], dtype=pl.Categorical), **columns})


def test_films_get_title_genres_and_labelled_tags():
    films = items(
        genres=[["Adventure", "Comedy"], ["Drama"]],
        title=["Toy Story (1995)", "Heat (1995)"],
        tags=[["pixar"], ["heist"]],
        imdb_id=["tt0114709", "tt0113277"],
        year=[1995, 1995],
    )
    assert default_item_template(films).text == "{title}. {genres}. tags: {tags}"


def test_long_texts_stand_last_so_that_cutting_spares_the_rest():
    books = items(
        description=["A long account of a long journey with many companions, told slowly."] * 2,
        authors=["Ann Lee", "Bo Berg"],
        name=["Journey", "Return"],
        shelf=[["epic"], ["classics"]],
    )
    assert default_item_template(books).text == "{name}. shelf: {shelf}. authors: {authors}. {description}"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("url", ["one", "two"]),
        ("picture", ["http://a.example/1.jpg", "https://a.example/2.jpg"]),
        ("bookId", ["one", "two"]),
        ("isbn", ["one", "two"]),
        ("work_id", ["one", "two"]),
        ("cost", ["1,200", "800"]),
        ("year", ["1995", "1996"]),
        ("at", ["1995-03-02", "1996-03-02"]),
        ("flag", [True, False]),
        ("price", [1.5, 2.5]),
        ("nothing", [None, ""]),
        ("vector", pl.Series([[0.5, 1.0]] * 2, dtype=pl.Array(pl.Float32, 2))),
        ("a {b}: c!", ["words", "here"]),
        ("codes", pl.Series([[1, 2], [3]])),
    ],
)
def test_what_says_nothing_as_words_is_left_out(name, values):
    assert default_item_template(items(title=["Heat", "Ran"], **{name: values})).text == "{title}"


def test_codes_are_told_from_names():
    table = items(title=["Heat", "Ran", "Up", "It", "Big", "Her"], model=[f"B00AX{i}" for i in range(6)])
    assert default_item_template(table).text == "{title}"


def test_rarely_filled_columns_are_left_out():
    table = items(title=[f"film {i}" for i in range(100)], award=["Palme d'Or"] + [None] * 99)
    assert default_item_template(table).text == "{title}"


def test_chinese_names_are_names():
    assert default_item_template(items(name=["霸王别姬", "活着"])).text == "{name}"


def test_titles_stand_in_a_fixed_order_and_their_case_is_kept():
    assert default_item_template(items(Name=["a song", "b song"], title=["one", "two"])).text == "{title}. {Name}"


def test_items_without_words_get_the_empty_template_and_empty_texts():
    bare = items(price=[1.0, 2.0])
    template = default_item_template(bare)
    assert template.text == ""
    assert item_texts(bare, template).notes == ("2 of 2 items have no text",)
