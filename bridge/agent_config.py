"""The agent's own configuration: one strict TOML file that the operator of the testbed writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.settings import EngineSettings

__all__ = ["AgentConfig", "Tls", "agent_config_text", "load_agent_config", "parse_agent_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Mutual TLS: the agent's certificate and key, the authority of its peers, and who of them may do what.

    `operators` and `viewers` are common names or subject alternative names; a peer in neither list may do nothing.
    """

    cert: Path
    key: Path
    client_ca: Path
    operators: frozenset[str] = frozenset()
    viewers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """All that `run_agent` needs.

    `listen` is `unix:PATH` or `HOST:PORT` (port 0: any free one). `backend_options` go to the backend as they are.
    `metrics_listen` is `HOST:PORT` or empty for no metrics. `poll_s` is how often the testbed is looked at.
    `trusted_keys` are the files whose keys stand in `engine.requirements.trusted_keys`.
    """

    state_dir: Path
    listen: str
    backend: str
    engine: EngineSettings
    backend_options: Mapping[str, object] = field(default_factory=dict)
    trusted_keys: tuple[Path, ...] = ()
    token_file: Path | None = None
    tls: Tls | None = None
    poll_s: float = 0.2
    reflection: bool = False
    metrics_listen: str = ""


def load_agent_config(path: Path) -> AgentConfig:
    """Read a configuration file; paths in it are relative to its folder. InputError names file, key and value."""
    raise NotImplementedError


def parse_agent_config(text: str, *, source: str, folder: Path) -> AgentConfig:
    """Read a configuration from its text; InputError names `source`, key and value."""
    raise NotImplementedError


def agent_config_text(config: AgentConfig) -> str:
    """Return the TOML text of a configuration: `rantwin serve` writes its default with it."""
    raise NotImplementedError
