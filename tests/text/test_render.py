from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ConfigError, LeakageError
from shoal.text import render
from shoal.text.render import Template, check_before, item_texts, user_texts

FILM = Template("{title}. {genres}. tags: {tags}")


@pytest.fixture
def films():
    return pl.DataFrame(
        {
            "item_id": pl.Series(["1", "2", "3", "4"], dtype=pl.Categorical),
            "title": ["Toy Story (1995)", "Airplane!", None, "  "],
            "genres": [["Adventure", "Comedy"], ["Comedy"], ["Noir", None, " "], []],
            "tags": [None, ["silly", "very  quotable"], ["dark"], None],
            "year": [1995.0, 1980.0, None, float("nan")],
            "vector": pl.Series([[0.5, 1.0]] * 4, dtype=pl.Array(pl.Float32, 2)),
        }
    )


def rendered(template, **columns):
    return Template(template).render(pl.DataFrame({c: [v] for c, v in columns.items()}))[0]


def test_a_missing_field_takes_its_label_and_separator_with_it(films):
    assert FILM.render(films).to_list() == [
        "Toy Story (1995). Adventure, Comedy.",
        "Airplane! Comedy. tags: silly, very quotable",
        "Noir. tags: dark",
        "",
    ]


@pytest.mark.parametrize(
    ("present", "text"),
    [
        ({"date": "2015-03-09", "item": "Heat", "rating": "rated 4 of 5"}, "2015-03-09: Heat, rated 4 of 5"),
        ({"date": None, "item": "Heat", "rating": "rated 4 of 5"}, "Heat, rated 4 of 5"),
        ({"date": "2015-03-09", "item": "Heat", "rating": None}, "2015-03-09: Heat"),
        ({"date": "2015-03-09", "item": None, "rating": "rated 4 of 5"}, "2015-03-09, rated 4 of 5"),
        ({"date": None, "item": "Heat", "rating": None}, "Heat"),
    ],
)
def test_an_event_reads_well_whatever_is_missing(present, text):
    fields = {k: pl.Series([v], dtype=pl.String) for k, v in present.items()}
    assert Template("{date}: {item}, {rating}").render(pl.DataFrame(fields))[0] == text


@pytest.mark.parametrize(
    ("title", "year", "text"), [("Heat", 1995, "Heat (1995)"), ("Heat", None, "Heat"), (None, 1995, "(1995)")]
)
def test_brackets_go_with_what_they_hold(title, year, text):
    table = pl.DataFrame({"title": [title], "year": [year]}, schema={"title": pl.String, "year": pl.Int64})
    assert Template("{title} ({year})").render(table)[0] == text


def test_words_before_the_first_and_after_the_last_field_belong_to_them():
    assert rendered("A film: {title}, seen by many", title="Heat") == "A film: Heat, seen by many"
    assert rendered("A film: {title}, seen by many", title="") == ""


def test_doubled_braces_are_braces():
    assert rendered("{{{title}}} {{x}}", title="Heat") == "{Heat} {x}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1995.0, "1995"),
        (4.5, "4.5"),
        (float("nan"), ""),
        (float("inf"), ""),
        (7, "7"),
        (True, "true"),
        (date(2015, 3, 9), "2015-03-09"),
        (datetime(2015, 3, 9, 12, 30), "2015-03-09"),
        ("two\n lines ", "two lines"),
        ([1.0, 2.5, None], "1, 2.5"),
        ("老友记", "老友记"),
    ],
)
def test_values_become_words(value, text):
    assert rendered("{x}", x=value) == text


def test_categories_become_words():
    table = pl.DataFrame({"x": pl.Series(["noir", None], dtype=pl.Categorical)})
    assert Template("{x}").render(table).to_list() == ["noir", ""]


def test_a_field_may_stand_twice():
    assert rendered("{title}, again {title}", title="Heat") == "Heat, again Heat"


def test_an_unknown_field_names_the_closest_column_and_all_columns(films):
    with pytest.raises(ConfigError, match=r"asks for \{titel\}, and items has no such column. Did you mean title\?"):
        Template("{titel}").render(films)
    with pytest.raises(ConfigError, match="Columns: item_id, title, genres, tags, year"):
        Template("{zzz}").render(films)


def test_a_vector_cannot_be_read_out(films):
    with pytest.raises(ConfigError, match=r"\{vector\}, which holds Array.* cannot be read out"):
        Template("{vector}").render(films)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{title", "cannot be read"),
        ("title}", "cannot be read"),
        ("{}", "no empty braces"),
        ("{title:>10}", "no formats"),
        ("{title!r}", "no formats"),
        ("a film", "no {column} field"),
    ],
)
def test_a_template_that_cannot_work_is_refused_at_birth(template, message):
    with pytest.raises(ConfigError, match=message):
        Template(template)


def test_the_empty_template_makes_empty_texts(films):
    assert Template("").render(films).to_list() == ["", "", "", ""]


def test_the_version_follows_the_template_and_the_renderer(monkeypatch):
    first = FILM.version
    assert Template(FILM.text).version == first
    assert Template(FILM.text + ".").version != first
    monkeypatch.setattr(render, "RENDER_VERSION", render.RENDER_VERSION + 1)
    assert Template(FILM.text).version != first


def test_item_texts_keep_order_ids_and_version_and_count_the_empty(films):
    made = item_texts(films, FILM, cutoff=datetime(2015, 3, 2))
    assert made.table.schema == {"id": pl.String, "text": pl.String}
    assert made.table["id"].to_list() == ["1", "2", "3", "4"]
    assert made.texts[3] == ""
    assert made.template_version == FILM.version
    assert made.cutoff == datetime(2015, 3, 2)
    assert made.notes == ("1 of 4 items have no text",)


def test_user_texts_are_made_the_same_way():
    users = pl.DataFrame({"user_id": pl.Series(["a", "b"], dtype=pl.Categorical), "job": ["nurse", "farmer"]})
    made = user_texts(users, Template("works as {job}"))
    assert made.table.rows() == [("a", "works as nurse"), ("b", "works as farmer")]
    assert made.notes == ()


def test_a_table_without_rows_gives_no_texts(films):
    assert item_texts(films.clear(), FILM).texts == []


@given(
    st.lists(
        st.tuples(*[st.one_of(st.none(), st.text(alphabet="abc .,!:", max_size=8))] * 3),
        min_size=1,
        max_size=8,
    )
)
def test_a_row_reads_the_same_whatever_rows_stand_beside_it(rows):
    schema = {"title": pl.String, "genres": pl.String, "tags": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    alone = [FILM.render(table[i])[0] for i in range(table.height)]
    assert FILM.render(table).to_list() == alone


@given(st.lists(st.one_of(st.none(), st.just("x")), min_size=3, max_size=3))
def test_a_label_stands_exactly_where_its_field_does(values):
    schema = {"title": pl.String, "genres": pl.String, "tags": pl.String}
    text = FILM.render(pl.DataFrame([values], schema=schema, orient="row"))[0]
    assert ("tags: " in text) == (values[2] is not None)
    assert text.count("x") == sum(v is not None for v in values)


CUTOFF = datetime(2015, 3, 2)


def times(*moments):
    return pl.Series("at", list(moments), dtype=pl.Datetime("us"))


def test_events_before_the_cutoff_and_without_a_time_pass():
    check_before(times(datetime(2015, 3, 1, 23, 59, 59, 999_999), None), CUTOFF)
    check_before(times(datetime(2030, 1, 1)), None)
    check_before(times(), CUTOFF)


def test_an_event_at_the_cutoff_itself_leaks():
    with pytest.raises(LeakageError):
        check_before(times(CUTOFF), CUTOFF)


def test_the_message_names_user_day_and_way_out():
    users = pl.Series(["9", "417", "418"])
    late = times(datetime(2015, 3, 1), datetime(2015, 3, 9), datetime(2015, 3, 10))
    with pytest.raises(LeakageError) as error:
        check_before(late, CUTOFF, users=users)
    assert str(error.value) == (
        "User 417 has an event on 2015-03-09, not before the cut-off 2015-03-02 (2 such events). "
        "Split by time with split.at(...), or by last event with split.last_out(...)."
    )


def test_a_cutoff_within_a_day_is_told_to_the_second():
    with pytest.raises(LeakageError, match="2015-03-02 10:00:01, not before the cut-off 2015-03-02 10:00:00"):
        check_before(times(datetime(2015, 3, 2, 10, 0, 1)), datetime(2015, 3, 2, 10))


def test_a_cutoff_with_a_zone_is_turned_to_utc():
    cutoff = datetime(2015, 3, 2, 2, tzinfo=timezone(timedelta(hours=2)))
    check_before(times(datetime(2015, 3, 1, 23, 59)), cutoff)
    with pytest.raises(LeakageError):
        check_before(times(datetime(2015, 3, 2, 0, 0)), cutoff)
    with pytest.raises(LeakageError):
        check_before(times(datetime(2015, 3, 2)), CUTOFF.replace(tzinfo=UTC))
