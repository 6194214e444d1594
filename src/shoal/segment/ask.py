"""A question to a chat model that answers in JSON: any endpoint that speaks OpenAI's protocol, or a local GGUF file.

messages, schema --cache?--> reply kept before
                 --POST, again after 429, 5xx, time-outs--> JSON object, within a budget of tokens

Each prompt and reply is kept in `calls`, for audit. The key is in none of them, in no message and in no repr.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shoal.errors import ConfigError
from shoal.progress import Progress
from shoal.seeding import generator
from shoal.segment.reply import Raw, Unusable, json_in, refused_by, said, seconds_to_wait, tokens_of
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
                raw = said(answer)
                found = json_in(raw, good)
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
            tokens = tokens_of(answer) or estimate(messages)
            self.budget -= tokens
            self._record(messages, answer.text, answer.status, time.monotonic() - began, tokens)
            refused = refused_by(answer, body) if answer.status in ("400", "404", "415", "422", "501") else ""
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
        asked = seconds_to_wait(answer.retry_after)
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
                return text, json_in(Raw(text), good)
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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
