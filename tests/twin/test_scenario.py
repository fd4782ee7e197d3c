import copy
import math
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from col.errors import InputError
from twin.scenario import Scenario, load_scenario, parse_scenario, scenario_names
from twin.strict import write_toml

DEFAULT = "cpu-allocation"


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(resources.files("twin").joinpath(f"scenarios/{DEFAULT}.toml").read_text())


def parsed(document: dict[str, Any]) -> Scenario:
    return parse_scenario(write_toml(document).encode(), "mine.toml")


def changed(key: str, value: Any) -> dict[str, Any]:
    """Return the default document with one dotted key set, or removed where the value is None."""
    document = copy.deepcopy(_document())
    *path, last = key.split(".")
    table = document
    for part in path:
        table = table.setdefault(part, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return document


def complaint(key: str, value: Any) -> str:
    with pytest.raises(InputError) as caught:
        parsed(changed(key, value))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("mine.toml: ")
    assert caught.value.exit_code == 2
    return line


def test_packaged_scenarios_open_with_what_they_cover_and_load() -> None:
    assert {"cpu-allocation", "cpu-allocation-neighbour", "zmq"} <= set(scenario_names())
    for name in scenario_names():
        head = resources.files("twin").joinpath(f"scenarios/{name}.toml").read_text().splitlines()
        assert head[0].startswith("# Covers: ")
        assert head[1].startswith("# Scenario: ")
        scenario = load_scenario(name)
        assert scenario.name == name
        if name != "gnbs-400":  # takes seconds, and is gnbs-40 again
            scenario.problem().check(scenario.description())


def test_default_scenario_is_four_gnbs_on_two_hosts_of_sixteen_cores() -> None:
    scenario = load_scenario(DEFAULT)
    assert [host.capacity_cores for host in scenario.topology.hosts] == [16.0, 16.0]
    assert [(gnb.cell, gnb.host, gnb.ues) for gnb in scenario.topology.gnbs] == [
        (1, "h1", 3),
        (2, "h1", 3),
        (3, "h2", 3),
        (4, "h2", 3),
    ]
    assert len(scenario.controls) == 8
    for control in scenario.controls:
        assert (control.lower, control.upper, control.resolution, control.reference) == (0.1, 1.5, 0.01, 1.2)
    problem = scenario.problem()
    assert problem.operating == {f"load_{way}_{cell}": 10.0 for cell in range(1, 5) for way in ("dl", "ul")}
    assert problem.specification.horizon == 5
    assert len(problem.specification.conjuncts) == 10
    assert (problem.alpha, problem.delta) == (0.9, 0.05)
    assert scenario.passive.windows == 960


def test_written_scenario_reads_back_as_the_same_one() -> None:
    for name in set(scenario_names()) - {"gnbs-400"}:
        scenario = load_scenario(name)
        again = parse_scenario(scenario.to_toml().encode(), scenario.source)
        assert again == scenario
        assert again.digest == scenario.digest


def test_digest_tells_scenarios_apart_and_overlooks_layout() -> None:
    scenario = load_scenario(DEFAULT)
    assert parsed(changed("specification.alpha", 0.91)).digest != scenario.digest
    assert parsed(_document()).digest == scenario.digest  # the same keys, without comments


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(write_toml(changed("load.operating.dl_mbps", 8.0)))
    assert load_scenario(path).operating_load.dl_mbps == 8.0
    assert load_scenario(str(path)).source == "mine.toml"


def test_a_dus_cost_can_differ_from_the_calibration_and_is_then_marked() -> None:
    perturbed = parsed(changed("compute", {"du": {"base_ms": 0.6}}))
    assert perturbed.du.base_ms == 0.6
    assert perturbed.cells()[0].du == perturbed.du
    assert perturbed.digest != load_scenario(DEFAULT).digest
    assert parse_scenario(perturbed.to_toml().encode(), "mine.toml") == perturbed


def test_snr_decides_how_many_bits_a_prb_carries() -> None:
    default, low = load_scenario(DEFAULT).cells()[0], parsed(changed("radio.snr_dl_db", 10.0)).cells()[0]
    assert low.bits_per_prb_ul == default.bits_per_prb_ul
    assert low.bits_per_prb_dl < 0.5 * default.bits_per_prb_dl


@pytest.mark.parametrize(
    ("key", "value", "place", "advice"),
    [
        ("controls.cpu_du.upper_core", 1.5, "controls.cpu_du.upper_core", "upper_cores"),
        ("controls.cpu_du.upper_millicores", 1500, "upper_millicores", "upper_cores"),
        ("window.length_ms", 15000, "window.length_ms", "length_s"),
        ("windw", {"length_s": 3}, "windw", "window"),
        ("controls.cpu_du.lower_cores", 1.6, "controls.cpu_du.lower_cores = 1.6", "below controls.cpu_du.upper_cores"),
        ("controls.cpu_cu.reference_cores", 2.0, "controls.cpu_cu.reference_cores = 2.0", "in 0.1 to 1.5"),
        ("controls.cpu_cu.resolution_cores", 0.0, "resolution_cores = 0.0", "above 0"),
        ("controls.cpu_cu.resolution_cores", 5.0, "resolution_cores = 5.0", "at most the range"),
        ("load.passive.lower_mbps", 11.0, "load.passive.lower_mbps = 11.0", "below upper_mbps (10)"),
        ("load.operating.dl_mbps", math.nan, "load.operating.dl_mbps", "finite"),
        ("load.operating.ul_mbps", math.inf, "load.operating.ul_mbps", "finite"),
        ("load.operating.ul_mbps", "10 Mbit/s", "load.operating.ul_mbps = '10 Mbit/s'", "without a unit"),
        ("load.operating.dl_mbps", 2000.0, "load.operating.dl_mbps = 2000.0", "midhaul and backhaul"),
        ("load.operating.dl_mbps", True, "load.operating.dl_mbps", "number"),
        ("window.length_s", -15.0, "window.length_s = -15.0", "0.1 to 3600"),
        ("window.settle_s", None, "window.settle_s", "missing"),
        ("hosts.h1.capacity_cores", 0.0, "hosts.h1.capacity_cores = 0.0", "above 0"),
        ("hosts.h1.capacity_cores", 4.0, "hosts.h1.capacity_cores = 4.0", "at least 6"),
        ("hosts", {}, "hosts", "missing"),
        ("gnbs.2.host", "h3", "gnbs.2.host = 'h3'", "h1, h2"),
        ("gnbs.3.cu", "1", "gnbs.3.cu = '1'", "host h1"),
        ("gnbs.2.ues", 0, "gnbs.2.ues = 0", "1 to 64"),
        ("gnbs.2.ues", 2.5, "gnbs.2.ues = 2.5", "whole number"),
        ("gnbs.x", {"host": "h1", "cu": "9", "ues": 1}, "gnbs.x", "cell number"),
        ("specification.text", "always[0,4](thp_dl_7 >= 1)", "specification.text", "thp_dl_7"),
        ("specification.text", "always[0,4](thp_dl_1 >=", "specification.text", "column"),
        ("specification.alpha", 1.5, "specification.alpha = 1.5", "0.5 to 0.999"),
        ("scenario.calibration", "pryor", "scenario.calibration = 'pryor'", "prior"),
        ("scenario.radio_mode", "zmq", "scenario.radio_mode = 'zmq'", "rt"),
        ("radio.mcs_table", "qam64", "radio.mcs_table = 'qam64'", "qam256"),
        ("mac.grant_policy", "spred", "mac.grant_policy = 'spred'", "spread"),
        ("autoscaler.violating_share_target", [0.2, 0.1], "violating_share_target", "below the second"),
        ("power.idle_w", 200.0, "power.idle_w = 200.0", "busy_w (110)"),
        ("compute.du", {"parallelism": 0.0}, "compute.du", "above zero"),
        ("links.midhaul_mbps", 0.0, "links.midhaul_mbps", "above zero"),
        (
            "neighbour",
            {"pool_cores": 20, "activity_mean": 1, "activity_sd": 0},
            "hosts.h1.capacity_cores",
            "at least 20",
        ),
        ("graph.assumed_arrows", [["thp_dl_1", "ps_du_1"]], "graph.assumed_arrows", "cycle"),
        ("graph.assumed_arrows", [["thp_dl_1", "moon"]], "graph.assumed_arrows", "moon"),
        ("graph.assumed_arrows", [["thp_dl_1"]], "graph.assumed_arrows", "pairs"),
        ("controls", 3, "controls = 3", "table"),
    ],
)
def test_bad_input_is_one_line_that_names_key_value_and_what_would_be_right(
    key: str, value: Any, place: str, advice: str
) -> None:
    line = complaint(key, value)
    assert place in line
    assert advice in line


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"", "scenario"),
        (b"[scenario\n", "TOML"),
        (b"\xff\xfe", "UTF-8"),
        (b"a = 1\na = 2\n", "TOML"),
        (b"x = " + b"[" * 5000, "TOML"),
        (b"x = " + b"9" * 5000, "TOML"),
    ],
)
def test_what_is_not_a_scenario_file_is_refused_in_one_line(data: bytes, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_scenario(data, "mine.toml")
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused() -> None:
    whole = load_scenario(DEFAULT).to_toml().encode()
    for size in range(0, len(whole) - 40, 97):
        with pytest.raises(InputError):
            parse_scenario(whole[:size], "mine.toml")


def test_unknown_names_and_missing_files_are_input_errors() -> None:
    for name, advice in (
        ("cpu-alocation", "cpu-allocation"),
        ("moon", "there are"),
        ("no/such.toml", "cannot be read"),
        ("x\0y", "no such"),
        ("", "no such"),
    ):
        with pytest.raises(InputError, match=advice):
            load_scenario(name)


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=10**300, max_value=10**310),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["", "nan", "h1", "1", "always[0,4](1 >= 0)", "thp_dl_1 >= ", "é\n\t\x00"]),
    ),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3),
    max_leaves=5,
)


def paths(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += paths(value, (*path, key))
    return found


def as_toml(value: Any) -> Any:
    """Make a value one that TOML can hold."""
    if value is None:
        return False
    if isinstance(value, dict):
        return {key: as_toml(inner) for key, inner in value.items()}
    return [as_toml(inner) for inner in value] if isinstance(value, list) else value


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)} = {inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
        return f'"{escaped}"'
    return repr(value)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_scenario_raises_anything_but_an_input_error(data: st.DataObject) -> None:
    document = copy.deepcopy(_document())
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(document)))
        table = document
        for part in path[:-1]:
            table = table[part]
        action = data.draw(st.sampled_from(["set", "remove", "rename", "scale", "add"]))
        if action == "remove":
            del table[path[-1]]
        elif action == "rename":
            table[data.draw(st.text(max_size=10))] = table.pop(path[-1])
        elif action == "add":
            table[data.draw(st.text(max_size=10))] = as_toml(data.draw(anything))
        elif action == "scale" and isinstance(table[path[-1]], int | float):
            table[path[-1]] *= data.draw(st.sampled_from([-1, 0, 1e-9, 0.5, 3.0, 1e9]))
        else:
            table[path[-1]] = as_toml(data.draw(anything))
    try:
        text = "\n".join(f"{inline(key)} = {inline(value)}" for key, value in document.items()).encode()
    except UnicodeEncodeError:
        return
    fault = complaint_about(text)
    if fault is None:
        scenario = parse_scenario(text, "mine.toml")
        scenario.problem().check(scenario.description())
        assert scenario.cells()
        assert parse_scenario(scenario.to_toml().encode(), "mine.toml") == scenario
    else:
        assert "\n" not in fault
        assert fault.startswith("mine.toml: ")


def complaint_about(text: bytes) -> str | None:
    try:
        parse_scenario(text, "mine.toml")
    except InputError as error:
        return str(error)
    return None


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "ignore"))))
def test_no_bytes_raise_anything_but_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_scenario(data, "mine.toml")
    assert "\n" not in str(caught.value)
