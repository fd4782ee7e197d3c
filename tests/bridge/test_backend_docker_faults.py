"""What can happen to containers and engines, each on real ones, and what the backend says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.backends.docker import DockerBackend
from bridge.backends.docker_tunnel import Tunnel
from bridge.inventory_reader import load_inventory
from col.errors import OutcomeUnknownError, RefusedError, UnreachableError
from col.plant import Windows
from tests.bridge.docker_world import (
    CALL_S,
    KEYS,
    SOCKET,
    DockerWorld,
    Proxy,
    docker_world,
    inventory,
    needs_docker,
    wait_until,
)

pytestmark = needs_docker

STATS_WINDOW_S = 4.0
"""An engine takes up to a second to say what a container has used; that has to be a small part of a window."""
H2 = """
[hosts.h2]
docker = "unix://{socket}"
cgroup = ""
"""


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with docker_world() as made:
        yield made


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path / "engine.sock")
    yield proxy
    proxy.mode = "pass"
    proxy.close()


@pytest.fixture
def make(world: DockerWorld, tmp_path: Path) -> Iterator[Callable[..., DockerBackend]]:
    """A backend on the containers, all of which run and have their reference limits when it is made."""
    for key in KEYS:
        container = world.container(key)
        if container.status != "running":
            container.restart(timeout=0)
    made: list[DockerBackend] = []

    def make(*, call_s: float = CALL_S, **changes: object) -> DockerBackend:
        path = inventory(world, tmp_path, **changes)  # type: ignore[arg-type]
        backend = DockerBackend(load_inventory(path), call_s)
        made.append(backend)
        return backend

    plain = make()
    plain.apply(plain.describe().plant.reference.values, settle_s=0.0)
    yield make
    for backend in made:
        backend.close()


def next_windows(backend: DockerBackend, n: int = 1) -> Windows:
    """Return windows that begin from now on."""
    since = backend.read().next_sequence
    wait_until(lambda: len(backend.windows(since, 100)) >= n, f"{n} windows")
    return backend.windows(since, 100)


def some_window(backend: DockerBackend, is_right: Callable[[Windows], object]) -> Windows:
    """Return the first window from now on that is as it should be."""
    since = backend.read().next_sequence
    found: list[Windows] = []

    def look() -> bool:
        windows = backend.windows(since, 1000)
        found[:] = [one for i in range(len(windows)) if is_right(one := windows.take(slice(i, i + 1)))]
        return bool(found)

    wait_until(look, "a window such as that")
    return found[0]


def test_a_limit_below_the_need_shows_in_cpu_time_and_throttling(make: Callable[..., DockerBackend]) -> None:
    backend = make()
    backend.apply({"cpu_du_1": 0.02}, settle_s=0.1)
    window = some_window(backend, lambda w: w.metrics["thrp_du_1"][0] > 0)
    assert 0.0 < window.metrics["cpuu_du_1"][0] < 0.1
    assert 0.0 < window.metrics["stall_du_1"][0] <= 1.0
    assert window.controls["cpu_du_1"][0] == pytest.approx(0.02)
    assert window.metrics["memu_du_1"][0] > 0.0


def test_an_engines_statistics_and_the_kernels_files_say_the_same(make: Callable[..., DockerBackend]) -> None:
    backend = make(elsewhere=("du_2", "cu_2"), extra=H2.format(socket=SOCKET), window_s=STATS_WINDOW_S)
    backend.apply({"cpu_du_1": 0.02, "cpu_du_2": 0.02}, settle_s=0.1)
    assert "engines' statistics" in " ".join(backend.describe().plant.notes)
    window = some_window(backend, lambda w: w.metrics["thrp_du_1"][0] > 0 and w.metrics["thrp_du_2"][0] > 0)
    for name in ("cpuu", "stall", "memu"):
        assert window.metrics[f"{name}_du_2"][0] > 0.0
    assert window.metrics["cpuu_du_2"][0] < 0.1
    assert window.controls["cpu_du_2"][0] == pytest.approx(0.02)
    assert backend.read().controls["mem_du_2"] == 64.0


def test_a_limit_as_a_quota_and_no_limit_at_all_are_read_and_set_too(
    world: DockerWorld, make: Callable[..., DockerBackend], tmp_path: Path
) -> None:
    world.run("quota", cpu_quota=30_000, cpu_period=50_000)
    world.run("free", mem_limit=0)
    tables = {key: f'host = "h1"\ncontainer = "{world.name(name)}"' for key, name in
              (("du_1", "quota"), ("du_2", "free"))}  # fmt: skip
    backend = make(other=tables)
    has = world.client.info()
    reading = backend.read()
    assert reading.controls["cpu_du_1"] == pytest.approx(0.6)
    assert reading.controls["cpu_du_2"] == has["NCPU"]
    assert reading.controls["mem_du_2"] == pytest.approx(has["MemTotal"] / 2**20)
    backend.apply({"cpu_du_1": 0.5, "cpu_du_2": 0.7, "mem_du_2": 32}, settle_s=0.0)
    after = backend.read().controls
    assert (after["cpu_du_1"], after["cpu_du_2"], after["mem_du_2"]) == pytest.approx((0.5, 0.7, 32.0))


# --- containers -------------------------------------------------------------------------------------------------------


def test_a_dead_container_has_no_metrics_and_keeps_and_takes_limits(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make()
    assert np.isfinite(next_windows(backend).metrics["cpuu_du_1"][0])
    world.kill("du_1")
    window = next_windows(backend)
    assert np.isnan(window.metrics["cpuu_du_1"][-1])
    assert np.isfinite(window.metrics["cpuu_du_2"][-1])
    assert backend.read().controls["cpu_du_1"] == 1.0
    backend.apply({"cpu_du_1": 0.5}, settle_s=0.0)
    assert backend.read().controls["cpu_du_1"] == 0.5
    world.container("du_1").start()
    assert backend.read().controls["cpu_du_1"] == 0.5
    some_window(backend, lambda w: np.isfinite(w.metrics["cpuu_du_1"][0]))


def test_a_restart_is_a_new_run_and_no_window_reaches_over_it(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make()
    before = next_windows(backend)
    world.container("du_1").restart(timeout=0)
    after = some_window(backend, lambda w: np.isfinite(w.metrics["cpuu_du_1"][0]))
    assert after.run[0] > before.run[0]
    between = backend.windows(int(before.sequence[0]), 1000)
    between = between.take(between.sequence < after.sequence[0])
    assert np.isnan(between.metrics["cpuu_du_1"]).any()
    assert (between.metrics["cpuu_du_1"][np.isfinite(between.metrics["cpuu_du_1"])] >= 0.0).all()


def test_a_container_that_is_gone_is_out_of_reach_and_nothing_else_is_touched(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make()
    backend.read()
    world.container("cu_2").remove(force=True)
    try:
        with pytest.raises(UnreachableError, match=world.name("cu_2")):
            backend.read()
        with pytest.raises(UnreachableError, match=world.name("cu_2")):
            backend.apply({"cpu_du_1": 0.4, "cpu_cu_2": 0.4}, settle_s=0.0)
        assert world.container("du_1").attrs["HostConfig"]["NanoCpus"] == 1_000_000_000
    finally:
        world.run("cu_2")
    assert backend.read().controls["cpu_cu_2"] == 1.0
    some_window(backend, lambda w: np.isfinite(w.metrics["cpuu_cu_2"][0]))


def test_what_somebody_else_sets_is_read_and_a_window_of_two_values_has_none(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make()
    since = backend.read().next_sequence
    world.client.api._post_json(
        world.client.api._url("/containers/{0}/update", world.name("du_1")), data={"NanoCpus": 300_000_000}
    )
    assert backend.read().controls["cpu_du_1"] == pytest.approx(0.3)
    some_window(backend, lambda w: w.controls["cpu_du_1"][0] == pytest.approx(0.3))
    seen = backend.windows(since - 1, 1000).controls["cpu_du_1"]
    assert all(np.isnan(v) or v in (1.0, 0.3) for v in seen)


# --- engines ----------------------------------------------------------------------------------------------------------


def test_an_engine_that_hangs_costs_the_time_of_a_call_and_takes_no_window_away(
    make: Callable[..., DockerBackend], proxy: Proxy
) -> None:
    backend = make(docker=f"unix://{proxy.path}", call_s=2.0)
    next_windows(backend)
    proxy.mode = "hang"
    with pytest.raises(UnreachableError, match="timed out"):
        backend.read()
    with pytest.raises(UnreachableError, match="timed out"):
        backend.apply({"cpu_du_1": 0.4}, settle_s=0.0)
    last = int(backend.windows(0, 10_000).sequence[-1])
    wait_until(lambda: len(backend.windows(last + 1, 10)) >= 2, "windows while the engine hangs")
    assert np.isfinite(backend.windows(last + 1, 10).metrics["cpuu_du_1"]).any()
    proxy.mode = "pass"
    assert backend.read().controls["cpu_du_1"] == 1.0


def test_one_engine_that_hangs_leaves_the_windows_of_the_other_host(
    make: Callable[..., DockerBackend], proxy: Proxy
) -> None:
    backend = make(elsewhere=("du_2", "cu_2"), extra=H2.format(socket=proxy.path), call_s=5.0, window_s=STATS_WINDOW_S)
    some_window(backend, lambda w: np.isfinite(w.metrics["cpuu_du_2"][0]))
    proxy.mode = "hang"
    last = int(backend.windows(0, 10_000).sequence[-1])
    wait_until(
        lambda: any(
            np.isnan(w.metrics["cpuu_du_2"][i]) and np.isfinite(w.metrics["cpuu_du_1"][i])
            for w in [backend.windows(last + 1, 1000)]
            for i in range(len(w))
        ),
        "a window of one host alone",
    )
    with pytest.raises(UnreachableError, match="h2"):
        backend.read()
    proxy.mode = "pass"
    assert backend.read().controls["cpu_du_2"] == 1.0
    some_window(backend, lambda w: np.isfinite(w.metrics["cpuu_du_2"][0]))


def test_an_answer_that_is_lost_leaves_the_outcome_unknown_and_the_effect_in_force(
    make: Callable[..., DockerBackend], proxy: Proxy
) -> None:
    backend = make(docker=f"unix://{proxy.path}")
    proxy.mode = "lose"
    with pytest.raises(OutcomeUnknownError):
        backend.apply({"cpu_du_1": 0.4}, settle_s=0.0)
    proxy.mode = "pass"
    assert backend.read().controls["cpu_du_1"] == pytest.approx(0.4)
    next_windows(backend)  # they go on


def test_an_engine_that_goes_away_for_good_is_out_of_reach(make: Callable[..., DockerBackend], proxy: Proxy) -> None:
    backend = make(docker=f"unix://{proxy.path}")
    backend.read()
    proxy.close()
    proxy.path.unlink()
    with pytest.raises((UnreachableError, OutcomeUnknownError)):
        backend.apply({"cpu_du_1": 0.4}, settle_s=0.0)
    with pytest.raises(UnreachableError):
        backend.read()


# --- automation, restarts ---------------------------------------------------------------------------------------------


def test_automation_is_a_container_that_is_paused(world: DockerWorld, make: Callable[..., DockerBackend]) -> None:
    world.run("scaler")
    backend = make(extra=f'[automation]\nhost = "h1"\ncontainer = "{world.name("scaler")}"\n')
    assert backend.read().automation
    backend.set_automation(False)
    assert not backend.read().automation
    assert world.container("scaler").status == "paused"
    backend.set_automation(False)
    backend.set_automation(True)
    assert backend.read().automation
    world.kill("scaler")
    assert not backend.read().automation
    with pytest.raises(RefusedError, match="does not run"):
        backend.set_automation(True)


def test_a_testbed_without_automation_refuses_to_let_it_go_on(make: Callable[..., DockerBackend]) -> None:
    with pytest.raises(RefusedError, match="no automation"):
        make().set_automation(True)


def test_a_memory_limit_below_what_is_in_use_is_refused(
    world: DockerWorld, make: Callable[..., DockerBackend], tmp_path: Path
) -> None:
    folder = tmp_path / "cgroup" / "docker" / world.container("du_1").id
    folder.mkdir(parents=True)
    for name, text in {
        "cpu.stat": "usage_usec 5000000\nuser_usec 1\nsystem_usec 1\nnr_periods 40\nnr_throttled 4\nthrottled_usec 9\n",
        "cpu.max": "100000 100000\n",
        "memory.max": f"{64 * 2**20}\n",
        "memory.current": f"{40 * 2**20}\n",
        "memory.stat": f"anon 1\ninactive_file {8 * 2**20}\n",
    }.items():
        (folder / name).write_text(text)
    backend = make(cgroup=str(tmp_path / "cgroup"))
    assert backend.read().controls["mem_du_1"] == 64.0
    with pytest.raises(RefusedError, match="32 MiB are in use"):
        backend.apply({"mem_du_1": 30.0, "cpu_du_1": 0.3}, settle_s=0.0)
    assert world.container("du_1").attrs["HostConfig"]["NanoCpus"] == 1_000_000_000


# --- ssh --------------------------------------------------------------------------------------------------------------


def test_a_tunnel_that_ssh_cannot_make_says_what_ssh_says() -> None:
    tunnel = Tunnel("ssh://nobody@127.0.0.1:1", 20.0)
    with pytest.raises(UnreachableError, match=r"ssh (says .*refused|cannot be started)"):
        tunnel.url()
    tunnel.close()


def test_a_source_of_telemetry_that_nobody_answers_for_is_a_problem_of_the_reading(
    make: Callable[..., DockerBackend],
) -> None:
    silent = '[telemetry.core]\nsource = "open5gs"\namf = "http://127.0.0.1:9"\n'
    backend = make(extra=silent)
    wait_until(lambda: any("127.0.0.1:9" in p for p in backend.read().problems), "the reading says what is silent")
