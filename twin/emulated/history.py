"""Windows from before the start: the emulated testbed under passive load and autoscaler, simulated at full speed."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable

from twin.emulated.settings import EmulatedSettings
from twin.emulated.state import PlantState
from twin.live import LoadLaw

__all__ = ["simulate_history"]


def simulate_history(
    settings: EmulatedSettings, state: PlantState, windows: int, *, say: Callable[[str], None], stop: Iterable[int] = ()
) -> None:
    """Fill a state with passive windows up to number `windows` - 1, run by run; one that is fuller stays as it is.

    What is there is durable run by run, so that a kill costs one run. Returns early if a descriptor of `stop` becomes
    readable. Values in force afterwards are those of the state, or the reference configuration.
    """
    scenario = settings.scenario
    reference = scenario.description().reference.values
    stored = state.load(reference)
    while (first := stored.next_sequence) < windows:
        if select.select(list(stop), [], [], 0.0)[0]:
            return
        length = min(scenario.passive.run_windows, windows - first)
        run = settings.live_run(stored.runs, reference, law=LoadLaw.PASSIVE, automation=True, first_sequence=first)
        closed = run.advance(round(scenario.window.warmup_s * 1000) + length * scenario.window_slots)
        rows = [state.row(window, run=stored.runs, offset_s=stored.resume_s) for window in closed]
        next_sequence, resume_s = first + len(rows), stored.resume_s + run.now_ms / 1000.0
        state.append(rows, next_sequence=next_sequence, resume_s=resume_s, runs=stored.runs + 1)
        say(f"history: {next_sequence} of {windows} passive windows")
        stored = state.load(reference)
