"""Arithmetic over named columns, such as `0.95 * load_dl_1`, read by a parser of our own and never by `eval`.

Grammar, with the usual precedence; metric names are ASCII identifiers:

    sum     := product (("+" | "-") product)*
    product := factor (("*" | "/") factor)*
    factor  := ("-" | "+")* primary
    primary := number | name | ("min" | "max") "(" sum ("," sum)+ ")" | "abs" "(" sum ")" | "(" sum ")"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from col.errors import InputError
from col.scanner import Scanner, Token

__all__ = ["ArithmeticParser", "Expression", "Node"]

FloatArray = NDArray[np.float64]

KEYWORDS: Final = frozenset({"always", "eventually", "until", "and", "or", "not", "implies"})
FUNCTIONS: Final = frozenset({"min", "max", "abs"})


class Node:
    """A part of an arithmetic expression."""

    __slots__ = ()

    def names(self) -> frozenset[str]:
        """Return the columns that this part reads."""
        raise NotImplementedError

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return the value for these columns, broadcast."""
        raise NotImplementedError

    def render(self) -> str:
        """Return text that parses to this node."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _Number(Node):
    value: float

    def names(self) -> frozenset[str]:
        return frozenset()

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        return np.asarray(self.value)

    def render(self) -> str:
        return str(int(self.value)) if self.value.is_integer() and self.value < 1e15 else repr(self.value)


@dataclass(frozen=True, slots=True)
class _Name(Node):
    name: str

    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        return columns[self.name]

    def render(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class _Negation(Node):
    operand: Node

    def names(self) -> frozenset[str]:
        return self.operand.names()

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        return np.negative(self.operand.evaluate(columns))

    def render(self) -> str:
        return f"-{_enclose(self.operand, (_Chain, _Negation))}"


@dataclass(frozen=True, slots=True)
class _Chain(Node):
    """`first op operand op operand ...` with operators of one precedence: flat, so that long sums do not nest."""

    first: Node
    rest: tuple[tuple[str, Node], ...]

    def names(self) -> frozenset[str]:
        return self.first.names().union(*(operand.names() for _, operand in self.rest))

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        value = self.first.evaluate(columns)
        for operator, operand in self.rest:
            value = _OPERATORS[operator](value, operand.evaluate(columns))
        return value

    def render(self) -> str:
        inner = [self.first, *(operand for _, operand in self.rest)]
        product = self.rest[0][0] in "*/"
        texts = [
            _enclose(n, (_Chain,)) if product or (isinstance(n, _Chain) and n.rest[0][0] in "+-") else n.render()
            for n in inner
        ]
        return texts[0] + "".join(f" {op} {text}" for (op, _), text in zip(self.rest, texts[1:], strict=True))


@dataclass(frozen=True, slots=True)
class _Call(Node):
    function: str
    arguments: tuple[Node, ...]

    def names(self) -> frozenset[str]:
        return frozenset().union(*(a.names() for a in self.arguments))

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        values = [a.evaluate(columns) for a in self.arguments]
        if self.function == "abs":
            return np.abs(values[0])
        return reduce(np.minimum if self.function == "min" else np.maximum, values)  # both let NaN through

    def render(self) -> str:
        return f"{self.function}({', '.join(a.render() for a in self.arguments)})"


def _enclose(node: Node, kinds: tuple[type[Node], ...]) -> str:
    return f"({node.render()})" if isinstance(node, kinds) else node.render()


def _divide(a: FloatArray, b: FloatArray) -> FloatArray:
    # A ratio over nothing is a missing value, never an infinitely good one.
    return np.where(np.equal(b, 0.0), np.nan, np.divide(a, b))


_OPERATORS: Final[Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _divide,
}


class ArithmeticParser(Scanner):
    """A recursive-descent parser of sums. `col.formula_parser` extends it by overriding `enclosed`."""

    def sum(self) -> object:
        """Read a sum: a Node, or what `enclosed` returned where that stands alone."""
        return self._chain(("+", "-"), lambda: self._chain(("*", "/"), self._factor))

    def enclosed(self) -> object:
        """Read what stands in brackets."""
        return self.sum()

    def arithmetic(self) -> Node:
        """Read a sum that must be a number."""
        start = self.token
        return self.number(self.sum(), start)

    def number(self, operand: object, start: Token) -> Node:
        """Return the operand that begins at `start`, which must be arithmetic."""
        if not isinstance(operand, Node):
            raise self.error("expected a number or a metric but found a formula", start)
        return operand

    def _chain(self, operators: tuple[str, str], operand: Callable[[], object]) -> object:
        start = self.token
        first, rest = operand(), []
        while self.token.kind == "symbol" and self.token.text in operators:
            operator, at = self.advance().text, self._tokens[self._at]
            rest.append((operator, self.number(operand(), at)))
        return _Chain(self.number(first, start), tuple(rest)) if rest else first

    def _factor(self) -> object:
        negative = signed = False
        while self.token.kind == "symbol" and self.token.text in ("-", "+"):
            negative, signed = negative ^ (self.advance().text == "-"), True
        start = self.token
        operand = self._primary()
        if signed:
            operand = self.number(operand, start)
        return _Negation(operand) if negative and isinstance(operand, Node) else operand

    def _primary(self) -> object:
        token = self.token
        if token.kind == "number":
            self.advance()
            value = float(token.text)
            if not np.isfinite(value):
                raise self.error(f"{token.text[:40]} is too large", token)
            return _Number(value)
        if token.kind == "name" and token.text in FUNCTIONS:
            return self._call()
        if token.kind == "name" and token.text not in KEYWORDS:
            self.advance()
            if self.token.text == "(":
                known = ", ".join(sorted(FUNCTIONS))
                raise self.error(f"unknown function {token.text[:40]!r}, known are {known}", token)
            return _Name(token.text)
        if self.accept("("):
            self.descend()
            inner = self.enclosed()
            self.expect(")")
            self.ascend()
            return inner
        raise self.fault("a number, a metric or '('")

    def _call(self) -> Node:
        token = self.advance()
        self.expect("(")
        self.descend()
        arguments = [self.arithmetic()]
        while self.accept(","):
            arguments.append(self.arithmetic())
        self.expect(")")
        self.ascend()
        if (len(arguments) == 1) != (token.text == "abs"):
            wanted = "one argument" if token.text == "abs" else "at least two arguments"
            raise self.error(f"{token.text} takes {wanted}, found {len(arguments)}", token)
        return _Call(token.text, tuple(arguments))


@dataclass(frozen=True, slots=True)
class Expression:
    """Arithmetic over named columns: + - * / min max abs, numbers and names. Equal texts up to layout are equal."""

    root: Node = field(repr=False)

    @classmethod
    def parse(cls, text: str, *, source: str = "", key: str = "expression") -> Expression:
        """Read `text`; `source` and `key` name its place for error messages.

        Raises:
            InputError: the text is not an expression, too long or nested too deeply; one line with the column.
        """
        parser = ArithmeticParser(text, source=source, key=key)
        root = parser.arithmetic()
        parser.finish()
        return cls(root)

    @property
    def text(self) -> str:
        """The expression in a normal layout; it parses to an equal expression."""
        return self.root.render()

    @property
    def names(self) -> frozenset[str]:
        """The columns that the expression reads."""
        return self.root.names()

    @property
    def constant(self) -> float | None:
        """The value where no column is read (NaN for 1/0), else None."""
        return None if self.names else float(self.evaluate({}))

    def evaluate(self, columns: Mapping[str, ArrayLike]) -> FloatArray:
        """Return the value for columns of any shapes that broadcast; shape () where nothing is read.

        NaN in, NaN out; division by zero gives NaN.

        Raises:
            InputError: a column is missing or the shapes do not broadcast.
        """
        needed = self.names
        missing = sorted(needed - columns.keys())
        if missing:
            raise InputError(f"no such column: {', '.join(missing)}", key=self.text)
        arrays = {name: np.asarray(columns[name], dtype=np.float64) for name in needed}
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self.root.evaluate(arrays), dtype=np.float64)
        except ValueError:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in sorted(arrays.items()))
            raise InputError(f"the shapes of its columns do not fit: {shapes}", key=self.text) from None
