"""What a rule asks for: its nodes as expressions over the facts of a data set, missing where they cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

import polars as pl

from shoal.errors import ConfigError
from shoal.segment.facts import FUNCTIONS, Facts, Kind, close_to
from shoal.segment.syntax import Node, pointed

MOST_NESTED = 20  # rules that ask for each other

_A = {"number": "a number", "text": "a text", "truth": "a condition", "time": "a time"}
_ARGUMENTS = {"share": 1, "share_of": 2, "has": 1, "in_segment": 1, "column": 1, "missing": 1}
_COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
Typed = tuple[Kind, pl.Expr]
T = TypeVar("T", pl.Expr, Typed, str)


class Written(Protocol):
    """A rule as it was written, and as it was read."""

    @property
    def text(self) -> str:
        """As it was written."""
        ...

    @property
    def tree(self) -> Node:
        """As it was read."""
        ...


class Asked:
    """Turns the nodes of one rule into expressions over the facts.

    Parameters
    ----------
    rule : Written
    facts : Facts
    rules : mapping of str to Written
        Rules by name, which rules may ask for.
    asking : tuple of Written
        The rules that led to this one, itself included: none of them may be asked for again.
    """

    def __init__(self, rule: Written, facts: Facts, rules: Mapping[str, Written], asking: tuple[Written, ...]) -> None:
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
        return Asked(rule, self.facts, self.rules, (*self.asking, rule)).condition(rule.tree).fill_null(False)

    def _text(self, node: Node, name: str) -> str:
        if node.kind != "text":
            raise self._wrong(node, f"{name} wants texts in quotes: {FUNCTIONS[name]}")
        return str(node.value)

    def _fact(self, node: Node, ask: Callable[[], T]) -> T:
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
