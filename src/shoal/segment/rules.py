"""Rules: segments written by hand, such as ``rating_count > 50 and share("Horror") > 0.2``.

    text --parse--> Rule --facts of a data set--> truth of each user --> members, size

Missing values follow SQL: a comparison with something missing is neither true nor false, `not` of it is neither too,
and only users for whom the whole rule is true belong. So a rule and its negation have no user in common, and whoever is
in neither lacks something that both ask for. `missing(age)` asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import polars as pl

from shoal.data.dataset import Dataset
from shoal.errors import ConfigError
from shoal.segment.facts import FUNCTIONS, Facts, Kind, close_to
from shoal.segment.syntax import Node, parse_tree, pointed
from shoal.tables import NAME, SEGMENT, SIZE, USER

MATCHED = "matched"
MOST_NESTED = 20  # rules that ask for each other

_A = {"number": "a number", "text": "a text", "truth": "a condition", "time": "a time"}
_ARGUMENTS = {"share": 1, "share_of": 2, "has": 1, "in_segment": 1, "column": 1, "missing": 1}
Typed = tuple[Kind, pl.Expr]
Fact = TypeVar("Fact", pl.Expr, Typed, str)


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
        asked = _Asked(self, facts, rules or {}, (self,))
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
        asked = {text: _Asked(rule := parse(text), self._facts, {}, (rule,)).value(rule.tree)[1] for text in facts}
        self._table = self._facts.table()
        self.users = self._table[USER]
        self.values = {text: self._table.select(one).to_series() for text, one in asked.items()}

    def matches(self, rule: Rule) -> pl.Series:
        """Return whether each user matches, (users,), never missing: as `Rule.matches` says it."""
        truth = _Asked(rule, self._facts, {}, (rule,)).condition(rule.tree)
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


class _Asked:
    """Turns the nodes of one rule into expressions over the facts."""

    def __init__(self, rule: Rule, facts: Facts, rules: Mapping[str, Rule], asking: tuple[Rule, ...]) -> None:
        self.rule, self.facts, self.rules, self.asking = rule, facts, rules, asking

    def condition(self, node: Node) -> pl.Expr:
        """Return the truth of a node, missing where it cannot be told."""
        kind, expression = self.value(node)
        if kind != "truth":
            example = {"number": " > 0", "text": ' == "..."', "time": ' > "2020-01-31"'}[kind]
            told = self._told(node)
            raise self._wrong(node, f"{told} is {_A[kind]}; a rule needs a condition, such as {told}{example}")
        return expression

    def value(self, node: Node) -> Typed:
        """Return what kind of value a node has, and its expression."""
        if node.kind in ("number", "text", "truth"):
            return node.kind, pl.lit(node.value)  # type: ignore[return-value]  # a Kind, as just asked
        if node.kind == "name":
            return self._fact(node, lambda: self.facts.named(node.value))
        if node.kind == "call":
            return self._call(node)
        if node.kind == "not":
            return "truth", ~self.condition(node.parts[0])
        if node.kind in ("and", "or"):
            parts = [self.condition(part) for part in node.parts]
            return "truth", pl.all_horizontal(parts) if node.kind == "and" else pl.any_horizontal(parts)
        if node.kind == "compare":
            return "truth", self._compared(node)
        return "number", self._sum(node)

    def _sum(self, node: Node) -> pl.Expr:
        operands = [self._number(part) for part in node.parts]
        if node.kind == "negate":
            return -operands[0]
        left, right = operands
        if node.value == "/":  # by zero: missing, as what it would be is not known
            return left / pl.when(right != 0).then(right)
        return {"+": left + right, "-": left - right, "*": left * right}[node.value]

    def _number(self, node: Node) -> pl.Expr:
        kind, expression = self.value(node)
        if kind != "number":
            raise self._wrong(node, f"{self._told(node)} is {_A[kind]}; only numbers can be added and multiplied")
        return expression

    def _compared(self, node: Node) -> pl.Expr:
        (left_kind, left), (right_kind, right) = (self.value(part) for part in node.parts)
        if "time" in (left_kind, right_kind) and "text" in (left_kind, right_kind):
            left_kind, left = self._moment(node.parts[0], left_kind, left)
            right_kind, right = self._moment(node.parts[1], right_kind, right)
        first, second = node.parts
        if left_kind != right_kind:
            what = f"{self._told(first)} is {_A[left_kind]} and {self._told(second)} is {_A[right_kind]}"
            hint = '; a text stands in quotes, such as "25"' if (left_kind, right_kind) == ("text", "number") else ""
            raise self._wrong(second, f"{what}: they cannot be compared{hint}")
        if left_kind in ("text", "truth") and node.value not in ("==", "!="):
            raise self._wrong(node, f"{_A[left_kind]} is compared by == or !=, not by {node.value}")
        return _COMPARE[node.value](left, right)

    def _moment(self, node: Node, kind: Kind, expression: pl.Expr) -> Typed:
        """Read a text that stands beside a time as one."""
        if kind != "text" or node.kind != "text":
            return kind, expression
        try:
            moment = datetime.fromisoformat(node.value).replace(tzinfo=None)
        except ValueError:
            raise self._wrong(node, f"{self._told(node)} is no time; write 2020-01-31 or 2020-01-31T18:00") from None
        return "time", pl.lit(moment, pl.Datetime("us"))

    def _call(self, node: Node) -> Typed:
        name = str(node.value)
        if name not in FUNCTIONS:
            hint = close_to(name, pl.Series(list(FUNCTIONS), dtype=pl.String)).replace('"', "")
            raise self._wrong(node, f"there is no function {name}; known are {', '.join(FUNCTIONS.values())}.{hint}")
        if len(node.parts) != _ARGUMENTS[name]:
            raise self._wrong(node, f"{name} is written {FUNCTIONS[name]}")
        if name == "missing":
            return "truth", self.value(node.parts[0])[1].is_null()
        texts = [self._text(part, name) for part in node.parts]
        if name == "in_segment":
            return "truth", self._in_segment(node, texts[0])
        if name == "share":
            return "number", self._fact(node.parts[0], lambda: self.facts.share(texts[0]))
        if name == "share_of":
            kind = self._fact(node.parts[0], lambda: self.facts.label_column(texts[0]))
            return "number", self._fact(node.parts[1], lambda: self.facts.share(texts[1], kind))
        if name == "has":
            return "truth", self._fact(node.parts[0], lambda: self.facts.has(texts[0]))
        return self._fact(node.parts[0], lambda: self.facts.column(texts[0]))

    def _in_segment(self, node: Node, name: str) -> pl.Expr:
        rule = self.rules.get(name)
        if rule is None:
            try:
                return self.facts.in_segment(name)
            except ConfigError as error:
                near = close_to(name, pl.Series([*self.facts.segment_names(), *self.rules], dtype=pl.String))
                known = str(error).partition(" Did you mean")[0]
                raise self._wrong(node.parts[0], known + near) from None
        if rule in self.asking or len(self.asking) > MOST_NESTED:
            raise self._wrong(node.parts[0], f'the rule "{name}" asks for itself, by way of others or directly')
        return _Asked(rule, self.facts, self.rules, (*self.asking, rule)).condition(rule.tree).fill_null(False)

    def _text(self, node: Node, name: str) -> str:
        if node.kind != "text":
            raise self._wrong(node, f"{name} wants texts in quotes: {FUNCTIONS[name]}")
        return str(node.value)

    def _fact(self, node: Node, ask: Callable[[], Fact]) -> Fact:
        """Ask for a fact; where that fails, say it with the place."""
        try:
            return ask()
        except ConfigError as error:
            raise self._wrong(node, str(error)) from None

    def _told(self, node: Node) -> str:
        return self.rule.text[node.start : node.end]

    def _wrong(self, node: Node, message: str) -> ConfigError:
        message = message if message.endswith((".", "?")) else f"{message}."
        return pointed(self.rule.text, node.start, f"The rule cannot be asked at character {node.start + 1}: {message}")


_COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
