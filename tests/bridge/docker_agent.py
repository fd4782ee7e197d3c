"""An agent on real containers, in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bridge.agent import Agent
from bridge.agent_config import AgentConfig, agent_config_text, load_agent_config
from bridge.client import LeaseKeeper, TestbedClient
from bridge.plan import Mode, PlanRequest
from bridge.promotion import Promotion, State
from bridge.settings import BlastRadius, EngineSettings, Exploration, Requirements, WatchLimits
from col.errors import RefusedError
from tests.bridge.docker_world import KEYS, DockerWorld, Proxy, inventory, wait_until

PHI = "always[0,1](thrp_du_1 <= 0.2)"
"""Nobody who has a core of his own is throttled; whoever may use a fiftieth of one is all the time."""
BOX = {"mem_du_1": (16.0, 128.0), "mem_du_2": (16.0, 128.0)} | dict.fromkeys(
    ("cpu_du_1", "cpu_du_2", "cpu_cu_1", "cpu_cu_2"), (0.02, 2.0)
)
REFERENCE = 1.0
SERVE = "import sys; from pathlib import Path; from bridge.agent import run_agent; \
from bridge.agent_config import load_agent_config; \
run_agent(load_agent_config(Path(sys.argv[1])), lambda address: print(address, flush=True))"


class AgentOnDocker:
    """An agent on the containers of a world, through an engine that can misbehave."""

    def __init__(
        self,
        world: DockerWorld,
        folder: Path,
        *,
        window_s: float = 1.0,
        extra: str = "",
        box: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.world, self.proxy = world, Proxy(folder / "engine.sock")
        for key in KEYS:
            container = world.container(key)
            if container.status != "running":
                container.restart(timeout=0)
            container.client.api.post(
                f"{container.client.api.base_url}/v1.41/containers/{container.id}/update", json={"NanoCpus": 10**9}
            ).raise_for_status()
        box = BOX | dict(box or {})
        where = inventory(world, folder, docker=f"unix://{self.proxy.path}", window_s=window_s, extra=extra)
        self.config = folder / "agent.toml"
        settings = EngineSettings(
            requirements=Requirements(
                specification=PHI,
                alpha=0.9,
                delta=0.05,
                scenario_digests=frozenset(),
                calibration_ids=frozenset(),
                trusted_keys={},
            ),
            exploration=Exploration(
                enabled=True,
                lower={n: low for n, (low, _) in box.items()},
                upper={n: top for n, (_, top) in box.items()},
            ),
            blast=BlastRadius(most_gnbs=2),
            watch=WatchLimits(inconclusive_limit=5),
            settle_s=0.2,
            call_timeout_s=20.0,
        )
        self.config.write_text(
            agent_config_text(
                AgentConfig(
                    state_dir=folder / "state",
                    listen=f"unix:{folder}/agent.sock",
                    backend="docker",
                    backend_options={"inventory": str(where)},
                    engine=settings,
                )
            )
        )
        self.process: subprocess.Popen[str] | None = None
        self.agent: Agent | None = None
        self.address = f"unix:{folder}/agent.sock"

    def start(self) -> None:
        """Run it in this process."""
        self.agent = Agent(load_agent_config(self.config))
        self.agent.start()

    def start_process(self) -> None:
        """Run it in a process of its own, which can be killed."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.config)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the agent did not start"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def limit(self, key: str) -> float:
        """Return the CPU limit in the engine's own books, asked past the agent."""
        return self.world.container(key).attrs["HostConfig"]["NanoCpus"] / 1e9

    def client(self) -> TestbedClient:
        return TestbedClient(self.address, timeout_s=60.0, patience_s=120.0)

    def begin(self, client: TestbedClient, name: str, target: dict[str, float], **changes: object) -> str:
        """Apply a trial as soon as the gate lets it (a busy machine has windows without numbers); return its id."""
        base = PlanRequest(promotion_id=name, target=target, mode=Mode.EXPLORATION, windows=4, lease_ttl_s=60.0)
        begun: list[str] = []

        def applied() -> bool:
            request = replace(base, promotion_id=f"{name}-{uuid.uuid4().hex[:6]}", **changes)  # type: ignore[arg-type]
            plan = client.plan(request)
            if plan.reasons:
                return False
            try:
                client.apply(request.promotion_id, plan.digest)
            except RefusedError:
                return False
            begun.append(request.promotion_id)
            return True

        wait_until(applied, "a trial that the gate lets pass")
        return begun[0]

    def end(self, client: TestbedClient, promotion_id: str, *states: State) -> Promotion:
        """Return a promotion once it is in one of these states, with its lease kept."""
        with LeaseKeeper(client, promotion_id, 60.0):
            for promotion in client.watch(promotion_id):
                if promotion.state in states or promotion.state.is_final:
                    return promotion
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self.proxy.mode = "pass"
        if self.agent is not None:
            self.agent.stop()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.proxy.close()
