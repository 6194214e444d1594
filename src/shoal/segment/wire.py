"""One POST of JSON over HTTP that cannot hang: a time limit for the whole of it, and a limit on what comes back.

A time limit of a socket is for one read; a server that sends a byte now and then would hold us for ever. Here a timer
shuts the socket down. Redirects are not followed: the key would go where nobody meant it to go.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from shoal.errors import ConfigError

MOST_BYTES = 4 * 2**20
"""Of a reply; a naming takes some kilobytes."""
BLOCK = 65_536

TIMED_OUT, NO_ANSWER, TOO_LONG, FAILED = "timed out", "no answer", "reply too long", "failed"
"""What stands in place of an HTTP status where there is none."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status : str
        The HTTP status, such as ``200``, or ``timed out``, ``no answer``, ``reply too long``, ``failed``.
    text : str
        The body; without one, what went wrong.
    retry_after : str
        The header, or an empty string.
    """

    status: str
    text: str
    retry_after: str = ""


def parts_of(url: str) -> SplitResult:
    """Return the parts of an address that may be posted to.

    Raises
    ------
    ConfigError
        It is no http(s) address, or holds a user name or password, which would end up in logs.
    """
    try:
        parts = urlsplit(url.strip())
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = SplitResult("", "", "", "", ""), False
    if parts.username is not None or parts.password is not None:
        raise ConfigError("name.url holds a user name or password. Give the key in SHOAL_NAMER_KEY instead.")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine or re.search(r"\s", url.strip()):
        shown = url.split("?")[0]
        raise ConfigError(f"name.url = {shown!r} is no address. Give one such as http://localhost:8080/v1.")
    return parts


def plain(url: str) -> str:
    """Return an address without its query, where keys may stand: for logs."""
    parts = parts_of(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def post(url: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send `body` as JSON and return what comes back within `timeout_s` seconds, name look-up included as far as known.

    Never raises for anything that a network or a server does.
    """
    parts = parts_of(url)
    data = json.dumps(body, ensure_ascii=False).encode()
    sent = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "shoal", **headers}
    connection = _connection(parts, timeout_s)
    ends = time.monotonic() + timeout_s
    timer = threading.Timer(timeout_s, _shut, [connection])
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), data, sent)
        return _read(connection.getresponse(), ends)
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:  # a shut TLS socket may give any
        if isinstance(error, TimeoutError) or time.monotonic() >= ends:
            return Answer(TIMED_OUT, f"no whole reply within {timeout_s:g} s")
        return Answer(NO_ANSWER, _why(error))
    finally:
        timer.cancel()
        connection.close()


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    assert parts.hostname is not None
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    return http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=timeout_s, context=ssl.create_default_context()
    )


def _read(response: http.client.HTTPResponse, ends: float) -> Answer:
    found, length = [], 0
    while block := response.read1(BLOCK):
        found.append(block)
        length += len(block)
        if length > MOST_BYTES:
            return Answer(TOO_LONG, f"the reply is longer than {MOST_BYTES // 2**20} MB")
        if time.monotonic() >= ends:
            raise TimeoutError
    if time.monotonic() >= ends:
        raise TimeoutError
    if response.length:
        return Answer(NO_ANSWER, "the connection ended in the middle of the reply")
    return Answer(
        str(response.status), b"".join(found).decode("utf-8", "replace"), response.getheader("Retry-After", "")
    )


def _shut(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError, ValueError):
            sock.shutdown(socket.SHUT_RDWR)


def _why(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(words).split())[:200]
