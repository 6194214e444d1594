"""Names by a language model: taken where they are true, replaced where they are not, and nothing private sent."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
from chat_server import breaks_off, drips, fails, floods, says, serving, sleeps
from hypothesis import given
from hypothesis import strategies as st

from shoal.config import Name
from shoal.data.synthetic import TOPICS, planted_world
from shoal.errors import ConfigError, MissingExtraError
from shoal.progress import Progress
from shoal.segment import wire
from shoal.segment.ask import Chat, Endpoint
from shoal.segment.evidence import Told, support, told
from shoal.segment.name import LONGEST, ContrastNamer, key
from shoal.segment.namer import KEY, MODEL, URL, ModelNamer, check, contrast, name_segments, opened
from shoal.segment.profile import PROFILES, profiles
from shoal.segment.truth import about_items, eras_of, fault, speaks_of_items, subject_of

TOPIC = list(TOPICS)


class Heard(Progress):
    """Remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture(scope="module")
def world():
    """Members, profiles and data of three planted segments; user and item ids can be told from all other words."""
    data, truth = planted_world(users=240, items=90, segments=3, events_per_user=20, noise=0.2, seed=3)
    ids = {f"u{i}": f"person-{i:04}-x" for i in range(240)}
    members = truth.with_columns(pl.col("user_id").replace_strict(ids))
    events = data.interactions.with_columns(pl.col("user_id").cast(pl.String).replace_strict(ids).cast(pl.Categorical))
    return profiles(members, events, data.items), members, events, data.items


@pytest.fixture(scope="module")
def counts(world):
    return support(*world)


@pytest.fixture
def settings(monkeypatch):
    """Settings for a server's address, with a key in the environment."""
    monkeypatch.setenv(KEY, "sk-secret-key")

    def made(server, **over) -> Name:
        return Name(**{"namer": "openai", "url": server.url, "model": "tiny", "retries": 0, "timeout_s": 2.0} | over)

    return made


def answer(*names: str, numbers=None) -> dict:
    numbers = range(len(names)) if numbers is None else numbers
    return {"segments": [{"segment": s, "name": n, "evidence": ""} for s, n in zip(numbers, names, strict=True)]}


TRUE = [f"{topic} fans" for topic in TOPIC[:3]]


def named(world, server, settings, **over):
    heard = Heard()
    over = {"seed": 1, "progress": heard} | over
    found = name_segments(*world, settings(server), **over)
    return found, heard.warnings


def test_true_names_are_taken_all_in_one_call(world, settings):
    with serving(says(answer(*TRUE))) as server:
        found, warnings = named(world, server, settings)
    assert found.names == TRUE
    assert found.sources == ["model"] * 3
    assert warnings == []
    assert len(server.seen) == len(found.calls) == 1


def test_the_model_is_given_figures_inside_and_elsewhere(world, settings):
    with serving(says(answer(*TRUE))) as server:
        named(world, server, settings)
    asked = server.seen[0]["body"]["messages"][1]["content"]
    facts = json.loads(asked.splitlines()[1])["segments"]
    assert [f["segment"] for f in facts] == [0, 1, 2]
    assert facts[0]["categories"][0]["label"] == TOPIC[0]
    assert re.fullmatch(r"\d+ %", facts[0]["categories"][0]["in"])
    assert facts[0]["typical_items"]
    assert facts[0]["users"] == 80


def test_no_user_id_no_item_id_and_no_key_is_sent_in_the_body(world, settings):
    with serving(says(answer(*TRUE))) as server:
        found, _ = named(world, server, settings)
    _, members, events, _ = world
    body = json.dumps(server.seen[0]["body"], ensure_ascii=False)
    kept = json.dumps(found.document(world[0], settings(server)), ensure_ascii=False)
    for text in (body, kept):
        assert not [u for u in members["user_id"] if u in text]
        assert not re.search(r"person-\d|\bi\d+\b", text)
        assert "sk-secret-key" not in text
    assert events.height > 1_000  # and there was something to leak


FAULTS = {
    "time-out": sleeps(5),
    "drips": drips,
    "429": fails(429),
    "500": fails(500, "<html>oops</html>"),
    "401": fails(401),
    "broken off": breaks_off,
    "floods": floods,
    "no JSON": says("I cannot do that."),
    "truncated": says('{"segments": [{"segment": 0, "name": "Ani', finish="length"),
    "empty": says(None),
    "nothing of it": says({"segments": []}),
    "a list": says("[1, 2, 3]"),
    "other segments": says(answer("Space fans", numbers=[17])),
    "null": says({"segments": None}),
}


@pytest.mark.parametrize("behaviour", FAULTS.values(), ids=FAULTS.keys())
def test_whatever_goes_wrong_names_come_from_contrasts_with_one_warning(world, settings, behaviour, monkeypatch):
    monkeypatch.setattr(wire, "MOST_BYTES", 200_000)
    with serving(behaviour) as server:
        heard = Heard()
        found = name_segments(*world, settings(server, timeout_s=0.3), progress=heard)
    assert found.names == ContrastNamer().name(world[0])
    assert found.sources == ["contrast"] * 3
    assert len(heard.warnings) == 1
    assert "names come from contrasts" in heard.warnings[0]
    assert found.calls


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (f"{TOPIC[1]} fans", "is told of another segment|is not in the evidence|uses little"),
        ("Anime fans", "'anime' is not in the evidence"),
        (f"{TOPIC[0]} and Anime", "'anime' is not in the evidence"),
        (f"1990s {TOPIC[0]}", "'1990s' is not in the evidence"),
        (f"Heavy {TOPIC[0]} users", "'heavy' is not true"),
        (f"Strict {TOPIC[0]} users", "'strict' is not true"),
        ("Fans", "says nothing"),
        ("", "there is none"),
        ("!!!", "is empty"),
        (TOPIC[0] + " fans" * 9, "longer than 40"),
        (f"<b>{TOPIC[0]}</b>", "marks that no name has"),
        (f"{TOPIC[0]}\nfans", "cannot be shown"),
        ("动画迷", "another language"),
        (f"{TOPIC[0]} Liebhaber", "'liebhaber' is not in the evidence"),
        (7, "there is none"),
        (None, "there is none"),
    ],
)
def test_a_name_that_lies_is_replaced_for_its_segment_alone(world, settings, bad, why):
    with serving(says(answer(bad, *TRUE[1:]))) as server:
        found, warnings = named(world, server, settings)
    assert found.names[1:] == TRUE[1:]
    assert found.sources == ["contrast", "model", "model"]
    assert found.names[0] == ContrastNamer().name(world[0])[0]
    assert len(warnings) == 1
    assert re.search(f"segment 0 .*({why})", warnings[0])
    assert re.search(why, found.faults[0])


def test_a_missing_segment_is_named_from_contrasts(world, settings):
    with serving(says(answer(*TRUE[:2]))) as server:
        found, warnings = named(world, server, settings)
    assert found.sources == ["model", "model", "contrast"]
    assert "there is none" in warnings[0]


def test_of_two_entries_for_one_segment_neither_is_taken(world, settings):
    with serving(says(answer(*TRUE, f"{TOPIC[0]} lovers", numbers=[0, 1, 2, 0]))) as server:
        found, _ = named(world, server, settings)
    assert found.sources == ["contrast", "model", "model"]


@pytest.mark.parametrize("second", ["Classic fans", "classic FANS", "Classic lovers", "Fans of Classic"])
def test_names_that_a_reader_cannot_tell_apart_are_not_taken_twice(second):
    both = [Told(s, {}, ["Classic"], ["Classic"]) for s in (0, 1)]
    namer = ModelNamer(Chat(Endpoint("http://localhost/v1", "t")), pl.DataFrame())
    faults: dict[int, str] = {}
    entries = {0: {"name": "Classic fans"}, 1: {"name": second}}
    assert namer._taken(both, entries, {}, faults) == {0: "Classic fans"}
    assert "a sibling's too" in faults[1]


def test_a_contrast_name_does_not_repeat_a_models(world, settings):
    plain = ContrastNamer().name(world[0])
    with serving(says(answer("Anime", plain[1], "Anime"))) as server:
        found, _ = named(world, server, settings)
    assert len({key(name) for name in found.names}) == 3


def test_names_that_are_to_stay_stay_and_are_not_given_again(world, settings):
    with serving(says(answer("Ours", TRUE[1], TRUE[2]))) as server:
        found, warnings = named(world, server, settings, keep={0: "Our friends", 2: f"{TOPIC[1]} fans"})
    assert found.names[0] == "Our friends"
    assert found.names[2] == f"{TOPIC[1]} fans"
    assert found.sources == ["kept", "contrast", "kept"]
    assert len({key(n) for n in found.names}) == 3
    assert len(warnings) == 1
    assert "Our friends" in server.seen[0]["body"]["messages"][1]["content"]


def test_nothing_is_asked_where_all_names_stay(world, settings):
    with serving(says(answer(*TRUE))) as server:
        found, _ = named(world, server, settings, keep={0: "a", 1: "b", 2: "c"})
    assert found.names == ["a", "b", "c"]
    assert server.seen == []


def test_the_contrast_namer_keeps_names_too(world):
    plain = ContrastNamer().name(world[0])
    kept = ContrastNamer().name(world[0], keep={2: plain[0]})
    assert kept[2] == plain[0]
    assert len({key(n) for n in kept}) == 3


def test_the_same_profiles_make_no_new_call(world, settings, tmp_path):
    with serving(says(answer(*TRUE))) as server:
        first, _ = named(world, server, settings, cache=tmp_path)
        again, _ = named(world, server, settings, cache=tmp_path)
        assert len(server.seen) == 1
        assert again.names == first.names
        assert again.calls[0]["status"] == "cached"
        table, *others = world
        changed = table.with_columns(pl.col("events_per_user") + 5)
        name_segments(changed, *others, settings(server), cache=tmp_path)
        name_segments(*world, settings(server, model="other"), cache=tmp_path)
    assert len(server.seen) == 3


def test_an_evidence_sentence_with_a_figure_that_was_not_given_is_dropped(world, settings):
    share = re.search(r"\d+", json.loads(json.dumps(told(world[0], support(*world))[0].facts))["categories"][0]["in"])
    told_well = {"segment": 0, "name": TRUE[0], "evidence": f"{TOPIC[0]} {share[0]} % of events"}
    told_badly = {"segment": 1, "name": TRUE[1], "evidence": "99.97 % of all events"}
    with serving(says({"segments": [told_well, told_badly, {"segment": 2, "name": TRUE[2]}]})) as server:
        found, _ = named(world, server, settings)
    assert found.evidence == [told_well["evidence"], "", ""]
    assert found.names == TRUE


def test_a_label_carried_by_fewer_than_20_users_is_not_sent():
    rows = [(f"u{u}", "common") for u in range(60)] + [(f"u{u}", "rare") for u in range(19)]
    rows += [(f"u{u}", "enough") for u in range(20)] + [(f"u{u}", "other") for u in range(60, 120)]
    users, items = zip(*rows, strict=True)
    log = pl.DataFrame({"user_id": users, "item_id": items}).cast(pl.Categorical)
    names = ["common", "rare", "enough", "other"]
    catalogue = pl.DataFrame(
        {"item_id": pl.Series(names, dtype=pl.Categorical), "genres": [[n.title()] for n in names], "title": names}
    )
    members = pl.DataFrame({"user_id": [f"u{u}" for u in range(120)], "segment": [u // 60 for u in range(120)]})
    members = members.cast({"segment": pl.Int32})
    table = profiles(members, log, catalogue)
    assert {c["label"] for c in table["categories"][0]} >= {"Common", "Rare", "Enough"}
    sent = told(table, support(table, members, log, catalogue))[0]
    assert {"Common", "Enough", "common", "enough"} <= set(sent.labels)
    assert "rare" not in json.dumps(sent.facts).lower()


def test_a_segment_of_fewer_than_20_users_is_not_sent(world, settings):
    _, members, events, items = world
    few = members.filter((pl.col("segment") != 2) | (pl.int_range(pl.len()).over("segment") < 19))
    with serving(says(answer(*TRUE[:2]))) as server:
        found = name_segments(profiles(few, events, items), few, events, items, settings(server))
    facts = json.loads(server.seen[0]["body"]["messages"][1]["content"].splitlines()[1])["segments"]
    assert [f["segment"] for f in facts] == [0, 1]
    assert found.sources == ["model", "model", "contrast"]


def test_a_label_that_was_not_counted_is_not_sent(world):
    table = world[0]
    for one in told(table, support(*world).head(0)):
        assert "categories" not in one.facts
        assert "words" not in one.facts


def test_a_small_budget_gets_less_evidence_and_a_tiny_one_none(world, settings):
    lengths = {}
    for budget in (1_000, 1_600, 30_000):
        with serving(says(answer(*TRUE))) as server:
            heard = Heard()
            found = name_segments(*world, settings(server, max_tokens=budget), progress=heard)
        lengths[budget] = len(json.dumps(server.seen[0]["body"])) if server.seen else 0
        assert len(set(found.names)) == 3
        assert bool(heard.warnings) == (not server.seen)
    assert lengths[1_000] < lengths[1_600] < lengths[30_000]


def chinese_world():
    kinds = ["爱情青春故事，校园里的初恋第{}次", "科幻电影太空飞船，未来世界第{}部"]
    catalogue = pl.DataFrame(
        {
            "item_id": pl.Series([f"i{i}" for i in range(12)], dtype=pl.Categorical),
            "comment": [kinds[i // 6].format(i) for i in range(12)],
        }
    )
    rows = [(f"u{u}", f"i{i + 6 * (u % 2)}") for u in range(60) for i in range(6)]
    users, items = zip(*rows, strict=True)
    log = pl.DataFrame({"user_id": users, "item_id": items}).cast(pl.Categorical)
    members = pl.DataFrame({"user_id": [f"u{u}" for u in range(60)], "segment": [u % 2 for u in range(60)]})
    members = members.cast({"segment": pl.Int32})
    return profiles(members, log, catalogue), members, log, catalogue


def test_chinese_data_are_asked_for_in_chinese_and_get_chinese_names(settings):
    with serving(says(answer("青春爱情片爱好者", "科幻电影迷"))) as server:
        found, warnings = named(chinese_world(), server, settings)
    assert "用中文写" in server.seen[0]["body"]["messages"][1]["content"]
    assert found.names == ["青春爱情片爱好者", "科幻电影迷"]
    assert warnings == []


@pytest.mark.parametrize(("bad", "why"), [("Romance fans", "another language"), ("恐怖片迷", "'恐怖' is not in")])
def test_chinese_data_get_no_other_name(settings, bad, why):
    with serving(says(answer(bad, "科幻电影迷"))) as server:
        found, warnings = named(chinese_world(), server, settings)
    assert found.sources == ["contrast", "model"]
    assert re.search(why, warnings[0])
    assert re.search(r"[一-鿿]", found.names[0])


def test_a_language_of_choice_is_asked_for_and_its_words_are_not_looked_up(world, settings):
    german = ["Zeichentrickfreunde", "Weltraumfans", "Gruselfreunde"]
    with serving(says(answer(*german))) as server:
        found = name_segments(*world, settings(server, language="German"))
    assert "in German" in server.seen[0]["body"]["messages"][1]["content"]
    assert found.names == german
    with serving(says(answer("42 Freunde", *german[1:]))) as server:
        found = name_segments(*world, settings(server, language="German"))
    assert found.sources == ["contrast", "model", "model"]


def test_the_unassigned_keep_their_name(world, settings):
    _, members, events, items = world
    some = members.with_columns(
        pl.when(pl.int_range(pl.len()) < 30).then(pl.lit(-1, pl.Int32)).otherwise("segment").alias("segment")
    )
    with serving(says(answer(*TRUE))) as server:
        found = name_segments(profiles(some, events, items), some, events, items, settings(server))
    assert found.names == ["(unassigned)", *TRUE]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["segment", "name", "x"]), inner),
    max_leaves=10,
)


@given(st.lists(st.fixed_dictionaries({"segment": st.integers(-1, 4) | JSON, "name": JSON, "evidence": JSON}) | JSON))
def test_whatever_a_model_says_each_segment_has_a_short_name_of_its_own(world, counts, segments):
    class Says:
        name = url = "double"

        def reply(self, body):
            return wire.Answer("200", json.dumps({"choices": [{"message": {"content": json.dumps(said)}}]}))

        def hide(self, text):
            return text

    said = {"segments": segments}
    chat = Chat(Says(), retries=0)
    found = ModelNamer(chat, counts, progress=Heard()).named(world[0])
    assert len({key(n) for n in found.names}) == len(found.names) == 3
    assert all(0 < len(n) <= LONGEST for n in found.names)


TOLD = Told(
    0,
    {},
    ["Sci-Fi", "Comedy", "War", "1990s", "harry potter", "Blade Runner (1982)"],
    ["Sci-Fi", "Comedy", "War", "1990s"],
    ["Romance", "2010s"],
    1.5,
    0.4,
)


@pytest.mark.parametrize(
    "name",
    [
        "Sci-Fi and Comedy",
        "Comedies of the 90s",
        "Harry Potter readers",
        "War films, older titles",
        "Heavy Sci-Fi users",
        "Generous Sci-Fi fans",
        "Wars",
        "Blade Runner fans",
        "Classic comedies",
    ],
)
def test_a_name_in_the_words_of_the_evidence_is_true(name):
    assert fault(name, TOLD, elsewhere=["Music"]) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Romance fans", "uses little"),
        ("Sci-Fi and Romance", "uses little"),
        ("Sci-Fi and music", "another segment"),
        ("Casual Sci-Fi users", "not true"),
        ("Strict Sci-Fi critics", "not true"),
        ("New Sci-Fi", "not true"),
        ("Sci-Fi of the 80s", "not in the evidence"),
        ("2010s Sci-Fi", "not in the evidence|uses little"),
        ("Sci-Fi and books", "not in the evidence"),
        ("Dark Sci-Fi", "not in the evidence"),
        ("Heavy users of films", ""),
    ],
)
def test_a_name_that_says_more_than_the_evidence_is_not(name, why):
    found = fault(name, TOLD, elsewhere=["Music"])
    assert re.search(why, found) if why else not found


def test_a_models_habit_claims_are_held_against_the_figures():
    for ratio, true, false in ((1.5, "Heavy", "Casual"), (0.5, "Casual", "Heavy")):
        one = Told(0, {}, ["Drama"], ["Drama"], [], ratio, None)
        assert fault(f"{true} Drama users", one) == ""
        assert "not true" in fault(f"{false} Drama users", one)


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("Heavy users", False),
        ("Frequent, generous raters", False),
        ("Much like everyone", False),
        ("(unassigned)", False),
        ("Light users (2)", False),
        ("Drama", True),
        ("2000s titles", True),
        ("Older titles", True),
        ("重度用户", False),
        ("爱情片爱好者", True),
    ],
)
def test_names_of_habits_alone_are_told_from_names_of_items(name, speaks):
    assert speaks_of_items(name) is speaks


@pytest.mark.parametrize(
    ("name", "items", "subject", "eras"),
    [
        ("Heavy users of Drama", "drama", "drama", []),
        ("Drama", "Drama", "Drama", []),
        ("1990s Drama and War", "1990s Drama and War", "drama war", ["1990s"]),
        ("Newer titles, strict raters", "newer titles", "", ["new"]),
    ],
)
def test_a_name_is_taken_apart_for_a_judge(name, items, subject, eras):
    assert about_items(name) == items
    assert subject_of(name) == subject
    assert eras_of(name) == eras


def test_addresses_models_and_keys_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(URL, "http://localhost:1/v1")
    monkeypatch.setenv(MODEL, "tiny")
    found = opened(Name(namer="openai"))
    assert (found.name, found.url) == ("tiny", "http://localhost:1/v1/chat/completions")
    assert opened(Name(namer="openai", url="http://other/v1", model="big")).url.startswith("http://other/")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"namer": "openai"}, r"name\.url, or SHOAL_NAMER_URL"),
        ({"namer": "openai", "url": "http://localhost/v1"}, r"name\.model, or SHOAL_NAMER_MODEL"),
        ({"namer": "openai", "url": "localhost", "model": "m"}, "is no address"),
        ({"namer": "gguf"}, r"name\.model: the path"),
        ({"namer": "gguf", "model": "/no/such.gguf"}, "no such file"),
    ],
)
def test_what_no_namer_can_be_opened_with_is_refused_before_anything_is_sent(monkeypatch, values, words):
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.delenv(MODEL, raising=False)
    with pytest.raises(ConfigError, match=words):
        check(Name(**values))


def test_a_gguf_file_without_its_package_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llama_cpp", None)
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(MissingExtraError, match="llama-cpp-python"):
        check(Name(namer="gguf", model=str(path)))
    check(Name())


def test_contrast_names_send_nothing_and_are_those_of_the_namer(world):
    found = name_segments(*world, Name())
    assert found.names == ContrastNamer().name(world[0]) == contrast(world[0]).names
    assert found.calls == []


def test_support_counts_people_and_not_events(world):
    table, members, events, items = world
    counts = support(table, members, pl.concat([events, events]), items)
    assert counts.equals(support(*world))
    one = counts.filter(pl.col("segment") == 0, pl.col("label") == TOPIC[0]).row(0, named=True)
    with_topic = items.filter(pl.col("genres").list.contains(TOPIC[0]))["item_id"].cast(pl.String).to_list()
    users = events.filter(pl.col("item_id").cast(pl.String).is_in(with_topic))["user_id"].cast(pl.String).unique()
    inside = members.filter(pl.col("segment") == 0)["user_id"]
    assert one["users_in"] == users.is_in(inside.to_list()).sum()
    assert one["users_in"] + one["users_out"] == len(users)


def test_profiles_of_nobody_are_named_without_a_call(settings):
    empty = pl.DataFrame(schema=PROFILES)
    none = pl.DataFrame({"user_id": [], "segment": []}, schema={"user_id": pl.String, "segment": pl.Int32})
    log = pl.DataFrame(schema={"user_id": pl.Categorical, "item_id": pl.Categorical})
    items = pl.DataFrame(schema={"item_id": pl.Categorical, "title": pl.String})
    with serving(says(answer())) as server:
        assert name_segments(empty, none, log, items, settings(server)).names == []
    assert server.seen == []
