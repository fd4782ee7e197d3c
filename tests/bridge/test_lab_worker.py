from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from pathlib import Path
from time import monotonic_ns, sleep, thread_time_ns

import pytest

from bridge.inventory_reader import parse_inventory
from bridge.lab.engine import LabPlan, engine_address
from bridge.lab.image import image_files
from bridge.lab.inventory_text import inventory_text
from bridge.lab.worker.cu import _older, own_quota_cores
from bridge.lab.worker.du import FRAME, Grants, Queue
from bridge.lab.worker.ends import flows_of
from bridge.lab.worker.packets import HEADER, PASSED, drain_stamped, open_socket, send, stamp
from bridge.lab.worker.traffic import read_load
from bridge.lab.worker.work import Chance, Work
from col.errors import InputError
from col.plant import Control

WORKER = Path(__file__).parent.parent.parent / "bridge" / "lab" / "worker"


def packet(entered_ns: int, payload: int = 100) -> bytes:
    return HEADER.pack(0, 1, entered_ns, entered_ns) + bytes(payload)


def test_a_queue_grants_only_what_is_old_enough_and_lets_a_packet_go_with_its_last_bit() -> None:
    queue = Queue(most=10)
    queue.put(packet(100))
    queue.put(packet(200))
    queue.ripen(150)
    assert (queue.bits, queue.ready_bits) == (1600, 800)
    assert queue.take(500) == []
    assert queue.take(300) == [packet(100)]
    queue.ripen(200)
    assert queue.take(800) == [packet(200)]
    assert (queue.bits, queue.ready_bits) == (0, 0)


def test_a_full_queue_drops_what_comes_and_counts_it() -> None:
    queue = Queue(most=2)
    for entered in (1, 2, 3):
        queue.put(packet(entered))
    assert queue.dropped == 1
    assert queue.bits == 1600


def test_a_datagram_arrived_when_the_kernel_had_it_and_not_when_somebody_looked() -> None:
    late_ns = []
    with open_socket(0, stamps=True) as receiver, open_socket(0) as sender:
        for number in range(200):
            send(sender, packet(number), ("127.0.0.1", receiver.getsockname()[1]))
            sent = monotonic_ns()
            sleep(0.2)
            ((data, arrived),) = drain_stamped(receiver)
            assert data == packet(number)
            late_ns.append(arrived - sent)
            # A kernel that stamps for nobody else begins a moment after it was asked.
            if abs(late_ns[-1]) < 100_000_000:
                return
    raise AssertionError(f"every stamp is that of the look: {late_ns[-5:]} ns after")


def test_grants_fill_slots_one_after_the_other_up_to_the_frame() -> None:
    grants = Grants(bits_per_prb=100.0, cap_prb=10.5)  # 1000 bits a slot: PRBs are whole
    assert grants.grant(0) == (0, 0.0)
    assert grants.grant(1) == (1, 1.0)
    assert grants.grant(2050) == (3, 21.0)
    assert grants.give == 2050
    assert grants.grant(1_000_000) == (FRAME, 10.0 * FRAME)
    assert grants.give == 1000 * FRAME


def test_grants_whose_feedback_was_lost_come_first_and_carry_nothing_new() -> None:
    grants = Grants(bits_per_prb=100.0, cap_prb=10.0)
    grants.lose(2)
    assert grants.grant(500) == (1, 5.0), "nothing was sent yet that could be lost"
    grants.carry(1, 5.0)
    grants.lose(FRAME + 1)
    slots, prb = grants.grant(5000)
    assert (slots, prb, grants.give) == (FRAME, 5.0 * FRAME, 0)
    grants.carry(slots, prb)
    slots, prb = grants.grant(1000)
    assert (slots, prb, grants.give) == (2, 15.0, 1000)
    grants.carry(slots, prb)
    assert (grants.blocks, grants.retransmitted) == (2, FRAME + 1)
    assert grants.grant(1000) == (1, 10.0)


def test_work_uses_the_cpu_time_it_is_told_to_and_what_was_used_before_counts() -> None:
    work = Work()
    before = thread_time_ns()
    for _ in range(10):
        work.do(1.0)
    used_ms = (thread_time_ns() - before) * 1e-6
    assert used_ms >= 9.9
    while thread_time_ns() - before < 11_500_000:  # expenses of its own: less than what is remembered
        pass
    work.do(1.0)
    assert thread_time_ns() - before < 1_000_000_000


def test_factors_of_chance_have_a_mean_of_one_and_the_variation_asked_for() -> None:
    chance = Chance(0.2, seed=3)
    drawn = [chance.next() for _ in range(4096)]
    mean = sum(drawn) / len(drawn)
    spread = (sum((one - mean) ** 2 for one in drawn) / len(drawn)) ** 0.5
    assert mean == pytest.approx(1.0, abs=0.02)
    assert spread == pytest.approx(0.2, rel=0.1)
    assert drawn[0] == Chance(0.2, seed=3).next() != Chance(0.2, seed=4).next()


def test_a_cu_takes_packets_in_the_order_in_which_they_came_whatever_their_direction() -> None:
    assert _older((deque(), deque())) is None
    assert _older((deque([(5, b"")]), deque())) == 0
    assert _older((deque(), deque([(5, b"")]))) == 1
    assert _older((deque([(5, b"")]), deque([(4, b""), (9, b"")]))) == 1
    assert _older((deque([(4, b"")]), deque([(5, b"")]))) == 0


def test_a_cu_finds_its_own_limit_in_cgroups_of_both_versions(tmp_path: Path) -> None:
    assert own_quota_cores(tmp_path) == float("inf")
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("12000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert own_quota_cores(tmp_path) == pytest.approx(0.12)
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert own_quota_cores(tmp_path) == float("inf")
    (tmp_path / "cpu.max").write_text("5000 100000\n")
    assert own_quota_cores(tmp_path) == pytest.approx(0.05)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert own_quota_cores(tmp_path) == float("inf")


def test_both_ends_number_flows_alike_and_a_stamp_keeps_all_but_its_own_time() -> None:
    flows = flows_of(["1", "3"], 5201)
    assert [(f.number, f.gnb, f.way, f.port) for f in flows] == [
        (0, "1", "ul", 5201), (1, "1", "dl", 5202), (2, "3", "ul", 5203), (3, "3", "dl", 5204),
    ]  # fmt: skip
    before = packet(42)
    after = stamp(before)
    assert after[HEADER.size :] == before[HEADER.size :]
    assert HEADER.unpack_from(after)[:3] == (0, 1, 42)
    assert HEADER.unpack_from(after)[PASSED] > 42


@pytest.mark.parametrize("text", ["", "[]", '{"1": 3}', '{"1": {"dl": 1}}', '{"1": {"dl": "x", "ul": 1}}'])
def test_a_load_that_cannot_be_read_just_now_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    assert read_load(path) == {}
    path.write_text(text)
    assert read_load(path) == {}
    path.write_text(json.dumps({"1": {"dl": 2, "ul": 1.5}}))
    assert read_load(path) == {"1": {"dl": 2.0, "ul": 1.5}}


def test_the_worker_imports_nothing_but_the_standard_library() -> None:
    ask = (
        f"import sys; sys.path.insert(0, {str(WORKER.parent)!r}); import worker.__main__; "
        "found = {name.partition('.')[0] for name in sys.modules} - {'worker', '__main__'}; "
        "print(sorted(found - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_image_has_python_its_library_what_it_links_to_and_iperf3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.lab.image.find_iperf3", lambda: Path(sys.executable).resolve())
    files = image_files()
    assert "/usr/bin/iperf3" in files
    assert any(name.endswith("/os.py") for name in files)
    assert any("encodings" in name for name in files)
    assert any("libc.so" in name for name in files)
    assert not any("site-packages" in name for name in files)
    assert all(path.is_file() for path in files.values())


def test_the_inventory_of_a_lab_is_one_that_the_backend_reads(tmp_path: Path) -> None:
    plan = LabPlan(
        name="lab-a", folder=tmp_path, gnbs=("1", "2"), limits_cores={}, load_mbps={}, du_cost={}, cu_cost={}, cell={},
        payload_bytes=1448,
    )  # fmt: skip
    ranges = {
        f"cpu_{role}": Control(
            name=f"cpu_{role}_1", unit="core", lower=0.02, upper=top, resolution=0.002, reference=0.1
        )
        for role, top in (("du", 0.24), ("cu", 0.14))
    }
    inventory = parse_inventory(inventory_text(plan, window_s=3.0, ranges=ranges), source="i.toml", folder=tmp_path)
    assert [entry.control.name for entry in inventory.controls] == ["cpu_du_1", "cpu_du_2", "cpu_cu_1", "cpu_cu_2"]
    assert inventory.control("cpu_cu_2").control.upper == 0.14
    assert inventory.workloads["du_2"].name == plan.container("du_2") == "lab-a-du-2"
    assert inventory.window_s == 3.0


def test_an_engine_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://somewhere:2376")
    with pytest.raises(InputError, match="DOCKER_HOST"):
        engine_address()
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    assert engine_address() == "unix:///run/other.sock"
    monkeypatch.delenv("DOCKER_HOST")
    assert engine_address() == "unix:///var/run/docker.sock"
