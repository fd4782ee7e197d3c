"""Text of strangers in reasons: one line, printable, short."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["one_of", "shown"]


def shown(text: str, most: int = 60) -> str:
    """Return text that somebody else wrote so that it can stand in a line: escaped, and cut to `most` characters."""
    escaped = text[: most + 1].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= most else f"{escaped[: most - 3]}..."


def one_of(names: Iterable[str]) -> str:
    """Return what would have been right, in a few words."""
    listed = [shown(name) for name in sorted(names)]
    return " or ".join(listed[:4]) + (" ..." if len(listed) > 4 else "") if listed else "none"
