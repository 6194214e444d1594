"""A question to a chat model that answers in JSON: any endpoint that speaks OpenAI's protocol, or a local GGUF file.

messages, schema --cache?--> reply kept before
                 --POST, again after 429, 5xx, time-outs--> JSON object, within a budget of tokens

Each prompt and reply is kept in `calls`, for audit. The key is in none of them, in no message and in no repr.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shoal.errors import ConfigError
from shoal.progress import Progress
from shoal.seeding import generator
from shoal.segment.wire import NO_ANSWER, TIMED_OUT, Answer, parts_of, plain, post

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before the second try, doubled each time; a server that asks for a longer wait is given up."""
AGAIN = {"408", "409", "425", "429", "500", "502", "503", "504", "529", NO_ANSWER, TIMED_OUT}
"""Statuses after which another try may do better."""
LEAST_REPLY = 256
"""Tokens; with fewer left in the budget nothing is asked."""
LONGEST_RECORD = 200_000
"""Characters of a reply that are kept for audit; what is longer is no list of names."""

Messages = list[dict[str, str]]


class AskError(Exception):
    """No usable reply came; the message says why, in a few words. The caller goes on without it."""


class Unusable(Exception):
    """A reply came that cannot be used; another try may do better."""


@dataclass(frozen=True)
class Raw:
    """A model's reply: its text, whether it was cut, and the tokens that the server says it took (0: unknown)."""

    text: str
    cut: bool = False
    tokens: int = 0


class Model(Protocol):
    """What answers."""

    name: str
    url: str
    """Where it is, without secrets."""

    def reply(self, body: dict[str, Any]) -> Answer:
        """Answer a body as the chat protocol has it; never raises."""
        ...

    def hide(self, text: str) -> str:
        """Return `text` without secrets."""
        ...


class Endpoint:
    """A chat endpoint that speaks OpenAI's protocol.

    Parameters
    ----------
    url : str
        The base address, such as ``http://localhost:8080/v1``, or the whole address of chat/completions.
    model : str
    key : str
        Sent as a bearer token; empty: none is sent. Shown nowhere.
    timeout_s : float
        For one request, all of it.

    Raises
    ------
    ConfigError
        The address or the key cannot be used.
    """

    def __init__(self, url: str, model: str, *, key: str = "", timeout_s: float = 60.0) -> None:
        parts = parts_of(url)
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ConfigError("SHOAL_NAMER_KEY holds characters that no key has, such as spaces or line ends.")
        path = parts.path.rstrip("/")
        path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
        self._address = parts._replace(path=path, fragment="").geturl()
        self._key, self.name, self.timeout_s = key, model, timeout_s
        self.url = plain(self._address)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.name!r})"

    def reply(self, body: dict[str, Any]) -> Answer:
        """Post the body."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        answer = post(self._address, body, headers, self.timeout_s)
        return Answer(answer.status, self.hide(answer.text), answer.retry_after)

    def hide(self, text: str) -> str:
        """Return `text` without the key, should a server have sent it back."""
        for shape in {self._key, json.dumps(self._key)[1:-1], self._key.replace("/", "\\/")} - {""}:
            text = text.replace(shape, "[key]")
        return text


@dataclass
class Chat:
    """Asks a model and keeps what was said.

    Parameters
    ----------
    model : Model
    budget : int
        Tokens of all prompts and replies together, those of tries that failed included; counted by the server where it
        tells, else estimated.
    retries : int
        Tries after the first.
    seed : int
        Of the jitter, and handed to the model.
    cache : Path, optional
        Folder in which usable replies are kept by content; None keeps none.
    progress : Progress
    sleep, clock : callable
        Seconds.
    """

    model: Model
    budget: int = 20_000
    retries: int = 4
    seed: int = 0
    cache: Path | None = None
    progress: Progress = field(default_factory=Progress)
    sleep: Callable[[float], None] = time.sleep
    calls: list[dict[str, Any]] = field(default_factory=list)
    """A record a request: time, url, model, prompt, reply, status, seconds, tokens."""
    _left_out: set[str] = field(default_factory=set)

    def ask(
        self, messages: Messages, schema: Mapping[str, Any], *, version: str, most: int, good: Callable[[Any], bool]
    ) -> dict[str, Any]:
        """Return the JSON object that the model answers with.

        Parameters
        ----------
        messages : list of dict
            role and content.
        schema : mapping
            JSON schema of the answer; a server that knows no schemas is asked without.
        version : str
            Of the prompt: another version is asked anew although a reply is in the cache.
        most : int
            Tokens that the answer may take; what is left of the budget may be less.
        good : callable
            Whether an object is an answer at all; if not, another try is made.

        Raises
        ------
        AskError
            The model cannot be reached, refuses, has no usable answer after all tries, or the budget is spent.
        """
        place = self._place(messages, schema, version)
        kept = self._kept(place, good)
        if kept is not None:
            self._record(messages, kept[0], "cached", 0.0, 0)
            return kept[1]
        rng = generator(self.seed, "namer")
        why = ""
        for attempt in range(self.retries + 1):
            answer = self._once(messages, schema, most)
            try:
                raw = _raw(answer)
                found = _object(raw, good)
            except Unusable as error:
                why = str(error)
                if answer.status not in AGAIN | {"200"}:
                    break
                if attempt < self.retries:
                    self._wait(answer, attempt, rng, why)
                continue
            self._keep(place, raw.text)
            return found
        raise AskError(why)

    def _once(self, messages: Messages, schema: Mapping[str, Any], most: int) -> Answer:
        """Ask once; options that the server refuses are left out from then on, which counts as no try."""
        while True:
            body = self._body(messages, schema, most)
            began = time.monotonic()
            answer = self.model.reply(body)
            tokens = _tokens_of(answer) or estimate(messages)
            self.budget -= tokens
            self._record(messages, answer.text, answer.status, time.monotonic() - began, tokens)
            refused = _refused(answer, body) if answer.status in ("400", "404", "415", "422", "501") else ""
            if not refused or refused in self._left_out:
                return answer
            self._left_out.add(refused)

    def _body(self, messages: Messages, schema: Mapping[str, Any], most: int) -> dict[str, Any]:
        left = self.budget - estimate(messages)
        if left < LEAST_REPLY:
            raise AskError(f"the budget of tokens is spent ({max(0, self.budget):,} left; name.max_tokens)")
        limit = "max_completion_tokens" if "max_tokens" in self._left_out else "max_tokens"
        wanted = {
            "temperature": 0,
            "seed": self.seed,
            limit: min(most, left),
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "names", "strict": True, "schema": schema},
            },
        }
        body = {"model": self.model.name, "messages": messages, "stream": False}
        return body | {key: value for key, value in wanted.items() if key not in self._left_out}

    def _wait(self, answer: Answer, attempt: int, rng: np.random.Generator, why: str) -> None:
        seconds = FIRST_WAIT * 2**attempt * (0.5 + rng.random())
        asked = _seconds(answer.retry_after)
        if asked > LONGEST_WAIT:
            raise AskError(f"{why}; the server asks for a wait of {asked:.0f} s")
        seconds = min(max(seconds, asked), LONGEST_WAIT)
        self.progress.log(f"name  {why}; again in {seconds:.1f} s")
        self.sleep(seconds)

    def _record(self, messages: Messages, reply: str, status: str, seconds: float, tokens: int) -> None:
        self.calls.append(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "url": self.model.url,
                "model": self.model.name,
                "prompt": [dict(m) for m in messages],
                "reply": self.model.hide(reply)[:LONGEST_RECORD],
                "status": status,
                "seconds": round(seconds, 3),
                "tokens": tokens,
            }
        )

    def _place(self, messages: Messages, schema: Mapping[str, Any], version: str) -> Path | None:
        if self.cache is None:
            return None
        what = [version, self.model.url, self.model.name, messages, schema]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return Path(self.cache) / "names" / f"{digest[:32]}.json"

    def _kept(self, place: Path | None, good: Callable[[Any], bool]) -> tuple[str, dict[str, Any]] | None:
        if place is None or not place.is_file():
            return None
        try:
            kept = json.loads(place.read_text(encoding="utf-8"))
            text = kept["reply"]
            if kept["sha256"] == _sha256(text):
                return text, _object(Raw(text), good)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, Unusable):
            pass
        self.progress.warn(f"{place} is damaged; the model is asked again")
        return None

    def _keep(self, place: Path | None, text: str) -> None:
        if place is None:
            return
        part = place.with_name(f".{uuid.uuid4().hex}.part")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"reply": text, "sha256": _sha256(text)}, ensure_ascii=False), encoding="utf-8")
            os.replace(part, place)
        except OSError as error:
            self.progress.warn(f"the cache {place.parent} cannot be written ({error.strerror}); the reply is not kept")
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def estimate(messages: Messages) -> int:
    """Return about how many tokens messages take: one for three letters, and one for each letter of other scripts."""
    text = "".join(m["content"] for m in messages)
    ascii_letters = sum(letter.isascii() for letter in text)
    return 8 * len(messages) + ascii_letters // 3 + len(text) - ascii_letters


def _raw(answer: Answer) -> Raw:
    """Return what the model said.

    Raises
    ------
    Unusable
        With the reason, in a few words.
    """
    if answer.status in (TIMED_OUT, NO_ANSWER) or not answer.status.isdigit():
        raise Unusable(f"{answer.status}: {answer.text}" if answer.status == NO_ANSWER else answer.text)
    if answer.status != "200":
        raise Unusable(f"HTTP {answer.status}{_told(answer.text)}")
    try:
        choice = json.loads(answer.text)["choices"][0]
        text, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise Unusable("the reply does not follow the chat protocol") from None
    if not isinstance(text, str):
        raise Unusable("the reply is cut off" if cut else "the reply is empty")
    return Raw(text, cut)


def _object(raw: Raw, good: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the last JSON object in a text that is an answer: bare, fenced, or after a model's thoughts."""
    for found in reversed(list(_objects(raw.text))):
        if good(found):
            return found
    raise Unusable("the reply is cut off" if raw.cut else "the reply holds no such JSON object as was asked for")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, start = json.JSONDecoder(), text.find("{")
    tries = 0
    while start >= 0 and tries < 1_000:  # a text of braces alone would take the square of its length
        tries += 1
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(found, dict):
                yield found
        start = text.find("{", end)


def _told(text: str) -> str:
    """Return ``: message`` of an error's body, cut to a line."""
    try:
        told = json.loads(text)
        error = told.get("error", told)
        message = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        message = ""
    words = " ".join(str(message).split())
    return f": {words[:160]}" if words else ""


def _refused(answer: Answer, body: Mapping[str, Any]) -> str:
    """Return the option that a server does not take: one that it names, else the schema, which is the least common."""
    options = [key for key in ("max_tokens", "temperature", "seed") if key in body]
    named = [key for key in options if re.search(rf"\b{key}\b", answer.text)]
    if named:
        return named[0]
    return "response_format" if "response_format" in body and answer.status != "404" else ""


def _tokens_of(answer: Answer) -> int:
    try:
        used = json.loads(answer.text)["usage"]["total_tokens"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return used if isinstance(used, int) and not isinstance(used, bool) and used > 0 else 0


def _seconds(header: str) -> float:
    """Return the seconds that a Retry-After header asks for; 0 without one that can be read."""
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", header):
        return float(header)
    try:
        at = email.utils.parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
