"""Every setting of a fine-tuning: what may move, how it learns, and how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from shoal.config import SGD, AdamW, Settings, Whole
from shoal.encode.strategy import LoRA, Strategy

TaskName = Literal["review", "pair", "twin", "couse", "words"]


class Learning(Settings):
    """How a language model learns."""

    optimizer: Annotated[AdamW | SGD, Field(discriminator="name")] | None = None
    """For what moves inside the language model; None: AdamW with 5e-5 for full, 1e-4 for last-n, else 5e-4."""
    head_lr: Annotated[float, Field(gt=0, le=100)] = 2e-3
    """Learning rate of the head, which starts from nothing."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up: to 0, or not at all."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.06
    """Share of all steps in which the learning rate rises from 0."""
    epochs: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """At most, and the schedule is planned for so many; None: 3, or 40 for frozen and head, which are quick."""
    patience: Annotated[int, Field(ge=1, le=1000)] = 3
    """Epochs without a better validation score before training stops."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Examples that go through the model at once."""
    accumulate: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Batches whose gradients are added up before a step."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of a step's gradient."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of hidden states in the language model where it has any, and before the head; attention weights keep all."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a label's weight that is spread over all labels; for heads that learn by log likelihood."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced`` gives every class the same weight in the loss, however rare it is."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Autocast in training; ``auto`` takes bfloat16 where the device has it in hardware."""
    gradient_checkpointing: bool = False
    """Compute hidden states twice instead of keeping them: less memory, a third more time."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """How much work a kill can cost at most."""


class Finetune(Whole):
    """All settings of a fine-tuning.

    Raises
    ------
    ConfigError
        For an unknown setting (with the closest known one), a wrong type or a value out of range.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Same seed, same machine, same model."""
    base: str = "auto"
    """The language model to begin with: ``minilm``, ``multilingual``, a hub name, a folder, also of a model that was
    fine-tuned before; ``auto``: minilm for texts that are mainly English, else multilingual."""
    max_tokens: Annotated[int, Field(ge=8, le=32_768)] = 128
    """Longer texts are cut, and counted."""
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """How hidden states become one vector; ``auto``: what the model's folder says, else by its kind."""
    strategy: Strategy = LoRA()
    """What may move: a name, or a group of settings with a name."""
    head: Literal["auto", "ordinal", "regression", "classification"] = "auto"
    """How ratings are learnt; ``auto``: ordinal for ratings, classification for labels."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.05
    """Of the contrastive loss: cosines are divided by it."""
    hard_negatives: Annotated[int, Field(ge=0, le=64)] = 1
    """For the contrastive task: close items that nobody used together with the item, beside those in the batch."""
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """For the task words with encoders: share of tokens that are to be guessed."""
    validation_share: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of the training examples that decides when to stop and how sure the model may be."""
    test_share: Annotated[float, Field(ge=0, lt=0.9)] = 0.1
    """Share of all examples that is kept from training and asked at the end; 0: none."""
    learning: Learning = Learning()

    @field_validator("strategy", mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        return {"name": given} if isinstance(given, str) else given

    @property
    def epochs(self) -> int:
        """How many epochs at most."""
        if self.learning.epochs is not None:
            return self.learning.epochs
        return 40 if self.strategy.name in ("frozen", "head") else 3

    @property
    def optimizer(self) -> AdamW | SGD:
        """The optimizer that was chosen, else one that suits the strategy."""
        return self.learning.optimizer or AdamW(lr=LOWER.get(self.strategy.name, 5e-4))


LOWER = {"full": 5e-5, "last-n": 1e-4}
"""Learning rates of strategies that move the language model's own weights."""
