"""From the lines of a frame to the strips that Textual paints: in the theme's colours, each line once.

What the app's filters do (no colours, colours of the terminal) is done to the few styles, not to every strip; and a
line that was painted before is not made again, wherever it stands now.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.strip import Strip
from textual.widget import Widget

from tui.watch.marks import ROLES, Line, printable

__all__ = ["Drawn", "Painter", "thumb_of"]


class Drawn(NamedTuple):
    """A line, whether the cursor is on it, and the piece of the scrollbar at its end: `thumb`, `track` or none."""

    line: Line
    is_cursor: bool = False
    bar: str = ""


_MOST_STRIPS = 512
_GROUNDED = frozenset({"cursor", "border", "marker", "pointer", *(role for role in ROLES if role.startswith("heat"))})


class Painter:
    """Makes the strips of one widget, which has a component class `line--ROLE` for each role."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._ground: tuple[Style, Sequence[LineFilter], Color, int] | None = None
        self._of_roles: dict[str, Style] = {}
        self._styles: dict[tuple[str, bool], Style] = {}
        self._strips: dict[Drawn, Strip] = {}

    def forget(self) -> None:
        """Forget the colours of the theme before."""
        self._ground = None

    def strips(self, lines: Sequence[Drawn], width: int) -> list[Strip]:
        """Return lines in exactly that many cells, and one more for the scrollbar."""
        widget = self._widget
        ground = (widget.rich_style, tuple(widget.get_line_filters()), widget.background_colors[1], width)
        if ground != self._ground:
            self._ground, self._of_roles, self._styles, self._strips = ground, {}, {}, {}
        elif len(self._strips) > _MOST_STRIPS:
            self._strips = {}
        return [self._strips.get(drawn) or self._made(drawn, width) for drawn in lines]

    def _made(self, drawn: Drawn, width: int) -> Strip:
        line, is_cursor, bar = drawn
        if is_cursor and line and line[0][0].startswith(" "):
            line = (("›" + line[0][0][1:], line[0][1]), *line[1:])
        segments = [
            Segment(printable("".join(text for text, _ in spans)), self._style(role, is_cursor))
            for role, spans in groupby(line, key=itemgetter(1))
        ]
        length = sum(cell_len(segment.text) for segment in segments)
        if length > width:
            segments = list(Strip(segments, length).crop(0, width))
        elif length < width:
            segments.append(Segment(" " * (width - length), self._style("text", is_cursor)))
        segments.append(Segment(" ", self._style(bar or "text", False)))
        strip = Strip(segments, width + 1)
        self._strips[drawn] = strip
        return strip

    def _style(self, role: str, is_cursor: bool) -> Style:
        style = self._styles.get((role, is_cursor))
        if style is None:
            assert self._ground is not None
            base, filters, background, _ = self._ground
            style = (base + self._of_role("cursor") if is_cursor else base) + self._of_role(role)
            for one in filters:
                style = one.apply([Segment(" ", style)], background)[0].style or style
            self._styles[role, is_cursor] = style
        return style

    def _of_role(self, role: str) -> Style:
        """Return the theme's style of a role; what has no ground of its own lets that of its line through."""
        style = self._of_roles.get(role)
        if style is None and role in ("thumb", "track"):
            styles = self._widget.styles
            colour = styles.scrollbar_color if role == "thumb" else styles.scrollbar_background
            style = self._of_roles[role] = Style(bgcolor=colour.rich_color)
        if style is None:
            style = Style() if role == "text" else self._widget.get_component_rich_style(f"line--{role}")
            if role not in _GROUNDED:
                style = Style(
                    color=style.color,
                    bold=style.bold,
                    italic=style.italic,
                    underline=style.underline,
                    reverse=style.reverse,
                )
            self._of_roles[role] = style
        return style


def thumb_of(lines: int, room: int, top: int) -> range | None:
    """Return where the thumb of a scrollbar stands beside `room` of all lines, None where all are in sight."""
    if lines <= room or room < 1:
        return None
    size = max(room * room // lines, 1)
    first = round((room - size) * top / (lines - room))
    return range(first, first + size)
