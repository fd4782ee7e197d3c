from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import metadata
from types import SimpleNamespace

import pytest

from bridge.backends import registry
from bridge.backends.base import Backend
from bridge.backends.bounded import BoundedBackend
from bridge.backends.emulated import EmulatedBackend
from bridge.clock import ManualClock
from col.errors import InputError, OutcomeUnknownError, RefusedError, UnreachableError
from tests.bridge.scripted_backend import ScriptedBackend


def offer(monkeypatch: pytest.MonkeyPatch, **entries: object) -> None:
    """Let installed packages offer these backends: name -> what loading the entry gives (an exception is raised)."""

    def loader(thing: object) -> Callable[[], object]:
        def load() -> object:
            if isinstance(thing, BaseException):
                raise thing
            return thing

        return load

    found = [SimpleNamespace(name=n, value=f"pkg:{n}", load=loader(t)) for n, t in entries.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: found if group == registry.GROUP else [])


def test_the_built_in_backend_needs_no_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)
    assert isinstance(registry.load_backend("emulated", {"socket": "/x"}, 1.0), EmulatedBackend)


def test_no_package_can_take_the_name_of_the_built_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, emulated=AssertionError("was imported"))
    assert isinstance(registry.load_backend("emulated", {"socket": "/x"}, 1.0), EmulatedBackend)


def test_only_the_backend_that_is_named_is_imported_and_its_calls_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Mapping[str, object]] = []

    def make(config: Mapping[str, object], call_timeout_s: float) -> Backend:
        seen.append({**config, "timeout": call_timeout_s})
        return ScriptedBackend(ManualClock())

    offer(monkeypatch, lab=make, other=AssertionError("was imported"))
    backend = registry.load_backend("lab", {"name": "lab", "host": "h"}, 1.5)
    assert isinstance(backend, BoundedBackend)
    assert backend.read().controls == ScriptedBackend(ManualClock()).values
    assert seen == [{"host": "h", "timeout": 1.5}]


def test_a_backend_that_cannot_be_had_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, lab=ImportError("no docker"))
    with pytest.raises(InputError, match="installed are docker, emulated, lab"):
        registry.load_backend("nobody", {}, 1.0)
    with pytest.raises(InputError, match="no docker"):
        registry.load_backend("lab", {}, 1.0)


class Stuck(ScriptedBackend):
    """Hangs in every call until it is let go."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.let_go = threading.Event()
        self.before_call = self._wait

    def _wait(self, _: str) -> None:
        self.let_go.wait()


def test_a_backend_that_hangs_is_given_up_and_left_alone_until_it_comes_back() -> None:
    stuck = Stuck()
    backend = BoundedBackend(stuck, 0.05)
    with pytest.raises(OutcomeUnknownError, match="did not come back from apply"):
        backend.apply({"cpu_a": 1.5}, settle_s=1.0)
    for _ in range(3):
        with pytest.raises(UnreachableError, match="still hangs"):
            backend.read()
    threads = threading.active_count()
    stuck.let_go.set()
    patient = BoundedBackend(stuck, 20.0)
    assert patient.read().controls["cpu_a"] in (1.5, 2.0)
    while threading.active_count() >= threads:
        threading.Event().wait(0.01)
    backend._call_timeout_s = 20.0
    assert backend.read().controls["cpu_a"] == 1.5  # the late effect is seen


def test_what_the_wrapped_backend_raises_passes_through() -> None:
    inner = ScriptedBackend(ManualClock())
    inner.faults["apply"].append(RefusedError(("no",)))
    with pytest.raises(RefusedError, match="no"):
        BoundedBackend(inner, 20.0).apply({"cpu_a": 1.5}, settle_s=1.0)
