"""The client of a chat model against a real local server: good answers, faults, cache, budget, secrets."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from chat_server import (
    breaks_off,
    completion,
    drips,
    drips_headers,
    fails,
    floods,
    says,
    serving,
    sleeps,
)

from shoal.errors import ConfigError, MissingExtraError
from shoal.segment import wire
from shoal.segment.ask import AskError, Chat, Endpoint, estimate
from shoal.segment.gguf import Gguf
from shoal.segment.reply import seconds_to_wait

KEY = "sk-very/secret+42"
ASKED = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Well?"}]
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
GOOD = {"ok": True}


def chat(server, *, timeout_s=5.0, **how) -> Chat:
    slept: list[float] = []
    made = Chat(Endpoint(server.url, "tiny", key=KEY, timeout_s=timeout_s), sleep=slept.append, **how)
    made.slept = slept  # type: ignore[attr-defined]
    return made


def ask(made: Chat, version: str = "1"):
    return made.ask(ASKED, SCHEMA, version=version, most=500, good=lambda found: "ok" in found)


def test_a_good_answer_comes_back_after_one_request():
    with serving(says(GOOD)) as server:
        made = chat(server)
        assert ask(made) == GOOD
    (seen,) = server.seen
    assert seen["path"] == "/v1/chat/completions"
    assert seen["headers"]["Authorization"] == f"Bearer {KEY}"
    assert seen["body"]["messages"] == ASKED
    assert seen["body"]["model"] == "tiny"
    assert seen["body"]["response_format"]["json_schema"]["schema"] == SCHEMA
    (record,) = made.calls
    assert (record["status"], record["model"], record["tokens"]) == ("200", "tiny", 100)
    assert record["url"] == f"{server.url}/chat/completions"
    assert record["prompt"] == ASKED
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    "text",
    [
        '{"ok": true}',
        '```json\n{"ok": true}\n```',
        'Here you are:\n{"ok": true}\nEnjoy!',
        '<think>perhaps {"ok": false}? or {broken</think>\n{"ok": true}',
    ],
)
def test_an_object_is_found_bare_fenced_and_among_words(text):
    with serving(says(text)) as server:
        assert ask(chat(server)) == GOOD


@pytest.mark.parametrize("fault", [fails(429), fails(500, "oops"), fails(503), breaks_off, says("{"), says("{}")])
def test_a_fault_that_passes_is_tried_again(fault):
    with serving(fault, says(GOOD)) as server:
        made = chat(server)
        assert ask(made) == GOOD
    assert len(server.seen) == 2
    assert len(made.calls) == 2
    assert len(made.slept) == 1  # type: ignore[attr-defined]


def test_waits_double_and_the_seed_decides_the_jitter():
    def waits(seed: int) -> list[float]:
        with serving(fails(500)) as server:
            made = chat(server, retries=4, seed=seed)
            with pytest.raises(AskError, match="HTTP 500"):
                ask(made)
        assert len(server.seen) == 5
        return made.slept  # type: ignore[attr-defined]

    first = waits(1)
    assert first == waits(1)
    assert first != waits(2)
    assert all(0.5 * 2**i <= wait <= 1.5 * 2**i for i, wait in enumerate(first))


def test_retry_after_is_honoured():
    with serving(fails(429, Retry_After="17"), says(GOOD)) as server:
        made = chat(server)
        assert ask(made) == GOOD
    assert made.slept == [17.0]  # type: ignore[attr-defined]


def test_a_server_that_asks_for_an_hour_is_given_up_at_once():
    with serving(fails(429, Retry_After="3600")) as server:
        made = chat(server)
        with pytest.raises(AskError, match=r"429.*3600 s"):
            ask(made)
    assert len(server.seen) == 1
    assert made.slept == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("header", "seconds"), [("3", 3), ("2.5", 2.5), ("", 0), ("soon", 0), ("-5", 0)])
def test_a_retry_after_header_is_read(header, seconds):
    assert seconds_to_wait(header) == seconds


def test_a_retry_after_header_may_be_a_date():
    assert 25 < seconds_to_wait(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)) <= 30
    assert seconds_to_wait("Fri, 01 Jan 2021 00:00:00 GMT") == 0


def test_429_for_ever_ends():
    with serving(fails(429)) as server:
        made = chat(server, retries=2)
        with pytest.raises(AskError, match="HTTP 429"):
            ask(made)
    assert [c["status"] for c in made.calls] == ["429"] * 3


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_refusal_is_not_tried_again(status):
    with serving(fails(status, json.dumps({"error": {"message": f"no, {KEY} is wrong"}}), Location="/x")) as server:
        made = chat(server)
        with pytest.raises(AskError, match=f"HTTP {status}: no, \\[key\\] is wrong"):
            ask(made)
    assert len(server.seen) == 1


@pytest.mark.parametrize("behaviour", [sleeps(3), drips, drips_headers], ids=["silent", "drips", "drips headers"])
def test_no_server_holds_us_longer_than_the_limit(behaviour):
    with serving(behaviour) as server:
        made = chat(server, timeout_s=0.3, retries=1)
        began = time.monotonic()
        with pytest.raises(AskError, match=r"no whole reply within 0\.3 s"):
            ask(made)
        assert time.monotonic() - began < 2.0
    assert [c["status"] for c in made.calls] == ["timed out"] * 2


def test_a_reply_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(wire, "MOST_BYTES", 200_000)
    with serving(floods) as server:
        made = chat(server)
        with pytest.raises(AskError, match="longer than"):
            ask(made)
    assert len(server.seen) == 1
    assert len(made.calls[0]["reply"]) < 200


def test_nobody_at_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Chat(Endpoint(f"http://127.0.0.1:{port}/v1", "tiny"), retries=1, sleep=lambda _: None)
    with pytest.raises(AskError, match="no answer: Connection refused"):
        ask(made)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "does not follow the chat protocol"),
        ('{"choices": []}', "does not follow the chat protocol"),
        ('{"choices": [{"message": {"content": null}}]}', "is empty"),
        ("[" * 100_000, "does not follow the chat protocol"),
        (completion("{" * 100_000), "holds no such JSON object"),
        (completion('{"a":' * 5_000), "holds no such JSON object"),
        (completion('{"segments": [{"seg', finish="length"), "is cut off"),
        (completion("I would rather not."), "holds no such JSON object"),
    ],
)
def test_a_reply_that_cannot_be_used_is_no_answer(text, words):
    with serving(fails(200, text)) as server, pytest.raises(AskError, match=words):
        ask(chat(server, retries=0))


def test_options_that_a_server_refuses_are_left_out():
    def picky(handler, body):
        for option in ("response_format", "temperature", "max_tokens"):
            if option in body:
                return handler.send(400, json.dumps({"error": {"message": f"Unsupported parameter: '{option}'"}}))
        return handler.send(200, completion('{"ok": true}'))

    with serving(picky) as server:
        made = chat(server, retries=0)
        assert ask(made) == GOOD
        assert ask(made, "2") == GOOD
    assert len(server.seen) == 5
    assert "max_completion_tokens" in server.seen[-1]["body"]


def test_the_budget_holds_for_all_tries_together():
    with serving(says("{}", tokens=900)) as server:
        made = chat(server, retries=10, budget=2_000)
        with pytest.raises(AskError, match=r"name\.max_tokens"):
            ask(made)
    assert len(server.seen) == 2
    assert server.seen[0]["body"]["max_tokens"] == 500
    assert made.budget <= 300


def test_a_server_that_counts_no_tokens_is_estimated():
    with serving(says(GOOD, tokens=None)) as server:
        made = chat(server, budget=1_000)
        ask(made)
    assert made.budget == 1_000 - estimate(ASKED)


def test_the_same_question_is_asked_once(tmp_path):
    with serving(says(GOOD)) as server:
        assert ask(chat(server, cache=tmp_path)) == GOOD
        again = chat(server, cache=tmp_path)
        assert ask(again) == GOOD
        assert len(server.seen) == 1
        assert again.calls[0]["status"] == "cached"
        assert ask(chat(server, cache=tmp_path), "2") == GOOD
        assert len(server.seen) == 2
    assert KEY not in "".join(p.read_text() for p in tmp_path.rglob("*.json"))


@pytest.mark.parametrize("damage", ["", "{", '{"reply": "{}", "sha256": "0"}', "[]", "null"])
def test_a_damaged_cache_is_asked_past(tmp_path, damage, caplog):
    with serving(says(GOOD)) as server:
        ask(chat(server, cache=tmp_path))
        (kept,) = tmp_path.rglob("*.json")
        kept.write_text(damage)
        assert ask(chat(server, cache=tmp_path)) == GOOD
    assert len(server.seen) == 2
    assert "is damaged" in caplog.text


def test_what_cannot_be_used_is_not_cached(tmp_path):
    with serving(says("{}")) as server, pytest.raises(AskError):
        ask(chat(server, cache=tmp_path, retries=1))
    assert not list(tmp_path.rglob("*.json"))


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, caplog):
    (tmp_path / "names").write_text("a file")
    with serving(says(GOOD)) as server:
        assert ask(chat(server, cache=tmp_path)) == GOOD
    assert "cannot be written" in caplog.text


def test_the_key_is_nowhere_to_be_seen(caplog, capsys, tmp_path):
    echo = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})
    caplog.set_level(logging.DEBUG)
    with serving(fails(401, echo)) as server:
        made = chat(server, cache=tmp_path)
        with pytest.raises(AskError) as error:
            ask(made)
    with serving(says(f'{{"ok": true, "key": "{KEY}"}}')) as server:
        other = chat(server, cache=tmp_path)
        ask(other)
    seen = [repr(made.model), repr(made), str(error.value), json.dumps(made.calls), json.dumps(other.calls)]
    seen += [caplog.text, *capsys.readouterr(), *(p.read_text() for p in tmp_path.rglob("*.json"))]
    assert not [text for text in seen if KEY in text or KEY.replace("/", "\\/") in text]


def test_a_query_is_sent_and_not_kept():
    with serving(says(GOOD)) as server:
        made = Chat(Endpoint(f"{server.url}?api-key=hush", "tiny"))
        ask(made)
    assert server.seen[0]["path"] == "/v1/chat/completions?api-key=hush"
    assert "hush" not in json.dumps(made.calls) + repr(made)


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x/v1", "http://", "http://x:port/v1", "http://a b/v1"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match=r"name\.url"):
        Endpoint(url, "tiny")


def test_a_password_in_the_address_is_refused_without_showing_it():
    with pytest.raises(ConfigError, match="SHOAL_NAMER_KEY") as error:
        Endpoint("https://me:hush@example.org/v1", "tiny")
    assert "hush" not in str(error.value)


def test_a_key_with_a_line_end_is_refused_without_showing_it():
    with pytest.raises(ConfigError, match="SHOAL_NAMER_KEY") as error:
        Endpoint("http://localhost/v1", "tiny", key="hush\r\nX-Other: 1")
    assert "hush" not in str(error.value)


def test_the_whole_address_may_be_given():
    assert Endpoint("http://localhost:1/v1/chat/completions", "t").url == Endpoint("http://localhost:1/v1/", "t").url


class Llama:
    """A double of llama_cpp.Llama."""

    made: list[dict] = []  # noqa: RUF012

    def __init__(self, **how) -> None:
        Llama.made.append(how)

    def create_chat_completion(self, **asked):
        if asked["messages"][1]["content"] == "fail":
            raise RuntimeError("no memory")
        Llama.made.append(asked)
        return json.loads(completion('{"ok": true}'))


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    Llama.made.clear()
    monkeypatch.setitem(sys.modules, "llama_cpp", SimpleNamespace(Llama=Llama))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return path


def test_a_gguf_file_answers_like_an_endpoint(model_file):
    made = Chat(Gguf(model_file))
    assert Llama.made == []  # a big file is not loaded before it is asked
    assert ask(made) == GOOD
    assert Llama.made[0]["model_path"] == str(model_file)
    assert Llama.made[1]["response_format"]["schema"] == SCHEMA
    assert made.calls[0]["model"] == "tiny.gguf"
    assert str(model_file.parent) not in json.dumps(made.calls)


def test_another_gguf_file_of_the_same_name_is_asked_anew(model_file, tmp_path):
    ask(Chat(Gguf(model_file), cache=tmp_path / "cache"))
    model_file.write_bytes(b"GGUG")
    made = Chat(Gguf(model_file), cache=tmp_path / "cache")
    ask(made)
    assert made.calls[0]["status"] == "200"


def test_a_fault_inside_llama_cpp_is_no_answer(model_file):
    made = Chat(Gguf(model_file), sleep=lambda _: None)
    asked = [ASKED[0], {"role": "user", "content": "fail"}]
    with pytest.raises(AskError, match="RuntimeError: no memory"):
        made.ask(asked, SCHEMA, version="1", most=500, good=bool)
    assert len(made.calls) == 1


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(MissingExtraError, match="pip install llama-cpp-python"):
        Gguf(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.gguf"):
        Gguf(tmp_path / "none.gguf")
