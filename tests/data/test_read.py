"""Reading files of every format, and everything that may be wrong with them."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.dataset import EARLIER
from shoal.data.read import read
from shoal.errors import NotEnoughDataError, ReadError

HEADER = "user_id,item_id,rating,timestamp\n"
GOOD = HEADER + "1,a,3,1393545600\n2,b,4,1393545601\n"
MOMENT = datetime(2014, 2, 28)


@pytest.fixture
def write(tmp_path: Path):
    def put(content: str | bytes, name: str = "ratings.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def test_a_csv_becomes_interactions_with_ids_as_categoricals(write):
    data = read(write(GOOD))
    assert data.interactions.schema == {
        "user_id": pl.Categorical(),
        "item_id": pl.Categorical(),
        "rating": pl.Float32(),
        "at": pl.Datetime("us"),
    }
    assert data.interactions.rows() == [("1", "a", 3, MOMENT), ("2", "b", 4, datetime(2014, 2, 28, 0, 0, 1))]
    assert (data.scale.low, data.scale.high, data.scale.levels) == (3, 4, (3, 4))
    assert data.report.as_dict() == {
        "rows_in": 2, "rows_kept": 2, "dropped": {}, "notes": [], "files": ["ratings.csv"],
    }  # fmt: skip
    assert data.name == "ratings"


@pytest.mark.parametrize("separator", ["\t", "::", "|", ";", ","])
def test_every_separator_is_found_and_gives_the_same_table(write, separator):
    plain = read(write(GOOD))
    other = read(write(GOOD.replace(",", separator), "other.dat"))
    assert other.interactions.equals(plain.interactions)


def test_a_separator_that_is_given_is_used(write):
    assert read(write(GOOD.replace(",", "~")), separator="~").interactions.height == 2
    assert read(write(GOOD.replace(",", "\t")), separator="\\t").interactions.height == 2


@pytest.mark.parametrize("name", ["ratings.csv.gz", "ratings.csv"])
def test_gzip_is_known_by_its_bytes_not_by_its_name(write, name):
    assert read(write(gzip.compress(GOOD.encode()), name)).interactions.equals(read(write(GOOD, "b.csv")).interactions)


def test_json_lines_parquet_and_a_dataframe_give_the_same_table(write, tmp_path):
    csv = read(write(GOOD)).interactions
    frame = pl.DataFrame(
        {"user_id": [1, 2], "item_id": ["a", "b"], "rating": [3.0, 4.0], "timestamp": [1393545600, 1393545601]}
    )
    frame.write_parquet(tmp_path / "r.parquet")
    frame.write_ndjson(tmp_path / "r.jsonl")
    for table in (frame, tmp_path / "r.parquet", tmp_path / "r.jsonl"):
        assert read(table).interactions.equals(csv)


def test_json_values_keep_their_digits_and_missing_keys_are_empty(write):
    lines = ['{"user":"u","asin":"0012","stars":5}', '{"asin":"b","user":12345678901234567,"review":"caf\\u00e9"}']
    data = read(write("\n".join(lines), "r.json"), on_bad="drop", rating="")
    assert data.interactions.rows() == [("u", "0012", None), ("12345678901234567", "b", "café")]


def test_a_line_that_is_no_json_object_is_named_or_counted(write):
    rows = ['{"user":1,"item":2}', "", "[1]", '{"user":2,"item":3,"note":NaN}', '{"user":', '{"user":3,"item":4}']
    path = write("\n".join(rows), "r.jsonl")
    with pytest.raises(ReadError, match=r"r\.jsonl, line 3 is no JSON object.*\(3 of 5\)"):
        read(path)
    assert read(path, on_bad="drop").report.dropped == {"the line is no JSON object": 3}
    late = write("\n".join([rows[0], rows[2], "", rows[5].replace("3", '""')]), "late.jsonl")
    with pytest.raises(ReadError, match="line 2 is no JSON object"):
        read(late)
    with pytest.raises(ReadError, match="line 3: user_id is empty"):
        read(write("\n".join([rows[0], "", '{"user":null,"item":2}']), "null.jsonl"))


def test_json_keys_of_any_spelling_are_read_and_the_unspeakable_ones_noted(write):
    items = write('{"item":"1","it\'s":"x","a.b":"y","\\\\":"z"}\n{"item":"2"}\n', "items.jsonl")
    data = read(pl.DataFrame({"user": [1, 2], "item": [1, 2]}), items=items)
    assert data.items.row(0, named=True) == {"item_id": "1", "it's": "x", "a.b": "y"}
    assert any("left out" in note for note in data.report.notes)


def test_a_json_array_and_a_zip_archive_are_named(write):
    with pytest.raises(ReadError, match=r"r\.json is one JSON array\. Write one object a line"):
        read(write('[{"user":1}]', "r.json"))
    with pytest.raises(ReadError, match=r"r\.csv is a zip archive\. Unpack it"):
        read(write(b"PK\x03\x04rest", "r.csv"))


def test_what_is_no_table_is_named_with_its_type():
    with pytest.raises(ReadError, match=r"ratings is a builtins\.dict; give a path or a polars DataFrame"):
        read({"user": [1]})  # type: ignore[arg-type]


def test_a_file_of_numbers_without_a_header_is_user_item_rating_time(write):
    data = read(write("1\t5\t3\t1393545600\n2\t6\t4\t1393545600\n", "u.txt"))
    assert data.interactions.rows()[0] == ("1", "5", 3, MOMENT)
    assert "u.txt: no header; columns taken as user, item, rating, time" in data.report.notes


def test_counts_and_bare_events_are_told_from_ratings(write):
    counts = read(write("user,artist,plays\n1,a,3\n2,b,9\n"))
    assert (counts.feedback, counts.scale) == ("counts", None)
    assert counts.interactions["weight"].to_list() == [3, 9]
    assert read(write("user,artist\n1,a\n2,b\n")).feedback == "events"


def test_ratings_go_before_counts_unless_both_are_asked_for(write):
    path = write("user,item,stars,count\n1,a,3,7\n2,b,4,8\n")
    assert "weight" not in read(path).interactions.columns
    assert read(path, weight="count").interactions["weight"].to_list() == [7, 8]


@pytest.mark.parametrize(
    ("bad", "reason", "words"),
    [
        ("3,c,Like,1\n", "rating is not a number", "line 4: rating 'Like' is not a number"),
        ("3,c,,1\n", "rating is empty", "line 4: rating is empty"),
        ("3,c,nan,1\n", "rating is not finite", "line 4: rating 'nan' is not finite"),
        ("3,c,inf,1\n", "rating is not finite", "line 4: rating 'inf' is not finite"),
        ("3,c,7.5,1\n", "rating is outside the scale", "line 4: rating 7.5 lies outside the scale 1 to 5"),
        ("3,c,5,soon\n", "time is no time", "line 4: time 'soon' is no unix time and not ISO 8601. Give at_format="),
        (",c,5,1\n", "user_id is empty", "line 4: user_id is empty"),
        ("3, ,5,1\n", "item_id is empty", "line 4: item_id is empty"),
        ("3,c,5\n", "too few fields", "line 4 has 3 fields instead of 4"),
        ("3,c,5,1,9\n", "too many fields", "line 4 has 5 fields instead of 4"),
        ("3\n", "too few fields", "line 4 has 1 fields instead of 4"),
    ],
)
def test_a_bad_row_is_an_error_that_names_it_or_a_drop_that_counts_it(write, bad, reason, words):
    path = write(GOOD + bad)
    with pytest.raises(ReadError) as error:
        read(path, scale=(1, 5))
    assert f"ratings.csv, {words}" in str(error.value)
    assert "on_bad='drop' (--on-bad drop) leaves such rows out (1 of 3)" in str(error.value)
    data = read(path, scale=(1, 5), on_bad="drop")
    assert (data.report.rows_in, data.report.rows_kept, data.report.dropped) == (3, 2, {reason: 1})


def test_the_line_is_counted_in_the_file_through_blank_lines_and_quoted_line_ends(write):
    with pytest.raises(ReadError, match="line 6: rating 'x'"):
        read(write(GOOD + "\n\n3,c,x,1\n"))
    with pytest.raises(ReadError, match="line 3: rating 'x'"):
        read(write("\r\n" + HEADER.strip() + "\r\n3,c,x,1\r\n"))
    quoted = 'user_id,item_id,rating,review\n1,a,3,"two\nlines, ""quoted"""\n2,b,4,z\n3,c,Like,"w"\n'
    with pytest.raises(ReadError, match="line 5: rating 'Like'"):
        read(write(quoted))
    assert read(write(quoted), on_bad="drop").interactions["text"].to_list() == ['two\nlines, "quoted"', "z"]


def test_malformed_rows_before_a_bad_one_do_not_shift_its_line(write):
    path = write(GOOD + "3,c\n3,c,Like,1\n")
    assert read(path, on_bad="drop").report.dropped == {"rating is not a number": 1, "too few fields": 1}
    fixed = write(GOOD.replace("4,1393", "Like,1393"), "b.csv")
    with pytest.raises(ReadError, match="line 3: rating 'Like'"):
        read(fixed)


@pytest.mark.parametrize("tail", ['3,c,5,"open\n4,d,5,z\n', '3,c,5,"open\n4,d,5,"z"\n5,e,5,y\n'])
def test_a_quote_that_is_never_closed_swallows_nothing_in_silence(write, tail):
    path = write("user_id,item_id,rating,review\n1,a,3,x\n2,b,4,y\n" + tail)
    for on_bad in ("error", "drop"):
        with pytest.raises(ReadError, match=r"line \d: the quotation marks do not match"):
            read(path, on_bad=on_bad)


def test_a_quotation_mark_inside_a_cell_is_a_character(write):
    data = read(write('user_id,item_id,rating,review\n1,a,3,5" tape\n2,b,4,z\n'))
    assert data.interactions["text"][0] == '5" tape'
    tabbed = read(write('user\titem\tplays\n1\t"Heroes\t3\n2\tb\t4\n', "p.tsv"))
    assert tabbed.interactions["item_id"][0] == '"Heroes'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", r"ratings\.csv is empty \(0 bytes\)"),
        ("\n \n\n", r"ratings\.csv holds blank lines only"),
        (HEADER, r"ratings\.csv has a header and no rows"),
        (HEADER.strip(), r"ratings\.csv has a header and no rows"),
        ("word\n1\n", r"ratings\.csv has one column alone \('word'\)"),
        ("user_id,user_id,item_id\n1,1,2\n", "the column user_id stands there twice"),
        (b"PAR1 and nothing", r"ratings\.csv begins like a Parquet file"),
        (gzip.compress(GOOD.encode() * 99)[:-12], r"ratings\.csv is cut short or damaged"),
        ("{nonsense", r"its first line is no JSON object"),
    ],
)
def test_a_file_that_holds_no_table_says_what_it_is(write, content, words):
    with pytest.raises(ReadError, match=words):
        read(write(content))


def test_a_missing_file_names_the_one_that_was_meant(write):
    path = write(GOOD)
    with pytest.raises(ReadError, match=r"rating\.csv: there is no such file\. Did you mean ratings\.csv\?"):
        read(path.with_name("rating.csv"))
    with pytest.raises(ReadError, match="does not exist"):
        read(path.parent / "nowhere" / "ratings.csv")


def test_a_missing_column_lists_what_is_there_and_both_spellings_of_the_option(write):
    with pytest.raises(ReadError) as error:
        read(write("label,review\n1,x\n0,y\n"))
    assert 'It has label, review. Say which one it is: user_id="..." (--user-id ...)' in str(error.value)
    with pytest.raises(ReadError, match=r"no column usr \(given as user_id\); .*Did you mean user\?"):
        read(write("user,item\n1,x\n0,y\n"), user_id="usr")


def test_several_columns_that_fit_are_an_error_and_the_exact_name_is_none(write):
    with pytest.raises(ReadError, match=r"several columns that may be user_id: userId, uid.*--user-id"):
        read(write("userId,uid,item\n1,9,a\n2,9,b\n"))
    assert read(write("user_id,uid,item\n1,9,a\n2,9,b\n")).interactions["user_id"].to_list() == ["1", "2"]
    assert read(write("userId,uid,item\n1,8,a\n2,9,b\n"), user_id="uid").interactions["user_id"].to_list() == ["8", "9"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("userId,movieId,overall,unixReviewTime,reviewText", "rating at text"),
        ("UID,Book ID,Stars,Date,Comment", "rating at text"),
    ],
)
def test_usual_names_are_known_however_they_are_spelled(write, names, found):
    data = read(write(f"{names}\n1,a,3,2014-02-28,fine\n2,b,4,2014-02-28,good\n"), preset="none")
    assert data.interactions.columns[2:] == found.split()


@pytest.mark.parametrize(
    "time",
    ["1393545600", "1393545600.0", "1393545600000", "1393545600000000", "1393545600000000000", "2014-02-28",
     "2014-02-28 00:00", "2014-02-28T00:00:00", "2014-02-28T00:00:00Z", "2014-02-28 00:00:00.000",
     "2014-02-28T02:00:00+02:00", "2014/02/28"],
)  # fmt: skip
def test_unix_times_of_any_unit_and_iso_times_are_read(write, time):
    data = read(write(HEADER + f"1,a,3,{time}\n2,b,4,\n"))
    assert data.interactions["at"].to_list() == [MOMENT, None]
    assert "1 of 2 events have no time" in data.report.notes


def test_times_in_several_formats_are_tried_in_order(write):
    path = write(HEADER + "1,a,3,28/02/2014 10.30\n2,b,4,02-28-2014\n3,c,4,1393545600\n")
    formats = ["%d/%m/%Y %H.%M", "%m-%d-%Y", "unix"]
    assert read(path, at_format=formats).interactions["at"].to_list() == [datetime(2014, 2, 28, 10, 30), MOMENT, MOMENT]
    with pytest.raises(ReadError, match=r"line 3: time '02-28-2014' does not follow '%d/%m/%Y %H\.%M'"):
        read(path, at_format=formats[0])
    with pytest.raises(ReadError, match=r"at_format 'd/m/Y' is no strptime format"):
        read(path, at_format="d/m/Y")


def test_typed_times_are_taken_as_they_are_and_zones_become_utc():
    table = pl.DataFrame({"user": [1, 2], "item": [1, 2], "time": [date(2014, 2, 28)] * 2})
    zoned = table.with_columns(pl.col("time").cast(pl.Datetime("ms")).dt.replace_time_zone("Asia/Tokyo"))
    assert read(table).interactions["at"].to_list() == [MOMENT] * 2
    assert read(zoned).interactions["at"].to_list() == [datetime(2014, 2, 27, 15)] * 2
    numbered = table.with_columns(time=pl.Series([20140228, 20140301]))
    assert read(numbered, at_format="%Y%m%d").interactions["at"][0] == MOMENT
    assert any("before 1990" in note for note in read(numbered).report.notes)


def test_ids_have_no_float_artefacts_wherever_they_come_from(write, tmp_path):
    assert read(write("user,item\n1.0,7.0\n2,8\n")).interactions.rows() == [("1", "7"), ("2", "8")]
    frame = pl.DataFrame({"user": [1.0, 2.0, None], "item": [True, False, True]})
    with pytest.raises(ReadError, match=r"the ratings table, row 2 \(counted from 0\): user_id is empty"):
        read(frame)
    assert read(frame, on_bad="drop").interactions.rows() == [("1", "true"), ("2", "false")]


def test_ids_that_are_versions_keep_their_zero(write):
    assert read(write("user,item\n1.0,a\n2.1,b\n")).interactions["user_id"].to_list() == ["1.0", "2.1"]


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(write, start):
    assert read(write(start + GOOD.encode())).interactions.height == 2
    assert read(write(start + GOOD.replace("user_id", '"user_id"').encode())).interactions.height == 2


def test_a_mark_before_json_before_a_headerless_row_and_inside_a_text_is_taken_off(write):
    mark = b"\xef\xbb\xbf"
    assert read(write(mark + b'{"user":1,"item":2}\n{"user":2,"item":3}', "a.jsonl")).interactions.height == 2
    assert read(write(mark + b"1,2,3\n2,3,4\n")).interactions["user_id"][0] == "1"
    text = read(write("user,item,text\n1,a,\ufeffgood\n2,b,x\n")).interactions["text"]
    assert text.to_list() == ["good", "x"]


def test_latin1_is_detected_and_noted_or_given(write):
    path = write(b"user,item\n1,caf\xe9\n2,b\n")
    data = read(path)
    assert data.interactions["item_id"][0] == "café"
    assert data.report.notes == (
        "ratings.csv: not UTF-8 (line 2), read as latin-1; give encoding= (--encoding) if names look wrong",
    )
    assert read(path, encoding="latin-1").report.notes == ()
    with pytest.raises(ReadError, match=r"ratings\.csv, line 2: not utf-8"):
        read(path, encoding="utf-8")
    with pytest.raises(ReadError, match="encoding 'latin9000' is not known"):
        read(path, encoding="latin9000")


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
def test_other_encodings_are_read(write, encoding):
    content = "user::item\n1::猫\n2::狗\n".encode(encoding)
    given = None if encoding == "utf-16" else encoding  # UTF-16 is known by its mark
    assert read(write(content), encoding=given).interactions["item_id"].to_list() == ["猫", "狗"]


def test_the_last_event_of_a_pair_wins_by_time_and_then_by_place(write):
    rows = ["1,a,1,20", "1,a,2,30", "1,a,3,10", "2,b,1,", "2,b,2,5", "2,c,1,7", "2,c,2,7", "3,d,5,", "3,d,4,"]
    data = read(write(HEADER + "\n".join(rows) + "\n"))
    kept = {(u, i): r for u, i, r, _ in data.interactions.rows()}
    assert kept == {("1", "a"): 2, ("2", "b"): 2, ("2", "c"): 2, ("3", "d"): 4}
    assert data.report.dropped == {EARLIER: 5}


def test_nothing_left_and_one_user_alone_are_named(write):
    with pytest.raises(NotEnoughDataError, match=r"none of 2 rows could be kept \(2: rating is not a number\)"):
        read(write("user,item,rating\n1,a,x\n2,b,y\n"), on_bad="drop")
    with pytest.raises(NotEnoughDataError, match="All 2 interactions belong to one user, 1"):
        read(write("user,item\n1,a\n1,b\n"))


def test_counts_are_above_zero(write):
    path = write("user,item,count\n1,a,0\n2,b,-1\n3,c,2\n4,d,1\n")
    with pytest.raises(ReadError, match="line 2: weight '0' is not above 0"):
        read(path)
    assert read(path, on_bad="drop").report.dropped == {"weight is not above 0": 2}


def test_columns_of_lists_are_refused_with_a_word():
    table = pl.DataFrame({"user": [1, 2], "item": [[1], [2]]})
    with pytest.raises(ReadError, match=r"column for item_id holds List\(Int64\), not single values"):
        read(table)


def test_wrong_options_are_named(write):
    path = write(GOOD)
    with pytest.raises(ReadError, match="on_bad 'ignore' is neither"):
        read(path, on_bad="ignore")  # type: ignore[arg-type]
    with pytest.raises(ReadError, match="does not rise"):
        read(path, scale=(5, 1))


def test_an_unknown_folder_lists_what_it_holds(write):
    path = write(GOOD, "my-ratings.csv")
    with pytest.raises(ReadError, match=r"it holds my-ratings\.csv\. Give the path"):
        read(path.parent)


CELL = st.sampled_from(
    ["1", "2", "a", "", " ", "3.5", "9", "-1", "nan", "1e400", "x y", "2014-02-28", "\u4e2d", "NULL"]
)
LINE = st.lists(CELL, min_size=1, max_size=6).map(",".join)


@given(lines=st.lists(LINE, min_size=1, max_size=30), times=st.booleans(), quoted=st.booleans())
def test_rows_in_are_rows_kept_and_rows_dropped_whatever_the_file_holds(tmp_path_factory, lines, times, quoted):
    path = tmp_path_factory.mktemp("law") / "r.csv"
    lines = [line.replace("a", '"a"') if quoted else line for line in lines]
    header = "user_id,item_id,rating,timestamp" if times else "user_id,item_id,rating,other"
    path.write_text("\n".join([header, *lines, "u1,i1,2,", "u2,i2,3,"]) + "\n")
    data = read(path, on_bad="drop", scale=(0, 5))
    report = data.report
    assert report.rows_in == len([line for line in lines if line]) + 2
    assert report.rows_in == report.rows_kept + sum(report.dropped.values())
    assert report.rows_kept == data.interactions.height
    assert all(report.dropped.values())


@given(rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)), min_size=2, max_size=40))
def test_csv_and_json_lines_tell_the_same(tmp_path_factory, rows):
    rows = [*rows, (90, 90, 1), (91, 91, 5)]
    folder = tmp_path_factory.mktemp("twins")
    (folder / "r.csv").write_text("user,item,rating\n" + "".join(f"{u},{i},{r}\n" for u, i, r in rows))
    (folder / "r.jsonl").write_text("".join(json.dumps({"user": u, "item": i, "rating": r}) + "\n" for u, i, r in rows))
    csv, lines = read(folder / "r.csv"), read(folder / "r.jsonl")
    assert csv.interactions.equals(lines.interactions)
    assert csv.fingerprint() == lines.fingerprint()
