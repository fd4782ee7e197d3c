"""The commands of the palette: every key's action by name, and those that have no key."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.markup import escape
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.watch.keys import BINDINGS

if TYPE_CHECKING:
    from tui.watch.app import WatchApp

__all__ = ["WatchCommands"]

_EXTRA = (
    ("Export CSV", "what is shown, one line a value", "export_as('csv')"),
    ("Export JSON", "what is shown, as one document", "export_as('json')"),
    ("Export SVG", "the screen as a picture", "export_as('svg')"),
    ("Show both plants", "twin, testbed and the gap", "show('both')"),
    ("Show the twin", "the twin alone", "show('twin')"),
    ("Show the testbed", "the testbed alone", "show('testbed')"),
)
_NOT_HERE = frozenset({"commands", "back"})


class WatchCommands(Provider):
    """Our own commands, beside Textual's."""

    def _commands(self) -> Iterable[tuple[str, str, str]]:
        for binding in self._own():
            if binding.id not in _NOT_HERE:
                yield (
                    binding.description,
                    escape(f"{binding.tooltip} (key {self.app.get_key_display(binding)})"),
                    binding.action,
                )
        yield from _EXTRA
        app = cast("WatchApp", self.app)
        for gnb in app.state.gnbs:
            if len(gnb) > 1 or gnb not in "1234":
                yield f"gNB {gnb}", "look at this gNB alone", f"gnb({gnb!r})"
        for run in app.runs():
            yield f"Run {run.name}", escape(f"show this run ({run})"), f"run({str(run)!r})"

    def _own(self) -> Iterable[Binding]:
        """Return our keys as they are bound now, each action once."""
        ours = {binding.id for binding in BINDINGS}
        groups = self.app._bindings.key_to_bindings.values()
        found = {binding.id: binding for group in reversed(groups) for binding in reversed(group) if binding.id in ours}
        return [found[binding.id] for binding in BINDINGS if binding.id in found]

    async def discover(self) -> Hits:
        """Yield every command while nothing was typed."""
        for name, words, action in self._commands():
            yield DiscoveryHit(escape(name), partial(self.app.run_action, action), help=words)

    async def search(self, query: str) -> Hits:
        """Yield the commands that match what was typed."""
        matcher = self.matcher(query)
        for name, words, action in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), partial(self.app.run_action, action), help=words)
