"""Live progress on stderr: a panel on a terminal, plain lines in a log, nothing when asked to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from tui.figures.svg import number

__all__ = ["LineProgress", "LiveProgress", "Progress", "QuietProgress", "Status", "choose_progress"]

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Status:
    """What is known while a command runs; shares are of the control box, None where not known yet.

    A rehearsal counts windows and trials; any other command names its own `steps`. `left_open` says that more will come
    after `left_s`, nobody knows yet how much. `paused` says that it waits to be let go on, `following` what it tries
    then, where that is known.
    """

    title: str
    folder: str = ""
    doing: str = "getting ready"
    passive_done: int = 0
    passive_total: int = 0
    trials_done: int = 0
    trials_total: int = 0
    windows: int = 0
    region_share: float | None = None
    region_share_uniform: float | None = None
    violations: int = 0
    unsafe: int | None = None
    left_s: float | None = None
    left_open: bool = False
    steps_name: str = ""
    steps_done: int = 0
    steps_total: int = 0
    paused: bool = False
    following: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Progress:
    """Shows a status; a context, so that the terminal is put right whatever happens.

    `says_lines` tells whether the lines given to `update` are there to be read afterwards.
    """

    says_lines = False

    def __enter__(self) -> Progress:
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""

    def update(self, status: Status, line: str = "") -> None:
        """Show the status; `line` says what just happened, for a log."""


class QuietProgress(Progress):
    """Shows nothing."""


class LineProgress(Progress):
    """One line for each thing that happened."""

    says_lines = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def update(self, status: Status, line: str = "") -> None:
        """Print the line, if there is one."""
        if line:
            print(line, file=self._stream, flush=True)


class LiveProgress(Progress):
    """A panel that is redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=False)

    def __enter__(self) -> Progress:
        """Take the terminal."""
        self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Give the terminal back; the last panel stays."""
        self._live.__exit__(*exception)

    def update(self, status: Status, line: str = "") -> None:
        """Redraw the panel."""
        self._live.update(_panel(status))


def choose_progress(*, quiet: bool, stream: TextIO | None = None) -> Progress:
    """Return the progress that fits where stderr goes."""
    stream = stream or sys.stderr
    if quiet:
        return QuietProgress()
    return LiveProgress() if stream.isatty() else LineProgress(stream)


def share(value: float | None) -> str:
    """Return a share of the box in per cent, a dash where it is not known."""
    return "–" if value is None else f"{100 * value:.2g} %" if value < 0.01 else f"{100 * value:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a time left as minutes and seconds."""
    if seconds is None:
        return "–"
    whole = round(max(seconds, 0.0))
    return f"{whole // 60}:{whole % 60:02d}"


def _panel(status: Status) -> Any:
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    bars = Table.grid(padding=(0, 2))
    rows = [
        ("passive windows", status.passive_done, status.passive_total),
        ("trials", status.trials_done, status.trials_total),
    ]
    if status.steps_name:
        rows = [(status.steps_name, status.steps_done, status.steps_total)]
    for name, done, total in rows:
        bars.add_row(name, _bar(done, total), f"{done} of {total}")
    violations = Text(str(status.violations), style="bold red" if status.violations else "")
    unsafe = "not verified" if status.unsafe is None else str(status.unsafe)
    left = ("more than " if status.left_open and status.left_s is not None else "") + duration(status.left_s)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("safe region", f"{share(status.region_share)} of the control box", "violations", violations)
    facts.add_row("  uniform bound", share(status.region_share_uniform), "unsafe trials", unsafe)
    facts.add_row("windows simulated", str(status.windows), "time left", left)
    doing = Text(status.doing, style="bold", overflow="ellipsis", no_wrap=True)
    notes = [Text(f"! {note}", style="yellow") for note in status.notes[-2:]]
    parts: list[Any] = [doing, bars, *([] if status.steps_name else [facts]), *notes]
    return Panel(Group(*parts), title=status.title, subtitle=status.folder, title_align="left")


def _bar(done: int, total: int) -> Any:
    from rich.progress_bar import ProgressBar

    return ProgressBar(total=max(total, 1), completed=min(done, max(total, 1)), width=36)


def configuration(values: dict[str, float], reference: dict[str, float]) -> str:
    """Return what a trial changes against the reference, in a few words."""
    moved = [f"{name} {number(value, 3)}" for name, value in values.items() if abs(value - reference[name]) > 1e-9]
    return ", ".join(moved) if moved else "the reference configuration"
