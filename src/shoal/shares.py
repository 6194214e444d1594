"""Shares: one score as everybody's mean + what the segment adds + what the user adds + what texts add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.learnt import Learnt
from shoal.recommend.asked import Asked
from shoal.recommend.weights import warmth
from shoal.seeding import generator
from shoal.tables import SEGMENT, USER

REFERENCE = 256
"""Members of the segment, and users of all, over whom a mean score is taken; with more of them, as many are drawn."""
AGAINST = 0.1
"""What takes so much of what lifts a score is named as speaking against the item."""
BLOCK = 64
SHARES = {"part": pl.String(), "amount": pl.Float64(), "share": pl.Float64()}
BY_MODEL = {
    "model": pl.String(),
    "everybody": pl.Float64(),
    "segment": pl.Float64(),
    "you": pl.Float64(),
}


@dataclass(frozen=True)
class Shares:
    """How a score is made up.

    Attributes
    ----------
    score : float
        Of the item, for the user.
    table : polars.DataFrame
        part, amount, share. The amounts add up to the score: ``everybody``, the mean score over users; ``segment``,
        what the mean over the user's segment adds to it; ``you``, what the user's own past (and what is told of the
        user) adds to that; ``text``, the part of that which the texts of items carry; ``order``, what trees that
        order the first candidates change. Shares, 0 to 1, are of segment, you and text, amounts below 0 counting
        as 0; null elsewhere, and where none is above 0.
    by_model : polars.DataFrame
        model, everybody, segment, you: the same by model, after its weight for this user.
    """

    score: float
    table: pl.DataFrame
    by_model: pl.DataFrame

    def sentence(self) -> str:
        """Say it in words, such as ``61 % segment, 39 % you``."""
        told = self.table.drop_nulls("share").filter(pl.col("share") > 0).sort("share", descending=True)
        words = ", ".join(f"{100 * share:.0f} % {part}" for part, share in told.select("part", "share").iter_rows())
        above = float(told["amount"].sum())
        against = self.table.filter(pl.col("part").is_in(told["part"].to_list()).not_(), pl.col("amount") < 0)
        names = against.filter(pl.col("part") != "everybody", pl.col("amount") <= -AGAINST * above)["part"].to_list()
        words = words or "nothing beyond what everybody likes"
        return words + (f"; {' and '.join(names)} against it" if names else "")

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        parts = {"parts": self.table.to_dicts(), "models": self.by_model.to_dicts()}
        return {"score": self.score, "sentence": self.sentence(), **parts}


def shares(learnt: Learnt, members: pl.DataFrame, past: Histories, item: int, *, seed: int = 0) -> Shares:
    """Say how much of an item's score is everybody's, the segment's, the user's own, and the texts'.

    Each model's part of the score is taken apart step by step: its mean over users of the run, what the mean over the
    members of the user's segment adds, and what the user adds to that; every mean has the weights of this user. So
    the amounts add up exactly, whatever the models are. What the text model adds in the last step is ``text``. Where
    the user is in no segment, the step to it is 0. Means are over at most `REFERENCE` users drawn by the seed.
    """
    weighed = learnt.blend.weigh(Asked(past))
    score, weights = float(weighed.scores[0, item]), weighed.weights[0]
    segment = int(learnt.segments(past)[0][0])
    everyone = _reference(learnt, members, None, seed)
    alike = None if segment < 0 else _reference(learnt, members, segment, seed)
    names = [model.name for model in learnt.blend.models]
    if learnt.blend.warm_[item]:
        own = np.array([float(said[0, item]) for said in weighed.said]) * weights
        usual = _mean_said(learnt, everyone, item, weights)
        inside = usual if alike is None else _mean_said(learnt, alike, item, weights)
    else:  # its score is what texts say of it
        names, own = ["text"], np.array([score])
        usual = _mean_told(learnt, everyone, item, past)
        inside = usual if alike is None else _mean_told(learnt, alike, item, past)
    by_model = pl.DataFrame(
        {"model": names, "everybody": usual, "segment": inside - usual, "you": own - inside}, schema=BY_MODEL
    )
    is_text = np.array([name == "text" for name in names])
    amounts = {
        "everybody": float(usual.sum()),
        "segment": float((inside - usual).sum()),
        "you": float((own - inside)[~is_text].sum()),
        "text": float((own - inside)[is_text].sum()),
        "order": score - float(own.sum()),
    }
    above = {part: max(amounts[part], 0.0) for part in ("segment", "you", "text")}
    total = sum(above.values())
    rows = [
        (part, amount, above[part] / total if part in above and total > 0 else None) for part, amount in amounts.items()
    ]
    return Shares(score, pl.DataFrame(rows, SHARES, orient="row"), by_model)


def _reference(learnt: Learnt, members: pl.DataFrame, segment: int | None, seed: int) -> Histories:
    """Return the pasts of some users of the run, or of a segment."""
    some = members if segment is None else members.filter(pl.col(SEGMENT) == segment)
    users = some[USER].sort()
    if len(users) > REFERENCE:
        rng = generator(seed, "reference", 0 if segment is None else segment + 1)
        users = users.gather(np.sort(rng.choice(len(users), REFERENCE, replace=False)))
    return pasts_of(learnt, users)


def pasts_of(learnt: Learnt, users: pl.Series) -> Histories:
    """Return the pasts of users of the run, in their order."""
    events = learnt.data.interactions.filter(pl.col(USER).cast(pl.String).is_in(users.implode()))
    return learnt.pasts(events, Ids(users))


def _mean_said(learnt: Learnt, pasts: Histories, item: int, weights: np.ndarray) -> np.ndarray:
    """Return what each model says of an item, mean over users, after the weights given: (models,)."""
    total = np.zeros(len(weights))
    for part in _parts(pasts):
        said = learnt.blend.said(Asked(part), weights != 0)
        total += [float(one[:, item].sum(dtype=np.float64)) for one in said]
    return total / max(pasts.n_users, 1) * weights


def _mean_told(learnt: Learnt, pasts: Histories, item: int, past: Histories) -> np.ndarray:
    """Return what texts say of a cold item, mean over users, on the scale of the user with that past: (1,)."""
    text = learnt.blend.text
    if text is None:
        return np.array([0.0])
    slope = float(learnt.blend.slopes_[warmth(past.counts)][0])
    total = sum(float(np.nansum(Asked(part).of(text)[:, item], dtype=np.float64)) for part in _parts(pasts))
    return np.array([slope * total / max(pasts.n_users, 1)])


def _parts(pasts: Histories) -> list[Histories]:
    rows = np.arange(pasts.n_users)
    return [pasts.take(rows[first : first + BLOCK]) for first in range(0, len(rows), BLOCK)]
