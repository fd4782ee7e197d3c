"""Names and units as Prometheus wants them."""

from __future__ import annotations

import pytest

from bridge.telemetry.names import series_of


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
