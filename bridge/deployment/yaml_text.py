"""YAML in block style, written: mappings, lists, scalars, and comments that mark a control's line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Marked", "yaml_text"]

_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


@dataclass(frozen=True, slots=True)
class Marked:
    """A number that a control sets: `bridge.controls.config_file` finds it by the comment."""

    value: float
    control: str


def yaml_text(value: Mapping[str, object], comment: str = "") -> str:
    """Return a document; each line of `comment` stands above it."""
    head = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*head, *_mapping(value, 0)]) + "\n"


def _mapping(value: Mapping[str, object], depth: int) -> Iterator[str]:
    for key, entry in value.items():
        name = f"{'  ' * depth}{_scalar(key)}:"
        match entry:
            case Mapping() if entry:
                yield name
                yield from _mapping(entry, depth + 1)
            case str() | Mapping():
                yield f"{name} {_scalar(entry)}"
            case Sequence() if entry:
                yield name
                yield from _sequence(entry, depth + 1)
            case _:
                yield f"{name} {_scalar(entry)}"


def _sequence(value: Sequence[object], depth: int) -> Iterator[str]:
    for entry in value:
        dash = f"{'  ' * depth}- "
        if isinstance(entry, Mapping) and entry:
            first, *rest = _mapping(entry, depth + 1)
            yield dash + first.lstrip()
            yield from rest
        else:
            yield dash + _scalar(entry)


def _scalar(value: object) -> str:
    match value:
        case Marked():
            return f"{value.value:g}  # rantwin: {value.control}"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case None:
            return "null"
        case Mapping():
            return "{}"
        case str():
            is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
            # A `$` of ours is none of compose's variables.
            return value if is_plain else json.dumps(value, ensure_ascii=False)
        case Sequence():
            return "[]"
        case _:
            raise TypeError(f"{type(value).__name__} has no place in this YAML")
