"""Names and units as Prometheus wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bridge.auth import parse_address
from bridge.identity import AGENT
from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion, State
from bridge.telemetry.names import series_of
from bridge.telemetry.prometheus import Metrics
from col.certificate import Certificate, Prediction, SignedCertificate
from col.plant import Windows
from tests.bridge.test_wire import a_status


@pytest.mark.parametrize(
    ("name", "unit", "series", "labels", "factor"),
    [
        ("thp_dl_3", "Mbit/s", "ran_thp_dl_bytes_per_second", {"gnb": "3"}, 125_000.0),
        ("dly_ul_1", "ms", "ran_dly_ul_seconds", {"gnb": "1"}, 1e-3),
        ("pow_h2", "W", "ran_pow_watts", {"host": "2"}, 1.0),
        ("late_du_12", "%", "ran_late_du_ratio", {"gnb": "12"}, 0.01),
        ("cpu_du_1", "core", "ran_cpu_du_cores", {"gnb": "1"}, 1.0),
        ("bsr_1", "kB", "ran_bsr_bytes", {"gnb": "1"}, 1000.0),
        ("nok_dl_1", "1", "ran_nok_dl", {"gnb": "1"}, 1.0),
        ("hit_ratio", "ratio", "ran_hit_ratio", {}, 1.0),
        ("fill", "l/min", "ran_fill_l_min", {}, 1.0),
        ("DRB.UEThpDl", "kbit/s", "ran_drb_uethpdl_bytes_per_second", {}, 125.0),
    ],
)
def test_a_metric_gets_a_name_in_base_units_and_labels_that_stay_few(
    name: str, unit: str, series: str, labels: dict[str, str], factor: float
) -> None:
    found = series_of("ran", name, unit)
    assert (found.name, dict(found.labels), found.factor) == (series, labels, factor)


CERTIFICATE = Certificate(
    testbed_id="bed",
    stack="s",
    radio_mode="r",
    scenario="x",
    scenario_digest="d",
    calibration_id="c",
    window_s=15.0,
    specification="always[0,4](late <= 0.1)",
    alpha=0.9,
    delta=0.05,
    bound=0.95,
    horizons=100,
    passes=100,
    base={"cpu": 2.0},
    target={"cpu": 1.5},
    predictions={"late": Prediction(base_low=0.0, base_high=0.01, target_low=0.02, target_high=0.06)},
    issued_at_s=0.0,
    expires_at_s=1.0,
    key_id="k",
)


class OneStatus:
    """An engine with a promotion in flight and nothing else."""

    def journal(self, since: int, limit: int) -> tuple[Any, ...]:
        return ()

    def windows(self, since: int, limit: int) -> Windows:
        return Windows.empty(["cpu"], ["late"])

    def status(self) -> Any:
        certificate = SignedCertificate(payload=CERTIFICATE.canonical(), signature=b"s" * 64)
        request = PlanRequest(promotion_id="secret-id", target={"cpu": 1.5}, certificate=certificate)
        plan = Plan(request=request, before={}, after={}, changes=(), digest="0" * 64)
        active = Promotion(
            promotion_id="secret-id",
            plan=plan,
            state=State.WATCHING,
            who=AGENT,
            version=1,
            created_wall_s=1e9,
            lease_remaining_s=7.5,
        )
        return replace(a_status(), active=active)


def test_the_promotion_in_flight_shows_its_lease_and_what_the_twin_predicts_of_it() -> None:
    metrics = Metrics(parse_address("127.0.0.1:0"))
    try:
        metrics.observe(OneStatus())  # type: ignore[arg-type]
        registry = CollectorRegistry()
        registry.register(metrics)
        text = generate_latest(registry).decode()
    finally:
        metrics.close()
    assert "bridge_lease_remaining_seconds 7.5" in text
    assert 'ran_predicted_late_ratio{bound="low",source="twin"} 0.02' in text
    assert 'ran_predicted_late_ratio{bound="high",source="twin"} 0.06' in text
    assert 'ran_control_cpu_cores{source="testbed"} 1.5' in text
    assert "bridge_drift_ratio" not in text, "not known is not zero"
    assert "\nran_late_ratio" not in text, "no window yet"
    assert "secret-id" not in text
