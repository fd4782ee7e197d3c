"""What the command line's parsers share: one-line complaints, readers of numbers, common options."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import NoReturn

from col.errors import InputError

__all__ = [
    "Commands",
    "Parser",
    "add_address",
    "add_command",
    "add_output",
    "add_runs_dir",
    "amount",
    "seeds",
    "share",
    "whole",
]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage."""
        raise InputError(f"{message} (see '{self.prog} --help')", source="command line")


MOST_SEEDS = 10_000

Commands = argparse._SubParsersAction  # the type has no public name


def add_command(
    commands: Commands[Parser], name: str, target: str, *, help: str, description: str, examples: str
) -> Parser:
    """Add a command whose work is `target` ("module:function"), imported only when the command runs."""
    parser = commands.add_parser(
        name,
        help=help,
        description=fill(description, 98),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_later(target))
    return parser


def _later(target: str) -> Callable[[argparse.Namespace], int]:
    module, _, function = target.partition(":")

    def run(args: argparse.Namespace) -> int:
        return int(getattr(import_module(module), function)(args))

    return run


def whole(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} must be at least {least}")
        return value

    return read


def seeds(text: str) -> tuple[int, ...]:
    """Read seeds: `1-20`, `1,4,9`, or both; each once."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            found += range(int(first), min(int(last), int(first) + MOST_SEEDS) + 1) if dash else [int(first)]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be such as 1-20 or 1,4,9") from None
        if len(found) > MOST_SEEDS:
            raise argparse.ArgumentTypeError(f"{text!r} must be at most {MOST_SEEDS} seeds")
    if not found or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} must name at least one seed, and none twice")
    return tuple(found)


def amount(*, above: float = 0.0, most: float = math.inf) -> Callable[[str], float]:
    """Return a reader of finite numbers above `above` and at most `most`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be a number") from None
        if not (math.isfinite(value) and above < value <= most):
            upper = f" and at most {most:g}" if math.isfinite(most) else ""
            raise argparse.ArgumentTypeError(f"{text} must be above {above:g}{upper}")
        return value

    return read


def share(text: str) -> float:
    """Read a share: a number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number") from None
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and below 1")
    return value


def add_runs_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where run folders are."""
    parser.add_argument(
        "--runs-dir",
        "--out-dir",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="where run folders are (default: runs)",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options for machines and for those who want no progress."""
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout; everything else goes to stderr")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def add_address(parser: argparse.ArgumentParser, name: str = "--to", what: str = "") -> None:
    """Add the options that say where the agent is and how to prove who asks."""
    parser.add_argument(
        name,
        metavar="ADDRESS",
        help=what or "the agent: unix:PATH or HOST:PORT (default: the one that 'rantwin serve' starts on this machine)",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="token for an agent on loopback (default: the one in the config directory, if there is one)",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="FOLDER",
        help="folder with ca.pem, client.pem and client.key for an agent beyond loopback "
        "(default: tls/ in the config directory)",
    )
    parser.add_argument(
        "--timeout",
        type=amount(most=3600.0),
        default=10.0,
        metavar="SECONDS",
        help="how long a call may take (default: 10 s)",
    )
