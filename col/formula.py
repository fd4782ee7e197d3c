"""Formulas of signal temporal logic: their parts, their robustness, and the parser.

A formula is kept in negation normal form: `not` is pushed down to the comparisons while reading, so that only minima
and maxima stand above them and the robustness never falls when a margin rises. Lower bounds on margins are therefore
lower bounds on robustness.

Grammar, from the loosest binding to the tightest; windows `[a,b]` count from the window at which the formula is read:

    formula  := or ("implies" formula)?
    or       := and ("or" and)*
    and      := until ("and" until)*
    until    := unary ("until" "[" a "," b "]" unary)?
    unary    := "not" unary | ("always" | "eventually") "[" a "," b "]" operand | comparison | "(" formula ")"
    operand  := "(" formula ")" | unary that begins with not, always or eventually
    comparison := sum (">=" | "<=" | ">" | "<") sum

`p until[a,b] q`: q holds at some window j in [a,b], and p at every window from 0 up to but not including j.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from col.errors import InputError
from col.expression import ArithmeticParser, Expression, Token

__all__ = ["MAX_HORIZON", "SMALLEST_SCALE", "Formula", "FormulaParser", "Predicate"]

FloatArray = NDArray[np.float64]

MAX_HORIZON: Final = 10_000
"""Longest horizon that is read [windows]."""
SMALLEST_SCALE: Final = 1e-9
"""Least magnitude that a threshold which is itself measured scales by, so that a threshold of 0 divides nothing."""

_OPPOSITE: Final = {">=": "<", "<": ">=", "<=": ">", ">": "<="}
_MIRROR: Final = {">=": "<=", "<=": ">=", "<": ">", ">": "<"}
_TINY: Final = float(np.finfo(np.float64).tiny)


class Formula:
    """A part of a formula in negation normal form."""

    __slots__ = ()

    @property
    def horizon(self) -> int:
        """The windows that are needed to evaluate it at window 0."""
        raise NotImplementedError

    def predicates(self) -> Iterator[Predicate]:
        """Yield its comparisons from left to right, repeated ones repeatedly."""
        raise NotImplementedError

    def evaluate(self, margins: Mapping[Predicate, FloatArray], start: int, count: int) -> FloatArray:
        """Return its robustness read at windows start..start+count-1, shape (..., count).

        `margins` have shape (..., t), t >= start + count - 1 + horizon. NaN where any margin it needs is NaN.
        """
        raise NotImplementedError

    def negate(self) -> Formula:
        """Return the negation, again in normal form."""
        raise NotImplementedError

    def conjuncts(self) -> tuple[Formula, ...]:
        """Return formulas that all hold exactly where this one does; `always` distributes over `and`."""
        return (self,)

    def render(self) -> str:
        """Return text that parses to this formula."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Predicate(Formula):
    """A comparison; a constant stands on the right. Its margin is positive where it holds."""

    left: Expression
    operator: str
    right: Expression

    @property
    def horizon(self) -> int:
        """One window."""
        return 1

    @property
    def text(self) -> str:
        """The comparison as text."""
        return f"{self.left.text} {self.operator} {self.right.text}"

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it reads."""
        return self.left.names | self.right.names

    @property
    def threshold(self) -> float | None:
        """The constant it compares with, or None where the threshold is itself measured."""
        return self.right.constant

    @property
    def strict(self) -> bool:
        """Whether equality fails it."""
        return self.operator in "<>"

    def margin(self, columns: Mapping[str, ArrayLike]) -> FloatArray:
        """Return the signed distance to the threshold as a share of the threshold, in the shape of the columns.

        With threshold c: (left - c) / |c|, or left - c where c = 0; with a measured threshold:
        (left - right) / max(|right|, SMALLEST_SCALE). The sign is turned for <= and <. The predicate holds exactly
        where margin >= 0: at equality a strict one gets a tiny negative number. NaN where a value is missing; an
        infinitely good margin is no measurement and NaN too, an infinitely bad one stays.
        """
        left, right = self.left.evaluate(columns), self.right.evaluate(columns)
        c = self.threshold
        with np.errstate(all="ignore"):
            try:
                difference = left - right if self.operator in (">=", ">") else right - left
            except ValueError:
                shapes = f"{left.shape}, {right.shape}"
                raise InputError(f"the shapes of its columns do not fit: {shapes}", key=self.text) from None
            scale = np.maximum(np.abs(right), SMALLEST_SCALE) if c is None else np.asarray(abs(c) or 1.0)
            margin = np.asarray(difference / scale)
        margin = np.where(np.isposinf(margin), np.nan, margin)
        return np.where(margin == 0.0, -_TINY, margin) if self.strict else margin

    def predicates(self) -> Iterator[Predicate]:
        """Yield itself."""
        yield self

    def evaluate(self, margins: Mapping[Predicate, FloatArray], start: int, count: int) -> FloatArray:
        """Return its margins."""
        return margins[self][..., start : start + count]

    def negate(self) -> Predicate:
        """Return the opposite comparison."""
        return Predicate(self.left, _OPPOSITE[self.operator], self.right)

    def render(self) -> str:
        """Return the comparison as text."""
        return self.text


@dataclass(frozen=True, slots=True)
class _Junction(Formula):
    """`and` (all) or `or` (any) of at least two parts."""

    all: bool
    parts: tuple[Formula, ...]

    @property
    def horizon(self) -> int:
        return max(p.horizon for p in self.parts)

    def predicates(self) -> Iterator[Predicate]:
        for part in self.parts:
            yield from part.predicates()

    def evaluate(self, margins: Mapping[Predicate, FloatArray], start: int, count: int) -> FloatArray:
        meet = np.minimum if self.all else np.maximum
        value = self.parts[0].evaluate(margins, start, count)
        for part in self.parts[1:]:
            value = meet(value, part.evaluate(margins, start, count))
        return value

    def negate(self) -> Formula:
        return _Junction(not self.all, tuple(p.negate() for p in self.parts))

    def conjuncts(self) -> tuple[Formula, ...]:
        return tuple(c for p in self.parts for c in p.conjuncts()) if self.all else (self,)

    def render(self) -> str:
        return (" and " if self.all else " or ").join(_enclose(p) if self.all else p.render() for p in self.parts)


@dataclass(frozen=True, slots=True)
class _Temporal(Formula):
    """`always` (all) or `eventually` (any) within windows [first, last]."""

    all: bool
    first: int
    last: int
    part: Formula

    @property
    def horizon(self) -> int:
        return self.last + self.part.horizon

    def predicates(self) -> Iterator[Predicate]:
        return self.part.predicates()

    def evaluate(self, margins: Mapping[Predicate, FloatArray], start: int, count: int) -> FloatArray:
        width = self.last - self.first + 1
        values = self.part.evaluate(margins, start + self.first, count + width - 1)
        meet = np.minimum if self.all else np.maximum
        if count == 1:
            return np.asarray(meet.reduce(values, axis=-1, keepdims=True))
        # Sliding extremum by doubling: after k rounds each value covers 2**k windows.
        covered = 1
        while 2 * covered <= width:
            values = meet(values[..., :-covered], values[..., covered:])
            covered *= 2
        rest = width - covered
        return meet(values[..., :count], values[..., rest : rest + count]) if rest else values

    def negate(self) -> Formula:
        return _Temporal(not self.all, self.first, self.last, self.part.negate())

    def conjuncts(self) -> tuple[Formula, ...]:
        if not self.all:
            return (self,)
        return tuple(_Temporal(True, self.first, self.last, c) for c in self.part.conjuncts())

    def render(self) -> str:
        return f"{'always' if self.all else 'eventually'}[{self.first},{self.last}]({self.part.render()})"


@dataclass(frozen=True, slots=True)
class _Until(Formula):
    """`left until[first,last] right`, or with `dual` the negation of `not left until[first,last] not right`."""

    dual: bool
    first: int
    last: int
    left: Formula
    right: Formula

    @property
    def horizon(self) -> int:
        # The left side is not asked at the last window, and not at all where that is window 0.
        return self.last + max(self.right.horizon, self.left.horizon - 1 if self.last else 0)

    def predicates(self) -> Iterator[Predicate]:
        yield from self.left.predicates()
        yield from self.right.predicates()

    def evaluate(self, margins: Mapping[Predicate, FloatArray], start: int, count: int) -> FloatArray:
        inner, outer = (np.maximum, np.minimum) if self.dual else (np.minimum, np.maximum)
        right = self.right.evaluate(margins, start + self.first, count + self.last - self.first)
        if not self.last:
            return right
        left = self.left.evaluate(margins, start, count + self.last - 1)
        held: FloatArray | None = None
        best: FloatArray | None = None
        for j in range(self.last + 1):
            if j:
                before = left[..., j - 1 : j - 1 + count]
                held = before if held is None else inner(held, before)
            if j >= self.first:
                now = right[..., j - self.first : j - self.first + count]
                value = now if held is None else inner(held, now)
                best = value if best is None else outer(best, value)
        assert best is not None
        return best

    def negate(self) -> Formula:
        return _Until(not self.dual, self.first, self.last, self.left.negate(), self.right.negate())

    def render(self) -> str:
        if self.dual:
            return f"not ({self.negate().render()})"
        return f"{_enclose(self.left)} until[{self.first},{self.last}] {_enclose(self.right)}"


def _enclose(formula: Formula) -> str:
    loose = isinstance(formula, (_Junction, _Until))
    return f"({formula.render()})" if loose else formula.render()


def _join(every: bool, parts: list[Formula]) -> Formula:
    flat: list[Formula] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, _Junction) and part.all == every else (part,))
    return _Junction(every, tuple(flat)) if len(flat) > 1 else flat[0]


class FormulaParser(ArithmeticParser):
    """Reads a formula into normal form; errors are InputErrors of one line with the column and what was expected."""

    def parse(self) -> Formula:
        """Read the whole text."""
        start = self.token
        formula = self._truth(self.enclosed())
        self.finish()
        if formula.horizon > MAX_HORIZON:
            raise self.error(f"looks {formula.horizon} windows ahead, at most {MAX_HORIZON} are read", start)
        return formula

    def enclosed(self) -> object:
        """Read a formula, or a sum where brackets hold no more than that."""
        left = self._junction("or", lambda: self._junction("and", self._until))
        if self.token.text != "implies":
            return left
        premise = self._truth(left)
        self.advance()
        self.descend()
        conclusion = self._truth(self.enclosed())
        self.ascend()
        return _join(False, [premise.negate(), conclusion])

    def _truth(self, operand: object) -> Formula:
        # Called with the next word just behind the operand, which is where a comparison is missing.
        if not isinstance(operand, Formula):
            raise self.fault("one of >=, <=, >, <")
        return operand

    def _junction(self, word: str, operand: Callable[[], object]) -> object:
        first = operand()
        if self.token.text != word:
            return first
        parts = [self._truth(first)]
        while self.accept(word):
            parts.append(self._truth(operand()))
        return _join(word == "and", parts)

    def _until(self) -> object:
        left = self._unary()
        if self.token.text != "until":
            return left
        held = self._truth(left)
        self.advance()
        first, last = self._window()
        formula = _Until(False, first, last, held, self._truth(self._unary()))
        if self.token.text == "until":
            raise self.error("until does not chain: put one of them in brackets", self.token)
        return formula

    def _unary(self) -> object:
        if self.token.text in ("always", "eventually"):
            every = self.advance().text == "always"
            first, last = self._window()
            return _Temporal(every, first, last, self._operand())
        if self.token.text != "not":
            return self._comparison()
        self.advance()
        self.descend()
        formula = self._truth(self._unary()).negate()
        self.ascend()
        return formula

    def _operand(self) -> Formula:
        if self.token.text not in ("(", "not", "always", "eventually"):
            raise self.fault("'('")
        self.descend()
        if self.accept("("):
            formula = self._truth(self.enclosed())
            self.expect(")")
        else:
            formula = self._truth(self._unary())
        self.ascend()
        return formula

    def _window(self) -> tuple[int, int]:
        if self.token.text != "[":
            raise self.fault("windows such as [0,4]")
        at = self.advance()
        first = self._count()
        self.expect(",")
        last = self._count()
        self.expect("]")
        if first > last:
            raise self.error(f"windows [{first},{last}] run backwards, write [{last},{first}]", at)
        return first, last

    def _count(self) -> int:
        if self.token.kind != "number" or not self.token.text.isdigit():
            raise self.fault("a whole number of windows")
        token = self.advance()
        if len(token.text) > 9 or int(token.text) >= MAX_HORIZON:
            raise self.error(f"looks further ahead than {MAX_HORIZON} windows", token)
        return int(token.text)

    def _comparison(self) -> object:
        start = self.token
        left = self.sum()
        if not self._at_comparison():
            return left
        left = Expression(self.number(left, start))
        operator = self.advance().text
        right = Expression(self.arithmetic())
        if self._at_comparison():
            raise self.error("comparisons do not chain: write `a <= b and b <= c`", self.token)
        return self._predicate(left, operator, right, start)

    def _at_comparison(self) -> bool:
        return self.token.kind == "symbol" and self.token.text in _OPPOSITE

    def _predicate(self, left: Expression, operator: str, right: Expression, start: Token) -> Predicate:
        for side in (left, right):
            if side.constant is not None and not np.isfinite(side.constant):
                raise self.error(f"{side.text} is not a finite number", start)
        if not left.names | right.names:
            raise self.error("a comparison must name a metric", start)
        if left.constant is not None:
            return Predicate(right, _MIRROR[operator], left)
        return Predicate(left, operator, right)
