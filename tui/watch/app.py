"""The app: takes a state from the feeds at each refresh, hands it to the view in sight, and acts on what views say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Static

from col.errors import RantwinError
from tui.watch.acts import Acts
from tui.watch.dialogs import Choose
from tui.watch.export import FORMATS, csv_text, file_name, json_text, write_new
from tui.watch.feeds import Feeds, Look
from tui.watch.jump import JumpLine
from tui.watch.key_line import KeyLine, TabLine
from tui.watch.keymap import remap
from tui.watch.keys import BINDINGS, OPERATING, TABS
from tui.watch.messages import AxesChosen, CursorMoved, GnbChosen, StateChanged
from tui.watch.palette import WatchCommands
from tui.watch.pane import LinesPane
from tui.watch.state import Notice, Severity, Show, WatchState
from tui.watch.strip import strip_text
from tui.watch.style import CSS
from tui.watch.themes import THEMES, theme_named
from tui.watch.views import view_of

__all__ = ["REFRESHES_S", "WatchApp"]

REFRESHES_S = (5.0, 2.0, 1.0, 0.5, 0.25)
"""Seconds between two drawings, slowest first; never more than four a second."""


class _Ground(Screen[None]):
    """The screen under all: covered by lines and views, so that it draws none itself; the app says what has focus."""

    AUTO_FOCUS = ""
    BLANK = True
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)


class _Views(ContentSwitcher):
    """The views, of which one covers all of it: its own lines are never seen, so that none are drawn."""

    BLANK = True
    virtual_size: Reactive[Size] = Reactive(Size(0, 0), layout=False, repaint=False)


class WatchApp(App[None]):
    """The screen. `feeds` make its states; `folder` takes exports; without `operate` it changes no testbed."""

    TITLE = "rantwin watch"
    CSS = CSS
    BINDINGS: ClassVar[list[BindingType]] = list(BINDINGS)
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = App.COMMANDS | {WatchCommands}
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        feeds: Feeds,
        *,
        operate: bool = False,
        folder: Path | None = None,
        runs_dir: Path = Path("runs"),
        keymap: Mapping[str, str] | None = None,
        scenario: str = "",
        follow: bool = True,
        theme: str = "",
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # over ssh a slide is many frames, and a key is to be answered at once
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]
        self._bindings = remap(self._bindings, keymap or {})
        if not operate:
            for key, bindings in self._bindings.key_to_bindings.items():
                shown = [replace(b, show=b.show and b.id not in OPERATING) for b in bindings]
                self._bindings.key_to_bindings[key] = shown
        self.feeds, self._folder, self._runs_dir = feeds, folder or Path.cwd(), runs_dir
        self._keymap_of_views, self._follow, self._theme = dict(keymap or {}), follow, theme
        self.scenario = scenario
        self.look = Look(operate=operate)
        self.state: WatchState = feeds.state(self.look)
        self._kept: WatchState | None = None
        self._timer: Timer | None = None
        self._said: Notice | None = None
        self._strip: object = None
        self.zoomed = False
        self.tab = "plants"
        self.acts = Acts(self)

    def get_default_screen(self) -> Screen[None]:
        """Return the screen under all."""
        return _Ground(id="_default")

    # --- the screen ---------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Make strip, tabs, filter and footer."""
        yield Static(id="strip")
        yield TabLine(id="tabs")
        with _Views(id="views", initial="view-plants"):
            for name, _, _ in TABS:
                view = view_of(name)
                view._bindings = remap(view._bindings, self._keymap_of_views)
                yield view
        yield Input(id="filter", placeholder="rows that contain ...", compact=True)
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Begin to follow the feeds."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme, trouble = theme_named(self._theme, self.available_themes)
        if trouble:
            self.notify(trouble, severity="warning", markup=False)
        self.query_one("#filter", Input).display = False
        if self._follow:
            self.feeds.start()
        self._timer = self.set_interval(self.look.refresh_s, self.refresh_state)
        self.refresh_state()
        self._focus_view()

    def on_unmount(self) -> None:
        """Let the feeds go."""
        if self._follow:
            self.feeds.stop()

    def refresh_state(self) -> None:
        """Take what the feeds know now; of several states that wait, the last is drawn."""
        state = self.feeds.state(self.look)
        if self._kept is not None:
            kept, now = self._kept, state.testbed
            testbed = replace(kept.testbed, connection=now.connection, words=now.words, problems=now.problems)
            state = replace(state, twin=kept.twin, testbed=testbed, gap=kept.gap, region=kept.region, frozen=True)
        self.post_message(StateChanged(state))

    @on(StateChanged)
    def _draw(self, message: StateChanged) -> None:
        self.show_state(message.state)

    def show_state(self, state: WatchState) -> None:
        """Draw a state: the strip and the view in sight, nothing out of sight."""
        self.state = state
        if not self.query("#strip"):
            return  # a state that came while the screen closes
        text = strip_text(state, max(self.size.width - 2, 20))
        if (text.plain, text.spans) != self._strip:
            self._strip = (text.plain, text.spans)
            self.query_one("#strip", Static).update(text, layout=False)
        self.view.show(state)
        self._tell_news(state)

    def _tell_news(self, state: WatchState) -> None:
        """Show the notices that came since the last drawing."""
        news = state.messages
        if self._said in news:
            news = news[news.index(self._said) + 1 :]
        for notice in news:
            self.notify(notice.text, severity=notice.severity.value, markup=False)
            self._said = notice

    @property
    def view(self) -> LinesPane:
        """The view in sight."""
        return self.query_one(f"#view-{self.tab}", LinesPane)

    def _focus_view(self) -> None:
        self.query_one("#tabs", TabLine).show_tab(self.tab)
        self.query_one("#keys", KeyLine).show_keys(self.view)
        # At once: a key typed now is for this view, and the view before, told that it is hidden, takes no focus away.
        self.view.screen.set_focus(self.view, scroll_visible=False)

    def on_resize(self) -> None:
        """Fit the strip to the new width."""
        self.call_after_refresh(self.show_state, self.state)

    # --- what is looked at --------------------------------------------------------------------------------------------

    def _look(self, **changes: Any) -> None:
        """Look at it in another way, at once."""
        self.look = replace(self.look, **changes)
        shown = {name: value for name, value in changes.items() if name in ("show", "gnb", "filter", "refresh_s")}
        self.show_state(replace(self.state, **shown))

    def action_tab(self, name: str) -> None:
        """Show a view."""
        with self.batch_update():
            self.tab = name
            self.query_one("#views", ContentSwitcher).current = f"view-{name}"
            self._focus_view()
            self.view.show(self.state)

    def action_show_next(self) -> None:
        """Show both plants, then the twin, then the testbed."""
        order = list(Show)
        self._look(show=order[(order.index(self.look.show) + 1) % len(order)])

    def action_show(self, what: str) -> None:
        """Show these plants."""
        self._look(show=Show(what))

    def action_gnb(self, gnb: str) -> None:
        """Look at one gNB; at all again with the key of the one that is looked at."""
        known = self.state.gnbs or tuple(place.cell for place in self.state.topology)
        if gnb and known and gnb not in known:
            self.notify(f"there is no gNB {gnb}; there are {', '.join(known)}", severity="warning", markup=False)
            return
        self._look(gnb="" if gnb == self.look.gnb else gnb)

    def action_filter(self) -> None:
        """Ask for the text that rows must contain."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.value = self.look.filter
        self.screen.set_focus(field, scroll_visible=False)  # at once: the next key is of the text

    @on(Input.Changed, "#filter")
    def _filtering(self, event: Input.Changed) -> None:
        if event.value != self.look.filter:
            self._look(filter=event.value)

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        self.query_one("#filter", Input).display = False
        self._focus_view()

    def action_leave_look(self) -> None:
        """Leave the filter, then the zoom, then the gNB."""
        field = self.query_one("#filter", Input)
        if field.display or self.look.filter:
            field.value = ""
            field.display = False
            self._look(filter="")
            self._focus_view()
        elif self.zoomed:
            self.action_zoom()
        elif self.look.gnb:
            self._look(gnb="")

    def action_zoom(self) -> None:
        """Show the view and the strip alone, or all again."""
        self.zoomed = not self.zoomed
        with self.batch_update():
            self.query_one("#tabs").display = not self.zoomed
            self.query_one("#keys").display = not self.zoomed

    async def action_jump(self) -> None:
        """Show a letter at everything that can be reached; the letter goes there."""
        if not self.query(JumpLine):
            line = JumpLine(self)
            await self.mount(line)
            line.begin()

    def label_tabs(self, letters: Mapping[str, str]) -> None:
        """Show the jump labels of the views, or none again."""
        self.query_one("#tabs", TabLine).show_tab(self.tab, letters)

    def action_freeze(self) -> None:
        """Keep what is shown, or go on; what is in flight on the testbed is never frozen."""
        self._kept = None if self._kept is not None else self.state
        self.refresh_state()

    def action_refresh(self, step: int) -> None:
        """Draw more or less often."""
        at = min(max(REFRESHES_S.index(self.look.refresh_s) + step, 0), len(REFRESHES_S) - 1)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_interval(REFRESHES_S[at], self.refresh_state)
        self._look(refresh_s=REFRESHES_S[at])
        self.notify(f"draws every {REFRESHES_S[at]:g} s", timeout=2.0)

    def runs(self) -> Iterable[Path]:
        """Return the runs that can be shown, newest first."""
        return sorted((path.parent for path in self._runs_dir.glob("*/run.json")), reverse=True)[:20]

    def action_run(self, path: str) -> None:
        """Show another run."""
        self.feeds.choose(Path(path))

    # --- what views say -----------------------------------------------------------------------------------------------

    @on(CursorMoved)
    def _cursor(self, message: CursorMoved) -> None:
        self.feeds.ask(cursor=(message.x, message.y))
        unknown = float("nan")  # what held at the place before does not hold here
        region = replace(
            self.state.region, cursor=(message.x, message.y), cursor_bound=unknown, cursor_cost=unknown, cursor_words=()
        )
        self.show_state(replace(self.state, region=region))

    @on(AxesChosen)
    def _axes(self, message: AxesChosen) -> None:
        self.feeds.ask(axes=(message.x, message.y))

    @on(GnbChosen)
    def _gnb(self, message: GnbChosen) -> None:
        self._look(gnb=message.gnb)

    def action_act(self, act: str) -> None:
        """Do something beyond looking, asked first where that must be."""
        self.acts.ask(act)

    # --- export -------------------------------------------------------------------------------------------------------

    def action_export(self) -> None:
        """Ask as what the view is to be written."""
        choices = {"csv": "rows and windows", "json": "one document", "svg": "a picture of the screen"}
        self.push_screen(Choose("Export what is shown", choices), self._export_chosen)

    def _export_chosen(self, kind: str | None) -> None:
        if kind:
            self.action_export_as(kind)

    def action_export_as(self, kind: str) -> None:
        """Export the view as one of the formats."""
        if kind not in FORMATS:
            raise ValueError(kind)
        make = {"csv": lambda: csv_text(self.state, self.tab), "json": lambda: json_text(self.state, self.tab)}
        text = make[kind]() if kind in make else self.export_screenshot(title=f"rantwin watch: {self.tab}")
        self.write_export(kind, text)

    def write_export(self, kind: str, text: str) -> None:
        """Write an export to a new file in the current folder."""
        name = file_name(self.tab, kind, self.state.now_wall_s)
        try:
            path = write_new(self._folder, name, text)
        except OSError as error:
            self.notify(f"cannot write {name}: {error.strerror or error}", severity="error", markup=False)
            return
        self.notify(f"wrote {path}", markup=False)

    # --- leaving ------------------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave; a lease that this screen keeps is asked about first."""
        self.acts.leave()

    async def action_quit(self) -> None:
        """Leave by Textual's own ways, Ctrl+Q and the palette, no other way than by ours."""
        self.action_leave()

    def tell(self, text: str, severity: Severity = Severity.INFORMATION) -> None:
        """Say something to the operator."""
        self.feeds.say(text, severity)
        self.refresh_state()

    def complain(self, error: RantwinError) -> None:
        """Say what went wrong."""
        self.tell(str(error), Severity.ERROR)
