"""Several factorisations as one model: few factors see what is common, many see what is rare.

    scores of each (users, items) --standardise--> one footing --mean--> scores (users, items)

Each width is wrong in its own way, and the mean is less wrong than any of them: on ml-1m and lastfm it is worth another
.6 and 1 % (docs/log.md).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from shoal.data.histories import Histories
from shoal.recommend.factors import Factors
from shoal.recommend.standard import standardise

SETTINGS = ("width", "l2", "alpha", "power", "counts")


class Several:
    """The mean of the standardised scores of factorisations.

    Parameters
    ----------
    models : list of Factors
        One or more; alone, its scores are standardised and say the same.
    """

    name = "factors"

    def __init__(self, models: list[Factors]) -> None:
        self.models = models

    @property
    def width(self) -> int:
        """The largest width."""
        return max(model.width for model in self.models)

    def fit(self, histories: Histories) -> Self:
        """Fit each."""
        for model in self.models:
            model.fit(histories)
        return self

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items) float32; NaN for items that were never used and for users without a past."""
        total = np.zeros((histories.n_users, histories.n_items), np.float32)
        for model in self.models:
            scores = model.score(histories)
            total += standardise(scores)
        total /= len(self.models)
        total[np.isnan(scores)] = np.nan  # the same for all: who has no past, what was never used
        return total

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learnt, under the place of each model."""
        return {f"{place}.{k}": v for place, model in enumerate(self.models) for k, v in model.tensors().items()}

    def document(self) -> list[dict[str, Any]]:
        """Return the settings of each, for JSON."""
        return [{name: getattr(model, name) for name in SETTINGS} for model in self.models]

    @classmethod
    def restore(cls, document: list[dict[str, Any]] | dict[str, Any], tensors: dict[str, np.ndarray]) -> Self:
        """Take what `document` and `tensors` gave; a run of before kept a single one, without its place."""
        if isinstance(document, dict):
            return cls([Factors(**document).restore(tensors)])
        models = []
        for place, settings in enumerate(document):
            own = {k.removeprefix(f"{place}."): v for k, v in tensors.items() if k.startswith(f"{place}.")}
            models.append(Factors(**settings).restore(own))
        return cls(models)
