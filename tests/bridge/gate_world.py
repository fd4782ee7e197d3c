"""A testbed of two gNBs as the gate sees it: a plan that passes, to be spoiled in one place by each test."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.backends.base import BackendDescription, Reading
from bridge.gate import GateResult, Observation, check
from bridge.plan import Mode, PlanRequest
from bridge.reasons import ReasonCode
from bridge.settings import BlastRadius, EngineSettings, Exploration, Requirements
from col.certificate import Certificate, Prediction, SignedCertificate
from col.plant import Control, Metric, MetricKind, PlantDescription, Windows
from col.signing import SigningKey, make_keys

SPECIFICATION = "always[0,4](thp_1 >= 9.5 and thp_2 >= 9.5 and pow <= 95)"
NOW_S = 1_800_000_000.0
BASE = {"cpu_du_1": 1.2, "cpu_du_2": 1.2, "cpu_cu": 1.0, "pool": 4.0}
TARGET = {"cpu_du_1": 0.9}


def _keys() -> SigningKey:
    with tempfile.TemporaryDirectory() as folder:
        return make_keys(Path(folder) / "k.pem", Path(folder) / "k.pub")


KEY, STRANGER = _keys(), _keys()


def make_windows(n: int = 8, *, first: int = 100, controls: dict[str, float] | None = None, **metrics: Any) -> Windows:
    """Windows in which all is well, with the given columns (or values) instead."""
    wobble = 0.05 * np.sin(np.arange(n))
    columns = {"thp_1": 10.0 + wobble, "thp_2": 10.0 - wobble, "pow": 86.0 + wobble}
    columns |= {name: np.broadcast_to(np.asarray(v, dtype=float), n).copy() for name, v in metrics.items()}
    return Windows(
        sequence=np.arange(first, first + n),
        start_s=np.asarray(15.0 * np.arange(n)),
        end_s=np.asarray(15.0 * np.arange(1, n + 1)),
        run=np.zeros(n, dtype=np.int64),
        controls={name: np.full(n, value) for name, value in (controls or BASE).items()},
        metrics=columns,
    )


def make_description(**changes: Any) -> BackendDescription:
    names = {"cpu_du_1": "core", "cpu_du_2": "core", "cpu_cu": "core"}
    controls = [Control(name=n, unit=u, lower=0.1, upper=1.5, resolution=0.01, reference=1.2) for n, u in names.items()]
    controls.append(Control(name="pool", unit="GiB", lower=1.0, upper=8.0, resolution=1.0, reference=4.0, live=False))
    metrics = [Metric(name=n, unit="Mbit/s", kind=MetricKind.TARGET) for n in ("thp_1", "thp_2")]
    values: dict[str, Any] = {
        "plant": PlantDescription(
            plant_id="lab",
            controls=tuple(controls),
            metrics=(*metrics, Metric(name="pow", unit="W", kind=MetricKind.TARGET)),
            window_s=15.0,
        ),
        "stack": "srsran",
        "radio_mode": "rt",
        "gnbs": {"gnb1": ("cpu_du_1", "cpu_cu"), "gnb2": ("cpu_du_2", "cpu_cu")},
        "gnb_metrics": {"gnb1": ("thp_1",), "gnb2": ("thp_2",)},
    }
    return BackendDescription(**{**values, **changes})


def make_certificate(**changes: Any) -> Certificate:
    near = Prediction(base_low=9.9, base_high=10.1, target_low=9.8, target_high=10.1)
    values: dict[str, Any] = {
        "testbed_id": "lab",
        "stack": "srsran",
        "radio_mode": "rt",
        "scenario": "cpu",
        "scenario_digest": "d1",
        "calibration_id": "c1",
        "window_s": 15.0,
        "specification": "always[0, 4] (thp_1>=9.5 and thp_2>=9.5 and pow<=95)",  # the same, laid out otherwise
        "alpha": 0.9,
        "delta": 0.05,
        "bound": 0.91,
        "horizons": 50,
        "passes": 50,
        "base": BASE,
        "target": {**BASE, **TARGET},
        "predictions": {
            "thp_1": near,
            "thp_2": near,
            "pow": Prediction(base_low=85.0, base_high=87.0, target_low=84.0, target_high=86.0),
        },
        "issued_at_s": NOW_S - 3600,
        "expires_at_s": NOW_S + 3600,
    }
    return Certificate(**{**values, **changes})


def make_requirements(**changes: Any) -> Requirements:
    values: dict[str, Any] = {
        "specification": SPECIFICATION,
        "alpha": 0.9,
        "delta": 0.05,
        "scenario_digests": frozenset({"d1"}),
        "calibration_ids": frozenset({"c1", "c2"}),
        "trusted_keys": {KEY.key_id: KEY.public.raw},
    }
    return Requirements(**{**values, **changes})


@dataclass
class GateWorld:
    """Everything that the gate looks at."""

    request: PlanRequest = field(
        default_factory=lambda: PlanRequest(promotion_id="p1", target=TARGET, certificate=KEY.sign(make_certificate()))
    )
    observation: Observation = field(
        default_factory=lambda: Observation(
            description=make_description(),
            reading=Reading(controls=BASE, at_s=0.0, next_sequence=109),
            confirmed=BASE,
            windows=make_windows(),
            active=None,
            now_wall_s=NOW_S,
        )
    )
    settings: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            requirements=make_requirements(),
            blast=BlastRadius(largest_step={"cpu": 0.4}, most_gnbs=1, min_spacing_s=60.0),
            exploration=Exploration(enabled=True, lower={"cpu": 0.5}, upper={"cpu": 1.4}, largest_step={"cpu": 0.2}),
        )
    )

    def ask(self, **changes: Any) -> GateWorld:
        self.request = replace(self.request, **changes)
        return self

    def certified(self, key: SigningKey = KEY, **changes: Any) -> GateWorld:
        return self.ask(certificate=key.sign(make_certificate(**changes)))

    def forged(self, payload: bytes) -> GateWorld:
        assert self.request.certificate is not None
        return self.ask(certificate=replace(self.request.certificate, payload=payload))

    def see(self, **changes: Any) -> GateWorld:
        self.observation = replace(self.observation, **changes)
        return self

    def need(self, **changes: Any) -> GateWorld:
        self.settings = replace(self.settings, requirements=make_requirements(**changes))
        return self

    def explore(self, target: dict[str, float], **changes: Any) -> GateWorld:
        exploration = replace(self.settings.exploration, **changes)
        self.settings = replace(self.settings, exploration=exploration)
        return self.ask(mode=Mode.EXPLORATION, certificate=None, target=target)

    def check(self) -> GateResult:
        return check(self.request, self.observation, self.settings)

    def codes(self) -> set[ReasonCode]:
        reasons = self.check().reasons
        for reason in reasons:
            assert reason.text
            assert reason.text.isprintable(), reason.text
            assert len(reason.text) < 300
        return {r.code for r in reasons}


def signature_of(payload: bytes) -> SignedCertificate:
    """A payload under a signature that is none."""
    return SignedCertificate(payload=payload, signature=bytes(64))
