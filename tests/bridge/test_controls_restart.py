from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.clock import ManualClock
from bridge.controls.config_file import number_of, with_number
from bridge.controls.driver import ControlDriver, Proof
from bridge.controls.factory import make_drivers
from bridge.controls.links import LinkQuantity
from bridge.controls.memory import Memory
from bridge.controls.restart import RestartDriver, RestartValue
from bridge.controls.traffic_control import Shaping
from bridge.inventory_reader import parse_inventory
from col.errors import InputError, OutcomeUnknownError, RefusedError, UnreachableError

CONFIG = """\
cell_cfg:
  channel_bandwidth_MHz: 5  # rantwin: bandwidth_1
ru_sdr:
  tx_gain: 75.5   # rantwin: gain_1
  rx_gain: 60  # not ours
"""


class Engine:
    """One workload that an engine can restart."""

    def __init__(self) -> None:
        self.starts, self.fault, self.obeys = 1, None, True  # type: int, Exception | None, bool

    def pid(self, workload: str, within_s: float) -> int:
        return 1

    def started_at(self, workload: str, within_s: float) -> str:
        return f"{workload} start {self.starts}"

    def restart(self, workload: str, within_s: float) -> None:
        if self.fault:
            raise self.fault
        self.starts += self.obeys


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "du_1.yml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def driver(engine: Engine, clock: ManualClock, file: Path) -> RestartDriver:
    values = [
        RestartValue(name="bandwidth_1", outage_s=20.0, is_allowed=True),
        RestartValue(name="gain_1", outage_s=20.0, is_allowed=False),
    ]
    memory = Memory(file.with_suffix(".json"))
    return RestartDriver("du_1", file, values, engine, memory, now_s=clock.monotonic)


def test_a_number_is_found_by_the_comment_that_names_its_control_and_the_rest_stays() -> None:
    assert number_of(CONFIG, "bandwidth_1") == 5.0
    changed = with_number(with_number(CONFIG, "bandwidth_1", 10.0), "gain_1", 60.25)
    assert changed == CONFIG.replace("MHz: 5", "MHz: 10").replace("75.5", "60.25")
    assert number_of("  gains: {tx: 1e1} # rantwin: gain", "gain") == 10.0


@pytest.mark.parametrize("text", ["", CONFIG + CONFIG, "x: high  # rantwin: bandwidth_1\n"])
def test_a_line_that_is_missing_double_or_without_a_number_is_bad_input(text: str) -> None:
    with pytest.raises(InputError, match="bandwidth_1"):
        number_of(text, "bandwidth_1")


def test_an_allowed_value_is_written_and_in_force_after_the_restart(
    driver: RestartDriver, engine: Engine, file: Path
) -> None:
    assert isinstance(driver, ControlDriver)
    assert dict(driver.read(1.0)) == {"bandwidth_1": 5.0, "gain_1": 75.5}
    inode = file.stat().st_ino
    driver.apply({"bandwidth_1": 10.0, "gain_1": 75.5}, 1.0)
    assert dict(driver.read(1.0)) == {"bandwidth_1": 10.0, "gain_1": 75.5}
    assert engine.starts == 2
    assert file.stat().st_ino == inode, "a file that is mounted by itself must stay the same file"
    assert {e.proof for e in driver.evidence()} == {Proof.CONFIGURED}
    driver.apply({"bandwidth_1": 10.0}, 1.0)
    assert engine.starts == 2, "what is in force already costs no outage"


def test_what_the_operator_does_not_allow_is_refused_with_its_cost(driver: RestartDriver, file: Path) -> None:
    with pytest.raises(RefusedError, match="gain_1: needs a restart of du_1, about 20 s without service"):
        driver.apply({"bandwidth_1": 10.0, "gain_1": 60.0}, 1.0)
    assert file.read_text() == CONFIG


def test_until_it_has_started_anew_nobody_says_what_is_in_force(
    driver: RestartDriver, engine: Engine, clock: ManualClock, file: Path
) -> None:
    engine.obeys = False
    driver.apply({"bandwidth_1": 10.0}, 1.0)
    for _ in range(3):
        clock.advance(10.0)
        with pytest.raises(UnreachableError, match="start anew with bandwidth_1 = 10"):
            driver.read(1.0)
    engine.starts += 1
    assert driver.read(1.0)["bandwidth_1"] == 10.0


def test_a_restart_that_never_comes_is_given_up_and_the_file_says_what_runs(
    driver: RestartDriver, engine: Engine, clock: ManualClock, file: Path
) -> None:
    engine.fault = OutcomeUnknownError("no answer")
    with pytest.raises(OutcomeUnknownError):
        driver.apply({"bandwidth_1": 10.0}, 1.0)
    clock.advance(71.0)
    assert driver.read(1.0)["bandwidth_1"] == 5.0
    assert file.read_text() == CONFIG


def test_a_restart_that_is_refused_leaves_the_file_as_it_was(driver: RestartDriver, engine: Engine, file: Path) -> None:
    engine.fault = UnreachableError("no engine")
    with pytest.raises(UnreachableError):
        driver.apply({"bandwidth_1": 10.0}, 1.0)
    assert file.read_text() == CONFIG
    assert driver.read(1.0)["bandwidth_1"] == 5.0


# --- from an inventory ------------------------------------------------------------------------------------------------

INVENTORY = """\
[testbed]
id = "t"
stack = "srsran-25.10"
radio_mode = "zmq"
[hosts.h1]
[du.1]
host = "h1"
container = "du-1"
[cu.1]
host = "h1"
container = "cu-1"
[gnbs.1]
remote = "ws://127.0.0.1:8001"
nci = 6733824
[links.mid_1]
of = "cu_1"
rate_mbps = 500
[slices.embb_1]
gnb = "1"
[controls.rate_mid_1]
kind = "link_rate"
of = "mid_1"
unit = "Mbit/s"
lower = 1
upper = 500
resolution = 1
reference = 500
[controls.share_1]
kind = "slice_prb_max"
of = "embb_1"
unit = "%"
lower = 4
upper = 100
resolution = 4
reference = 100
[controls.ssb_1]
kind = "ssb_power"
of = "gnb_1"
unit = "dBm"
lower = -40
upper = 0
resolution = 1
reference = -16
[controls.bandwidth]
kind = "config"
of = "du"
file = "du_{number}.yml"
outage_s = 20
unit = "MHz"
lower = 5
upper = 20
resolution = 5
reference = 5
"""


def _part(control: str) -> str:
    begin = INVENTORY.index(f"[controls.{control}]")
    return INVENTORY[begin : INVENTORY.index("[controls.", begin + 1)]


class Kernel:
    def read(self, pid: int, interface: str) -> Shaping:
        return Shaping()

    def write(self, pid: int, interface: str, shaping: Shaping) -> None:
        raise AssertionError

    def lacks(self, discipline: str) -> str:
        return ""


class Silent:
    """A gNB that nobody has connected to."""

    def __init__(self, url: str) -> None:
        assert url == "ws://127.0.0.1:8001"

    def request(self, command: Mapping[str, object], within_s: float) -> None:
        raise UnreachableError("silent")

    def reports(self) -> tuple[()]:
        return ()

    def close(self) -> None:
        pass


def test_an_inventory_gives_every_control_that_is_no_engines_a_driver(file: Path, engine: Engine) -> None:
    inventory = parse_inventory(INVENTORY, source="inventory.toml", folder=file.parent)
    drivers = make_drivers(inventory, engine, file.parent / "state", traffic=Kernel(), channel=Silent)
    assert set(drivers.names()) == {"rate_mid_1", "share_1", "ssb_1", "bandwidth_1"}
    expected = {"rate_mid_1": 500.0, "share_1": 100.0, "ssb_1": -16.0, "bandwidth_1": 5.0}
    assert dict(drivers.read(1.0)) == expected
    with pytest.raises(RefusedError, match="bandwidth_1: needs a restart"):
        drivers.apply({"bandwidth_1": 10.0, "share_1": 40.0}, 1.0)
    drivers.close()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "link_rate"', 'kind = "tx_gain"', "controls.rate_mid_1.kind = 'tx_gain': no such kind; known are cpu"),
        ('of = "mid_1"', 'of = "cu_1"', "link_rate is a property of a link"),
        ('of = "embb_1"', 'of = "gnb_1"', "is a property of a slice"),
        ("resolution = 4", "resolution = 2", "one of 25 PRBs"),
        ("nci = 6733824", "", "nci"),
        ('remote = "ws://127.0.0.1:8001"', "", "gnbs.1.remote"),
        ("outage_s = 20", "", "needs `outage_s`"),
        ('file = "du_{number}.yml"', "", "bandwidth_1.file"),
        ("rate_mbps = 500", 'rate_mbps = "fast"', "links.mid_1.rate_mbps = 'fast'"),
        ('of = "gnb_1"', 'of = "gnb_1"\nspeed = 1', "controls.ssb_1.speed"),
        ("nci = 6733824", "nci = 6733824\nprbs = 0", "gnbs.1.prbs = 0"),
        (_part("ssb_1"), _part("share_1").replace("share_1", "share_2"), "share_1 sets the same thing"),
        (
            _part("ssb_1"),
            _part("rate_mid_1").replace("mid_1", "mid_2") + '[links.mid_2]\nof = "cu_1"\n',
            "rate_mid_1 sets the same thing",
        ),
    ],
)
def test_a_wrong_inventory_is_named_by_file_and_key(file: Path, engine: Engine, old: str, new: str, said: str) -> None:
    text = INVENTORY.replace(old, new, 1)
    inventory = parse_inventory(text, source="inventory.toml", folder=file.parent)
    with pytest.raises(InputError, match=r"inventory\.toml") as error:
        make_drivers(inventory, engine, file.parent / "state", traffic=Kernel(), channel=Silent)
    assert said in str(error.value)


def test_every_kind_of_link_control_has_a_name_of_its_own() -> None:
    assert [str(q) for q in LinkQuantity] == ["link_rate", "link_delay", "link_jitter", "link_loss"]
