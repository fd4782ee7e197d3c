"""Watching a promotion from where the operator sits: every change, a countdown, and what Ctrl-C may mean.

A thread of its own follows the agent; the lease is kept by another one (`bridge.client.LeaseKeeper`). Nothing here
decides: the verdict is the agent's, and when this process dies the lease runs out and the testbed goes back by itself.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from bridge.promotion import Promotion
from col.errors import RantwinError, UnreachableError
from tui.plan_view import seconds, standing, window_line, windows_watched

if TYPE_CHECKING:
    from bridge.client import TestbedClient

__all__ = ["Follower", "LineView", "LiveView", "View", "choose_view", "counted_down"]

_REDRAW_S = 0.25
_AGAIN_S = 0.5


class Follower:
    """Follows one promotion from a thread; `latest` is what is known, `wait` returns when something changed.

    `also` brings what another thread is told of the same promotion: the renewals of its lease.
    A broken connection is taken up again for `patience_s` seconds; then, and on any other error, `wait` raises it.
    """

    def __init__(
        self,
        client: TestbedClient,
        promotion: Promotion,
        also: queue.SimpleQueue[Promotion] | None = None,
        *,
        patience_s: float,
    ) -> None:
        self._client, self._patience_s = client, patience_s
        self._also: queue.SimpleQueue[Promotion] = queue.SimpleQueue() if also is None else also
        self._news: queue.SimpleQueue[Promotion | Exception] = queue.SimpleQueue()
        self._stop = threading.Event()
        self.latest, self.seen_at = promotion, time.monotonic()
        self.unreachable: str = ""
        self._thread = threading.Thread(target=self._follow, name="follows the promotion", daemon=True)

    def __enter__(self) -> Follower:
        """Begin to follow."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop following; the thread ends with its next answer."""
        self._stop.set()

    def wait(self, timeout_s: float = _REDRAW_S) -> bool:
        """Return whether something changed within that time; raises what ended the following."""
        while not self._also.empty():
            self._news.put(self._also.get())
        try:
            news = self._news.get(timeout=timeout_s)
        except queue.Empty:
            return False
        if isinstance(news, Exception):
            raise news
        if news.version < self.latest.version:
            return False
        self.latest, self.seen_at = news, time.monotonic()
        return True

    def take(self, promotion: Promotion) -> None:
        """Take what another call was told (a confirm, say) as news."""
        self._news.put(promotion)

    def _follow(self) -> None:
        lost_at: float | None = None
        while not self._stop.is_set():
            try:
                for promotion in self._client.watch(self.latest.promotion_id):
                    lost_at, self.unreachable = None, ""
                    self._news.put(promotion)
                    if promotion.state.is_final:
                        return
                    if self._stop.is_set():
                        return
                lost_at = lost_at or time.monotonic()
            except UnreachableError as error:
                lost_at = lost_at or time.monotonic()
                self.unreachable = str(error)
                if time.monotonic() - lost_at > self._patience_s:
                    self._news.put(error)
                    return
            except RantwinError as error:
                self._news.put(error)
                return
            self._stop.wait(_AGAIN_S)


def counted_down(promotion: Promotion, since_s: float) -> Promotion:
    """Return the promotion with its timers as they stand `since_s` seconds later, if nothing else happened."""

    def later(value: float | None) -> float | None:
        return None if value is None else max(value - since_s, 0.0)

    return replace(
        promotion,
        lease_remaining_s=later(promotion.lease_remaining_s),
        deadline_remaining_s=later(promotion.deadline_remaining_s),
    )


class View:
    """Shows a promotion; a context, so that the terminal is put right whatever happens."""

    def __enter__(self) -> View:
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""

    def show(self, follower: Follower) -> None:
        """Show what is known now."""


class LineView(View):
    """One line for each window and each change of state."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._windows = 0
        self._said = ""
        self._lost = ""

    def show(self, follower: Follower) -> None:
        """Print what is new."""
        promotion = follower.latest
        for window in promotion.windows[self._windows :]:
            self._windows += 1
            self._print(window_line(window, self._windows, promotion.windows_needed))
        words = f"{promotion.state}" + (f", φ {promotion.verdict}" if promotion.verdict is not None else "")
        if words != self._said:
            self._said = words
            self._print(standing(promotion))
        if follower.unreachable != self._lost:
            self._lost = follower.unreachable
            self._print(f"agent unreachable: {self._lost}" if self._lost else "agent answers again")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveView(View):
    """A panel that is redrawn in place, with the timers counting down."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=False)

    def __enter__(self) -> View:
        """Take the terminal."""
        self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Give the terminal back; the last panel stays."""
        self._live.__exit__(*exception)

    def show(self, follower: Follower) -> None:
        """Redraw the panel."""
        now = counted_down(follower.latest, time.monotonic() - follower.seen_at)
        self._live.update(_panel(now, follower.unreachable))


def choose_view(stream: TextIO, *, quiet: bool) -> Callable[[], View]:
    """Return how to show one promotion where that stream goes; it is asked again after each question."""
    if quiet:
        return View
    if stream.isatty():
        return LiveView
    lines = LineView(stream)  # the same one again: it knows what it has said
    return lambda: lines


def _panel(promotion: Promotion, unreachable: str) -> Any:
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    needed = max(promotion.windows_needed, 1)
    bars = Table.grid(padding=(0, 2))
    bars.add_row("windows", ProgressBar(total=needed, completed=min(len(promotion.windows), needed), width=36),
                 windows_watched(promotion))  # fmt: skip
    facts = Table.grid(padding=(0, 2))
    lease, deadline = promotion.lease_remaining_s, promotion.deadline_remaining_s
    facts.add_row("lease", "–" if lease is None else seconds(lease), "deadline", _seconds(deadline))
    verdict = "not yet" if promotion.verdict is None else str(promotion.verdict)
    margin = "" if promotion.robustness is None else f"robustness {promotion.robustness:+.3f}"
    facts.add_row("verdict", verdict, "", margin)
    lines = [Text(window_line(w, k, promotion.windows_needed)) for k, w in enumerate(promotion.windows, start=1)]
    lost = [Text(f"! agent unreachable: {unreachable}", style="bold yellow")] if unreachable else []
    state = Text(str(promotion.state).upper(), style="bold")
    keys = Text("Ctrl-C: confirm, roll back, or leave it to the lease", style="dim")
    parts: list[Any] = [state, bars, facts, *lines[-8:], *lost, keys]
    return Panel(Group(*parts), title=f"promotion {promotion.promotion_id}", title_align="left")


def _seconds(value: float | None) -> str:
    return "–" if value is None else seconds(value)
