from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from bridge.telemetry.power import PowerSource, find_packages
from bridge.telemetry.registry import load_source
from bridge.telemetry.source import TelemetrySource
from col.errors import InputError
from col.plant import Provenance
from tests.bridge.telemetry_contract import HandClock, Peer, TelemetryContract, wait_until
from twin.power import PowerParameters

RANGE_UJ = 262_143_328_850.0
"""Of a common server: at 100 W it is used up every 44 minutes."""


def write(path: Path, text: object) -> None:
    """Replace a file in one go, as the kernel's are never half written."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(f"{text}\n")
    fresh.rename(path)


def make_zone(folder: Path, zone: str, name: str, energy: float = 0.0) -> Path:
    path = folder / zone
    path.mkdir(parents=True)
    for file, content in (("name", name), ("max_energy_range_uj", int(RANGE_UJ)), ("energy_uj", int(energy))):
        write(path / file, content)
    return path


class FakeMeter(Peer):
    """Files of a host; what they say at a time is written before the clock comes to it."""

    nonsense: ClassVar[tuple[str, ...]]
    unreadable: ClassVar[int]
    """So many of the nonsense, from the first, are no numbers at all."""

    def __init__(self, clock: HandClock, path: Path) -> None:
        super().__init__(clock)
        self.path = path

    def draw(self, seconds: float) -> None:
        """Write what the files say after so many seconds more."""
        raise NotImplementedError

    def wait_ready(self, source: TelemetrySource) -> None:
        wait_until(lambda: source.last_heard_s == self.clock.s, "the files are read")

    def say(self, source: TelemetrySource, seconds: float) -> None:
        self.draw(seconds)
        self.clock.s += seconds
        self.wait_ready(source)

    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        if what >= len(self.nonsense):
            return False
        write(self.path, self.nonsense[what])
        if what < self.unreadable:
            wait_until(lambda: "cannot be read" in source.problem, "a problem is told")
            self.clock.s += seconds
        else:
            self.clock.s += seconds
            self.wait_ready(source)
        return True

    def be_quiet(self, seconds: float) -> None:
        self.go_away()
        self.clock.s += seconds

    def close(self) -> None:
        pass


class FakeRapl(FakeMeter):
    """Two packages that draw 40 W and 50 W, the first one's counter about to begin anew."""

    watts = (40.0, 50.0)
    nonsense = ("", "many", "-5", "1e300", "nan")
    unreadable = 2

    def __init__(self, clock: HandClock, folder: Path) -> None:
        self.folder, self.energy = folder, [RANGE_UJ - 50e6, 1e9]
        self._zones = [make_zone(folder, f"intel-rapl:{n}", f"package-{n}", self.energy[n]) for n in (0, 1)]
        make_zone(folder, "intel-rapl:0:0", "dram")
        make_zone(folder, "intel-rapl:1:0", "core")
        make_zone(folder, "intel-rapl:2", "psys")
        super().__init__(clock, self._zones[0] / "energy_uj")

    def keys(self) -> Mapping[str, object]:
        return {"powercap": str(self.folder), "poll_s": 0.05}

    def draw(self, seconds: float) -> None:
        for n, zone in enumerate(self._zones):
            self.energy[n] = (self.energy[n] + self.watts[n] * 1e6 * seconds) % RANGE_UJ
            write(zone / "energy_uj", int(self.energy[n]))

    def go_away(self) -> None:
        for zone in self._zones:
            (zone / "energy_uj").unlink(missing_ok=True)

    def come_back(self) -> bool:
        self.draw(0.0)
        return True


class FakeStat(FakeMeter):
    """A host of four CPUs, one and a half of them busy."""

    per_second = ((0, 100.0), (1, 10.0), (2, 40.0), (3, 200.0), (4, 50.0), (7, 77.0))
    nonsense = ("", "cpu  a b c", "cpu  1 2 3", "cpu  9 9 9 9 9 9 9 9 0 0")
    unreadable = 3

    def __init__(self, clock: HandClock, folder: Path) -> None:
        super().__init__(clock, folder / "stat")
        self._ticks = [100.0, 0.0, 100.0, 1000.0, 0.0, 0.0, 0.0, 0.0]
        self.draw(0.0)

    def keys(self) -> Mapping[str, object]:
        return {"proc_stat": str(self.path), "powercap": str(self.path.parent / "none"), "poll_s": 0.05}

    def draw(self, seconds: float) -> None:
        for column, ticks in self.per_second:
            self._ticks[column] += ticks * seconds
        words = " ".join(str(int(one)) for one in self._ticks)
        write(self.path, f"cpu  {words} 0 0\ncpu0 {words} 0 0\nintr 12345")

    def go_away(self) -> None:
        self.path.unlink(missing_ok=True)

    def come_back(self) -> bool:
        self.draw(0.0)
        return True


class TestRapl(TelemetryContract):
    table: ClassVar = {"source": "power", "host": "h1"}
    expected: ClassVar = {"pow_h1": 90.0}

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeRapl(clock, folder)

    def test_tc_t08_a_source_whose_peer_was_never_there_can_be_closed_and_says_so(self, peer, clock):
        peer.go_away()
        source = self.load(peer, clock)
        assert source.metrics()[0].provenance is Provenance.ESTIMATED, "what cannot be read is not offered as measured"
        source.close()


class TestEstimate(TelemetryContract):
    table: ClassVar = {"source": "power", "host": "h1", "idle_w": 70.0, "busy_w": 130.0, "exponent": 1.4}
    expected: ClassVar = {"pow_h1": 70.0 + 60.0 * (2.0 * 0.375 - 0.375**1.4)}
    estimated = frozenset({"pow_h1"})

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeStat(clock, folder)


def test_the_estimate_has_the_twins_curve(tmp_path):
    clock = HandClock()
    peer = FakeStat(clock, tmp_path)
    source = load_source({**TestEstimate.table, **peer.keys()}, clock)
    source.start()
    peer.wait_ready(source)
    start_s = clock.s
    for _ in range(4):
        peer.say(source, 1.0)
    twins = PowerParameters(
        idle_w=70.0, busy_w=130.0, exponent=1.4, noise_w=0.0, drift_w=0.0, drift_correlation_s=1.0
    ).mean_w(1.5, 4.0)
    assert source.sample(start_s, clock.s).values["pow_h1"] == pytest.approx(twins)
    source.close()


def test_a_counter_that_begins_anew_goes_on_and_one_that_jumps_is_missing(tmp_path):
    clock = HandClock()
    peer = FakeRapl(clock, tmp_path)
    source = load_source({"source": "power", "host": "h1", **peer.keys()}, clock)
    source.start()
    peer.wait_ready(source)
    for _ in range(3):
        peer.say(source, 1.0)
    before_s = clock.s
    peer.energy[0] = (peer.energy[0] + 1.2e9) % RANGE_UJ  # 1.2 kJ in a second: no package draws that
    peer.say(source, 1.0)
    assert source.sample(1000.0, before_s).values["pow_h1"] == pytest.approx(90.0)
    assert math.isnan(source.sample(before_s, clock.s).values["pow_h1"])
    source.close()


def test_packages_are_found_and_parts_of_them_and_the_platform_are_not(tmp_path):
    FakeRapl(HandClock(), tmp_path)
    assert [zone.energy.parent.name for zone in find_packages(tmp_path)] == ["intel-rapl:0", "intel-rapl:1"]


def test_one_package_that_cannot_be_read_makes_the_host_an_estimate(tmp_path):
    peer = FakeRapl(HandClock(), tmp_path)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert find_packages(tmp_path) == ()
    source = load_source({"source": "power", "host": "h1", **peer.keys()}, HandClock())
    (offered,) = source.metrics()
    assert offered.provenance is Provenance.ESTIMATED
    assert "estimate" in offered.metric.description


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"busy_w": 10.0, "idle_w": 20.0}, "busy_w"),
        ({"exponent": 0.5}, "exponent"),
        ({"poll_s": 0}, "poll_s"),
        ({"estimate": False, "rapl": False}, "estimate"),
        ({"estimate": "yes"}, "estimate"),
        ({"host": 1}, "host"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(changes, key):
    with pytest.raises(InputError) as caught:
        load_source({"source": "power", "host": "h1", **changes}, HandClock())
    assert caught.value.key == key


def test_the_power_of_this_machine_is_heard():
    heard = threading.Event()
    started = HandClock()

    def now() -> float:
        started.s += 0.5  # a clock that goes on whenever it is looked at
        return started.s

    source = load_source({"source": "power", "host": "h1", "poll_s": 0.05}, now)
    assert isinstance(source, PowerSource)
    source.start()
    wait_until(lambda: not math.isnan(source.sample(started.s - 20.0, started.s).values["pow_h1"]) or heard.is_set())
    source.close()
