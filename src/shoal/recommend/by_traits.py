"""By traits: what is liked by people of whom the same is told, for newcomers above all.

    lift (value, items)    log((uses of the item by people of that value + m . usual) / ((people + m) . usual))
    score (users, items)   log usual + d . sum of the lifts of the user's values

`usual` is the share of all people who used the item. It is a naive Bayes classifier of items, its lifts drawn to 0
where few people are told of, and damped by d, since traits such as age and occupation say in part the same.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from shoal.data.histories import Histories

FEW = 50.0
"""m: people whose uses are as usual, added to those of each value."""
DAMPING = 0.6
"""d: on strangers of ml-1m, gender, age and occupation do best at .6, two of them alike at .6 and 1 (docs/log.md)."""


class ByTraits:
    """Popularity among people of whom the same is told.

    Whoever nothing is told of gets what is popular with everyone.
    """

    name = "by_traits"

    def fit(self, histories: Histories) -> Self:
        """Count the events of `histories`, whose `traits` must be there."""
        assert histories.traits is not None
        people, uses = histories.n_users, np.bincount(histories.items, minlength=histories.n_items)
        self.usual_ = np.where(uses > 0, uses / max(people, 1), np.nan)
        self.lifts_ = []
        matrix = histories.matrix()
        for codes in histories.traits.T:
            lifts = np.zeros((codes.max(initial=-1) + 2, histories.n_items), np.float32)  # the last row: not known
            for value in range(len(lifts) - 1):
                like = np.flatnonzero(codes == value)
                found = np.asarray(matrix[like].sum(0)).ravel()
                lifts[value] = np.log((found + FEW * self.usual_) / ((len(like) + FEW) * self.usual_))
            self.lifts_.append(np.nan_to_num(lifts))
        return self

    def score(self, histories: Histories) -> np.ndarray:
        """Return (users, items); NaN for items that were never used."""
        scores = np.tile(np.log(self.usual_).astype(np.float32), (histories.n_users, 1))
        if histories.traits is not None:
            for lifts, codes in zip(self.lifts_, histories.traits.T, strict=True):
                scores += np.float32(DAMPING) * lifts[np.where(codes < len(lifts) - 1, codes, -1)]
        return scores
