"""The grammar of rules: a text becomes a tree, and what cannot be read is pointed at.

    rule        or
    or          and ("or" and)*
    and         not ("and" not)*
    not         "not" not | comparison
    comparison  sum [("==" | "!=" | "<" | "<=" | ">" | ">=") sum | ["not"] "in" "(" sum ("," sum)* ")"]
    sum         product (("+" | "-") product)*
    product     sign (("*" | "/") sign)*
    sign        "-" sign | atom
    atom        number | "text" | name | name "(" [atom ("," atom)*] ")" | "(" or ")"

What the names mean, and whether a text may be compared with a number, is not asked here; see `shoal.segment.rules`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from shoal.errors import ConfigError

LONGEST = 20_000  # characters of a rule
DEEPEST = 40  # parentheses, "not" and signs inside each other
HIGHEST = 100  # nodes of a tree above each other
SHOWN = 100  # characters of a rule that an error shows

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2}
_WORDS = ("and", "or", "not", "in", "true", "false")

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|“[^”]*”)
    |(?P<name>[^\W\d]\w*)
    |(?P<mark>==|!=|<=|>=|[<>+\-*/(),])
    |(?P<end>$))""",
    re.VERBOSE | re.DOTALL,
)
_HINTS = {
    "=": "write == to compare",
    "&": "write and",
    "|": "write or",
    "!": "write not, or != to compare",
    "%": "write shares from 0 to 1: 0.2, not 20%",
    '"': "this quote is never closed",
    "'": "this quote is never closed",
    "“": "this quote is never closed",
}


@dataclass(frozen=True)
class Node:
    """A part of a rule.

    Attributes
    ----------
    kind : str
        ``number``, ``text``, ``truth``, ``name``, ``call``, ``negate``, ``sum`` (also products), ``compare``, ``not``,
        ``and``, ``or``.
    value : object
        The number, text, name or sign.
    parts : tuple of Node
        Operands or arguments; ``and`` and ``or`` have two or more.
    start, end : int
        Where it stands in the text.
    height : int
        Nodes above each other, this one included.
    """

    kind: str
    value: Any
    parts: tuple[Node, ...] = field(default=())
    start: int = 0
    end: int = 0
    height: int = 1


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str
    start: int
    end: int


def parse_tree(text: str) -> Node:
    """Return the tree of a rule.

    Raises
    ------
    ConfigError
        It cannot be read. The message says where, what was expected, and shows the rule with a caret under the place.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"The rule has {len(text):,} characters; at most {LONGEST:,} can be read.")
    return _Parser(text).whole()


def quoted(text: str) -> str:
    """Return a text as rules write it, in quotes; `parse_tree` reads back what was given."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def as_name(word: str) -> bool:
    """Return whether a rule can write a word without quotes, as a name."""
    found = _TOKEN.fullmatch(word)
    return found is not None and found["name"] == word and word.lower() not in _WORDS


def pointed(text: str, start: int, message: str) -> ConfigError:
    """Return the error that shows a rule with a caret under a place, counted in characters from 0."""
    line = "".join(" " if c.isspace() else c for c in text)
    first = max(0, min(start - SHOWN // 2, len(line) - SHOWN))
    shown = ("…" if first else "") + line[first : first + SHOWN] + ("…" if first + SHOWN < len(line) else "")
    before = sum(_cells(c) for c in shown[: start - first + (1 if first else 0)])
    return ConfigError(f"{message}\n    {shown}\n    {' ' * before}^")


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class _Parser:
    """Reads a token at a time; `self.now` is the next one that nobody has taken."""

    def __init__(self, text: str) -> None:
        self.text, self.depth = text, 0
        self.now = self._read(0)

    def whole(self) -> Node:
        if self.now.kind == "end":
            self._fail("it is empty")
        node = self._either()
        if self.now.kind != "end":
            if self.now.value == ",":
                self._fail("a comma stands between the parts of a list; large numbers are written without")
            if self.now.value in COMPARISONS:
                self._fail("two comparisons in one: write them apart, such as 1 < x and x < 5")
            self._expected("and, or, or the end of the rule")
        return node

    def _either(self) -> Node:
        return self._chain("or", lambda: self._chain("and", self._negated))

    def _chain(self, word: str, part: Callable[[], Node]) -> Node:
        first = part()
        parts = [first]
        while self._take(word):
            parts.append(part())
        return first if len(parts) == 1 else self._node(word, word, parts, first.start)

    def _negated(self) -> Node:
        start = self.now.start
        if not self._take("not"):
            return self._comparison()
        return self._node("not", "not", [self._deeper(self._negated)], start)

    def _comparison(self) -> Node:
        left = self._sum(1)
        sign = self.now.value if self.now.kind == "mark" else ""
        if sign in COMPARISONS:
            self._next()
            return self._node("compare", sign, [left, self._sum(1)], left.start)
        without = self._take("not")
        if self._take("in"):
            return self._any_of(left, without)
        if without:
            self._expected("in, as in x not in (1, 2)")
        return left

    def _any_of(self, left: Node, without: bool) -> Node:
        """Read the list of ``x in (1, 2)``, which is ``x == 1 or x == 2``."""
        self._must("(")
        tests = [self._same(left)]
        while self._take(","):
            tests.append(self._same(left))
        self._must(")")
        node = self._node("or", "or", tests, left.start) if len(tests) > 1 else tests[0]
        node = replace(node, start=left.start, end=self.end)
        return self._node("not", "not", [node], left.start) if without else node

    def _same(self, left: Node) -> Node:
        one = self._sum(1)
        return replace(self._node("compare", "==", [left, one], one.start), end=one.end)

    def _sum(self, strength: int) -> Node:
        """Climb: an operand, then every sign that binds at least as strongly as asked for."""
        left = self._signed()
        while self.now.kind == "mark" and _STRENGTH.get(self.now.value, 0) >= strength:
            sign = self.now.value
            self._next()
            left = self._node("sum", sign, [left, self._sum(_STRENGTH[sign] + 1)], left.start)
        return left

    def _signed(self) -> Node:
        start = self.now.start
        if self.now.kind == "mark" and self._take("-"):
            return self._node("negate", "-", [self._deeper(self._signed)], start)
        return self._atom()

    def _atom(self) -> Node:
        token = self.now
        if token.kind == "number":
            self._next()
            return Node("number", float(token.value), (), token.start, token.end)
        if token.kind == "text":
            self._next()
            return Node("text", _unquoted(token.value), (), token.start, token.end)
        if token.kind == "name" and token.value.lower() in ("true", "false"):
            self._next()
            return Node("truth", token.value.lower() == "true", (), token.start, token.end)
        if token.kind == "name" and token.value.lower() not in _WORDS:
            self._next()
            return self._call(token)
        if self._take("("):
            node = self._deeper(self._either)
            self._must(")")
            return replace(node, start=token.start, end=self.end)
        self._expected('a name, a number, a text in quotes, or "("')

    def _call(self, name: _Token) -> Node:
        if not self._take("("):
            return Node("name", name.value, (), name.start, name.end)
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self._atom())
            while self._take(","):
                arguments.append(self._atom())
            self._must(")")
        return self._node("call", name.value, arguments, name.start)

    def _node(self, kind: str, value: Any, parts: list[Node], start: int) -> Node:
        height = 1 + max(part.height for part in parts) if parts else 1
        if height > HIGHEST:
            self._fail(f"more than {HIGHEST} parts inside each other")
        return Node(kind, value, tuple(parts), start, self.end, height)

    def _deeper(self, part: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self._fail(f"more than {DEEPEST} parentheses or signs inside each other")
        node = part()
        self.depth -= 1
        return node

    def _take(self, word: str) -> bool:
        """Go on if the next token is this word, in any case, or this mark."""
        found = self.now.kind in ("name", "mark") and self.now.value.lower() == word
        if found:
            self._next()
        return found

    def _must(self, mark: str) -> None:
        if not self._take(mark):
            self._expected(f'"{mark}"' if mark == "(" else '"," or ")"' if self.now.kind != "end" else '")"')

    def _next(self) -> None:
        self.end = self.now.end
        self.now = self._read(self.now.end)

    def _read(self, start: int) -> _Token:
        found = _TOKEN.match(self.text, start)
        if found is None:
            place = start + len(self.text[start:]) - len(self.text[start:].lstrip())
            wrong = self.text[place]
            why = "this is no number" if wrong.isdigit() else _HINTS.get(wrong, f"{wrong!r} has no meaning in a rule")
            raise pointed(self.text, place, f"The rule cannot be read at character {place + 1}: {why}.")
        kind = str(found.lastgroup)
        return _Token(kind, found[kind], found.start(kind), found.end(kind))

    def _expected(self, what: str) -> NoReturn:
        found = "the rule ends" if self.now.kind == "end" else "found " + re.sub(r"\s", " ", self.now.value)
        self._fail(f"expected {what}; {found}")

    def _fail(self, message: str) -> NoReturn:
        place = self.now.start
        raise pointed(self.text, place, f"The rule cannot be read at character {place + 1}: {message}.")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
