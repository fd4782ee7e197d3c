"""Formulas of signal temporal logic: their parts and their robustness.

A formula is kept in negation normal form: `not` is pushed down to the comparisons while reading, so that only minima
and maxima stand above them and the robustness never falls when a margin rises. Lower bounds on margins are therefore
lower bounds on robustness.

`p until[a,b] q`: q holds at some window j in [a,b], and p at every window from 0 up to but not including j.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from col.errors import InputError
from col.expression import Expression

__all__ = ["SMALLEST_SCALE", "Formula", "Predicate", "all_of", "always", "any_of", "eventually", "until"]

FloatArray = NDArray[np.float64]

SMALLEST_SCALE: Final = 1e-9
"""Least magnitude that a threshold which is itself measured scales by, so that a threshold of 0 divides nothing."""

_OPPOSITE: Final = {">=": "<", "<": ">=", "<=": ">", ">": "<="}
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


def always(first: int, last: int, part: Formula) -> Formula:
    """Return the formula that holds where `part` holds at every window from `first` to `last`."""
    return _Temporal(True, first, last, part)


def eventually(first: int, last: int, part: Formula) -> Formula:
    """Return the formula that holds where `part` holds at some window from `first` to `last`."""
    return _Temporal(False, first, last, part)


def until(first: int, last: int, left: Formula, right: Formula) -> Formula:
    """Return the formula `left until[first,last] right`."""
    return _Until(False, first, last, left, right)


def all_of(parts: Sequence[Formula]) -> Formula:
    """Return the conjunction of at least one part."""
    return _join(True, parts)


def any_of(parts: Sequence[Formula]) -> Formula:
    """Return the disjunction of at least one part."""
    return _join(False, parts)


def _join(every: bool, parts: Sequence[Formula]) -> Formula:
    # Flat, so that a long conjunction is not deep.
    flat: list[Formula] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, _Junction) and part.all == every else (part,))
    return _Junction(every, tuple(flat)) if len(flat) > 1 else flat[0]
