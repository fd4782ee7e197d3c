"""Controls beyond CPU and memory on real containers: a link in a namespace, a number that needs a restart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.backends.docker import DockerBackend
from bridge.controls.traffic_control import kernel_lacks
from bridge.inventory_reader import load_inventory
from col.errors import PlantError, RefusedError
from tests.bridge.docker_world import CALL_S, DockerWorld, docker_world, inventory, needs_docker, wait_until

pytestmark = needs_docker
needs_links = pytest.mark.skipif(
    os.geteuid() != 0 or bool(kernel_lacks("tbf")), reason="links need root and a kernel with tbf (sch_tbf)"
)

EXTRA = """
[links.mid_1]
of = "cu_1"
interface = "lo"
[controls.rate_mid_1]
kind = "link_rate"
of = "mid_1"
unit = "Mbit/s"
lower = 1
upper = 1000
resolution = 1
reference = 1000
[controls.delay_mid_1]
kind = "link_delay"
of = "mid_1"
unit = "ms"
lower = 0
upper = 20
resolution = 1
reference = 0
[controls.gain]
kind = "config"
of = "du_1"
file = "du_1.yml"
outage_s = 1
allowed = true
unit = "dB"
lower = 0
upper = 60
resolution = 1
reference = 10
"""


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with docker_world() as made:
        yield made


@pytest.fixture
def backend(world: DockerWorld, tmp_path: Path) -> Iterator[DockerBackend]:
    (tmp_path / "du_1.yml").write_text("tx_gain: 10  # rantwin: gain\n")
    path = inventory(world, tmp_path, window_s=60.0, extra=EXTRA)
    backend = DockerBackend(load_inventory(path), CALL_S, state=tmp_path / "state")
    yield backend
    backend.close()


@needs_links
def test_a_links_rate_is_set_beside_cpu_read_back_and_gone_with_the_container(
    world: DockerWorld, backend: DockerBackend
) -> None:
    before = backend.read().controls
    assert before["rate_mid_1"] == 1000.0
    claimed = backend.apply({"rate_mid_1": 50.0, "cpu_du_1": 0.5}, settle_s=0.0)
    assert dict(claimed.controls) == pytest.approx({**before, "rate_mid_1": 50.0, "cpu_du_1": 0.5})
    world.container("cu_1").restart(timeout=0)
    assert backend.read().controls["rate_mid_1"] == 1000.0, "another namespace: what was set is gone, and reads so"
    backend.apply({"cpu_du_1": before["cpu_du_1"]}, settle_s=0.0)


@needs_links
def test_a_delay_that_the_kernel_cannot_do_leaves_everything_else_of_the_request_undone(
    backend: DockerBackend,
) -> None:
    if not kernel_lacks("netem"):
        pytest.skip("this kernel has netem")
    before = dict(backend.read().controls)
    with pytest.raises(RefusedError, match="sch_netem"):
        backend.apply({"cpu_du_1": 0.5, "rate_mid_1": 50.0, "delay_mid_1": 5.0}, settle_s=0.0)
    assert dict(backend.read().controls) == pytest.approx(before)


def test_a_number_that_needs_a_restart_is_in_force_once_the_container_has_started_anew(
    world: DockerWorld, backend: DockerBackend
) -> None:
    started = world.container("du_1").attrs["State"]["StartedAt"]
    (control,) = (c for c in backend.describe().plant.controls if c.name == "gain")
    assert control.live, "allowed: to the gate it may be changed"
    backend.apply({"gain": 20.0}, settle_s=0.0)

    def is_in_force() -> bool:
        try:
            return backend.read().controls["gain"] == 20.0
        except PlantError:  # on its way to a new start
            return False

    wait_until(is_in_force, "gain = 20")
    assert world.container("du_1").attrs["State"]["StartedAt"] != started
    backend.apply({"gain": 10.0}, settle_s=0.0)
