"""Small pieces of HTML that the sections of a report share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tui.figures.svg import number

__all__ = ["Cell", "Section", "note", "percent", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the report: `explain` and `body` are HTML, `figures` the SVGs that stand in the body."""

    key: str
    title: str
    explain: str
    body: str
    figures: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell with a class of its own; `html` is taken as it is."""

    html: str
    css: str = ""


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as per cent, a dash where it is not known; a tiny share keeps two significant digits."""
    if share is None:
        return "–"
    value = 100 * share
    text = f"{value:.2g}" if 0 < abs(value) < 1 else number(value, digits)
    return f"{text} %"


def note(*lines: str) -> str:
    """Return a box that a reader should not overlook; the lines are HTML."""
    return '<div class="note-box">' + "".join(f"<p>{line}</p>" for line in lines) + "</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, css_of_row: Sequence[str] = ()) -> str:
    """Return a table; numbers stand right, text left, a `Cell` as it says. Columns of numbers get right-set heads."""
    body = [list(row) for row in rows]
    if not body:
        return "<p>none</p>"
    numeric = [all(_is_number(row[k]) for row in body) for k in range(len(head))]
    heads = "".join(
        f'<th{" class=n" if is_numeric else ""} scope="col">{escape(h)}</th>'
        for h, is_numeric in zip(head, numeric, strict=True)
    )
    lines = []
    for r, row in enumerate(body):
        css = f' class="{css_of_row[r]}"' if r < len(css_of_row) and css_of_row[r] else ""
        lines.append(f"<tr{css}>" + "".join(_cell(value) for value in row) + "</tr>")
    return f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _is_number(value: object) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or (
        isinstance(value, Cell) and value.css.startswith("n")
    )


def _cell(value: object) -> str:
    if isinstance(value, Cell):
        return f'<td class="{value.css}">{value.html}</td>' if value.css else f"<td>{value.html}</td>"
    if _is_number(value):
        return f'<td class="n">{number(float(value))}</td>'  # type: ignore[arg-type]  # numbers only here
    return f"<td>{escape('' if value is None else str(value))}</td>"
