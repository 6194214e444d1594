"""The face in Python: fit, and a Run that shows its segments, assigns, rates, recommends, explains, and is kept.

fit: hold out --learn--> Learnt --judge--> Judgement --refit on everything--> Run
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shoal import by_hand, keep, reasons
from shoal.alike import Lookalikes, lookalikes
from shoal.certify import CERTIFICATE, certify
from shoal.config import Config, Name
from shoal.data.dataset import Dataset
from shoal.data.histories import Histories
from shoal.data.ids import Ids
from shoal.describe import check_same_users, everyone, manifest_of, renamed, survived
from shoal.errors import ConfigError, ShoalError, TableError, UnknownIdError
from shoal.explain.deletion import Effect
from shoal.explain.faithful import Faithfulness
from shoal.judge import Judgement, as_lists, check_n, judge
from shoal.learn import Around, hold_out, learn, texts_of
from shoal.learnt import Learnt, sorted_ids
from shoal.names import blind, named, names_of, with_certificate, with_names
from shoal.progress import Progress, duration
from shoal.progress import progress as make_progress
from shoal.seeding import integer
from shoal.segment.anonymous import counts
from shoal.segment.compare import compare
from shoal.segment.edits import Edit, Standing
from shoal.segment.export import Exported, K, export
from shoal.segment.identity import Before, history, kept_share
from shoal.segment.namer import check as check_namer
from shoal.segment.rules import Rule, parse
from shoal.tables import AT, ITEM, PARENT, RATINGS, RECOMMENDATIONS, SEGMENT, SOURCE, SUBSEGMENT, USER, check
from shoal.text.render import Template, Texts
from shoal.text.sequence import user_sequences
from shoal.work import clear, open_work


@dataclass
class Run:
    """What a fit made.

    Attributes
    ----------
    learnt : Learnt
    segments : polars.DataFrame
        A row a segment: segment, size, share, name, sets_apart, habits, categories, words, exemplars, and how its own
        models did on held-out events: gain (words), lift, lift_low, lift_high (popularity in the segment against
        everyone's, relative), verdict. The unassigned, if any, are segment -1.
    members : polars.DataFrame
        user_id, segment, strength, for every user of the data.
    judgement : Judgement
        How good it was on events that were held out before anything was learnt.
    manifest : dict
        Versions, data fingerprint, rows kept and dropped, seed, settings, times.
    extra : dict
        Documents beside: rules and edits, which were added by hand (`shoal.by_hand`), and how the names came about.
    more : dict of str to polars.DataFrame
        What a run fitted after another has beside: see `history`, `migration`, `drift`.
    """

    learnt: Learnt
    segments: pl.DataFrame
    members: pl.DataFrame
    judgement: Judgement
    manifest: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    more: dict[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def naming(self) -> dict[str, Any] | None:
        """How the names came about: each segment's source, and each prompt and reply of a language model.

        None in a run of before.
        """
        return self.extra.get(keep.NAMING)

    @property
    def history(self) -> pl.DataFrame:
        """Sizes over time, of this run and those that it was fitted after: fitted, segment, name, size, share."""
        made = datetime.fromisoformat(self.manifest["made"])
        return self.more["history"] if "history" in self.more else history(self.segments, made)

    @property
    def migration(self) -> pl.DataFrame | None:
        """Who moved since the last run: from (null: new), to (null: gone), users, share; None for a first run."""
        return self.more.get("migration")

    @property
    def subsegments(self) -> pl.DataFrame:
        """What segments are made of, a row a subsegment, as `segments`, with parent; what sets it apart is told
        against the rest of its segment. Empty in a run of before.
        """
        return self.more.get("subsegments", pl.DataFrame(schema={PARENT: pl.Int32(), **self.segments.schema}))

    @property
    def certificate(self) -> pl.DataFrame:
        """How the figures beside segments came about, and more of them; see `shoal.certify.CERTIFICATE`."""
        return self.more.get("certificate", pl.DataFrame(schema=CERTIFICATE))

    @property
    def drift(self) -> pl.DataFrame | None:
        """Which segments' sizes changed by more than chance since the last run; see `shoal.segment.drift.sizes`."""
        return self.more.get("drift")

    @property
    def data(self) -> Dataset:
        """The data set that the run was fitted on."""
        return self.learnt.data

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
        pairs = _with_columns(pairs, USER, ITEM)
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

    def shares(self, user: str, item: str) -> reasons.Shares:
        """Say how much of an item's score is everybody's, the segment's, the user's own, and the texts'.

        Raises
        ------
        UnknownIdError
            The user or the item is not known.
        """
        past, row = self._past_of(user), self._item_row(item)
        return reasons.shares(self.learnt, self.members, past, row, seed=self.learnt.config.seed)

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
        return keep.update(folder, self.learnt, self.segments, self.members, self.manifest, self.extra)

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

    def with_rule(self, name: str, rule: str, *, who: str | None = None, why: str = "") -> Run:
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

    def without_rule(self, name: str) -> Run:
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

    def edited(self, *edits: Edit) -> Run:
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
        run = self
        for edit in edits:
            made = by_hand.edited(run.learnt, run.segments, run.members, run.extra, edit)
            learnt, segments, members, extra = made
            run = replace(run, learnt=learnt, segments=segments, members=members, extra=extra)
        return run

    def continuing(self, before: Run, mapping: Mapping[int, int]) -> tuple[Run, list[str]]:
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

    def _known(self, users: list[str] | None) -> Ids:
        everyone = sorted_ids(self.data.users, USER)
        if users is None:
            return everyone
        wanted = Ids(dict.fromkeys(str(u) for u in users))
        unknown = [u for u, row in zip(wanted.values, everyone.rows(wanted.values), strict=True) if row < 0]
        if unknown:
            raise UnknownIdError(
                f"This run does not know user {unknown[0]}"
                + (f" and {len(unknown) - 1} more" if unknown[1:] else "")
                + f"; it has {len(everyone):,} users. Hand in what they did with history=..."
            )
        return wanted

    def _item_row(self, item: str) -> int:
        row = int(self.learnt.items.rows([item])[0])
        if row < 0:
            raise UnknownIdError(f"The catalogue has no item {item}; it has {len(self.learnt.items):,} items.")
        return row

    def _events_of(self, users: Ids) -> pl.DataFrame:
        return self.data.interactions.filter(pl.col(USER).cast(pl.String).is_in(users.values.implode()))

    def _given(self, history: pl.DataFrame, users: list[str] | None = None) -> tuple[Ids, Histories]:
        history = _with_columns(history, USER, ITEM)
        who = sorted_ids(history, USER) if users is None else Ids(dict.fromkeys(str(u) for u in users))
        return who, self.learnt.pasts(history, who)


def fit(
    data: Dataset,
    *,
    config: Config | None = None,
    work: str | Path | None = None,
    device: str = "auto",
    cache: str | Path | Literal["default"] | None = "default",
    progress: Progress | None = None,
    after: Run | str | Path | None = None,
) -> Run:
    """Learn who the users are, what they would rate and what they want next, and how good that is.

    A part of the events is held out first, and only the judgement sees it. What is learnt by gradient, every weight and
    every setting comes from the rest; at the end the closed-form models are fitted again on everything.

    Parameters
    ----------
    data : Dataset
        As `shoal.read` gives it.
    config : Config, optional
    work : path, optional
        A folder for the work so far: a fit that is stopped at any moment and called again with the same data, settings
        and folder goes on, and ends at the same numbers. The work of another fit that stands there is removed.
    device : str
        For the language model: ``auto``, ``cpu``, ``cuda``, ``mps``.
    cache : path, "default" or None
        Where encoded texts are kept.
    progress : Progress, optional
        None: a bar when stderr is a terminal, else nothing.
    after : Run or path, optional
        The last run, on older data of the same users. Its segments are looked for first and keep their numbers and
        names; `Run.migration`, `Run.history` and `Run.drift` say what became of them.

    Raises
    ------
    NotEnoughDataError
        There are too few users, items or events.
    MismatchError
        The last run knows none of the users.
    EncoderError
        The language model cannot be had.
    ConfigError, MissingExtraError
        A language model is to name segments, and its address, name, file or package is missing. One that does not
        answer is no error: names come from contrasts, with a warning.
    StoreError
        `work` holds something that no fit put there.
    """
    config = config or Config()
    last = load(after) if isinstance(after, str | Path) else after
    if last is not None:
        check_same_users(last.members, data)
    folder = None if cache is None else cache if cache == "default" else Path(cache)
    place = open_work(work, data, config)
    around = Around(progress or make_progress(), device, folder, place)  # type: ignore[arg-type]
    try:
        return _fit(data, config, around, last)
    except BaseException as error:
        clear(place, everything=isinstance(error, ShoalError))
        raise


def _fit(data: Dataset, config: Config, around: Around, last: Run | None) -> Run:
    began = datetime.now(UTC)
    check_namer(config.name)
    before = None if last is None else _before(last)
    held = hold_out(data, config, share=config.validation.share, seed=integer(config.seed, "outer"))
    learnt = learn(held.train, config, around, cutoff=held.cutoff, before=before)
    with around.stage("judge"):
        judgement = judge(learnt, held, n=10, seed=config.seed)
    with around.stage("certify"):
        certificate = certify(learnt, held, seed=integer(config.seed, "certify"))
    with around.stage("closed form"):
        learnt.refit(replace(data, items=learnt.data.items))
    with around.stage("describe"):
        members = everyone(learnt)
    with around.stage("name"):
        old = {} if last is None else names_of(last.segments, last.subsegments)
        segments, inside, naming = named(learnt, members, held, old, config, around)
        more = {"history": history(segments, began)}
        if last is not None:
            segments, more = survived(segments, members, last.segments, last.members, last.history, began)
    with around.stage("certify"):
        judged = blind(learnt, held, names_of(segments, inside), inside, around)
        certificate, parents = with_names(certificate, judged), dict(inside.select(SEGMENT, PARENT).iter_rows())
        segments, inside = (with_certificate(table, certificate, judged, parents) for table in (segments, inside))
    manifest = manifest_of(learnt, around, began)
    if last is not None:
        manifest["after"] = {"made": last.manifest["made"], "kept": kept_share(more["migration"])}
        around.progress.log(
            f"keep  {100 * manifest['after']['kept']:.0f} % of those who are still there kept their segment"
        )
    around.progress.log(f"fit  done in {duration(sum(around.seconds.values()))}: {segments.height} segments")
    more |= {"subsegments": inside, "certificate": certificate}
    run = Run(learnt, segments, members, judgement, manifest, {keep.NAMING: naming}, more)
    if last is None:
        return run
    run, notes = run.continuing(last, {one: one for one in last.segments[SEGMENT] if one in segments[SEGMENT]})
    for note in notes:
        around.progress.warn(note)
    return run


def _before(last: Run) -> Before:
    """Return what a fit needs to know of the last run's segments."""
    numbers = [*last.history[SEGMENT], *last.subsegments[SEGMENT]]
    inside = None
    if SUBSEGMENT in last.members.columns:
        inside = last.members.select(USER, pl.col(SUBSEGMENT).alias(SEGMENT))
    return Before(last.members, max(numbers), inside)


def load(folder: str | Path) -> Run:
    """Return the run that was kept in a folder.

    Raises
    ------
    StoreError
        The folder is missing, is no run, is damaged or was written by a newer version.
    """
    return Run(*keep.load(folder))


def rename(
    folder: str | Path,
    settings: Name,
    *,
    keep_names: Mapping[int, str] | None = None,
    cache: str | Path | Literal["default"] | None = "default",
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Name the segments of a kept run anew, and keep it, whole or not at all; nothing else of it changes.

    A report that stands in the folder tells of the old names, and goes.

    Parameters
    ----------
    folder : path
    settings : shoal.config.Name
        They become those of the run.
    keep_names : mapping of int to str, optional
        Names, by segment, that stay as they are; the others differ from them.
    cache : path, "default" or None
        Where a language model's replies are kept by content.
    progress : Progress, optional
        Warned where a language model's name was not taken.

    Returns
    -------
    segments : polars.DataFrame
        As `Run.segments`.
    naming : dict
        As `Run.naming`.

    Raises
    ------
    StoreError
        The folder is no run, is damaged, or cannot be written.
    ConfigError, MissingExtraError
        A language model is wanted, and its address, name, file or package is missing.
    """
    check_namer(settings)
    place = None if cache is None else cache if cache == "default" else Path(cache)

    def name(segments: pl.DataFrame, members: pl.DataFrame, data: Dataset, seed: int) -> keep.Renamed:
        told = progress or make_progress()
        return renamed(segments, members, data, settings, keep=keep_names, seed=seed, cache=place, progress=told)  # type: ignore[arg-type]

    return keep.rename(folder, settings, name)


def _with_columns(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    for column in columns:
        if column not in table.columns:
            raise TableError(f"The table has no column {column}; it has {', '.join(table.columns)}.")
    return table.with_columns(pl.col(c).cast(pl.String) for c in columns)
