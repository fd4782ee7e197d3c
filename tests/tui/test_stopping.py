"""Stopping a command: Ctrl-C and SIGTERM alike, also where Python drops what a handler raises."""

from __future__ import annotations

import os
import signal
import weakref

import pytest

from tui.progress import QuietProgress, Status
from tui.stopping import StoppableProgress, stoppable


class _Thing:
    pass


def _dropped(number: int) -> None:
    """Send ourselves a signal inside a callback of a weak reference: what its handler raises is dropped."""
    thing = _Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    assert reference() is None


@pytest.fixture(autouse=True)
def _handlers_as_they_were():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_at_once(number):
    with pytest.raises(KeyboardInterrupt), stoppable():
        os.kill(os.getpid(), number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_was_dropped_stops_at_the_next_update(number):
    with stoppable() as stopping:
        progress = StoppableProgress(QuietProgress(), stopping)
        progress.update(Status(title="before"))
        _dropped(number)
        with pytest.raises(KeyboardInterrupt):
            progress.update(Status(title="after"))
        progress.update(Status(title="one signal stops once"))


def test_what_was_heard_does_not_stop_again():
    with stoppable() as stopping:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        stopping.heard()
        stopping.check()


def test_a_signal_that_is_ignored_on_purpose_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable() as stopping:
            os.kill(os.getpid(), signal.SIGINT)
            stopping.check()
    finally:
        signal.signal(signal.SIGINT, before)
