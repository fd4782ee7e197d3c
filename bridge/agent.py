"""The agent beside a testbed: one engine, one gRPC server, and an orderly end."""

from __future__ import annotations

from collections.abc import Callable

from bridge.agent_config import AgentConfig

__all__ = ["run_agent"]


def run_agent(config: AgentConfig, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; call `ready` with the address (`unix:PATH` or `HOST:PORT`) once it answers.

    Raises:
        InputError: the configuration cannot be served as it is (address taken, files missing, TLS needed).
        UnreachableError: the state folder belongs to another agent that runs.
    """
    raise NotImplementedError
