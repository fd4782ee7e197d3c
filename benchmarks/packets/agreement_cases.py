"""The cases in which the compiled data plane is held against the reference: cells, loads, quotas, what is set when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from twin.air import AirInterface
from twin.cfs_burst import CfsBurst
from twin.harq import Harq
from twin.link_adaptation import LinkAdaptation
from twin.link_noise import Distribution, LinkNoise, LinkState
from twin.lock_step import LockStep
from twin.parameters import CellParameters, GrantPolicy, Scheduler
from twin.reference import Step

__all__ = ["CASES", "MECHANISMS", "RADIO", "Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A cell, what is offered to it in Mbit/s and its quotas in cores. `overload`: its queues overflow.

    Cells that are `beside` it get the same load and DU quota; `cu_of` names the CUs. `steps` happen in order.
    """

    cell: CellParameters = field(default_factory=CellParameters)
    beside: tuple[CellParameters, ...] = ()
    cu_of: tuple[int, ...] = (0,)
    steps: tuple[Step, ...] = ()
    dl_mbps: float = 10.0
    ul_mbps: float = 10.0
    du_cores: float = 16.0
    cu_cores: float = 16.0
    overload: bool = False

    @property
    def cells(self) -> tuple[CellParameters, ...]:
        """All cells."""
        return self.cell, *self.beside

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Everything that is set, from the start on."""
        rows = range(len(self.cells))
        load = {"dl_mbps": self.dl_mbps, "ul_mbps": self.ul_mbps}
        quota = {"du_cores": self.du_cores, "cu_cores": self.cu_cores}
        start = [
            Step(0, name, (row,), values) for name, values in (("set_load", load), ("set_quota", quota)) for row in rows
        ]
        return *start, *self.steps

    def earlier(self, by_ms: int) -> Case:
        """Return this case with everything that happens after its start so much earlier."""

        def moved(step: Step) -> Step:
            if step.time_ms == 0:
                return step
            values, named = step.values, dict(step.named)
            if step.method.startswith("down_"):
                values = values[0], values[1] - by_ms
            if "resume_ms" in named:
                named["resume_ms"] -= by_ms
            return Step(step.time_ms - by_ms, step.method, values, named)

        return replace(self, steps=tuple(moved(step) for step in self.steps))


CASES: Mapping[str, Case] = {
    "unthrottled": Case(),
    "du-throttled-0.70": Case(du_cores=0.70),
    "du-throttled-0.65": Case(du_cores=0.65),
    "du-throttled-0.60": Case(du_cores=0.60),
    "du-throttled-0.55": Case(du_cores=0.55),
    "du-saturated-0.40": Case(du_cores=0.40, overload=True),
    "cu-throttled-0.42": Case(cu_cores=0.42),
    "cu-throttled-0.38": Case(cu_cores=0.38),
    "cu-saturated-0.34": Case(cu_cores=0.34, overload=True),
    "cu-starved-0.12": Case(cu_cores=0.12, overload=True),
    "both-throttled": Case(du_cores=0.60, cu_cores=0.40),
    "both-saturated": Case(du_cores=0.45, cu_cores=0.36, overload=True),
    "downlink-heavy": Case(du_cores=0.62, dl_mbps=14.0, ul_mbps=3.0),
    "uplink-heavy": Case(du_cores=0.65, dl_mbps=2.0, ul_mbps=14.0),
    "idle": Case(du_cores=0.45, dl_mbps=0.0, ul_mbps=0.0),
    "batch": Case(cell=CellParameters(grant_policy=GrantPolicy.BATCH), du_cores=0.60),
    "one-ue": Case(cell=CellParameters(n_ue=1), du_cores=0.60),
    "ten-ues": Case(cell=CellParameters(n_ue=10), du_cores=0.65),
    "narrow-links": Case(
        cell=CellParameters(n_ue=4, cap_prb_dl=21, cap_prb_ul=17), du_cores=0.68, dl_mbps=7.0, ul_mbps=6.0
    ),
    "full-buffers": Case(
        cell=CellParameters(full_buffer_dl=True, full_buffer_ul=True), du_cores=0.60, dl_mbps=0.0, ul_mbps=0.0
    ),
}
"""The cases that tests and benchmark share, by name."""

_CELL = CellParameters()
_LOCKED = replace(_CELL, lock_step=LockStep())
_LATER = 1200


def _step(method: str, *values: object, at: int = _LATER, **named: object) -> Step:
    return Step(at, method, values, named)


MECHANISMS: Mapping[str, Case] = {
    "cu-of-two-cells": Case(beside=(_CELL,), cu_of=(0, 0), du_cores=0.70, cu_cores=0.75),
    "cus-of-three-cells": Case(beside=(_CELL, _CELL), cu_of=(1, 0, 1), du_cores=0.80, cu_cores=0.80),
    "lock-step": Case(cell=_LOCKED, du_cores=0.70),
    "lock-step-starved": Case(cell=_LOCKED, du_cores=0.50, overload=True),
    "lock-step-slow": Case(cell=replace(_CELL, lock_step=LockStep(pace_cap=0.6)), dl_mbps=7.0, ul_mbps=7.0),
    "lock-step-far-radio": Case(
        cell=replace(
            _LOCKED,
            fronthaul_noise=LinkNoise(jitter_ms=0.3, distribution=Distribution.PARETONORMAL, loss=0.001),
        ),
        du_cores=0.80,
    ),
    "burst": Case(
        cell=replace(_CELL, burst=CfsBurst(burst_du_ms=30.0, burst_cu_ms=20.0)), du_cores=0.68, cu_cores=0.42
    ),
    "noisy-links": Case(
        cell=replace(
            _CELL,
            midhaul_noise=LinkNoise(jitter_ms=0.3, correlation=0.5, loss=0.01),
            backhaul_noise=LinkNoise(jitter_ms=0.5, distribution=Distribution.PARETO, to_bad=0.01, to_good=0.3),
        )
    ),
    "noisy-links-normal": Case(
        cell=replace(
            _CELL,
            midhaul_noise=LinkNoise(jitter_ms=1.0, distribution=Distribution.NORMAL, correlation=0.9),
            backhaul_noise=LinkNoise(jitter_ms=1.0, distribution=Distribution.UNIFORM, loss=0.1),
        ),
        du_cores=0.65,
    ),
    "short-queue-of-a-line": Case(
        steps=(
            _step("set_link", 0, "backhaul", LinkState(delay_ms=1.0, rate_mbps=9.0, noise=LinkNoise(limit_packets=5))),
        ),
        overload=True,
    ),
    "late-fronthaul": Case(
        cell=replace(
            _CELL,
            fronthaul_noise=LinkNoise(jitter_ms=0.05, distribution=Distribution.NORMAL, window_ms=0.15, loss=0.02),
        )
    ),
    "outage-of-a-du": Case(steps=(_step("down_du", 0, 1500.0),)),
    "outage-of-a-throttled-du": Case(du_cores=0.65, steps=(_step("down_du", 0, 1450.5),)),
    "outage-of-a-cu": Case(steps=(_step("down_cu", 0, 1500.0),)),
    "outage-in-lock-step": Case(cell=_LOCKED, du_cores=0.80, steps=(_step("down_du", 0, 1500.0),)),
    "outage-beside-a-cell": Case(beside=(_CELL,), cu_of=(0, 0), steps=(_step("down_du", 1, 1500.0),)),
    "contention": Case(du_cores=0.80, steps=(_step("contention", 0, du_factor=1.2, cu_factor=1.5),)),
    "slower-host": Case(du_cores=0.80, steps=(_step("set_parallelism", 0, du=1.0, cu=0.6),)),
    "held-demand": Case(steps=(_step("hold_demand", 0, 0.9),)),
    "held-stall": Case(steps=(_step("hold_stall", 0, 0.3),)),
    "new-links": Case(
        steps=(
            _step("set_link", 0, "midhaul", LinkState(delay_ms=3.0)),
            _step("set_link", 0, "backhaul", LinkState(delay_ms=1.0, rate_mbps=30.0), at=1300),
        )
    ),
    "no-pipeline": Case(cell=replace(_CELL, dl_pipeline_ms=0.0), du_cores=0.65),
    "new-load-up": Case(
        steps=(
            _step("set_load", 0, dl_mbps=10.0, ul_mbps=0.0),
            _step("set_load", 0, dl_mbps=10.0, ul_mbps=4.0, at=1500),
        )
    ),
    "new-load": Case(
        steps=(
            _step("set_load", 0, dl_mbps=3.0, ul_mbps=0.0),
            _step("set_load", 0, dl_mbps=6.0, ul_mbps=4.0, at=1500),
        )
    ),
}
"""Cases of what may be switched on or happen besides."""

_AIR = AirInterface(snr_dl_db=14.0, snr_ul_db=13.0, adaptation=LinkAdaptation(olla_step_db=0.01, olla_target=0.1))
_ERRORS = replace(_CELL, air=_AIR)
_SLOTS = replace(_CELL, ue_slots=6)


def _snr(way: int, *values_db: float, at: int = 0) -> Step:
    return _step("set_snr", way, np.array([values_db]), at=at)


_APART = (_snr(0, 8.0, 17.0, 26.0), _snr(1, 9.0, 16.0, 25.0))

RADIO: Mapping[str, Case] = {
    "blocks-fail": Case(cell=_ERRORS, dl_mbps=5.0, ul_mbps=5.0),
    "blocks-fail-throttled": Case(cell=_ERRORS, dl_mbps=4.0, ul_mbps=4.0, du_cores=0.65),
    "ues-apart": Case(cell=_ERRORS, dl_mbps=7.0, ul_mbps=6.0, steps=_APART),
    "ues-apart-overloaded": Case(cell=_ERRORS, steps=_APART, overload=True),
    "given-up-by-harq": Case(
        cell=replace(
            _CELL, air=replace(_AIR, harq=Harq(max_retx=1, rtt_slots=6, processes=3, rlc_ms=30.0), snr_ul_db=10.0)
        ),
        dl_mbps=4.0,
        ul_mbps=3.0,
        steps=(_step("hold", 0, "bler_ul", 0.4), _step("hold", 0, "bler_dl", 0.3)),
    ),
    "link-fails": Case(
        cell=replace(_CELL, air=replace(_AIR, harq=Harq(rlf_kos=12, rlf_ms=150.0))),
        dl_mbps=3.0,
        ul_mbps=3.0,
        steps=(_snr(1, 13.0, -20.0, 13.0), _snr(1, 13.0, 13.0, 13.0, at=1400)),
    ),
    "blocks-fail-in-lock-step": Case(
        cell=replace(_ERRORS, lock_step=LockStep()), dl_mbps=4.0, ul_mbps=4.0, du_cores=0.6
    ),
    "proportional-fair": Case(
        cell=replace(_ERRORS, scheduler=Scheduler.PF), dl_mbps=8.0, ul_mbps=7.0, steps=_APART, overload=True
    ),
    "proportional-fair-without-errors": Case(cell=replace(_CELL, scheduler=Scheduler.PF), du_cores=0.65),
    "batch-with-errors": Case(cell=replace(_ERRORS, grant_policy=GrantPolicy.BATCH), dl_mbps=5.0, ul_mbps=5.0),
    "narrower": Case(cell=_ERRORS, dl_mbps=4.0, ul_mbps=4.0, steps=(_step("set_bandwidth", 0, 15),)),
    "wider-without-errors": Case(dl_mbps=14.0, ul_mbps=14.0, steps=(_step("set_bandwidth", 0, 50),)),
    "held-mcs": Case(
        cell=_ERRORS, dl_mbps=4.0, ul_mbps=4.0,
        steps=(
            _step("hold", 0, "mcs_dl", 7.0),
            _step("hold", 0, "mcs_ul", 6.0),
            _step("hold", 0, "mcs_ul", None, at=1500),
        ),
    ),
    "held-snr": Case(
        cell=_ERRORS, dl_mbps=4.0, ul_mbps=4.0, steps=(_step("hold", 0, "snr", 11.0), _step("hold", 0, "sdl", 20.0))
    ),
    "held-prbs": Case(steps=(_step("hold", 0, "prb_dl", 60.0), _step("hold", 0, "prb_ul", 47.3))),
    "load-of-one-ue": Case(
        cell=_SLOTS, dl_mbps=6.0, ul_mbps=6.0, steps=(_step("set_ue_load", 0, 1, dl_mbps=2.0, ul_mbps=5.0),)
    ),
    "comes-and-goes": Case(
        cell=_SLOTS, dl_mbps=6.0, ul_mbps=6.0,
        steps=(
            _step("attach", 0, 4, at=1100),
            _step("set_ue_load", 0, 4, dl_mbps=2.0, ul_mbps=2.0, at=1100),
            _step("detach", 0, 1, at=1300),
            _step("attach", 0, 1, at=1400),
            _step("set_ue_load", 0, 1, dl_mbps=3.0, ul_mbps=1.0, at=1400),
        ),
    ),
    # At these times no packet is at the CU that the data plane's CU takes only after its next slot.
    "handover": Case(
        cell=_SLOTS, beside=(_SLOTS,), cu_of=(0, 1), dl_mbps=6.0, ul_mbps=6.0,
        steps=(
            _step("move_ue", 0, 1, 1, 3, at=1202, resume_ms=1292.0),
            _step("move_ue", 1, 0, 0, 1, at=1402, resume_ms=1502.0),
        ),
    ),
    "handover-loses": Case(
        cell=_SLOTS, beside=(_SLOTS,), cu_of=(0, 1), du_cores=0.7, dl_mbps=6.0, ul_mbps=6.0,
        steps=(
            _step("move_ue", 0, 1, 1, 3, at=1202, resume_ms=1292.0, forward=False),
            _step("move_ue", 1, 0, 0, 1, resume_ms=1502.0, lose_in_flight=True, at=1402),
        ),
    ),
    "handover-within-a-cu": Case(
        cell=_SLOTS, beside=(_SLOTS,), cu_of=(0, 0), du_cores=0.75, dl_mbps=6.0, ul_mbps=6.0,
        steps=(
            _step("move_ue", 0, 1, 1, 3, at=1202, resume_ms=1292.0),
            _step("move_ue", 1, 0, 0, 1, at=1402, resume_ms=1502.0),
        ),
    ),
    "handover-with-errors": Case(
        cell=replace(_SLOTS, air=_AIR), beside=(replace(_SLOTS, air=_AIR),), cu_of=(0, 1), dl_mbps=4.0, ul_mbps=4.0,
        steps=(_step("move_ue", 0, 1, 1, 3, at=1202, resume_ms=1292.0),),
    ),
}  # fmt: skip
"""Cases of radio and MAC: blocks that fail, UEs that differ, that come, go and hand over."""
