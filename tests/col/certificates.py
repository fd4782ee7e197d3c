"""A certificate to change in tests."""

from __future__ import annotations

from typing import Any

from col.certificate import Certificate, Prediction

BASE = {"cpu_du_1": 1.2, "cpu_du_2": 1.2}
TARGET = {"cpu_du_1": 0.9, "cpu_du_2": 1.2}


def make_certificate(**changes: Any) -> Certificate:
    values: dict[str, Any] = {
        "testbed_id": "embedded",
        "stack": "srsran-25.10",
        "radio_mode": "rt",
        "scenario": "cpu-allocation",
        "scenario_digest": "d" * 64,
        "calibration_id": "srsran-25.10-rt",
        "window_s": 15.0,
        "specification": "always[0,4](thp_dl_1 >= 9.5 and pow_h1 <= 95)",
        "alpha": 0.9,
        "delta": 0.05,
        "bound": 0.905,
        "horizons": 47,
        "passes": 47,
        "base": BASE,
        "target": TARGET,
        "predictions": {
            "thp_dl_1": Prediction(base_low=9.9, base_high=10.1, target_low=9.8, target_high=10.1),
            "pow_h1": Prediction(base_low=85.0, base_high=87.0, target_low=84.0, target_high=86.0),
        },
        "issued_at_s": 1_800_000_000.0,
        "expires_at_s": 1_800_086_400.0,
    }
    return Certificate(**{**values, **changes})
