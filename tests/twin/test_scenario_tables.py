"""Kinds of controls, fixed values, pairs, tables of mechanisms, groups of gNBs: read strictly, written back."""

import copy
import tomllib
from functools import cache
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from col.errors import InputError
from tests.twin.test_scenario import anything, as_toml, complaint_about, inline, paths
from twin.channel import ChannelParameters
from twin.faults import Fault, HostFailure, LinkFault
from twin.link_noise import LinkNoise
from twin.path_loss import Site
from twin.population import Population
from twin.scenario import Scenario, load_scenario, parse_scenario, scenario_names
from twin.scenario_tables import TABLES
from twin.sources import OnOff
from twin.strict import MOST_BYTES, write_toml

EXTRA = """
[pairs.p1]
cells = [1, 2]
[pairs.p2]
cells = [3, 4]
[fixed]
mem_du_gb = 4.0
gtx_db = 10.0
bw_prb = 25
[controls.thr]
lower_mbps = 0.0
upper_mbps = 10.0
resolution_mbps = 0.1
reference_mbps = 5.0
[channel]
site = "uma"
[link_adaptation]
mcs_cap_ul = 17
[harq]
max_retx = 3
[cfs]
burst_du_ms = 10.0
[memory]
du_base_mb = 2000.0
[contention]
llc = 0.1
[ues]
lower_ues = 0
upper_ues = 6
gain_probability = 0.1
lose_probability = 0.1
dl_mbps = 1.0
ul_mbps = 1.0
[ues.crowd]
probability = 0.1
ues = 3
hold_s = 60.0
ramp_s = 5.0
cells = [1]
[mobility.load]
tick_s = 15.0
[mobility.interruption]
median_s = 0.4
[[controllers]]
control = "thr"
follows = "chance"
base = 5.0
dither = 1.0
[[faults]]
kind = "host"
host = "h1"
at_s = 10.0
lasts_s = 3.0
[[faults]]
kind = "link"
leg = "midhaul"
every_s = 100.0
lasts_s = 3.0
added_ms = 5.0
"""


@cache
def _document() -> dict[str, Any]:
    document = tomllib.loads(resources.files("twin").joinpath("scenarios/cpu-allocation.toml").read_text())
    extra = tomllib.loads(EXTRA)
    document["controls"] |= extra.pop("controls")
    document["links"]["midhaul"] = {"jitter_ms": 0.1, "distribution": "pareto"}
    document["traffic"]["source"] = {"kind": "on_off", "mean_on_s": 1.0, "mean_off_s": 2.0}
    del document["load"]
    return document | extra


def document_with(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the full document with dotted keys set (a number picks from an array), or removed where None."""
    document = copy.deepcopy(_document())
    for key, value in changes.items():
        *path, last = key.split(".")
        table: Any = document
        for part in path:
            table = table[int(part)] if isinstance(table, list) else table.setdefault(part, {})
        if value is None:
            del table[last]
        else:
            table[last] = value
    return document


def parsed(changes: dict[str, Any] | None = None) -> Scenario:
    return parse_scenario(write_toml(document_with(changes or {})).encode(), "mine.toml")


def test_the_record_of_every_optional_table_is_there() -> None:
    for table in TABLES:
        assert table.kinds()


def test_optional_tables_are_read_as_records_and_written_back() -> None:
    scenario = parsed()
    channel, noise, source = scenario.part(ChannelParameters), scenario.part(LinkNoise), scenario.part(OnOff)
    assert channel is not None
    assert channel.site is Site.UMA
    assert noise is not None
    assert noise.jitter_ms == 0.1
    assert scenario.part(LinkNoise, "links.backhaul") is None
    assert source is not None
    assert source.peak == 3.0
    assert [type(fault) for fault in scenario.parts(Fault)] == [HostFailure, LinkFault]
    again = parse_scenario(scenario.to_toml().encode(), "mine.toml")
    assert again == scenario
    assert again.digest == scenario.digest


def test_an_absent_table_is_a_mechanism_that_is_off_and_not_written() -> None:
    default = load_scenario("cpu-allocation")
    assert default.part(Population) is None
    assert default.parts(Fault) == ()
    written = tomllib.loads(default.to_toml())
    assert not {table.key.split(".")[0] for table in TABLES if "." not in table.key} & set(written)
    assert not {"fixed", "pairs"} & set(written)


def test_digests_of_the_first_scenarios_are_what_they_were() -> None:
    digests = {name: load_scenario(name).digest[:16] for name in ("cpu-allocation", "cpu-allocation-neighbour", "zmq")}
    assert (
        digests
        == {  # as commit 3d4f16f gave them (zmq: ea106ec, its lock-step): certificates and runs refer to them
            "cpu-allocation": "3c086c5611d0ee1d",
            "cpu-allocation-neighbour": "1548c82aaa44111d",
            "zmq": "dc22c856f4f19dab",
        }
    )


def test_controls_are_those_of_every_kind_with_its_unit_and_fixed_values_are_none() -> None:
    scenario = parsed()
    thresholds = [control for control in scenario.controls if control.name.startswith("thr_")]
    assert [(c.name, c.unit, c.lower, c.upper, c.reference) for c in thresholds] == [
        ("thr_p1", "Mbit/s", 0.0, 10.0, 5.0),
        ("thr_p2", "Mbit/s", 0.0, 10.0, 5.0),
    ]
    assert [c.name for c in scenario.controls] == list(scenario.topology.control_names)
    assert scenario.fixed_values["mem_du_3"] == 4.0
    assert scenario.value_of_kind("bw") == 25.0
    assert scenario.value_of_kind("thr") == 5.0
    assert scenario.value_of_kind("mem_cu") is None


def test_a_cpu_limit_may_be_fixed_and_is_then_no_control() -> None:
    scenario = parsed({"controls.cpu_du": None, "fixed.cpu_du_cores": 0.9, "autoscaler.cpu_du": None})
    assert scenario.fixed_values["cpu_du_1"] == 0.9
    assert not any(control.name.startswith("cpu_du") for control in scenario.controls)
    assert list(scenario.rules) == ["cpu_cu"]


def test_a_group_is_repeated_with_names_and_formulas_of_its_own() -> None:
    scenario = parsed({"template": {"copies": 3}, "gnbs.2.cu": "b"})
    assert [gnb.cell for gnb in scenario.topology.gnbs] == list(range(1, 13))
    assert [host.name for host in scenario.topology.hosts] == ["h1", "h2", "h3", "h4", "h5", "h6"]
    assert [gnb.cu for gnb in scenario.topology.gnbs[4:7]] == ["5", "b2", "7"]
    assert [pair.cells for pair in scenario.topology.pairs] == [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)]
    written_out = {f"{stem}_{cell}" for cell in range(1, 13) for stem in ("thp_dl", "load_dl", "thp_ul", "load_ul")}
    assert scenario.specification.metrics == written_out | {f"pow_h{n}" for n in range(1, 7)}
    assert parse_scenario(scenario.to_toml().encode(), "mine.toml") == scenario
    assert parsed({"template": {"copies": 1}}) == parsed()


@pytest.mark.parametrize(("name", "gnbs"), [("gnbs-40", 40), ("gnbs-400", 400)])
def test_large_scenarios_are_generated_from_a_group(name: str, gnbs: int) -> None:
    assert name in scenario_names()
    topology = load_scenario(name).topology
    assert len(topology.gnbs) == gnbs
    assert len(topology.hosts) == gnbs // 2
    assert topology.gnbs[-1].host == topology.hosts[-1].name


@pytest.mark.parametrize(
    ("changes", "place", "advice"),
    [
        ({"channel.site": "umx"}, "channel.site = 'umx'", "uma"),
        ({"channel.sight": 3}, "channel.sight", "site"),
        ({"chanel.site": "uma"}, "chanel", "channel"),
        ({"mobility.lod.tick_s": 3.0}, "mobility.lod", "load"),
        ({"links.fronthal.jitter_ms": 1.0}, "links.fronthal", "fronthaul"),
        ({"links.midhaul.jitter_us": 1.0}, "links.midhaul.jitter_us", "jitter_ms"),
        ({"ues.crowd.cells": [9]}, "ues.crowd.cells = 9", "no such cell"),
        ({"ues.upper_ues": 6.5}, "ues.upper_ues = 6.5", "whole number"),
        ({"ues.upper_ues": 9000}, "ues.upper_ues = 9000", "1 to 64"),
        ({"faults.0.host": "h9"}, "faults[0].host = 'h9'", "h1, h2"),
        ({"faults.1.kind": "lnk"}, "faults[1].kind = 'lnk'", "link"),
        ({"faults": {"kind": "host"}}, "faults", "[[faults]]"),
        ({"controllers.0.control": "moon"}, "controllers[0].control = 'moon'", "cpu_du"),
        ({"memory.du_base_mb": -1.0}, "memory.du_base_mb = -1.0", "above 0"),
        ({"traffic.source.mean_on_s": float("nan")}, "traffic.source.mean_on_s", "finite"),
        ({"traffic.source.mean_on_s": "1 s"}, "traffic.source.mean_on_s = '1 s'", "without a unit"),
        ({"fixed.thr_mbps": 1.0}, "fixed.thr_mbps", "control here"),
        ({"fixed.bw_mhz": 5}, "fixed.bw_mhz", "bw_prb"),
        ({"fixed.bw_prb": 12.5}, "fixed.bw_prb = 12.5", "whole number"),
        ({"controls.thr.upper_db": 3.0}, "controls.thr.upper_db", "upper_mbps"),
        ({"controls.cpu_dus": {}, "controls.cpu_dus.x": 1}, "controls.cpu_dus", "cpu_du"),
        ({"controls.thr.lower_mbps": 11.0}, "controls.thr.lower_mbps = 11.0", "below controls.thr.upper_mbps"),
        ({"controls.cpu_du": None}, "controls.cpu_du", "fixed.cpu_du_cores"),
        ({"pairs.p1.cells": [1, 9]}, "pairs.p1.cells = 9", "1, 2, 3, 4"),
        ({"pairs.p1.cells": [1, 1]}, "pairs.p1.cells", "two different"),
        ({"pairs.p1.cells": [1, 3]}, "pairs.p2.cells = 3", "pair p1 already"),
        ({"template": {"copies": 0}}, "template.copies = 0", "1 to 2500"),
        ({"template": {"copys": 3}}, "template.copys", "copies"),
        ({"cost.rate_per_mhz": 1.0}, "cost.rate_per_mhz", "rate_per"),
    ],
)
def test_bad_tables_are_one_line_that_names_key_value_and_what_would_be_right(
    changes: dict[str, Any], place: str, advice: str
) -> None:
    line = complaint(changes)
    assert place in line
    assert advice in line


@pytest.mark.parametrize(
    ("changes", "place", "advice"),
    [
        ({"fixed.bw_prb": 30}, "fixed.bw_prb = 30", "at most 25"),
        ({"fixed.bw_prb": 3}, "fixed.bw_prb = 3", "control signalling"),
        ({"fixed.mem_du_gb": 1.0}, "mem_du", "needs"),
        ({"ues.ul_mbps": 500.0}, "ues", "carries"),
        ({"contention": None, "hosts.h1.capacity_cores": 4.0}, "hosts.h1.capacity_cores = 4.0", "at least 6"),
        ({"mobility.load": None}, "controls.thr", "[mobility.load]"),
        ({"channel": None}, "fixed.gtx_db", "[channel]"),
        ({"links.fronthaul": {"window_ms": 0.05}}, "links.fronthaul_ms = 0.1", "window_ms (0.05)"),
        ({"links.fronthaul": {"window_ms": 0.05, "jitter_ms": 0.01}}, "links.fronthaul_ms = 0.1", "window_ms (0.05)"),
        ({"links.midhaul": {"window_ms": 1.0}}, "links.midhaul.window_ms = 1.0", "only a fronthaul"),
        ({"gnbs.2.cu": "1", "links.backhaul_mbps": 8.0}, "ues", "backhaul, which 2 cells of a CU share, carries 3.8"),
        ({"gnbs.1.cu": ""}, "gnbs.1.cu", "text"),
        ({"gnbs.1.cu": None}, "gnbs.1.cu", "missing"),
    ],
)
def test_physics_that_cannot_be_is_refused_before_anything_runs(
    changes: dict[str, Any], place: str, advice: str
) -> None:
    line = complaint(changes)
    assert place in line
    assert advice in line


def complaint(changes: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        parsed(changes)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("mine.toml: ")
    return line


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(InputError, match="larger than 8 MB"):
        parse_scenario(b"#" * (MOST_BYTES + 1), "mine.toml")
    with pytest.raises(InputError, match="larger than 8 MB"):
        load_scenario("/dev/zero")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_scenario_with_every_table_raises_anything_but_an_input_error(data: st.DataObject) -> None:
    document = copy.deepcopy(_document())
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([p for p in paths(document) if p[0] in _NEW]))
        table = document
        for part in path[:-1]:
            table = table[part]
        old = table[path[-1]]
        if isinstance(old, int | float) and data.draw(st.booleans()):
            table[path[-1]] = old * data.draw(st.sampled_from([-1, 0, 1e-9, 0.5, 3.0, 1e9, float("nan"), float("inf")]))
        else:
            table[path[-1]] = as_toml(data.draw(anything))
    try:
        text = "\n".join(f"{inline(key)} = {inline(value)}" for key, value in document.items()).encode()
    except UnicodeEncodeError:
        return
    if (fault := complaint_about(text)) is not None:
        assert "\n" not in fault
        assert fault.startswith("mine.toml: ")
        return
    scenario = parse_scenario(text, "mine.toml")
    assert scenario.cells()
    assert parse_scenario(scenario.to_toml().encode(), "mine.toml") == scenario


_NEW = {*tomllib.loads(EXTRA), "links", "traffic", "hosts", "gnbs"}
