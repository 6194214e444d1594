"""Asked: what models say of the same pasts, each asked once however many others read it.

asked = Asked(pasts)
asked.of(text)        asks the item-item model and the factors, which text reads
asked.of(blend)       asks only what was not asked yet
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from shoal.data.histories import Histories
from shoal.protocols import Recommender


@runtime_checkable
class Reader(Protocol):
    """A recommender whose scores are made from those of others."""

    def score_asked(self, asked: Asked) -> np.ndarray:
        """Return what `score` returns for ``asked.pasts``, from the scores that `asked` has or gets."""
        ...


class Asked:
    """The scores of some users' pasts, model by model; models must not be fitted again while it is in use.

    Parameters
    ----------
    pasts : Histories
    """

    def __init__(self, pasts: Histories) -> None:
        self.pasts = pasts
        self._scores: dict[int, tuple[Recommender, np.ndarray]] = {}
        self._liked: dict[float, Asked] = {}

    def of(self, model: Recommender) -> np.ndarray:
        """Return the model's scores of `pasts`, (users, items); others read them too, so they are not to be changed."""
        if id(model) not in self._scores:
            scores = model.score_asked(self) if isinstance(model, Reader) else model.score(self.pasts)
            scores = scores.view()
            scores.flags.writeable = False
            self._scores[id(model)] = model, scores  # the model is kept, lest another one takes its id
        return self._scores[id(model)][1]

    def liked(self, relevant_from: float | None) -> Asked:
        """Return the same for what is left of the pasts when only events rated so or better are seen."""
        if relevant_from is None:
            return self  # kept beside the others it would hold itself, and its scores, until garbage is collected
        if relevant_from not in self._liked:
            self._liked[relevant_from] = Asked(self.pasts.liked(relevant_from))
        return self._liked[relevant_from]
