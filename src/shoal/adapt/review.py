"""The task review: a rating or a label is told from the text itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.adapt.loop import plan
from shoal.adapt.rater import TextRater
from shoal.adapt.reader import Tokens
from shoal.adapt.settings import Finetune
from shoal.adapt.start import Around, learn, make_reader, open_base, with_base
from shoal.adapt.tell import Teller, held_out, make_head
from shoal.data.labelled import Labelled
from shoal.errors import NotEnoughDataError
from shoal.evaluate import labels
from shoal.seeding import generator


def learn_review(data: Labelled, settings: Finetune, around: Around) -> TextRater:
    """Fine-tune a language model to tell the ratings or labels of texts.

    Parameters
    ----------
    data : Labelled
    settings : Finetune
    around : Around

    Raises
    ------
    NotEnoughDataError
        There are too few texts to hold some out.
    """
    return learn_to_tell("review", data, [data.texts], None, settings, around)


def learn_to_tell(
    task: str,
    data: Labelled,
    texts: Sequence[Sequence[str]],
    places: Sequence[np.ndarray] | None,
    settings: Finetune,
    around: Around,
) -> TextRater:
    """Fine-tune a language model to tell classes; the tasks pair and twin come here too.

    Parameters
    ----------
    task : str
    data : Labelled
        The classes of the examples.
    texts : sequence of sequence of str
        One column of texts for review; two, users' pasts and items, for pair and twin.
    places : sequence of (examples,) int64, optional
        For each column which text an example reads; None: the texts are the examples.
    settings : Finetune
    around : Around
    """
    settings = with_base(settings, texts[-1], around.progress)
    rest, test = held_out(data.classes, settings.test_share, generator(settings.seed, "finetune", "test"))
    inner = generator(settings.seed, "finetune", "validation")
    train, valid = (rest[part] for part in held_out(data.classes[rest], settings.validation_share, inner))
    if not len(valid) or len(train) < 2:
        raise NotEnoughDataError(
            f"{len(data.classes):,} examples are too few to hold some out for validation. Give more of them, or set "
            "validation_share higher."
        )
    steps = plan(-(-len(train) // settings.learning.batch_size), settings)
    reader = make_reader(open_base(settings, around.device), settings, steps)
    own = np.arange(len(data.classes))
    if task == "pair":
        sides = [(_paired(reader, texts, places or [own, own]), own)]
    else:
        sides = [(reader.tokens(column), at) for column, at in zip(texts, places or [own], strict=True)]
    _tell_cut(sides, reader.lm.limit, around)
    width = reader.lm.width * (4 if task == "twin" else 1)
    learning = settings.learning
    head = make_head(
        data,
        width,
        settings.head,
        hidden=settings.strategy.name == "head" or task == "twin",
        dropout=learning.dropout,
        smoothing=learning.label_smoothing,
        balanced=learning.class_weights == "balanced",
        seed=settings.seed,
    )
    learner = Teller(reader, head.to(reader.lm.device), sides, data, train, valid, around.progress)
    about = {
        "task": task,
        "settings": settings.model_dump(mode="json"),
        "data": data.name,
        **learn(learner, settings, around),
    }
    about["examples"] = {"train": len(train), "validation": len(valid), "test": len(test)}
    about["truncated"] = sum(tokens.truncated for tokens, _ in sides)
    prior = np.bincount(data.classes[train], minlength=len(data.names)) / len(train)
    about["validation"] = judge(learner, data, valid)
    if len(test):
        about["test"] = judge(learner, data, test) | {"baseline": baseline(data, train, test)}
    return TextRater(reader, learner.head, data.names, data.ordered, prior, about)


def judge(learner: Teller, data: Labelled, rows: np.ndarray) -> dict[str, Any]:
    """Return the figures of some examples, those that matter most with their bootstrap interval."""
    import torch

    learner.eval()
    with torch.inference_mode():
        raw = learner.all_raw(rows)
        chances = learner.head.log_chances(raw).exp().double().cpu().numpy()
        rating = learner.head.expected(raw)[0].double().cpu().numpy()
    return figures(chances, rating, data.classes[rows], data.values[rows], ordered=data.ordered)


def figures(
    chances: np.ndarray, rating: np.ndarray, classes: np.ndarray, values: np.ndarray, *, ordered: bool
) -> dict[str, Any]:
    """Return accuracy, macro-F1, log loss and calibration error, and for ratings RMSE and MAE; with intervals."""

    def some(figure: Any, *arrays: np.ndarray) -> dict[str, float]:
        low, high = labels.interval(lambda rows: figure(*(a[rows] for a in arrays)), len(classes))
        return {"value": figure(*arrays), "low": low, "high": high}

    found: dict[str, Any] = {
        "accuracy": some(labels.accuracy, chances, classes),
        "macro_f1": some(labels.macro_f1, chances, classes),
        "log_loss": labels.log_loss(chances, classes),
        "calibration_error": labels.calibration_error(chances, classes),
    }
    if ordered:
        found |= {"rmse": some(labels.rmse, rating, values), "mae": some(labels.mae, rating, values)}
    return found


def baseline(data: Labelled, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Return what knowing nothing of a text scores: the commonest class, and for ratings the mean."""
    counts = np.bincount(data.classes[train], minlength=len(data.names))
    found = {"accuracy": float((data.classes[test] == counts.argmax()).mean())}
    if data.ordered:
        found["rmse"] = labels.rmse(np.full(len(test), data.values[train].mean()), data.values[test])
    return found


def _paired(reader: Any, texts: Sequence[Sequence[str]], places: Sequence[np.ndarray]) -> Tokens:
    firsts, seconds = ([column[i] for i in at] for column, at in zip(texts, places, strict=True))
    made: Tokens = reader.tokens(firsts, seconds)
    return made


def _tell_cut(sides: Sequence[tuple[Tokens, np.ndarray]], limit: int, around: Around) -> None:
    for tokens, _ in sides:
        if tokens.truncated:
            n = f"{tokens.truncated:,} of {len(tokens.ids):,}"
            around.progress.log(f"finetune  {n} texts are longer than {limit} tokens and were cut")
