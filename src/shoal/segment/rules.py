"""Rules: segments written by hand, such as ``rating_count > 50 and share("Horror") > 0.2``.

    text --parse--> Rule --facts of a data set--> truth of each user --> members, size

Missing values follow SQL: a comparison with something missing is neither true nor false, `not` of it is neither too,
and only users for whom the whole rule is true belong. So a rule and its negation have no user in common, and whoever is
in neither lacks something that both ask for. `missing(age)` asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from shoal.data.dataset import Dataset
from shoal.segment.conditions import Asked
from shoal.segment.facts import Facts
from shoal.segment.syntax import Node, parse_tree
from shoal.tables import NAME, SEGMENT, SIZE, USER

MATCHED = "matched"


@dataclass(frozen=True)
class Rule:
    """A segment written by hand.

    Attributes
    ----------
    text : str
        As it was written.
    tree : Node
        As it was read.
    """

    text: str
    tree: Node

    def matches(
        self,
        data: Dataset,
        members: pl.DataFrame | None = None,
        segments: pl.DataFrame | None = None,
        rules: Mapping[str, Rule] | None = None,
    ) -> pl.DataFrame:
        """Ask the rule of every user.

        Parameters
        ----------
        data : Dataset
        members : polars.DataFrame, optional
            user_id, segment, strength; for rules that ask for segments.
        segments : polars.DataFrame, optional
            segment, name; for rules that ask for segments by name.
        rules : mapping of str to Rule, optional
            Rules by name, for rules that ask for rules.

        Returns
        -------
        polars.DataFrame
            user_id, sorted, and matched (Boolean, never missing), a row for each user of the data.

        Raises
        ------
        ConfigError
            A name is unknown, the data cannot tell what is asked, a text is compared with a number, or rules ask for
            each other in a circle. The message shows the place.
        """
        return self._asked([self.tree], data, members, segments, rules).rename({"0": MATCHED})

    def members(
        self,
        data: Dataset,
        members: pl.DataFrame | None = None,
        segments: pl.DataFrame | None = None,
        rules: Mapping[str, Rule] | None = None,
    ) -> pl.Series:
        """Return the ids of the users who belong, as strings, sorted; see `matches`."""
        return self.matches(data, members, segments, rules).filter(MATCHED)[USER]

    def size(
        self,
        data: Dataset,
        members: pl.DataFrame | None = None,
        segments: pl.DataFrame | None = None,
        rules: Mapping[str, Rule] | None = None,
    ) -> int:
        """Return how many users belong; see `matches`."""
        return int(self.matches(data, members, segments, rules)[MATCHED].sum())

    def why_empty(
        self,
        data: Dataset,
        members: pl.DataFrame | None = None,
        segments: pl.DataFrame | None = None,
        rules: Mapping[str, Rule] | None = None,
    ) -> str:
        """Say, of a rule that matches nobody, which part of it does so by itself, or that they do so together."""
        parts = self.tree.parts if self.tree.kind == "and" else (self.tree,)
        table = self._asked(list(parts), data, members, segments, rules)
        sizes = [int(table[str(i)].sum()) for i in range(len(parts))]
        told = [self.text[p.start : p.end] for p in parts]
        empty = [one for one, size in zip(told, sizes, strict=True) if not size]
        if len(parts) == 1:
            return f"The rule matches nobody: {told[0]} holds for none of {table.height:,} users."
        if empty:
            return f"The rule matches nobody: {' and '.join(empty)} alone holds for none of {table.height:,} users."
        each = "; ".join(f"{one}: {size:,}" for one, size in zip(told, sizes, strict=True))
        return f"The rule matches nobody: each part holds for some users ({each}), and no user has them all."

    def uses(self) -> set[str]:
        """Return the names of segments and rules that the rule asks for by `in_segment`."""
        found, nodes = set(), [self.tree]
        while nodes:
            node = nodes.pop()
            nodes += node.parts
            if node.kind == "call" and node.value == "in_segment" and node.parts and node.parts[0].kind == "text":
                found.add(str(node.parts[0].value))
        return found

    def _asked(
        self,
        nodes: list[Node],
        data: Dataset,
        members: pl.DataFrame | None,
        segments: pl.DataFrame | None,
        rules: Mapping[str, Rule] | None,
    ) -> pl.DataFrame:
        facts = Facts(data, members, segments)
        asked = Asked(self, facts, rules or {}, (self,))
        truths = {str(i): asked.condition(node).fill_null(False) for i, node in enumerate(nodes)}
        return facts.table().select(USER, **truths)


def parse(text: str) -> Rule:
    """Read a rule.

    Parameters
    ----------
    text : str
        Figures (`shoal.segment.facts.FIGURES`), columns of the users table, ``share("label")``, ``share_of("column",
        "label")``, ``has("item")``, ``in_segment("name")``, ``column("name")``, ``missing(name)``, numbers and texts,
        compared, and combined with and, or, not and parentheses.

    Raises
    ------
    ConfigError
        It cannot be read; the message points at the place.
    """
    return Rule(text, parse_tree(text))


class Sheet:
    """What was computed once of the users of a data set, for any number of rules that ask for nothing else.

    Parameters
    ----------
    data : Dataset
    facts : sequence of str
        As rules write them: ``event_count``, ``share("Horror")``, ``has("Alien")``, ``gender == "F"``.

    Attributes
    ----------
    users : polars.Series
        Their ids, as strings, sorted.
    values : dict of str to polars.Series
        Each fact, (users,): numbers, or truths; null where it is missing.

    Raises
    ------
    ConfigError
        A fact cannot be read, or the data cannot tell it.
    """

    def __init__(self, data: Dataset, facts: Sequence[str]) -> None:
        self._facts = Facts(data)
        asked = {text: Asked(rule := parse(text), self._facts, {}, (rule,)).value(rule.tree)[1] for text in facts}
        self._table = self._facts.table()
        self.users = self._table[USER]
        self.values = {text: self._table.select(one).to_series() for text, one in asked.items()}

    def matches(self, rule: Rule) -> pl.Series:
        """Return whether each user matches, (users,), never missing: as `Rule.matches` says it."""
        truth = Asked(rule, self._facts, {}, (rule,)).condition(rule.tree)
        return self._table.select(truth.fill_null(False).alias(MATCHED)).to_series()


def overlap(ids: pl.Series, members: pl.DataFrame, segments: pl.DataFrame) -> pl.DataFrame:
    """Return how users who match a rule lie over the found segments.

    Returns
    -------
    polars.DataFrame
        segment, name, size, matched (users in both), of_segment and of_rule (the share that they are of either, 0 to
        1), in the order of `segments`.
    """
    counts = members.group_by(SEGMENT).agg(
        matched=pl.col(USER).is_in(ids.implode()).sum().cast(pl.Int64), size=pl.len().cast(pl.Int64)
    )
    table = segments.select(SEGMENT, NAME).join(counts, on=SEGMENT, how="inner", maintain_order="left")
    return table.select(
        SEGMENT,
        NAME,
        SIZE,
        MATCHED,
        of_segment=pl.col(MATCHED) / pl.col(SIZE),
        of_rule=pl.col(MATCHED) / max(len(ids), 1),
    )
