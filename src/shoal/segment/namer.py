"""Names by a language model, all siblings in one call, each checked against the evidence that it was given.

profiles --aggregates--> prompt --model--> a name and a sentence a segment --checked--> names
                                           what is missing, doubled or false --> the name from contrasts

The model is any endpoint that speaks OpenAI's protocol, or a local GGUF file. It is never needed: whatever it does,
every segment has a name, and no two share one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from shoal.config import Name
from shoal.errors import ConfigError
from shoal.progress import Progress
from shoal.segment.ask import LEAST_REPLY, AskError, Chat, Endpoint, Model, estimate
from shoal.segment.evidence import DETAIL, Told, support, told
from shoal.segment.gguf import Gguf
from shoal.segment.name import ContrastNamer, key
from shoal.segment.prompt import VERSION, entries_of, is_chinese, messages_of, schema_of, sentence_of, stripped
from shoal.segment.truth import CLAIMS_NOTHING, MEDIA, fault
from shoal.tables import SEGMENT

URL, MODEL, KEY = "SHOAL_NAMER_URL", "SHOAL_NAMER_MODEL", "SHOAL_NAMER_KEY"
"""Variables of the environment."""
REPLY, EACH = 256, 160  # tokens of an answer: at least, and for each segment


@dataclass(frozen=True)
class Named:
    """Names, and how they came about.

    Attributes
    ----------
    names : list of str
        One for each row of the profiles, in order.
    sources : list of str
        ``model``, ``contrast`` or ``kept``, one for each row.
    evidence : list of str
        The model's sentence for each row, its figures checked; empty where there is none.
    faults : dict of int to str
        Why the model's name of a segment was not taken.
    calls : list of dict
        Each prompt and reply; see `shoal.segment.ask.Chat`.
    """

    names: list[str]
    sources: list[str]
    evidence: list[str]
    faults: dict[int, str] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def document(self, profiles: pl.DataFrame, settings: Name) -> dict[str, Any]:
        """Return what a run keeps of its naming, for JSON."""
        rows = zip(profiles[SEGMENT].to_list(), self.names, self.sources, self.evidence, strict=True)
        told = [
            {"segment": s, "name": name, "source": source, "evidence": evidence, "refused": self.faults.get(s, "")}
            for s, name, source, evidence in rows
        ]
        return {"namer": settings.namer, "prompt_version": VERSION, "segments": told, "calls": self.calls}


class ModelNamer:
    """Names segments by a language model. See `shoal.protocols.Namer`.

    Parameters
    ----------
    chat : Chat
    counts : polars.DataFrame
        `shoal.segment.evidence.support` of the profiles: what fewer than 20 users stand behind is not sent.
    language : str
        ``auto``: that of the labels; else such as ``German``. Where it is another than that of the labels, names
        cannot be checked word by word.
    items : str
        What items are called in names from contrasts.
    progress : Progress, optional
        Told in a warning of each name that was not taken.
    """

    def __init__(
        self,
        chat: Chat,
        counts: pl.DataFrame,
        *,
        language: str = "auto",
        items: str = "titles",
        progress: Progress | None = None,
    ) -> None:
        self.chat, self.counts, self.language, self.items = chat, counts, language, items
        self.progress = progress or Progress()

    def name(self, profiles: pl.DataFrame, *, keep: Mapping[int, str] | None = None) -> list[str]:
        """Return one distinct name for each row of `profiles`."""
        return self.named(profiles, keep=keep).names

    def named(self, profiles: pl.DataFrame, *, keep: Mapping[int, str] | None = None) -> Named:
        """Return names with their sources.

        Parameters
        ----------
        profiles : polars.DataFrame
            `shoal.segment.profile.PROFILES`.
        keep : mapping of int to str, optional
            Names, by segment, that stay as they are; the model is told of them, and the others differ from them.
        """
        keep = dict(keep or {})
        facts = told(profiles, self.counts)
        entries: dict[int, dict[str, Any]] = {}
        faults: dict[int, str] = {}
        if len(facts) > 1 and not {t.segment for t in facts} <= keep.keys():
            try:
                facts, entries = self._asked(profiles, facts, keep)
            except AskError as error:
                self.progress.warn(f"names come from contrasts, for the model gave none: {error}")
                facts = []
        taken = self._taken(facts, entries, keep, faults)
        for segment, why in sorted(faults.items()):
            self.progress.warn(f"segment {segment} is named from contrasts, for the model's name was not taken: {why}")
        names = ContrastNamer(items=self.items).name(profiles, keep=taken | keep)
        rows = profiles[SEGMENT].to_list()
        sources = ["kept" if s in keep else "model" if s in taken else "contrast" for s in rows]
        by_segment = {t.segment: t for t in facts}
        evidence = [sentence_of(entries[s], by_segment[s]) if s in taken and s not in keep else "" for s in rows]
        return Named(names, sources, evidence, faults, self.chat.calls)

    def _asked(
        self, profiles: pl.DataFrame, facts: list[Told], keep: dict[int, str]
    ) -> tuple[list[Told], dict[int, dict[str, Any]]]:
        """Return what was told, and the entries of the answer by segment."""
        for detail in DETAIL:
            facts = told(profiles, self.counts, detail=detail)
            messages = messages_of(facts, keep, self.language)
            most = REPLY + EACH * len(facts)
            if estimate(messages) + min(most, LEAST_REPLY) <= self.chat.budget:
                break
        schema, numbers = schema_of([t.segment for t in facts]), {t.segment for t in facts}
        answer = self.chat.ask(
            messages, schema, version=VERSION, most=most, good=lambda a: bool(entries_of(a, numbers))
        )
        return facts, entries_of(answer, numbers)

    def _taken(
        self, facts: list[Told], entries: dict[int, dict[str, Any]], keep: dict[int, str], faults: dict[int, str]
    ) -> dict[int, str]:
        """Return the model's names that can be taken; fill `faults` with why the others cannot."""
        taken: dict[int, str] = {}
        keys = {_alike(name) for name in keep.values()} | {_alike("(unassigned)")}
        chinese = is_chinese(facts, self.language)
        same = self.language == "auto" or (chinese and is_chinese(facts, "auto"))
        for one in facts:
            if one.segment in keep:
                continue
            name = stripped(entries.get(one.segment, {}).get("name"))
            others = [c for other in facts if other is not one for c in other.categories]
            why = fault(name, one, elsewhere=others, chinese=chinese, same=same) if name else "there is none"
            if not why and _alike(name) in keys:
                why = f"{name!r} is a sibling's too"
            if why:
                faults[one.segment] = why
            else:
                taken[one.segment] = name
                keys.add(_alike(name))
        return taken


def check(settings: Name) -> None:
    """Refuse settings that no namer can be opened with; nothing is sent.

    Raises
    ------
    ConfigError
        An address, a model or a file is missing, or cannot be used.
    MissingExtraError
        llama-cpp-python is wanted, and not installed.
    """
    if settings.namer != "contrast":
        opened(settings)


def opened(settings: Name, *, seed: int = 0) -> Model:
    """Return the model that the settings and the environment name; see `check`."""
    if settings.namer == "gguf":
        if not settings.model:
            raise ConfigError("name.namer = 'gguf' wants name.model: the path of a GGUF file.")
        return Gguf(settings.model, seed=seed)
    url, model = settings.url or os.environ.get(URL, ""), settings.model or os.environ.get(MODEL, "")
    if not url:
        raise ConfigError(f"name.namer = 'openai' wants name.url, or {URL}: such as http://localhost:8080/v1.")
    if not model:
        raise ConfigError(f"name.namer = 'openai' wants name.model, or {MODEL}: what the endpoint calls its model.")
    return Endpoint(url, model, key=os.environ.get(KEY, "").strip(), timeout_s=settings.timeout_s)


def name_segments(
    profiles: pl.DataFrame,
    members: pl.DataFrame,
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    settings: Name,
    *,
    keep: Mapping[int, str] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Named:
    """Name segments as the settings say.

    Parameters
    ----------
    profiles : polars.DataFrame
        `shoal.segment.profile.PROFILES`, made from the tables that follow.
    members, interactions, items : polars.DataFrame
    settings : Name
    keep : mapping of int to str, optional
        Names, by segment, that stay as they are.
    seed : int
    cache : Path, optional
        Folder in which replies are kept by content; None keeps none.
    progress : Progress, optional

    Raises
    ------
    ConfigError, MissingExtraError
        See `check`. A model that cannot be reached, or says nothing of use, is no error: names come from contrasts.
    """
    if settings.namer == "contrast":
        return contrast(profiles, keep=keep)
    progress = progress or Progress()
    chat = Chat(
        opened(settings, seed=seed),
        budget=settings.max_tokens,
        retries=settings.retries,
        seed=seed,
        cache=cache,
        progress=progress,
    )
    counts = support(profiles, members, interactions, items)
    return ModelNamer(chat, counts, language=settings.language, progress=progress).named(profiles, keep=keep)


def contrast(profiles: pl.DataFrame, *, keep: Mapping[int, str] | None = None) -> Named:
    """Name segments by their contrasts alone."""
    rows = profiles[SEGMENT].to_list()
    sources = ["kept" if s in (keep or {}) else "contrast" for s in rows]
    return Named(ContrastNamer().name(profiles, keep=keep), sources, [""] * len(rows))


def _alike(name: str) -> tuple[str, ...]:
    """Return what two names share that a reader could not tell apart."""
    words = set(key(name))
    return tuple(sorted(words - CLAIMS_NOTHING - MEDIA)) or tuple(sorted(words))
