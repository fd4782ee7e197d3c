"""Arguments of the commands that work with a testbed: serve, promote, status, history, rollback, emulate, keys."""

from __future__ import annotations

from tui.arguments import Commands, Parser, add_command

__all__ = ["add_testbed_commands"]


def add_testbed_commands(commands: Commands[Parser]) -> None:
    """Add the commands."""
    _add_keys(commands)


def _add_keys(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "keys",
        "tui.keys:keys_command",
        help="make, list and show the operator's keys",
        description="Keys of the operator, in the config directory ($RANTWIN_CONFIG_DIR, else ~/.config/rantwin): the\n"
        "Ed25519 key that signs certificates, a CA with certificates of server and client for agents beyond\n"
        "loopback, and a token for agents on loopback. Secrets are for their owner alone (0600); nothing is ever\n"
        "overwritten: what there is already is kept.",
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
