"""Options that several commands share, each written once.

A command takes one of the dataclasses below as a keyword parameter; `expand` puts the dataclass's fields in its place,
so that every field is an option of the command.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from typer import Argument, Option

from shoal.cli.tables import talk
from shoal.errors import ConfigError, UnknownIdError

if TYPE_CHECKING:
    import polars as pl

    from shoal.adapt.settings import Finetune
    from shoal.config import Config
    from shoal.data.dataset import Dataset
    from shoal.progress import Progress
    from shoal.run import Run

AsJson = Annotated[bool, Option("--json", help="Print JSON instead of a table.")]
Folder = Annotated[Path, Argument(metavar="RUN", help="A run folder, as made by shoal fit or shoal demo.")]
Examples = Annotated[Path, Argument(metavar="TABLE", help="Texts with ratings or labels; or a log, for other tasks.")]
Label = Annotated[str | None, Option(metavar="COLUMN", help="review: column of names to tell, not ratings.")]
Track = Annotated[
    list[str] | None, Option(metavar="NAME", help="tensorboard, wandb or wandb-offline; may be repeated.")
]
Namer = Annotated[
    str | None,
    Option(
        metavar="NAMER",
        help="Who names segments: contrast, the URL of a chat endpoint, openai (URL from SHOAL_NAMER_URL), or "
        "gguf:PATH.  [default: contrast]",
    ),
]
NamerModel = Annotated[
    str | None, Option(metavar="MODEL", help="What the endpoint calls its model; else SHOAL_NAMER_MODEL.")
]
N = Annotated[int, Option("--n", help="How many items for each user.")]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How an interaction file is written."""

    preset: Annotated[
        str | None, Option(help="A public data set's format, such as ml-latest, or none.  [default: auto]")
    ] = None
    user_id: Annotated[str | None, Option(metavar="COLUMN", help="Column of the user.")] = None
    item_id: Annotated[str | None, Option(metavar="COLUMN", help="Column of the item.")] = None
    rating: Annotated[str | None, Option(metavar="COLUMN", help="Column of the rating.")] = None
    weight: Annotated[str | None, Option(metavar="COLUMN", help="Column of a count: plays, purchases.")] = None
    at: Annotated[str | None, Option(metavar="COLUMN", help="Column of the time.")] = None
    text: Annotated[
        list[str] | None, Option(metavar="COLUMN", help="Column of what the user wrote; may be repeated.")
    ] = None
    at_format: Annotated[
        list[str] | None, Option(metavar="FORMAT", help="Such as '%d-%m-%Y %H:%M'; may be repeated; else found.")
    ] = None
    separator: Annotated[str | None, Option(metavar="TEXT", help="Such as ';' or '::'; else found.")] = None
    encoding: Annotated[str | None, Option(help="Such as utf-8 or latin-1; else found.")] = None
    on_bad: Annotated[
        Literal["error", "drop"], Option(help="A row that cannot be read: stop, or leave it out and count it.")
    ] = "error"

    def events(self, history: Path, scale: tuple[float, float] | None = None) -> pl.DataFrame:
        """Read what users did, one user alone included; what was kept and dropped is said on stderr.

        Parameters
        ----------
        history : Path
        scale : (float, float), optional
            The scale of the run that the history is for; a rating outside it is bad.
        """
        from shoal.data.read import read

        data = read(history, scale=scale, least=1, **_given(self))
        _tell(data)
        return data.interactions

    def pairs(self, path: Path) -> pl.DataFrame:
        """Read pairs of a user and an item."""
        from shoal.data.pairs import read_pairs

        wanted = ("user_id", "item_id", "separator", "encoding")
        return read_pairs(path, **{name: value for name, value in _given(self).items() if name in wanted})


@dataclass(frozen=True, kw_only=True)
class Reading(Columns):
    """How a data set is read."""

    items: Annotated[Path | None, Option(metavar="FILE", help="The catalogue: one row an item.")] = None
    users: Annotated[Path | None, Option(metavar="FILE", help="What is known of users: one row a user.")] = None
    scale: Annotated[
        tuple[float, float] | None, Option(metavar="LOW HIGH", help="The rating scale; else the range that occurs.")
    ] = None

    def read(self, ratings: Path) -> Dataset:
        """Read the data set, and say on stderr what was kept and dropped; ``demo`` is the data that comes along."""
        if ratings == Path("demo") and not ratings.exists():
            from shoal.data.demo import demo_data

            data = demo_data()
        else:
            from shoal.data.read import read

            data = read(ratings, **_given(self))
        _tell(data)
        return data

    def examples(self, table: Path, task: str, label: str | None, *, tell: bool = True) -> Any:
        """Read what a fine-tuning learns from, texts for review, else a data set; `tell` says what was kept."""
        if task != "review":
            return self.read(table)
        from shoal.data.labelled import read_labelled

        given = {name: value for name, value in _given(self).items() if name in OF_TEXTS}
        data = read_labelled(table, label=label, **given)
        for line in data.lines() if tell else ():
            talk(line)
        return data


def naming(namer: str | None, model: str | None) -> dict[str, Any]:
    """Return the settings that --namer and --namer-model stand for; a key is read from SHOAL_NAMER_KEY alone.

    Raises
    ------
    ConfigError
        The namer is none of those that there are.
    """
    over: dict[str, Any] = {} if model is None else {"model": model}
    if namer is None:
        return over
    if namer.startswith("gguf:") and model is None:
        return {"namer": "gguf", "model": namer.removeprefix("gguf:")}
    if namer.startswith(("http://", "https://")):
        return over | {"namer": "openai", "url": namer}
    if namer in ("contrast", "openai"):
        return over | {"namer": namer}
    raise ConfigError(
        f"--namer {namer}: must be contrast, openai, gguf:PATH (without --namer-model), or an address such as "
        "http://localhost:8080/v1."
    )


OF_TEXTS = ("text", "rating", "scale", "separator", "encoding", "on_bad")
"""Options of reading that texts with ratings or labels have too."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run that are wanted often; all of them stand in a TOML file given by --config."""

    config: Annotated[Path | None, Option(metavar="FILE", help="Settings as TOML; options win over it.")] = None
    seed: Annotated[int | None, Option(help="Same seed, same machine, same run.  [default: 0]")] = None
    effort: Annotated[
        Literal["quick", "usual", "full"] | None,
        Option(help="Settings that are not given: fewer trials and rounds, or more.  [default: usual]"),
    ] = None
    encoder: Annotated[
        str | None,
        Option(help="Language model: minilm, multilingual, a hub name, or a folder.  [default: by language]"),
    ] = None
    segments: Annotated[int | None, Option(help="Number of segments; chosen where not given.")] = None
    item_template: Annotated[
        str | None, Option(metavar="TEXT", help="Such as '{title}. {genres}'; else made from the columns.")
    ] = None
    namer: Namer = None
    namer_model: NamerModel = None

    def make(self) -> Config:
        """Return the settings of the file, or the default ones, with the options laid over them."""
        from shoal.config import Config

        over: dict[str, Any] = {} if self.effort is None else {"effort": self.effort}
        values = (Config(**over) if self.config is None else Config.from_toml(self.config, **over)).model_dump()
        for part, name, value in (
            ("encode", "encoder", self.encoder),
            ("segment", "n", self.segments),
            ("text", "item_template", self.item_template),
        ):
            if value is not None:
                values[part][name] = value
        if self.seed is not None:
            values["seed"] = self.seed
        values["name"] |= naming(self.namer, self.namer_model)
        return Config(**values)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings of a fine-tuning that are wanted often; all of them stand in a TOML file given by --config."""

    config: Annotated[Path | None, Option(metavar="FILE", help="Settings as TOML; options win over it.")] = None
    seed: Annotated[int | None, Option(help="Same seed, same machine, same model.  [default: 0]")] = None
    base: Annotated[
        str | None, Option(help="Language model: minilm, multilingual, a hub name, a folder.  [default: by language]")
    ] = None
    strategy: Annotated[
        str | None,
        Option(help="What moves: frozen, head, last-n, full, lora, adalora or adapter.  [default: lora]"),
    ] = None
    head: Annotated[
        str | None, Option(help="ordinal, regression or classification.  [default: ordinal, for labels the last]")
    ] = None
    max_tokens: Annotated[int | None, Option(help="Longer texts are cut, and counted.  [default: 128]")] = None
    epochs: Annotated[int | None, Option(help="At most.  [default: 3; 40 for frozen and head]")] = None
    batch_size: Annotated[int | None, Option(help="Examples at once.  [default: 16]")] = None
    lr: Annotated[float | None, Option(help="Learning rate inside the language model; else one that suits.")] = None

    def make(self) -> Finetune:
        """Return the settings of the file, or the default ones, with the options laid over them."""
        from shoal.adapt.settings import Finetune

        base = Finetune() if self.config is None else Finetune.from_toml(self.config)
        values = base.model_dump(exclude_unset=True)
        for name in ("seed", "base", "strategy", "head", "max_tokens"):
            if getattr(self, name) is not None:
                values[name] = getattr(self, name)
        learning = dict(values.get("learning", {}))
        for name in ("epochs", "batch_size"):
            if getattr(self, name) is not None:
                learning[name] = getattr(self, name)
        if self.lr is not None:
            learning["optimizer"] = {"name": "adamw", **(learning.get("optimizer") or {}), "lr": self.lr}
        return Finetune(**(values | {"learning": learning}))


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Where and how loudly a command runs; nothing that changes what comes out."""

    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    cache: Annotated[
        Path | None, Option(metavar="FOLDER", help="Where encoded texts are kept; else SHOAL_CACHE, else the user's.")
    ] = None
    quiet: Annotated[bool, Option("--quiet", help="No progress on stderr.")] = False

    def progress(self) -> Progress:
        """Return a bar at a terminal, lines elsewhere, nothing when quiet."""
        import sys

        from shoal.progress import progress

        return progress("silent" if self.quiet else "bar" if sys.stderr.isatty() else "lines")

    def arguments(self) -> dict[str, Any]:
        """Return the circumstances as keyword arguments of `shoal.fit` and `shoal.judge.evaluate`."""
        return {
            "device": self.device,
            "cache": "default" if self.cache is None else self.cache,
            "progress": self.progress(),
        }


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter whose type is one of the dataclasses above by the dataclass's fields."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    groups = {name: kind for name, kind in hints.items() if isinstance(kind, type) and issubclass(kind, _GROUPS)}
    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        kind = groups.get(one.name)
        parameters += _parameters(kind) if kind else [one.replace(annotation=hints[one.name])]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        made = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **made)

    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return expanded


_GROUPS = (Columns, Settings, Tuning, Circumstances)


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(kind)
    ]


def _tell(data: Dataset) -> None:
    for line in data.report.lines():
        talk(line)


def _given(group: Any) -> dict[str, Any]:
    """Return the options that were given, so that the defaults of the Python face rule elsewhere."""
    return {f.name: getattr(group, f.name) for f in fields(group) if getattr(group, f.name) is not None}


def known_user(run: Run, user: str) -> str:
    """Return `user` if the run knows it.

    Raises
    ------
    UnknownIdError
        With the way to serve somebody new.
    """
    return _known(run.data.users, "user_id", user, "Serve somebody new with --history FILE.")


def known_item(run: Run, item: str) -> str:
    """Return `item` if the run's catalogue has it.

    Raises
    ------
    UnknownIdError
        With a few ids that the catalogue has.
    """
    return _known(run.data.items, "item_id", item, "Ids are those of the catalogue file.")


def scale_of(run: Run) -> tuple[float, float] | None:
    """Return the run's rating scale as `shoal.read` takes it."""
    scale = run.data.scale
    return None if scale is None else (scale.low, scale.high)


def _known(table: pl.DataFrame, column: str, one: str, advice: str) -> str:
    ids = table[column].cast(str)
    if one not in ids:
        word = column.removesuffix("_id")
        some = ", ".join(ids.head(3))
        raise UnknownIdError(f"This run has no {word} {one}; it has {len(ids):,}, such as {some}. {advice}")
    return one
