"""A run: the verbs that place, rate and recommend, and keep it; `Acts` has those of an analyst."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from shoal import by_hand, keep
from shoal.acts import Acts
from shoal.errors import ConfigError
from shoal.fitted import with_columns
from shoal.judge import as_lists, check_n
from shoal.learn import texts_of
from shoal.learnt import sorted_ids
from shoal.segment.edits import Standing
from shoal.tables import AT, ITEM, RATINGS, RECOMMENDATIONS, SOURCE, USER, check
from shoal.text.render import Template, Texts
from shoal.text.sequence import user_sequences


class Run(Acts):
    """What `shoal.fit` made; see `shoal.fitted.Fitted` for what it holds."""

    def assign(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Place users from what they did, in the frozen space: the same past always gives the same segment.

        Parameters
        ----------
        interactions : polars.DataFrame
            user_id, item_id, and rating, weight, at where there are any. Users may be unknown to the run; events of
            items that are not in the catalogue are left out.

        Returns
        -------
        polars.DataFrame
            user_id, segment, strength (0 to 1), sorted by user_id. A user with fewer than `segment.min_events` known
            events gets -1 and 0. Users of the run who were pinned into a segment, or put out of one, by hand are placed
            accordingly.
        """
        users, pasts = self._given(interactions)
        return by_hand.place(self.learnt, users, pasts, Standing.of(self.edits))

    def rate(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Predict ratings on the data's own scale.

        Parameters
        ----------
        pairs : polars.DataFrame
            user_id and item_id. An unknown user counts as one without a past, an unknown item as one without text and
            ratings; both get the prior and its wider spread.

        Returns
        -------
        polars.DataFrame
            user_id, item_id, rating, spread (one standard deviation), in the order of `pairs`.

        Raises
        ------
        ConfigError
            The data has no ratings to predict.
        TableError
            A column is missing.
        """
        rater = self.learnt.rater
        if rater is None:
            raise ConfigError(
                "This run has no ratings to predict: its data holds counts or bare events. Use recommend."
            )
        pairs = with_columns(pairs, USER, ITEM)
        users = sorted_ids(pairs, USER)
        pasts = self.learnt.pasts(self._events_of(users), users)
        rating, spread = rater.rate(pasts, users.rows(pairs[USER]), self.learnt.items.rows(pairs[ITEM]))
        return check(pairs.with_columns(rating=pl.Series(rating), spread=pl.Series(spread)), RATINGS, what="ratings")

    def recommend(
        self,
        users: list[str] | None = None,
        *,
        history: pl.DataFrame | None = None,
        n: int = 10,
        seen: bool = False,
    ) -> pl.DataFrame:
        """Recommend n items to each user, best first.

        Parameters
        ----------
        users : list of str, optional
            Users of the run; None: all of them. A user who never did anything gets what newcomers get.
        history : polars.DataFrame, optional
            Instead of the run's own events: what some users did, known to the run or not. Then `users` are those who
            occur in it, unless given.
        n : int
            1 or more; more than there is to offer gives all there is.
        seen : bool
            Offer items that the user already had, too.

        Returns
        -------
        polars.DataFrame
            user_id, item_id, rank (from 1), score, source (the model that carried the item most).

        Raises
        ------
        ConfigError
            `n` is below 1.
        UnknownIdError
            A user is not known, and no history says what they did.
        """
        check_n(n)
        if history is None:
            who = self._known(users)
            pasts = self.learnt.pasts(self._events_of(who), who)
        else:
            who, pasts = self._given(history, users)
        items, scores, sources = self.learnt.best(pasts, min(n, len(self.learnt.items)), seen=seen)
        lists = as_lists(who, self.learnt.items, items, scores)
        names = self.learnt.source_names(sources.ravel())[items.ravel() >= 0]
        return check(lists.with_columns(pl.Series(SOURCE, names, pl.String)), RECOMMENDATIONS, what="recommendations")

    def sequences(self, users: list[str] | None = None, *, cutoff: datetime | None = None) -> Texts:
        """Write users' pasts as language sequences: dated, with ratings, oldest first, the newest within the budget.

        Parameters
        ----------
        users : list of str, optional
            Users of the run; None: all of them. A user without a past gets "".
        cutoff : datetime, optional
            Every event must be older. None: a microsecond after the newest event of the data.

        Raises
        ------
        LeakageError
            One of the users has an event at or after the cut-off.
        UnknownIdError
            A user is not known.
        """
        who, data, text = self._known(users), self.data, self.learnt.config.text
        newest = data.interactions[AT].max() if data.has_times else None
        if cutoff is None and isinstance(newest, datetime):
            cutoff = newest + timedelta(microseconds=1)
        return user_sequences(
            self._events_of(who),
            texts_of(data, self.learnt.config, cutoff),
            template=Template(text.event_template),
            budget_tokens=text.history_tokens,
            cutoff=cutoff,
            users=who,
            scale=data.scale,
            seed=self.learnt.config.seed,
        )

    def save(self, folder: str | Path) -> Path:
        """Keep the run in a folder, whole or not at all.

        Raises
        ------
        StoreError
            The folder holds something else, or cannot be written.
        """
        learnt, tables = self.learnt, (self.segments, self.members)
        return keep.save(learnt, *tables, self.judgement, self.manifest, folder, extra=self.extra, more=self.more)

    def update(self, folder: str | Path) -> Path:
        """Keep rules and edits in the folder that the run was loaded from or saved to, whole or not at all.

        Raises
        ------
        StoreError
            The folder holds another run, was edited meanwhile, or cannot be written.
        """
        inside = self.more.get("subsegments")
        return keep.update(folder, self.learnt, self.segments, self.members, self.manifest, self.extra, inside)
