"""Words of a text, and faults in it told alike: in which column, what was expected, what was found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from col.errors import InputError

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "Scanner", "Token"]

MAX_LENGTH: Final = 100_000
"""Longest text that is read [characters]; a specification over 400 cells takes about half of it."""
MAX_DEPTH: Final = 32
"""Deepest nesting that is read. It bounds recursion, so that hostile input ends in an InputError and nothing else."""

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>>=|<=|==|!=|&&|\|\||->|[-+*/()\[\],<>=!])"
)
_HINTS: Final = {
    "&&": "write 'and'",
    "||": "write 'or'",
    "!": "write 'not'",
    "->": "write 'implies'",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text: `kind` is number, name, symbol or end; `start` counts characters from 0."""

    kind: str
    text: str
    start: int


class Scanner:
    """Splits a text into words and hands them to a recursive-descent parser, its subclass."""

    def __init__(self, text: str, *, source: str, key: str) -> None:
        self._source, self._key = source, key
        if not isinstance(text, str):
            raise InputError("must be text", source=source, key=key, value=text)
        self._text = text
        if len(text) > MAX_LENGTH:
            raise InputError(f"has {len(text)} characters, at most {MAX_LENGTH} are read", source=source, key=key)
        if not text.strip():
            raise InputError("is empty", source=source, key=key)
        self._tokens = self._scan()
        self._at = 0
        self._depth = 0

    def _scan(self) -> list[Token]:
        tokens, at = [], 0
        while at < len(self._text):
            if self._text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise self.fault("a number, a name, an operator or a bracket", Token("symbol", self._text[at], at))
            tokens.append(Token(str(match.lastgroup), match.group(), at))
            at = match.end()
        tokens.append(Token("end", "", len(self._text)))
        return tokens

    @property
    def token(self) -> Token:
        """The word that is read next."""
        return self._tokens[self._at]

    def advance(self) -> Token:
        """Return the word that is read next and step over it."""
        token = self.token
        self._at += 1
        return token

    def accept(self, *texts: str) -> bool:
        """Step over the next word if it is one of `texts`, and say whether it was."""
        found = self.token.kind in ("symbol", "name") and self.token.text in texts
        self._at += found
        return found

    def expect(self, text: str) -> None:
        """Step over `text` or raise InputError."""
        if not self.accept(text):
            raise self.fault(f"'{text}'")

    def fault(self, expected: str, token: Token | None = None) -> InputError:
        """Return the error `expected ... but found ...` at a word (default: the next one)."""
        at = token or self.token
        found = "the end" if at.kind == "end" else repr(at.text[:40])
        hint = f" ({_HINTS[at.text]})" if at.kind == "symbol" and at.text in _HINTS else ""
        return self.error(f"expected {expected} but found {found}{hint}", at)

    def error(self, message: str, token: Token) -> InputError:
        """Return an error on one line that names the column and shows the text around it."""
        near = self._text[max(0, token.start - 20) : token.start + 20]
        shown = "" if not near.strip() else f", near {' '.join(near.split())!r}"
        return InputError(f"column {token.start + 1}: {message}{shown}", source=self._source, key=self._key)

    def descend(self) -> None:
        """Count one level of nesting and refuse the one too many."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"is nested more than {MAX_DEPTH} levels deep", self.token)

    def ascend(self) -> None:
        """Leave a level of nesting."""
        self._depth -= 1

    def finish(self) -> None:
        """Raise InputError unless the whole text is read."""
        if self.token.kind != "end":
            raise self.fault("an operator or the end")
