"""The space of a search: which settings of a fine-tuning are tried, between which limits, and by which figure.

    strategy = ["head", "lora"]                       one of some
    rank = 8                                          always this
    [learning]
    lr = { low = 1e-5, high = 1e-3, log = true }      a range

A name stands for the setting of the same name in `Finetune`. What a strategy does not have is not asked for it: a rank
goes with lora and adalora, a learning rate inside the language model with strategies that move it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from shoal.adapt.settings import LOWER, Finetune
from shoal.config import TOGETHER, Settings, Whole
from shoal.encode.strategy import STRATEGIES
from shoal.errors import ConfigError

Value = float | int | str
Pick = Callable[[str, "Dial | tuple[str, ...]"], Value | None]
"""Returns a value for a setting, by its name in the space; None leaves it as it is."""


class Dial(Settings):
    """The numbers that a setting may take: one of some, or a range."""

    among: tuple[float, ...] | None = None
    """One of these; a list alone, or a number alone, means the same."""
    low: float | None = None
    """Lowest, taken in."""
    high: float | None = None
    """Highest, taken in."""
    log: bool = False
    """Whether a tenfold step is as likely everywhere: for learning rates."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.among is not None:
            if not self.among or self.low is not None or self.high is not None:
                raise _apart("low", "give a list that holds something, or low and high, not both")
        elif self.low is None or self.high is None:
            raise _apart("low", "a range needs low and high. Or give a list")
        elif self.low >= self.high:
            raise _apart("high", f"{self.high:g} must be above low = {self.low:g}")
        elif self.log and self.low <= 0:
            raise _apart("low", f"{self.low:g} must be above 0 where log = true")
        return self

    def has(self, value: object) -> bool:
        """Whether the dial can be set to `value`."""
        if not isinstance(value, int | float):
            return False
        if self.among is not None:
            return value in self.among
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def ends(self) -> tuple[float, ...]:
        """Return all values of a list, or both ends of a range."""
        return self.among or (self.low or 0.0, self.high or 0.0)


class Count(Dial):
    """The whole numbers that a setting may take: one of some, or a range."""

    among: tuple[int, ...] | None = None
    """One of these; a list alone, or a number alone, means the same."""
    low: int | None = None
    """Lowest, taken in."""
    high: int | None = None
    """Highest, taken in."""


def _listed(given: object) -> object:
    if isinstance(given, list | tuple):
        return {"among": given}
    return {"among": [given]} if isinstance(given, int | float) else given


def _words(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _apart(field: str, words: str) -> PydanticCustomError:
    return PydanticCustomError(TOGETHER, "{field}: {words}.", {"field": field, "words": words})


Numbers = Annotated[Dial | None, BeforeValidator(_listed)]
Counts = Annotated[Count | None, BeforeValidator(_listed)]
StrategyName = Literal["frozen", "head", "last-n", "full", "lora", "adalora", "adapter"]
Objective = Literal["auto", "rmse", "mae", "log_loss", "accuracy", "macro_f1", "mean_rank", "perplexity"]
LARGER_IS_BETTER = ("accuracy", "macro_f1")


class LearningSpace(Settings):
    """How the language model may learn; what is left out stays as it is in the settings searched from."""

    lr: Numbers = Dial(low=1e-5, high=2e-3, log=True)
    """Learning rate inside the language model; asked for strategies that move it."""
    head_lr: Numbers = Dial(low=3e-4, high=1e-2, log=True)
    """Learning rate of the head."""
    batch_size: Counts = Count(among=(8, 16, 32))
    """Examples that go through the model at once."""
    dropout: Numbers = Dial(low=0.0, high=0.3)
    """In the language model where it has any, and before the head."""
    weight_decay: Numbers = None
    """Pull of the weights towards zero."""
    warmup: Numbers = None
    """Share of all steps in which the learning rate rises from 0."""
    label_smoothing: Numbers = None
    """Share of a label's weight that is spread over all labels."""
    epochs: Counts = None
    """At most."""
    schedule: Annotated[tuple[Literal["linear", "cosine", "constant"], ...] | None, BeforeValidator(_words)] = None
    """How the learning rate falls."""
    class_weights: Annotated[tuple[Literal["none", "balanced"], ...] | None, BeforeValidator(_words)] = None
    """Whether every class has the same weight in the loss."""

    @model_validator(mode="after")
    def _can_be_learnt_with(self) -> Self:
        for name, dial, most in (("lr", self.lr, 1), ("weight_decay", self.weight_decay, 10)):
            for end in () if dial is None else dial.ends():
                if not 0 <= end <= most or (name == "lr" and end == 0):
                    raise _apart(name, f"{end:g} lies outside the range of 0 to {most}")
        return self


class Space(Whole):
    """What a search tries, and how.

    The default suits two cores and some thousand texts: head in a minute, lora and last-n in some.

    Raises
    ------
    ConfigError
        For an unknown setting, a wrong type, or a range that is none.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Same seed, same proposals."""
    objective: Objective = "auto"
    """Of the validation examples; ``auto``: rmse for ratings, log_loss for labels, for couse mean_rank, for words
    perplexity. The loss itself is none: losses of different heads cannot be compared."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """What ends a trial that is behind: the median of those before, from half-way on; successive halving; nothing."""
    startup: Annotated[int, Field(ge=1, le=1000)] = 6
    """Trials that are drawn at random before the search learns from them; median ends none before so many are done."""
    strategy: Annotated[tuple[StrategyName, ...], BeforeValidator(_words), Field(min_length=1)] = (
        "head", "last-n", "lora",
    )  # fmt: skip
    """What may move."""
    rank: Counts = Count(among=(4, 8, 16))
    """Of offsets, for lora and adalora; alpha is then twice the rank unless it is given too."""
    alpha: Numbers = None
    """An offset is multiplied by alpha / rank."""
    lora_dropout: Numbers = None
    """Dropout before an offset, for lora and adalora."""
    where: Annotated[tuple[Literal["attention", "all"], ...] | None, BeforeValidator(_words)] = None
    """Which linear maps, for lora and adalora."""
    n: Counts = Count(low=1, high=3)
    """How many layers, for last-n."""
    width: Counts = Count(among=(16, 32, 64))
    """Of the bottleneck, for adapter."""
    max_tokens: Counts = None
    """Longer texts are cut."""
    head: Annotated[tuple[Literal["ordinal", "regression", "classification"], ...] | None, BeforeValidator(_words)] = (
        None
    )
    """How ratings are learnt."""
    learning: LearningSpace = LearningSpace()

    def check(self, base: Finetune) -> None:
        """Try both ends of every range with every strategy.

        Raises
        ------
        ConfigError
            A setting of `Finetune` would be out of its range, in the words of that setting.
        """
        dials = [self, self.learning]
        most = max(len(_ends(d)) for group in dials for _, d in group if isinstance(d, Dial | tuple))
        for strategy in self.strategy:
            for i in range(most):
                settings_of(self, base, lambda name, dial, s=strategy, i=i: _end(name, dial, s, i))  # type: ignore[misc]


OF_STRATEGY = {
    "rank": "rank", "alpha": "alpha", "lora_dropout": "dropout", "where": "where", "n": "n", "width": "width",
}  # fmt: skip
"""Which settings of the space belong to strategies, and under which name."""


def settings_of(space: Space, base: Finetune, pick: Pick) -> Finetune:
    """Return the settings that `pick` chooses in the space; all others as in `base`.

    Parameters
    ----------
    space : Space
    base : Finetune
    pick : callable
        Gets the name in the space and what may be chosen. It is asked for what the strategy has, in a fixed order.
    """
    values = base.model_dump(mode="json", exclude_unset=True)
    name = str(pick("strategy", space.strategy) or base.strategy.name)
    values["strategy"] = _strategy(space, base, name, pick)
    for one in ("max_tokens", "head"):
        dial = getattr(space, one)
        if dial is not None and (chosen := pick(one, dial)) is not None:
            values[one] = chosen
    values["learning"] = _learning(space.learning, base, name, pick)
    return Finetune(**values)


def _strategy(space: Space, base: Finetune, name: str, pick: Pick) -> dict[str, Any]:
    values: dict[str, Any] = {"name": name}
    if name == base.strategy.name:
        values |= base.strategy.model_dump(mode="json", exclude_unset=True)
    known = STRATEGIES[name].model_fields
    for one, own in OF_STRATEGY.items():
        dial = getattr(space, one)
        if dial is not None and own in known and (chosen := pick(one, dial)) is not None:
            values[own] = chosen
            if one == "rank":
                values["alpha"] = 2.0 * float(chosen)
                if "start_rank" in known:
                    values["start_rank"] = int(chosen) + (int(chosen) + 1) // 2
    return values


def _learning(space: LearningSpace, base: Finetune, name: str, pick: Pick) -> dict[str, Any]:
    values = base.learning.model_dump(mode="json", exclude_unset=True)
    optimizer: dict[str, Any] = {}
    for one, dial in space:
        if dial is None or (one == "lr" and name in ("frozen", "head")):
            continue
        chosen = pick(f"learning.{one}", dial)
        if chosen is not None:
            (optimizer if one in ("lr", "weight_decay") else values)[one] = chosen
    if optimizer:
        given = base.learning.optimizer
        kept = given.model_dump(mode="json") if given else {"name": "adamw", "lr": LOWER.get(name, 5e-4)}
        values["optimizer"] = kept | optimizer
    return values


def first(space: Space, base: Finetune) -> dict[str, Value]:
    """Return, by name, what the settings in `base` are, as far as they lie in the space: what a search tries first."""
    found: dict[str, Value] = {}

    def pick(name: str, dial: Dial | tuple[str, ...]) -> Value | None:
        own = _own(base, name)
        if dial.has(own) if isinstance(dial, Dial) else own in dial:
            found[name] = own
        return found.get(name) if name != "strategy" else found.get(name, space.strategy[0])

    settings_of(space, base, pick)
    return found


def _own(base: Finetune, name: str) -> Any:
    if name == "strategy":
        return base.strategy.name
    if name == "learning.lr":
        return base.optimizer.lr
    if name == "learning.weight_decay":
        return base.optimizer.weight_decay
    if name.startswith("learning."):
        return getattr(base.learning, name.removeprefix("learning."))
    return getattr(base.strategy, OF_STRATEGY[name], None) if name in OF_STRATEGY else getattr(base, name)


def _ends(dial: Dial | tuple[Any, ...]) -> tuple[Any, ...]:
    return dial.ends() if isinstance(dial, Dial) else dial


def _end(name: str, dial: Dial | tuple[str, ...], strategy: str, i: int) -> Value:
    ends = _ends(dial)
    chosen: Value = strategy if name == "strategy" else ends[i % len(ends)]
    return chosen


def toml(settings: Whole) -> str:
    """Return settings as TOML that `from_toml` reads; what is None is left out."""
    return "\n".join(_lines(settings.model_dump(mode="json"), "")) + "\n"


def _lines(values: dict[str, Any], prefix: str) -> Iterator[str]:
    groups = {k: v for k, v in values.items() if isinstance(v, dict)}
    for key, value in values.items():
        if key not in groups and value is not None:
            yield f"{key} = {_written(value)}"
    for key, group in groups.items():
        yield f"\n[{prefix}{key}]"
        yield from _lines(group, f"{prefix}{key}.")


def _written(value: Any) -> str:
    """Return a value as TOML; JSON's strings, numbers and lists are TOML too, but for numbers like ``1e-05``."""
    import json

    if isinstance(value, dict):
        raise ConfigError("A group of settings inside a list cannot be written as TOML.")
    return json.dumps(value, ensure_ascii=False)
