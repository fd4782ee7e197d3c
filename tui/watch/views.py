"""Which widget shows which view."""

from __future__ import annotations

from importlib import import_module

from textual.widget import Widget
from textual.widgets import Static

from tui.watch.state import WatchState

__all__ = ["view_of"]


class _Missing(Static, can_focus=True):
    def show(self, state: WatchState) -> None:
        self.update(f"{self.id}: not there yet\n{state.testbed.words}\n{state.twin.words}")


def view_of(name: str) -> Widget:
    """Return the widget of a view, with the id `view-NAME`."""
    try:
        made: Widget = getattr(import_module(f"tui.watch.{name}_view"), f"{name.title()}Pane")(id=f"view-{name}")
    except ModuleNotFoundError:
        return _Missing(id=f"view-{name}")
    return made
