from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from bridge.lab.source import LabSource, make_source
from bridge.lab.worker.counters import CU, DU, TRAFFIC, Board, read_board
from bridge.telemetry.source import TelemetrySource
from col.errors import InputError
from tests.bridge.telemetry_contract import HandClock, Peer, TelemetryContract

RATES: Mapping[str, Mapping[str, float]] = {
    "du-1": {
        "slots": 1000, "late": 40, "skipped": 10, "ok": 950, "prb_used_dl": 11_875, "prb_available_dl": 23_750,
        "prb_used_ul": 5000, "prb_available_ul": 20_000, "tb_dl": 400, "tb_ul": 300, "retx_dl": 100, "retx_ul": 0,
    },
    "cu-1": {"packets_dl": 130, "packets_ul": 130, "packet_ms": 30, "base_ms": 20, "quota_ms": 120},
    "ue-1": {
        "offered_bits_ul": 1.5e6, "delivered_bits_dl": 1.4e6, "packets_dl": 120, "delay_sum_ms_dl": 720.0,
    },
    "core-1": {
        "offered_bits_dl": 1.5e6, "delivered_bits_ul": 1.5e6, "packets_ul": 130, "delay_sum_ms_ul": 1300.0,
    },
}  # fmt: skip
"""What each process counts in a second."""
NOW = {"du-1": {"backlog_bits_dl": 16_000.0, "backlog_bits_ul": 8_000.0}, "core-1": {"jitter_ms_ul": 2.5}}


class FakeLab(Peer):
    """The files of one gNB's processes."""

    def __init__(self, clock: HandClock, folder: Path) -> None:
        super().__init__(clock)
        self.folder = folder / "counters"
        self.folder.mkdir(exist_ok=True)
        self._at_s = 5.0
        self._silent: tuple[str, ...] = ()
        self.begin()

    def begin(self, started_s: float = 1.0) -> None:
        names = {"du-1": DU, "cu-1": CU, "ue-1": TRAFFIC, "core-1": TRAFFIC}
        for file in self.folder.iterdir():
            file.unlink()
        self.boards = {name: Board(self.folder / name, counted) for name, counted in names.items()}
        for board in self.boards.values():
            board.values[0] = started_s

    def begin_again(self, name: str) -> None:
        """Let one process start anew."""
        board = self.boards[name]
        board.values[:] = [0.0] * len(board.values)
        board.values[0] = self._at_s

    def keys(self) -> Mapping[str, object]:
        return {"counters": str(self.folder)}

    def say(self, source: TelemetrySource, seconds: float, only: tuple[str, ...] = ()) -> None:
        self.clock.s += seconds
        self._at_s += seconds
        for name, board in self.boards.items():
            if only and name not in only:
                continue
            board.values[1] = self._at_s
            for counter, rate in RATES[name].items():
                board.values[board.index(counter)] += rate * seconds
            for counter, value in NOW.get(name, {}).items():
                board.values[board.index(counter)] = value
            board.show()
        assert isinstance(source, LabSource)
        source.look()

    def wait_ready(self, source: TelemetrySource) -> None:
        pass

    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        if what > 3:
            return False
        self.clock.s += seconds
        self._at_s += seconds
        for name, board in self.boards.items():
            if what == 0:
                (self.folder / name).write_bytes(b"not counters")
            elif what == 1:
                (self.folder / name).unlink()
            else:
                self.begin()
                board = self.boards[name]
                board.values[1], board.values[2] = self._at_s, math.nan if what == 2 else -1.0
                board.show()
        assert isinstance(source, LabSource)
        source.look()
        return True

    def go_away(self) -> None:
        pass

    def come_back(self) -> bool:
        self.begin(started_s=self._at_s)
        return True

    def close(self) -> None:
        pass


class TestLab(TelemetryContract):
    table: ClassVar[Mapping[str, object]] = {"source": "lab", "gnbs": ["1"]}
    expected: ClassVar[Mapping[str, float]] = {
        "load_dl_1": 1.5, "load_ul_1": 1.5, "prb_dl_1": 50.0, "prb_ul_1": 25.0, "late_du_1": 0.05, "nok_dl_1": 0.2,
        "nok_ul_1": 0.0, "bs_dl_1": 2.0, "bsr_1": 1.0, "cap_du_dl_1": 2.8, "cap_du_ul_1": 6.0, "cap_cu_1": 10.0,
        "thp_dl_1": 1.4, "thp_ul_1": 1.5, "dly_dl_1": 6.0, "dly_ul_1": 10.0, "jit_ul_1": 2.5,
    }  # fmt: skip

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeLab(clock, folder)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def lab(clock: HandClock, tmp_path: Path) -> FakeLab:
    return FakeLab(clock, tmp_path)


@pytest.fixture
def source(lab: FakeLab, clock: HandClock) -> LabSource:
    return make_source({**lab.keys(), "gnbs": ["1"]}, clock)


def test_a_du_that_is_gone_leaves_what_the_ends_see(lab: FakeLab, source: LabSource, clock: HandClock) -> None:
    lab.say(source, 1.0)
    start_s = clock.s
    for _ in range(5):
        lab.say(source, 1.0, only=("ue-1", "core-1"))
    values = source.sample(start_s, clock.s).values
    assert values["load_ul_1"] == pytest.approx(1.5)
    assert values["thp_dl_1"] == pytest.approx(1.4)
    assert all(math.isnan(values[f"{name}_1"]) for name in ("late_du", "prb_dl", "cap_du_dl", "cap_cu"))


def test_a_process_that_started_anew_in_a_window_is_missing_in_it_alone(
    lab: FakeLab, source: LabSource, clock: HandClock
) -> None:
    lab.say(source, 1.0)
    start_s = clock.s
    lab.say(source, 1.0)
    lab.begin_again("du-1")
    lab.say(source, 1.0)
    middle_s = clock.s
    lab.say(source, 1.0)
    first, second = source.sample(start_s, middle_s).values, source.sample(middle_s, clock.s).values
    assert math.isnan(first["late_du_1"])
    assert first["thp_ul_1"] == pytest.approx(1.5)
    assert second["late_du_1"] == pytest.approx(0.05)


def test_ends_between_two_looks_are_on_the_line_between_them(lab: FakeLab, source: LabSource, clock: HandClock) -> None:
    start_s = clock.s
    for _ in range(6):
        lab.say(source, 1.0)
    values = source.sample(start_s + 1.3, start_s + 4.7).values
    assert values["thp_dl_1"] == pytest.approx(1.4)
    assert values["late_du_1"] == pytest.approx(0.05)


def test_a_half_written_board_is_not_read(tmp_path: Path) -> None:
    board = Board(tmp_path / "du", DU)
    board.values[2] = 7.0
    board.show()
    assert (read_board(tmp_path / "du", DU) or {})["slots"] == 7.0
    data = bytearray((tmp_path / "du").read_bytes())
    data[0] += 1  # a write has begun
    (tmp_path / "du").write_bytes(data)
    assert read_board(tmp_path / "du", DU, tries=3) is None


@pytest.mark.parametrize(("key", "value"), [("counters", 3), ("gnbs", "1"), ("gnbs", []), ("gnbs", [1])])
def test_a_table_that_is_wrong_is_refused_by_key(key: str, value: object, clock: HandClock) -> None:
    with pytest.raises(InputError, match=key):
        make_source({"counters": "/somewhere", "gnbs": ["1"], key: value}, clock)
