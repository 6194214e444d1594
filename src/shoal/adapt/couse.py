"""The task couse: vectors of items that the same people used come close, those of others go apart.

    user -> two items they liked -> (anchor, positive)                               drawn anew in each epoch
    loss = -log exp(cos(anchor, positive) / t - log q) / sum over the batch and hard negatives

In-batch negatives are drawn as often as items are used; log q, the share of events that an item has, takes that back
(Yi et al. 2019). A batch's item is no negative of the anchor if more people used both than would by chance: in a large
log everything was used together with everything popular by somebody. Hard negatives are items whose text is close and
that were not used together with the anchor more than by chance.

What decides when to stop are items that were left out, found from items that were learnt from: the vectors are there
for items to come, and what fits the known ones ever better may serve those ever worse.

The loss is InfoNCE (van den Oord et al. 2018) in both directions; items' co-use as supervision follows EasyRec (Ren and
Huang 2024) and BLaIR (Hou et al. 2024), which pair users' or reviews' texts with items' instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.adapt.encoder import TunedEncoder, projected
from shoal.adapt.learner import Learner
from shoal.adapt.loop import plan
from shoal.adapt.reader import Reader
from shoal.adapt.settings import Finetune
from shoal.adapt.start import Around, learn, make_reader, open_base, with_base
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories, histories
from shoal.data.ids import Ids
from shoal.errors import NotEnoughDataError
from shoal.seeding import generator
from shoal.tables import ITEM, USER
from shoal.text.defaults import default_item_template
from shoal.text.render import item_texts

PAIRS_PER_ITEM = 4
"""Pairs of an epoch, for each item that occurs: many users would only repeat them."""
LIKED = 0.7
"""How far up the scale a rating must be to count as liked."""
LEAST_HELD = 20
"""Items that validation must be able to leave out; with fewer it looks for any items, known ones."""
CLOSE = 50
"""Items with the closest texts, among which hard negatives are looked for."""


class CoUse(Learner):
    """Learns item vectors from what people use together.

    Parameters
    ----------
    reader : Reader
    texts : sequence of str
        One for each item, in row order.
    train, valid : Histories
        Liked events of the users to learn from, and of those that decide when to stop.
    held : (items,) bool
        Items that are to be found in validation; no event of theirs is learnt from. Where it holds none, any items
        are, from one another.
    settings : Finetune
    around : Around
    """

    unit = "pairs"

    def __init__(
        self,
        reader: Reader,
        texts: Sequence[str],
        train: Histories,
        valid: Histories,
        held: np.ndarray,
        settings: Finetune,
        around: Around,
    ) -> None:
        super().__init__(reader)
        self.settings, self.around = settings, around
        self.tokens = reader.tokens(texts)
        reader.settle(self.tokens, around.progress)
        self.projection: nn.Linear | None = None
        if settings.strategy.name == "head":
            self.projection = nn.Linear(reader.lm.width, reader.lm.width, bias=False)
            nn.init.eye_(self.projection.weight)
        self.histories = train = train.where(~held[train.items])
        used = np.bincount(train.items, minlength=train.n_items)
        self.used = used > 0
        self.together = more_than_by_chance(train)
        self.log_share = torch.from_numpy(np.log((used + 1) / (used + 1).sum())).float()
        self.n_pairs = PAIRS_PER_ITEM * int(self.used.sum())
        rng = generator(settings.seed, "couse", "valid")
        self.candidates = np.flatnonzero(held if held.any() else np.ones(train.n_items, bool))
        self.valid_pairs = draw_pairs(valid, self.n_pairs // 4, rng, held if held.any() else None)
        self.hard = _hard_negatives(self, texts) if settings.hard_negatives else None

    def epoch(self, rng: np.random.Generator, size: int) -> Sequence[np.ndarray]:
        """Draw the epoch's pairs, and return batches of them: each row is (anchor, positive, hard negatives...)."""
        pairs = draw_pairs(self.histories, self.n_pairs, rng)
        if self.hard is not None:
            n = self.settings.hard_negatives
            chosen = rng.integers(self.hard.shape[1], size=(len(pairs), n))
            pairs = np.concatenate([pairs, np.take_along_axis(self.hard[pairs[:, 0]], chosen, 1)], 1)
        return [pairs[i : i + size] for i in range(0, len(pairs), size) if len(pairs[i : i + size]) > 1]

    def vectors(self, items: np.ndarray) -> Tensor:
        """Return the vectors of items, (items, width), of length 1."""
        return projected(self.reader(self.tokens, items), self.projection)

    def forward(self, rows: np.ndarray) -> Tensor:
        """Return the loss of pairs, (pairs, 2 or more)."""
        distinct, place = np.unique(rows, return_inverse=True)
        vectors = self.vectors(distinct)
        place = place.reshape(rows.shape)
        return self._loss(vectors, distinct, place)

    def _loss(self, vectors: Tensor, distinct: np.ndarray, place: np.ndarray) -> Tensor:
        anchors, positives = torch.from_numpy(place[:, 0]), torch.from_numpy(place[:, 1])
        with torch.autocast(vectors.device.type, enabled=False):  # cosines in bfloat16 are too coarse to divide
            cosines = vectors.float() @ vectors.float().T
        similar = cosines / self.settings.temperature - self.log_share[distinct].to(vectors.device)
        allowed = torch.from_numpy(self._negatives(distinct)).to(vectors.device)
        forth = _cross_entropy(similar, allowed, anchors, positives)
        back = _cross_entropy(similar, allowed, positives, anchors)
        return (forth + back) / 2

    def _negatives(self, distinct: np.ndarray) -> np.ndarray:
        """Return (items, items) bool: whether the second may stand as a negative of the first."""
        allowed = self.together[distinct][:, distinct].toarray() == 0
        np.fill_diagonal(allowed, False)
        return allowed

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return how far down the positive stands among all candidates, in fixed pairs of users not learnt from.

        ``valid`` is the mean logarithm of its rank, for vectors are there to order items: their softmax loss is best
        when hardly anything has been learnt, since cosines spread further than a fixed temperature allows.
        """
        self.eval()
        read, place = np.unique(np.concatenate([self.valid_pairs.ravel(), self.candidates]), return_inverse=True)
        vectors = torch.cat([self.vectors(read[i : i + 64]) for i in range(0, len(read), 64)])
        pairs, among = place[: self.valid_pairs.size].reshape(-1, 2), place[self.valid_pairs.size :]
        anchors, positives = pairs.T
        similar = vectors[anchors] @ vectors[among].T  # (pairs, candidates)
        similar.masked_fill_(torch.from_numpy(anchors[:, None] == among).to(similar.device), -torch.inf)
        found = torch.from_numpy(np.searchsorted(among, positives)).to(similar.device)  # both rise with the item
        rank = 1 + (similar > similar.gather(1, found[:, None])).sum(1).float()
        return {"valid": float(rank.log().mean()), "mean_rank": float(rank.mean())}

    def mark(self) -> str:
        """Return a digest of the events and the texts."""
        digest = hashlib.sha256(self.histories.items.tobytes() + self.histories.starts.tobytes())
        digest.update(self.valid_pairs.tobytes())
        digest.update(np.concatenate([np.array(one, np.int64) for one in self.tokens.ids]).tobytes())
        return digest.hexdigest()


def learn_couse(data: Dataset, settings: Finetune, around: Around) -> TunedEncoder:
    """Fine-tune a language model so that items which the same people use come close.

    Parameters
    ----------
    data : Dataset
        Training data: every event in it is seen. Events from 70 % of the way up the scale count as liked.
    settings : Finetune
        `validation_share` of the users are held out, and of the items, so far as the rest still makes pairs.
    around : Around

    Raises
    ------
    NotEnoughDataError
        Nobody liked two items.
    """
    items, texts = item_sentences(data, used=True)
    users = Ids(data.users[USER])
    liked = histories(data.interactions, users, items, seed=settings.seed).liked(
        None if data.scale is None else data.scale.at(LIKED)
    )
    some = np.flatnonzero(liked.counts > 1)
    if len(some) < 2:
        raise NotEnoughDataError(f"{len(some)} users of {data.name} liked two items or more; two users are needed.")
    order = generator(settings.seed, "couse", "users").permutation(some)
    n = max(1, round(settings.validation_share * len(some)))
    train, valid = liked.take(np.sort(order[n:])), liked.take(np.sort(order[:n]))
    held = _held_items(train, valid, settings)
    settings = with_base(settings, texts, around.progress)
    lm = open_base(settings, around.device)
    pairs = PAIRS_PER_ITEM * len(np.unique(train.items[~held[train.items]]))
    reader = make_reader(lm, settings, plan(-(-pairs // settings.learning.batch_size), settings))
    learner = CoUse(reader, texts, train, valid, held, settings, around)
    about = {"task": "couse", "settings": settings.model_dump(mode="json"), "data": data.name}
    before = learner.validate()
    about |= learn(learner, settings, around)
    counts = {"users": train.n_users, "validation users": valid.n_users, "items": len(items)}
    about["examples"] = counts | {"validation items": int(held.sum())}
    after = learner.validate()
    about |= {"before": before, "after": after}
    if after["valid"] >= before["valid"] and settings.strategy.name != "frozen":
        around.progress.warn(
            "What is used together is not found better than before the tuning, on the part that was held out: the base "
            "itself serves as well."
        )
    return TunedEncoder(reader, learner.projection, about)


def item_sentences(data: Dataset, *, used: bool = False) -> tuple[Ids, list[str]]:
    """Return the items' ids, sorted, and the text of each; `used` leaves out items that no event is about.

    The template is that of the whole catalogue, as in a fit.
    """
    template, table = default_item_template(data.items), data.items
    if used:
        table = table.join(data.interactions.select(ITEM).unique(), on=ITEM, how="semi")
    table = table.sort(pl.col(ITEM).cast(pl.String))
    return Ids(table[ITEM]), item_texts(table, template).texts


def draw_pairs(past: Histories, n: int, rng: np.random.Generator, held: np.ndarray | None = None) -> np.ndarray:
    """Return (n, 2) item rows: two different events of a user, users drawn evenly among those who have such a pair.

    With `held`, (items,) bool, the second item is one of these, and the first is not.
    """
    firsts, seconds = past, past
    if held is not None:
        firsts, seconds = past.where(~held[past.items]), past.where(held[past.items])
    drawn = rng.choice(np.flatnonzero(_pairs_of(past, held)), n)
    first = rng.integers(firsts.counts[drawn])
    if held is None:
        second = (first + 1 + rng.integers(past.counts[drawn] - 1)) % past.counts[drawn]
    else:
        second = rng.integers(seconds.counts[drawn])
    places = firsts.starts[drawn] + first, seconds.starts[drawn] + second
    return np.stack([firsts.items[places[0]], seconds.items[places[1]]], 1).astype(np.int64)


def _pairs_of(past: Histories, held: np.ndarray | None) -> np.ndarray:
    """Return whether each user has a pair for `draw_pairs`."""
    if held is None:
        return past.counts > 1
    theirs = past.where(held[past.items]).counts
    return (theirs > 0) & (past.counts > theirs)


def _held_items(train: Histories, valid: Histories, settings: Finetune) -> np.ndarray:
    """Return which items validation is to find, (items,) bool: none where they would be too few, or the rest."""
    used = np.unique(train.items)
    n = round(settings.validation_share * len(used))
    held = np.zeros(train.n_items, bool)
    held[generator(settings.seed, "couse", "items").permutation(used)[:n]] = True
    enough = n >= LEAST_HELD and _pairs_of(valid, held).any() and _pairs_of(train.where(~held[train.items]), None).any()
    return held if enough else np.zeros_like(held)


def more_than_by_chance(past: Histories) -> sparse.csr_matrix:
    """Return (items, items): 1 where more people used both than would if they were used independently.

    n_ij > n_i n_j / n, the sign of the pointwise mutual information (Church and Hanks 1990).
    """
    matrix = past.matrix()
    both = sparse.coo_matrix(matrix.T @ matrix)
    used = np.asarray(matrix.sum(0)).ravel()
    more = both.data * past.n_users > used[both.row] * used[both.col]
    return sparse.csr_matrix((np.ones(more.sum(), np.float32), (both.row[more], both.col[more])), shape=both.shape)


def _cross_entropy(similar: Tensor, allowed: Tensor, anchors: Tensor, positives: Tensor) -> Tensor:
    """Return the mean -log share of the positive among itself and the anchor's allowed negatives."""
    rows = similar[anchors]  # (pairs, items)
    keep = allowed[anchors].clone()
    keep[torch.arange(len(anchors)), positives] = True
    return F.cross_entropy(rows.masked_fill(~keep, -torch.inf), positives.to(rows.device))


@torch.no_grad()
def _hard_negatives(learner: CoUse, texts: Sequence[str]) -> np.ndarray:
    """Return (items, some) rows of items whose texts are close to an item's, not used together more than by chance.

    By the base's own vectors, once; an item with too few takes random ones.
    """
    vectors = F.normalize(learner.reader.all(learner.tokens, learner.around.progress, "hard negatives"), dim=1)
    items, used = len(texts), np.flatnonzero(learner.used)  # those held out for validation are no negatives either
    some = min(CLOSE, len(used) - 1)
    close = (
        torch.cat([torch.topk(part @ vectors[used].T, some + 1).indices for part in torch.split(vectors, 1024)])
        .cpu()
        .numpy()
    )
    close = used[close]
    rng = generator(learner.settings.seed, "couse", "hard")
    hard = used[rng.integers(len(used), size=(items, 8))]
    for item in range(items):
        with_it = learner.together.indices[learner.together.indptr[item] : learner.together.indptr[item + 1]]
        found = close[item][~np.isin(close[item], with_it) & (close[item] != item)][:8]
        hard[item, : len(found)] = found
    return hard
