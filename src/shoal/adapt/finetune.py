"""The face in Python: `finetune` turns a table and a base into a model; `load_rater` brings one back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from shoal.adapt.settings import Finetune, TaskName
from shoal.errors import ConfigError, MismatchError, did_you_mean
from shoal.progress import Progress
from shoal.progress import progress as make_progress

if TYPE_CHECKING:
    from shoal.adapt.encoder import TunedEncoder
    from shoal.adapt.loop import Watch
    from shoal.adapt.rater import TextRater
    from shoal.data.dataset import Dataset
    from shoal.data.labelled import Labelled
    from shoal.train.loop import Story

TASKS: tuple[TaskName, ...] = ("review", "pair", "twin", "couse", "words")


def finetune(
    table: str | Path | pl.DataFrame | Dataset | Labelled,
    *,
    task: TaskName = "review",
    text: str | Sequence[str] | None = None,
    rating: str | None = None,
    label: str | None = None,
    scale: tuple[float, float] | None = None,
    on_bad: Literal["error", "drop"] = "error",
    config: Finetune | None = None,
    device: str = "auto",
    work: str | Path | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    stop: Callable[[Story], bool] | None = None,
    track: Sequence[str] = (),
) -> TextRater | TunedEncoder:
    """Fine-tune a language model for a task.

    Parameters
    ----------
    table : path, polars.DataFrame, Labelled or Dataset
        For review: texts with ratings or labels. For the other tasks: what `shoal.read` gives.
    task : str
        ``review``: a rating or label from the text itself. ``pair``: a rating from a user's past and an item's text,
        read as one; ``twin``: read apart, by two towers. ``couse``: vectors of items that were used by the same people
        come close. ``words``: the language of the catalogue is learnt, without any label.
    text, rating, label, scale, on_bad
        For review, see `shoal.data.labelled.read_labelled`.
    config : Finetune, optional
        Settings; the defaults are LoRA on minilm.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``mps``.
    work : path, optional
        A folder for checkpoints: a fine-tuning that was killed goes on from there.
    progress : Progress, optional
        None shows a bar at a terminal.
    watch, stop : callable, optional
        Hear of each step; decide after each epoch whether to end. See `shoal.adapt.loop.finetune`. Without `watch`
        and with `work`, every step is kept there as JSON lines, in ``training.jsonl``.
    track : sequence of str
        ``tensorboard``, ``wandb`` or ``wandb-offline``; needs `work`, and writes beside it, into a folder ``.logs``.

    Returns
    -------
    TextRater or TunedEncoder
        The first for review, pair and twin, the second for couse and words.

    Raises
    ------
    ConfigError
        The task is none, or a setting does not go with it.
    ReadError, NotEnoughDataError
        The table cannot be read, or there is too little in it.
    EncoderError
        The base cannot be found or loaded.
    MismatchError
        The table is not of the kind that the task needs.
    """
    from shoal.adapt.loop import tell_if_out_of_memory
    from shoal.adapt.start import Around
    from shoal.adapt.track import check_names
    from shoal.data.dataset import Dataset

    check_task(task)
    check_names(track)
    if track and work is None:
        raise ConfigError(f"track = {list(track)!r} needs a folder to write to. Give work=...")
    settings = config or Finetune()
    around = Around(device, None if work is None else Path(work), progress or make_progress(), watch, stop, track)
    try:
        if task == "review":
            return _review(table, settings, around, text=text, rating=rating, label=label, scale=scale, on_bad=on_bad)
        if not isinstance(table, Dataset):
            raise MismatchError(
                f"The task {task} learns from users, items and what happened between them: give what shoal.read "
                "returns."
            )
        return _from_log(task, table, settings, around)
    except (RuntimeError, MemoryError) as error:
        tell_if_out_of_memory(error, settings.learning)
        raise


def check_task(task: str) -> None:
    """Refuse a task that is none.

    Raises
    ------
    ConfigError
        With the tasks there are, and the closest one.
    """
    if task not in TASKS:
        raise ConfigError(
            f"task = {task!r} is none. Give {', '.join(TASKS[:-1])} or {TASKS[-1]}.{did_you_mean(task, TASKS)}"
        )


def _review(table: Any, settings: Finetune, around: Any, **reading: Any) -> TextRater:
    from shoal.adapt.review import learn_review
    from shoal.data.dataset import Dataset
    from shoal.data.labelled import Labelled, read_labelled

    if isinstance(table, Dataset):
        table = _reviews_of(table)
        reading = {"rating": "rating"}
    data = table if isinstance(table, Labelled) else read_labelled(table, **reading)
    return learn_review(data, settings, around)


def _reviews_of(data: Dataset) -> pl.DataFrame:
    """Return the texts that users wrote with their ratings."""
    if not {"text", "rating"} <= set(data.interactions.columns):
        raise MismatchError(f"{data.name} holds no texts with ratings. Give a table with both, or another task.")
    return data.interactions.filter(pl.col("rating").is_not_null()).select("text", "rating")


def _from_log(task: str, data: Dataset, settings: Finetune, around: Any) -> TextRater | TunedEncoder:
    if task in ("pair", "twin"):
        from shoal.adapt.pair import learn_pair

        return learn_pair(task, data, settings, around)
    if task == "couse":
        from shoal.adapt.couse import learn_couse

        return learn_couse(data, settings, around)
    from shoal.adapt.words import learn_words

    return learn_words(data, settings, around)
