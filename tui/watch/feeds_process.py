"""What the screen starts: a rehearsal, or the agent with its embedded testbed, each a process of its own.

They outlive the screen. A rehearsal is watched through its run folder like any other; SIGTERM stops it so that it can
be resumed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from col.errors import InputError
from tui.config_dir import ConfigDir
from tui.run_folder import RunFolder
from tui.steering import Steering, read_steering, write_steering
from tui.watch.feeds_twin import writer_of
from tui.watch.state import RehearsalView

__all__ = ["AgentStarter", "RehearsalRunner"]


class RehearsalRunner:
    """Starts, stops and resumes rehearsals, one at a time; `log` takes what they say.

    A run is paused, stepped and given another budget through its folder, whichever process writes it.
    """

    def __init__(self, runs_dir: Path, log: Path, command: Sequence[str] = (sys.executable, "-m", "tui.cli")) -> None:
        self._runs_dir, self._log, self._command = runs_dir, log, tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._path: Path | None = None
        self._stopped = False

    @property
    def is_running(self) -> bool:
        """Whether the process that was started last still runs."""
        process = self._process  # another thread may find at any time that it has ended
        return process is not None and process.poll() is None

    @property
    def found(self) -> Path | None:
        """The folder that our process writes as far as `run` has found it; looks at no disk."""
        return self._path

    def start(self, *, scenario: str = "", seed: int | None = None, extra: Sequence[str] = ()) -> None:
        """Begin a rehearsal; InputError while one of ours runs."""
        words = ["rehearse", *([scenario] if scenario else []), *(["--seed", str(seed)] if seed is not None else [])]
        self._begin([*words, *extra], None)

    def resume(self, run: Path) -> None:
        """Go on with a stopped run."""
        if RunFolder.open(run).is_finished:
            raise InputError("is finished: there is nothing to resume", source=str(run))
        if writer_of(run / "run.json") is not None:
            raise InputError("runs already", source=str(run))
        self._begin(["rehearse", "--resume", str(run)], run)

    def _begin(self, words: list[str], path: Path | None) -> None:
        if self.is_running:
            raise InputError("a rehearsal of this screen runs already: stop it first (x)")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, *words, "--runs-dir", str(self._runs_dir)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._path, self._stopped = path, False

    def run(self) -> Path | None:
        """Return the folder that our process writes, None before there is one."""
        process = self._process
        if self._path is None and process is not None:
            for manifest in sorted(self._runs_dir.glob("*/run.json"), reverse=True):
                if writer_of(manifest) == process.pid:
                    self._path = manifest.parent
                    break
        return self._path

    def stop(self, run: Path | None = None) -> None:
        """Stop it as Ctrl-C does: what was learned is kept. `run` may be one that another process writes."""
        process = self._process
        pid = process.pid if process is not None and process.poll() is None else None
        if pid is None and run is not None:
            pid = writer_of(run / "run.json")
        if pid is None:
            raise InputError("no rehearsal runs")
        self._stopped = True
        os.kill(pid, signal.SIGTERM)

    def wanted(self, run: Path) -> Steering:
        """Return what is wanted of a run."""
        return read_steering(run)

    def pause(self, run: Path) -> None:
        """Let it wait before its next trial, or before its next chunk of passive windows."""
        write_steering(run, read_steering(run).paused())

    def go_on(self, run: Path) -> None:
        """Let it wait no longer."""
        write_steering(run, read_steering(run).going_on())

    def step(self, rehearsal: RehearsalView) -> None:
        """Let it do one more thing, then wait: a trial, or a chunk of passive windows."""
        run = Path(rehearsal.run)
        wanted = read_steering(run).stepped(
            windows=rehearsal.passive_done,
            windows_total=rehearsal.passive_total,
            chunk=int(RunFolder.open(run).manifest["settings"].get("passive_chunk", 1)),
            trials=rehearsal.trials_done,
        )
        write_steering(run, wanted)

    def budget(self, run: Path, trials: int) -> None:
        """Let it make so many trials in all."""
        write_steering(run, replace(read_steering(run), max_trials=trials))

    def trouble(self) -> str:
        """Return what a process that ended badly said last, once; empty otherwise."""
        if self._process is None or (code := self._process.poll()) is None:
            return ""
        self._process = None
        if code == 0 or self._stopped:
            return ""
        return f"the rehearsal ended with exit code {code}: {_last_line(self._log)}"

    def wait(self, timeout_s: float) -> None:
        """Wait for its end."""
        if self._process is not None:
            self._process.wait(timeout_s)


class AgentStarter:
    """Starts `rantwin serve`: the agent and, beside it, the embedded EMULATED testbed."""

    def __init__(self, config: ConfigDir, command: Sequence[str] = (sys.executable, "-m", "tui.cli")) -> None:
        self._config, self._command = config, tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = config.path / "serve.log"

    def start(self) -> str:
        """Start it and return where its log is; InputError where ours runs already."""
        if self._process is not None and self._process.poll() is None:
            raise InputError("the agent is being started already")
        self._config.folder(self._config.path)
        handle = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._process = subprocess.Popen(
                [*self._command, "serve"],
                stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(handle)
        return str(self._log)

    def trouble(self) -> str:
        """Return what it said last where it ended, once; empty otherwise."""
        if self._process is None or (code := self._process.poll()) is None:
            return ""
        self._process = None
        return f"the agent ended with exit code {code}: {_last_line(self._log)}"

    def end(self, timeout_s: float = 10.0) -> None:
        """End the agent that was started here; the testbed stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            until = time.monotonic() + timeout_s
            while self._process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return str(log)
    return f"{lines[-1]} ({log})" if lines else f"see {log}"
