from __future__ import annotations

import gzip
import json
import math
import statistics
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from websockets.sync.server import ServerConnection, serve

import twin
from bridge.telemetry.registry import load_source
from bridge.telemetry.source import TelemetrySource
from bridge.telemetry.srsran import LAYERS, SrsranSource
from bridge.telemetry.srsran_messages import OLD_DIALECT, REPLY, UNREADABLE, Message, decode, decode_object
from col.errors import InputError
from col.plant import MetricKind
from tests.bridge.telemetry_contract import HandClock, Peer, TelemetryContract, wait_until
from twin.topology import Gnb, Host, Topology

RECORDINGS = sorted((Path(twin.__file__).parent / "data" / "srsran_gnb").glob("*/*.jsonl.gz"))
REPLY_OK = {"cmd": "metrics_subscribe", "timestamp": "2026-11-22T00:16:21.684"}


def ue(**changes: object) -> dict[str, object]:
    values = {
        "rnti": 68, "cqi": 15, "dl_mcs": 27, "ul_mcs": 25, "dl_brate": 6e6, "ul_brate": 4e6, "dl_nof_ok": 90,
        "dl_nof_nok": 10, "ul_nof_ok": 99, "ul_nof_nok": 1, "dl_bs": 3000, "bsr": 500, "pusch_snr_db": 22.5,
    }  # fmt: skip
    return {**values, **changes}


def cells(*ues: object, pci: int = 1, **changes: object) -> dict[str, Any]:
    metrics = {
        "pci": pci, "error_indication_count": 3, "average_latency": 33, "latency_histogram": [900, 50, 0, 0, 20],
    }  # fmt: skip
    return {"cells": [{"cell_metrics": {**metrics, **changes}, "ue_list": list(ues)}], "timestamp": "x"}


GOOD = (
    {"app_resource_usage": {"cpu_usage_percent": 80.0, "memory_usage_mb": 2333.0, "power_consumption_watts": 91.0}},
    {"du": {"du_high": {"mac": {"dl": [{"pci": 1, "average_latency_us": 60.0, "max_latency_us": 1500.0}]}}}},
    {"du_low": {"dl": {"average_latency_us": 90.0}, "ul": {"average_latency_us": 380.0}}},
    {"rlc_metrics": {"du_id": 0, "tx": {"num_sdus": 500, "sum_sdu_latency_us": 1_000_000}, "rx": {}}},
    {"cu-up": {"pdcp": {"dl": {"average_latency_us": 7.0}, "ul": {"average_latency_us": 9.0}}}},
    {
        "cu-cp": {
            "ngaps": {"ngap": [{"amf_name": "a", "connected": True}]},
            "rrcs": {
                "du": [{"rrc_connection_number": {"mean_nof_rrc_connections": 2.0}}],
                "nof_successful_handover_executions": 1,
            },
        }
    },
    {"executor_metrics": {"name": "x", "cpu_load": 6.0}},
    {"buffer_pool": {"central_cache_size": 1048448}},
    {"something_new": {"of": "a later release"}},
    cells(ue(), ue(dl_brate=3e6, ul_brate=1e6, dl_nof_ok=0, dl_nof_nok=0, cqi=11, dl_mcs=0, pusch_snr_db=99.9)),
)

NONSENSE: tuple[object, ...] = (
    cells(ue(dl_brate=-1.0, ul_brate=math.inf, dl_nof_ok=-1, ul_nof_ok=None, dl_bs=-5, bsr="many", cqi=16, dl_mcs=99,
             ul_mcs=-1, pusch_snr_db=99.9), average_latency=-1, error_indication_count=1.5e9,
          latency_histogram=[1, None]) | {"timestamp": 7},
    b"\x00\xff",
    "",
    "[1,",
    "[" * 100_000,
    json.dumps([1, 2]),
    json.dumps("cells"),
    json.dumps({"cells": 7}),
    json.dumps({"cells": [None, 3]}),
    json.dumps({"cells": [], "du": {}}),
    json.dumps({"app_resource_usage": {"cpu_usage_percent": True, "power_consumption_watts": 4.6e12}}),
    json.dumps({"app_resource_usage": None}),
    json.dumps({"du": {"du_high": None}}),
    json.dumps({"du_low": {"dl": {"average_latency_us": 1e300}}}),
    json.dumps({"cu-cp": {"rrcs": {"du": 3}}}),
    json.dumps({"rlc_metrics": {"tx": {"num_sdus": 0, "sum_sdu_latency_us": 0}}}),
    '{"app_resource_usage": {"cpu_usage_percent": 1' + "0" * 400 + "}}",
)  # fmt: skip


class FakeGnb(Peer):
    """A WebSocket server that behaves as the remote control of srsRAN 25.10 does."""

    def __init__(self, clock: HandClock, reply: object = REPLY_OK) -> None:
        super().__init__(clock)
        self._reply = reply
        self._lock = threading.Lock()
        self._subscribers: list[ServerConnection] = []
        self.asked: list[object] = []
        self._server = serve(self._serve, "127.0.0.1", 0)
        self._port = self._server.socket.getsockname()[1]
        self._run()

    def _run(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _serve(self, connection: ServerConnection) -> None:
        for frame in connection:
            self.asked.append(json.loads(frame))
            connection.send(json.dumps(self._reply))
            with self._lock:
                self._subscribers.append(connection)

    def keys(self) -> Mapping[str, object]:
        return {"url": f"ws://127.0.0.1:{self._port}", "patience_s": 3000}

    def wait_ready(self, source: TelemetrySource) -> None:
        wait_until(lambda: self._subscribers, "somebody subscribes")

    def send(self, *messages: object) -> None:
        with self._lock:
            for connection in self._subscribers:
                for message in messages:
                    connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def say(self, source: TelemetrySource, seconds: float) -> None:
        self.clock.s += seconds
        self.send(*GOOD)
        wait_until(lambda: source.last_heard_s == self.clock.s, "the report is heard")

    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        if what < len(NONSENSE):
            self.clock.s += seconds
            self.send(NONSENSE[what])
            if what == 0:  # a report, though no value in it is possible
                wait_until(lambda: source.last_heard_s == self.clock.s, "the report is heard")
        return what < len(NONSENSE)

    def go_away(self) -> None:
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._subscribers:
                connection.close()
            self._subscribers.clear()

    def come_back(self) -> bool:
        if not self._thread.is_alive():
            self._server = serve(self._serve, "127.0.0.1", self._port)
            self._run()
        return True

    def close(self) -> None:
        self.go_away()


class TestSrsran(TelemetryContract):
    table: ClassVar = {"source": "srsran", "gnb": "1", "layers": list(LAYERS)}
    expected: ClassVar = {
        "thp_dl_1": 9.0, "thp_ul_1": 5.0, "nok_dl_1": 0.1, "nok_ul_1": 0.01, "bs_dl_1": 6.0, "bsr_1": 1.0,
        "mcs_dl_1": 27.0, "mcs_ul_1": 25.0, "cqi_1": 13.0, "snr_ul_1": 22.5, "nue_1": 2.0, "skip_du_1": 0.03,
        "err_du_1": 3.0, "lat_sched_1": 33.0, "heard_du_1": 1.0, "cpuu_gnb_1": 0.8, "peak_gnb_1": 2333.0,
        "pow_pkg_1": 91.0, "lat_mac_1": 60.0, "lat_mac_max_1": 1500.0, "lat_phy_dl_1": 90.0, "lat_phy_ul_1": 380.0,
        "dly_rlc_1": 2.0, "lat_pdcp_dl_1": 7.0, "lat_pdcp_ul_1": 9.0, "conn_1": 2.0, "ho_1": 5.0,
    }  # fmt: skip
    signs = frozenset({"heard_du_1"})

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeGnb(clock)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def gnb(clock: HandClock) -> Iterator[FakeGnb]:
    gnb = FakeGnb(clock)
    yield gnb
    gnb.close()


@pytest.fixture
def source(gnb: FakeGnb, clock: HandClock) -> Iterator[TelemetrySource]:
    source = load_source({"source": "srsran", "gnb": "1", **gnb.keys()}, clock)
    source.start()
    gnb.wait_ready(source)
    yield source
    source.close()


def values_of(gnb: FakeGnb, source: TelemetrySource, clock: HandClock, *reports: object) -> Mapping[str, float]:
    start_s = clock.s
    for report in reports:
        clock.s += 1.0
        gnb.send(report)
        wait_until(lambda: source.last_heard_s == clock.s, "the report is heard")
    return source.sample(start_s, clock.s).values


def all_messages(path: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            content = json.loads(line)
            if content.get("kind") == "msg":
                yield content["t"], content["msg"]


def test_every_recorded_message_of_a_real_gnb_is_understood():
    kinds: Counter[str] = Counter()
    for path in RECORDINGS:
        for _, raw in all_messages(path):
            message = decode_object(raw)
            kinds[message.kind] += 1
            if message.kind == REPLY:
                assert raw["cmd"] == "metrics_subscribe"
                continue
            assert message.kind in raw, "the kind is the top-level key"
            if message.kind == "cells":
                (cell,) = message.cells
                assert None not in (cell.pci, cell.slots, cell.errors, cell.decision_us)
                for one in cell.ues:
                    rates = (one.dl_mbps, one.ul_mbps, one.dl_ok, one.dl_nok, one.ul_ok, one.ul_nok)
                    assert None not in (*rates, one.dl_kb, one.ul_kb, one.mcs_dl, one.mcs_ul)
                    assert one.snr_ul_db is None, "test mode writes 99.9 dB for what nobody measured"
            else:
                assert message.values, raw
                assert all(math.isfinite(value) and value >= 0 for value in message.values.values())
                assert "power_w" not in message.values, "0 W is a machine that does not tell"
    assert kinds.pop(REPLY) == len(RECORDINGS)
    assert set(kinds) == {"cells", "du", "du_low", "app_resource_usage", "buffer_pool"}
    assert min(kinds.values()) > 1000


@pytest.mark.parametrize("quota", ["0.200", "0.600", "1.200"])
def test_a_recorded_run_heard_over_a_socket_has_the_rates_that_the_gnb_reported(gnb, clock, quota):
    path = next(one for one in RECORDINGS if one.name == f"q{quota}_u1_r1.jsonl.gz")
    reports = [raw for _, raw in all_messages(path) if "cells" in raw][-20:]
    source = load_source({"source": "srsran", "gnb": "1", **gnb.keys()}, clock)
    source.start()
    gnb.wait_ready(source)
    values = values_of(gnb, source, clock, *reports)
    source.close()
    raw = [one["cells"][0] for one in reports]
    for ours, theirs in (("thp_dl_1", "dl_brate"), ("thp_ul_1", "ul_brate")):
        rates = [sum(ue[theirs] for ue in cell["ue_list"]) / 1e6 for cell in raw]
        assert values[ours] == pytest.approx(statistics.fmean(rates))
    scheduled = sum(sum(cell["cell_metrics"]["latency_histogram"]) for cell in raw) / 20_000
    assert values["skip_du_1"] == pytest.approx(max(0.0, 1.0 - scheduled))
    assert values["nue_1"] == 1.0
    assert values["heard_du_1"] == 1.0
    assert math.isnan(values["snr_ul_1"])


def test_the_source_subscribes_and_nothing_else(gnb, source):
    assert gnb.asked == [{"cmd": "metrics_subscribe"}]


def test_a_cell_without_ues_carries_nothing_which_is_measured(gnb, source, clock):
    empty = cells()
    del empty["cells"][0]["ue_list"]
    values = values_of(gnb, source, clock, empty, empty, empty)
    assert values["thp_dl_1"] == values["thp_ul_1"] == values["nue_1"] == 0.0
    assert math.isnan(values["nok_dl_1"])
    assert math.isnan(values["mcs_dl_1"])


def test_a_value_missing_for_one_ue_is_missing_in_the_sum(gnb, source, clock):
    values = values_of(gnb, source, clock, cells(ue(), ue(dl_brate=None)))
    assert math.isnan(values["thp_dl_1"])
    assert values["thp_ul_1"] == 8.0


def test_the_reports_that_do_not_come_are_a_sign_in_themselves(gnb, source, clock):
    start_s = clock.s
    values_of(gnb, source, clock, cells(ue()), cells(ue()), cells(ue()))
    values = source.sample(start_s, start_s + 15.0).values
    assert values["heard_du_1"] == pytest.approx(0.2)
    assert all(math.isnan(value) for name, value in values.items() if name != "heard_du_1")
    assert source.sample(clock.s + 100.0, clock.s + 115.0).values["heard_du_1"] == 0.0


def test_one_cell_of_a_du_can_be_picked(clock):
    gnb = FakeGnb(clock)
    source = load_source({"source": "srsran", "gnb": "3", "pci": 2, **gnb.keys()}, clock)
    source.start()
    gnb.wait_ready(source)
    both = cells(ue(), pci=1)
    both["cells"] += cells(ue(dl_brate=2e6), pci=2)["cells"]
    values = values_of(gnb, source, clock, both, both)
    assert values["thp_dl_3"] == 2.0
    assert values["nue_3"] == 1.0
    source.close()
    gnb.close()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ({"cmd": "metrics_subscribe", "error": "Unknown command type: metrics_subscribe"}, "metrics.enable_json: true"),
        ({"ue_list": [{"ue_container": {"pci": 1}}], "timestamp": 1.0}, "at least 25.10"),
    ],
)
def test_a_gnb_that_sends_no_metrics_is_told_what_to_set(clock, reply, says):
    gnb = FakeGnb(clock, reply)
    source = load_source({"source": "srsran", "gnb": "1", **gnb.keys()}, clock)
    source.start()
    wait_until(lambda: says in source.problem, says)
    source.close()
    gnb.close()


def test_a_gnb_that_is_subscribed_to_and_silent_is_said_to_hang(gnb, clock):
    source = load_source({"source": "srsran", "gnb": "1", **gnb.keys(), "patience_s": 1}, clock)
    source.start()
    wait_until(lambda: "enable_sched" in source.problem, "the silence is explained")
    source.close()


def test_a_gnb_that_is_not_there_is_told_what_to_enable(clock):
    source = SrsranSource("ws://127.0.0.1:9", "1", clock)
    source.start()
    wait_until(lambda: "remote_control.enabled: true" in source.problem, "a problem is told")
    source.close()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"url": "http://127.0.0.1:8001"}, "url"),
        ({"layers": ["phy"]}, "layers"),
        ({"period_s": 0}, "period_s"),
        ({"gnb": ""}, "gnb"),
        ({"pci": 1008}, "pci"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(changes, key):
    with pytest.raises(InputError) as caught:
        load_source({"source": "srsran", "gnb": "1", "url": "ws://127.0.0.1:8001", **changes}, HandClock())
    assert caught.value.key == key


def test_replies_errors_and_what_no_release_sends_are_told_apart():
    assert decode('{"cmd": "ssb_set", "timestamp": "x"}') == Message(kind=REPLY)
    assert decode('{"error": "no JSON", "timestamp": "x"}') == Message(kind=REPLY, text="no JSON")
    assert decode('{"ue_list": []}').kind == OLD_DIALECT
    assert decode(b"\xff").kind == UNREADABLE
    assert decode('{"new": {"thing": 1}, "timestamp": "x"}') == Message(kind="new")


def test_metrics_that_the_twin_has_too_have_its_units():
    gnbs = (Gnb(cell=1, host="h1", cu="1", ues=1),)
    theirs = {one.name: one for one in Topology(hosts=(Host(name="h1", capacity_cores=4),), gnbs=gnbs).metrics()}
    shared = 0
    for layer in LAYERS.values():
        for stem, unit, kind, _ in layer:
            if other := theirs.get(f"{stem}_1"):
                shared += 1
                assert (unit, kind) == (other.unit, other.kind), stem
                assert other.kind in MetricKind
    assert shared >= 6


def test_many_bearers_are_not_many_reports():
    clock = HandClock()
    source = SrsranSource("ws://127.0.0.1:9", "1", clock, layers=("rlc",))
    start_s = clock.s
    bearer = {"rlc_metrics": {"tx": {"num_sdus": 500, "sum_sdu_latency_us": 1_000_000}}}

    def hear(reports: int) -> float:
        for _ in range(reports):
            clock.s += 1.0
            for place in range(4):
                clock.s += 0.01 * (place > 0)
                source._keep(decode_object(bearer))
        return source.sample(start_s, start_s + 15.0).values["dly_rlc_1"]

    assert math.isnan(hear(5)), "a third of the window"
    assert hear(9) == pytest.approx(2.0)
