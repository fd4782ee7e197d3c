"""Words of the screen: status as word, glyph and colour, numbers with few digits, lines of text with roles for colours.

A view is a pure function from the state to a `Frame` of lines. A span's role names what it means; which colour that
is, a theme says (`pane`), and without colours words and glyphs still say it all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from col.specification import Verdict

__all__ = [
    "FAIL",
    "HOLD",
    "LOST",
    "NONE",
    "PASS",
    "ROLES",
    "TRIAL",
    "Frame",
    "Line",
    "Mark",
    "Span",
    "age",
    "cut",
    "fit",
    "inside_mark",
    "number",
    "plain",
    "printable",
    "rule",
    "unit_word",
    "verdict_mark",
    "wrap",
]

Span = tuple[str, str]
Line = tuple[Span, ...]

HEAT_BANDS = 6
ROLES = (
    *("text", "dim", "stale", "title", "rule", "pass", "fail", "hold", "trial", "lost"),
    *("wrong", "twin", "testbed", "band", "key", "emulated", "border", "marker", "pointer"),
    *(f"heat{k}" for k in range(HEAT_BANDS)),
)
"""Every role that a span may have."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A status: a word, a glyph and a role, so that it is never said by colour alone."""

    word: str
    glyph: str
    role: str

    @property
    def text(self) -> str:
        """The word and the glyph."""
        return f"{self.word} {self.glyph}"

    def cells(self, width: int = 6) -> tuple[Span, Span]:
        """Return it in a fixed width; the colour ends with the glyph."""
        text = fit(self.text, min(width, cell_len(self.text)))
        return (text, self.role), (" " * (width - cell_len(text)), "text")


PASS = Mark("PASS", "+", "pass")
FAIL = Mark("FAIL", "x", "fail")
HOLD = Mark("HOLD", "?", "hold")
TRIAL = Mark("TRIAL", "*", "trial")
LOST = Mark("LOST", "!", "lost")
NONE = Mark("–", "", "dim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a pane shows: lines that stay at the top, lines that scroll, lines that stay at the bottom.

    `keys` names what each line of the body is about, empty where the cursor does not stop.
    """

    head: tuple[Line, ...] = ()
    body: Sequence[Line] = ()
    foot: tuple[Line, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All lines as they read without colours."""
        return "\n".join(plain(line) for line in (*self.head, *self.body, *self.foot))


def plain(line: Line) -> str:
    """Return a line as it reads without colours."""
    return "".join(text for text, _ in line)


def verdict_mark(verdict: Verdict | str | None) -> Mark:
    """Return the mark of a verdict; one that is not there yet is on hold."""
    return {"pass": PASS, "fail": FAIL}.get(str(verdict), HOLD)


def inside_mark(inside: bool | None, *, stale: bool = False) -> Mark:
    """Return whether a number lies in its predicted interval; old numbers say nothing about now."""
    if inside is None or stale:
        return HOLD
    return PASS if inside else FAIL


def printable(text: str) -> str:
    """Return the text with blanks for what a terminal would obey or a line cannot hold, wherever it came from."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def number(value: float, *, sign: bool = False) -> str:
    """Return a number with four significant digits at most, `–` where there is none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if size < 5e-4:
        text = f"{value:.1e}" if size >= 1e-12 else "0"
        return ("+" if sign and value > 0 and size >= 1e-12 else "") + text
    if size >= 9.9e6:  # cut to a column it would read as a smaller one
        return f"{value:+.1e}" if sign else f"{value:.1e}"
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def age(value_s: float) -> str:
    """Return how old something is, in at most five characters: `3 s`, `12min`, `5 h`, `9 d`."""
    value_s = max(value_s, 0.0)
    if value_s < 99.5:
        return f"{value_s:.0f} s"
    if value_s < 5970:
        return f"{value_s / 60:.0f}min"
    return f"{value_s / 3600:.0f} h" if value_s < 172800 else f"{min(value_s / 86400, 999):.0f} d"


def unit_word(unit: str) -> str:
    """Return a unit as people read it: a plain number is a ratio."""
    return "ratio" if unit == "1" else unit


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return the text in exactly that many cells, with an ellipsis where it had to be cut."""
    length = len(text) if text.isascii() else cell_len(text)
    if length <= width:
        return " " * (width - length) + text if right else text + " " * (width - length)
    if width < 1:
        return ""
    return (text[: width - 1] if text.isascii() else set_cell_size(text, width - 1)) + "…"


def cut(spans: Sequence[Span], width: int) -> Line:
    """Return spans in at most that many cells."""
    result: list[Span] = []
    for text, role in spans:
        room = width - sum(cell_len(t) for t, _ in result)
        if room <= 0:
            break
        result.append((text if cell_len(text) <= room else fit(text, room), role))
    return tuple(result)


def rule(title: str, width: int, role: str = "title") -> Line:
    """Return a line across with a title in it."""
    head = f"── {title} " if title else ""
    return ((fit(head, min(cell_len(head), width)), role), ("─" * max(width - cell_len(head), 0), "rule"))


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Return the text broken at blanks into lines of at most that width, later ones indented; long words are cut."""
    lines: list[str] = []
    line = ""
    for word in _words(text, max(width - len(indent), 1)):
        start = indent if lines else ""
        if line and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else start + word
    return [*lines, line]


def _words(text: str, width: int) -> Iterable[str]:
    for word in text.split():
        while len(word) > width:
            yield word[:width]
            word = word[width:]
        yield word
