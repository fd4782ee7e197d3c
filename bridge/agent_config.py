"""The agent's own configuration: one strict TOML file that the operator of the testbed writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.agent_config_reader import Section, read_toml
from bridge.settings import BlastRadius, EngineSettings, Exploration, Requirements, WatchLimits
from col.errors import InputError
from col.specification import Specification

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
    `publish` says where windows go besides the journal (`bridge.telemetry.kafka.make_publisher`); empty for nowhere.
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
    publish: Mapping[str, object] = field(default_factory=dict)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state_dir / "journal.db"


def load_agent_config(path: Path) -> AgentConfig:
    """Read a configuration file; paths in it are relative to its folder. InputError names file, key and value."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", source=str(path)) from error
    return parse_agent_config(text, source=str(path), folder=path.parent)


def parse_agent_config(text: str, *, source: str, folder: Path) -> AgentConfig:
    """Read a configuration from its text; InputError names `source`, key and value."""
    root = read_toml(text, source=source, folder=folder)
    agent, tls, backend = root.section("agent"), root.section("tls"), root.section("backend")
    keys = root.section("requirements").paths("trusted_keys")
    config = AgentConfig(
        state_dir=agent.path("state_dir"),
        listen=_listen(agent, folder),
        backend=backend.text("name"),
        backend_options=backend.rest(),
        engine=_engine(root, keys),
        trusted_keys=keys,
        token_file=agent.path("token_file") if agent.has("token_file") else None,
        tls=_tls(tls) if root.has("tls") else None,
        poll_s=agent.number("poll_s", 0.2, low=0.005, high=60.0),
        reflection=agent.flag("reflection", False),
        metrics_listen=agent.text("metrics_listen", ""),
        publish=root.section("publish").rest() if root.has("publish") else {},
    )
    root.close()
    _check_listen(config, source)
    return config


def _listen(agent: Section, folder: Path) -> str:
    listen = agent.text("listen")
    if listen.startswith("unix:"):
        return f"unix:{folder / Path(listen.removeprefix('unix:')).expanduser()}"
    return listen


def _tls(tls: Section) -> Tls:
    return Tls(
        cert=tls.path("cert"),
        key=tls.path("key"),
        client_ca=tls.path("client_ca"),
        operators=frozenset(tls.texts("operators")),
        viewers=frozenset(tls.texts("viewers")),
    )


def _check_listen(config: AgentConfig, source: str) -> None:
    from bridge.auth import check_exposure, parse_address

    address = parse_address(config.listen, source=source, key="agent.listen")
    has_token = config.token_file is not None
    check_exposure(address, tls=config.tls is not None, token=has_token, source=source, key="agent.listen")
    if config.metrics_listen:
        key = "agent.metrics_listen"
        if not parse_address(config.metrics_listen, source=source, key=key).is_loopback:
            text = "metrics ask nobody who they are: loopback only, with a proxy of your own in front of it"
            raise InputError(text, source=source, key=key, value=config.metrics_listen)


def _engine(root: Section, keys: tuple[Path, ...]) -> EngineSettings:
    needs, blast, exploration = root.section("requirements"), root.section("blast"), root.section("exploration")
    watch, timing, keep, test = (root.section(name) for name in ("watch", "timing", "keep", "test"))
    d = EngineSettings(requirements=_no_requirements())
    return EngineSettings(
        requirements=_requirements(needs, keys),
        blast=BlastRadius(
            largest_step=blast.numbers("largest_step", low=0.0),
            most_gnbs=blast.whole("most_gnbs", d.blast.most_gnbs, low=1),
            min_spacing_s=blast.number("min_spacing_s", d.blast.min_spacing_s, low=0.0, high=1e7),
        ),
        exploration=Exploration(
            enabled=exploration.flag("enabled", False),
            lower=exploration.numbers("lower"),
            upper=exploration.numbers("upper"),
            largest_step=exploration.numbers("largest_step", low=0.0),
            most_gnbs=exploration.whole("most_gnbs", d.exploration.most_gnbs, low=1),
        ),
        watch=WatchLimits(
            failure_limit=watch.whole("failure_limit", d.watch.failure_limit, low=1),
            inconclusive_limit=watch.whole("inconclusive_limit", d.watch.inconclusive_limit, low=1),
            initial_delay_windows=watch.whole("initial_delay_windows", d.watch.initial_delay_windows, low=0),
        ),
        settle_s=timing.number("settle_s", d.settle_s, low=0.0, high=3600.0),
        call_timeout_s=timing.number("call_timeout_s", d.call_timeout_s, low=0.01, high=60.0),
        plan_ttl_s=timing.number("plan_ttl_s", d.plan_ttl_s, low=1.0, high=1e6),
        lease_ttl_min_s=timing.number("lease_ttl_min_s", d.lease_ttl_min_s, low=0.01, high=3600.0),
        lease_ttl_max_s=timing.number("lease_ttl_max_s", d.lease_ttl_max_s, low=0.01, high=86_400.0),
        trial_timeout_max_s=timing.number("trial_timeout_max_s", d.trial_timeout_max_s, low=0.1, high=7 * 86_400.0),
        windows_kept=keep.whole("windows", d.windows_kept, low=10),
        promotions_kept=keep.whole("promotions", d.promotions_kept, low=1),
        rollback_enabled=test.flag("rollback_enabled", True),
    )


def _requirements(needs: Section, keys: tuple[Path, ...]) -> Requirements:
    from col.signing import read_public_key

    trusted = [read_public_key(path) for path in keys]
    specification = needs.text("specification")
    d = _no_requirements()
    return Requirements(
        specification=Specification.parse(specification, source=needs.source, key="requirements.specification").text,
        alpha=needs.number("alpha", d.alpha, low=0.0, high=1.0),
        delta=needs.number("delta", d.delta, low=0.0, high=1.0),
        scenario_digests=frozenset(needs.texts("scenario_digests")),
        calibration_ids=frozenset(needs.texts("calibration_ids")),
        trusted_keys={key.key_id: key.raw for key in trusted},
        accept_estimated=frozenset(needs.texts("accept_estimated")),
        drift_limit=needs.number("drift_limit", d.drift_limit, low=0.0, high=1e6),
        drift_windows=needs.whole("drift_windows", d.drift_windows, low=1),
    )


def _no_requirements() -> Requirements:
    none: frozenset[str] = frozenset()
    return Requirements(
        specification="", alpha=0.9, delta=0.05, scenario_digests=none, calibration_ids=none, trusted_keys={}
    )


def agent_config_text(config: AgentConfig) -> str:
    """Return the TOML text of a configuration: `rantwin serve` writes its default with it."""
    e, r = config.engine, config.engine.requirements
    sections: dict[str, dict[str, object]] = {
        "agent": {
            "state_dir": config.state_dir,
            "listen": config.listen,
            "token_file": config.token_file,
            "poll_s": config.poll_s,
            "reflection": config.reflection,
            "metrics_listen": config.metrics_listen,
        },
        "tls": {key: getattr(config.tls, key) for key in ("cert", "key", "client_ca", "operators", "viewers")}
        if config.tls
        else {},
        "backend": {"name": config.backend, **config.backend_options},
        "publish": dict(config.publish),
        "requirements": {
            "specification": r.specification,
            "alpha": r.alpha,
            "delta": r.delta,
            "scenario_digests": r.scenario_digests,
            "calibration_ids": r.calibration_ids,
            "trusted_keys": config.trusted_keys,
            "accept_estimated": r.accept_estimated,
            "drift_limit": r.drift_limit,
            "drift_windows": r.drift_windows,
        },
        "blast": {key: getattr(e.blast, key) for key in ("largest_step", "most_gnbs", "min_spacing_s")},
        "exploration": {
            key: getattr(e.exploration, key) for key in ("enabled", "lower", "upper", "largest_step", "most_gnbs")
        },
        "watch": {
            key: getattr(e.watch, key) for key in ("failure_limit", "inconclusive_limit", "initial_delay_windows")
        },
        "timing": {
            key: getattr(e, key)
            for key in (
                "settle_s",
                "call_timeout_s",
                "plan_ttl_s",
                "lease_ttl_min_s",
                "lease_ttl_max_s",
                "trial_timeout_max_s",
            )
        },
        "keep": {"windows": e.windows_kept, "promotions": e.promotions_kept},
        "test": {} if e.rollback_enabled else {"rollback_enabled": False},
    }
    lines: list[str] = []
    for name, values in sections.items():
        if values:
            lines += [f"[{name}]", *(f"{_key(k)} = {_toml(v)}" for k, v in values.items() if v is not None), ""]
    return "\n".join(lines)


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, frozenset | set):
        return _toml(sorted(value))
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(str(value))
