"""A real HTTP server on this machine that speaks OpenAI's chat protocol, and misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request by the next behaviour; the last one stays."""

    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append({"path": self.path, "headers": dict(self.headers), "body": body})
        script = self.server.script
        behaviour = script.pop(0) if len(script) > 1 else script[0]
        with contextlib.suppress(OSError):  # whoever asked has gone
            behaviour(self, body)

    def send(self, status: int, data: bytes | str, **headers: str) -> None:
        data = data.encode() if isinstance(data, str) else data
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Where `seen` holds what was asked, and `script` what is done next."""

    daemon_threads = True

    def __init__(self, *script: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.seen = list(script), []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextlib.contextmanager
def serving(*script: Behaviour) -> Iterator[Server]:
    """Serve while the block runs."""
    server = Server(*script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(content: Any, *, tokens: int | None = 100, finish: str = "stop") -> str:
    told = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}]}
    return json.dumps(told | ({} if tokens is None else {"usage": {"total_tokens": tokens}}))


def says(content: Any, **how: Any) -> Behaviour:
    """Answer with a completion; content that is no text is written as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content, ensure_ascii=False)
    return lambda handler, _: handler.send(200, completion(text, **how))


def fails(status: int, data: str = "", **headers: str) -> Behaviour:
    """Answer with an error."""
    return lambda handler, _: handler.send(status, data, **headers)


def sleeps(seconds: float) -> Behaviour:
    """Say nothing for a while."""
    return lambda handler, _: time.sleep(seconds)


def drips(handler: Handler, _: dict[str, Any]) -> None:
    """Send a byte now and then, for ever: no single read ever takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


def drips_headers(handler: Handler, _: dict[str, Any]) -> None:
    """Send a header now and then, for ever."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 60_000:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.02)


def floods(handler: Handler, _: dict[str, Any]) -> None:
    """Send a body without end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65_536)


def breaks_off(handler: Handler, _: dict[str, Any]) -> None:
    """Promise more than is sent."""
    text = completion('{"segments": []}').encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(2 * len(text)))
    handler.end_headers()
    handler.wfile.write(text)
