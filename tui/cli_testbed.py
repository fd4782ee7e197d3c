"""Arguments of the commands that work with a testbed: serve, promote, status, history, rollback, emulate, keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui.arguments import Commands, Parser, add_address, add_command, add_output, add_runs_dir, amount, whole

__all__ = ["add_testbed_commands"]


def add_testbed_commands(commands: Commands[Parser]) -> None:
    """Add the commands."""
    _add_serve(commands)
    _add_promote(commands)
    _add_status(commands)
    _add_history(commands)
    _add_rollback(commands)
    _add_keys(commands)
    _add_emulate(commands)


def _add_serve(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "serve",
        "tui.serve:serve_command",
        help="the agent beside a testbed; without CONFIG beside the embedded EMULATED one",
        description="Run the agent: gate, lease, watchdog, journal and the way back. Without CONFIG it writes "
        "agent.toml into the config directory, starts the embedded EMULATED testbed (a simulation "
        "that differs from the twin) as a process of its own, and serves it on a Unix socket. Ctrl-C "
        "ends the agent, not the testbed.",
        examples="  rantwin serve                              the embedded testbed, in real time\n"
        "  rantwin serve --speed 50                   the same, 50 times as fast\n"
        "  rantwin serve /etc/rantwin/agent.toml      a testbed of your own\n"
        "  rantwin serve --stop-testbed               end the embedded testbed; what is in force there is kept",
    )
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="the agent's own configuration, TOML")
    group = parser.add_argument_group("embedded testbed (without CONFIG)")
    group.add_argument("--scenario", metavar="S", help="name or .toml file of its scenario (default: cpu-allocation)")
    group.add_argument(
        "--listen", metavar="ADDRESS", help="unix:PATH or HOST:PORT (default: a socket in the config directory)"
    )
    group.add_argument(
        "--exploration", action="store_true", help="let it be explored: trials without certificate, always rolled back"
    )
    _add_emulation(group, speed=None, seed=None, gap=None, history=None)
    group.add_argument("--stop-testbed", action="store_true", help="end the embedded testbed and leave")
    parser.add_argument(
        "--json", action="store_true", help="address and configuration as JSON on stdout, once it serves"
    )


def _add_emulation(
    parser: argparse._ArgumentGroup, *, speed: float | None, seed: int | None, gap: float | None, history: int | None
) -> None:
    """Add how an emulated testbed runs, with these defaults; None: as it was started last, else the defaults named."""
    parser.add_argument(
        "--speed", type=amount(most=10_000.0), default=speed, metavar="X", help="simulated s per s (default: 1)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=seed, metavar="N", help="seed of everything random (default: 0)"
    )
    parser.add_argument(
        "--gap",
        type=amount(above=-1e-9, most=10.0),
        default=gap,
        metavar="G",
        help="how much it differs from the twin: compute cost, tails, noisy neighbours; 0 is the twin (default: 1)",
    )
    parser.add_argument(
        "--history",
        type=whole(0),
        default=history,
        metavar="N",
        help="passive windows that it begins with, for learning on it (default: 0)",
    )


def _add_promote(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "promote",
        "tui.promote:promote_command",
        help="carry out the next certified step of a run on a testbed",
        description="Take the certified step of RUN that begins at the configuration in force, show what it "
        "changes and on what evidence, ask, apply it under a lease, watch φ on the testbed's own "
        "windows, and confirm. Whatever goes wrong, the testbed goes back by itself: φ fails, the "
        "deadline passes, or this command dies (the lease). Exit codes: 0 confirmed, 1 refused or "
        "rolled back, 2 bad input, 3 unreachable.",
        examples="  rantwin promote                          the next step of the latest run, agent of this machine\n"
        "  rantwin promote runs/<run> --dry-run     the plan and every reason against it; nothing is applied\n"
        "  rantwin promote runs/<run> --all --yes   step after step to the end of the path, without questions\n"
        "  rantwin promote RUN --to lab.example:50051 --why 'ticket 4711'",
    )
    parser.add_argument(
        "run_folder", nargs="?", metavar="RUN", help="a run folder, or a name under --runs-dir (default: the latest)"
    )
    add_runs_dir(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--step", type=whole(1), metavar="N", help="this step (default: the one that comes next)")
    which.add_argument("--all", action="store_true", help="one step after the other, until one is not confirmed")
    parser.add_argument(
        "--yes", action="store_true", help="answer both questions with yes: apply, and confirm if φ held"
    )
    parser.add_argument("--dry-run", action="store_true", help="show plan and reasons, apply nothing")
    parser.add_argument(
        "--auto-confirm",
        action="store_true",
        help="let the agent confirm as soon as φ held; the lease must be alive until then",
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="reason, for the journal")
    parser.add_argument("--repair", action="store_true", help="for a testbed that does not satisfy φ now; needs --why")
    parser.add_argument(
        "--lease",
        type=amount(most=3600.0),
        default=10.0,
        metavar="SECONDS",
        help="after so long without this command the testbed goes back (default: 10 s)",
    )
    parser.add_argument(
        "--trial-timeout",
        type=amount(),
        metavar="SECONDS",
        help="deadline for the confirm (default: 600 s, more where the windows take longer)",
    )
    parser.add_argument(
        "--wait", type=amount(above=-1e-9), metavar="SECONDS",
        help="how long to wait for what comes by itself: windows at the configuration in force, spacing "
        "(default: twice the horizon of φ)",
    )  # fmt: skip
    add_address(parser)
    add_output(parser)


def _add_status(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "status",
        "tui.history:status_command",
        help="what the agent knows of its testbed now",
        description="Ask the agent: what the testbed is, what is in force and confirmed, what is under way, "
        "drift, problems.",
        examples="  rantwin status\n  rantwin status --to lab.example:50051 --json",
    )
    add_address(parser)
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout")


def _add_history(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "history",
        "tui.history:history_command",
        help="the journal of a testbed: who did what, why, and how it ended",
        description="Print the journal, from the agent or from its file, and check its hash chain.",
        examples="  rantwin history\n"
        "  rantwin history --verify                             exit code 1 if an entry was changed or is missing\n"
        "  rantwin history --journal /var/lib/rantwin/journal.db --promotion ID --json",
    )
    parser.add_argument("--journal", type=Path, metavar="PATH", help="read this file, without the agent")
    parser.add_argument("--verify", action="store_true", help="check the hash chain from the first entry on")
    parser.add_argument("--promotion", default="", metavar="ID", help="this promotion alone")
    parser.add_argument("--since", type=whole(1), default=1, metavar="N", help="from this entry on (default: 1)")
    add_address(parser)
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout")


def _add_rollback(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "rollback",
        "tui.history:rollback_command",
        help="kill switch: back to the confirmed configuration, at once",
        description="Bring the testbed back to its confirmed configuration without analysis and without a question.",
        examples="  rantwin rollback --why 'users complain'",
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="reason, for the journal")
    add_address(parser)
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout")


def _add_emulate(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "emulate",
        "tui.serve:emulate_command",
        help="an EMULATED testbed in this process ('serve' starts one by itself)",
        description="Serve an EMULATED testbed on a Unix socket until Ctrl-C: a simulation that differs from the "
        "twin and can misbehave by configuration (docs/emulated.md).",
        examples="  rantwin emulate --socket /tmp/plant.sock --state /tmp/plant --speed 50 --misbehave hang=1",
    )
    parser.add_argument("scenario", nargs="?", metavar="SCENARIO", help="name or .toml file (default: cpu-allocation)")
    parser.add_argument("--socket", required=True, metavar="PATH", help="where it answers; made with mode 0600")
    parser.add_argument("--state", required=True, metavar="FOLDER", help="what outlives a crash is kept there")
    _add_emulation(parser.add_argument_group("emulation"), speed=1.0, seed=0, gap=1.0, history=0)
    parser.add_argument(
        "--load", choices=["operating", "passive"], default="operating",
        help="what the senders offer: the operating load, or one that moves under an autoscaler (default: operating)",
    )  # fmt: skip
    parser.add_argument("--id", default="embedded", metavar="ID", help="id of the testbed (default: embedded)")
    parser.add_argument(
        "--misbehave", nargs="+", default=[], metavar="FAULT", help="FILE.toml, fault=N or fault.key=value"
    )


def _add_keys(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "keys",
        "tui.keys:keys_command",
        help="make, list and show the operator's keys",
        description="Keys of the operator, in the config directory ($RANTWIN_CONFIG_DIR, else ~/.config/rantwin): "
        "the Ed25519 key that signs certificates, a CA with certificates of server and client for "
        "agents beyond loopback, and a token for agents on loopback. Secrets are for their owner "
        "alone (0600); nothing is ever overwritten: what there is already is kept.",
        examples="  rantwin keys make                                all that is missing\n"
        "  rantwin keys make --host lab.example --client alice   certificates of another server name and operator\n"
        "  rantwin keys show                                the public key, for trusted_keys in an agent's agent.toml",
    )
    parser.add_argument("action", choices=["make", "list", "show"], help="what to do with them")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="name or address under which the agent's server certificate is valid, besides localhost and this "
        "machine's name; may be given several times",
    )
    parser.add_argument(
        "--client",
        metavar="NAME",
        help="make a client certificate of that name too, in tls/NAME.pem (default: client.pem with the user's name)",
    )
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout")
