"""`rantwin serve`: the agent beside a testbed; without a configuration beside the embedded EMULATED testbed."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from col.errors import InputError
from tui.agent_link import address_of, is_loopback
from tui.config_dir import ConfigDir, operator_config_dir
from tui.console import EXIT_DONE, print_json
from tui.embedded import EmbeddedTestbed, StartOptions
from tui.keys import ensure_signing_key, make_keys
from tui.requirements import requirements_of

if TYPE_CHECKING:
    from bridge.agent_config import AgentConfig

__all__ = ["emulate_command", "serve_command"]

_AT_FIRST = ("scenario", "listen", "exploration")


def serve_command(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; or stop the embedded testbed."""
    config = operator_config_dir()
    if args.stop_testbed:
        stopped = EmbeddedTestbed(config).stop()
        result = {"testbed": str(config.testbed), "stopped": stopped}
        print_json(result) if args.json else print("testbed stopped" if stopped else "no testbed runs here")
        return EXIT_DONE
    from bridge.agent import run_agent
    from bridge.agent_config import load_agent_config

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    path = args.config if args.config is not None else config.agent_config
    if args.config is None:
        _prepare(config, args)
    elif asked := [name for name in (*_AT_FIRST, "speed", "seed", "gap", "history") if getattr(args, name)]:
        raise InputError("is for the embedded testbed, without CONFIG", key=f"--{asked[0]}")
    agent = load_agent_config(path)

    def ready(address: str) -> None:
        to = "" if args.config is None else f" --to {address}"
        for line in (
            f"agent listens on {address}, backend {agent.backend}, configuration {path}",
            f"journal and state in {agent.state_dir}",
            f"promote a rehearsed run with: rantwin promote RUN{to}",
        ):
            _say(line)
        if args.json:
            print_json({"address": address, "backend": agent.backend, "config": str(path)})
            sys.stdout.flush()

    run_agent(agent, ready)
    return EXIT_DONE


def _prepare(config: ConfigDir, args: argparse.Namespace) -> None:
    """Write the default configuration if there is none, and start the embedded testbed unless it runs."""
    testbed = EmbeddedTestbed(config)
    testbed.check_path()
    asked = {name: getattr(args, name) for name in ("speed", "seed", "gap", "history")}
    if not config.agent_config.is_file():
        _write_default(config, testbed, testbed.options().with_asked(asked), args)
    elif given := [name for name in _AT_FIRST if getattr(args, name)]:
        raise InputError(f"was chosen when {config.agent_config} was written: change it there", key=f"--{given[0]}")
    from bridge.agent_config import load_agent_config

    agent = load_agent_config(config.agent_config)
    if agent.backend != "emulated" or agent.backend_options.get("socket") != str(testbed.socket):
        return
    if not testbed.scenario.is_file():
        raise InputError("no such file; 'rantwin serve' writes it with agent.toml", source=str(testbed.scenario))
    options = testbed.start(asked, _say)
    _say(
        f"EMULATED testbed {testbed.socket}: a simulation, {options.speed:g} times real time, gap {options.gap:g} to "
        "the twin; it outlives this agent ('rantwin serve --stop-testbed' ends it)"
    )


def _write_default(
    config: ConfigDir, testbed: EmbeddedTestbed, options: StartOptions, args: argparse.Namespace
) -> None:
    from bridge.agent_config import AgentConfig, agent_config_text
    from bridge.settings import BlastRadius, EngineSettings, Exploration
    from twin.scenario import load_scenario

    scenario = load_scenario(args.scenario or "cpu-allocation")
    key, made = ensure_signing_key(config)
    if made:
        _say(f"made your signing key {key.key_id}: {config.signing_key}")
    config.folder(config.agent_state)
    config.folder(testbed.folder)
    testbed.scenario.write_text(scenario.to_toml(), encoding="utf-8")
    box = {control.name: control for control in scenario.controls}
    exploration = Exploration(enabled=False)
    if args.exploration:
        exploration = Exploration(
            enabled=True,
            lower={name: control.lower for name, control in box.items()},
            upper={name: control.upper for name, control in box.items()},
            largest_step={name: control.upper - control.lower for name, control in box.items()},
        )
    engine = EngineSettings(
        requirements=requirements_of(scenario, {key.key_id: key.public.raw}),
        blast=BlastRadius(largest_step={"cpu_du": 0.4, "cpu_cu": 0.4}, most_gnbs=2),
        exploration=exploration,
        settle_s=scenario.window.settle_s,
    )
    listen = f"unix:{config.agent_socket}" if args.listen is None else address_of(args.listen, config)
    agent = AgentConfig(
        state_dir=config.agent_state,
        listen=listen,
        backend="emulated",
        backend_options={"socket": str(testbed.socket)},
        engine=engine,
        trusted_keys=(config.signing_public,),
        poll_s=min(0.2, max(0.02, scenario.window.length_s / options.speed / 5)) if options.speed > 0 else 0.2,
    )
    config.write_new(config.agent_config, agent_config_text(_guarded(agent, config)).encode())
    _say(f"wrote {config.agent_config}: scenario {scenario.name}, trusts your key {key.key_id}")


def _guarded(agent: AgentConfig, config: ConfigDir) -> AgentConfig:
    """Return the configuration with what its address needs: nothing, a token, or TLS."""
    from bridge.agent_config import Tls

    if agent.listen.startswith("unix:"):
        return agent
    make_keys(config, hosts=[], client=None, now=datetime.now(UTC))
    if is_loopback(agent.listen):
        return replace(agent, token_file=config.token)
    tls = Tls(
        cert=config.tls / "server.pem",
        key=config.tls / "server.key",
        client_ca=config.tls / "ca.pem",
        operators=frozenset({getpass.getuser()}),
    )
    return replace(agent, tls=tls)


def emulate_command(args: argparse.Namespace) -> int:
    """Serve an emulated testbed in this process until SIGTERM or Ctrl-C."""
    from twin.emulated import EmulatedSettings, LoadLaw, read_misbehaviour, serve
    from twin.scenario import load_scenario

    settings = EmulatedSettings(
        scenario=load_scenario(args.scenario or "cpu-allocation"),
        seed=args.seed,
        speed=args.speed,
        gap=args.gap,
        law=LoadLaw(args.load),
        plant_id=args.id,
    )
    misbehaviour = read_misbehaviour(args.misbehave)
    return serve(
        settings,
        socket=Path(args.socket).absolute(),
        state=Path(args.state).absolute(),
        history=args.history,
        misbehaviour=misbehaviour,
        say=_say,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
