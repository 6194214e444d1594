"""Public data sets are recognised by their files and columns, and by nothing less."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from shoal.data.presets import GENRES_100K, PRESETS
from shoal.data.read import read
from shoal.errors import ReadError

ML_1M = {
    "ratings.dat": "1::10::5::978300760\n2::20::3::978300761\n",
    "movies.dat": "10::Misérables, Les (1995)::Drama|Musical\n20::M. Butterfly (1993)::Drama\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}


def _folder(tmp_path: Path, files: dict[str, str], encoding: str = "utf-8") -> Path:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode(encoding))
    return tmp_path


def test_movielens_100k_is_read_from_its_folder(tmp_path):
    flags = ["1" if g in ("Comedy", "War") else "0" for g in GENRES_100K]
    item = "|".join(["242", "Kolya é (1996)", "24-Jan-1997", "", "http://x", *flags])
    unknown = "|".join(["302", "unknown", "", "", "", "1", *["0"] * 18])
    files = {
        "u.data": "196\t242\t3\t881250949\n186\t302\t4\t891717742\n",
        "u.item": f"{item}\n{unknown}\n",
        "u.user": "196|24|M|technician|85711\n186|53|F|other|94043\n",
    }
    data = read(_folder(tmp_path, files, "latin-1"))
    assert data.report.notes[0] == "preset ml-100k"
    assert data.items.rows() == [("242", "Kolya é (1996)", ["Comedy", "War"]), ("302", "unknown", [])]
    assert data.users.rows() == [("196", "male", 24, "technician"), ("186", "female", 53, "other")]
    assert (data.scale.low, data.scale.high) == (1, 5)
    assert data.interactions["at"].dt.year().to_list() == [1997, 1998]


def test_movielens_1m_is_read_from_its_folder_and_from_single_files(tmp_path):
    folder = _folder(tmp_path, ML_1M, "latin-1")
    whole = read(folder)
    single = read(folder / "ratings.dat", items=folder / "movies.dat", users=folder / "users.dat")
    assert whole.items.rows() == [
        ("10", "Misérables, Les (1995)", ["Drama", "Musical"]),
        ("20", "M. Butterfly (1993)", ["Drama"]),
    ]
    assert whole.users.row(1) == ("2", "male", "56 and over", "self-employed")
    assert whole.fingerprint() == single.fingerprint()


def test_a_dat_file_of_items_is_known_beside_ratings_of_ones_own(tmp_path):
    folder = _folder(tmp_path, {"movies.dat": "1::A (1990)::Drama\n2::B::Comedy|Drama\n"})
    data = read(pl.DataFrame({"user": [1, 2], "item": [1, 2]}), items=folder / "movies.dat")
    assert data.items.rows() == [("1", "A (1990)", ["Drama"]), ("2", "B", ["Comedy", "Drama"])]


def test_a_row_with_a_separator_too_many_is_named(tmp_path):
    folder = _folder(tmp_path, {**ML_1M, "movies.dat": "10::A::Drama\n20::B::or::C::Drama\n"})
    with pytest.raises(ReadError, match=r"movies\.dat, line 2 has 5 fields instead of 3"):
        read(folder)


def test_amazon_json_lines_are_known_by_their_keys_whatever_the_file_is_called(tmp_path):
    rows = [
        {"reviewerID": "A1", "asin": "0012", "overall": 5.0, "unixReviewTime": 1393545600, "summary": "Fine!",
         "reviewText": "Works.", "helpful": [0, 1]},
        {"reviewerID": "A2", "asin": "0013", "overall": 2.0, "unixReviewTime": 1393545600, "summary": "Bad",
         "reviewText": "Broke."},
    ]  # fmt: skip
    path = tmp_path / "Musical_Instruments_5.json.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    data = read(path)
    assert data.report.notes[0] == "preset amazon"
    assert data.interactions["text"].to_list() == ["Fine! Works.", "Bad. Broke."]
    assert data.interactions["item_id"].to_list() == ["0012", "0013"]


def test_a_gzipped_folder_is_the_same_folder(tmp_path):
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(b"userId,movieId,rating,timestamp\n1,5,3,9\n2,6,4,9\n"))
    (tmp_path / "movies.csv.gz").write_bytes(gzip.compress(b"movieId,title,genres\n5,A,(no genres listed)\n6,B,War\n"))
    data = read(tmp_path)
    assert data.report.files == ("ratings.csv.gz", "movies.csv.gz")
    assert data.items["genres"].to_list() == [None, ["War"]]


def test_columns_that_could_be_anyones_give_no_scale_without_their_neighbours(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("book_id,user_id,rating\n1,1,9\n2,2,10\n")
    data = read(path)
    assert (data.scale.low, data.scale.high) == (9, 10)
    assert data.report.notes == ()


def test_options_go_before_the_preset(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,rating,timestamp\n1,5,9,2014\n2,6,10,2015\n")
    with pytest.raises(ReadError, match=r"outside the scale 0\.5 to 5"):
        read(path)
    data = read(path, scale=(1, 10), at="")
    assert (data.scale.high, data.has_times) == (10, False)
    assert read(path, preset="none").scale.high == 10


def test_a_preset_by_name_must_fit_and_be_known(tmp_path):
    path = tmp_path / "any.csv"
    path.write_text("user_id,item_id,rating\n1,5,3\n2,6,4\n")
    with pytest.raises(ReadError, match=r"preset lastfm: any\.csv has the columns user_id, item_id, rating"):
        read(path, preset="lastfm")
    with pytest.raises(ReadError, match=r"preset 'ml1m' is not known.*Did you mean ml-1m\?"):
        read(path, preset="ml1m")
    with pytest.raises(ReadError, match="does not hold the files of the preset ml-1m"):
        read(tmp_path, preset="ml-1m")


def test_a_preset_by_name_reads_a_file_of_any_name(tmp_path):
    path = tmp_path / "part1.dat"
    path.write_text("1::10::5::978300760\n2::20::3::978300761\n")
    assert read(path, preset="ml-1m").scale.levels == (3, 5)
    path.write_text("1\t10\t5\t978300760\n2\t20\t3\t978300761\n")
    assert read(path, preset="ml-100k").report.notes[0] == "preset ml-100k"


def test_items_in_memory_with_other_types_do_not_trip_over_the_preset():
    ratings = pl.DataFrame({"userId": [1, 2], "movieId": [5, 6], "rating": [3.0, 4.0], "timestamp": [9, 9]})
    items = pl.DataFrame({"movieId": [5, 6], "title": ["A", "B"], "genres": [["War"], []]})
    data = read(ratings, items=items)
    assert data.report.notes[0] == "preset ml-latest"
    assert data.items.rows() == [("5", "A", ["War"]), ("6", "B", [])]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_names_columns_that_its_file_has(preset):
    for layout in (*preset.ratings, preset.items, preset.users):
        if layout is None:
            continue
        columns = layout.header or layout.names
        wanted = [n for c in layout.columns.values() for n in ((c,) if isinstance(c, str) else c) if n]
        wanted += [root for field in layout.fields for root in field.meta.root_names()]
        assert set(wanted) <= set(columns)
