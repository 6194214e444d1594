"""The command `shoal name`: the segments of a run get other names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.cli.options import AsJson, Circumstances, Folder, Namer, NamerModel, expand, naming
from shoal.cli.tables import out_json, out_table, talk
from shoal.cli.words import segment_table

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.config import Name


@expand
def name(
    run: Folder,
    *,
    namer: Namer = None,
    namer_model: NamerModel = None,
    around: Circumstances,
    as_json: AsJson = False,
) -> None:
    """Name the segments of a run anew, and keep it; nothing else of the run changes.

    A language model is sent figures about at least 20 users each, no ids and no events, and never has the last word:
    a name that is missing, doubled or not borne out by the figures comes from contrasts in the data instead, with a
    warning. Each prompt and reply is kept in the run (naming.json). The key stands in SHOAL_NAMER_KEY.

    \b
    Examples:
      shoal name runs/demo --namer http://localhost:8080/v1 --namer-model qwen2.5
      shoal name runs/demo --namer contrast
    """
    from shoal.pipeline import rename

    report = (run / "report.html").is_file()
    segments, told = rename(run, _settings(run, namer, namer_model), **_given(around))
    if report:
        talk(f"the report told of the old names and is gone; next: shoal report {run}")
    if as_json:
        out_json({"run": str(run), "segments": segments, "naming": told["segments"]})
    else:
        out_table(*segment_table(segments))


def _settings(run: Path, namer: str | None, model: str | None) -> Name:
    """Return the run's own settings with the options laid over them; another namer begins with the defaults."""
    from shoal.config import Config
    from shoal.store.artifacts import load_document

    values = Config(**(load_document(run, "config") or {})).name.model_dump()
    over = naming(namer, model)
    if over.get("namer", values["namer"]) != values["namer"]:
        values |= {"url": None, "model": None}
    whole: dict[str, Any] = {"name": values | over}
    return Config(**whole).name


def _given(around: Circumstances) -> dict[str, Any]:
    return {key: value for key, value in around.arguments().items() if key != "device"}
