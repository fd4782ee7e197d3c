from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from bridge.telemetry.exposition import parse_text, total
from bridge.telemetry.open5gs import Open5gsSource
from bridge.telemetry.registry import load_source
from bridge.telemetry.source import TelemetrySource
from col.errors import InputError
from tests.bridge.telemetry_contract import PATIENCE_S, HandClock, Peer, TelemetryContract, wait_until

AMF = """\
# HELP gnb gNodeBs
# TYPE gnb gauge
gnb 4
# HELP ran_ue RAN UEs
# TYPE ran_ue gauge
ran_ue 7
# TYPE fivegs_amffunction_rm_reginitreq counter
fivegs_amffunction_rm_reginitreq {asked}
# TYPE fivegs_amffunction_rm_reginitsucc counter
fivegs_amffunction_rm_reginitsucc{{plmnid="00101",snssai="1"}} {done}
fivegs_amffunction_rm_regtime_bucket{{le="+Inf"}} 3
process_cpu_seconds_total 12.5
"""
SMF = """\
ues_active 7
fivegs_smffunction_sm_sessionnbr{{plmnid="00101",snssai="1-ffffff"}} 5
fivegs_smffunction_sm_sessionnbr{{plmnid="00101",snssai="2"}} 2
fivegs_smffunction_sm_qos_flow_nbr{{plmnid="00101",snssai="1",fiveqi="9"}} 7
fivegs_smffunction_sm_pdusessioncreationreq{{plmnid="00101",snssai="1"}} {asked}
fivegs_smffunction_sm_pdusessioncreationsucc{{plmnid="00101",snssai="1"}} {done}
"""
UPF = """\
fivegs_ep_n3_gtp_indatapktn3upf {pkt_in}
fivegs_ep_n3_gtp_outdatapktn3upf {pkt_out}
fivegs_ep_n3_gtp_indatavolumeqosleveln3upf{{qfi="1"}} {in}
fivegs_ep_n3_gtp_indatavolumeqosleveln3upf{{qfi="2"}} 1000
fivegs_ep_n3_gtp_outdatavolumeqosleveln3upf{{qfi="1"}} {out}
fivegs_upffunction_upf_sessionnbr 7
pfcp_peers_active 1
"""
GNBS = {
    "items": [{"gnb_id": 411, "num_connected_ues": 4}, {"gnb_id": 412, "num_connected_ues": 3}],
    "pager": {"page": 0, "page_size": 0, "count": 2},
}
SESSIONS = {
    "items": [
        {"supi": "imsi-1", "pdu": [{"psi": 1, "pdu_state": "active"}, {"psi": 2, "pdu_state": "inactive"}]},
        {"supi": "imsi-2", "pdu": [{"psi": 1, "pdu_state": "active"}, {"psi": 2, "pdu_state": "active"}]},
    ],
    "pager": {"page": 0, "page_size": 0, "count": 2},
}


def at(seconds: float) -> dict[str, str]:
    """Return what the three functions say after so many seconds: two registrations a second, 8 and 16 Mbit/s."""
    counts = {"asked": 2 * seconds, "done": 1.5 * seconds}
    packets = {"in": 1e6 * seconds, "out": 2e6 * seconds, "pkt_in": 800 * seconds, "pkt_out": 1600 * seconds}
    return {
        "/amf/metrics": AMF.format(**counts),
        "/amf/gnb-info": json.dumps(GNBS),
        "/smf/metrics": SMF.format(**counts),
        "/smf/pdu-info": json.dumps(SESSIONS),
        "/upf/metrics": UPF.format(**packets),
    }


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class FakeCore(Peer):
    """The metrics servers of a core. Every look of a source waits for `say`, and finds what is said then."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.pages = at(clock.s)
        self.asked: list[str] = []
        self._closed = False
        core = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                core.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self._server = Server(("127.0.0.1", 0), Handler)
        self._port = self._server.server_port
        self._run()

    def _run(self) -> None:
        self._gate = {name: threading.Semaphore(0) for name in ("amf", "smf", "upf")}
        self._closed = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        self.asked.append(request.path)
        if path.endswith("/metrics"):
            self._gate[path.split("/")[1]].acquire(timeout=PATIENCE_S)
        body = self.pages.get(path)
        if self._closed or body is None:
            request.send_error(404)
            return
        assert path.endswith("/metrics") or query == "page=-1"
        request.send_response(200)
        request.end_headers()
        request.wfile.write(body.encode())

    def keys(self) -> Mapping[str, object]:
        return {name: f"http://127.0.0.1:{self._port}/{name}" for name in ("amf", "smf", "upf")} | {
            "poll_s": 0.1,
            "timeout_s": 60,
        }

    def wait_ready(self, source: TelemetrySource) -> None:
        """Every look waits for what is said."""

    def look(self, source: TelemetrySource, *answering: str) -> None:
        """Let each function be looked at once and return when that of those that answer has been noted."""
        assert isinstance(source, Open5gsSource)
        looks, now_s = source._looks, self.clock.s
        for gate in self._gate.values():
            gate.release()
        wait_until(lambda: all(looks[one].between(now_s - 1e-9, now_s) for one in answering or looks), "a look")

    def say(self, source: TelemetrySource, seconds: float) -> None:
        self.pages = at(self.clock.s + seconds)
        self.clock.s += seconds
        self.look(source)

    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        impossible = {
            **at(self.clock.s + seconds),
            "/amf/metrics": "gnb -1\nran_ue 4e18\nfivegs_amffunction_rm_reginitreq NaN\ngnb_x{ 7\n",
            "/amf/gnb-info": "[[[",
            "/smf/metrics": "fivegs_smffunction_sm_sessionnbr Inf\nfivegs_smffunction_sm_qos_flow_nbr many\n",
            "/smf/pdu-info": json.dumps({"items": [None, {"pdu": 3}]}),
            "/upf/metrics": "fivegs_upffunction_upf_sessionnbr -3\nfivegs_ep_n3_gtp_indatapktn3upf -2\n",
        }
        nothing = dict.fromkeys(impossible, "<html>not here</html>")
        says = (impossible, nothing)
        if what >= len(says):
            return False
        self.pages = says[what]
        self.clock.s += seconds
        if what == 0:
            self.look(source)
        else:
            for gate in self._gate.values():
                gate.release()
            wait_until(lambda: source.problem.count("is not that of an") == 3, "a problem is told")
        return True

    def go_away(self) -> None:
        self._closed = True
        for gate in self._gate.values():
            gate.release(50)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def come_back(self) -> bool:
        if self._closed:
            self._server = Server(("127.0.0.1", self._port), self._handler)
            self._run()
        return True

    def close(self) -> None:
        if not self._closed:
            self.go_away()


class TestOpen5gs(TelemetryContract):
    period_s = 0.1
    table: ClassVar = {"source": "open5gs", "gnbs": {"1": 411, "2": 412, "3": 413}}
    expected: ClassVar = {
        "gnbs_core": 4.0, "ues_core": 7.0, "reg_core": 0.75, "reg_fail_core": 0.25, "sess_core": 7.0, "flows_core": 7.0,
        "sess_fail_core": 0.25, "idle_core": 0.25, "sess_upf_core": 7.0, "n3_ul_core": 8.0, "n3_dl_core": 16.0,
        "n3_pkt_ul_core": 800.0, "n3_pkt_dl_core": 1600.0, "ues_core_1": 4.0, "ues_core_2": 3.0, "ues_core_3": 0.0,
    }  # fmt: skip

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeCore(clock)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def core(clock: HandClock) -> Iterator[FakeCore]:
    core = FakeCore(clock)
    yield core
    core.close()


@pytest.fixture
def source(core: FakeCore, clock: HandClock) -> Iterator[TelemetrySource]:
    source = load_source({**TestOpen5gs.table, **core.keys()}, clock)
    source.start()
    yield source
    source.close()


def values_of(core: FakeCore, source: TelemetrySource, *pages: Mapping[str, str]) -> Mapping[str, float]:
    start_s = core.clock.s
    for page in pages:
        core.pages = dict(page)
        core.clock.s += 0.1
        core.look(source)
    return source.sample(start_s, core.clock.s).values


def test_counters_of_n3_that_never_moved_are_compiled_out_and_missing(core, source):
    silent = {
        **at(1),
        "/upf/metrics": UPF.format(**{"in": 0, "out": 0, "pkt_in": 0, "pkt_out": 0}).replace("1000", "0"),
    }
    values = values_of(core, source, *[silent] * 4)
    assert values["sess_upf_core"] == 7.0
    assert all(math.isnan(value) for name, value in values.items() if name.startswith("n3"))


def test_a_counter_that_fell_back_belongs_to_a_restarted_function_and_is_missing(core, source):
    values = values_of(core, source, at(10), at(11), at(0.1), at(1.1))
    assert math.isnan(values["reg_core"])
    assert math.isnan(values["n3_ul_core"])
    assert values["ues_core"] == 7.0


def test_json_information_that_is_not_all_there_is_missing(core, source):
    for cut in ({"items": GNBS["items"], "pager": {"truncated": True}}, {}, {"items": 3}):
        page = {**at(1), "/amf/gnb-info": json.dumps(cut)}
        assert math.isnan(values_of(core, source, page, page)["ues_core_1"])
    without = {path: body for path, body in at(1).items() if "info" not in path}
    values = values_of(core, source, *[without] * 3)
    assert math.isnan(values["ues_core_1"])
    assert math.isnan(values["idle_core"])
    assert values["gnbs_core"] == 4.0


def test_a_function_that_is_down_hides_only_itself(core, source):
    pages = {path: body for path, body in at(1).items() if not path.startswith("/smf")}
    for _ in range(4):
        core.pages = pages
        core.clock.s += 0.1
        core.look(source, "amf", "upf")
    values = source.sample(core.clock.s - 0.4, core.clock.s).values
    assert values["ues_core"] == 7.0
    assert values["sess_upf_core"] == 7.0
    assert math.isnan(values["sess_core"])
    wait_until(lambda: "smf.yaml" in source.problem or "/smf" in source.problem, "the function is named")


def test_only_the_functions_that_are_named_are_offered():
    source = load_source({"source": "open5gs", "upf": "http://127.0.0.7:9090"}, HandClock())
    assert [one.name for one in source.metrics()] == [
        "sess_upf_core", "n3_ul_core", "n3_dl_core", "n3_pkt_ul_core", "n3_pkt_dl_core"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({}, "amf"),
        ({"amf": "127.0.0.5:9090"}, "amf"),
        ({"smf": "https://127.0.0.4:9090"}, "smf"),
        ({"smf": "http://127.0.0.4:port"}, "smf"),
        ({"upf": "http://127.0.0.7:9090", "gnbs": {"1": 411}}, "gnbs"),
        ({"amf": "http://127.0.0.5:9090", "gnbs": {"1": "411"}}, "gnbs"),
        ({"amf": "http://127.0.0.5:9090", "gnbs": [411]}, "gnbs"),
        ({"amf": "http://127.0.0.5:9090", "poll_s": "often"}, "poll_s"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(table, key):
    with pytest.raises(InputError) as caught:
        load_source({"source": "open5gs", **table}, HandClock())
    assert caught.value.key == key


def test_the_text_format_is_read_as_it_is_written():
    text = (
        "# HELP a text\n# TYPE a counter\na 1\n"
        'a{x="1",y="with \\"quotes\\", and, commas"} 2.5e1 1795333184000\n'
        'b{x="}"} +Inf\nc NaN\n{} 3\nd\ne 1 2 3\n  \n'
    )
    samples = parse_text(text)
    assert [one.value for one in samples["a"]] == [1.0, 25.0]
    assert samples["a"][1].labels == {"x": "1", "y": 'with "quotes", and, commas'}
    assert samples["b"][0].labels == {"x": "}"}
    assert total(samples, "a") == 26.0
    assert total(samples, "b") is None
    assert total(samples, "c") is None
    assert total(samples, "d") is None
