"""Which column of a file is which: by option, by preset, else by its usual names."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.errors import ReadError, did_you_mean
from shoal.tables import AT, ITEM, RATING, TEXT, USER, WEIGHT

USUAL: Mapping[str, tuple[str, ...]] = {
    USER: ("user_id", "user", "uid", "userId", "reviewerID", "reviewer", "customer_id", "customer", "member_id",
           "visitor_id", "account_id", "person_id", "author_id", "session_id"),
    ITEM: ("item_id", "item", "iid", "movieId", "movie", "film_id", "film", "asin", "parent_asin", "product_id",
           "product", "book_id", "book", "isbn", "joke_id", "joke", "artistID", "artist", "track_id", "song_id",
           "restaurant_id", "restaurant", "business_id", "hotel_id", "game_id", "app_id", "article_id", "news_id",
           "video_id", "recipe_id", "venue_id", "place_id", "airline", "sku", "anime_id"),
    RATING: ("rating", "ratings", "overall", "stars", "star_rating", "score", "grade", "user_rating"),
    WEIGHT: ("weight", "count", "counts", "plays", "play_count", "playcount", "listens", "clicks", "views",
             "quantity", "times_played"),
    AT: ("at", "timestamp", "time", "unix_time", "unixReviewTime", "date", "datetime", "created_at", "review_time",
         "review_date", "event_time", "rated_at"),
    TEXT: ("text", "review", "reviewText", "review_text", "review_body", "comment", "comments", "body", "content"),
}  # fmt: skip
"""Usual names by meaning; spelling (case, blanks, underscores) does not matter."""

OPTION = {USER: "user_id", ITEM: "item_id", RATING: "rating", WEIGHT: "weight", AT: "at", TEXT: "text"}
WITHOUT = ""
"""As an option: do without this column although the file seems to have it."""


def plain(name: str) -> str:
    """Return a column name without case, blanks, underscores and dashes."""
    return "".join(c for c in name.lower() if c.isalnum())


def find(
    columns: tuple[str, ...],
    given: Mapping[str, str | tuple[str, ...] | None],
    *,
    name: str,
    needed: tuple[str, ...] = (USER, ITEM),
    hint: str = "",
) -> dict[str, tuple[str, ...]]:
    """Return, for each meaning, the file's column (text may have several); a meaning without one is left out.

    Parameters
    ----------
    columns : tuple of str
        The file's columns.
    given : mapping
        Columns by meaning; None looks for the usual names, ``""`` does without.
    name : str
        The file, for messages.
    needed : tuple of str
        Meanings that must be found.
    hint : str
        A sentence to add when a needed one is not found.

    Raises
    ------
    ReadError
        A column given is not in the file, or none or several fit; lists the columns and the option to use.
    """
    found: dict[str, tuple[str, ...]] = {}
    for meaning in USUAL:
        if meaning not in given:
            continue
        option = given[meaning]
        if option is None:
            found[meaning] = _usual(columns, meaning, name)
        elif option != WITHOUT:
            found[meaning] = _named(columns, meaning, option, name)
    if given.get(WEIGHT) is None and found.get(RATING):
        found.pop(WEIGHT, None)  # ratings and counts in one file: the ratings are meant, unless both are asked for
    for meaning in needed:
        if not found.get(meaning):
            raise ReadError(
                f"{name} has no column for {meaning} that is known by name. {_way_out(columns, meaning)}{hint}"
            )
    return {meaning: names for meaning, names in found.items() if names}


def _usual(columns: tuple[str, ...], meaning: str, name: str) -> tuple[str, ...]:
    if meaning in columns:
        return (meaning,)
    usual = {plain(n) for n in USUAL[meaning]}
    fits = tuple(c for c in columns if plain(c) in usual)
    if len(fits) > 1:
        raise ReadError(f"{name} has several columns that may be {meaning}: {', '.join(fits)}. {_way_out((), meaning)}")
    return fits


def _named(columns: tuple[str, ...], meaning: str, option: str | tuple[str, ...], name: str) -> tuple[str, ...]:
    names = (option,) if isinstance(option, str) else tuple(option)
    for one in names:
        if one not in columns:
            raise ReadError(
                f"{name} has no column {one} (given as {OPTION[meaning]}); it has {', '.join(columns)}."
                f"{did_you_mean(one, columns)}"
            )
    return names


def _way_out(columns: tuple[str, ...], meaning: str) -> str:
    option = OPTION[meaning]
    has = f"It has {', '.join(columns)}. " if columns else ""
    return f'{has}Say which one it is: {option}="..." (--{option.replace("_", "-")} ...).'
