"""Kafka against the broker that librdkafka brings for tests: a server of its own sockets that speaks the protocol."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bridge.backends.docker_sampler import workload_metrics
from bridge.telemetry.kafka import KafkaPublisher, KafkaSource, make_publisher
from bridge.telemetry.kafka_columns import read_columns, read_message, write_window
from bridge.telemetry.registry import load_source
from bridge.telemetry.source import TelemetrySource
from bridge.telemetry.units import UNIT_OF, stem_of, unit_factor
from col.errors import InputError, UnreachableError
from col.plant import Provenance, Windows
from tests.bridge.telemetry_contract import HandClock, Peer, TelemetryContract, wait_until
from tests.bridge.wire_world import short_folder, wire_world
from twin.topology import Gnb, Host, Topology

confluent_kafka = pytest.importorskip("confluent_kafka")

COLUMNS = {
    "thp_dl_1": {"column": "DL throughput", "unit": "bit/s"},
    "jit_ul_1": {"column": "UL jitter", "unit": "s"},
    "loss_ul_1": {"column": "UL loss", "unit": "%"},
    "pow_h1": "power",
    "gain_1": {"column": "signal", "ours": "dB"},
}
GOOD = {
    "DL throughput": 9.5e6, "UL jitter": 0.004, "UL loss": 2, "power": 91.5, "signal": -3.0,
    "DU1_cpu_usage_percent": 130.0, "DU1_memory_usage_mb": 2190.0, "CU2_cpu_usage_percent": 20.0,
    "CU2_memory_usage_mb": 2240, "routing_config": 1,
}  # fmt: skip
BAD = {
    "DL throughput": -1, "UL jitter": "0.004", "UL loss": 101, "power": 4.612e12, "signal": 1e9,
    "DU1_cpu_usage_percent": None, "DU1_memory_usage_mb": True, "CU2_cpu_usage_percent": [], "CU2_memory_usage_mb": {},
}  # fmt: skip


class Broker(Peer):
    topic = "measurements"

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self._producer: Any = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._producer.list_topics(timeout=60).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"
        self.send("before anybody listens")

    def send(self, body: str | bytes) -> None:
        self._producer.produce(self.topic, body, key="gnb")
        self._producer.flush(60)

    def keys(self) -> Mapping[str, object]:
        return {"bootstrap": self.bootstrap, "topic": self.topic}

    def wait_ready(self, source: TelemetrySource) -> None:
        assert isinstance(source, KafkaSource)
        wait_until(lambda: source.listening, "the broker is reached")

    def say(self, source: TelemetrySource, seconds: float) -> None:
        self.clock.s += seconds
        self.send(json.dumps(GOOD))
        wait_until(lambda: source.last_heard_s == self.clock.s, "the message is heard")

    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        nonsense = ("{", b"\xff\x00", "", "[" * 10_000, "[1, 2]", "7", json.dumps({"other": 1}), json.dumps(BAD))
        if what < len(nonsense):
            self.clock.s += seconds
            self.send(nonsense[what])
            wait_until(lambda: "without any of the columns" in source.problem, "a problem is told")
        return what < len(nonsense)

    def go_away(self) -> None:
        self._producer = None
        gc.collect()

    def close(self) -> None:
        self.go_away()


class TestKafka(TelemetryContract):
    table: ClassVar = {"source": "kafka", "dus": ["1"], "cus": ["2"], "columns": COLUMNS}
    expected: ClassVar = {
        "thp_dl_1": 9.5, "jit_ul_1": 4.0, "loss_ul_1": 0.02, "pow_h1": 91.5, "gain_1": -3.0, "cpuu_du_1": 1.3,
        "memu_du_1": 2190e6 / 2**20, "cpuu_cu_2": 0.2, "memu_cu_2": 2240e6 / 2**20,
    }  # fmt: skip

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return Broker(clock)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def broker(clock: HandClock) -> Iterator[Broker]:
    broker = Broker(clock)
    yield broker
    broker.close()


def make_windows() -> Windows:
    return Windows(
        sequence=np.array([7, 8]),
        start_s=np.array([1000.0, 1015.0]),
        end_s=np.array([1015.0, 1030.0]),
        run=np.array([1, 1]),
        controls={"cpu_du_1": np.array([0.8, 0.8])},
        metrics={"thp_dl_1": np.array([9.5, math.nan]), "pow_h1": np.array([91.0, 92.0])},
        provenance={"thp_dl_1": Provenance.MEASURED, "pow_h1": Provenance.ESTIMATED},
    )


def test_our_windows_are_published_in_the_testbeds_columns_and_heard_again(broker, clock):
    columns = read_columns(COLUMNS)
    source = load_source({**TestKafka.table, **broker.keys()}, clock)
    source.start()
    broker.wait_ready(source)
    publisher = KafkaPublisher(broker.bootstrap, broker.topic, columns=columns)
    clock.s = 1015.0
    windows = make_windows()
    publisher.publish(windows.take(slice(0, 1)))
    wait_until(lambda: source.last_heard_s == 1015.0, "the first window is heard")
    clock.s = 1030.0
    publisher.publish(windows.take(slice(1, 2)))
    wait_until(lambda: source.last_heard_s == 1030.0, "the second window is heard")
    publisher.close()
    first, second = source.sample(1000.0, 1015.0).values, source.sample(1015.0, 1030.0).values
    assert first["thp_dl_1"] == pytest.approx(9.5)
    assert first["pow_h1"] == 91.0
    assert math.isnan(second["thp_dl_1"])
    assert second["pow_h1"] == 92.0
    later = source.sample(1007.0, 1022.0).values
    assert all(math.isnan(value) for value in later.values()), "half of that message is from before the window"
    source.close()


def test_a_published_window_says_all_that_it_is():
    row = json.loads(write_window(make_windows(), 1, read_columns(COLUMNS)))
    assert row == {
        "sequence": 8, "start_s": 1015.0, "end_s": 1030.0, "cpu_du_1": 0.8, "DL throughput": None, "power": 92.0,
        "estimated": ["power"],
    }  # fmt: skip


def test_a_broker_that_is_not_there_takes_no_windows():
    publisher = KafkaPublisher("127.0.0.1:9", "t", timeout_s=2.0)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        publisher.publish(make_windows())
    publisher.close()


def test_an_agent_publishes_the_windows_that_it_records_from_its_start_on(broker, clock):
    source = load_source({**TestKafka.table, **broker.keys(), "columns": {"thp_dl_1": "late_a"}}, clock)
    source.start()
    broker.wait_ready(source)
    publish = {"kafka": broker.bootstrap, "topic": broker.topic}
    with short_folder() as folder, wire_world(folder, publish=publish) as world:
        wait_until(lambda: source.last_heard_s is not None, "a window of the agent is heard")
        recorded = len(world.client.windows(0, 10))
    assert recorded > 0
    source.close()


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"topic": "t"}, "publish: kafka: missing"),
        ({"kafka": "127.0.0.1:9", "topic": ""}, "publish: topic"),
        ({"kafka": "127.0.0.1:9", "topic": "t", "topc": "t"}, "publish: topc = 't': no such key"),
    ],
)
def test_a_wrong_table_of_publishing_gets_one_line(table, line):
    with pytest.raises(InputError) as caught:
        make_publisher(table)
    assert line in str(caught.value)


def test_what_waited_at_a_broker_that_was_away_is_of_the_time_when_it_was_sent(clock):
    source = KafkaSource("127.0.0.1:9", "t", clock, columns=read_columns({"thp_dl_1": "dl", "thp_ul_1": "ul"}))
    bodies = [json.dumps({"dl": float(n)}).encode() for n in range(30)]
    source._keep([*bodies, b'{"ul": 4.0}'])  # another one's columns, of now as well
    values = source.sample(clock.s - 15.0, clock.s).values
    assert values["thp_dl_1"] == pytest.approx(np.mean(range(15, 30)))
    assert source.sample(clock.s - 1.0, clock.s).values["thp_ul_1"] == 4.0
    assert source.last_heard_s == clock.s
    clock.s += 15.0
    assert math.isnan(source.sample(clock.s - 15.0, clock.s).values["thp_dl_1"])


def test_a_span_of_its_own_goes_before_the_period_of_the_table():
    columns = read_columns({"pow_h1": "p"})
    assert read_message(b'{"p": 5, "start_s": 3, "end_s": 10}', columns) == (7.0, {"pow_h1": 5.0})
    assert read_message(b'{"p": 5, "start_s": 10, "end_s": 3}', columns) == (None, {"pow_h1": 5.0})
    assert read_message(None, columns) == (None, {})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"columns": {}}, "columns"),
        ({"columns": {"thp_dl_1": {"column": "x", "unit": "ms"}}}, None),
        ({"columns": {"thp_dl_1": {"unit": "Mbit/s"}}}, None),
        ({"columns": {"colour_1": "x"}}, None),
        ({"columns": {"thp_dl_1": "x", "thp_ul_1": "x"}}, None),
        ({"period_s": -1}, "period_s"),
        ({"bootstrap": ""}, "bootstrap"),
    ],
)
def test_a_wrong_table_is_refused(changes, key):
    table = {"source": "kafka", "bootstrap": "h:9092", "topic": "t", "columns": {"thp_dl_1": "x"}, **changes}
    with pytest.raises(InputError) as caught:
        load_source(table, HandClock())
    assert caught.value.key == (key or "") or "columns" in str(caught.value)


def test_units_convert_and_what_does_not_is_refused():
    assert unit_factor("bit/s", "Mbit/s") == pytest.approx(1e-6)
    assert unit_factor("B/s", "Mbit/s") == pytest.approx(8e-6)
    assert unit_factor("% of a core", "core") == pytest.approx(0.01)
    assert unit_factor("s", "ms") == pytest.approx(1e3)
    with pytest.raises(InputError, match=r"Mbit/s"):
        unit_factor("ms", "Mbit/s")


def test_units_of_metrics_are_those_of_the_docker_backend():
    for metric in workload_metrics(["du_1", "cu_1"]):
        if (unit := UNIT_OF.get(stem_of(metric.name))) is not None:
            assert unit == metric.unit, metric.name


def test_units_of_metrics_are_those_of_the_twin():
    gnbs = (Gnb(cell=1, host="h1", cu="1", ues=1),)
    metrics = Topology(hosts=(Host(name="h1", capacity_cores=4),), gnbs=gnbs).metrics()
    shared = [one for one in metrics if stem_of(one.name) in UNIT_OF]
    assert len(shared) >= 12
    assert {one.name: one.unit for one in shared} == {one.name: UNIT_OF[stem_of(one.name)] for one in shared}
