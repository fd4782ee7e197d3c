"""The fit of the DU's compute model: to recordings of a real gNB and to settings made with known parameters."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from col.errors import InputError
from twin.calibrate import Fit, fit_compute, fits_uplink, has_cpu_to_spare, simulate_settings
from twin.calibration import METRICS, Calibration, load_calibration
from twin.dataplane import DataPlane
from twin.leave_out import GROUPS, LeftOut, group_of, nrmse, repetition_floor, summarise
from twin.parameters import CellParameters, DuCompute
from twin.recording_rows import Setting
from twin.recordings import packaged_recordings

NAME = "srsran-25.10-rt"


@pytest.fixture(scope="module")
def packaged() -> Calibration:
    text = resources.files("twin").joinpath("data", f"{NAME}.json").read_text(encoding="utf-8")
    return Calibration.from_json(text)


@pytest.fixture(scope="module")
def settings() -> tuple[Setting, ...]:
    return packaged_recordings().settings


def _made(fit: Fit, like: tuple[Setting, ...], seed: int) -> list[Setting]:
    p = simulate_settings(fit, like, seconds=6.0, seed=seed)
    return [
        replace(
            s,
            dl_mbps=float(p.dl_mbps[i]),
            ul_mbps=float(p.ul_mbps[i]),
            cpu_cores=float(p.cpu_cores[i]),
            throttled_share=float(p.throttled_share[i]),
            throttled_periods=float(p.throttled_periods[i]),
            nok_ratio_dl=float(p.nok_ratio_dl[i]),
        )
        for i, s in enumerate(like)
    ]


def test_the_packaged_calibration_is_of_the_packaged_recordings(packaged: Calibration) -> None:
    assert packaged.recording_id == packaged_recordings().recording_id
    assert packaged.radio_mode == "rt"
    assert len(packaged.settings) == len(packaged_recordings().settings)


def test_the_fitted_twin_follows_throughput_cpu_and_throttling_in_every_group(
    packaged: Calibration, settings: tuple[Setting, ...]
) -> None:
    p = simulate_settings(packaged.fit, settings, seconds=15.0, seed=3)
    # One of the seven settings with CPU to spare (15/15 PRB) used 0.07 core less than 10/10 and 12/12 did.
    bars = [(0.05, 0.05, 0.05), (0.02, 0.12, 1.0), (0.05, 0.02, 0.08)]
    for group, (throughput, cpu, throttled) in zip(GROUPS, bars, strict=True):
        rows = [i for i, s in enumerate(settings) if group_of(s) == group]
        assert nrmse(p.dl_mbps[rows], [settings[i].dl_mbps for i in rows]) < throughput
        assert nrmse(p.cpu_cores[rows], [settings[i].cpu_cores for i in rows]) < cpu
        if group != GROUPS[1]:
            assert nrmse(p.throttled_share[rows], [settings[i].throttled_share for i in rows]) < throttled


@pytest.mark.parametrize(("quota", "tolerance_mbps"), [(0.2, 0.45), (0.7, 2.5)])
def test_capped_and_uncapped_points_at_the_same_quota_come_out_together(
    packaged: Calibration, settings: tuple[Setting, ...], quota: float, tolerance_mbps: float
) -> None:
    """At 0.7 core full buffers reach 17.5 Mbit/s and a cap of 12 PRB 8.5; one mechanism gives both."""
    same = [s for s in settings if s.quota_cores == quota]
    assert {s.cap_prb_dl for s in same} == {12, 25}
    p = simulate_settings(packaged.fit, same, seconds=20.0, seed=5)
    measured = np.array([s.dl_mbps for s in same])
    assert np.abs(p.dl_mbps - measured).max() < tolerance_mbps
    assert np.abs(p.cpu_cores - [s.cpu_cores for s in same]).max() < 0.01


def test_a_live_step_of_the_quota_settles_within_two_seconds_as_recorded(packaged: Calibration) -> None:
    def level(plane: DataPlane, quota: float, seconds: int) -> list[float]:
        plane.set_quota(0, du_cores=quota)
        rates = []
        for _ in range(seconds):
            plane.advance(1000)
            rates.append(float(plane.take_counters()["delivered_bits_dl"][0]) / 1e6)
        return rates

    cell = CellParameters(n_ue=1, full_buffer_dl=True, full_buffer_ul=True, du=packaged.fit.du)
    names = ("slot", "slow_du", "slow_cu", "phase")
    plane = DataPlane([cell], {n: np.random.default_rng([1, i]) for i, n in enumerate(names)})
    before, low, after = level(plane, 1.2, 6), level(plane, 0.6, 8), level(plane, 1.2, 8)
    assert min(before[1:]) > 20.0
    steady = float(np.mean(low[3:]))
    assert 9.0 < steady < 13.5  # recorded: 10.7 and 12.1
    assert abs(low[2] - steady) < 0.25 * steady
    assert min(after[2:]) > 19.0


def test_known_parameters_are_found_again_from_settings_made_with_them(settings: tuple[Setting, ...]) -> None:
    truth = Fit(
        du=DuCompute(base_ms=0.42, ul_fixed_ms=0.2, late_cost=0.35, resume_ms=2.0, deadline_ms=3.0),
        bits_per_prb_dl=820,
        bits_per_prb_ul=950,
        pucch_prb=2.5,
        loss=0.0,
        evaluations=0,
    )
    usable = tuple(s for s in settings if fits_uplink(s))
    made = _made(truth, usable, seed=1)
    found = fit_compute(made, seconds=4.0, max_evaluations=80)
    assert found.bits_per_prb_dl == pytest.approx(820, rel=0.02)
    assert found.du.base_ms == pytest.approx(0.42, abs=0.03)
    again = simulate_settings(found, made, seconds=10.0, seed=9)
    measured = [s.dl_mbps for s in made]
    assert nrmse(again.dl_mbps, measured) < 0.05
    worse = simulate_settings(replace(found, du=replace(found.du, base_ms=0.55)), made, seconds=10.0, seed=9)
    assert nrmse(worse.dl_mbps, measured) > 2 * nrmse(again.dl_mbps, measured)


def test_too_few_settings_of_either_kind_are_refused(settings: tuple[Setting, ...]) -> None:
    spare = [s for s in settings if has_cpu_to_spare(s)]
    bound = [s for s in settings if not has_cpu_to_spare(s)]
    with pytest.raises(InputError, match="at least 3 settings with CPU to spare"):
        fit_compute(bound)
    with pytest.raises(InputError, match="at least 4 settings in which the quota binds"):
        fit_compute(spare)


def test_a_calibration_goes_through_json_and_a_change_by_hand_is_noticed(packaged: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(packaged.to_json(), encoding="utf-8")
    assert load_calibration(path) == packaged
    path.write_text(packaged.to_json().replace('"late_cost": 0.', '"late_cost": 0.9'), encoding="utf-8")
    with pytest.raises(InputError, match="changed by hand"):
        load_calibration(path)
    path.write_text(packaged.to_json().replace('"late_cost"', '"late_costs"'), encoding="utf-8")
    with pytest.raises(InputError, match="unknown parameter"):
        load_calibration(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="not a calibration"):
        load_calibration(path)


def test_fitted_and_measured_values_are_kept_for_every_setting(packaged: Calibration) -> None:
    for s in packaged.settings:
        assert set(s.measured) == set(s.fitted) == set(METRICS)


def test_the_summary_counts_no_uplink_that_hardly_carried_anything(settings: tuple[Setting, ...]) -> None:
    def row(name: str, dl: float, ul: float, usable: bool) -> LeftOut:
        values = {"dl_mbps": dl, "ul_mbps": ul, "cpu_cores": dl / 20, "throttled_share": dl / 10}
        predicted = values | {"ul_mbps": ul if usable else 99.0}
        return LeftOut(
            group=GROUPS[2], quota_cores=dl / 20, n_ue=1, cap_prb_dl=12, cap_prb_ul=12, extrapolated=False,
            uplink_usable=usable, measured=values, predicted=predicted, trivial=values,
        )  # fmt: skip

    table = summarise([row("a", 2, 2, True), row("b", 5, 5, True), row("c", 9, 9, True), row("d", 4, 0.5, False)])
    assert table[GROUPS[2]]["throughput_nrmse"] == pytest.approx(0.0)
    floor = repetition_floor(settings)
    assert 0.0 < floor["throughput_nrmse"] < 0.06
