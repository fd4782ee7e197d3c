"""`progress.json` in a run folder: what the process that writes the run says of itself while it runs.

It is there for whoever watches the run from another process. It is no part of the result: written without waiting for
the disk, gone once the process ends, and worth nothing where nobody holds the folder's lock.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from time import monotonic
from typing import Any

from tui.console import plain_json
from tui.progress import Progress, Status
from tui.run_folder import PROGRESS, RunFolder

__all__ = ["StoredProgress"]

_LEAST_S = 0.2
_SAID = (
    "doing", "passive_done", "passive_total", "trials_done", "trials_total", "violations", "region_share",
    "region_share_uniform", "left_s", "left_open", "paused", "following",
)  # fmt: skip


class StoredProgress(Progress):
    """Shows what another progress shows, and keeps it in the run folder: at most five times a second, news at once."""

    def __init__(self, shown: Progress, folder: RunFolder, clock: Callable[[], float] = monotonic) -> None:
        self._shown, self._folder, self._clock = shown, folder, clock
        self._written_s, self._written = -math.inf, ""
        self.says_lines = shown.says_lines

    def __enter__(self) -> Progress:
        """Begin to show."""
        self._shown.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop showing; the file goes."""
        self._folder.remove(PROGRESS)
        self._shown.__exit__(*exception)

    def update(self, status: Status, line: str = "") -> None:
        """Keep the status, then show it."""
        now_s = self._clock()
        if line or now_s - self._written_s >= _LEAST_S:
            self._written_s = now_s
            said: Mapping[str, Any] = asdict(status)
            text = json.dumps(plain_json({key: said[key] for key in _SAID}), ensure_ascii=False)
            if text != self._written:
                self._folder.write_live(PROGRESS, lambda path: path.write_text(text + "\n", encoding="utf-8"))
                self._written = text
        self._shown.update(status, line)
