"""The compiled data plane against the exact reference: same parameters and draws, hence the same packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks.agreement import CASES, Case, Pair, figures, relative_error, run_both, run_reference, run_twin, streams
from twin.dataplane import DataPlane
from twin.parameters import CellParameters, CuCompute, DuCompute, GrantPolicy, LinkParameters
from twin.reference import CellRun, QuotaChange, draw, simulate

SAME_MS = 1e-6


def calls(name: str) -> tuple[int, ...]:
    """Return one call: long enough for queues to overflow where they do."""
    return (2500,) if CASES[name].overload else (1500,)


@cache
def both(name: str, seed: int) -> Pair:
    return run_both(CASES[name], seed, calls(name))


def packets_apart(pair: Pair) -> float:
    """Return by how many ms any packet differs between the two; infinite if one has packets that the other lacks."""
    worst = 0.0
    end = sum(pair.calls)
    for twin, way in ((pair.packets.downlink, 0), (pair.packets.uplink, 1)):
        reference = pair.reference.times(way)
        counts = [int((times[:, 1] < end - 100.0).sum()) for times in (twin, reference)]
        shared = min(len(twin), len(reference))
        if counts[0] != counts[1]:
            return np.inf
        if shared:
            worst = max(worst, float(np.abs(twin[:shared] - reference[:shared]).max()))
    return worst


def errors(pair: Pair) -> Mapping[str, float]:
    return {name: relative_error(name, *values) for name, values in figures(pair).items()}


SERVED = [name for name, case in CASES.items() if not case.overload]
OVERLOADED = [name for name, case in CASES.items() if case.overload]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SERVED)
def test_every_packet_is_sent_and_delivered_at_the_same_time(name: str, seed: int) -> None:
    pair = both(name, seed)

    assert packets_apart(pair) < SAME_MS
    assert max(errors(pair).values()) < 1e-6
    assert CASES[name].dl_mbps == 0.0 or len(pair.packets.downlink) > 200


@pytest.mark.parametrize("name", OVERLOADED)
def test_overflowing_queues_lose_the_same_packets(name: str) -> None:
    pair = both(name, 1)
    dropped = sum(len(lost) for lost in pair.reference.dropped)

    assert dropped > 0
    assert packets_apart(pair) < SAME_MS
    assert max(errors(pair).values()) < 1e-6


@pytest.mark.parametrize("name", ["du-throttled-0.60", "both-throttled", "both-saturated"])
def test_cutting_the_run_into_calls_changes_nothing(name: str) -> None:
    pair = run_both(CASES[name], 3, (1000, 370, 1130))

    assert packets_apart(pair) < SAME_MS
    assert max(errors(pair).values()) < 1e-6


@pytest.mark.parametrize("name", ["unthrottled", "du-throttled-0.60", "both-throttled"])
def test_summary_of_delays_and_jitter_is_that_of_the_packets(name: str) -> None:
    pair = both(name, 1)
    for way, suffix in ((0, "dl"), (1, "ul")):
        # The twin may have delivered a last few packets ahead of time, whose times the reference has too.
        count = int(pair.counters[f"packets_{suffix}"][0])
        packets = pair.reference.delivered[way][:count]
        delays = np.array([at - sent for _, sent, at in packets])
        p99 = np.quantile(delays, 0.99, method="inverted_cdf")

        assert pair.counters[f"delay_sum_ms_{suffix}"][0] == pytest.approx(delays.sum(), rel=1e-9)
        assert pair.counters[f"delay_p99_ms_{suffix}"][0] == pytest.approx(p99, abs=0.1)
        assert pair.counters[f"jitter_ms_{suffix}"][0] == pytest.approx(jitter_ms(packets), rel=1e-6)


def jitter_ms(packets: list[tuple[int, float, float]]) -> float:
    """Return the mean over UEs of the interarrival jitter of RFC 3550, section 6.4.1."""
    jitters = []
    for ue in {ue for ue, _, _ in packets}:
        transit = np.array([at - sent for u, sent, at in packets if u == ue])
        jitter = 0.0
        for change in np.abs(np.diff(transit)):
            jitter += (change - jitter) / 16.0
        jitters.append(jitter)
    return float(np.mean(jitters))


def test_cells_of_one_data_plane_do_not_touch_each_other() -> None:
    cells = [CellParameters(n_ue=2), CellParameters(n_ue=5, cu=CuCompute(packet_ms=0.2)), CellParameters(n_ue=1)]
    loads, quotas = [(6.0, 9.0), (10.0, 4.0), (3.0, 3.0)], [(0.55, 0.5), (0.7, 0.6), (0.45, 0.3)]
    plane = DataPlane(cells, streams(5), log_packets=5000)
    for cell, ((down, up), (du, cu)) in enumerate(zip(loads, quotas, strict=True)):
        plane.set_load(cell, dl_mbps=down, ul_mbps=up)
        plane.set_quota(cell, du_cores=du, cu_cores=cu)
    plane.advance(700)
    plane.advance(800)
    counters = plane.take_counters()

    for cell, draws in enumerate(draw(cells, streams(5), 1500)):
        run = simulate(
            cells[cell],
            draws,
            load_dl_mbps=loads[cell][0],
            load_ul_mbps=loads[cell][1],
            du_cores=quotas[cell][0],
            cu_cores=quotas[cell][1],
        )
        alone = Pair((1500,), counters, plane.packet_log(cell), run)
        assert packets_apart(alone) < SAME_MS
        assert counters["slots_ok"][cell] == sum(slot.outcome == "ok" for slot in run.slots)
        assert counters["stall_ms_du"][cell] == pytest.approx(sum(slot.stall_ms for slot in run.slots))


def test_random_effects_of_a_process_act_on_the_demand_alike() -> None:
    case = CASES["both-throttled"]
    plane = DataPlane([case.cell], streams(6), du_factor=np.array([1.2]), cu_factor=np.array([0.8]), log_packets=3000)
    plane.set_load(0, dl_mbps=8.0, ul_mbps=8.0)
    plane.set_quota(0, du_cores=0.65, cu_cores=0.35)
    plane.advance(1000)
    (draws,) = draw([case.cell], streams(6), 1000)
    factored = replace(draws, du_factor=1.2, cu_factor=0.8)
    run = simulate(case.cell, factored, load_dl_mbps=8.0, load_ul_mbps=8.0, du_cores=0.65, cu_cores=0.35)

    assert packets_apart(Pair((1000,), plane.take_counters(), plane.packet_log(0), run)) < SAME_MS


@pytest.mark.parametrize(("before", "after"), [((0.6, 0.5), (1.0, 0.9)), ((1.0, 0.9), (0.6, 0.5))])
def test_after_a_step_of_the_quota_both_go_on_alike(before: tuple[float, float], after: tuple[float, float]) -> None:
    """A stall that straddles the step may end under the old quota in the twin: one period, not more."""
    cell, step, end = CellParameters(), 1000, 3000
    plane = DataPlane([cell], streams(7), log_packets=5000)
    plane.set_load(0, dl_mbps=10.0, ul_mbps=10.0)
    plane.set_quota(0, du_cores=before[0], cu_cores=before[1])
    plane.advance(step)
    plane.set_quota(0, du_cores=after[0], cu_cores=after[1])
    plane.advance(end - step)
    (draws,) = draw([cell], streams(7), end)
    run = simulate(
        cell,
        draws,
        load_dl_mbps=10.0,
        load_ul_mbps=10.0,
        du_cores=before[0],
        cu_cores=before[1],
        changes=[QuotaChange(step, *after)],
    )
    log = plane.packet_log(0)
    for twin, way in ((log.downlink, 0), (log.uplink, 1)):
        reference = run.times(way)
        late = [times[(times[:, 0] >= step + 600) & (times[:, 1] < end)] for times in (twin, reference)]
        delays = [float((times[:, 1] - times[:, 0]).mean()) for times in late]
        assert len(late[0]) == len(late[1])
        assert delays[0] == pytest.approx(delays[1], rel=0.01)


def changed(case: Case, **change: Any) -> Case:
    """Return the case with fields of its cell, or of the cell's DU, CU or links, set to other values."""
    cell = case.cell
    for name, value in change.items():
        if name in DuCompute.__dataclass_fields__:
            cell = replace(cell, du=replace(cell.du, **{name: value}))
        elif name in {"base_share", "packet_ms", "buffer_ms"}:
            cell = replace(cell, cu=replace(cell.cu, **{name: value}))
        elif name in LinkParameters.__dataclass_fields__:
            cell = replace(cell, links=replace(cell.links, **{name: value}))
        else:
            cell = replace(cell, **{name: value})
    return replace(case, cell=cell)


@cache
def reference_run(name: str) -> CellRun:
    return run_reference(CASES[name], 4, calls(name))[0]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("du-throttled-0.60", {"base_ms": 0.491}),
        ("du-throttled-0.60", {"dl_fixed_ms": 0.032}),
        ("du-throttled-0.60", {"dl_full_ms": 0.037}),
        ("du-throttled-0.60", {"ul_fixed_ms": 0.202}),
        ("du-throttled-0.60", {"ul_full_ms": 0.082}),
        ("du-throttled-0.60", {"slot_cv": 0.152}),
        ("du-throttled-0.60", {"slow_sd": 0.032}),
        ("du-throttled-0.60", {"slow_tau_ms": 900.0}),
        ("du-throttled-0.60", {"parallelism": 1.31}),
        ("du-throttled-0.60", {"skip_after_ms": 20.0}),
        ("du-saturated-0.40", {"resync_ms": 14.0}),
        ("du-throttled-0.60", {"deadline_ms": 3.25}),
        ("du-throttled-0.60", {"late_cost": 0.31}),
        ("du-throttled-0.60", {"inflight_slots": 3}),
        ("du-throttled-0.60", {"resume_ms": 1.1}),
        ("du-throttled-0.60", {"n_ue": 4}),
        ("du-throttled-0.60", {"bits_per_prb_dl": 840}),
        ("du-throttled-0.60", {"bits_per_prb_ul": 956}),
        ("du-throttled-0.60", {"cap_prb_dl": 24}),
        ("du-throttled-0.60", {"pucch_prb": 3.6}),
        ("du-throttled-0.60", {"ul_grant_ms": 3.0}),
        ("du-throttled-0.60", {"dl_pipeline_ms": 5.1}),
        ("du-throttled-0.60", {"grant_policy": GrantPolicy.BATCH}),
        ("batch", {"batch_ms": 6.0}),
        ("both-throttled", {"base_share": 0.172}),
        ("both-throttled", {"packet_ms": 0.122}),
        ("both-throttled", {"fronthaul_ms": 0.11}),
        ("both-throttled", {"midhaul_ms": 0.76}),
        ("both-throttled", {"backhaul_mbps": 900.0}),
        ("both-throttled", {"midhaul_mbps": 900.0}),
        ("du-saturated-0.40", {"buffer_packets": 127}),
        ("cu-saturated-0.34", {"buffer_ms": 195.0}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_a_small_change_of_one_parameter_in_one_of_them_is_noticed(name: str, change: dict[str, Any]) -> None:
    case = CASES[name]
    twin, (log,) = run_twin(changed(case, **change), 4, calls(name))

    same, (same_log,) = run_twin(case, 4, calls(name))
    assert packets_apart(Pair(calls(name), same, same_log, reference_run(name))) < SAME_MS
    assert packets_apart(Pair(calls(name), twin, log, reference_run(name))) > 1e-3
