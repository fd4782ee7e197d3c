"""Feeds that show one state made by hand, whatever the clock says: for tests of keys and of pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tui.watch.app import WatchApp
from tui.watch.feeds import Feeds, Look
from tui.watch.state import WatchState

__all__ = ["ShownFeeds", "shown_app"]


class ShownFeeds(Feeds):
    """Shows `shown`, seen as the app looks at it; follows nothing."""

    def __init__(self, shown: WatchState) -> None:
        super().__init__(run=None, runs_dir=Path("runs"))
        self.shown = shown

    def state(self, look: Look) -> WatchState:
        """Return the state in the app's way of looking at it."""
        return replace(
            self.shown,
            show=look.show,
            gnb=look.gnb,
            filter=look.filter,
            operate=look.operate,
            refresh_s=look.refresh_s,
            messages=self._notices,
        )

    def ask(self, *, axes: tuple[str, str] | None = None, cursor: tuple[float, float] | None = None) -> None:
        """Answer at once: another cursor, other controls."""
        region = self.shown.region
        if axes is not None:
            region = replace(region, x=axes[0], y=axes[1])
        if cursor is not None:
            region = replace(region, cursor=cursor)
        self.shown = replace(self.shown, region=region)


def shown_app(state: WatchState, **changes: Any) -> WatchApp:
    """Return the app with a state made by hand."""
    return WatchApp(ShownFeeds(state), **{"follow": False, **changes})
