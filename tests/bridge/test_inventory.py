from __future__ import annotations

from pathlib import Path

import pytest

from bridge.inventory import Inventory, Role, Target, UpdateMode
from bridge.inventory_reader import load_inventory, parse_inventory
from col.errors import InputError

PAPER = """
[testbed]
id = "rack 7"
stack = "srsran-25.10"
radio_mode = "zmq"
window_s = 15.0
notes = ["in the basement"]

[hosts.h1]
node = "ran-a"

[hosts.h2]
docker = "ssh://ops@ran-b"

[hosts.h3]
docker = "tcp://ran-c:2376"
ca = "tls/ca.pem"
cert = "tls/cert.pem"
key = "tls/key.pem"

[du.1]
host = "h1"
container = "srsdu-1"

[du.2]
host = "h2"
service = "ran_du-2"
update = "rolling"

[cu.1]
host = "h1"
container = "srscu"

[core]
host = "h3"
container = "open5gs"

[gnbs.1]
remote = "ws://10.0.0.1:8001"
nci = 6733824
pci = 1

[gnbs.2]
cu = "1"

[links.f1_1]
of = "du_1"
interface = "f1"

[slices.embb_1]
gnb = "1"
sst = 1
sd = 1

[controls.cpu_du]
kind = "cpu"
of = "du"
lower = 0.1
upper = 1.5
resolution = 0.01
reference = 1.2
only.2.upper = 2.0

[controls.mem_core]
kind = "memory"
of = "core"
lower = 512
upper = 4096
resolution = 64
reference = 2048

[controls.prb_max]
kind = "slice_prb_max"
of = "slices"
unit = "%"
lower = 10
upper = 100
resolution = 4
reference = 100

[controls.bandwidth_1]
kind = "restart"
of = "gnb_1"
unit = "MHz"
lower = 5
upper = 20
resolution = 5
reference = 5
outage_s = 30
parameter = "cell_cfg.channel_bandwidth_MHz"

[telemetry.gnb1]
source = "srsran"
gnb = "1"
url = "ws://10.0.0.1:8001"

[telemetry.rapl]
source = "power"
host = "h1"

[automation]
host = "h1"
container = "autoscaler"

[deploy]
dl_arfcn = 368500
"""


def parse(text: str = PAPER) -> Inventory:
    return parse_inventory(text, source="inventory.toml", folder=Path("/etc/rantwin"))


def test_an_inventory_says_what_the_testbed_consists_of() -> None:
    found = parse()
    assert (found.testbed, found.stack, found.radio_mode, found.window_s) == ("rack 7", "srsran-25.10", "zmq", 15.0)
    assert [w.key for w in found.of_role(Role.DU)] == ["du_1", "du_2"]
    assert list(found.workloads) == ["du_1", "du_2", "cu_1", "core"]
    second = found.workloads["du_2"]
    assert (second.target, second.name, second.update) == (Target.SERVICE, "ran_du-2", UpdateMode.ROLLING)
    assert (found.gnbs["1"].du, found.gnbs["2"].du, found.gnbs["2"].cu) == ("du_1", "du_2", "cu_1")
    assert found.gnbs["1"].options == {"pci": 1}
    assert found.host_of("core").tls is not None
    assert found.hosts["h3"].tls is not None
    assert found.hosts["h3"].tls.ca == Path("/etc/rantwin/tls/ca.pem")
    assert found.automation is not None
    assert found.automation.container == "autoscaler"
    assert found.deploy == {"dl_arfcn": 368500}
    assert [(t.source, t.gnb, t.host, dict(t.options)) for t in found.telemetry] == [
        ("srsran", "1", "", {"url": "ws://10.0.0.1:8001"}),
        ("power", "", "h1", {}),
    ]


def test_cgroups_are_read_on_the_agents_own_machine_alone_unless_the_file_says_where() -> None:
    hosts = parse().hosts
    assert (hosts["h1"].cgroup, hosts["h2"].cgroup, hosts["h3"].cgroup) == (Path("/sys/fs/cgroup"), None, None)


def test_a_table_of_controls_makes_one_for_each_that_it_is_of() -> None:
    found = parse()
    assert [e.control.name for e in found.controls] == [
        "cpu_du_1", "cpu_du_2", "mem_core", "prb_max_embb_1", "bandwidth_1",
    ]  # fmt: skip
    assert (found.control("cpu_du_1").control.upper, found.control("cpu_du_2").control.upper) == (1.5, 2.0)
    assert found.control("cpu_du_1").control.unit == "core"
    assert found.control("prb_max_embb_1").of == "embb_1"
    assert dict(found.control("bandwidth_1").options) == {"parameter": "cell_cfg.channel_bandwidth_MHz"}


def test_a_control_that_costs_an_outage_is_not_live_and_not_allowed_unless_the_file_says_so() -> None:
    entry = parse().control("bandwidth_1")
    assert (entry.control.live, entry.outage_s, entry.allowed) == (False, 30.0, False)
    allowed = parse(PAPER.replace("outage_s = 30", "outage_s = 30\nallowed = true")).control("bandwidth_1")
    assert (allowed.control.live, allowed.allowed) == (True, True)


@pytest.mark.parametrize(
    ("key", "gnbs"),
    [("du_1", ("1",)), ("cu_1", ("1", "2")), ("core", ("1", "2")), ("f1_1", ("1",)), ("embb_1", ("1",)), ("2", ("2",))],
)
def test_a_change_touches_the_gnbs_that_depend_on_what_is_changed(key: str, gnbs: tuple[str, ...]) -> None:
    assert parse().gnbs_of(key) == gnbs


@pytest.mark.parametrize(
    ("was", "becomes", "key"),
    [
        ('docker = "ssh://ops@ran-b"', 'docker = "http://ran-b"', "hosts.h2.docker"),
        ('ca = "tls/ca.pem"\n', "", "hosts.h3"),
        ('host = "h1"\ncontainer = "srsdu-1"', 'host = "h9"\ncontainer = "srsdu-1"', "du.1.host"),
        ('container = "srsdu-1"', 'container = "srsdu-1"\nservice = "x"', "du.1"),
        ('container = "srsdu-1"', "", "du.1"),
        ('update = "rolling"', "", "update"),
        ('update = "rolling"', 'update = "fast"', "du.2.update"),
        ('container = "srscu"', 'container = "srsdu-1"', "cu.1"),
        ('cu = "1"', 'cu = "7"', "gnbs.2.cu"),
        ('of = "du_1"', 'of = "du_9"', "links.f1_1.of"),
        ('of = "du"', 'of = "ru"', "controls.cpu_du.of"),
        ('of = "core"', 'of = "slices"', "controls.mem_core.of"),
        ("reference = 1.2", "reference = 9.9", "cpu_du"),
        ("reference = 1.2", "", "controls.cpu_du.reference"),
        ("lower = 0.1", "lower = 0.001", "controls.cpu_du.lower"),
        ("only.2.upper", "only.7.upper", "controls.cpu_du.only"),
        ("only.2.upper", "only.2.uper", "uper"),
        ('gnb = "1"\nurl', 'gnb = "8"\nurl', "telemetry.gnb1.gnb"),
        ('stack = "srsran-25.10"', "", "testbed.stack"),
        ("window_s = 15.0", "window_s = 0.0", "testbed.window_s"),
        ("[deploy]", "[deplooy]", "deplooy"),
        ("[controls.bandwidth_1]", '[controls."cpu_du_1"]', "controls.cpu_du_1"),
        ('kind = "memory"\nof = "core"\nlower = 512', 'kind = "cpu"\nof = "du_1"\nlower = 0.5', "controls.mem_core"),
        ('service = "ran_du-2"', 'service = "../ran_du-2"', "du.2.service"),
        ('container = "srscu"', 'container = "srscu/json?x="', "cu.1.container"),
        ('container = "autoscaler"', 'container = "a b"', "automation.container"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(was: str, becomes: str, key: str) -> None:
    assert was in PAPER
    with pytest.raises(InputError) as caught:
        parse(PAPER.replace(was, becomes))
    text = str(caught.value)
    assert text.startswith("inventory.toml: ")
    assert key in text
    assert "\n" not in text


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read"):
        load_inventory(tmp_path / "none.toml")
