"""One testbed, its agent and an operator who signs certificates: what every fault is injected into."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.testbed.agent import AgentProcess
from benchmarks.testbed.plant import PATIENCE_S, Plant, Recording, Testbed, boot_s, pair_scenario
from bridge.agent_config import AgentConfig, agent_config_text
from bridge.client import TestbedClient
from bridge.journal_reader import JournalReader
from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion
from bridge.settings import BlastRadius, EngineSettings
from bridge.testbed import JournalEntry
from col.certificate import Certificate, Prediction
from col.signing import make_keys, read_private_key
from tui.requirements import requirements_of
from twin.scenario import Scenario, load_scenario

__all__ = ["Levels", "World", "open_world"]

_ANY = Prediction(base_low=-1e6, base_high=1e6, target_low=-1e6, target_high=1e6)
"""What a certificate predicts here: drift is not what these benchmarks are about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Limits to go between [core]: `du` and `cu` are two harmless ones, `other` and `theirs` two more of the CU's.

    A DU carries nothing like what is offered with `starved`.
    """

    du: tuple[float, float] = (1.0, 1.2)
    cu: tuple[float, float] = (1.0, 1.2)
    other: float = 0.9
    theirs: float = 0.8
    starved: float = 0.3


@dataclass
class World:
    """Everything that a fault needs. `base` is the configuration confirmed at the start."""

    folder: Path
    scenario: Scenario
    plant: Testbed
    agent: AgentProcess
    config: AgentConfig
    wall_window_s: float
    base: Mapping[str, float]
    levels: Levels = Levels()
    testbed: tuple[str, str] = ("embedded", "srsran-25.10")
    """Its id and stack, as certificates name them."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._key = read_private_key(self.folder / "keys" / "signing.pem")

    @contextmanager
    def client(self) -> Iterator[TestbedClient]:
        """Yield a connection to the agent as it is now."""
        with TestbedClient(self.agent.address) as client:
            yield client

    def confirmed(self) -> dict[str, float]:
        """Return the configuration that the last confirmed promotion left, by the journal of confirmations."""
        out = dict(self.base)
        for entry in self.journal():
            if entry.state_after == "confirmed" and isinstance(values := entry.details.get("values"), dict):
                out.update(values)
        return out

    def request(self, target: Mapping[str, float], **changes: object) -> PlanRequest:
        """Return a request with a fresh id and a certificate for going from what is confirmed to `target`."""
        base = self.confirmed()
        scenario, now_s = self.scenario, time.time()
        certificate = Certificate(
            testbed_id=self.testbed[0],
            stack=self.testbed[1],
            radio_mode="rt",
            scenario=scenario.name,
            scenario_digest=scenario.digest,
            calibration_id=scenario.calibration_id,
            window_s=scenario.window.length_s,
            specification=scenario.specification.text,
            alpha=scenario.alpha,
            delta=scenario.delta,
            bound=scenario.alpha,
            horizons=29,
            passes=29,
            base=base,
            target={**base, **target},
            predictions=dict.fromkeys(sorted(scenario.specification.metrics), _ANY),
            issued_at_s=now_s,
            expires_at_s=now_s + 86_400.0,
            key_id="",
        )
        request = PlanRequest(
            promotion_id=f"p{next(self._numbers)}-{boot_s():.0f}",
            target=dict(target),
            certificate=self._key.sign(certificate),
            lease_ttl_s=10.0,
            trial_timeout_s=300.0,
        )
        return replace(request, **changes)  # type: ignore[arg-type]

    def plan(self, client: TestbedClient, target: Mapping[str, float], **changes: object) -> Plan:
        """Return a plan that the gate has let through, waiting for the testbed to satisfy φ again where it must."""
        until = boot_s() + PATIENCE_S
        while True:
            request = self.request(target, **changes)
            plan = client.plan(replace(request, dry_run=True))
            if plan.is_allowed:
                plan = client.plan(request)
                if plan.is_allowed:
                    return plan
            if boot_s() > until:
                raise RuntimeError(f"the gate stays shut: {'; '.join(r.text for r in plan.reasons)}")
            time.sleep(0.3 * self.wall_window_s)

    def wait(
        self, client: TestbedClient, promotion_id: str, happened: Callable[[Promotion], bool], *, renew: bool = True
    ) -> Promotion:
        """Return the promotion once something has happened to it, keeping its lease meanwhile."""
        until = boot_s() + PATIENCE_S
        while True:
            promotion = client.renew_lease(promotion_id) if renew else client.promotion(promotion_id)
            if happened(promotion):
                return promotion
            if boot_s() > until:
                raise RuntimeError(f"{promotion_id} stays {promotion.state}, verdict {promotion.verdict}")
            time.sleep(0.05 * self.wall_window_s)

    def journal(self, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return the journal, read from its file."""
        reader = JournalReader.open_file(self.config.journal)
        try:
            return tuple(_pages(reader, promotion_id))
        finally:
            reader.close()

    def cause_s(self, promotion_id: str) -> float | None:
        """Return when the cause of a rollback was, on the agent's monotonic clock; None where none was rolled back."""
        for entry in reversed(self.journal(promotion_id)):
            if isinstance(at_s := entry.details.get("cause_s"), float):
                return at_s
        return None

    def recording(self) -> Recording:
        """Record what is in force from now on."""
        return Recording(self.plant)


def _pages(reader: JournalReader, promotion_id: str) -> Iterator[JournalEntry]:
    since = 1
    while page := reader.entries(since, 1000, promotion_id):
        yield from page
        since = page[-1].number + 1


@contextmanager
def open_world(*, wall_window_s: float, seed: int, state: Path | None = None) -> Iterator[World]:
    """Yield a world of real processes in a folder of its own; `state` is where the agent keeps its journal."""
    with TemporaryDirectory(prefix="rw") as name:
        folder = Path(name)
        scenario_file = pair_scenario(folder / "pair.toml")
        scenario = load_scenario(scenario_file)
        make_keys(folder / "keys" / "signing.pem", folder / "keys" / "signing.pub")
        config = AgentConfig(
            state_dir=state or folder / "agent",
            listen=f"unix:{folder}/agent.sock",
            backend="emulated",
            backend_options={"socket": str(folder / "plant.sock")},
            trusted_keys=(folder / "keys" / "signing.pub",),
            poll_s=min(0.2, wall_window_s / 10),
            engine=EngineSettings(
                requirements=requirements_of(scenario, {}),
                blast=BlastRadius(largest_step={"cpu": 2.0}),
                settle_s=scenario.window.settle_s,
                call_timeout_s=max(0.5, wall_window_s),
                lease_ttl_min_s=0.1,
            ),
        )
        (folder / "agent.toml").write_text(agent_config_text(config), encoding="utf-8")
        plant = Plant(folder, scenario_file, wall_window_s=wall_window_s, seed=seed)
        agent = AgentProcess(folder / "agent.toml")
        try:
            agent.start()
            yield World(folder, scenario, plant, agent, config, wall_window_s, plant.in_force())
        finally:
            agent.close()
            plant.close()
