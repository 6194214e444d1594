"""What a chat server sent back: the model's words, the JSON object in them, tokens, refusals, how long to wait."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shoal.segment.wire import NO_ANSWER, TIMED_OUT, Answer


class Unusable(Exception):
    """A reply came that cannot be used; another try may do better."""


@dataclass(frozen=True)
class Raw:
    """A model's reply: its text, whether it was cut, and the tokens that the server says it took (0: unknown)."""

    text: str
    cut: bool = False
    tokens: int = 0


def said(answer: Answer) -> Raw:
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


def json_in(raw: Raw, good: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the last JSON object in a text that is an answer: bare, fenced, or after a model's thoughts.

    Raises
    ------
    Unusable
        There is none.
    """
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


def refused_by(answer: Answer, body: Mapping[str, Any]) -> str:
    """Return the option that a server does not take: one that it names, else the schema, which is the least common."""
    options = [key for key in ("max_tokens", "temperature", "seed") if key in body]
    named = [key for key in options if re.search(rf"\b{key}\b", answer.text)]
    if named:
        return named[0]
    return "response_format" if "response_format" in body and answer.status != "404" else ""


def tokens_of(answer: Answer) -> int:
    """Return how many tokens the server says it took; 0 where it does not tell."""
    try:
        used = json.loads(answer.text)["usage"]["total_tokens"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return used if isinstance(used, int) and not isinstance(used, bool) and used > 0 else 0


def seconds_to_wait(header: str) -> float:
    """Return the seconds that a Retry-After header asks for; 0 without one that can be read."""
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", header):
        return float(header)
    try:
        at = email.utils.parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
