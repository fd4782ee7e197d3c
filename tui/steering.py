"""`steering.json` in a run folder: how somebody beside the rehearsal pauses it, makes it step, changes its budget.

The file says what is wanted, not what is to be done, so that it means the same read twice, or by the process that goes
on after a kill:

    {"hold": {"windows": 0, "trials": 7}, "max_trials": 80}

`hold`: watch no more passive windows once there are `windows` of them, and begin no trial once there are `trials` of
them (refused ones count); without it the rehearsal goes on. So zeros pause it as soon as what is under way is done, and
numbers one higher than what there is let it make one step. `max_trials` is the budget, instead of the one that the
run was started with; a budget below what was tried already ends it. The rehearsal reads the file between trials and
between chunks of passive windows, and where it is held five times a second. Neither changes a number that it computes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from col.errors import InputError

__all__ = ["STEERING", "Hold", "Steering", "read_steering", "write_steering"]

STEERING = "steering.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Where to wait: with so many passive windows before more are watched, with so many trials before the next one."""

    windows: int = 0
    trials: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What is wanted of a rehearsal: with `hold` None it goes on, with `max_trials` None its budget is as it began."""

    hold: Hold | None = None
    max_trials: int | None = None

    def paused(self) -> Steering:
        """Return it with a wait as soon as what is under way is done."""
        return replace(self, hold=Hold())

    def going_on(self) -> Steering:
        """Return it without a wait."""
        return replace(self, hold=None)

    def stepped(self, *, windows: int, windows_total: int, chunk: int, trials: int) -> Steering:
        """Return it with a wait one step after what there is: one chunk of passive windows, or one trial.

        A step asked for while another one is not yet made is one more.
        """
        hold = self.hold or Hold()
        at = max(hold.windows, windows)
        if at < windows_total:
            return replace(self, hold=Hold(windows=at + chunk, trials=hold.trials))
        return replace(self, hold=Hold(windows=at, trials=max(hold.trials, trials) + 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the document of the file."""
        hold = None if self.hold is None else {"windows": self.hold.windows, "trials": self.hold.trials}
        entries = {"hold": hold, "max_trials": self.max_trials}
        return {key: value for key, value in entries.items() if value is not None}


def read_steering(run: Path) -> Steering:
    """Return what is wanted of the run in this folder; nothing where there is no file.

    Raises:
        InputError: the file is not what it should be.
    """
    path = run / STEERING
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Steering()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=str(path)) from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON ({error})", source=str(path)) from error
    _check_keys(document, ("hold", "max_trials"), str(path), "")
    hold = document.get("hold")
    if hold is not None:
        _check_keys(hold, ("windows", "trials"), str(path), "hold")
        hold = Hold(**{key: _whole(value, str(path), f"hold.{key}") for key, value in hold.items()})
    budget = document.get("max_trials")
    return Steering(hold=hold, max_trials=None if budget is None else _whole(budget, str(path), "max_trials"))


def write_steering(run: Path, steering: Steering) -> None:
    """Write the file, whole or not at all; durable on return.

    Raises:
        InputError: it cannot be written.
    """
    partial = run / f".tmp-{os.getpid()}-{STEERING}"
    try:
        with partial.open("w", encoding="utf-8") as sink:
            sink.write(json.dumps(steering.to_dict()) + "\n")
            sink.flush()
            os.fsync(sink.fileno())
        partial.replace(run / STEERING)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", source=str(run / STEERING)) from error


def _check_keys(entry: object, known: tuple[str, ...], source: str, key: str) -> None:
    if not isinstance(entry, Mapping):
        raise InputError("must be a table", source=source, key=key, value=entry)
    for name in entry:
        if name not in known:
            where = f"{key}.{name}" if key else str(name)
            raise InputError(f"no such key; known are {', '.join(known)}", source=source, key=where)


def _whole(value: object, source: str, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError("must be a whole number, at least 0", source=source, key=key, value=value)
    return value
