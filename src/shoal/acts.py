"""What one does with the segments of a run: explain, compare, find alike, export, and change them by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import polars as pl

from shoal import by_hand, reasons
from shoal.alike import Lookalikes, lookalikes
from shoal.data.histories import Histories
from shoal.errors import ConfigError
from shoal.explain.deletion import Effect
from shoal.explain.faithful import Faithfulness
from shoal.fitted import Fitted
from shoal.segment.anonymous import counts
from shoal.segment.compare import compare
from shoal.segment.edits import Edit
from shoal.segment.export import Exported, K, export
from shoal.segment.rules import Rule, parse
from shoal.shares import Shares, shares


class Acts(Fitted):
    """The verbs of an analyst."""

    def explain(self, user: str, item: str | None = None) -> pl.DataFrame:
        """Say which of a user's events carry a recommendation, or the place in a segment; checked by deletion.

        Returns
        -------
        polars.DataFrame
            item_id, value (the rating or count of that event), effect (what leaving the event out takes from the
            item's score, or from the segment's strength), attention; strongest first. Empty without a past.

        Raises
        ------
        UnknownIdError
            The user or the item is not known.
        """
        past = self._past_of(user)
        return reasons.events_that_count(self.learnt, past, self._effect(past, item))

    def why(self, user: str) -> reasons.Why:
        """Say which segments a user is in and why: memberships, shared exemplars, events checked by deletion.

        Raises
        ------
        UnknownIdError
            The user is not known.
        """
        return reasons.why(self.learnt, self.segments, self._past_of(user))

    def shares(self, user: str, item: str) -> Shares:
        """Say how much of an item's score is everybody's, the segment's, the user's own, and the texts'.

        Raises
        ------
        UnknownIdError
            The user or the item is not known.
        """
        past, row = self._past_of(user), self._item_row(item)
        return shares(self.learnt, self.members, past, row, seed=self.learnt.config.seed)

    def way_to(self, user: str, segment: int) -> pl.DataFrame:
        """Return the fewest events whose loss or gain would put a user into a segment, each step placed anew.

        Returns
        -------
        polars.DataFrame
            step, action (remove or add), item_id, value, strength (membership of that segment after the step), segment
            (where the user is then). Empty if the user is there already. If no way was found the last row's segment is
            another one.

        Raises
        ------
        UnknownIdError
            The user or the segment is not known.
        ConfigError
            The segment is -1.
        """
        past = self._past_of(user)
        return reasons.steps_of(self.learnt, reasons.way_to(self.learnt, self.segments, self.members, past, segment))

    def shapley(self, user: str, item: str | None = None, *, pairs: int = 16, seed: int | None = None) -> pl.DataFrame:
        """Return Shapley values of a user's newest events for an item's score, or for the segment's strength.

        Parameters
        ----------
        user, item : str
        pairs : int
            Pairs of orders that are drawn; four times as many halve the error.
        seed : int, optional
            None: the run's own.

        Returns
        -------
        polars.DataFrame
            item_id, value, shapley, error (standard error of the sampling), strongest first. They add up to the score
            less the score without these events.

        Raises
        ------
        UnknownIdError
            The user or the item is not known.
        ConfigError
            There are fewer than 2 pairs.
        """
        past = self._past_of(user)
        seed = self.learnt.config.seed if seed is None else seed
        return reasons.shapley_values(self.learnt, past, self._effect(past, item), pairs=pairs, seed=seed)

    def faithfulness(self, users: list[str] | None = None, *, n: int = 50, seed: int | None = None) -> Faithfulness:
        """Check whether the events cited for first recommendations carry them, against random events.

        Parameters
        ----------
        users : list of str, optional
            None: `n` users with more than three events, drawn by the seed.

        Raises
        ------
        UnknownIdError
            A user is not known.
        NotEnoughDataError
            Fewer than two users have more than three events.
        ConfigError
            `n` is below 2.
        """
        if n < 2:
            raise ConfigError(f"n = {n}: an interval over users needs at least 2; 50 do well.")
        seed = self.learnt.config.seed if seed is None else seed
        some = reasons.long_enough(self.learnt, n, seed=seed) if users is None else self._known(users).values
        return reasons.faithful(self.learnt, some, seed=seed)

    def lookalikes(self, seeds: Sequence[str], n: int | None = None, *, seed: int | None = None) -> Lookalikes:
        """Find the users most like those of a list, and say how many of them really behave alike.

        Parameters
        ----------
        seeds : sequence of str
            Users of the run.
        n : int, optional
            How many to add; None: those above the threshold that held-out events suggest, which may be nobody.

        Raises
        ------
        UnknownIdError
            A user is not known; all of them are named.
        NotEnoughDataError
            There are fewer than two seeds with events, or, without `n`, too few to set a threshold by.
        ConfigError
            `n` is below 1.
        """
        who = self._known(list(seeds))
        return lookalikes(self.learnt, who.values, n, seed=self.learnt.config.seed if seed is None else seed)

    def export(
        self,
        to: str | Path,
        *,
        since: str | Path | None = None,
        holdout: float = 0.0,
        seed: int | None = None,
        k: int = K,
    ) -> Exported:
        """Write members with the names of their segments, or what changed since the last export.

        See `shoal.segment.export.export`, which also says what is raised.
        """
        seed = self.learnt.config.seed if seed is None else seed
        source = f"{self.manifest.get('made')} {self.manifest.get('data', {}).get('fingerprint')}"
        options: dict[str, Any] = {"since": since, "holdout": holdout, "seed": seed, "k": k, "source": source}
        return export(self.members, self.segments, to, **options)

    def counts(
        self, traits: Sequence[str] = (), *, holdout: float = 0.0, seed: int | None = None, k: int = K
    ) -> pl.DataFrame:
        """Count users by segment, and by segment and trait, so that no group of fewer than k can be computed.

        See `shoal.segment.anonymous.counts`, which also says what is raised.
        """
        seed = self.learnt.config.seed if seed is None else seed
        options: dict[str, Any] = {"traits": traits, "holdout": holdout, "seed": seed, "k": k}
        return counts(self.members, self.segments, users=self.data.users, **options)

    def compare(self, segments: Sequence[int], *, draws: int = 1000, seed: int | None = None) -> pl.DataFrame:
        """Say what differs between two to five segments, by how much, and whether it matters.

        See `shoal.segment.compare.compare`, which also says what is raised.
        """
        data, seed = self.data, self.learnt.config.seed if seed is None else seed
        tables = self.members, data.interactions, data.items
        return compare(*tables, segments, users=data.users, seed=seed, draws=draws)

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules that are kept with the run, by name."""
        return by_hand.rules_of(self.extra)

    def match(self, rule: str | Rule) -> pl.Series:
        """Return the ids of the users whom a rule matches, sorted: a rule's text, a rule, or the name of a kept one.

        Raises
        ------
        ConfigError
            The rule cannot be read, or asks for what is not there.
        """
        rules = self.rules
        rule = rules.get(rule) or parse(rule) if isinstance(rule, str) else rule
        return rule.members(self.data, self.members, self.segments, rules)

    def with_rule(self, name: str, rule: str, *, who: str | None = None, why: str = "") -> Self:
        """Return the run with one more rule, which matches somebody; `who` is the login name unless given.

        Raises
        ------
        ConfigError
            The rule cannot be read, asks for what is not there, or matches nobody; or the name is taken.
        """
        extra = by_hand.with_rule(self.extra, self.segments, name, rule, who=who, why=why)
        asked = parse(rule)
        if not len(self.match(asked)):
            raise ConfigError(asked.why_empty(self.data, self.members, self.segments, self.rules))
        return replace(self, extra=extra)

    def without_rule(self, name: str) -> Self:
        """Return the run without a rule.

        Raises
        ------
        UnknownIdError
            There is no such rule.
        ConfigError
            Another rule asks for it.
        """
        return replace(self, extra=by_hand.without_rule(self.extra, name))

    @property
    def edits(self) -> list[Edit]:
        """The log of what was changed by hand, oldest first."""
        return by_hand.edits_of(self.extra)

    def edited(self, *edits: Edit) -> Self:
        """Return the run after some edits; this one stays as it is.

        Parameters
        ----------
        *edits : shoal.segment.edits.Edit
            One after the other, such as ``Edit("merge", (1, 4), why="siblings")``.

        Raises
        ------
        ConfigError
            A segment is locked, a name is taken, or an edit would change nothing.
        UnknownIdError
            A segment or a user does not exist.
        NotEnoughDataError
            A segment has too few users to be split.
        """
        return by_hand.told_again(by_hand.applied(self, *edits), self.members)

    def continuing(self, before: Acts, mapping: Mapping[int, int]) -> tuple[Self, list[str]]:
        """Return the run with the rules and edits of an earlier one, and notes on what could not be carried over.

        What was merged or split is so again, names and locks stay with the segments that go on, pins and outs with
        their users; the log goes on.

        Parameters
        ----------
        before : Run
            The earlier run.
        mapping : mapping of int to int
            Segments of it to those of this run that go on for them; those that died are missing.
        """
        return by_hand.continuing(self, before, mapping)

    def _effect(self, past: Histories, item: str | None) -> Effect:
        """Return what is to be explained: an item's score, or the strength of the user's segment."""
        if item is None:
            return reasons.strength_of(self.learnt, past)
        return reasons.score_of(self.learnt, self._item_row(item))

    def _past_of(self, user: str) -> Histories:
        who = self._known([user])
        return self.learnt.pasts(self._events_of(who), who)
