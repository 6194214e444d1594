"""A chat model in a local GGUF file, run by llama-cpp-python, with the face of an endpoint."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from shoal.errors import ConfigError, MissingExtraError
from shoal.segment.wire import FAILED, Answer

CONTEXT = 16_384
"""Tokens of prompt and answer together; the evidence about a dozen segments takes a third of it."""
ENDS = 2**20
"""Bytes at either end of the file that tell it from another of the same size."""


class Gguf:
    """A GGUF file; it is loaded when it is first asked.

    Parameters
    ----------
    path : str or Path
    seed : int

    Raises
    ------
    ConfigError
        There is no such file.
    MissingExtraError
        llama-cpp-python is not installed.
    """

    def __init__(self, path: str | Path, *, seed: int = 0) -> None:
        self._path, self.seed = Path(path).expanduser(), seed
        if not self._path.is_file():
            raise ConfigError(f"name.model = {str(path)!r}: there is no such file. Give the path of a GGUF file.")
        try:
            self._library = importlib.import_module("llama_cpp")  # found now, and not after a long fit
        except ImportError:
            raise MissingExtraError(
                "Naming by a GGUF file needs llama-cpp-python, which is not installed. Install it with: "
                "pip install llama-cpp-python"
            ) from None
        self.name = self._path.name
        self.url = f"gguf:{_fingerprint(self._path)}"
        self._model: Any = None

    def __repr__(self) -> str:
        return f"Gguf({self.name!r})"

    def reply(self, body: dict[str, Any]) -> Answer:
        """Answer a body as the chat protocol has it; what goes wrong inside the library becomes an answer too."""
        try:
            if self._model is None:
                self._model = self._loaded()
            schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
            how = {} if schema is None else {"response_format": {"type": "json_object", "schema": schema}}
            found = self._model.create_chat_completion(
                messages=body["messages"],
                temperature=body.get("temperature", 0),
                max_tokens=body.get("max_tokens"),
                seed=body.get("seed", self.seed),
                **how,
            )
            return Answer("200", json.dumps(found, ensure_ascii=False))
        except Exception as error:  # a library's own: whatever it is, names come from contrasts instead
            return Answer(FAILED, " ".join(f"{type(error).__name__}: {error}".split())[:200])

    def hide(self, text: str) -> str:
        """Return `text`: there are no secrets."""
        return text

    def _loaded(self) -> Any:
        return self._library.Llama(model_path=str(self._path), n_ctx=CONTEXT, seed=self.seed, verbose=False)


def _fingerprint(path: Path) -> str:
    """Return what tells the file from another: hashing gigabytes whole would take longer than naming."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(ENDS))
        file.seek(max(0, size - ENDS))
        digest.update(file.read(ENDS))
    return f"{size}-{digest.hexdigest()[:16]}"
