"""A widget that shows a frame: lines that stay at the top and the bottom, and between them lines that scroll.

Only lines that changed are painted again, and nothing is built while the widget is out of sight: at four updates a
second that is the difference between some per cent of a core and a good part of it.
"""

from __future__ import annotations

from itertools import count
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.watch.marks import ROLES, Frame, Line
from tui.watch.state import WatchState

__all__ = ["LinesPane"]

_TURNS = count(1)
_GROUNDED = frozenset({"cursor", "border", "marker", "pointer", *(role for role in ROLES if role.startswith("heat"))})


class LinesPane(ScrollView, can_focus=True):
    """Shows the frame of a state; `cursor` is the key of the line of the body that is looked at."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--{role}" for role in ROLES} | {"line--cursor"}
    DEFAULT_CSS = """
    LinesPane {
        background: $surface; color: $foreground;
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        & > .line--dim { color: $text-muted; }
        & > .line--stale { color: $text-disabled; text-style: italic; }
        & > .line--title { color: $foreground; text-style: bold; }
        & > .line--rule { color: $text-disabled; }
        & > .line--pass { color: $text-success; text-style: bold; }
        & > .line--fail { color: $text-error; text-style: bold reverse; }
        & > .line--wrong { color: $text-error; }
        & > .line--hold { color: $text-warning; text-style: bold; }
        & > .line--trial { color: $text-accent; text-style: bold; }
        & > .line--lost { color: $text-error; text-style: bold reverse; }
        & > .line--twin { color: $text-primary; }
        & > .line--testbed { color: $text-accent; }
        & > .line--band { color: $text-disabled; }
        & > .line--key { color: $foreground; text-style: italic; }
        & > .line--emulated { color: $text-warning; text-style: bold reverse; }
        & > .line--border { color: #ffffff; background: #1a1a1a; text-style: bold; }
        & > .line--marker { color: #ffffff; background: #000000; text-style: bold; }
        & > .line--pointer { color: #000000; background: #ffffff; text-style: bold; }
        & > .line--heat0 { color: #3a5080; background: #00204c; }
        & > .line--heat1 { color: #5b6580; background: #213d6b; }
        & > .line--heat2 { color: #8b8b90; background: #555b6c; }
        & > .line--heat3 { color: #93917f; background: #7b7a77; }
        & > .line--heat4 { color: #8a8050; background: #a59c74; }
        & > .line--heat5 { color: #d8c23c; background: #f0d84a; }
        & > .line--cursor { background: $boost; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "row up", show=False, id="row-up"),
        Binding("down,j", "cursor(1)", "row down", show=False, id="row-down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="page-up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="page-down"),
        Binding("home,g", "ends(-1)", "first", show=False, id="first"),
        Binding("end,G", "ends(1)", "last", show=False, id="last"),
    ]

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.state = WatchState()
        self.cursor = ""
        self._frame = Frame()
        self._painted: list[Line] = []
        self._styles_of_roles: dict[str, Style] = {}
        self.turn = 0
        """When it had the focus last, in turns; 0 never."""

    def show(self, state: WatchState) -> None:
        """Draw that state and nothing else."""
        self.state = state
        self.rebuild()

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state in that many cells."""
        raise NotImplementedError

    @property
    def shown(self) -> Frame:
        """The frame that is shown."""
        return self._frame

    def rebuild(self) -> None:
        """Make the picture again and paint the lines that changed."""
        width, height = self.scrollable_content_region.size
        if not width or not height or not self.is_on_screen:
            return
        self._frame = self.frame(width, height)
        keys = [key for key in self._frame.keys if key]
        if keys and self.cursor not in keys:
            self.cursor = keys[0]
            self._frame = self.frame(width, height)
        total = len(self._frame.head) + len(self._frame.body) + len(self._frame.foot)
        if self.virtual_size != Size(width, total):
            self.virtual_size = Size(width, total)
        lines = [self._line(y) for y in range(height)]
        for y, line in enumerate(lines):
            if y >= len(self._painted) or self._painted[y] != line:
                self.refresh(Region(0, y, self.size.width, 1))
        self._painted = lines

    def _line(self, y: int) -> Line:
        height = self.scrollable_content_region.height
        head, body, foot = self._frame.head, self._frame.body, self._frame.foot
        if y < len(head):
            return head[y]
        if y >= height - len(foot):
            return foot[y - (height - len(foot))]
        row = y - len(head) + round(self.scroll_y)
        return body[row] if row < len(body) else ()

    def _is_cursor(self, y: int) -> bool:
        height = self.scrollable_content_region.height
        row = y - len(self._frame.head) + round(self.scroll_y)
        in_body = len(self._frame.head) <= y < height - len(self._frame.foot)
        return in_body and bool(self.cursor) and row < len(self._frame.keys) and self._frame.keys[row] == self.cursor

    def render_line(self, y: int) -> Strip:
        """Return one line in the theme's colours."""
        width = self.scrollable_content_region.width
        line = self._line(y)
        is_cursor = self._is_cursor(y)
        if is_cursor and line and line[0][0].startswith(" "):
            line = (("›" + line[0][0][1:], line[0][1]), *line[1:])
        base = self.rich_style
        under = base + self._style("cursor") if is_cursor else base
        segments = [Segment(text, under + self._style(role)) for text, role in line]
        return Strip(segments).adjust_cell_length(width, under)

    def _style(self, role: str) -> Style:
        style = self._styles_of_roles.get(role)
        if style is None:
            style = Style() if role == "text" else self._component(role)
            self._styles_of_roles[role] = style
        return style

    def _component(self, role: str) -> Style:
        """Return the theme's style of a role; what has no ground of its own lets that of its line through."""
        style = self.get_component_rich_style(f"line--{role}")
        if role in _GROUNDED:
            return style
        return Style(
            color=style.color, bold=style.bold, italic=style.italic, underline=style.underline, reverse=style.reverse
        )

    def notify_style_update(self) -> None:
        """Forget the colours of the theme before."""
        self._styles_of_roles = {}
        super().notify_style_update()

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._recolour())

    def _recolour(self) -> None:
        self._styles_of_roles = {}
        self.refresh()

    def on_focus(self) -> None:
        """Remember that it was looked at: help begins with the view that one comes from."""
        self.turn = next(_TURNS)

    def on_resize(self) -> None:
        """Lay the picture out anew."""
        self._painted = []
        self.rebuild()
        self.keep_cursor_in_sight()

    def on_show(self) -> None:
        """Draw what came while the widget was out of sight."""
        self._painted = []
        self.rebuild()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Paint all of it: every line of the body moved."""
        super().watch_scroll_y(old_value, new_value)
        self._painted = []
        self.refresh()

    def put_cursor(self, key: str) -> None:
        """Put the cursor on the line of that key."""
        if key == self.cursor:
            return
        self.cursor = key
        self._painted = []
        self.rebuild()
        self.keep_cursor_in_sight()
        self.refresh()

    def keep_cursor_in_sight(self) -> None:
        """Scroll as little as shows the line of the cursor."""
        if self.cursor not in self._frame.keys:
            return
        row = self._frame.keys.index(self.cursor)
        room = self._body_height
        top = round(self.scroll_y)
        if row < top or (row == 1 and top == 1):  # with the first row, its group's title
            self.scroll_to(y=max(row - 1, 0), animate=False)
        elif row >= top + room:
            self.scroll_to(y=row - room + 1, animate=False)

    @property
    def _body_height(self) -> int:
        return max(self.scrollable_content_region.height - len(self._frame.head) - len(self._frame.foot), 1)

    def action_cursor(self, step: int) -> None:
        """Go some lines up or down."""
        keys = [key for key in self._frame.keys if key]
        if not keys:
            self.scroll_relative(y=step, animate=False)
            return
        at = keys.index(self.cursor) if self.cursor in keys else 0
        self.put_cursor(keys[min(max(at + step, 0), len(keys) - 1)])

    def action_page(self, step: int) -> None:
        """Go a page up or down."""
        self.action_cursor(step * max(self._body_height - 2, 1))

    def action_ends(self, step: int) -> None:
        """Go to the first or the last line."""
        self.action_cursor(step * (len(self._frame.body) + 1))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        row = event.y - len(self._frame.head) + round(self.scroll_y)
        if 0 <= row < len(self._frame.keys) and self._frame.keys[row]:
            self.put_cursor(self._frame.keys[row])
