"""The battery of contract tests that every source of telemetry must pass, whatever it listens to.

A module of tests makes it run for one source:

    class TestSrsran(TelemetryContract):
        table = {"source": "srsran", "gnb": "1"}
        def make_peer(self, clock, folder) -> Peer: ...

A peer is the other end: a gNB, a file, a broker. The clock is moved by hand, so that no case depends on how fast the
machine is; only what is heard is waited for, as long as it takes. Each case has an id (TC-T01 ...) that is never used
again for another case.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from bridge.telemetry.registry import all_metrics, load_source
from bridge.telemetry.source import Sample, TelemetrySource
from col.errors import InputError
from col.plant import MetricKind, Provenance

PATIENCE_S = 120.0
"""Longest wait for something that does happen; a busy machine needs some of it."""


class HandClock:
    """The clock of the windows, moved by hand."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def wait_until(holds: Callable[[], object], what: str = "") -> None:
    """Wait until it holds; fail after a long time."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what or holds}")
        time.sleep(0.005)


class Peer(ABC):
    """What a source listens to."""

    @abstractmethod
    def keys(self) -> Mapping[str, object]:
        """Return what the source's table needs to find this peer."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock

    @abstractmethod
    def say(self, source: TelemetrySource, seconds: float) -> None:
        """Let time pass, say what is well at its end, and return when the source has heard it."""

    @abstractmethod
    def wait_ready(self, source: TelemetrySource) -> None:
        """Return when what is said from now on is heard."""

    @abstractmethod
    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        """Let time pass and say nonsense or impossible values of kind `what`; False where there is no such kind."""

    def be_quiet(self, seconds: float) -> None:
        """Let time pass in which nothing is heard."""
        self.clock.s += seconds

    @abstractmethod
    def go_away(self) -> None:
        """Stop answering, as somebody who is dead."""

    def come_back(self) -> bool:
        """Answer again; False where this peer cannot."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Clean up."""


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
class TelemetryContract(ABC):
    """Subclass it as `Test...`; `expected` is what a window of what `Peer.say` says comes to."""

    table: ClassVar[Mapping[str, object]]
    expected: ClassVar[Mapping[str, float]]
    estimated: ClassVar[frozenset[str]] = frozenset()
    signs: ClassVar[frozenset[str]] = frozenset()
    """Metrics that are known also when little was heard, because they say how much that was."""
    period_s: ClassVar[float] = 1.0
    reports: ClassVar[int] = 5

    @abstractmethod
    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        """Return the other end, ready."""

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock()

    @pytest.fixture
    def peer(self, clock: HandClock, tmp_path: Path) -> Iterator[Peer]:
        peer = self.make_peer(clock, tmp_path)
        yield peer
        peer.close()

    def load(self, peer: Peer, clock: HandClock) -> TelemetrySource:
        source = load_source({**self.table, **peer.keys()}, clock)
        if hasattr(source, "retry_s"):
            source.retry_s = 0.02
        return source

    @pytest.fixture
    def source(self, peer: Peer, clock: HandClock) -> Iterator[TelemetrySource]:
        source = self.load(peer, clock)
        source.start()
        peer.wait_ready(source)
        yield source
        source.close()

    def window(self, peer: Peer, source: TelemetrySource, clock: HandClock, reports: int | None = None) -> Sample:
        """Let a window pass in which the peer says what is well so many times."""
        start_s = clock.s
        said = self.reports if reports is None else reports
        for _ in range(said):
            peer.say(source, self.period_s)
        if said < self.reports:
            peer.be_quiet((self.reports - said) * self.period_s)
        return source.sample(start_s, clock.s)

    def assert_expected(self, sample: Sample) -> None:
        assert sample.values == pytest.approx(dict(self.expected))

    def test_tc_t01_what_it_offers_is_settled_and_named_as_our_metrics_are(self, peer, clock):
        source = self.load(peer, clock)
        assert isinstance(source, TelemetrySource)
        offered = source.metrics()
        assert offered
        assert source.metrics() == offered == all_metrics([source])
        assert {one.name for one in offered} == set(self.expected)
        for one in offered:
            assert one.metric.unit
            assert isinstance(one.metric.kind, MetricKind)
            assert one.metric.description
            assert one.provenance == (Provenance.ESTIMATED if one.name in self.estimated else Provenance.MEASURED)
        source.close()

    def test_tc_t02_before_anything_is_heard_all_is_missing(self, peer, clock):
        source = self.load(peer, clock)
        sample = source.sample(clock.s - 15.0, clock.s)
        assert set(sample.values) == set(self.expected)
        assert all(map(math.isnan, sample.values.values()))
        assert source.last_heard_s is None
        assert source.problem == ""
        source.close()

    def test_tc_t03_a_window_has_the_values_that_were_said_in_our_units(self, peer, source, clock):
        self.window(peer, source, clock)
        start_s = clock.s
        sample = self.window(peer, source, clock)
        self.assert_expected(sample)
        assert sample.provenance == {one.name: one.provenance for one in source.metrics()}
        assert source.last_heard_s == clock.s
        assert source.problem == ""
        end_s = clock.s
        self.window(peer, source, clock)
        assert source.sample(start_s, end_s) == sample, "asked again for a window that is over"

    def test_tc_t04_a_window_of_which_too_little_was_heard_is_missing(self, peer, source, clock):
        self.window(peer, source, clock)
        sample = self.window(peer, source, clock, reports=1)
        known = {name for name, value in sample.values.items() if not math.isnan(value)}
        assert known == set(self.signs)
        if peer.come_back():
            peer.wait_ready(source)
        self.window(peer, source, clock)
        self.assert_expected(self.window(peer, source, clock))

    def test_tc_t05_windows_that_never_were_are_missing_and_no_error(self, peer, source, clock):
        self.window(peer, source, clock)
        now_s = clock.s
        for start_s, end_s in (
            (now_s, now_s),
            (now_s, now_s - 5.0),
            (now_s + 1e6, now_s + 1e6 + 15.0),
            (-1e9, -1e9 + 15.0),
            (math.nan, now_s),
        ):
            values = source.sample(start_s, end_s).values
            assert set(values) == set(self.expected)
            assert all(math.isnan(value) for name, value in values.items() if name not in self.signs)

    def test_tc_t06_nonsense_is_missing_and_silences_nobody(self, peer, source, clock):
        self.window(peer, source, clock)
        what = 0
        start_s = clock.s
        while peer.say_nonsense(source, what, self.period_s):
            what += 1
        assert what > 0
        values = source.sample(start_s, clock.s).values
        assert all(math.isnan(value) for name, value in values.items() if name not in self.signs), values
        if peer.come_back():
            peer.wait_ready(source)
        self.window(peer, source, clock)
        self.assert_expected(self.window(peer, source, clock))
        assert source.problem == ""

    def test_tc_t07_a_peer_that_is_gone_is_a_problem_with_a_name_and_heard_again_when_it_is_back(
        self, peer, source, clock
    ):
        self.window(peer, source, clock)
        heard_s = source.last_heard_s
        peer.go_away()
        clock.s += 100.0
        wait_until(lambda: source.problem, "a problem is told")
        assert len(source.problem.splitlines()) == 1
        assert source.last_heard_s == heard_s
        assert any(one.name.startswith("telemetry") for one in threading.enumerate()), "somebody still listens"
        values = source.sample(clock.s - 15.0, clock.s).values
        assert all(math.isnan(value) for name, value in values.items() if name not in self.signs)
        if peer.come_back():
            peer.wait_ready(source)
            self.window(peer, source, clock)
            self.assert_expected(self.window(peer, source, clock))
            assert source.problem == ""

    def test_tc_t08_a_source_whose_peer_was_never_there_can_be_closed_and_says_so(self, peer, clock):
        peer.go_away()
        source = self.load(peer, clock)
        source.start()
        clock.s += 100.0
        wait_until(lambda: source.problem, "a problem is told")
        source.close()
        assert source.last_heard_s is None

    def test_tc_t09_closing_ends_every_thread_and_may_be_done_twice(self, peer, clock):
        idle = self.load(peer, clock)
        idle.close()
        idle.close()
        before = set(threading.enumerate())
        source = self.load(peer, clock)
        source.start()
        source.start()
        peer.wait_ready(source)
        peer.say(source, self.period_s)
        source.close()
        source.close()
        ours = [one for one in threading.enumerate() if one not in before and one.name.startswith("telemetry")]
        assert not ours
        source.start()
        assert not [one for one in threading.enumerate() if one not in before and one.name.startswith("telemetry")]

    def test_tc_t10_a_key_that_no_source_has_is_refused_by_name(self, peer, clock):
        with pytest.raises(InputError, match="colour"):
            load_source({**self.table, **peer.keys(), "colour": "red"}, clock)

    def test_tc_t11_metrics_can_be_left_out_and_be_called_otherwise(self, peer, clock):
        first = next(iter(self.expected))
        table = {**self.table, **peer.keys(), "take": [first], "rename": {first: "other_1"}}
        source = load_source(table, clock)
        assert [one.name for one in source.metrics()] == ["other_1"]
        assert set(source.sample(0.0, 15.0).values) == {"other_1"}
        source.close()
        with pytest.raises(InputError, match="nothing_1"):
            load_source({**self.table, **peer.keys(), "take": ["nothing_1"]}, clock)
