"""Planted worlds: data sets whose right answer is known, for tests, examples and scaling runs.

Each item speaks of one topic, in its title and in its genres. Each user belongs to one segment, and the users of a
segment prefer one topic. What a model finds can be held against what was planted; in a noise world there is nothing to
find, and a model that finds something is wrong.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.data.dataset import Dataset, make
from shoal.errors import ConfigError
from shoal.seeding import generator
from shoal.tables import AT, ITEM, MOMENT, RATING, SEGMENT, USER

TOPICS: dict[str, tuple[str, ...]] = {
    "Space": ("galaxy", "rocket", "planet", "comet", "astronaut", "orbit", "lunar", "starship", "nebula", "alien"),
    "Horror": ("haunted", "vampire", "curse", "zombie", "grave", "nightmare", "demon", "ghost", "scream", "crypt"),
    "Romance": (
        "wedding",
        "kiss",
        "sweetheart",
        "bride",
        "valentine",
        "lovers",
        "darling",
        "heart",
        "honeymoon",
        "vow",
    ),
    "Western": ("cowboy", "sheriff", "saloon", "outlaw", "ranch", "prairie", "stagecoach", "saddle", "canyon", "posse"),
    "War": ("soldier", "battle", "trench", "regiment", "tank", "siege", "platoon", "general", "invasion", "armistice"),
    "Music": ("guitar", "melody", "orchestra", "singer", "concert", "rhythm", "piano", "jazz", "drummer", "ballad"),
    "Ocean": ("whale", "sailor", "reef", "harbour", "island", "tide", "shipwreck", "dolphin", "lighthouse", "anchor"),
    "Magic": ("wizard", "dragon", "spell", "enchanted", "unicorn", "sorcerer", "elf", "potion", "castle", "wand"),
    "Crime": ("detective", "murder", "heist", "gangster", "alibi", "witness", "robbery", "verdict", "suspect", "mafia"),
    "Sport": (
        "football",
        "champion",
        "stadium",
        "boxer",
        "marathon",
        "coach",
        "goalkeeper",
        "referee",
        "league",
        "race",
    ),
    "Cooking": ("chef", "kitchen", "recipe", "bakery", "banquet", "spice", "restaurant", "soup", "pastry", "oven"),
    "Nature": ("forest", "wolf", "river", "meadow", "garden", "eagle", "mountain", "wildflower", "bear", "valley"),
}
"""Topics and their words, such that a language model, and a reader, can tell them apart."""

SHARED_GENRES = ("Classic", "Series", "Short")
"""Genres that items of any topic may have beside their own: they tell nothing about a segment."""

START = np.datetime64("2024-01-01T00:00:00", "us")
YEAR_SECONDS = 365 * 86_400
BLOCK = 1 << 24  # cells drawn at once: 64 MB


def planted_world(
    *,
    users: int = 300,
    items: int = 200,
    segments: int = 4,
    events_per_user: int = 30,
    noise: float = 0.1,
    times: bool = True,
    seed: int = 0,
) -> tuple[Dataset, pl.DataFrame]:
    """Make a data set with known segments.

    A user's items are drawn without repetition, popular ones first, from the topic of the user's segment and, for the
    share `noise`, from everything. Ratings run from 1 to 5 and depend on whether the item fits. Segments and topics
    have equal sizes up to one.

    Parameters
    ----------
    users, items : int
        How many; time grows with their product (100,000 users by 10,000 items take about 40 seconds).
    segments : int
        1 to 12, the number of `TOPICS`.
    events_per_user : int
        At most `items`. A user who runs out of fitting items goes on with others.
    noise : float
        0 (users touch their topic alone) to 1 (no structure at all).
    times : bool
        Whether events have times, spread over the year 2024.
    seed : int
        Same seed, same world.

    Returns
    -------
    dataset : Dataset
        Items have a title and genres (a list); ids are ``u0, u1, ...`` and ``i0, i1, ...``.
    truth : polars.DataFrame
        user_id (String), segment (Int32), one row a user; segment s prefers the topic that stands at place s of
        `TOPICS`.

    Raises
    ------
    ConfigError
        A number is out of its range.
    """
    _check(users, items, segments, events_per_user, noise)
    rng = generator(seed, "planted world")
    segment = rng.permutation(users).astype(np.int32) % segments
    topic = rng.permutation(items).astype(np.int32) % segments
    chosen = _choose_items(segment, topic, events_per_user, noise, rng)  # (users, events)
    user_rows, item_rows = np.repeat(np.arange(users), events_per_user), chosen.ravel()
    user_ids, item_ids = _ids("u", users), _ids("i", items)
    fits = segment[user_rows] == topic[item_rows]
    events = {
        USER: user_ids.gather(user_rows),
        ITEM: item_ids.gather(item_rows),
        RATING: _ratings(fits, user_rows, users, noise, rng),
    }
    if times:
        events[AT] = _times(len(user_rows), rng)
    catalogue = pl.DataFrame({ITEM: item_ids, **_texts(topic, rng)})
    dataset = make(pl.DataFrame(events), catalogue, pl.DataFrame({USER: user_ids}), scale=(1, 5), name="planted world")
    return dataset, pl.DataFrame({USER: user_ids, SEGMENT: segment})


def noise_world(
    *,
    users: int = 300,
    items: int = 200,
    segments: int = 4,
    events_per_user: int = 30,
    times: bool = True,
    seed: int = 0,
) -> tuple[Dataset, pl.DataFrame]:
    """Make a data set of the same shapes as `planted_world` in which the segments touch nothing.

    Items still have topics and popularity; who takes and rates what does not depend on the user's segment. The truth
    table is there so that a test can ask whether it is *not* found.
    """
    return planted_world(
        users=users,
        items=items,
        segments=segments,
        events_per_user=events_per_user,
        noise=1.0,
        times=times,
        seed=seed,
    )


def _check(users: int, items: int, segments: int, events_per_user: int, noise: float) -> None:
    ranges = {
        "users": (users, 2, 2**31),
        "segments": (segments, 1, len(TOPICS)),
        "items": (items, max(2, segments), 2**31),
        "events_per_user": (events_per_user, 1, items),
        "noise": (noise, 0, 1),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ConfigError(f"{name} = {value}: must be from {low:,} to {high:,} here.")


def _ids(letter: str, n: int) -> pl.Series:
    return letter + pl.Series(np.arange(n)).cast(pl.String)


def _choose_items(
    segment: np.ndarray, topic: np.ndarray, events: int, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw `events` distinct items for each user, in proportion to weights (Efraimidis and Spirakis 2006).

    The items with the smallest exponential waiting times are such a draw.
    """
    n_items = len(topic)
    popularity = 1 / (10 + rng.permutation(n_items).astype(np.float32))
    fits = np.arange(segment.max() + 1)[:, None] == topic  # (segments, items)
    weights = popularity * ((1 - noise) * fits / fits.mean(axis=1, keepdims=True) + noise)
    # What does not fit at all comes after everything else, and still in random order.
    scale = (1 / np.maximum(weights, 1e-30)).astype(np.float32)
    chosen = np.empty((len(segment), events), np.int32)
    step = max(1, BLOCK // n_items)
    for start in range(0, len(segment), step):
        part = segment[start : start + step]
        waiting = rng.standard_exponential((len(part), n_items), dtype=np.float32) * scale[part]
        chosen[start : start + step] = np.argpartition(waiting, events - 1, axis=1)[:, :events]
    return chosen


def _ratings(fits: np.ndarray, user_rows: np.ndarray, users: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    habit = rng.normal(0, 0.3, users).astype(np.float32)
    taste = (1 - noise) * np.where(fits, np.float32(1.0), np.float32(-1.0))
    luck = rng.standard_normal(len(fits), dtype=np.float32) * np.float32(0.6)
    return np.clip(np.rint(3.2 + taste + habit[user_rows] + luck), 1, 5).astype(np.float32)


def _times(events: int, rng: np.random.Generator) -> pl.Series:
    seconds = rng.integers(0, YEAR_SECONDS, events)
    return pl.Series((START + seconds.astype("timedelta64[s]")).astype("datetime64[us]")).cast(MOMENT)


def _texts(topic: np.ndarray, rng: np.random.Generator) -> dict[str, list]:
    """Write titles of two words of the topic, and genres: the topic and, for some items, a shared one."""
    names = list(TOPICS)
    words = np.array([TOPICS[name] for name in names])  # (topics, words)
    first = rng.integers(0, words.shape[1], len(topic))
    second = (first + rng.integers(1, words.shape[1], len(topic))) % words.shape[1]
    shared = rng.integers(0, 2 * len(SHARED_GENRES), len(topic))
    heads, tails = np.char.title(words[topic, first]), np.char.title(words[topic, second])
    titles = [f"The {head} and the {tail}" for head, tail in zip(heads, tails, strict=True)]
    genres = [
        [names[t], *SHARED_GENRES[s : s + 1]] if s < len(SHARED_GENRES) else [names[t]]
        for t, s in zip(topic.tolist(), shared.tolist(), strict=True)
    ]
    return {"title": titles, "genres": genres}
