"""Metrics of classes told from texts: is the right one named, are rare ones found, and is it as sure as it is right?

They take arrays with one entry a text, nothing else; each has a value for every text where that makes sense, so that
two models can be compared on the same texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shoal.seeding import generator

BINS = 15
"""Bins of confidence in the calibration error, as in Guo et al. (2017)."""


def accuracy(chances: np.ndarray, classes: np.ndarray) -> float:
    """Return the share of texts whose likeliest class is the right one; chances (texts, classes), classes (texts,)."""
    return float((chances.argmax(1) == classes).mean())


def macro_f1(chances: np.ndarray, classes: np.ndarray) -> float:
    """Return the mean F1 over the classes that occur in `classes` or among the likeliest ones; 0 for one never hit."""
    told = chances.argmax(1)
    scores = []
    for one in np.union1d(told, classes):
        hits = int(((told == one) & (classes == one)).sum())
        scores.append(2 * hits / (int((told == one).sum()) + int((classes == one).sum())))
    return float(np.mean(scores))


def calibration_error(chances: np.ndarray, classes: np.ndarray, *, bins: int = BINS) -> float:
    """Return the expected calibration error: how far the share of hits is from the chance that was given.

    Texts are binned by the chance of their likeliest class, in `bins` bins of equal width; the gaps are averaged,
    weighted by the texts in each bin (Naeini et al. 2015; Guo et al. 2017).
    """
    sure, hit = chances.max(1), chances.argmax(1) == classes
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(sure[place == b].sum() - hit[place == b].sum()) for b in np.unique(place)]
    return float(np.sum(gaps) / len(classes))


def log_loss(chances: np.ndarray, classes: np.ndarray) -> float:
    """Return the mean negative logarithm of the chance that the right class was given, held above 1e-12."""
    return float(-np.log(np.maximum(chances[np.arange(len(classes)), classes], 1e-12)).mean())


def rmse(ratings: np.ndarray, truth: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.square(ratings - truth).mean()))


def mae(ratings: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute error."""
    return float(np.abs(ratings - truth).mean())


def interval(
    figure: Callable[[np.ndarray], float], texts: int, *, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap interval of a figure over texts.

    Parameters
    ----------
    figure : callable
        Takes rows, some of them more than once, and returns the figure of those texts; for a comparison, the
        difference of two models on the same rows.
    texts : int
        How many there are.
    """
    rng = generator(seed, "bootstrap", "texts")
    found = [figure(rng.integers(texts, size=texts)) for _ in range(draws)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
