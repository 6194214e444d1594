"""Strategies: what of a language model may move when it is fine-tuned, as settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shoal.config import TOGETHER, Settings


class Frozen(Settings):
    """Nothing of the language model moves; a linear head reads its vectors, which are computed once."""

    name: Literal["frozen"] = "frozen"


class Head(Settings):
    """Nothing of the language model moves; a head with a hidden layer reads its vectors, which are computed once."""

    name: Literal["head"] = "head"


class LastN(Settings):
    """The last layers move, and the norm after them where there is one."""

    name: Literal["last-n"] = "last-n"
    n: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many layers, counted from the output."""


class Full(Settings):
    """Everything moves."""

    name: Literal["full"] = "full"


class LoRA(Settings):
    """Low-rank offsets to the linear maps (Hu et al. 2022), by peft."""

    name: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of an offset."""
    alpha: Annotated[float, Field(gt=0, le=4096)] = 16.0
    """An offset is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before an offset; on a CPU, drawing it takes a third of a step."""
    where: Literal["attention", "all"] = "all"
    """Which linear maps: those of attention, or the feed-forward ones too."""


class AdaLoRA(Settings):
    """Low-rank offsets whose ranks are moved to where they matter (Zhang et al. 2023), by peft."""

    name: Literal["adalora"] = "adalora"
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Mean rank of an offset at the end of training; two steps of the optimizer are needed to come down to it."""
    start_rank: Annotated[int, Field(ge=1, le=1024)] = 12
    """Rank of every offset at the start; above `rank`."""
    alpha: Annotated[float, Field(gt=0, le=4096)] = 16.0
    """An offset is multiplied by alpha / start_rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before an offset; on a CPU, drawing it takes a third of a step."""
    where: Literal["attention", "all"] = "all"
    """Which linear maps: those of attention, or the feed-forward ones too."""

    @model_validator(mode="after")
    def _ranks_fall(self) -> Self:
        if self.start_rank <= self.rank:
            raise PydanticCustomError(
                TOGETHER,
                "start_rank = {start}: must be above rank = {rank}, so that there are ranks to move. Take {more}, say.",
                {"start": self.start_rank, "rank": self.rank, "more": self.rank + (self.rank + 1) // 2},
            )
        return self


class Adapter(Settings):
    """A bottleneck after the attention and after the feed-forward part of each layer (Houlsby et al. 2019)."""

    name: Literal["adapter"] = "adapter"
    width: Annotated[int, Field(ge=1, le=4096)] = 32
    """Width of the bottleneck."""


Strategy = Annotated[Frozen | Head | LastN | Full | LoRA | AdaLoRA | Adapter, Field(discriminator="name")]

STRATEGIES: dict[str, type[Settings]] = {
    str(kind.model_fields["name"].default): kind for kind in (Frozen, Head, LastN, Full, LoRA, AdaLoRA, Adapter)
}
"""By name, as on the command line."""
