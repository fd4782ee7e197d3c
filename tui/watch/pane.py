"""A widget that shows a frame: lines that stay at the top and the bottom, and between them lines that scroll.

Only lines that changed are painted again, and nothing is built while the widget is out of sight: at four updates a
second that is the difference between some per cent of a core and a good part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget

from tui.watch.jump import JumpPlace, labelled
from tui.watch.marks import ROLES, Frame
from tui.watch.painter import Drawn, Painter, thumb_of
from tui.watch.state import WatchState

__all__ = ["LinesPane"]

_TURNS = count(1)


class LinesPane(Widget, can_focus=True):
    """Shows the frame of a state; `cursor` is the key of the line of the body that is looked at."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--{role}" for role in ROLES} | {"line--cursor"}
    DEFAULT_CSS = """
    LinesPane {
        background: $surface; color: $foreground;
        overflow: hidden hidden; padding-right: 1;
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

    # A new size is a new picture already: it needs no second layout.
    virtual_size: Reactive[Size] = Reactive(Size(0, 0), layout=False, repaint=False)

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.state = WatchState()
        self.cursor = ""
        self._frame = Frame()
        self._lines: list[Drawn] = []
        self._made_of: tuple[object, ...] = ()
        self._painter = Painter(self)
        self._labels: Mapping[tuple[int, int], str] = {}
        self._waits: WatchState | None = None
        self.repaints = 0
        """Lines that were asked to be painted again so far."""
        self.turn = 0
        """When it had the focus last, in turns; 0 never."""

    def show(self, state: WatchState) -> None:
        """Draw that state and nothing else."""
        if self._labels:
            self._waits = state  # a row that moved would carry another row's label
            return
        self.state, self._waits = state, None
        self.rebuild()

    def show_labels(self, labels: Mapping[tuple[int, int], str]) -> None:
        """Write labels over cells (x, y), or none again; while there are labels the picture stays."""
        self._labels = labels
        if labels:
            self._paint()
        else:
            self.state, self._waits = self._waits or self.state, None
            self.rebuild()

    def jump_places(self) -> list[JumpPlace]:
        """Return what a jump label can reach: each line in sight that the cursor stops at."""
        head, top = len(self._frame.head), round(self.scroll_y)
        keys = self._frame.keys[top : top + self._body_height]
        return [JumpPlace(x=0, y=head + keys.index(key), key=key) for key in dict.fromkeys(keys) if key]

    def jump_to(self, key: str) -> None:
        """Go to a place that `jump_places` named."""
        self.put_cursor(key)

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state in that many cells."""
        raise NotImplementedError

    @property
    def shown(self) -> Frame:
        """The frame that is shown."""
        return self._frame

    def rebuild(self) -> None:
        """Make the picture again and paint the lines that changed."""
        size = self.scrollable_content_region.size
        if not size or not self.display:
            return
        self._make(size)
        self._paint()

    def _make(self, size: Size) -> None:
        self._frame = self.frame(*size)
        keys = [key for key in self._frame.keys if key]
        if keys and self.cursor not in keys:
            self.cursor = keys[0]
            self._frame = self.frame(*size)
        self._made_of = (self.state, size)
        self.set_reactive(Widget.scroll_y, min(self.scroll_y, self.max_scroll_y))

    def _is_made(self) -> bool:
        """Whether the picture is of the state and the size of now."""
        size = self.scrollable_content_region.size
        return bool(self._made_of) and self._made_of[0] is self.state and self._made_of[1] == size

    def _paint(self) -> None:
        """Ask for the lines that are not as they were painted last."""
        before, self._lines = self._lines, self._drawn(self.scrollable_content_region.height)
        changed = [y for y, line in enumerate(self._lines) if y >= len(before) or before[y] != line]
        if not changed:
            return
        self.repaints += len(changed)
        width = self.outer_size.width
        self.refresh(*(Region(0, first, width, last - first + 1) for first, last in _runs(changed)))

    def _drawn(self, height: int) -> list[Drawn]:
        """Return the lines that are in sight, each with whether the cursor is on it."""
        head, body, foot, keys = self._frame.head, self._frame.body, self._frame.foot, self._frame.keys
        top = round(self.scroll_y)
        room = max(height - len(head) - len(foot), 0)
        thumb = thumb_of(len(body), room, top)
        lines = [Drawn(line) for line in head]
        for y, row in enumerate(range(top, top + room)):
            line = body[row] if row < len(body) else ()
            is_cursor = bool(self.cursor) and row < len(keys) and keys[row] == self.cursor
            lines.append(Drawn(line, is_cursor, "" if thumb is None else "thumb" if y in thumb else "track"))
        lines = (lines + [Drawn(line) for line in foot])[:height]
        for (x, y), label in self._labels.items():
            if y < len(lines):
                lines[y] = lines[y]._replace(line=labelled(lines[y].line, x, label))
        return lines

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines in the theme's colours."""
        area = self.scrollable_content_region.size
        if not self._is_made():  # it is painted in its new size before it is told of that
            self._make(area)
            self._lines = self._drawn(area.height)
        lines = self._lines[crop.y : crop.bottom]
        strips = self._painter.strips(lines + [Drawn(())] * (crop.height - len(lines)), area.width)
        if crop.x or crop.right <= area.width:
            strips = [strip.crop(crop.x, crop.right) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """Return one line in the theme's colours."""
        return self.render_lines(Region(0, y, self.outer_size.width, 1))[0]

    def notify_style_update(self) -> None:
        """Forget the colours of the theme before."""
        self._painter.forget()
        super().notify_style_update()

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._recolour())

    def _recolour(self) -> None:
        self._painter.forget()
        self.refresh()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Look the same with and without the focus: to find the styles of all roles again takes long."""

    def on_focus(self) -> None:
        """Remember that it was looked at: help begins with the view that one comes from."""
        self.turn = next(_TURNS)

    def on_resize(self) -> None:
        """Lay the picture out anew."""
        self._labels = {}
        self.rebuild()
        self.keep_cursor_in_sight()

    def on_show(self) -> None:
        """Draw what came while the widget was out of sight."""
        if not self._is_made():
            self.rebuild()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Paint the lines that moved; head and foot stay."""
        if round(old_value) != round(new_value):
            self._labels = {}
            self._paint()

    def put_cursor(self, key: str) -> None:
        """Put the cursor on the line of that key."""
        if key == self.cursor:
            return
        self.cursor = key
        self.rebuild()
        self.keep_cursor_in_sight()

    def keep_cursor_in_sight(self) -> None:
        """Scroll as little as shows the line of the cursor."""
        if self.cursor not in self._frame.keys:
            return
        row = self._frame.keys.index(self.cursor)
        room = self._body_height
        top = round(self.scroll_y)
        if row < top or (row == 1 and top == 1):  # with the first row, its group's title
            self.scroll_y = max(row - 1, 0)
        elif row >= top + room:
            self.scroll_y = row - room + 1

    @property
    def max_scroll_y(self) -> int:
        """The line of the body that is the highest in sight when the last one is."""
        return max(len(self._frame.body) - self._body_height, 0)

    @property
    def _body_height(self) -> int:
        return max(self.scrollable_content_region.height - len(self._frame.head) - len(self._frame.foot), 1)

    def action_cursor(self, step: int) -> None:
        """Go some lines up or down."""
        keys = [key for key in self._frame.keys if key]
        if not keys:
            self.scroll_y += step
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
        if event.x < self.size.width and 0 <= row < len(self._frame.keys) and self._frame.keys[row]:
            self.put_cursor(self._frame.keys[row])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll with the wheel."""
        event.stop()
        self.scroll_y += self.app.scroll_sensitivity_y

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll with the wheel."""
        event.stop()
        self.scroll_y -= self.app.scroll_sensitivity_y

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of the bar at the right."""
        if event.x >= self.size.width:
            self.capture_mouse()
            self._drag(event.y)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Scroll with the bar."""
        if self.app.mouse_captured is self:
            self._drag(event.y)

    def on_mouse_up(self) -> None:
        """Let the bar go."""
        self.release_mouse()

    def _drag(self, y: int) -> None:
        share = (y - len(self._frame.head)) / max(self._body_height - 1, 1)
        self.scroll_y = round(share * self.max_scroll_y)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of numbers that follow each other without a gap."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
