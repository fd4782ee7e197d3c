"""The parser of formulas: text to negation normal form, or one line that says where the text is wrong.

Grammar, from the loosest binding to the tightest; windows `[a,b]` count from the window at which the formula is read:

    formula  := or ("implies" formula)?
    or       := and ("or" and)*
    and      := until ("and" until)*
    until    := unary ("until" "[" a "," b "]" unary)?
    unary    := "not" unary | ("always" | "eventually") "[" a "," b "]" operand | comparison | "(" formula ")"
    operand  := "(" formula ")" | unary that begins with not, always or eventually
    comparison := sum (">=" | "<=" | ">" | "<") sum
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from col.expression import ArithmeticParser, Expression
from col.formula import Formula, Predicate, all_of, always, any_of, eventually, until
from col.scanner import Token

__all__ = ["MAX_HORIZON", "FormulaParser"]

MAX_HORIZON: Final = 10_000
"""Longest horizon that is read [windows]."""

_MIRROR: Final = {">=": "<=", "<=": ">=", "<": ">", ">": "<"}


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
        return any_of([premise.negate(), conclusion])

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
        return all_of(parts) if word == "and" else any_of(parts)

    def _until(self) -> object:
        left = self._unary()
        if self.token.text != "until":
            return left
        held = self._truth(left)
        self.advance()
        first, last = self._window()
        formula = until(first, last, held, self._truth(self._unary()))
        if self.token.text == "until":
            raise self.error("until does not chain: put one of them in brackets", self.token)
        return formula

    def _unary(self) -> object:
        if self.token.text in ("always", "eventually"):
            build = always if self.advance().text == "always" else eventually
            first, last = self._window()
            return build(first, last, self._operand())
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
        return self.token.kind == "symbol" and self.token.text in _MIRROR

    def _predicate(self, left: Expression, operator: str, right: Expression, start: Token) -> Predicate:
        for side in (left, right):
            if side.constant is not None and not np.isfinite(side.constant):
                raise self.error(f"{side.text} is not a finite number", start)
        if not left.names | right.names:
            raise self.error("a comparison must name a metric", start)
        if left.constant is not None:
            return Predicate(right, _MIRROR[operator], left)
        return Predicate(left, operator, right)
