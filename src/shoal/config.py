"""Every setting of a run: small, typed, frozen, and checked at birth.

Circumstances (device, cache folder, progress bars) are arguments of the functions that need them, not settings.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from shoal.errors import ConfigError, did_you_mean

TOGETHER = "settings_together"
"""The kind of error where two settings of a group do not go together; its message begins with one of them."""


class Settings(BaseModel):
    """A group of settings: frozen, with no unknown names and no number that is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Whole(Settings):
    """All settings of something: what is wrong is said in one sentence, as a `ConfigError`."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error, type(self))) from None

    @classmethod
    def from_toml(cls, path: str | Path, **over: Any) -> Self:
        """Read settings from a TOML file; a message about a setting names the file and the line.

        Parameters
        ----------
        path : path
        **over
            Settings that win over those of the file.

        Raises
        ------
        ConfigError
            The file is missing, is no TOML, or holds a setting that is wrong.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            values = tomllib.loads(text)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}. Give the path of a TOML file with settings.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}.") from None
        try:
            return cls(**(values | over))
        except ConfigError as error:
            setting = str(error).split(" ", 1)[0]
            raise ConfigError(f"{error!s} ({path}{_line_of(setting, text)})") from None


class Text(Settings):
    """How tables become language."""

    item_template: str | None = None
    """Such as ``"{title}. {genres}. tags: {tags}"``; None makes one from the columns found."""
    event_template: str = "{date}: {item}, {rating}"
    """One event of a user's past; a part whose field is missing is left out."""
    history_tokens: Annotated[int, Field(ge=16, le=32_768)] = 256
    """Token budget of a user's past; the newest events are kept."""


class Encode(Settings):
    """Which language model turns texts into vectors."""

    encoder: str = "auto"
    """``minilm`` (all-MiniLM-L6-v2, English) or ``multilingual`` (multilingual-e5-small), which come with the install,
    a Hugging Face hub name, or a folder. ``auto`` is minilm where the items' texts are mainly English, else
    multilingual; a run keeps what was picked."""
    max_tokens: Annotated[int, Field(ge=8, le=32_768)] = 128
    """Longer texts are cut, and counted."""
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """``auto``: what the model's folder says, else mean for encoders and last for decoders."""
    engine: Literal["torch", "onnx", "openvino"] = "torch"
    """What runs the model. ``onnx`` and ``openvino`` export it once and check the export on your own texts."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """``auto`` takes bfloat16 where torch or OpenVINO has it in hardware; int8 wants onnx or openvino."""
    force: bool = False
    """Take an exported model although its vectors have a mean cosine under .99 to those of torch in float32."""

    @model_validator(mode="after")
    def _engine_has_precision(self) -> Self:
        if self.engine == "torch" and self.precision == "int8":
            raise PydanticCustomError(
                TOGETHER,
                "precision = 'int8': torch has no int8 that is near enough (cosine .93). Take encode.engine = "
                "'openvino' or 'onnx', or another precision.",
            )
        if self.engine == "onnx" and self.precision == "bfloat16":
            raise PydanticCustomError(
                TOGETHER,
                "precision = 'bfloat16': ONNX Runtime has none on a processor. Take float32 or int8, or encode.engine "
                "= 'openvino'.",
            )
        return self


class AdamW(Settings):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-3
    """Learning rate at its highest."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Pull of the weights towards zero, apart from the gradient."""


class SGD(Settings):
    """Stochastic gradient descent with Nesterov momentum."""

    name: Literal["sgd"] = "sgd"
    lr: Annotated[float, Field(gt=0, le=100)] = 0.5
    """Learning rate at its highest."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last step that is kept."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-5
    """Pull of the weights towards zero, as part of the gradient."""


class Tower(Settings):
    """The user tower: attention over the past."""

    width: Annotated[int, Field(ge=4, le=1024)] = 64
    """Width of item and user vectors."""
    heads: Annotated[int, Field(ge=1, le=32)] = 4
    """Attention heads; must divide `width`."""
    history: Annotated[int, Field(ge=1, le=4096)] = 100
    """Newest events that the tower reads."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of events and of hidden units left out in training."""
    delta_bound: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Largest length of an item's own offset beside its text vector, which has length 1; 0: text alone."""
    delta_dropout: Annotated[float, Field(ge=0, le=1)] = 0.2
    """How often an item is trained on its text alone, so that unseen items work."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            near = max(n for n in range(1, self.heads) if self.width % n == 0)
            raise PydanticCustomError(
                TOGETHER,
                "heads = {heads}: must divide width = {width}. Take {near}, say.",
                {"heads": self.heads, "width": self.width, "near": near},
            )
        return self


class Train(Settings):
    """How the tower learns."""

    optimizer: Annotated[AdamW | SGD, Field(discriminator="name")] = AdamW()
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 40
    """At most; early stopping usually ends before."""
    batch_users: Annotated[int, Field(ge=1, le=65_536)] = 256
    """Pasts in a step, at most; small data take fewer, so that an epoch has some steps."""
    patience: Annotated[int, Field(ge=1, le=1000)] = 4
    """Checks without a better validation score before training stops."""
    rating_head: Literal["ordinal", "regression", "classification"] = "ordinal"
    """How ratings are learnt: by cumulative link, squared error or cross entropy."""
    softmax: Literal["auto", "full", "sampled"] = "auto"
    """Ranking over the whole catalogue or over sampled items; ``auto`` samples above 20,000 items."""
    rating_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Weight of the rating loss beside the ranking loss; 0 trains ranking alone, 1 rating alone."""


class Segment(Settings):
    """How users are grouped."""

    n: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of segments; None chooses it and says why."""
    at_most: Annotated[int, Field(ge=2, le=1000)] = 8
    """Largest number that is tried when `n` is None."""
    method: Literal["kmeans", "mixture", "leiden", "hdbscan", "auto"] = "kmeans"
    """How users are grouped: spherical k-means, Gaussian mixture, Leiden communities on the graph of nearest users
    (needs igraph), HDBSCAN; auto tries all that are installed, and takes the one whose segments foretell most and come
    out again."""
    sources: tuple[Literal["events", "text", "graph", "tower"], ...] = ("events", "text", "tower")
    """What user vectors are made of: who used what together, item texts, texts smoothed over the graph of users and
    items, the attention tower."""
    subsegments: Annotated[int, Field(ge=0, le=100)] = 8
    """Largest number of subsegments inside a segment; 0 or 1: none."""
    min_events: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Users with fewer events stay unassigned (-1)."""


class Name(Settings):
    """How segments are named. A key for the endpoint stands in SHOAL_NAMER_KEY alone, never among the settings."""

    namer: Literal["contrast", "openai", "gguf"] = "contrast"
    """``contrast``: from what sets segments apart in the data, and nothing is sent; ``openai``: by a language model
    behind any endpoint that speaks OpenAI's chat protocol; ``gguf``: by one in a local file."""
    url: str | None = None
    """openai: base address, such as ``http://localhost:8080/v1``; None takes SHOAL_NAMER_URL."""
    model: str | None = None
    """openai: what the endpoint calls its model, None takes SHOAL_NAMER_MODEL; gguf: the path of the file."""
    max_tokens: Annotated[int, Field(ge=1_000, le=10_000_000)] = 30_000
    """Of all prompts and answers of a naming together, failed tries included."""
    timeout_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    """Seconds for one request, all of it."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """Tries after the first, where a request fails or its answer cannot be used."""
    language: Annotated[str, Field(pattern=r"^[\w ()-]{2,40}$")] = "auto"
    """Of names by a language model, such as ``German``; ``auto``: that of the labels, Chinese for Chinese ones."""


class Recommend(Settings):
    """What is recommended from, and what counts as a hit."""

    relevant_from: float | None = None
    """Ratings from here up count as liked; None takes 70 % of the way up the scale (4 of 5)."""
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Half-life of popularity; None lets validation choose, and ignores age where there are no times."""
    factors: Annotated[int, Field(ge=2, le=1024)] | None = None
    """Width of the matrix factorisation; None lets validation choose among 64, 128, 256 and 512."""
    max_item_item: Annotated[int, Field(ge=10, le=50_000)] = 12_000
    """Items in the item-item model, most used first (memory grows with the square: 12,000 take 1.2 GB)."""
    traits: bool = True
    """Whether what the users table tells of people (gender, age, ...) is used: for newcomers, and in rules."""
    trees: bool = True
    """Whether boosted trees may order the blend's candidates; they do only where validation favours them."""


class Rate(Settings):
    """The factor model of ratings; the other experts need no settings."""

    width: Annotated[int, Field(ge=1, le=512)] = 24
    """Factors beside the offsets."""
    sweeps: Annotated[int, Field(ge=1, le=1000)] = 30
    """Rounds of learning."""
    starts: Annotated[int, Field(ge=1, le=100)] = 2
    """Models from different starts, whose mean is taken."""


class Validation(Settings):
    """How settings, weights and stopping are chosen inside the training data."""

    protocol: Literal["auto", "random", "temporal", "last-out", "strong"] = "auto"
    """``auto``: each user's newest events where times exist, else random ones."""
    share: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of events (or of users, for strong) held out."""
    newcomers: Literal["random", "oldest"] = "random"
    """With strong: the events that are left to users who play newcomers when the weights for short pasts are learnt."""


EFFORTS: dict[Any, dict[str, dict[str, Any]]] = {
    "quick": {
        "train": {"epochs": 6},
        "recommend": {"factors": 64, "trees": False},
        "rate": {"width": 12, "sweeps": 20, "starts": 1},
    },
    "usual": {},
    "full": {"train": {"epochs": 100, "patience": 8}, "rate": {"width": 48, "sweeps": 25, "starts": 4}},
}
"""Settings by effort, where they differ from the defaults."""


class Config(Whole):
    """All settings of a run.

    Raises
    ------
    ConfigError
        For an unknown setting (with the closest known one), a wrong type or a value out of range.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Same seed, same machine, same run."""
    effort: Literal["quick", "usual", "full"] = "usual"
    """What settings that are not given are taken from (`EFFORTS`)."""
    text: Text = Text()
    encode: Encode = Encode()
    tower: Tower = Tower()
    train: Train = Train()
    segment: Segment = Segment()
    name: Name = Name()
    recommend: Recommend = Recommend()
    rate: Rate = Rate()
    validation: Validation = Validation()

    @model_validator(mode="before")
    @classmethod
    def _of_effort(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        for group, usual in EFFORTS.get(values.get("effort", "usual"), {}).items():
            given = values.get(group, {})
            if isinstance(given, BaseModel):
                given = given.model_dump(exclude_unset=True)
            if isinstance(given, dict):
                values[group] = usual | given
        return values


def _explain(error: ValidationError, top: type[BaseModel]) -> str:
    """Say the first thing that is wrong as one sentence that begins with the setting's name."""
    first = error.errors()[0]
    *way, last = (str(p) for p in first["loc"])
    groups, names = _walk(top, way)
    group = "".join(name + "." for name in names)
    setting = group + last
    match first["type"]:
        case "extra_forbidden":
            known = list(groups[0].model_fields)
            better = did_you_mean(last, known).replace("mean ", f"mean {group}")
            return f"{setting} is not a setting.{better or ' Known: ' + ', '.join(known) + '.'}"
        case "union_tag_not_found":
            return f"{setting}.name is missing: it says which {last} the other settings are for."
        case "union_tag_invalid":
            given, expected = first["ctx"]["tag"], re.findall(r"'([^']+)'", first["ctx"]["expected_tags"])
            return f"{setting}.name = {given!r}: must be {_either(expected)}.{did_you_mean(given, expected)}"
        case "literal_error":
            given, expected = first["input"], re.findall(r"'([^']+)'", first["ctx"]["expected"])
            return f"{setting} = {given!r}: must be {_either(expected)}.{did_you_mean(str(given), expected)}"
        case str(kind) if kind == TOGETHER:
            return f"{setting}.{first['msg']}"
    return f"{setting} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _walk(model: type[BaseModel], way: list[str]) -> tuple[list[type[BaseModel]], list[str]]:
    """Return the groups that may stand at the end of `way`, and `way` without the tags that pydantic adds."""
    groups, names = [model], []
    for part in way:
        field = groups[0].model_fields.get(part)
        if field is None:  # which group of a union was tried, by its `name`
            groups = [g for g in groups if g.model_fields["name"].default == part]
        else:
            names.append(part)
            groups = _groups_in(field.annotation)
    return groups, names


def _groups_in(kind: Any) -> list[type[BaseModel]]:
    """Return the groups of settings that a type names, in unions and annotations too."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [group for inner in get_args(kind) for group in _groups_in(inner)]


def _line_of(setting: str, text: str) -> str:
    """Return ``, line 12``: where the setting stands, else the innermost group around it; empty where neither does."""
    section, found = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            path = section = line.split("]")[0].strip(" \t[")
        else:
            path = f"{section}.{line.split('=')[0]}".strip(".")
        path = re.sub(r"[\s'\"]", "", path)
        if path == setting:
            return f", line {number}"
        if setting.startswith(path + "."):
            found = f", line {number}"
    return found
