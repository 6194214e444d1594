"""Every setting of a run: small, typed, frozen, and checked at birth.

Circumstances (device, cache folder, progress bars) are arguments of the functions that need them, not settings.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shoal.errors import ConfigError, did_you_mean


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Text(_Settings):
    """How tables become language."""

    item_template: str | None = None
    """Such as ``"{title}. {genres}. tags: {tags}"``; None makes one from the columns found."""
    event_template: str = "{date}: {item}, {rating}"
    """One event of a user's past; a part whose field is missing is left out."""
    history_tokens: Annotated[int, Field(ge=16, le=32_768)] = 256
    """Token budget of a user's past; the newest events are kept."""


class Encode(_Settings):
    """Which language model turns texts into vectors."""

    encoder: str = "minilm"
    """``minilm`` (all-MiniLM-L6-v2, comes with the install), a Hugging Face hub name, or a folder."""
    max_tokens: Annotated[int, Field(ge=8, le=32_768)] = 128
    """Longer texts are cut, and counted."""
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """``auto``: what the model's folder says, else mean for encoders and last for decoders."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` takes bfloat16 where the device has it in hardware."""


class AdamW(_Settings):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-3
    """Learning rate at its highest."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Pull of the weights towards zero, apart from the gradient."""


class SGD(_Settings):
    """Stochastic gradient descent with Nesterov momentum."""

    name: Literal["sgd"] = "sgd"
    lr: Annotated[float, Field(gt=0, le=100)] = 0.5
    """Learning rate at its highest."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last step that is kept."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-5
    """Pull of the weights towards zero, as part of the gradient."""


class Tower(_Settings):
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


class Train(_Settings):
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


class Segment(_Settings):
    """How users are grouped."""

    n: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of segments; None chooses it and says why."""
    at_most: Annotated[int, Field(ge=2, le=1000)] = 12
    """Largest number that is tried when `n` is None."""
    min_events: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Users with fewer events stay unassigned (-1)."""


class Recommend(_Settings):
    """What is recommended from, and what counts as a hit."""

    relevant_from: float | None = None
    """Ratings from here up count as liked; None takes 70 % of the way up the scale (4 of 5)."""
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Half-life of popularity; None lets validation choose, and ignores age where there are no times."""
    factors: Annotated[int, Field(ge=2, le=1024)] = 64
    """Width of the matrix factorisation."""
    max_item_item: Annotated[int, Field(ge=10, le=50_000)] = 12_000
    """Items in the item-item model, most used first (memory grows with the square: 12,000 take 1.2 GB)."""


class Validation(_Settings):
    """How settings, weights and stopping are chosen inside the training data."""

    protocol: Literal["auto", "random", "temporal", "last-out", "strong"] = "auto"
    """``auto``: each user's newest events where times exist, else random ones."""
    share: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of events (or of users, for strong) held out."""


class Config(_Settings):
    """All settings of a run.

    Raises
    ------
    ConfigError
        For an unknown setting (with the closest known one), a wrong type or a value out of range.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Same seed, same machine, same run."""
    text: Text = Text()
    encode: Encode = Encode()
    tower: Tower = Tower()
    train: Train = Train()
    segment: Segment = Segment()
    recommend: Recommend = Recommend()
    validation: Validation = Validation()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error, type(self))) from None

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read settings from a TOML file; a message about a setting names the file and the line.

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
            return cls(**values)
        except ConfigError as error:
            setting = str(error).split(" ", 1)[0]
            raise ConfigError(f"{error!s} ({path}{_line_of(setting, text)})") from None


def _explain(error: ValidationError, top: type[BaseModel]) -> str:
    """Say the first thing that is wrong as one sentence that begins with the setting's name."""
    first = error.errors()[0]
    place = [str(p) for p in first["loc"] if p not in ("adamw", "sgd")]
    setting = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _settings_of(top, place[:-1])
        better = did_you_mean(place[-1], known)
        if better:
            better = better.replace("mean ", "mean " + "".join(p + "." for p in place[:-1]))
        return f"{setting} is not a setting.{better or ' Known: ' + ', '.join(known) + '.'}"
    return f"{setting} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _settings_of(model: type[BaseModel], place: list[str]) -> list[str]:
    for part in place:
        for name, field in model.model_fields.items():
            if part == name:
                kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
                models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
                model = models[0] if models else model
    return list(model.model_fields)


def _line_of(setting: str, text: str) -> str:
    last = setting.rsplit(".", 1)[-1]
    for number, line in enumerate(text.splitlines(), 1):
        if line.split("=", 1)[0].strip() == last:
            return f", line {number}"
    return ""
