"""An engine with everything around it under the test's control: testbed, journal, gate and clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.clock import ManualClock
from bridge.engine import Engine
from bridge.gate import GateResult, Observation
from bridge.identity import Identity, Role
from bridge.journal import Journal
from bridge.plan import Change, Mode, PlanRequest
from bridge.promotion import Promotion
from bridge.reasons import Reason, ReasonCode
from bridge.settings import EngineSettings, Requirements
from tests.bridge.scripted_backend import WINDOW_S, ScriptedBackend

OPERATOR = Identity(name="olga", role=Role.OPERATOR, proof="test")
OTHER = Identity(name="otto", role=Role.OPERATOR, proof="test")
VIEWER = Identity(name="vera", role=Role.VIEWER, proof="test")
BASE = {"cpu_a": 2.0, "cpu_b": 2.0, "bias": 0.0}
TARGET = {"cpu_a": 1.5, "cpu_b": 1.75, "bias": 0.0}
SPECIFICATION = "always[0,2](late_a <= 0.1 and late_b <= 0.1)"
SETTINGS = EngineSettings(
    requirements=Requirements(
        specification=SPECIFICATION,
        alpha=0.9,
        delta=0.05,
        scenario_digests=frozenset(),
        calibration_ids=frozenset(),
        trusted_keys={},
    )
)


def open_gate(request: PlanRequest, observation: Observation, settings: EngineSettings) -> GateResult:
    """A gate that minds only what the engine itself is held to: one trial at a time, and the agent's problems."""
    reasons = list(observation.problems)
    if observation.active is not None:
        reasons.append(Reason(code=ReasonCode.TRIAL_IN_FLIGHT, text="another trial is in flight"))
    if observation.reading is None:
        reasons.append(Reason(code=ReasonCode.BACKEND_UNREACHABLE, text="the testbed cannot be read"))
    before = dict(observation.reading.controls if observation.reading else observation.confirmed)
    after = {**observation.confirmed, **request.target}
    changes = tuple(
        Change(control=c, before=before[c], after=after[c], unit="") for c in before if before[c] != after.get(c)
    )
    return GateResult(reasons=tuple(reasons), before=before, after=after, changes=changes)


@dataclass
class World:
    folder: Path
    settings: EngineSettings = SETTINGS
    clock: ManualClock = field(default_factory=ManualClock)
    automation: bool = False
    journal_options: dict[str, int] = field(default_factory=lambda: {"reserve_bytes": 2**16})

    def __post_init__(self) -> None:
        self.testbed = ScriptedBackend(self.clock, automation=self.automation)
        self.start()
        self.wait(6 * WINDOW_S)

    def start(self) -> None:
        self.journal = Journal(self.folder / "journal.db", self.clock, **self.journal_options)
        self.engine = Engine(self.testbed, self.journal, open_gate, self.settings, self.clock)
        self.engine.recover()

    def die(self) -> None:
        """The process is gone: nothing is tidied up."""
        self.journal.close()

    def restart(self) -> None:
        self.die()
        self.start()

    def wait(self, seconds: float, *, heartbeat: str = "", step_s: float = 1.0) -> None:
        """Let time pass, with a tick a step and heartbeats for a promotion if named."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            if heartbeat:
                self.engine.renew_lease(OPERATOR, heartbeat)
            self.engine.tick()

    def request(self, promotion_id: str = "p1", **changes: object) -> PlanRequest:
        base = PlanRequest(promotion_id=promotion_id, target={"cpu_a": 1.5, "cpu_b": 1.75})
        return replace(base, **changes)  # type: ignore[arg-type]

    def apply(self, promotion_id: str = "p1", **changes: object) -> Promotion:
        plan = self.engine.plan(OPERATOR, self.request(promotion_id, **changes))
        assert plan.is_allowed, plan.reasons
        return self.engine.apply(OPERATOR, promotion_id, plan.digest)

    def explore(self, promotion_id: str = "p1", **changes: object) -> Promotion:
        return self.apply(promotion_id, **{"mode": Mode.EXPLORATION, "windows": 3, **changes})

    def states(self, promotion_id: str = "p1") -> list[str]:
        entries = self.engine.journal(1, 1000, promotion_id)
        return [e.state_after for e in entries if e.state_after != e.state_before]


def restored_after_s(world: World, promotion_id: str = "p1") -> float:
    """Return how long after its cause the way back of a promotion was done."""
    details = world.engine.journal(1, 10_000, promotion_id)[-1].details
    return float(str(details["restored_s"])) - float(str(details["cause_s"]))
