from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from bridge.controls.driver import ControlDriver, Proof
from bridge.controls.links import LinkDriver, LinkQuantity
from bridge.controls.traffic_control import NetlinkTrafficControl, Shaping, kernel_lacks
from col.errors import InputError, PlantError, RefusedError, UnreachableError

pytest.importorskip("pyroute2")

NAMES = {
    LinkQuantity.RATE: "rate_mid_1",
    LinkQuantity.DELAY: "delay_mid_1",
    LinkQuantity.JITTER: "jitter_mid_1",
    LinkQuantity.LOSS: "loss_mid_1",
}


class Machine:
    """One workload with one process."""

    def __init__(self, pid: int = 1) -> None:
        self.process = pid

    def pid(self, workload: str, within_s: float) -> int:
        assert workload == "cu_1"
        return self.process

    def started_at(self, workload: str, within_s: float) -> str:
        return "now"

    def restart(self, workload: str, within_s: float) -> None:
        raise AssertionError("nobody asked for a restart")


class Kernel:
    """Traffic control that remembers, and lacks what it is told to."""

    def __init__(self, *lacking: str) -> None:
        self.shaping, self.lacking, self.writes = Shaping(), set(lacking), 0

    def read(self, pid: int, interface: str) -> Shaping:
        return self.shaping

    def write(self, pid: int, interface: str, shaping: Shaping) -> None:
        self.shaping, self.writes = shaping, self.writes + 1

    def lacks(self, discipline: str) -> str:
        return f"this kernel has no {discipline}" if discipline in self.lacking else ""


def driver(
    kernel: Kernel | NetlinkTrafficControl, machine: Machine | None = None, interface: str = "eth0"
) -> LinkDriver:
    return LinkDriver(
        "mid_1",
        NAMES,
        machine or Machine(),
        kernel,
        workload="cu_1",
        interface=interface,
        own_rate_mbps=1000.0,
    )


def test_a_link_that_nobody_shaped_reads_as_it_is() -> None:
    link = driver(Kernel())
    assert isinstance(link, ControlDriver)
    assert dict(link.read(1.0)) == {"rate_mid_1": 1000.0, "delay_mid_1": 0.0, "jitter_mid_1": 0.0, "loss_mid_1": 0.0}
    assert {e.proof for e in link.evidence()} == {Proof.READ_BACK}


def test_what_is_not_named_stays_and_the_own_rate_takes_the_limit_away() -> None:
    kernel = Kernel()
    link = driver(kernel)
    link.apply({"delay_mid_1": 5.0, "rate_mid_1": 100.0}, 1.0)
    link.apply({"loss_mid_1": 1.0}, 1.0)
    assert kernel.shaping == Shaping(rate_mbps=100.0, delay_ms=5.0, loss_percent=1.0)
    link.apply({"rate_mid_1": 1000.0}, 1.0)
    assert kernel.shaping.rate_mbps is None
    assert link.read(1.0)["rate_mid_1"] == 1000.0


def test_without_netem_delay_is_refused_with_the_name_of_the_module_and_the_rate_still_works() -> None:
    kernel = Kernel("netem")
    link = driver(kernel)
    with pytest.raises(RefusedError, match="delay_mid_1 = 5 ms: this kernel has no netem"):
        link.apply({"rate_mid_1": 100.0, "delay_mid_1": 5.0}, 1.0)
    assert kernel.writes == 0
    link.apply({"rate_mid_1": 100.0, "delay_mid_1": 0.0}, 1.0)
    assert kernel.shaping == Shaping(rate_mbps=100.0)
    kernel.lacking.clear()  # somebody loaded the module
    link.apply({"delay_mid_1": 5.0}, 1.0)
    assert kernel.shaping.delay_ms == 5.0


@pytest.mark.parametrize("values", [{"rate_mid_1": 0.0}, {"delay_mid_1": -1.0}, {"loss_mid_1": -0.1}])
def test_what_no_link_has_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(RefusedError, match="no link has that"):
        driver(Kernel()).apply(values, 1.0)


def test_a_link_without_controls_is_bad_input() -> None:
    with pytest.raises(InputError, match="mid_1"):
        LinkDriver("mid_1", {}, Machine(), Kernel(), workload="cu_1", interface="eth0", own_rate_mbps=1.0)


# --- the kernel of this machine ---------------------------------------------------------------------------------------

needs_tbf = pytest.mark.skipif(
    os.geteuid() != 0 or bool(kernel_lacks("tbf")), reason="needs root and a kernel with tbf (sch_tbf)"
)


@pytest.fixture
def namespace() -> Iterator[Machine]:
    """A process in a network namespace of its own, with a pair of interfaces a0 and a1."""
    links = "ip link add a0 type veth peer name a1 && ip link set a0 up && ip link set a1 up"
    process = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", f"{links} && echo ready && exec sleep 600"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        pytest.skip("no network namespace with a veth pair can be made here")
    yield Machine(process.pid)
    process.kill()
    process.wait()


def tc_says(machine: Machine, interface: str = "a0") -> str:
    command = ["nsenter", "-t", str(machine.process), "-n", "tc", "qdisc", "show", "dev", interface]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_tbf
def test_a_rate_is_in_force_in_the_kernel_and_is_read_back_and_taken_away(namespace: Machine) -> None:
    link = driver(NetlinkTrafficControl(), namespace, "a0")
    assert link.read(5.0)["rate_mid_1"] == 1000.0
    for rate in (10.0, 12.5, 500.0):
        link.apply({"rate_mid_1": rate}, 5.0)
        assert link.read(5.0)["rate_mid_1"] == pytest.approx(rate)
        assert "tbf 7a02:" in tc_says(namespace)
    assert "500Mbit" in tc_says(namespace)
    assert "tbf" not in tc_says(namespace, "a1"), "only the interface that was named"
    link.apply({"rate_mid_1": 1000.0}, 5.0)
    link.apply({"rate_mid_1": 1000.0}, 5.0)
    assert "tbf" not in tc_says(namespace)


@needs_tbf
def test_what_somebody_else_put_there_is_left_alone(namespace: Machine) -> None:
    command = "tc qdisc add dev a0 root handle 5: tbf rate 3mbit burst 16kb latency 50ms"
    subprocess.run(["nsenter", "-t", str(namespace.process), "-n", *command.split()], check=True)
    link = driver(NetlinkTrafficControl(), namespace, "a0")
    with pytest.raises(RefusedError, match="shaped by somebody else"):
        link.apply({"rate_mid_1": 10.0}, 5.0)
    assert "qdisc tbf 5: root" in tc_says(namespace)


@needs_tbf
def test_a_process_that_is_gone_is_unreachable_and_an_interface_that_is_not_there_says_so(namespace: Machine) -> None:
    with pytest.raises(PlantError, match="no interface eth7"):
        driver(NetlinkTrafficControl(), namespace, "eth7").read(5.0)
    with pytest.raises(UnreachableError, match="is gone"):
        driver(NetlinkTrafficControl(), Machine(2**22 + 5), "a0").read(5.0)


@needs_tbf
def test_delay_is_in_force_or_refused_by_the_name_of_the_module(namespace: Machine) -> None:
    link = driver(NetlinkTrafficControl(), namespace, "a0")
    if kernel_lacks("netem"):
        with pytest.raises(RefusedError, match="sch_netem"):
            link.apply({"delay_mid_1": 5.0}, 5.0)
        assert tc_says(namespace).startswith("qdisc noqueue")
        return
    link.apply({"delay_mid_1": 5.0, "jitter_mid_1": 1.0, "loss_mid_1": 2.0, "rate_mid_1": 20.0}, 5.0)
    expected = {"rate_mid_1": 20.0, "delay_mid_1": 5.0, "jitter_mid_1": 1.0, "loss_mid_1": 2.0}
    assert dict(link.read(5.0)) == pytest.approx(expected, rel=1e-3)
    link.apply({"delay_mid_1": 0.0, "jitter_mid_1": 0.0, "loss_mid_1": 0.0}, 5.0)
    assert link.read(5.0)["rate_mid_1"] == pytest.approx(20.0)
    link.apply({"delay_mid_1": 3.0}, 5.0)
    link.apply({"rate_mid_1": 1000.0}, 5.0)
    assert dict(link.read(5.0)) == pytest.approx(
        {**dict.fromkeys(expected, 0.0), "rate_mid_1": 1000.0, "delay_mid_1": 3.0}
    )


@needs_tbf
def test_packets_feel_the_rate(namespace: Machine) -> None:
    """A token bucket lets a burst pass at once; what lies beyond it takes its time, however loaded this machine is."""
    driver(NetlinkTrafficControl(), namespace, "a0").apply({"rate_mid_1": 1.0}, 5.0)
    send = (
        "import socket,time\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('a0', 0))\n"
        "frame = bytes(6) + bytes(6) + b'\\x88\\xb5' + bytes(1400)\n"
        "[s.send(frame) for _ in range(100)]\n"
    )
    began = time.monotonic()
    subprocess.run(["nsenter", "-t", str(namespace.process), "-n", "python3", "-c", send], check=False)
    while _sent_bytes(namespace) < 25_000:
        assert time.monotonic() - began < 60.0
        time.sleep(0.05)
    # 16 KiB at once, then 1 Mbit/s: 25 kB take at least (25 000 - 16 384 - one frame) * 8 us.
    assert time.monotonic() - began > 0.05


def _sent_bytes(machine: Machine) -> int:
    command = ["nsenter", "-t", str(machine.process), "-n", "tc", "-s", "qdisc", "show", "dev", "a0"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(said.split("Sent ")[1].split()[0])
