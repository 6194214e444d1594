"""Settings chosen on held-out events: a climb along a short ladder, and the quality that decides.

Everything here sees inner validation only, which is made from training data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from shoal.data.histories import Histories, joined, stacked
from shoal.recommend.standard import hide, top, users_at_a_time

BLOCK_USERS = 512


@dataclass(frozen=True)
class HeldOut:
    """Validation users: their past, all that must not be offered, and what they went on to like.

    Attributes
    ----------
    past : Histories
        What models read.
    seen : Histories
        What is not offered again; a superset of `past`.
    liked : Histories
        The hits to be found.
    n : int
        Length of the list that is judged.
    allowed : (items,) bool or None
        The only items that are ranked.
    set_like : bool
        Liked events of past and future are a random cut of one set, so that another cut is as good a question.
    relevant_from : float or None
        Events of the past rated so or better are liked; None: every one is.
    who : (users,) int64 or None
        The same number for rows that ask about one and the same user, cut in different ways; None: all are different.
    strangers : bool
        No model has seen anything of these users, so that a hidden part of their past may be asked for.
    newcomers : {"random", "oldest"}
        Which of their events are left to strangers who play newcomers.
    """

    past: Histories
    seen: Histories
    liked: Histories
    n: int = 10
    allowed: np.ndarray | None = None
    set_like: bool = False
    relevant_from: float | None = None
    who: np.ndarray | None = None
    strangers: bool = False
    newcomers: Literal["random", "oldest"] = "random"

    def take(self, users: np.ndarray) -> HeldOut:
        """Return the same for some rows."""
        past, seen, liked = (part.take(users) for part in (self.past, self.seen, self.liked))
        return replace(self, past=past, seen=seen, liked=liked, who=None if self.who is None else self.who[users])

    @property
    def asked_about(self) -> np.ndarray:
        """Which user each row asks about, (rows,)."""
        return np.arange(self.past.n_users) if self.who is None else self.who

    def once(self) -> HeldOut:
        """Return the first row of each user alone."""
        return self if self.who is None else self.take(np.sort(np.unique(self.who, return_index=True)[1]))

    def repeated(self, times: int, rng: np.random.Generator) -> HeldOut:
        """Return the users as they are, and `times` - 1 times more with their events cut anew: the question asked so
        often has the same answer, with less noise.
        """
        parts = [self, *(self.cut_again(rng) for _ in range(times - 1))]
        past, seen, liked = (stacked([getattr(p, name) for p in parts]) for name in ("past", "seen", "liked"))
        return replace(self, past=past, seen=seen, liked=liked, who=np.tile(self.asked_about, times))

    def cut_again(self, rng: np.random.Generator) -> HeldOut:
        """Return the same users with their liked events cut anew into as many of the past and as many to be found."""
        both = joined(self.past, self.liked)
        can_move = np.ones(len(both.items), bool) if self.relevant_from is None else both.values >= self.relevant_from
        order = np.lexsort((rng.random(len(can_move)), can_move, both.users))  # what stays in the past comes first
        place = np.empty(len(order), np.int64)
        place[order] = both.places
        shown = place < self.past.counts[both.users]
        past = both.where(shown)
        return replace(self, past=past, seen=past, liked=both.where(~shown))

    def ndcg(self, score: Callable[[Histories], np.ndarray]) -> np.ndarray:
        """Return NDCG@n of each user (users,); NaN for users with nothing to find."""
        parts = []
        size = users_at_a_time(self.past.n_items, BLOCK_USERS)
        for first in range(0, self.past.n_users, size):
            part = self.take(np.arange(first, min(first + size, self.past.n_users)))
            parts.append(part.ndcg_of(np.array(score(part.past), np.float32)))
        return np.concatenate(parts) if parts else np.empty(0)

    def ndcg_of(self, scores: np.ndarray) -> np.ndarray:
        """Return NDCG@n of scores (users, items), which are overwritten."""
        hide(scores, self.seen)
        if self.allowed is not None:
            scores[:, ~self.allowed] = -np.inf
        best, values = top(scores, self.n)
        return self.ndcg_of_lists(best, values > -np.inf)

    def ndcg_of_lists(self, rows: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Return NDCG@n of lists of item rows (users, n), best first; a place that is not `there` finds nothing."""
        wanted = self._wanted()
        gains = np.take_along_axis(wanted, rows, 1) & there
        discounts = 1 / np.log2(np.arange(2, gains.shape[1] + 2))
        ideal = np.concatenate([[np.nan], np.cumsum(discounts)])
        found: np.ndarray = (gains @ discounts) / ideal[np.minimum(wanted.sum(1), gains.shape[1])]
        return found

    def hits(self, rows: np.ndarray) -> np.ndarray:
        """Return which of some item rows (users, k) are to be found."""
        return np.take_along_axis(self._wanted(), rows, 1)

    def _wanted(self) -> np.ndarray:
        wanted = np.zeros((self.past.n_users, self.past.n_items), bool)
        wanted[self.liked.users, self.liked.items] = True
        return wanted


def climb(ladder: Sequence[Any], start: int, quality: Callable[[Any], float]) -> tuple[Any, dict[Any, float]]:
    """Walk from ladder[start] towards better neighbours until none is better.

    Returns
    -------
    best : the rung with the highest quality
    tried : dict of rung to quality
    """
    tried = {ladder[start]: quality(ladder[start])}
    for step in (1, -1):
        place = start
        while 0 <= place + step < len(ladder):
            place += step
            tried[ladder[place]] = quality(ladder[place])
            if tried[ladder[place]] < max(tried.values()):
                break
        if max(tried, key=tried.__getitem__) != ladder[start]:
            break
    return max(tried, key=tried.__getitem__), tried
