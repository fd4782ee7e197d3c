"""`python -m bridge.deployment INVENTORY OUT`: write a testbed's files, or say in one line what does not fit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.deployment.generate import generate
from bridge.inventory_reader import load_inventory
from col.errors import InputError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate; return 0, or 2 for bad input (nothing is written then)."""
    parser = argparse.ArgumentParser(prog="python -m bridge.deployment", description=__doc__)
    parser.add_argument("inventory", type=Path, metavar="INVENTORY")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder; files of the same names are replaced")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if OUT has something else")
    options = parser.parse_args(arguments)
    try:
        files = generate(load_inventory(options.inventory))
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.check:
        stale = [name for name, text in files.items() if _content(options.out / name) != text]
        print("\n".join(stale) if stale else f"{len(files)} files are as generated", file=sys.stderr)
        return 1 if stale else 0
    for name, text in files.items():
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(files)} files in {options.out}: begin with {options.out / 'README.md'}", file=sys.stderr)
    return 0


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


if __name__ == "__main__":
    sys.exit(main())
