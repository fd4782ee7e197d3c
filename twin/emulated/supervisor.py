"""Parent and child: the child simulates and serves, the parent starts it again when it dies, as container engines do.

The child is forked from a parent that has everything loaded and compiled, so that a restart takes milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from col.errors import InputError, RantwinError
from twin.emulated.history import simulate_history
from twin.emulated.misbehave import Misbehaviour
from twin.emulated.plant import CrashRequestedError, EmulatedPlant
from twin.emulated.server import Server, check_free, listen
from twin.emulated.settings import EmulatedSettings
from twin.emulated.state import PlantState
from twin.live import FRAME_SLOTS, LoadLaw

__all__ = ["serve"]

Say = Callable[[str], None]
_LIVED_S, _SHORTEST_S, _LONGEST_S = 5.0, 0.02, 0.5
_STOPS_WITHIN_S = 10.0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def serve(
    settings: EmulatedSettings,
    *,
    socket: Path,
    state: Path,
    history: int = 0,
    misbehaviour: Misbehaviour | None = None,
    say: Say = _to_stderr,
) -> int:
    """Serve an emulated testbed until SIGTERM or Ctrl-C; returns the exit code.

    `history` passive windows are simulated first, as fast as possible, unless the state folder has windows already.
    `say` takes lines for people; the one that begins with `EMULATED` says that the testbed answers.

    Raises:
        InputError: history out of range. What else is wrong with the input is said and ends with exit code 2.
    """
    if not 0 <= history <= 1_000_000:
        raise InputError("must lie in 0 to 1000000", key="history", value=history)
    _warm_up(settings)
    alive, watch = os.pipe()  # the child sees the end of this pipe when its parent dies, however it dies
    delay, first = _SHORTEST_S, True
    with _signals() as stop:
        while not _readable(stop, 0.0):
            begun = time.monotonic()
            child = os.fork()
            if child == 0:
                os.close(watch)
                os._exit(_child(settings, socket, state, history, misbehaviour, say, alive, first=first))
            code = _wait(child, stop)
            if code in (0, 1, 2) or _readable(stop, 0.0):
                return max(code, 0)
            first = False
            delay = _SHORTEST_S if time.monotonic() - begun > _LIVED_S else min(_LONGEST_S, 2.0 * delay)
            say(f"the testbed died ({_reason(code)}) and is started again")
            _readable(stop, delay)
    return 0


def _warm_up(settings: EmulatedSettings) -> None:
    """Load and compile everything once, before there is a child."""
    reference = settings.scenario.description().reference.values
    settings.live_run(0, reference, law=LoadLaw.OPERATING, automation=None, first_sequence=0).advance(FRAME_SLOTS)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor that becomes readable, and stays so, when somebody asks to stop."""
    stop, told = os.pipe()
    os.set_blocking(told, False)
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: os.write(told, b".")) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(stop)
        os.close(told)


def _readable(fd: int, timeout_s: float | None) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


def _wait(child: int, stop: int) -> int:
    """Wait for the child and return its exit code (below 0: minus the signal that killed it); pass a stop on to it."""
    ended = os.pidfd_open(child)
    try:
        if ended not in select.select([ended, stop], [], [])[0]:
            os.kill(child, signal.SIGTERM)
            if not _readable(ended, _STOPS_WITHIN_S):
                os.kill(child, signal.SIGKILL)
    finally:
        os.close(ended)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _child(
    settings: EmulatedSettings,
    socket: Path,
    state: Path,
    history: int,
    misbehaviour: Misbehaviour | None,
    say: Say,
    alive: int,
    *,
    first: bool,
) -> int:
    """Serve in the child and return its exit code: 0 stopped, 2 bad input, 1 what starting again would not mend."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on
        stop, told = os.pipe()
        os.set_blocking(told, False)
        signal.signal(signal.SIGTERM, lambda *_: os.write(told, b"."))
        chosen = (misbehaviour or Misbehaviour()) if first else None
        _serve_once(settings, socket, state, history, chosen, say, stop, alive)
    except CrashRequestedError:
        os.kill(os.getpid(), signal.SIGKILL)
    except RantwinError as error:
        say(f"error: {error}")
        return error.exit_code if isinstance(error, InputError) else 1
    except BaseException as error:
        say(f"the testbed failed: {type(error).__name__}: {error}")
        return 70
    return 0


def _serve_once(
    settings: EmulatedSettings,
    socket: Path,
    state: Path,
    history: int,
    misbehaviour: Misbehaviour | None,
    say: Say,
    stop: int,
    alive: int,
) -> None:
    check_free(socket)  # rather before a long history than after it
    scenario = settings.scenario
    names = scenario.topology.control_names, [metric.name for metric in scenario.topology.metrics()]
    kept = PlantState(state, identity=settings.identity, controls=names[0], metrics=names[1])
    simulate_history(settings, kept, history, say=say, stop=(stop, alive))
    plant = EmulatedPlant(settings, kept, misbehaviour)
    listener = listen(socket)
    try:
        what = (
            f"{scenario.name} at {settings.speed:g} times real time" if settings.speed else f"{scenario.name}, stepped"
        )
        say(f"EMULATED testbed {settings.plant_id!r} ({what}) answers on {socket}")
        Server(
            plant,
            listener,
            speed=settings.speed,
            window_ms=scenario.window_slots,
            stop_fds=(stop, alive),
        ).run()
    finally:
        listener.close()
        if sys.exc_info()[0] is not CrashRequestedError:
            socket.unlink(missing_ok=True)
            kept.close()
