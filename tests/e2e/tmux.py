"""A terminal that a test types into and reads: a tmux server of its own, which ends with the test."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.world import PATIENCE_S

__all__ = ["HAS_TMUX", "Terminal"]

HAS_TMUX = shutil.which("tmux") is not None


class Terminal:
    """A command in a terminal of a given size. What it leaves behind stays to be read."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], size: tuple[int, int]
    ) -> None:
        self._tmux = ("tmux", "-u", "-f", os.devnull, "-S", str(folder / "t"))
        self._environment = {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        line = f"{shlex.join(command)}; echo LEFT WITH $?; sleep 600"
        self._run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "-c", str(folder), line)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], env=self._environment, check=True, capture_output=True, timeout=60.0
        )
        return done.stdout.decode()

    def text(self) -> str:
        """Return what is on the screen."""
        return self._run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text."""
        self._run("send-keys", "-l", text)

    def write(self, text: str) -> None:
        """Type a text and press Enter."""
        self.type(text)
        self.press("Enter")

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def wait_for(self, *words: str, patience_s: float = PATIENCE_S) -> str:
        """Wait until all of these are on the screen and return it; AssertionError with the screen after very long."""
        until = time.monotonic() + patience_s
        while not all(word in (seen := self.text()) for word in words):
            assert time.monotonic() < until, f"{words} did not come:\n{seen}"
            time.sleep(0.1)
        return seen

    def wait_for_one(self, *words: str) -> str:
        """Wait until one of these is on the screen and return it."""
        until = time.monotonic() + PATIENCE_S
        while not any(word in (seen := self.text()) for word in words):
            assert time.monotonic() < until, f"none of {words} came:\n{seen}"
            time.sleep(0.1)
        return seen

    def press_until(self, key: str, words: str) -> str:
        """Press a key, once, and wait for what it brings."""
        self.press(key)
        return self.wait_for(words)

    def close(self) -> None:
        """End the terminal and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], env=self._environment, check=False, capture_output=True)
