"""A rehearsal that follows `steering.json`: it waits where it is held, and its budget is the one that is wanted now.

Waiting happens between what the learner does, never inside of it: what was held computes the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from col.errors import InputError
from col.events import Event, Identified, PassiveObserved, Proposed
from tui.progress import Progress, Status, configuration
from tui.run_folder import StoredRun
from tui.steering import STEERING, Steering, read_steering

__all__ = ["Steered"]

_LOOK_S = 0.2


class Steered:
    """Follows what is wanted of one run.

    `planned` is the budget that it was started with, `reference` the plant's reference configuration. A run that has
    ended, with the budget `ended_with`, follows nothing any more. `wait` and `clock` take and return s; `held_s` is how
    long the run was held.
    """

    def __init__(
        self,
        run: Path,
        stored: StoredRun,
        planned: int,
        reference: dict[str, float],
        *,
        ended_with: int | None = None,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._planned, self._reference = run, planned, reference
        self._recorded_windows = 0 if stored.passive is None else len(stored.passive)
        self._recorded_trials = len(stored.trials)
        self._wait, self._clock = wait, clock
        self._mark: object = None
        self._has_ended = ended_with is not None
        self._steering = Steering(max_trials=ended_with)
        self._trouble = ""
        self.held_s = 0.0

    def most_trials(self) -> int:
        """Return the budget that is wanted now."""
        wanted = self._look().max_trials
        return self._planned if wanted is None else wanted

    def wait_after(
        self, event: Event, status: Status, progress: Progress, held: Callable[[], None] = lambda: None
    ) -> None:
        """Return once the learner may go on from this event; `held` is called where it has to wait.

        While it waits the status is shown again and again, so that a stop that is asked for there is heard.
        """
        self._follow_budget(status)
        what = self._holds(event, status)
        if not what:
            return
        held()
        before, status.paused = status.doing, True
        status.following = dict(event.intervention.values) if isinstance(event, Proposed) else {}
        status.doing = f"paused before {what}"
        began_s = self._clock()
        progress.update(status, f"paused before {what}; {STEERING} in the run folder says so ('rantwin watch': u, S)")
        while self._holds(event, status):
            self._wait(_LOOK_S)
            self._follow_budget(status)
            progress.update(status)
        self.held_s += self._clock() - began_s
        status.paused, status.following, status.doing = False, {}, before
        progress.update(status, "goes on")

    def _holds(self, event: Event, status: Status) -> str:
        """Return before what the run waits, empty where it may go on."""
        hold = self._look().hold
        if hold is None:
            return ""
        match event:
            case Identified() if not self._recorded_windows and status.passive_total:
                return "the passive windows" if hold.windows <= 0 else ""
            case PassiveObserved() if event.done < event.total and hold.windows <= event.done:
                return f"passive window {event.done + 1} of {event.total}"
            case Proposed() if event.step >= self._recorded_trials and hold.trials <= event.step:
                what = configuration(dict(event.intervention.values), self._reference)
                return f"trial {event.step + 1}: {what}"
            case _:
                return ""

    def _follow_budget(self, status: Status) -> None:
        status.trials_total = max(self.most_trials(), status.trials_done)
        others = [note for note in status.notes if not note.startswith(str(self._run / STEERING))]
        if self._trouble and self._trouble not in status.notes:
            status.notes[:] = [*others, self._trouble]
        elif not self._trouble and len(others) < len(status.notes):
            status.notes[:] = others

    def _look(self) -> Steering:
        """Return what is wanted now; of a file that is wrong what it said before, until it is mended."""
        if self._has_ended:
            return self._steering
        try:
            facts = (self._run / STEERING).stat()
            mark: object = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        except OSError:
            mark = None
        if mark != self._mark:
            try:
                self._steering, self._trouble = read_steering(self._run), ""
            except InputError as error:
                self._trouble = str(error)
            self._mark = mark
        return self._steering
