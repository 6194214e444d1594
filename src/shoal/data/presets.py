"""Public data sets that are known: their files, columns, separators, scales and times, one small record each.

A preset is recognised by the names of the files in a folder, or by the columns of a file; `shoal.read(..., preset=)`
names one outright, and ``"none"`` keeps all of them away. Options given to `read` go before what a preset says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from shoal.tables import AT, ITEM, RATING, TEXT, USER, WEIGHT


@dataclass(frozen=True)
class Layout:
    """How one file is laid out.

    Attributes
    ----------
    file : str
        Its usual name (it may be gzipped and end in .gz).
    columns : mapping of str to str or tuple of str
        Our column -> the file's; several text columns are joined; ``""`` does without. For items and users the id.
    header : tuple of str
        Columns by which the file is known.
    names : tuple of str
        The columns, where the file has no header.
    separator, encoding : str or None
        None finds out.
    fields : tuple of polars.Expr
        For items and users: what is kept, made from the file's columns as strings (an empty cell is null).
    sure : bool
        Whether `header` alone is enough to know the file, whatever it is called.
    """

    file: str
    columns: Mapping[str, str | tuple[str, ...]]
    header: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    separator: str | None = None
    encoding: str | None = None
    fields: tuple[pl.Expr, ...] = ()
    sure: bool = False


@dataclass(frozen=True)
class Preset:
    """One public data set."""

    name: str
    ratings: tuple[Layout, ...]
    items: Layout | None = None
    users: Layout | None = None
    scale: tuple[float, float] | None = None
    at_format: tuple[str, ...] | None = None
    beside: tuple[str, ...] = field(default=())
    """Files that stand in the same folder, where the ratings alone could be anyone's."""
    note: str = ""


def split(column: str, separator: str, *, without: str | None = None) -> pl.Expr:
    """Return a list column from "a|b|c"; null where the cell is empty or says `without`."""
    cell = pl.col(column) if without is None else pl.col(column).replace(without, None)
    return cell.str.split(separator).list.eval(pl.element().str.strip_chars())


def words(column: str, meaning: Mapping[str, str]) -> pl.Expr:
    """Return a column of codes as words; a code that is not known stays as it is."""
    return pl.col(column).replace(dict(meaning))


AGES = {"1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56 and over"}
GENDERS = {"F": "female", "M": "male"}
OCCUPATIONS = dict(
    enumerate(
        (
            "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
            "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer",
            "programmer", "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer",
            "tradesman/craftsman", "unemployed", "writer",
        )
    )
)  # fmt: skip
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
STARS = (1.0, 5.0)


def _flags(names: tuple[str, ...]) -> pl.Expr:
    marked = [pl.when(pl.col(n) == "1").then(pl.lit(n)) for n in names if n != "unknown"]
    return pl.concat_list(marked).list.drop_nulls().alias("genres")


_MOVIELENS = {USER: "user_id", ITEM: "item_id", RATING: "rating", AT: "timestamp"}
_RATING_FIELDS = ("user_id", "item_id", "rating", "timestamp")

ML_100K = Preset(
    "ml-100k",
    (Layout("u.data", _MOVIELENS, names=_RATING_FIELDS, separator="\t"),),
    items=Layout(
        "u.item",
        {ITEM: "item_id"},
        names=("item_id", "title", "release_date", "video_date", "url", *GENRES_100K),
        separator="|",
        encoding="latin-1",
        fields=(pl.col("title"), _flags(GENRES_100K)),
    ),
    users=Layout(
        "u.user",
        {USER: "user_id"},
        names=("user_id", "age", "gender", "occupation", "zip_code"),
        separator="|",
        fields=(words("gender", GENDERS), pl.col("age").cast(pl.Int64, strict=False), pl.col("occupation")),
    ),
    scale=STARS,
)
ML_1M = Preset(
    "ml-1m",
    (
        Layout("ratings.dat", _MOVIELENS, names=_RATING_FIELDS, separator="::"),
        Layout("ratings.csv", _MOVIELENS, header=_RATING_FIELDS),
    ),
    items=Layout(
        "movies.dat",
        {ITEM: "item_id"},
        names=("item_id", "title", "genres"),
        separator="::",
        encoding="latin-1",
        fields=(pl.col("title"), split("genres", "|")),
    ),
    users=Layout(
        "users.dat",
        {USER: "user_id"},
        names=("user_id", "gender", "age", "occupation", "zip_code"),
        separator="::",
        fields=(
            words("gender", GENDERS),
            words("age", AGES),
            words("occupation", {str(code): word for code, word in OCCUPATIONS.items()}),
        ),
    ),
    scale=STARS,
    beside=("movies.dat", "users.dat"),
)
ML_LATEST = Preset(
    "ml-latest",
    (
        Layout(
            "ratings.csv",
            {USER: "userId", ITEM: "movieId", RATING: "rating", AT: "timestamp"},
            header=("userId", "movieId", "rating", "timestamp"),
            sure=True,
        ),
    ),
    items=Layout(
        "movies.csv",
        {ITEM: "movieId"},
        header=("movieId", "title", "genres"),
        fields=(pl.col("title"), split("genres", "|", without="(no genres listed)")),
        sure=True,
    ),
    scale=(0.5, 5.0),
)
GOODBOOKS = Preset(
    "goodbooks-10k",
    (
        Layout(
            "ratings.csv",
            {USER: "user_id", ITEM: "book_id", RATING: "rating"},
            header=("book_id", "user_id", "rating"),
        ),
    ),
    items=Layout(
        "books.csv",
        # The ratings' book_id is books.csv's id; its own book_id is another numbering (Goodreads').
        {ITEM: "id"},
        header=("id", "book_id", "work_id", "authors", "title", "original_publication_year", "language_code"),
        fields=(
            pl.col("title"),
            split("authors", ","),
            pl.col("original_publication_year").cast(pl.Float64, strict=False).cast(pl.Int64).alias("year"),
            pl.col("language_code"),
        ),
        sure=True,
    ),
    scale=STARS,
    beside=("books.csv",),
)
LASTFM = Preset(
    "lastfm",
    (
        Layout(
            "user_artists.dat",
            {USER: "userID", ITEM: "artistID", WEIGHT: "weight"},
            header=("userID", "artistID", "weight"),
            separator="\t",
            sure=True,
        ),
    ),
    items=Layout(
        "artists.dat",
        {ITEM: "id"},
        header=("id", "name", "url", "pictureURL"),
        separator="\t",
        fields=(pl.col("name").alias("title"),),
        sure=True,
    ),
    note="listening counts have no time; the artists' tags are left out, because they may be younger than a cut-off",
)
AMAZON = Preset(
    "amazon",
    (
        Layout(
            "reviews.json",
            {
                USER: "reviewerID",
                ITEM: "asin",
                RATING: "overall",
                AT: "unixReviewTime",
                TEXT: ("summary", "reviewText"),
            },
            header=("reviewerID", "asin", "overall", "unixReviewTime", "summary", "reviewText"),
            sure=True,
        ),
        Layout(
            "reviews.csv",
            {USER: "user_id", ITEM: "item_id", RATING: "rating", AT: "unix_time", TEXT: ("summary", "review")},
            header=("user_id", "item_id", "rating", "unix_time", "summary", "review"),
            sure=True,
        ),
    ),
    scale=STARS,
)
JESTER = Preset(
    "jester",
    (
        Layout(
            "jester5k_ratings.csv",
            {USER: "user_id", ITEM: "joke_id", RATING: "rating"},
            header=("user_id", "joke_id", "rating"),
        ),
    ),
    items=Layout("jester_jokes.csv", {ITEM: "joke_id"}, header=("joke_id", "text"), fields=(pl.col("text"),)),
    scale=(-10.0, 10.0),
)
ZOMATO = Preset(
    "zomato",
    (
        Layout(
            "reviews.csv",
            {USER: "user_id", ITEM: "restaurant", RATING: "rating", AT: "time", TEXT: "review"},
            header=("restaurant", "user_id", "rating", "time", "review"),
            sure=True,
        ),
    ),
    items=Layout(
        "restaurants.csv",
        {ITEM: "Name"},
        header=("Name", "Cost", "Collections", "Cuisines"),
        fields=(
            pl.col("Name").alias("title"),
            split("Cuisines", ",").alias("cuisines"),
            split("Collections", ",").alias("collections"),
            pl.col("Cost").str.replace_all(",", "").cast(pl.Float64, strict=False).alias("cost"),
        ),
        sure=True,
    ),
    scale=STARS,
    at_format=("%m/%d/%Y %H:%M", "%m-%d-%Y %H:%M"),
)
DOUBAN = Preset(
    "douban",
    (
        Layout(
            "comments.csv",
            {USER: "user_id", ITEM: "film_id", RATING: "rating", AT: "time", TEXT: "comment"},
            header=("user_id", "film_id", "rating", "time", "votes", "comment"),
            sure=True,
        ),
    ),
    scale=STARS,
)
TWITTER_AIRLINE = Preset(
    "twitter-airline",
    (
        Layout(
            "tweets.csv",
            {USER: "user_id", ITEM: "airline", AT: "time", TEXT: "text", RATING: "", WEIGHT: ""},
            header=("user_id", "airline", "time", "sentiment", "sentiment_confidence", "negative_reason", "text"),
            sure=True,
        ),
    ),
    at_format=("%d-%m-%Y %H.%M",),
    note="a sentiment is no rating: tweets are events without a value, with their text",
)

PRESETS: Mapping[str, Preset] = {
    p.name: p
    for p in (
        ML_100K, ML_1M, ML_LATEST, GOODBOOKS, LASTFM, AMAZON, JESTER, ZOMATO, DOUBAN, TWITTER_AIRLINE,
    )
}  # fmt: skip
