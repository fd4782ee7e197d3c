"""The screen of one browser: a process of its own, without anything that could act.

The server starts it for each page and speaks to it over its standard input and output, as Textual's web driver does.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from bridge.testbed import TestbedStatus
from col.errors import RefusedError
from tui.console import guarded
from tui.promotion_steps import Step
from tui.watch.acts import Acts
from tui.watch.app import WatchApp
from tui.watch.export import file_name
from tui.watch.feeds import Feeds
from tui.watch.feeds_operate import Operator
from tui.watch.state import Severity

__all__ = ["ONLY_LOOKS", "LooksOnly", "WebWatchApp", "main", "session_words"]

ONLY_LOOKS = "a browser only looks; 'rantwin watch' in a terminal can act"
_ORPHAN_S = 2.0


class LooksOnly(Operator):
    """Asks what the gate would say of the next step, and refuses everything else."""

    def approve(self, status: TestbedStatus, why: str, step: Step | None = None) -> str:
        """Refuse."""
        raise RefusedError((ONLY_LOOKS,))

    def confirm(self, promotion_id: str) -> str:
        """Refuse."""
        raise RefusedError((ONLY_LOOKS,))

    def roll_back(self, promotion_id: str, why: str) -> str:
        """Refuse."""
        raise RefusedError((ONLY_LOOKS,))

    def kill(self, why: str) -> str:
        """Refuse."""
        raise RefusedError((ONLY_LOOKS,))


class _NoActs(Acts):
    """Every act is refused, whatever acts there are: those that rehearse too, since they start processes."""

    def ask(self, act: str) -> None:
        """Refuse."""
        self._app.tell(f"{act}: {ONLY_LOOKS}", Severity.WARNING)

    def leave(self) -> None:
        """End the session; it keeps no lease."""
        self._app.exit()


class WebWatchApp(WatchApp):
    """The screen in a browser: it changes nothing, and exports are handed to the browser."""

    def __init__(self, feeds: Feeds, **options: Any) -> None:
        if feeds.runner is not None or feeds.starter is not None or not isinstance(feeds.operator, LooksOnly | None):
            raise ValueError("a browser's feeds must not be able to act")
        super().__init__(feeds, **{**options, "operate": False})
        self.acts = _NoActs(self)
        self._parent_pid = os.getppid()

    def on_mount(self) -> None:
        """End with the server: whoever started this is the only one who can see it."""
        self.set_interval(_ORPHAN_S, self._end_with_server)

    def _end_with_server(self) -> None:
        if os.getppid() != self._parent_pid:
            self.exit()

    def write_export(self, kind: str, text: str) -> None:
        """Let the browser save what is shown: nothing is written on the machine that serves."""
        self.deliver_text(io.StringIO(text), save_filename=file_name(self.tab, kind, self.state.now_wall_s))


def session_words(args: argparse.Namespace) -> list[str]:
    """Return the words of a command line that shows the same in another process."""
    words = ["watch", "--runs-dir", str(args.runs_dir), "--timeout", repr(args.timeout)]
    for option, value in (
        ("--testbed", args.testbed),
        ("--token-file", args.token_file),
        ("--tls", args.tls),
        ("--scenario", args.scenario),
    ):
        if value is not None and value != "":
            words += [f"{option}={value}"]
    return [*words, *(["--", str(args.run_folder)] if args.run_folder else [])]


def main(words: Sequence[str]) -> int:
    """Show the screen to one browser until its page is closed."""
    from tui.cli import build_parser
    from tui.watch.command import make_app

    def run() -> int:
        make_app(build_parser().parse_args(list(words)), web=True).run()
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
